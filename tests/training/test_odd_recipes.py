"""Odd options of a training are refused in one line, before anything is trained."""

import pytest
from support.paths import ROOT

from abele_py.errors import AbeleError
from abele_py.training import check

RECIPE = str(ROOT / "training" / "digits-autoencoder.yaml")
CNN = str(ROOT / "training" / "digits-cnn.yaml")

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("recipe", "option", "words"),
    [
        (RECIPE, "--threads=-1", "--threads=-1; expected at least 1"),
        (RECIPE, "--seed_everything=-1", "expected"),
        (RECIPE, "--trainer.max_epochs=abc", "max_epochs"),
        (RECIPE, "--patience=-1", "--patience=-1; expected at least 0"),
        (RECIPE, "--mode=best", "mode"),
        (RECIPE, "--model.hidden=[0]", "at least 1"),
        (RECIPE, "--model.hidden=[]", "not empty"),
        (RECIPE, "--model.latent_dim=99999999999", "at most"),
        (RECIPE, "--model.learning_rate=nan", "learning_rate"),
        (RECIPE, "--model.learning_rate=-1", "at least 0"),
        (RECIPE, "--data.batch_size=0", "at least 1"),
        (CNN, "--model.channels=[0]", "at least 1"),
        (CNN, "--model.dropout=2", r"\[0, 1\]"),
        (CNN, "--model.convolutions=0", "at least 1"),
    ],
)
def test_an_odd_option_is_one_line(recipe, option, words):
    with pytest.raises(AbeleError, match=words) as error:
        check([recipe, option])
    assert "\n" not in str(error.value)
    assert "expected" in str(error.value)


@pytest.mark.parametrize(
    "content", ["[" * 5000, "a: &a [*a]", "- 1", "null", "model: null", "trainer: 5", "data: {limit: x}", "? [1]\n: 2"]
)
def test_an_odd_recipe_is_one_line(tmp_path, content):
    recipe = tmp_path / "odd.yaml"
    recipe.write_text(content, encoding="utf-8")
    with pytest.raises(AbeleError) as error:
        check([str(recipe)])
    assert "\n" not in str(error.value)
