"""The same network for another input size or batch."""

from __future__ import annotations

import dataclasses

import keras

from acne_export.recipe import ANY_BATCH, Recipe
from acne_runtime.backends.keras import copy_weights
from acne_runtime.errors import ModelError
from acne_runtime.manifest import Manifest


def reshaped(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Returns the network with the recipe's input size and batch: itself where it has them, or a copy.

    Raises:
        ModelError: The network has one input size only.
    """
    given = tuple(model.inputs[0].shape)
    wanted = (None if recipe.batch == ANY_BATCH else recipe.batch, recipe.size, recipe.size, 3)
    if given == wanted:
        return model
    image = keras.Input(batch_shape=wanted, name=model.inputs[0].name)
    try:
        copy = keras.models.clone_model(model, input_tensors=image)
        copy_weights(model, copy)
    except ValueError as error:
        raise ModelError(
            f"--imgsz {recipe.size}: {model.name} was trained for {given[1]} px and takes no other size "
            f"({str(error).strip().splitlines()[0]})"
        ) from error
    return copy


def manifest_of(manifest: Manifest, recipe: Recipe) -> Manifest:
    """Returns the manifest of a model in the recipe's shape.

    Raises:
        ModelError: A stride of the model does not divide the size.
    """
    spec = dataclasses.replace(
        manifest.input, width=recipe.size, height=recipe.size, dtype=recipe.input, batch=recipe.batch
    )
    try:
        return dataclasses.replace(manifest, input=spec)
    except ModelError as error:
        raise ModelError(f"--imgsz {recipe.size}: {error}") from error
