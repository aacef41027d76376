"""Makes the small pictures of docs/android from the tests' screenshots.

python screenshots.py SCREENSHOTS OUT
"""

import sys
from pathlib import Path

import cv2

HEIGHT = 640


def main() -> None:
    """Shrinks each picture to the height of a page's row."""
    source, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*.png")):
        picture = cv2.imread(str(file))
        height, width = picture.shape[:2]
        scale = HEIGHT / max(height, width)
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(out / f"{file.stem}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
