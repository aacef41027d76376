"""Models and converters that went wrong on purpose: each is refused with a sentence of its own."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers, ops

from acne_export import conversion
from acne_export.exporters import EXPORTERS, Exporter
from acne_export.exporting import export
from acne_export.recipe import Recipe
from acne_export.run_folder import read_run_folder
from acne_export.tflite_export.checks import check_integer_only, check_operations
from acne_export.validation import ValidationError
from acne_runtime.errors import ModelError

pytestmark = pytest.mark.slow  # conversions


@pytest.fixture
def refused(tmp_path):
    """Exports a run folder in vain and returns the sentence."""

    def sentence(run, form, precision):
        with pytest.raises(ModelError) as error:
            export(
                read_run_folder(run),
                Recipe(form, precision, "uint8", 64),
                tmp_path / f"m.{form}",
            )
        assert not list(tmp_path.glob("m*"))
        assert "\n" not in str(error.value)
        return str(error.value)

    return sentence


def joined_heads(network):
    """Joins each grid's boxes and scores into one tensor and parts them again, as KerasCV's detector joins them."""
    heads = dict(network.output)
    for stride in (8, 16, 32):
        # As far apart from the scores as a trained detector's distances are.
        box = layers.Rescaling(6.0, name=f"wide_{stride}")(heads[f"box_{stride}"])
        both = ops.concatenate([box, heads[f"score_{stride}"]], axis=-1)
        heads[f"box_{stride}"], heads[f"score_{stride}"] = both[..., :64], both[..., 64:]
    return keras.Model(network.input, heads, name="joined")


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_scores_joined_with_boxes_before_int8(tiny, tmp_path_factory, refused, form):
    run = tiny.write_run(tmp_path_factory.mktemp("joined"), joined_heads(tiny.tiny_detector()), tiny.DETECTION)
    assert "its scores share a quantization scale with other values; give the scores an output of their own" in refused(
        run, form, "int8"
    )


def test_a_weight_that_is_no_number(tiny, tmp_path_factory, refused):
    network = tiny.tiny_cnn()
    kernel, bias = network.get_layer("dense").get_weights()
    kernel[3, 4] = np.nan
    network.get_layer("dense").set_weights([kernel, bias])
    folder = tmp_path_factory.mktemp("nan")
    network.save(folder / "inference.keras")
    (folder / "manifest.json").write_text(tiny.MULTILABEL.to_json())
    sentence = refused(folder, "onnx", "float32")
    assert "inference.keras: layer 'dense' has NaN or infinite weights" in sentence


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_a_converter_that_drops_variables(runs, monkeypatch, refused, form):
    real = EXPORTERS[form, "float32"].convert

    def without_weights(model, *others):
        image = keras.Input(batch_shape=model.inputs[0].shape, name="image")
        mean = layers.GlobalAveragePooling2D()(image)
        return real(keras.Model(image, {"label": ops.sigmoid(ops.concatenate([mean, mean[:, :1]], axis=-1))}), *others)

    monkeypatch.setitem(EXPORTERS, (form, "float32"), Exporter(without_weights))
    assert "the converter lost variables" in refused(runs["multilabel"], form, "float32")


def test_trap_1_of_the_design_a_concrete_function(runs, monkeypatch, refused):
    """`from_concrete_functions` on a Keras 3 model "succeeds", with a file that answers NaN."""
    tf = pytest.importorskip("tensorflow")

    def from_concrete(model, recipe, ranges, finish=None):
        spec = tf.TensorSpec(model.inputs[0].shape, tf.uint8)
        function = tf.function(lambda image: model(tf.cast(image, tf.float32), training=False), input_signature=[spec])
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], None)
        return bytes(converter.convert())

    monkeypatch.setitem(EXPORTERS, ("tflite", "float32"), Exporter(from_concrete))
    sentence = refused(runs["multilabel"], "tflite", "float32")
    assert any(part in sentence for part in ("lost variables", "has variables", "not finite", "cannot be opened")), (
        sentence
    )


def test_an_operation_left_in_float32(exported):
    with pytest.raises(
        ValidationError, match=r"tensor '.+' is still float32: the converter left an operation unquantized"
    ):
        check_integer_only(exported("detection", "tflite", "float32").read_bytes())
    check_integer_only(exported("detection", "tflite", "int8").read_bytes())


def test_an_operation_that_only_tensorflow_has(tmp_path):
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4, 4], tf.float32)])
        def __call__(self, x):
            return {"label": tf.raw_ops.MatrixInverse(input=x)}

    tf.saved_model.save(Module(), tmp_path)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    with pytest.raises(
        ValidationError, match=r"the file needs TensorFlow for FlexMatrixInverse, which TFLite on a phone"
    ):
        check_operations(bytes(converter.convert()))


def test_a_variable_where_a_weight_should_be(tmp_path):
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.count = tf.Variable(tf.zeros([1, 4]))

        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32)])
        def __call__(self, x):
            self.count.assign_add(x)
            return {"label": self.count.read_value()}

    tf.saved_model.save(Module(), tmp_path)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.experimental_enable_resource_variables = True
    with pytest.raises(
        ValidationError, match=r"the file has variables \(.*ASSIGN_VARIABLE.*\) in place of constant weights"
    ):
        check_operations(bytes(converter.convert()))


def test_a_sound_file_has_neither(exported):
    for precision in ("float32", "int8"):
        check_operations(exported("detection", "tflite", precision).read_bytes())
    assert conversion.open_in_runtime(exported("detection", "onnx").read_bytes(), "onnx").name == "onnx"
