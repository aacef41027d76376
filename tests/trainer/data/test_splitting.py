import cv2
import numpy as np
import pytest
from support.datasets import labelled
from support.images import write_picture

from acne_trainer.data.dataset import Sample
from acne_trainer.data.load import read_splits
from acne_trainer.data.near_duplicates import fingerprint_images, groups_of
from acne_trainer.data.source_names import by_source
from acne_trainer.data.splitting import leakage_groups, stratified_group_split

RATIOS = (0.8, 0.1, 0.1)


def samples_of(path, presence):
    """Samples without files, from rows of 0 and 1."""
    return [
        Sample(
            path / f"{row}.jpg",
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.int32),
            np.flatnonzero(shown).astype(np.int32),
        )
        for row, shown in enumerate(presence)
    ]


def test_versions_copies_and_flips_stay_together(tmp_path):
    names = ["a_jpg.rf.1.jpg", "b.jpg", "a_jpg.rf.2.jpg", "c.jpg", "d.png", "e.jpg", "f.jpg"]
    data = labelled(tmp_path, {name: [] for name in names})
    files = {name: tmp_path / name for name in names}
    write_picture(files["c.jpg"], 120, 160, 50)
    cv2.imwrite(str(files["d.png"]), cv2.imread(str(files["c.jpg"]))[::-1])
    files["e.jpg"].write_bytes(files["a_jpg.rf.2.jpg"].read_bytes())
    groups = leakage_groups(fingerprint_images([sample.path for sample in data.samples]))
    assert groups.tolist() == [0, 1, 0, 2, 2, 0, 3]


@pytest.mark.parametrize(
    "ratios", [(0.8, 0.1, 0.1), (0.7, 0.15, 0.15), (0.5, 0.3, 0.2), (0.9, 0.1, 0.0), (1.0, 0.0, 0.0)]
)
def test_photographs_and_classes_are_dealt_by_the_ratios(tmp_path, ratios):
    rng = np.random.default_rng(0)
    presence = rng.random((600, 4)) < [0.5, 0.3, 0.1, 0.05]
    splits = stratified_group_split(samples_of(tmp_path, presence), 4, np.arange(600, dtype=np.int32), ratios, seed=0)
    for split, ratio in enumerate(ratios):
        members = presence[splits == split]
        assert len(members) == pytest.approx(600 * ratio, abs=3)
        np.testing.assert_allclose(members.sum(0), presence.sum(0) * ratio, atol=2)
        assert (~members.any(1)).sum() == pytest.approx((~presence.any(1)).sum() * ratio, abs=2)


def test_no_group_is_parted_and_large_ones_find_room(tmp_path):
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), rng.integers(1, 12, 60)).astype(np.int32)
    presence = rng.random((len(groups), 3)) < 0.4
    splits = stratified_group_split(samples_of(tmp_path, presence), 3, groups, RATIOS, seed=0)
    for group in range(60):
        assert len(set(splits[groups == group])) == 1
    np.testing.assert_allclose(np.bincount(splits, minlength=3) / len(groups), RATIOS, atol=0.02)
    np.testing.assert_allclose(presence[splits == 0].mean(0), presence.mean(0), atol=0.03)


def test_large_groups_go_first_while_there_is_room(tmp_path):
    groups = np.array([group for group in range(5) for _ in range(20)] + list(range(5, 25)), np.int32)
    splits = stratified_group_split(samples_of(tmp_path, np.ones((120, 1))), 1, groups, (0.5, 0.25, 0.25), seed=0)
    assert np.bincount(splits).tolist() == [60, 30, 30]


def test_plain_copies_stay_together_too(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), 90, np.uint8))  # no detail to be alike in
    assert leakage_groups(fingerprint_images([tmp_path / "a.png", tmp_path / "b.png"])).tolist() == [0, 0]


def test_the_seed_decides(tmp_path):
    presence = np.random.default_rng(2).random((200, 4)) < 0.4
    samples, groups = samples_of(tmp_path, presence), np.arange(200, dtype=np.int32)
    first = stratified_group_split(samples, 4, groups, RATIOS, seed=0)
    np.testing.assert_array_equal(first, stratified_group_split(samples, 4, groups, RATIOS, seed=0))
    assert (first != stratified_group_split(samples, 4, groups, RATIOS, seed=1)).any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_photographs_is_dealt_too(tmp_path, count):
    splits = stratified_group_split(
        samples_of(tmp_path, np.ones((count, 1))), 1, np.arange(count, dtype=np.int32), RATIOS, seed=0
    )
    assert 0 in splits


def test_acne4_can_be_split_without_parting_a_source(shared_data):
    data = read_splits(shared_data / "acne4")
    samples = [sample for part in data.values() for sample in part.samples]
    photos = [sample.path for sample in samples]
    sources = by_source(photos)
    groups = groups_of(photos, list(sources.values()))
    splits = dict(zip(photos, stratified_group_split(samples, 4, groups, RATIOS, seed=0), strict=True))
    assert all(len({splits[photo] for photo in versions}) == 1 for versions in sources.values())
    presence = np.stack([sample.presence(4) for sample in samples])
    for split, ratio in enumerate(RATIOS):
        members = np.array([splits[photo] == split for photo in photos])
        assert members.mean() == pytest.approx(ratio, abs=0.005)
        np.testing.assert_allclose(presence[members].mean(0), presence.mean(0), atol=0.01)
