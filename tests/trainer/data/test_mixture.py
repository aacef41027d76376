"""Several labelled sets as one: types by name, lesions of unknown type, shares, and what bare skin teaches."""

import re

import cv2
import numpy as np
import pytest
from support.images import picture

pytest.importorskip("tomli_w")

from acne_runtime.errors import SourceError
from acne_trainer.data.mixture import background_weights, mix, read_sets
from acne_trainer.data.source import BackgroundRule, DataSource

TYPES = ("comedones", "nodules", "papules", "pustules")


@pytest.fixture
def write_set(tmp_path):
    """Writes a Keras-TXT set: by split, the class indices of the lesions of each photograph."""

    def write(name, classes, train=((0,),), held_out=((0,),), names=None):
        for split, photographs in {"train": train, "valid": held_out, "test": held_out}.items():
            folder = tmp_path / name / split
            folder.mkdir(parents=True)
            (folder / "_classes.txt").write_text("\n".join(classes))
            lines = []
            for number, lesions in enumerate(photographs):
                file = names[number] if names and split == "train" else f"{name}-{split}-{number}.png"
                cv2.imwrite(str(folder / file), picture(40, 40, number))
                boxes = (f"{5 + 3 * i},5,{9 + 3 * i},9,{kind}" for i, kind in enumerate(lesions))
                lines.append(" ".join([file, *boxes]))
            (folder / "_annotations.txt").write_text("\n".join(lines))
        return str(tmp_path / name)

    return write


def test_types_are_matched_by_name_and_an_untyped_class_goes_behind_them(write_set):
    typed = write_set("typed", ("pustules", "lesion", "comedones"), train=((0, 1, 2),))
    bare = write_set("bare", ("lesion",), train=((0, 0), (0,)))
    first, second = read_sets([DataSource(bare), DataSource(typed)])
    assert (first.name, second.name) == ("typed", "bare")  # thresholds are chosen on the one with types
    assert first.train.classes == second.train.classes == ("pustules", "comedones")
    assert first.train.samples[0].classes.tolist() == [0, 2, 1]
    assert [sample.classes.tolist() for sample in second.train.samples] == [[2, 2], [2]]
    assert (first.is_untyped, second.is_untyped) == (False, True)


def test_sets_may_list_the_same_types_in_another_order(write_set):
    one = write_set("one", TYPES, train=((0, 3),))
    other = write_set("other", TYPES[::-1], train=((0, 3),))
    sets = read_sets([DataSource(one), DataSource(other)])
    assert [each.train.samples[0].classes.tolist() for each in sets] == [[0, 3], [3, 0]]


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        ([("lesion",)], "says of no lesion which type it is"),
        ([TYPES, ("papules", "acne")], "its types ['papules', 'acne'] are not those of"),
        ([TYPES, TYPES[:3]], "its types ['comedones', 'nodules', 'papules'] are not those of"),
    ],
    ids=["untyped alone", "other names", "fewer"],
)
def test_classes_that_cannot_be_reconciled_are_refused_with_the_way_out(write_set, classes, problem):
    sources = [DataSource(write_set(f"set{number}", names)) for number, names in enumerate(classes)]
    with pytest.raises(SourceError, match=re.escape(problem)) as refused:
        read_sets(sources)
    assert "untyped" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_class_may_be_trained_where_it_is_said_to_be_a_type(write_set):
    (only,) = read_sets([DataSource(write_set("bare", ("lesion",)), untyped=())])
    assert only.train.classes == ("lesion",)
    assert not only.is_untyped


def test_no_photograph_is_trained_on_of_which_a_version_is_held_out_in_any_set(write_set):
    versions = ["levle1_7_jpg.rf.0a.png", "levle1_8_jpg.rf.0b.png"]
    one = write_set("one", TYPES, train=((0,), (0,)), names=versions)
    other = write_set("other", ("lesion",))
    held_out = cv2.imread(f"{other}/valid/other-valid-0.png")
    cv2.imwrite(f"{other}/valid/levle1_7_jpg.rf.ff.png", held_out)
    with open(f"{other}/valid/_annotations.txt", "a") as file:  # noqa: PTH123
        file.write("\nlevle1_7_jpg.rf.ff.png 5,5,9,9,0")
    sets = read_sets([DataSource(one), DataSource(other)])
    assert [sample.path.name for sample in sets[0].train.samples] == versions[1:]
    (left, _) = read_sets([DataSource(one, exclude=(versions[1],)), DataSource(write_set("third", ("lesion",)))])
    assert [sample.path.name for sample in left.train.samples] == versions[:1]


def test_an_excluded_photograph_has_to_be_there(write_set):
    with pytest.raises(SourceError, match=re.escape("exclude names 'nobody.png'")):
        read_sets([DataSource(write_set("one", TYPES), exclude=("nobody.png",))])


def test_shares_are_kept_and_photographs_come_equally_often(write_set):
    one = DataSource(write_set("one", TYPES, train=((0,),) * 3), share=3)
    other = DataSource(write_set("other", ("lesion",), train=((0,),) * 7), share=1)
    train = mix(read_sets([one, other]))
    drawn = train.draw(840, np.random.default_rng(0))
    per_set = np.bincount(train.set_index[drawn])
    assert per_set.tolist() == [630, 210]
    assert np.bincount(drawn).tolist() == [210] * 3 + [30] * 7
    # Also where less is drawn than there are sets: on average.
    few = np.concatenate([train.draw(1, np.random.default_rng(seed)) for seed in range(400)])
    assert np.mean(train.set_index[few] == 0) == pytest.approx(0.75, abs=0.08)


def test_without_shares_sets_are_drawn_by_their_size(write_set):
    sources = [DataSource(write_set(f"set{n}", TYPES, train=((0,),) * n)) for n in (1, 3)]
    assert mix(read_sets(sources)).shares.tolist() == [0.25, 0.75]


def test_a_share_for_some_sets_only_is_refused(write_set):
    sources = [DataSource(write_set("one", TYPES), share=1.0), DataSource(write_set("other", TYPES))]
    with pytest.raises(SourceError, match="give a share to every"):
        mix(read_sets(sources))


def test_bare_skin_teaches_what_the_rules_say_and_the_last_rule_holds(write_set):
    path = write_set("one", TYPES, train=((0,), (0, 1)), names=["levle1.png", "face.png"])
    rules = (
        BackgroundRule("*", 0.5),
        BackgroundRule("levle*", 0.25, absent_only=False),
        BackgroundRule("face*", 0.0, ("pustules",)),
    )
    source = DataSource(path, background=rules)
    (only,) = read_sets([source])
    np.testing.assert_array_equal(background_weights(only.train, source), [[0.25] * 4, [1, 1, 0.5, 0]])


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (BackgroundRule("nobody*", 0.5), "matches no photograph"),
        (BackgroundRule("*", 0.5, ("warts",)), "background types ['warts'] are none of"),
    ],
)
def test_a_rule_that_fits_nothing_is_refused(write_set, rule, problem):
    source = DataSource(write_set("one", TYPES), background=(rule,))
    with pytest.raises(SourceError, match=re.escape(problem)):
        mix(read_sets([source]))


@pytest.mark.parametrize(
    "table",
    [
        {"path": "a", "share": -1.0},
        {"path": "a", "share": "half"},
        {"path": "a", "scale_jitter": 0.9},
        {"path": "a", "untyped_box_weight": -1},
        {"path": 7},
        {"path": "a", "weight": 1.0},
        {"share": 1.0},
        {"path": "a", "untyped": "lesion"},
        {"path": "a", "background": [{"files": "*", "weight": 2.0}]},
        {"path": "a", "background": [{"weight": 0.5}]},
    ],
)
def test_a_table_that_is_none_is_refused(table):
    with pytest.raises((TypeError, ValueError)):
        DataSource.from_dict(table)


def test_each_photograph_has_the_box_weights_and_the_scale_jitter_of_its_set(write_set):
    one = DataSource(write_set("one", TYPES), untyped_box_weight=0.25, scale_jitter=1.5)
    other = DataSource(write_set("other", ("lesion",)), box_weight=0.5, scale_jitter=1.2)
    train = mix(read_sets([one, other]))
    assert train.box_weight.tolist() == [[1, 0.25], [0.5, 1]]
    assert train.scale_jitter.tolist() == pytest.approx([1.5, 1.2])


def test_lesions_of_unknown_type_may_be_of_some_types_only(write_set):
    one = DataSource(write_set("one", TYPES))
    other = DataSource(write_set("other", ("lesion",)), untyped_as=("papules", "nodules"))
    train = mix(read_sets([one, other]))
    assert train.possible.tolist() == [[1, 1, 1, 1], [0, 1, 1, 0]]
    with pytest.raises(SourceError, match="untyped_as"):
        mix(read_sets([one, DataSource(other.path, untyped_as=("warts",))]))
