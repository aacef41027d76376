"""What can be trained, by name, for those who need no more: the settings import what training needs."""

from __future__ import annotations

BACKBONES = ("resnet50", "vgg19", "efficientnetb3")
FEATURES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "mobilenet-v2")
"""Multi-label models on frozen features."""
PRETRAINED_DETECTORS = {
    "yolov8-lite0": "efficientnet-lite0",
    "yolov8-lite1": "efficientnet-lite1",
    "yolov8-lite2": "efficientnet-lite2",
    "yolov8-mobilenetv2": "mobilenet-v2",
}
"""Detectors by the pretrained network under their neck."""
DETECTORS = (*(f"yolov8-{size}" for size in ("xs", "s", "m", "l", "xl")), *PRETRAINED_DETECTORS)
MODELS = ("cnn", *BACKBONES, *FEATURES, *DETECTORS)
