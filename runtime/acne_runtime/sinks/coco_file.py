"""Writes COCO JSON, which labelling tools import as predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acne_runtime.atomic_write import write_atomically
from acne_runtime.errors import AcneEdgeError
from acne_runtime.frame import Frame
from acne_runtime.result import Result


class CocoFile:
    """Collects images and lesions, and writes the file atomically when it is closed."""

    def __init__(self, file: Path, numbered: bool):
        """Prepares the file.

        Args:
            file: Ends in `.json`.
            numbered: Whether to append the frame index to names: for a video, a camera or standard input.
        """
        self._file, self._numbered = file, numbered
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._categories: dict[str, int] = {}

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Adds one frame with the lesions of all detectors.

        Raises:
            AcneEdgeError: None of the models is a detector.
        """
        detections = [result for result in results if result.lesions is not None]
        if not detections:
            raise AcneEdgeError(f"{self._file}: {results[0].model} has no boxes for COCO; write JSON lines or CSV")
        number = len(self._images) + 1
        first = detections[0]
        name = f"{first.source}#{first.frame_index}" if self._numbered else first.source
        self._images.append({"id": number, "file_name": name, "width": first.width, "height": first.height})
        for result in detections:
            for category in result.classes:
                self._categories.setdefault(category, len(self._categories) + 1)
            for annotation in result.to_coco(number, self._categories):
                self._annotations.append({"id": len(self._annotations) + 1} | annotation)

    def close(self) -> None:
        """Writes the file, unless there was no frame."""
        if self._images:
            categories = [{"id": number, "name": name} for name, number in self._categories.items()]
            content = {"images": self._images, "annotations": self._annotations, "categories": categories}
            write_atomically(self._file, (json.dumps(content) + "\n").encode())
