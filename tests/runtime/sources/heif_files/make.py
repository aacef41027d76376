"""Writes the images of this folder: one picture in each orientation, one in Display P3, and one with a date."""

import struct
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageCms

FOLDER = Path(__file__).parent
DISPLAY_P3 = [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]


def corners():
    """A picture of which each corner has a colour of its own."""
    image = np.full((48, 80, 3), (200, 150, 130), np.uint8)
    image[:16, :16], image[:16, -16:], image[-16:, :16] = (255, 0, 0), (0, 0, 255), (0, 255, 0)
    return Image.fromarray(image)


def display_p3():
    """The profile of sRGB, with the primaries of Display P3."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), np.array(DISPLAY_P3).T, strict=True):
        (offset,) = struct.unpack_from(">I", profile, profile.index(name) + 4)
        struct.pack_into(">3i", profile, offset + 8, *np.rint(column * 65536).astype(int).tolist())
    return bytes(profile)


if __name__ == "__main__":
    pillow_heif.register_heif_opener()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        corners().save(FOLDER / f"{orientation}.heic", quality=90, exif=exif.tobytes())
        corners().save(FOLDER / f"{orientation}.avif", quality=90, exif=exif.tobytes())
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x9003: "2026:11:25 10:20:30", 0x9011: "+01:00"})
    corners().save(FOLDER / "dated.heic", quality=90, exif=exif.tobytes())
    corners().save(FOLDER / "dated.avif", quality=90, exif=exif.tobytes())
    corners().save(FOLDER / "p3.heic", quality=90, icc_profile=display_p3())
    corners().save(FOLDER / "p3.avif", quality=90, icc_profile=display_p3())
