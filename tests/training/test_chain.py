"""A user's own images, trained on and explained; the page about them works."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.paths import ROOT
from support.shapes import NAMES, draw_shapes, shape

from abele_py.cli.commands import main
from abele_py.datasets.importing import import_images
from abele_py.datasets.loading import dataset_of
from abele_py.datasets.prepared_images import read_own_images
from abele_py.errors import AbeleError, DataError, ParameterError, PlaceError
from abele_py.models.checkpoints import Manifest, save_checkpoint
from abele_py.models.classifiers import ConvolutionalClassifier
from abele_py.storage.places import alone_beside
from abele_py.training.chain import is_chain, train_chain
from abele_py.training.finishing import finalize
from abele_py.training.recipe import main as train

FOLDER = ROOT / "training" / "folder.yaml"
PAGE = (ROOT / "docs" / "own-images.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


# The recipe of recipes

QUICK = [
    *("--trainer.max_epochs=1", "--data.min_steps=2", "--data.batch_size=16", "--threads=1"),
    *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
    *("--autoencoder.model.latent_dim=2", "--autoencoder.model.hidden=[16]"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with the recipes and drawn shapes."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "training", tmp_path / "training")
    draw_shapes(tmp_path / "my_images", 12, side=16)
    return tmp_path


def test_only_the_recipe_of_recipes_is_one():
    assert [path.name for path in (ROOT / "training").glob("*.yaml") if is_chain([str(path)])] == ["folder.yaml"]
    parts = yaml.safe_load(FOLDER.read_text())
    assert all((FOLDER.parent / parts[step]).is_file() for step in ("classifier", "autoencoder"))
    assert not is_chain([])
    assert not is_chain(["nowhere.yaml"])


@pytest.mark.parametrize("step", ["classifier", "autoencoder"])
def test_a_step_alone_asks_for_prepared_images(step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^got no file runs/NAME-data.npz; .* abele train training/folder.yaml"):
        train([str(ROOT / "training" / f"folder-{step}.yaml")])


def test_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", str(FOLDER), "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    for option in (
        "--data.path",
        "--data.size",
        "--data.colour",
        "--data.splits",
        "--data.skip_unreadable",
        "--resume",
    ):
        assert option in out
    assert "--autoencoder.model.latent_dim" in out


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ([], "got no|got name ''"),
        (["--data.path=nowhere"], "got 'nowhere'; expected a folder"),
        (["my_images"], "got 'my_images' after the recipe; .* --data.path my_images"),
        (["--data.path=my_images", "--data.size=big"], "data.size"),
        (["--data.path=my_images", "--model.latent_dim", "3"], "pass --autoencoder.model.latent_dim"),
        (["--data.path=my_images", "--data.data_set=mnist"], "got --data.data_set=mnist for trainings that belong"),
        *(
            (["--data.path=my_images", option], f"got {option} for trainings that belong together")
            for option in (
                *(
                    "--out=x",
                    "--black-box=x",
                    "--classifier.ou=x",
                    "--classifier.data={}",
                    "--classifier.out=x",
                    "--classifier.name=x",
                    "--autoencoder.runs=x",
                ),
                *("--classifier.resume", "--autoencoder.overwrite", "--autoencoder.black-box=x"),
                *("--classifier.seed-everything=1", "--classifier.data.data-set=mnist", "--classifier.config=x.yaml"),
            )
        ),
        (["--data.path=my_images", "--trainer.devices", "2"], "got --trainer.devices 2 for two trainings; expected 1"),
        (["--data.path=my_images", "--autoencoder.model.latent_dm=3"], "latent_dm"),
        (["--data.path=my_images", "--nonsense=3"], "nonsense"),
        *((["--data.path=my_images", f"--name={name}"], "name without folders") for name in ("a/b", "..", "x" * 201)),
        (["--data.path=my_images", "--runs=training/folder.yaml/below"], "cannot be written"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(here, options, match):
    with pytest.raises(AbeleError, match=match):
        train_chain([str(FOLDER), *options], lambda line: None)
    assert not list(here.glob("runs/*"))


class Interrupted(BaseException):
    """As of a killed process: no error that anything of ours answers."""


@pytest.fixture
def chain(here, monkeypatch):
    """The recipe of recipes, but trainings only leave a manifest that says on which images."""
    steps = []

    def train(argv):
        options = dict(option.lstrip("-").split("=", 1) for option in argv if "=" in option)
        steps.append(options["name"])
        checkpoint = Path(options["runs"], options["name"], "checkpoint")
        checkpoint.mkdir(parents=True, exist_ok=True)
        (checkpoint.parent / "csv").mkdir()
        save_checkpoint(checkpoint, ConvolutionalClassifier((1, 16, 16), 3, (2,), 4), a_manifest(options))

    def a_manifest(options):
        data_set = dataset_of(options["data.data_set"]).name
        return Manifest(options["name"], "classifier", "", {}, data_set, "", "", [], {}, 0, {}, "", 0.0, {}, "")

    monkeypatch.setattr("abele_py.training.chain.train", train)
    monkeypatch.setattr("abele_py.training.chain.check", lambda argv: None)
    said = []

    def run(*options):
        steps.clear()
        said.clear()
        train_chain([str(FOLDER), "--data.path=my_images", "--name=x", *options], said.append)
        return list(steps), "\n".join(said)

    return run


def test_a_finished_step_counts_for_the_images_it_was_trained_on_alone(chain):
    assert chain()[0] == ["x-classifier", "x"]
    steps, said = chain("--resume")
    assert steps == []
    assert said.count("trained before") == 2
    import_images("my_images", "runs/x-data.npz", seed=1)
    with pytest.raises(ParameterError, match=r"x-classifier/checkpoint, trained on my_images \(own .* --overwrite"):
        chain("--resume")


@pytest.mark.parametrize("ended", ["import", "check", "removal", "training"])
def test_an_interrupted_overwrite_never_passes_earlier_trainings_as_its_own(chain, monkeypatch, ended):
    chain()
    before = Path("runs/x-data.npz").read_bytes()
    functions = {
        "import": "abele_py.datasets.importing.write_own_images",
        "check": "abele_py.training.chain.check",
        "removal": "abele_py.training.chain.remove",
        "training": "abele_py.training.chain.train",
    }

    def end(*args, **kwargs):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(functions[ended], end)
        with pytest.raises(Interrupted):
            chain("--overwrite", "--seed_everything=1")
    if ended == "training":
        assert chain("--resume", "--seed_everything=1")[0] == ["x-classifier", "x"]
    else:
        with pytest.raises(ParameterError, match=r"got --resume, but no runs/x-data.npz beside .*x-data.earlier.npz"):
            chain("--resume", "--seed_everything=1")
        assert Path("runs/x-data.earlier.npz").read_bytes() == before
        assert chain("--overwrite", "--seed_everything=1")[0] == ["x-classifier", "x"]
    assert read_own_images("runs/x-data.npz").splitting.endswith("seed 1")
    assert sorted(path.name for path in Path("runs").iterdir()) == ["x", "x-classifier", "x-data.npz"]


def test_a_mistake_leaves_what_was_to_be_overwritten(chain, monkeypatch):
    def refuse(argv):
        raise ParameterError("got nonsense; expected sense; think")

    chain()
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    with pytest.raises(DataError, match="nowhere"):
        chain("--overwrite", "--data.path=nowhere")
    with monkeypatch.context() as patch:
        patch.setattr("abele_py.training.chain.check", refuse)
        with pytest.raises(ParameterError, match="nonsense"):
            chain("--overwrite", "--seed_everything=1")
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == before


def test_only_trainings_are_overwritten(chain):
    Path("runs/x").mkdir(parents=True)
    Path("runs/x/letter.txt").write_text("dear")
    with pytest.raises(ParameterError, match="got runs/x, which is no earlier training"):
        chain("--overwrite")
    assert [path.name for path in Path("runs").rglob("*")] == ["x", "letter.txt"]


@pytest.mark.parametrize("place", ["x-data.npz", "x-data.earlier.npz", ".x-data.new.npz", ".x.replaced/notes.txt"])
def test_files_of_the_names_that_a_run_needs_are_kept(chain, place):
    path = Path("runs", place)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the user's")
    for options in ([], ["--overwrite"]):
        with pytest.raises(PlaceError, match=place.partition("/")[0]) as error:
            chain(*options)
        assert "overwrite" not in str(error.value)
    assert [path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()] == [b"the user's"]


def test_one_run_of_a_name_at_a_time(chain):
    with alone_beside(Path("runs/x-data.npz")), pytest.raises(PlaceError, match="another process is writing"):
        chain()
    chain()
    with (
        alone_beside(Path("runs/x")),
        pytest.raises(PlaceError, match="another process is writing"),
    ):
        chain("--overwrite")
    assert Path("runs/x/checkpoint/manifest.json").is_file()


def test_the_pictures_themselves_are_not_overwritten(chain):
    before = sorted(Path("my_images").rglob("*"))
    with pytest.raises(PlaceError, match="got my_images, which is no earlier training"):
        chain("--runs=.", "--name=my_images", "--overwrite")
    assert sorted(Path("my_images").rglob("*")) == before


def test_it_is_said_where_all_names_are(chain):
    for path in sorted(Path("my_images/disc").iterdir())[:4]:
        path.with_suffix(".txt").write_text("x")
    said = chain()[1]
    assert "left out 4 files (disc/" in said.replace("my_images/", "")
    assert "all names: abele_py.datasets.prepared_images.read_own_images('runs/x-data.npz').notes" in said


def test_options_of_a_step_may_be_written_with_dashes(here, monkeypatch):
    given = []
    monkeypatch.setattr("abele_py.training.chain.train", lambda argv: None)
    monkeypatch.setattr("abele_py.training.chain.check", given.append)
    arguments = ["--data.path=my_images", "--classifier.data.batch-size=8", "--autoencoder.data-dir", "d"]
    train_chain([str(FOLDER), *arguments], lambda line: None)
    assert "--data.batch_size=8" in given[0]
    assert given[1][given[1].index("--data_dir") + 1] == "d"


@pytest.mark.slow
def test_all_options_reach_their_step_and_an_interrupted_run_goes_on(here, monkeypatch, capsys):
    """The autoencoder's training fails; the same command with --resume trains it, and only it."""
    arguments = ["train", "training/folder.yaml", "--data.path", "my_images", "--data.size", "12", *QUICK]
    arguments += ["--name", "x", "--seed_everything=3", "--classifier.model.channels=[4]", "--data.skip_unreadable"]

    def full(module, *rest):
        if module.kind == "autoencoder":
            raise AbeleError("got no room; make some")
        return finalize(module, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("abele_py.training.recipe.finalize", full)
        assert main(arguments) == 2
    assert "got no room" in capsys.readouterr().err
    assert main(arguments) == 2
    assert "go on with --resume" in capsys.readouterr().err
    classifier = here / "runs" / "x-classifier" / "checkpoint"
    before = (classifier / "manifest.json").stat().st_mtime_ns
    assert main([*arguments, "--resume"]) == 0
    out = capsys.readouterr().out
    assert "classifier trained before" in out
    assert (classifier / "manifest.json").stat().st_mtime_ns == before
    manifests = {
        name: yaml.safe_load((here / "runs" / name / "checkpoint" / "manifest.json").read_text())
        for name in ("x-classifier", "x")
    }
    assert manifests["x"]["config"]["latent_dim"] == 2
    assert manifests["x-classifier"]["config"]["channels"] == [4]
    for manifest in manifests.values():
        assert manifest["config"]["image_shape"] == [1, 12, 12]
        assert manifest["seed"] == 3
        assert manifest["class_names"] == list(NAMES)
        assert re.fullmatch(r"my_images \(own images [0-9a-f]{12}\)", manifest["data_set"])
        assert "stretched to 12x12" in manifest["preprocessing"]
        assert str(here) not in str(manifest)
        assert "runs" not in str(manifest["recipe"])
    assert manifests["x"]["recipe"]["options"]["black_box"] == "x-classifier"
    assert set(manifests["x"]["floor"]) <= set(manifests["x"]["metrics"])
    assert manifests["x"]["floor"]["rmse_255"] > 0


# The page


def commands():
    blocks = "".join(re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.strip()]


def test_links_of_the_page_lead_somewhere():
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.slow
def test_the_page_works_as_written(here, capsys, blank_figures, blank_reports):
    """All of its commands, in their order, in one folder; the trainings with a few steps only."""
    assert all(command.startswith("abele ") for command in commands())
    assert {shlex.split(command)[1] for command in commands()} >= {"train", "explain", "evaluate"}
    pictures = {Path(word) for command in commands() for word in shlex.split(command) if word.endswith(".png")}
    for path in pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape("disc", np.random.default_rng(99)).save(path)
    draw_shapes(here / "photos", 6, side=70, mode="RGB")
    random = np.random.default_rng(0)
    np.savez("arrays.npz", images=random.integers(0, 256, (20, 12, 12), dtype=np.uint8), labels=np.arange(20) % 2)
    for command in commands():
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train" and is_chain(arguments[1:]):
            arguments += QUICK
        elif arguments[0] == "train":
            arguments += [word for word in QUICK if "autoencoder" not in word]
        elif arguments[0] == "evaluate":
            arguments[1] = arguments[1].rpartition(":")[0] + ":2"
            arguments += ["--costly-images=1", "--parts=surrogate"]
        elif arguments[0] == "explain":
            arguments += ["--samples=100"]
        # a classifier of a few steps may give any label, also the one that is asked for as another
        ways = [[other if word == "square" else word for word in arguments] for other in ("square", "disc")]
        assert 0 in map(main, ways), capsys.readouterr().err
        out = capsys.readouterr().out
        if command == commands()[0]:
            said = next(line for line in out.splitlines() if line.startswith("explain a picture: "))
            assert main([*shlex.split(said.partition(": ")[2])[1:], "--samples=100"]) == 0
