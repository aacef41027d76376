import cv2
import numpy as np


def picture(height, width, seed=0):
    """`[height, width, 3]` uint8 BGR: soft patches of colour under fine noise, as JPEG and MP4 keep them."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(32, 224, (max(2, height // 16), max(2, width // 16), 3)).astype(np.uint8)
    soft = cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.int64)
    return np.clip(soft + rng.integers(-8, 9, soft.shape), 0, 255).astype(np.uint8)


def write_picture(file, height, width, seed=0):
    suffix = ".jpg" if file.suffix in (".jfif", ".jpe") else file.suffix  # JPEGs by other names
    encoded, data = cv2.imencode(suffix, picture(height, width, seed))
    assert encoded
    file.write_bytes(data.tobytes())
    return file
