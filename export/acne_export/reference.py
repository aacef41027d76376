"""The model that is converted, and what it answers itself: what every file made from it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from acne_export.golden.image import golden_input
from acne_export.graph.fold import simplify
from acne_export.graph.fold_forward import norms_moved
from acne_export.graph.reshape import manifest_of, reshaped
from acne_export.recipe import ANY_BATCH, Recipe
from acne_export.run_folder import Ranges, RunFolder
from acne_export.validation import Outputs, keras_outputs, rounding_errors
from acne_runtime.errors import ModelError
from acne_runtime.manifest import InputSpec, Manifest

_SEED = 7
PHOTOGRAPHS_ASKED = 3
"""Real photographs that are asked about, where a folder of them is at hand."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to the trained model, and its answer.

    Attributes:
        picture: `[n, height, width, 3]` uint8 RGB.
        answer: The outputs by name, float32.
        rounding: By how much each may be off from rounding alone; see `rounding_errors`.
        is_noise: Whether the picture looks like no photograph: reduced precision need not answer it well.
    """

    picture: NDArray[np.uint8]
    answer: Outputs
    rounding: dict[str, float]
    is_noise: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A trained model in the shape of a recipe.

    Attributes:
        model: Its simplified graph.
        ranges: Of the activations of this graph, where the trainer recorded them.
        manifest: What it says about itself; thresholds and figures are the trained model's.
        asked: What it answers, the golden picture first.
    """

    model: keras.Model
    ranges: Ranges
    manifest: Manifest
    asked: tuple[Asked, ...]


def source_of(run: RunFolder, recipe: Recipe, photographs: Sequence[NDArray[np.uint8]] = ()) -> Source:
    """Asks the trained model about pictures, and simplifies its graph.

    Args:
        run: The trained model.
        recipe: The shape it is wanted in.
        photographs: Inputs `[1, height, width, 3]` uint8 RGB, the first few of which are asked about too.

    Raises:
        ModelError: The model does not come in this shape, or its answers are no numbers.
    """
    manifest = manifest_of(run.manifest, recipe)
    model = reshaped(run.model, recipe)
    # Asked first: the simplified graph shares layers with its source, and damage done to both would show in neither.
    asked = []
    for picture, is_noise in _pictures(manifest.input, recipe.batch, photographs):
        answer = keras_outputs(model, picture)
        for name, output in answer.items():
            if not np.isfinite(output).all():
                raise ModelError(f"{run.path / 'inference.keras'}: output {name!r} is no finite number: train it anew")
        asked.append(Asked(picture, answer, rounding_errors(model, picture, answer), is_noise))
    moved, ranges = norms_moved(model, run.ranges)
    return Source(simplify(moved), ranges, manifest, tuple(asked))


def _pictures(
    spec: InputSpec, batch: int, photographs: Sequence[NDArray[np.uint8]]
) -> list[tuple[NDArray[np.uint8], bool]]:
    """Returns the golden picture and a few photographs, each alone or several in a call, then noise."""
    like_photographs = [golden_input(spec), *photographs[:PHOTOGRAPHS_ASKED]]
    noise = np.random.default_rng(_SEED).integers(0, 256, (max(batch, 1), spec.height, spec.width, 3), np.uint8)
    if batch == ANY_BATCH:
        calls = [*like_photographs, np.concatenate([*like_photographs, *like_photographs])]
    else:
        calls = [_rolled(like_photographs, first, batch) for first in range(len(like_photographs))]
    return [*((picture, False) for picture in calls), (noise, True)]


def _rolled(pictures: Sequence[NDArray[np.uint8]], first: int, count: int) -> NDArray[np.uint8]:
    return np.concatenate([pictures[(first + place) % len(pictures)] for place in range(count)])
