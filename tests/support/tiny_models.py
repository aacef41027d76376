"""Models of the real ones' building blocks, small enough to convert in seconds."""

import keras
import numpy as np
from keras import layers, ops
from support.images import picture

from acne_runtime.backends.keras import measure_activations
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec

SIZE = 64
STRIDES = (8, 16, 32)
BINS = 16
CLASSES = ("comedones", "nodules", "papules", "pustules")

DETECTION = Manifest(
    name="tiny-detector",
    task="detection",
    classes=CLASSES,
    input=InputSpec("image", SIZE, SIZE, "letterbox"),
    outputs=tuple(OutputSpec(f"{kind}_{stride}", kind, stride) for kind in ("box", "score") for stride in STRIDES),
    thresholds=(0.95,),
    bins=BINS,
)
MULTILABEL = Manifest(
    name="tiny-cnn",
    task="multilabel",
    classes=CLASSES,
    input=InputSpec("image", SIZE, SIZE, "stretch"),
    outputs=(OutputSpec("label", "label"),),
    thresholds=(0.5, 0.4, 0.6, 0.5),
)
MANIFESTS = {"detection": DETECTION, "multilabel": MULTILABEL}


def tiny_trainable_detector():
    """Returns the tiny detector as it is trained: any batch, logits for scores."""
    network = tiny_detector(batch_size=None)
    return keras.Model(network.input, {name: network.get_layer(f"{name}_conv").output for name in network.output})


def tiny_detector(batch_size=1):
    image = keras.Input(batch_shape=(batch_size, SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = _block(x, 8, strides=2, name="stem")
    x = _block(x, 16, strides=2, name="down_4")
    fine = _block(x, 32, strides=2, name="down_8")
    fine = layers.Add(name="sum_8")([fine, _block(fine, 32, name="more_8")])
    # The real neck's split, sum and joint are operations, not layers; so is its upsampling.
    short, deep = ops.split(_block(fine, 64, strides=2, name="down_16"), 2, axis=-1)
    middle = ops.concatenate([short, deep, deep + _block(deep, 32, name="more_16")], axis=-1)
    coarse = _block(middle, 128, strides=2, name="down_32")
    coarse = _block(coarse, 128, name="more_32")
    pooled = layers.MaxPooling2D(5, strides=1, padding="same", name="pool_32")(coarse)
    coarse = layers.Concatenate(name="join_32")([coarse, pooled])
    upsampled = ops.repeat(ops.repeat(_block(coarse, 32, kernel=1, name="lateral"), 2, axis=1), 2, axis=2)
    middle = ops.concatenate([upsampled, middle], axis=-1)
    heads = {}
    for stride, features in zip(STRIDES, (fine, middle, coarse), strict=True):
        x = _block(features, 64, kernel=1, name=f"head_{stride}")
        heads[f"box_{stride}"] = layers.Conv2D(4 * BINS, 1, name=f"box_{stride}_conv")(x)
        logits = layers.Conv2D(len(CLASSES), 1, name=f"score_{stride}_conv")(x)
        heads[f"score_{stride}"] = layers.Activation("sigmoid", name=f"score_{stride}")(logits)
    network = _with_seeded_weights(keras.Model(image, heads, name="tiny_detector"), seed=1)
    for stride in STRIDES:  # small boxes, as the real one's first boxes are
        network.get_layer(f"box_{stride}_conv").bias.assign(np.tile(-0.5 * np.arange(BINS), 4))
    return network


def tiny_cnn():
    image = keras.Input(batch_shape=(1, SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    for block, filters in enumerate((8, 16), start=1):
        x = layers.Conv2D(filters, 5, activation="relu", name=f"conv_{block}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{block}")(x)
        x = layers.BatchNormalization(name=f"norm_{block}")(x)
        x = layers.Dropout(0.2, name=f"drop_{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(32, activation="relu", name="dense")(x)
    x = layers.Dropout(0.5, name="dense_drop")(x)
    logits = layers.Dense(len(CLASSES), name="logits")(x)
    outputs = {"label": layers.Activation("sigmoid", name="label")(logits)}
    return _with_seeded_weights(keras.Model(image, outputs, name="tiny_cnn"), seed=2)


NETWORKS = {"detection": tiny_detector, "multilabel": tiny_cnn}


def write_run(folder, network, manifest):
    """Writes the run folder that acne-train would leave."""
    network.save(folder / "inference.keras")
    (folder / "manifest.json").write_text(manifest.to_json())
    images = [picture(SIZE, SIZE, seed)[None, ..., ::-1] for seed in range(100, 116)]
    (folder / "calibration.json").write_text(
        measure_activations(network, images, manifest.distributions).to_json(len(images))
    )
    return folder


def _block(x, filters, *, kernel=3, strides=1, name):
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, kernel, strides=strides, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.Activation("swish", name=name)(x)


def _with_seeded_weights(network, seed):
    """No statistic, gain or offset keeps its initial 0 or 1, so that a fold that forgets one shows."""
    rng = np.random.default_rng(seed)
    draw = {
        "kernel": lambda shape: rng.normal(0, (1.6 / np.prod(shape[:-1])) ** 0.5, shape),
        "bias": lambda shape: rng.normal(0, 0.3, shape),
        "gamma": lambda shape: rng.uniform(0.7, 1.5, shape),
        "beta": lambda shape: rng.normal(0, 0.3, shape),
        "moving_mean": lambda shape: rng.normal(0, 0.2, shape),
        "moving_variance": lambda shape: rng.uniform(0.3, 1.2, shape),
    }
    for layer in network.layers:
        layer.set_weights([draw[weight.name](weight.shape) for weight in layer.weights if weight.name in draw])
    return network
