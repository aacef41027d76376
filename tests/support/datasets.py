import numpy as np
from support.images import write_picture

from acne_trainer.data.dataset import Dataset, Sample

CLASSES = ("pustules", "comedones", "nodules", "papules")  # in no alphabetical order
WIDTH, HEIGHT = 64, 48


def photograph(file, seed):
    """A small photograph unlike that of any other seed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return write_picture(file, HEIGHT, WIDTH, seed)


def labelled(folder, marks, classes=CLASSES, first_seed=0):
    """A split whose photographs are in `folder`; `marks` gives each name its rows `x1, y1, x2, y2, class`."""
    samples = []
    for seed, (name, rows) in enumerate(marks.items(), start=first_seed):
        table = np.array(rows, np.float32).reshape(-1, 5)
        samples.append(Sample(photograph(folder / name, seed), table[:, :4].copy(), table[:, 4].astype(np.int32)))
    return Dataset(folder, classes, tuple(samples))


def small_set(folder):
    """Three splits; class 3 is nowhere, one photograph is bare, one has a box under two classes."""
    marks = {
        "train": {"a.jpg": [(1, 2, 11, 12, 0), (20, 8, 40, 30, 2)], "b b.jpg": [], "c.png": [(0, 0, 64, 48, 1)]},
        "valid": {"d.jpg": [(5, 6, 9, 12, 1), (5, 6, 9, 12, 2)]},
        "test": {"e.jpg": [(30, 20, 33, 24, 0)], "für.jpg": [(2, 2, 8, 9, 1), (3, 30, 20, 44, 1)]},
    }
    return {
        split: labelled(folder / split, names, first_seed=10 * number)
        for number, (split, names) in enumerate(marks.items())
    }


def same_marks(first, second, pixels=0.0):
    """Whether two splits mark the same on photographs of the same names, whatever their order."""
    assert second.classes == first.classes
    others = {sample.path.name: sample for sample in second.samples}
    assert sorted(others) == sorted(sample.path.name for sample in first.samples)
    for sample in first.samples:
        other = others[sample.path.name]
        np.testing.assert_array_equal(other.classes, sample.classes)
        np.testing.assert_allclose(other.boxes, sample.boxes, rtol=0, atol=pixels)
        assert (other.boxes.dtype, other.classes.dtype) == (np.float32, np.int32)
        assert other.path.read_bytes() == sample.path.read_bytes()
    return True
