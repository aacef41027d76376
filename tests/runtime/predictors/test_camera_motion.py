from pathlib import Path

import cv2
import numpy as np
import pytest

from acne_runtime.predictors.camera_motion import STILL, CameraMotion, speed
from acne_runtime.sources.image_files import read_image

SKIN = read_image(Path(__file__).resolve().parents[3] / "samples" / "rendered_skin.jpg")


def moved(image, matrix):
    return cv2.warpAffine(image, np.array(matrix, float), image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize(
    "matrix", [[[1, 0, 14], [0, 1, -9]], [[0.999, -0.035, 8], [0.035, 0.999, 3]], [[1.05, 0, 0], [0, 1.05, 0]]]
)
def test_a_shift_a_turn_and_a_scale_are_measured(matrix):
    motion = CameraMotion()
    assert motion(SKIN) is STILL
    estimated = motion(moved(SKIN, matrix))
    points = np.array([[100, 100, 1], [500, 120, 1], [300, 500, 1]], float)
    assert estimated @ points.T == pytest.approx(np.array(matrix) @ points.T, abs=3)


def test_a_still_picture_and_noise_do_not_move():
    motion = CameraMotion()
    motion(SKIN)
    rng = np.random.default_rng(0)
    noisy = np.clip(SKIN + rng.normal(0, 4, SKIN.shape), 0, 255).astype(np.uint8)
    assert motion(noisy) == pytest.approx(STILL, abs=1)
    flat = CameraMotion()
    flat(np.full((120, 160, 3), 90, np.uint8))
    assert (flat(np.full((120, 160, 3), 90, np.uint8)) == STILL).all()


def test_a_cut_and_another_size_are_no_motion():
    motion = CameraMotion()
    motion(SKIN)
    other = np.random.default_rng(1).integers(0, 255, SKIN.shape, np.uint8)
    assert (motion(other) == STILL).all()
    assert motion(SKIN[:320]) is STILL


def test_speed_is_in_longer_sides():
    assert speed(STILL, 640, 480) == 0
    assert speed(np.array([[1, 0, 64.0], [0, 1, 0]]), 640, 480) == pytest.approx(0.1)
