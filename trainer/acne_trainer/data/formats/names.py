"""The names of the label formats and of the splits, apart from their readers, which import what training needs."""

from __future__ import annotations

FORMATS = ("yolo", "keras-txt", "coco", "voc", "table")
"""In the order in which a folder is searched."""
SPLITS = ("train", "valid", "test")
UNSPLIT = "all"
"""What the photographs of a set without splits are under."""
