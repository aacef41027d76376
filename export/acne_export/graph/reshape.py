"""Rebuilds a network for another input size or batch size."""

from __future__ import annotations

import dataclasses

import keras

from acne_export.recipe import ANY_BATCH, Recipe
from acne_runtime.backends.keras import copy_weights
from acne_runtime.errors import ModelError, one_line
from acne_runtime.manifest import Manifest


def with_input_shape(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Returns the network with the recipe's input size and batch: itself where it has them, or a copy.

    Raises:
        ModelError: The network has one input size only.
    """
    trained = tuple(model.inputs[0].shape)
    shape = (None if recipe.batch == ANY_BATCH else recipe.batch, recipe.size, recipe.size, 3)
    if trained == shape:
        return model
    image = keras.Input(batch_shape=shape, name=model.inputs[0].name)
    try:
        copy = keras.models.clone_model(model, input_tensors=image)
        copy_weights(model, copy)
    except ValueError as error:
        raise ModelError(
            f"`size` {recipe.size}: {model.name} was trained for {trained[1]} px and takes no other size "
            f"({one_line(error)})",
            parameter="size",
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
        raise ModelError(f"`size` {recipe.size}: {error}", parameter="size") from error
