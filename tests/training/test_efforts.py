"""Words for options: which ones each effort means, and who wins."""

import pytest
import yaml
from support.paths import ROOT
from support.shapes import draw_shapes

from abele_py.errors import ParameterError
from abele_py.training.chain import train_chain
from abele_py.training.efforts import Effort, chosen, efforts_of
from abele_py.training.finishing import trained_options
from abele_py.training.recipe import parse

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

FOLDER = ROOT / "training" / "folder.yaml"
STEPS = ("classifier", "autoencoder")
TWO = {"quick": Effort("soon", ("--trainer.max_epochs=1", "--classifier.a=2")), "slow": Effort("late", ())}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Arguments of the two trainings of folder.yaml, which are not trained."""
    monkeypatch.chdir(tmp_path)
    draw_shapes(tmp_path / "images", 6, side=16)
    trained = []
    monkeypatch.setattr("abele_py.training.chain.train", lambda argv: trained.append(list(argv)))
    monkeypatch.setattr("abele_py.training.chain.check", lambda argv: None)

    def run(*options):
        trained.clear()
        train_chain([str(FOLDER), "--data.path=images", "--overwrite", *options], lambda line: None)
        return list(trained)

    return run


def epochs_of(arguments):
    """Of each training: the last option of that name is the one that counts."""
    found = []
    for _recipe, *options in arguments:
        words = [word for option in options for word in option.split("=", 1)]
        found.append(int(words[len(words) - words[::-1].index("--trainer.max_epochs")]))
    return found


def test_the_recipe_names_three_efforts_with_a_line_each():
    efforts = efforts_of(FOLDER)
    assert list(efforts) == ["fast", "good", "best"]
    assert all(effort.says and "\n" not in effort.says for effort in efforts.values())
    assert efforts["good"].options == (), "the default is what the two recipes are"


def test_an_effort_stands_before_all_other_options():
    assert chosen(TWO, ["--x=1", "--quick", "--y", "2"]) == (*TWO["quick"].options, "--x=1", "--y", "2")
    assert chosen(TWO, ["--x=1"]) == chosen(TWO, ["--slow", "--x=1"]) == ("--x=1",)
    assert chosen(TWO, ["--quick", "--quick"]) == TWO["quick"].options
    assert chosen({}, ["--quick"]) == ("--quick",)
    assert chosen(TWO, ["--name", "quick"]) == ("--name", "quick"), "a value is no effort"


@pytest.mark.parametrize("asked", [["--quick", "--slow"], ["--slow", "--quick"], ["--quick=true"]])
def test_two_efforts_at_once_are_refused(asked):
    said = f"got {' '.join(asked)}; expected one of --quick, --slow, without a value; leave"
    with pytest.raises(ParameterError, match=said):
        chosen(TWO, asked)


@pytest.mark.parametrize("section", ["fast", ["fast"], {"fast": 3}, {"fast": {"trainer": {}}}, {1: {"says": "x"}}])
def test_a_section_that_is_none_is_refused(section, tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"efforts": section}))
    with pytest.raises(ParameterError, match=r"got efforts: .* in .*r.yaml; expected names"):
        efforts_of(tmp_path / "r.yaml")


def test_nested_options_are_written_as_on_the_command_line(tmp_path):
    options = {"classifier": {"model": {"channels": [4, 8], "flip": True}}, "trainer": {"max_epochs": 3, "x": 1.0}}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"efforts": {"quick": {"says": "soon", **options}}}))
    assert set(efforts_of(tmp_path / "r.yaml")["quick"].options) == {
        "--classifier.model.channels=[4, 8]",
        "--classifier.model.flip=true",
        "--trainer.max_epochs=3",
        "--trainer.x=1.0",
    }
    (tmp_path / "r.yaml").write_text("name: x")
    assert efforts_of(tmp_path / "r.yaml") == {}


def test_an_effort_reaches_both_trainings_and_what_the_user_gives_wins(given):
    assert given("--good") == given()
    fast, best = epochs_of(given("--fast")), epochs_of(given("--best"))
    good = [yaml.safe_load((FOLDER.parent / f"folder-{step}.yaml").read_text())["trainer"] for step in STEPS]
    for quick, middle, long in zip(fast, good, best, strict=True):
        assert quick < middle["max_epochs"] < long
    assert epochs_of(given("--autoencoder.trainer.max_epochs=7", "--fast")) == [fast[0], 7]
    assert epochs_of(given("--trainer.max_epochs", "3", "--best")) == [3, 3]


@pytest.mark.parametrize("effort", ["fast", "best"])
def test_what_an_effort_means_is_what_a_training_is_given_and_records(given, effort):
    recipe, *options = given(f"--{effort}")[1]
    config = parse([f"--config={recipe}", *options, "--black_box=digits-cnn", "--model.latent_dim=2"]).config
    wanted = yaml.safe_load(FOLDER.read_text())["efforts"][effort]
    recorded = trained_options(config, "x")
    for part, name, value in [(p, n, v) for p in ("trainer", "data") for n, v in wanted.get(p, {}).items()]:
        assert recorded[part][name] == value
        assert type(recorded[part][name]) is type(value), "1.0 is all batches, 1 is one"


def test_two_efforts_are_refused_before_anything_is_read(given, tmp_path):
    with pytest.raises(ParameterError, match="got --fast --best; expected one of --fast, --good, --best"):
        given("--fast", "--best", "--data.path=nowhere")
    assert not (tmp_path / "runs").exists()


def test_an_epoch_of_the_recipes_is_bounded_however_many_images_there_are():
    options = [yaml.safe_load((FOLDER.parent / f"folder-{step}.yaml").read_text()) for step in STEPS]
    for data, trainer in ((step["data"], step["trainer"]) for step in options):
        assert data["max_values"] // (data["batch_size"] * 3 * 64 * 64) <= data["min_steps"] <= 50, "in 5 minutes"
        assert data["max_values"] // (data["batch_size"] * 3 * 32 * 32) >= 123, "all traffic signs"
        assert isinstance(trainer["limit_val_batches"], int), "batches, not a share of them"
