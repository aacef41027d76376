"""What a model answers to the golden picture, as a manifest states it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_export.golden.image import golden_input
from acne_runtime.model import Model
from acne_runtime.preprocess import preprocess
from acne_runtime.result import Label, Lesion


def golden_answers(model: Model, outputs: Mapping[str, NDArray[np.float32]]) -> list[dict[str, Any]]:
    """Returns the lesions or labels in the outputs for the golden picture; of a batch, in the first of its photographs.

    Args:
        model: The model.
        outputs: What its backend answers to `golden_batch`.
    """
    picture = np.ascontiguousarray(golden_input(model.manifest.input)[0, ..., ::-1])
    _, placement = preprocess(picture, model.manifest.input)
    answers = model.postprocess({name: one[:1] for name, one in outputs.items()}, placement)
    return as_answers(*answers, model.manifest.classes)


def as_answers(
    lesions: Sequence[Lesion] | None, labels: Sequence[Label] | None, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns what `Model.postprocess` of a model with these classes gave, as JSON values."""
    return [one.to_dict(classes) for one in lesions or ()] + [one.to_dict() for one in labels or ()]
