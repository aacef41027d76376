from collections import Counter

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers, ops
from support.images import picture

from acne_export.graph import fold
from acne_export.graph.fold import simplify

TASKS = pytest.mark.parametrize("task", ["detection", "multilabel"])


def photograph(size=64, seed=7):
    return picture(size, size, seed)[None, ..., ::-1].astype(np.float32)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def assert_same_answers(model, simple, image):
    expected, got = model(image, training=False), simple(image, training=False)
    assert set(got) == set(expected)
    for name, output in expected.items():
        error = np.abs(got[name] - output).max() / np.abs(output).max()
        assert error < 1e-5, name


@TASKS
def test_a_simplified_model_gives_the_same_answers(networks, task):
    simple = simplify(networks[task])
    for seed in range(3):
        assert_same_answers(networks[task], simple, photograph(seed=seed))


@TASKS
def test_nothing_is_left_that_training_alone_needs(networks, task):
    before, after = kinds(networks[task]), kinds(simplify(networks[task]))
    assert "BatchNormalization" in before
    assert not {"BatchNormalization", "Dropout", "Rescaling"} & set(after)


def test_norms_after_a_convolution_cost_nothing_and_others_one_operation(networks):
    assert "DepthwiseConv2D" not in kinds(simplify(networks["detection"]))
    assert kinds(simplify(networks["multilabel"])).count("DepthwiseConv2D") == 2


@TASKS
def test_every_operation_left_computes_what_the_one_of_its_name_did(networks, tmp_path, task):
    simplify(networks[task]).save(tmp_path / "simple.keras")
    simple = keras.models.load_model(tmp_path / "simple.keras")
    source = {op.name: op.output for op in networks[task].operations}
    assert {op.name for op in simple.operations} <= set(source)
    # Padding before the first convolution holds the pixels themselves: their scaling moved into the convolution.
    left = [op for op in simple.operations if op.name not in ("image", "stem_pad")]
    left = [op for op in left if isinstance(op.output, keras.KerasTensor)]
    assert len(left) > 8
    expected = keras.Model(networks[task].input, [source[op.name] for op in left])(photograph(), training=False)
    got = keras.Model(simple.input, [op.output for op in left])(photograph(), training=False)
    for op, one, other in zip(left, expected, got, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=2e-5, err_msg=op.name)


@TASKS
def test_outputs_and_input_keep_their_names_and_shapes(networks, task):
    simple = simplify(networks[task])
    assert list(simple.output) == list(networks[task].output)
    assert (simple.inputs[0].name, tuple(simple.inputs[0].shape)) == ("image", (1, 64, 64, 3))


@TASKS
def test_the_model_itself_is_left_alone(networks, task):
    before = [weight.copy() for weight in networks[task].get_weights()]
    before_kinds = kinds(networks[task])
    simplify(networks[task])
    assert kinds(networks[task]) == before_kinds
    for one, other in zip(networks[task].get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def conv(name="conv", **kwargs):
    return layers.Conv2D(3, 3, name=name, **kwargs)


def norm(name="norm", **kwargs):
    return layers.BatchNormalization(name=name, **kwargs)


def scaled(image, scale=1 / 255, **kwargs):
    return layers.Rescaling(scale, **kwargs)(image)


def conv_twice_read(image):
    x = conv()(image)
    return {"norm": norm()(x), "sum": layers.Add()([x, layers.Activation("relu")(x)])}


def conv_is_an_output_itself(image):
    x = conv()(image)
    return {"conv": x, "norm": norm()(x)}


@pytest.mark.parametrize(
    ("build", "left"),
    [
        (lambda image: {"y": norm()(conv()(image))}, ["Conv2D"]),
        (lambda image: {"y": norm()(conv(use_bias=False)(image))}, ["Conv2D"]),
        (lambda image: {"y": norm()(conv(padding="same", strides=2)(scaled(image)))}, ["Conv2D"]),
        (lambda image: {"y": norm(epsilon=0.5)(conv(dilation_rate=2)(image))}, ["Conv2D"]),
        (lambda image: {"y": norm(scale=False)(conv()(image))}, ["Conv2D"]),
        (lambda image: {"y": norm(center=False)(conv()(image))}, ["Conv2D"]),
        (lambda image: {"y": norm()(conv(activation="relu")(image))}, ["Conv2D", "DepthwiseConv2D"]),
        (lambda image: {"y": norm("b")(norm("a")(conv()(image)))}, ["Conv2D", "DepthwiseConv2D"]),
        (lambda image: {"y": conv()(norm()(image))}, ["DepthwiseConv2D", "Conv2D"]),
        (lambda image: {"y": norm()(layers.Dense(5)(layers.Flatten()(image)))}, None),
        (conv_twice_read, None),
        (conv_is_an_output_itself, None),
        (lambda image: {"y": conv()(layers.ZeroPadding2D(2)(scaled(image)))}, ["ZeroPadding2D", "Conv2D"]),
        (lambda image: {"y": conv("b")(scaled(conv("a")(image)))}, ["Conv2D", "Conv2D"]),
        (lambda image: {"y": conv()(scaled(image, 1 / 127, offset=-1))}, ["Rescaling", "Conv2D"]),
        (lambda image: {"y": conv()(layers.MaxPooling2D(2)(scaled(image)))}, ["Rescaling", "MaxPooling2D", "Conv2D"]),
        (lambda image: {"y": layers.DepthwiseConv2D(3)(scaled(image))}, ["Rescaling", "DepthwiseConv2D"]),
        (lambda image: {"y": conv()(layers.Dropout(0.5)(scaled(image)))}, None),
        (lambda image: {"x": conv("a")(scaled(image)), "y": conv("b")(scaled(image))}, ["Conv2D", "Conv2D"]),
        (lambda image: {"y": conv()(scaled(image, [1 / 255, 1 / 200, 1 / 100]))}, None),
    ],
    ids=[
        "norm",
        "norm without bias",
        "strided, scaled, padded",
        "dilated",
        "norm without gain",
        "norm without offset",
        "norm after relu",
        "two norms",
        "norm first",
        "norm after dense",
        "convolution read twice",
        "convolution an output itself",
        "scaled and padded",
        "scaled between",
        "scaled with offset",
        "scaled and pooled",
        "scaled and depthwise",
        "scaled and dropped",
        "scaled twice",
        "scaled by channel",
    ],
)
def test_the_answers_stay_whatever_stands_before_a_norm_or_after_a_scaling(build, left):
    image = keras.Input(batch_shape=(1, 16, 16, 3), name="image")
    model = keras.Model(image, build(image))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([rng.uniform(0.1, 1.5, weight.shape) for weight in layer.get_weights()])
    simple = simplify(model)
    assert_same_answers(model, simple, photograph(16))
    if left is not None:
        assert kinds(simple) == ["InputLayer", *left]


def relu_network(relu, between=None):
    """Returns a depthwise and a plain convolution, each with norm and ReLU."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input(batch_shape=(1, 16, 16, 3), name="image")
    x = layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = relu("relu_1")(layers.BatchNormalization(name="norm_1")(x))
    x = layers.Conv2D(4, 1, use_bias=False, name="conv")(x)
    norm = layers.BatchNormalization(name="norm_2")(x)
    x = relu("relu_2")(norm)
    outputs = {"label": x} if between is None else {"label": x, "before": norm}
    model = keras.Model(image, outputs)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([rng.uniform(0.2, 2, weight.shape) * rng.choice([-1, 1]) for weight in layer.get_weights()])
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.abs(layer.moving_variance))
    return model


@pytest.mark.parametrize("limit", [None, 6.0])
def test_norm_and_relu_move_into_depthwise_and_plain_convolutions(limit):
    model = relu_network(lambda name: layers.ReLU(limit, name=name))
    simple = simplify(model)
    assert kinds(simple) == ["InputLayer", "DepthwiseConv2D", "Conv2D"]
    assert [layer.name for layer in simple.layers[1:]] == ["relu_1", "relu_2"]  # whose ranges are recorded
    assert_same_answers(model, simple, photograph(16))


@pytest.mark.parametrize("arguments", [{"max_value": 5.0}, {"negative_slope": 0.1}, {"threshold": 1.0}], ids=str)
def test_another_relu_stays(arguments):
    model = relu_network(lambda name: layers.ReLU(**arguments, name=name))
    simple = simplify(model)
    assert kinds(simple) == ["InputLayer", "DepthwiseConv2D", "ReLU", "Conv2D", "ReLU"]
    assert_same_answers(model, simple, photograph(16))


def test_a_relu_stays_where_what_it_takes_is_an_answer_too():
    model = relu_network(lambda name: layers.ReLU(6.0, name=name), between="norm_2")
    simple = simplify(model)
    assert simple.layers[-1].name == "relu_2"
    assert_same_answers(model, simple, photograph(16))


def everything(image):
    """Returns outputs behind one example of each pattern that a pass looks for."""
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 4.0, 9.0], name="normalization")(image)
    x = conv("first", padding="same")(scaled(x, name="rescaling"))
    x = layers.ReLU(name="relu")(norm("folded_norm")(x))
    x = layers.Dropout(0.5, name="dropout")(norm("lone_norm")(x))
    return {"y": ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)}


@pytest.mark.parametrize(
    ("run", "lost"),
    [
        (fold.fold_rescaling, {"Rescaling": 1}),
        (fold.fold_batch_norm, {"BatchNormalization": 1}),
        (fold.fuse_relu, {}),
        (fold.norm_to_depthwise, {"BatchNormalization": 2, "DepthwiseConv2D": -2}),
        (fold.normalization_to_depthwise, {"Normalization": 1, "DepthwiseConv2D": -1}),
        (fold.fuse_upsampling, {"Repeat": 2, "Resizing": -1}),
        (fold.drop_dropout, {"Dropout": 1}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_pass_changes_its_pattern_only_and_keeps_the_outputs(run, lost):
    image = keras.Input(batch_shape=(1, 16, 16, 3), name="image")
    model = keras.Model(image, everything(image))
    rng = np.random.default_rng(0)
    for layer in (layer for layer in model.layers if not isinstance(layer, layers.Normalization)):
        layer.set_weights([rng.uniform(0.1, 1.5, weight.shape) for weight in layer.get_weights()])
    simple = simplify(model, [run])
    assert_same_answers(model, simple, photograph(16))
    before, after = (Counter(type(op).__name__ for op in network.operations) for network in (model, simple))
    before.subtract(after)
    assert {kind: count for kind, count in before.items() if count} == lost


def test_a_relu_is_fused_behind_a_folded_norm():
    image = keras.Input(batch_shape=(1, 16, 16, 3), name="image")
    simple = simplify(keras.Model(image, everything(image)), [fold.fold_batch_norm, fold.fuse_relu])
    assert simple.get_layer("relu").activation is keras.activations.relu
    assert "ReLU" not in kinds(simple)


def test_a_scaling_that_is_an_output_itself_stays():
    image = keras.Input(batch_shape=(1, 16, 16, 3), name="image")
    model = keras.Model(image, {"y": scaled(image)})
    assert_same_answers(model, simplify(model), photograph(16))
