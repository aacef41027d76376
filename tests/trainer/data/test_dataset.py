from pathlib import Path

import numpy as np
import pytest
from support.images import write_picture

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import read_image
from acne_trainer.data.dataset import Sample, names_of


def sample(path):
    return Sample(path, np.zeros((0, 4), np.float32), np.zeros(0, np.int32))


def test_a_photograph_is_read_as_the_runtime_reads_it(tmp_path):
    file = write_picture(tmp_path / "a.jpg", 40, 60)
    np.testing.assert_array_equal(sample(file).image(), read_image(file))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda whole: whole[: len(whole) // 2], "truncated"),
        (lambda _: b"", "empty"),
        (lambda _: b"no", "not an image"),
    ],
    ids=["half", "empty", "text"],
)
def test_a_damaged_photograph_is_refused_by_name_and_not_trained_on(tmp_path, content, problem):
    file = write_picture(tmp_path / "a.jpg", 40, 60)
    file.write_bytes(content(file.read_bytes()))
    with pytest.raises(SourceError, match=rf"a\.jpg: .*{problem}"):
        sample(file).image()


def test_photographs_go_by_their_file_names_or_where_two_share_one_by_their_paths():
    assert names_of([sample(Path("set/train/a.jpg")), sample(Path("set/train/b.jpg"))]) == ["a.jpg", "b.jpg"]
    mixed = [sample(Path(f"set/{name}.jpg")) for name in ("train/a", "valid/a", "valid/b")]
    assert names_of(mixed) == ["train/a.jpg", "valid/a.jpg", "valid/b.jpg"]
    assert names_of([]) == []
