"""COCO JSON, as labelling tools import predictions."""

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
    """Gathers images and lesions and writes them, whole or not at all, when it is closed."""

    def __init__(self, file: Path, numbered: bool):
        """Remembers where to write.

        Args:
            file: Ends in `.json`.
            numbered: Whether a name needs the frame's index behind it: that of a video or camera, of standard input.
        """
        self._file, self._numbered = file, numbered
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._categories: dict[str, int] = {}

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Takes one frame; of several models, the lesions of all detectors.

        Raises:
            AcneEdgeError: None of the models finds boxes.
        """
        detections = [result for result in results if result.lesions is not None]
        if not detections:
            raise AcneEdgeError(f"--coco {self._file}: {results[0].model} finds no boxes; use --json or --csv")
        number = len(self._images) + 1
        first = detections[0]
        name = f"{first.source}#{first.frame_index}" if self._numbered else first.source
        self._images.append({"id": number, "file_name": name, "width": first.width, "height": first.height})
        for result in detections:
            for category in result.classes:
                self._categories.setdefault(category, len(self._categories) + 1)
            for one in result.to_coco(number, self._categories):
                self._annotations.append({"id": len(self._annotations) + 1} | one)

    def close(self) -> None:
        """Writes the file, if there was a frame."""
        if self._images:
            categories = [{"id": number, "name": name} for name, number in self._categories.items()]
            whole = {"images": self._images, "annotations": self._annotations, "categories": categories}
            write_atomically(self._file, (json.dumps(whole) + "\n").encode())
