from pathlib import Path

import numpy as np
import pytest

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.partial_labels import unlabeled_mask

NOTHING = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
DATA = Dataset(
    Path("set/train"),
    ("comedones", "nodules", "papules"),
    tuple(Sample(Path(f"set/train/{name}.jpg"), *NOTHING) for name in ("levle1_3", "levle2_7", "face 9")),
)


def test_rules_mark_the_classes_of_the_photographs_they_name():
    got = unlabeled_mask(DATA, ["levle*=nodules,papules", "face*=comedones"])
    np.testing.assert_array_equal(got, np.float32([[0, 1, 1], [0, 1, 1], [1, 0, 0]]))


def test_without_rules_everything_was_looked_for():
    assert not unlabeled_mask(DATA, []).any()


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("levle*", "expected GLOB=CLASS,CLASS"),
        ("=nodules", "expected GLOB=CLASS,CLASS"),
        ("levle*=cysts", "expected GLOB=CLASS,CLASS with classes of .*comedones"),
        ("levle*=nodules,", "expected GLOB=CLASS,CLASS"),
        ("nobody*=nodules", r"no photograph in set/train is called nobody\*"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(rule, problem):
    with pytest.raises(SourceError, match=f"^--absent-unknown .*{problem}"):
        unlabeled_mask(DATA, [rule])


def test_a_rule_for_other_photographs_may_match_none_of_these():
    assert not unlabeled_mask(DATA, ["nobody*=nodules"], must_match=False).any()
