import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tomli_w")

from acne_runtime.errors import SourceError
from acne_trainer.recipe import read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "trainer" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("file", RECIPES, ids=[file.stem for file in RECIPES])
def test_every_recipe_of_ours_is_one_and_names_where_its_data_lie(file, tmp_path):
    recipe = read_recipe(file)
    made = {merge.into for merge in recipe.merges}
    located = recipe.located(tmp_path / "root", tmp_path / "run")
    for named, source in zip(recipe.settings.data, located.data, strict=True):
        folder = tmp_path / "run" / "data" if named.path in made else tmp_path / "root"
        assert Path(source.path) == folder / named.path
        assert (source.share, source.background) == (named.share, named.background)
    assert f"acne-train reproduce trainer/recipes/{file.name}" in file.read_text()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'model'"),
        ('model = "yolov9"', "'yolov9'"),
        ('model = "cnn"', "names its labelled sets"),
        ('model = "cnn"\nepochs = "many"\n[[data]]\npath = "a"', "epochs"),
        ('model = "cnn"\n[[data]]\nshare = 1.0', "path"),
        ('model = "cnn"\n[[merge]]\ninto = "b"\n[[data]]\npath = "a"', "'source'"),
        ("model = ", "this is no recipe"),
    ],
    ids=["empty", "unknown model", "no data", "wrong type", "no path", "half a merge", "no TOML"],
)
def test_what_is_no_recipe_is_refused_by_name(tmp_path, text, problem):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(SourceError, match=f"^{re.escape(str(file))}: ") as refused:
        read_recipe(file)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_recipe_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"no\.toml: No such file"):
        read_recipe(tmp_path / "no.toml")


def test_weights_between_two_models_keep_counters_and_lie_on_the_way():
    pytest.importorskip("tensorflow")
    from acne_trainer.train import _between

    start, end = [np.float32([0, 4]), np.uint32([1])], [np.float32([4, 0]), np.uint32([9])]
    got = _between(start, end, 0.25)
    np.testing.assert_array_equal(got[0], [3, 1])
    assert got[1][0] == 9
