"""What can be trained, by name, for those who need no more: the settings import what training needs."""

from __future__ import annotations

BACKBONES = ("resnet50", "vgg19", "efficientnetb3")
DETECTORS = tuple(f"yolov8-{size}" for size in ("xs", "s", "m", "l", "xl"))
MODELS = ("cnn", *BACKBONES, *DETECTORS)
