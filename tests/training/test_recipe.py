"""Training: every recipe trains, interruptions lose nothing, and mistakes are told."""

import pytest
import torch
import yaml
from support.marks import slow_if
from support.paths import ROOT

from abele_py.datasets.catalog import DATASETS
from abele_py.datasets.records import ImageSet
from abele_py.errors import AbeleError, DataError, ParameterError
from abele_py.models.checkpoints import load_autoencoder, load_classifier, read_manifest
from abele_py.training import recipe as training
from abele_py.training.modules import AutoencoderModule, ClassifierModule
from abele_py.training.recipe import main, train

RECIPES = sorted((ROOT / "training").glob("*.yaml"))
OF_DATA_SETS = [path for path in RECIPES if not path.stem.startswith("folder")]  # the others: test_chain.py

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


def small(tmp_path, *options):
    """Options that make any recipe a matter of seconds and keep its files in ``tmp_path``."""
    few = ["--trainer.limit_train_batches=2", "--data.limit=60", "--data.batch_size=30", "--trainer.max_epochs=1"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    return [*few, *quiet, f"--runs={tmp_path / 'runs'}", *options]


def one_of_each_kind():
    """The first recipe of every kind of module and number of channels."""
    found = {}
    for path in OF_DATA_SETS:
        options = yaml.safe_load(path.read_text())
        channels = DATASETS[options["data"]["data_set"]].image_shape[0]
        found.setdefault((options["model"]["class_path"], channels), path)
    return list(found.values())


def noise(name, split, data_dir=None):
    """Colours in noise, of a data set's sizes and classes; real images, read in other tests, take longer."""
    record, generator = DATASETS[name], torch.Generator().manual_seed(len(split))
    colours = torch.rand(120, record.image_shape[0], 1, 1, generator=generator)
    images = 200 * colours + 55 * torch.rand(120, *record.image_shape, generator=generator)
    return ImageSet(images.to(torch.uint8), torch.arange(120) % len(record.class_names), record.class_names)


# Recipes


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_what_it_reaches(recipe):
    first = recipe.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert "min" in first
    assert any(metric in first.lower() for metric in ("accuracy", "label preservation"))
    assert recipe not in OF_DATA_SETS or yaml.safe_load(recipe.read_text())["data"]["data_set"] in DATASETS


@pytest.mark.parametrize(
    "recipe", slow_if(lambda path: path not in one_of_each_kind(), OF_DATA_SETS), ids=lambda path: path.stem
)
def test_recipe_is_parsed_and_builds_a_network_for_its_images(recipe):
    record = DATASETS[yaml.safe_load(recipe.read_text())["data"]["data_set"]]
    module = training.parse([f"--config={recipe}"]).model
    images = torch.rand(2, *record.image_shape)
    if isinstance(module, AutoencoderModule):
        assert module.network.decode(module.network.encode(images)).shape == images.shape
    elif isinstance(module, ClassifierModule):
        assert module.network.logits(images).shape == (2, len(record.class_names))
    else:
        assert module.network(images).shape == (2, len(record.class_names))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", one_of_each_kind(), ids=lambda path: path.stem)
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    options = yaml.safe_load(recipe.read_text())
    monkeypatch.setattr("abele_py.training.finishing.load_split", noise)
    monkeypatch.setattr("abele_py.training.data_module.load_split", noise)
    monkeypatch.setattr("abele_py.training.data_module.prepare", lambda *_: None)
    folder = train(recipe, small(tmp_path), out=tmp_path / "checkpoint")
    assert folder == tmp_path / "checkpoint"
    found = read_manifest(folder)
    assert found.name == options["name"]
    assert found.recipe["name"] == recipe.stem
    assert found.recipe["options"]["trainer"]["max_epochs"] == 1
    assert str(tmp_path) not in (folder / "manifest.json").read_text()
    if found.kind == "autoencoder":
        network = load_autoencoder(folder)
        assert network.reference_latents.shape == (60, network.latent_dim)
        assert next(iter(found.metrics)) == "label_preservation"
        assert (folder / "samples.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "runs" / options["name"] / "images" / "epoch-000.png").is_file()
    else:
        scores = load_classifier(folder)(torch.rand(2, *DATASETS[found.data_set].image_shape))
        torch.testing.assert_close(scores.sum(dim=1), torch.ones(2))
    run = tmp_path / "runs" / options["name"]
    assert (run / "csv" / "metrics.csv").is_file()
    assert list((run / "tensorboard").glob("events.*"))


AUTOENCODER = ROOT / "training" / "digits-autoencoder.yaml"


@pytest.mark.slow
@pytest.mark.parametrize(("epochs", "steps", "ruined"), [(2, 60, False), (1, 1, True)])
def test_an_autoencoder_is_never_worse_than_what_it_started_from(epochs, steps, ruined, tmp_path, caplog, monkeypatch):
    def ruin(module, checkpoint):
        """The best state is read once more after the training."""
        checkpoint["state_dict"]["network.decoder.residual.4.bias"] += 0.2

    if ruined:
        monkeypatch.setattr(AutoencoderModule, "on_load_checkpoint", ruin)
    options = ["--data.data_set=digits", "--black_box=digits-cnn", "--model.latent_dim=12", f"--data.min_steps={steps}"]
    options += [
        f"--trainer.max_epochs={epochs}",
        f"--runs={tmp_path}",
        "--trainer.enable_progress_bar=false",
        "--threads=1",
    ]
    folder = main([str(ROOT / "training" / "folder-autoencoder.yaml"), *options])
    found = read_manifest(folder)
    assert set(found.floor) == {"label_preservation", "label_preservation_balanced", "rmse_255"}
    kept = "label_preservation_balanced"
    assert found.metrics["rmse_255"] <= found.floor["rmse_255"] + 1e-4
    assert found.metrics[kept] >= found.floor[kept] - 1e-4
    assert load_autoencoder(folder).config == found.config
    if ruined:
        assert found.config["refinement"] == 0
        assert "kept, by what it reaches on val: principal components" in caplog.text
    else:
        assert found.metrics["rmse_255"] < 0.95 * found.floor["rmse_255"]


@pytest.mark.slow
def test_any_option_can_be_overridden(tmp_path):
    folder = main(
        [
            str(AUTOENCODER), *small(tmp_path), "--model.latent_dim", "3", "--model.architecture", "conv",
            "--model.channels", "[4, 8]", "--name", "other", "--seed_everything", "7",
        ]
    )  # fmt: skip
    assert folder == tmp_path / "runs" / "other" / "checkpoint"
    found = read_manifest(folder)
    assert found.config["latent_dim"] == 3
    assert found.config["architecture"] == "conv"
    assert found.seed == 7


@pytest.mark.slow
def test_a_teacher_is_trained_first_and_changes_nothing_else(tmp_path):
    path = ROOT / "training" / "digits-autoencoder.yaml"
    plain, taught = (
        load_autoencoder(train(path, small(tmp_path, f"--name=t{weight}", f"--model.teacher_weight={weight}", *more)))
        for weight, more in ((0, []), (0.01, ["--model.refinement=2"]))
    )
    assert int(taught.teacher[1].num_batches_tracked) == 20, "twenty passes over 60 images, which fill one batch"
    for part in ("encoder", "decoder", "discriminator"):
        trained = getattr(taught, part).state_dict()
        assert all(torch.equal(value, trained[name]) for name, value in getattr(plain, part).state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "given"),
    [
        ("digits-autoencoder", []),
        ("digits-autoencoder", ["--model.teacher_weight=0.01", "--model.refinement=2"]),
        (
            "digits-cnn",
            ["--trainer.limit_train_batches=1.0", "--data.batch_size=10", f"--data.max_values={40 * 28**2}"],
        ),
        ("folder-autoencoder", ["--data.data_set=digits", "--black_box=digits-cnn", "--model.hidden=[16]"]),
    ],
)
def test_resumed_training_ends_where_an_uninterrupted_one_ends(recipe, given, tmp_path):
    """Stopped after the first of three epochs, as by a kill: the state of the last epoch is all that is left."""
    path = ROOT / "training" / f"{recipe}.yaml"

    def options(where, *more):
        return [*small(tmp_path / where), "--trainer.max_epochs=3", "--name=x", *given, *more]

    whole = train(path, options("whole"))

    class Killed(BaseException):
        pass

    def killed(self, trainer, module):
        if trainer.current_epoch == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("abele_py.training.callbacks.ImageGrids.on_train_epoch_start", killed, raising=False)
        with pytest.raises(Killed):
            train(path, options("parts"))
    assert not (tmp_path / "parts" / "runs" / "x" / "checkpoint").exists()
    resumed = train(path, options("parts"), resume=True)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert read_manifest(resumed).metrics == read_manifest(whole).metrics


@pytest.mark.slow
@pytest.mark.parametrize(("epoch", "said"), [(0, "begin again"), (1, "last whole epoch .*--resume")])
def test_interruption_by_the_keyboard_says_how_to_go_on(epoch, said, tmp_path, monkeypatch):
    def interrupt(self, trainer, module):
        if trainer.current_epoch == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr("abele_py.training.callbacks.ImageGrids.on_train_epoch_start", interrupt, raising=False)
    with pytest.raises(AbeleError, match=said):
        train(ROOT / "training" / "digits-cnn.yaml", small(tmp_path, "--trainer.max_epochs=2"))


@pytest.mark.slow
def test_finished_forest_can_be_resumed(tmp_path):
    recipe = ROOT / "training" / "digits-forest.yaml"
    weights = (train(recipe, small(tmp_path)) / "model.safetensors").read_bytes()
    assert (train(recipe, small(tmp_path), resume=True) / "model.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_earlier_work_is_not_replaced_unasked(tmp_path):
    recipe = ROOT / "training" / "digits-cnn.yaml"
    folder = train(recipe, small(tmp_path))
    weights = (folder / "model.safetensors").read_bytes()
    with pytest.raises(ParameterError, match="--overwrite"):
        train(recipe, small(tmp_path, "--seed_everything=5"))
    with pytest.raises(ParameterError, match="--overwrite"):
        train(recipe, small(tmp_path, "--name=free"), out=folder)
    assert (folder / "model.safetensors").read_bytes() == weights
    train(recipe, small(tmp_path, "--seed_everything=5", "--overwrite"))
    assert (folder / "model.safetensors").read_bytes() != weights


def test_a_folder_that_is_no_training_is_not_overwritten(tmp_path):
    photos = tmp_path / "runs" / "digits-cnn"
    photos.mkdir(parents=True)
    (photos / "holiday.png").write_bytes(b"")
    with pytest.raises(ParameterError, match="no earlier training"):
        train(ROOT / "training" / "digits-cnn.yaml", small(tmp_path, "--overwrite"))
    assert (photos / "holiday.png").exists()


# A user's mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "got no recipe"),
        (["training/digits-autoencodr.yaml"], "did you mean training/digits-autoencoder.yaml"),
        (["nowhere.yaml"], "got no file nowhere.yaml"),
        (["training/digits-cnn.yaml", "--model.colour=blue"], "colour"),
        (["training/digits-cnn.yaml", "--model.hidden=many"], "hidden"),
        (["training/digits-cnn.yaml", "--trainer.max_epochs=many"], "max_epochs"),
        (["training/digits-cnn.yaml", "--data.data_set=digitz"], "digitz"),
        (["training/digits-cnn.yaml", "--data.batch_size=0"], "batch_size"),
        (["training/digits-cnn.yaml", "--monitor=val/nothing"], "val/nothing"),
        (["training/digits-autoencoder.yaml", "--model.latent_dim=0"], "latent_dim"),
        (["training/digits-autoencoder.yaml", "--black-box=digits-cnm"], "digits-cnn"),
        (["training/digits-cnn.yaml", "--resume"], "expected an interrupted training"),
        (["training/digits-cnn.yaml", "--nonsense"], "nonsense"),
        (["training/digits-cnn.yaml", "--name=../elsewhere"], "without folders"),
    ],
)
def test_mistakes_are_told(arguments, message, monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(ROOT)
    with pytest.raises(AbeleError, match=message):
        main([*arguments[:1], *(small(tmp_path) if arguments else []), *arguments[1:]])
    assert "Traceback" not in capfd.readouterr().err


def test_missing_data_are_told(tmp_path):
    with pytest.raises(DataError, match="download"):
        train(ROOT / "training" / "mnist-cnn.yaml", small(tmp_path), data_dir=tmp_path)


def test_broken_recipe_is_told(tmp_path):
    recipe = tmp_path / "broken.yaml"
    recipe.write_text("model: [unclosed")
    with pytest.raises(ParameterError):
        main([str(recipe)])


def test_help_names_the_options(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for word in ("RECIPE.yaml", "--black_box", "--data_dir", "--resume", "--overwrite", "--trainer.max_epochs"):
        assert word in shown
