"""The names of the label forms and of the splits, for those who need no more: readers import what training needs."""

from __future__ import annotations

FORMATS = ("yolo", "keras-txt", "coco", "voc", "table")
"""In the order in which a folder is looked at."""
SPLITS = ("train", "valid", "test")
UNSPLIT = "all"
"""What the photographs of a set without splits are under."""
