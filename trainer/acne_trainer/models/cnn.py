"""The paper's multi-label CNN (Experiment I), layer for layer."""

from __future__ import annotations

import keras
from keras import layers

from acne_runtime.errors import AcneEdgeError

INPUT_SIZE = 416
FILTERS = (16, 32, 64, 64)
_KERNEL = 5
_MINIMUM = 76
"""Pixels of which one is left after all blocks."""
CONV_DROPOUT = 0.2
DENSE_DROPOUT = 0.5


def build_cnn(class_count: int, input_size: int = INPUT_SIZE) -> keras.Model:
    """Builds the CNN: four blocks of 5x5 valid convolution, two dense layers, sigmoid probabilities.

    The 5x5 kernels follow from the paper's flattened length: 416 -> 206 -> 101 -> 48 -> 22, and 22 * 22 * 64 = 30,976.
    With four classes it has 4,142,052 parameters, 4,141,700 of them trainable.

    Args:
        class_count: Number of lesion types.
        input_size: Side of the square input in pixels.

    Returns:
        A model from `image` `[batch, input_size, input_size, 3]` float32 RGB, 0 to 255 (scaled to 0 to 1 inside, as
        the paper did), to `label` `[batch, class_count]` probabilities.
    """
    side = input_size
    for _ in FILTERS:
        side = (side - _KERNEL + 1) // 2
    if side < 1:
        raise AcneEdgeError(
            f"`input_size` {input_size}: too small for the {len(FILTERS)} blocks of the cnn; use {_MINIMUM} or more",
            parameter="input_size",
        )
    image = keras.Input((input_size, input_size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    for block, filters in enumerate(FILTERS, start=1):
        x = layers.Conv2D(filters, _KERNEL, activation="relu", name=f"conv_{block}")(x)
        if block == 1:  # the paper normalises before pooling in the first block and after it in the others
            x = layers.BatchNormalization(synchronized=True, name=f"norm_{block}")(x)
            x = layers.MaxPooling2D(2, name=f"pool_{block}")(x)
        else:
            x = layers.MaxPooling2D(2, name=f"pool_{block}")(x)
            x = layers.BatchNormalization(synchronized=True, name=f"norm_{block}")(x)
        x = layers.Dropout(CONV_DROPOUT, name=f"drop_{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for block, units in enumerate((128, 64), start=1):
        x = layers.Dense(units, activation="relu", name=f"dense_{block}")(x)
        x = layers.Dropout(DENSE_DROPOUT, name=f"dense_drop_{block}")(x)
    # The sigmoid stands apart so that int8 can give the logits a range of their own.
    logits = layers.Dense(class_count, name="logits", dtype="float32")(x)
    return keras.Model(image, layers.Activation("sigmoid", name="label", dtype="float32")(logits), name="acne_cnn")
