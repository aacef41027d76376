"""The reference: the Keras model in a recipe's shape, and its outputs that every file made from it must reproduce."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from acne_export.golden.image import golden_input
from acne_export.graph.fold import simplify
from acne_export.graph.fold_forward import fold_batch_norm_forward
from acne_export.graph.reshape import manifest_of, with_input_shape
from acne_export.recipe import ANY_BATCH, Recipe
from acne_export.run_folder import RunFolder
from acne_export.validation import Outputs, keras_outputs, rounding_errors
from acne_runtime.errors import ModelError
from acne_runtime.manifest import InputSpec, Manifest
from acne_runtime.run_folder import INFERENCE_MODEL, Activations

_SEED = 7
MAX_TEST_IMAGES = 3
"""How many photographs become test vectors, if there is a folder of them."""


@dataclass(frozen=True, slots=True)
class TestVector:
    """One input of the trained model, and its outputs.

    Attributes:
        image: `[n, height, width, 3]` uint8 RGB.
        outputs: The outputs by name, float32.
        rounding: By how much each may be off from rounding alone; see `rounding_errors`.
        is_noise: Whether the image is noise: reduced precision need not reproduce its outputs.
    """

    image: NDArray[np.uint8]
    outputs: Outputs
    rounding: dict[str, float]
    is_noise: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A trained model in the shape of a recipe.

    Attributes:
        model: Its simplified graph.
        activations: Of this graph, where the trainer recorded them.
        manifest: Its manifest; thresholds and metrics are the trained model's.
        test_vectors: Inputs and outputs of the trained model, the golden image first.
    """

    model: keras.Model
    activations: Activations
    manifest: Manifest
    test_vectors: tuple[TestVector, ...]


def make_reference(run: RunFolder, recipe: Recipe, images: Sequence[NDArray[np.uint8]] = ()) -> Reference:
    """Runs the trained model on the test images, and simplifies its graph.

    Args:
        run: The trained model.
        recipe: The shape to bring it into.
        images: Inputs `[1, height, width, 3]` uint8 RGB, the first few of which become test vectors too.

    Raises:
        ModelError: The model does not take this shape, or its outputs are not finite.
    """
    manifest = manifest_of(run.manifest, recipe)
    model = with_input_shape(run.model, recipe)
    # First of all: the simplified graph shares layers with the model, and damage to both would show in neither.
    vectors = []
    for image, is_noise in _test_images(manifest.input, recipe.batch, images):
        outputs = keras_outputs(model, image)
        for name, output in outputs.items():
            if not np.isfinite(output).all():
                raise ModelError(f"{run.path / INFERENCE_MODEL}: output {name!r} is not finite; train again")
        vectors.append(TestVector(image, outputs, rounding_errors(model, image, outputs), is_noise))
    folded, ranges = fold_batch_norm_forward(model, run.activations.ranges)
    means = run.activations.means if folded is model else {}  # its activations are others now
    return Reference(simplify(folded), Activations(ranges, means), manifest, tuple(vectors))


def _test_images(
    spec: InputSpec, batch: int, images: Sequence[NDArray[np.uint8]]
) -> list[tuple[NDArray[np.uint8], bool]]:
    """Returns the golden image and a few photographs, as batches of the model, then noise; with whether it is noise."""
    photographs = [golden_input(spec), *images[:MAX_TEST_IMAGES]]
    noise = np.random.default_rng(_SEED).integers(0, 256, (max(batch, 1), spec.height, spec.width, 3), np.uint8)
    if batch == ANY_BATCH:
        batches = [*photographs, np.concatenate([*photographs, *photographs])]
    else:
        batches = [_cyclic_batch(photographs, first, batch) for first in range(len(photographs))]
    return [*((image, False) for image in batches), (noise, True)]


def _cyclic_batch(images: Sequence[NDArray[np.uint8]], first: int, size: int) -> NDArray[np.uint8]:
    return np.concatenate([images[(first + index) % len(images)] for index in range(size)])
