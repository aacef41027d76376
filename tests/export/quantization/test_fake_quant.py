import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from support.images import picture

from acne_export.graph.fold import simplify
from acne_export.quantization.fake_quant import FakeQuant, insert_fake_quant
from acne_runtime.errors import ModelError


@pytest.fixture(scope="module")
def ranges(runs):
    return {
        task: {name: tuple(pair) for name, pair in json.loads((run / "calibration.json").read_text())["ranges"].items()}
        for task, run in runs.items()
    }


@pytest.mark.parametrize(
    ("task", "operation"),
    [
        ("detection", "stem"),
        ("detection", "more_8_bn"),
        ("detection", "sum_8"),
        ("detection", "join_32"),
        ("detection", "box_16_conv"),
        ("detection", "score_32_conv"),
        ("multilabel", "conv_1"),
        ("multilabel", "norm_2"),
        ("multilabel", "dense"),
        ("multilabel", "logits"),
    ],
)
def test_a_missing_range_is_refused_with_the_operations_name(networks, ranges, task, operation):
    lacking = {name: pair for name, pair in ranges[task].items() if name != operation}
    with pytest.raises(ModelError, match=rf"calibration\.json has no range for '{operation}'"):
        insert_fake_quant(simplify(networks[task]), lacking)


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_the_ranges_of_another_model_are_refused(networks, ranges, task):
    other = {"detection": "multilabel", "multilabel": "detection"}[task]
    with pytest.raises(ModelError, match="belongs to another model"):
        insert_fake_quant(simplify(networks[task]), ranges[other])


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_rounding_to_256_levels_changes_the_answers_little(networks, ranges, task):
    model = networks[task]
    image = picture(64, 64, 3)[None, ..., ::-1].astype(np.float32)
    expected, got = (
        model(image, training=False),
        insert_fake_quant(simplify(model), ranges[task])(image, training=False),
    )
    assert set(got) == set(expected)
    for name, output in expected.items():
        error = np.abs(got[name] - output)
        assert 0 < error.mean() < 0.03 * np.ptp(output), name


def fake_quants(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from fake_quants(layer)
        elif isinstance(layer, FakeQuant):
            yield layer


def test_every_computed_activation_is_bound_to_its_range(networks, ranges):
    simple = simplify(networks["detection"])
    bound = {
        operation.name: (operation.low, operation.high)
        for operation in fake_quants(insert_fake_quant(simple, ranges["detection"]))
    }
    assert bound["image_range"] == (0.0, 255.0)
    for name in ("stem", "sum_8", "box_8_conv", "score_8_conv"):
        assert bound[f"{name}_range"] == (min(ranges["detection"][name][0], 0), max(ranges["detection"][name][1], 0))
    assert not any(f"score_{stride}_range" in bound for stride in (8, 16, 32))  # sigmoids have a range of their own


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 6.0), (-0.28, 3.7)])
def test_values_are_rounded_to_one_of_256_levels_within_the_range(low, high):
    values = np.linspace(low - 1, high + 1, 5001, dtype=np.float32)
    rounded = FakeQuant(low, high)(values).numpy()
    step = (high - low) / 255
    inside = (values >= low) & (values <= high)
    assert len(np.unique(rounded)) == 256
    assert np.abs(rounded - values)[inside].max() <= step
    assert low - step <= rounded.min() < rounded.max() <= high + step
    assert 0 in rounded  # padding with zeros stays exact


def test_an_activation_that_was_always_zero_is_accepted(networks, ranges):
    # Units that never fired on the calibration photographs: their range is 0 to 0.
    dead = {**ranges["multilabel"], "dense": (0.0, 0.0)}
    image = picture(64, 64, 3)[None, ..., ::-1].astype(np.float32)
    label = insert_fake_quant(simplify(networks["multilabel"]), dead)(image, training=False)["label"]
    assert np.isfinite(label).all()
