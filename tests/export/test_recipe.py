import json

import pytest

from acne_export.recipe import DEFAULT_PRECISION, Recipe
from acne_runtime.errors import ModelError

SIZE = 64


def recipe(form="onnx", precision="float32", **changes):
    return Recipe(form, precision, **{"input": "uint8", "size": SIZE, **changes})


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (recipe(), "m.onnx"),
        (recipe("tflite", "int8"), "m-int8.tflite"),
        (recipe(size=96, batch=0, input="float32"), "m-96-float-input-any-batch.onnx"),
        (recipe(batch=4), "m-batch4.onnx"),
        (recipe("tflite", "float16", nms=True), "m-float16-nms.tflite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_is_named_after_model_and_recipe(wanted, name):
    assert wanted.file_name("m", SIZE) == name
    assert Recipe.from_dict(json.loads(json.dumps(wanted.to_dict())), "here") == wanted


def test_a_recipe_of_something_else_is_refused():
    with pytest.raises(ModelError, match=r"here: not a recipe of acne-export"):
        Recipe.from_dict({"form": "onnx", "colour": "blue"}, "here")


def test_phones_get_int8_and_others_float32_unless_told():
    assert DEFAULT_PRECISION == {"onnx": "float32", "tflite": "int8"}


@pytest.mark.parametrize(
    "change", [{"precision": None}, {"size": "big"}, {"form": ["onnx"]}, {"batch": -1}, {"nms": 1}, {"more": 1}]
)
def test_a_recipe_that_somebody_changed_is_refused(change):
    with pytest.raises(ModelError, match="here: not a recipe of acne-export"):
        Recipe.from_dict(recipe().to_dict() | change, "here")
