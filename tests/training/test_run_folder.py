"""A run folder: what a training goes on with, and what an earlier one is kept from."""

import csv
import json

import pytest
import torch
from support.callbacks import Killed
from support.manifests import manifest
from support.paths import ROOT

from abele_py.errors import AbeleError, CheckpointError, DataError, ParameterError, PlaceError
from abele_py.models.checkpoints import read_manifest, save_checkpoint
from abele_py.models.classifiers import ConvolutionalClassifier
from abele_py.training import recipe as training
from abele_py.training.recipe import train
from abele_py.training.run_folder import (
    BEST,
    LAST,
    OPTIONS,
    backup_of,
    check_options,
    check_place,
    commit,
    create,
    owned,
    restore,
)

CNN = ROOT / "training" / "digits-cnn.yaml"
FOREST = ROOT / "training" / "digits-forest.yaml"
WORSE = ["--monitor=val/loss", "--mode=max"]  # the loss falls: each epoch is worse than the first

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


def killed(epoch):
    return ["--trainer.callbacks+=support.callbacks.Kill", f"--trainer.callbacks.epoch={epoch}"]


def small(runs, *options):
    return [
        "--trainer.limit_train_batches=2", "--data.limit=60", "--data.batch_size=30", "--trainer.max_epochs=3",
        "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.log_every_n_steps=1",
        "--trainer.accelerator=cpu", "--name=x", f"--runs={runs}", *options,
    ]  # fmt: skip


def epoch_of(path):
    return torch.load(path, weights_only=True)["epoch"]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


# Going on


@pytest.mark.slow
def test_last_state_is_that_of_the_last_epoch_and_figures_go_on(tmp_path):
    """Also where each epoch is worse than the first; rows of the epoch that was cut off are there once."""
    whole = train(CNN, small(tmp_path / "whole", *WORSE))
    with pytest.raises(Killed):
        train(CNN, small(tmp_path / "parts", *WORSE, *killed(2)))
    run = tmp_path / "parts" / "x"
    assert (epoch_of(run / BEST), epoch_of(run / LAST)) == (0, 1)
    before = (run / "csv" / "metrics.csv").read_text()
    assert "\n2," in before, "a row of the epoch that was cut off"
    resumed = train(CNN, small(tmp_path / "parts", *WORSE), resume=True)
    assert epoch_of(run / LAST) == 2
    assert weights(resumed) == weights(whole)
    rows, expected = (
        list(csv.DictReader((folder / "csv" / "metrics.csv").open())) for folder in (run, tmp_path / "whole" / "x")
    )
    assert rows == expected
    assert sorted({row["epoch"] for row in rows}) == ["0", "1", "2"]


@pytest.mark.slow
def test_training_that_patience_stopped_is_not_trained_on(tmp_path):
    options = small(tmp_path, *WORSE, "--patience=1")
    folder = train(CNN, options)
    last = tmp_path / "x" / LAST
    before, state = weights(folder), last.read_bytes()
    assert epoch_of(last) == 1
    train(CNN, options, resume=True)
    assert (weights(folder), last.read_bytes()) == (before, state)


@pytest.mark.slow
def test_best_forest_is_shipped_and_a_finished_one_resumed(tmp_path):
    folder = train(FOREST, small(tmp_path, "--model.n_trees=3"))
    best = torch.load(tmp_path / "x" / BEST, weights_only=True)
    accuracies = [row["val/accuracy"] for row in csv.DictReader((tmp_path / "x" / "csv" / "metrics.csv").open())]
    accuracies = [float(value) for value in accuracies if value]
    assert best["epoch"] == accuracies.index(max(accuracies))
    assert epoch_of(tmp_path / "x" / LAST) == 2
    before = weights(folder)
    assert weights(train(FOREST, small(tmp_path, "--model.n_trees=3"), resume=True)) == before


@pytest.mark.slow
def test_time_limit_ends_a_training_after_a_whole_epoch(tmp_path):
    options = [*small(tmp_path), "--trainer.max_epochs=100000"]
    train(CNN, [*options, "--trainer.max_time=00:00:00:01"])
    last = epoch_of(tmp_path / "x" / LAST)
    assert 0 <= last < 1000
    train(CNN, [*options, "--trainer.max_time=00:00:00:01"], resume=True)
    assert epoch_of(tmp_path / "x" / LAST) == last, "no time is left"
    train(CNN, [*options, "--trainer.max_time=00:00:00:02"], resume=True)
    assert epoch_of(tmp_path / "x" / LAST) > last


@pytest.mark.slow
def test_other_options_are_refused_and_named(tmp_path):
    with pytest.raises(Killed):
        train(CNN, small(tmp_path, *killed(1)))
    for option, named in {
        "--trainer.max_epochs=4": r"trainer\.max_epochs 4 instead of 3",
        "--data.batch_size=20": r"data\.batch_size 20 instead of 30",
        "--model.hidden=7": r"model\.init_args\.hidden 7 instead of 64",
        "--patience=2": r"patience 2 instead of none",
        "--data.data_set=mnist": r"data\.data_set mnist instead of digits",
    }.items():
        with pytest.raises(ParameterError, match=named):
            train(CNN, [*small(tmp_path), option], resume=True)
    train(CNN, small(tmp_path, "--threads=1", "--trainer.log_every_n_steps=7"), resume=True)


def test_damaged_options_are_told(tmp_path):
    (tmp_path / OPTIONS).write_text("{")
    with pytest.raises(CheckpointError, match=r"damaged .*options\.json"):
        check_options(tmp_path, {})
    (tmp_path / OPTIONS).unlink()
    check_options(tmp_path, {"a": 1})  # a run of an earlier version has none


# What an earlier training is kept from


@pytest.fixture
def run(tmp_path):
    """A finished training."""
    folder = tmp_path / "x"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / LAST).write_bytes(b"old")
    options = {"name": "x", "data": {}, "model": {}, "trainer": {}, "seed_everything": 0}  # as of an earlier version
    (folder / OPTIONS).write_text(json.dumps(options))
    return folder


def test_earlier_training_is_kept_until_another_is_finished(run):
    out = run / "checkpoint"
    check_place(run, out, resume=False, overwrite=True)
    create(run, out, {"new": 1})
    assert json.loads((run / OPTIONS).read_text()) == {"new": 1}
    assert (backup_of(run) / LAST).read_bytes() == b"old"
    (run / LAST).write_bytes(b"new")
    restore(run)  # it has begun
    assert (run / LAST).read_bytes() == b"new"
    create(run, out, {"newer": 1})  # the one that was finished is the one to keep
    assert (backup_of(run) / LAST).read_bytes() == b"old"
    commit(run)
    assert not backup_of(run).exists()


def test_earlier_training_comes_back_where_another_has_not_begun(run):
    create(run, run / "checkpoint", {})
    with pytest.raises(ParameterError, match=r"earlier training.*--overwrite"):  # killed, and called again
        check_place(run, run / "checkpoint", resume=False, overwrite=False)
    assert (run / LAST).read_bytes() == b"old"
    assert not backup_of(run).exists()


def small_checkpoint(folder, name="other"):
    return save_checkpoint(folder, ConvolutionalClassifier((1, 8, 8), 2, (2,), 4), manifest(name=name))


def content_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(tmp_path, match, *options):
    """A training that is refused before it reads data, and changes nothing."""
    before = content_of(tmp_path)
    with pytest.raises(ParameterError, match=match) as error:
        train(CNN, small(tmp_path / "runs", *options))
    assert content_of(tmp_path) == before
    return str(error.value)


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.setattr("abele_py.training.recipe.ImageData.prepare_data", lambda _: pytest.fail("read"))


def test_a_checkpoint_goes_where_nothing_of_the_users_is(tmp_path, monkeypatch, no_data):
    thesis = tmp_path / "thesis"
    (thesis / "ch1").mkdir(parents=True)
    (thesis / "a.txt").write_text("years of work")
    (tmp_path / "file").write_text("the user's")
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(small_checkpoint(tmp_path / "stored"))
    monkeypatch.chdir(tmp_path / "here")
    for out in (thesis, "../thesis", tmp_path / "file", tmp_path / "link", ".", "..", "../here/", "/", "/dev/null"):
        for more in ([], ["--overwrite"]):
            assert "overwrite" not in refused(tmp_path, r"^got .* which (is|holds)", f"--out={out}", *more)
    refused(tmp_path, "already|earlier training", f"--out={tmp_path / 'stored'}")
    for inside in ("x", "x/model", "."):
        refused(tmp_path, "expected neither in the other|is or holds", f"--out={tmp_path / 'runs' / inside}")
    refused(tmp_path, "cannot be written", f"--out={tmp_path / 'file' / 'below'}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["..", ".", "a/b", "x" * 201, "a\0b", "../x", ""])
def test_a_name_is_that_of_a_folder_of_its_own(name, tmp_path, no_data):
    refused(tmp_path, "expected a name without folders|no NUL", "--overwrite", f"--name={name}")


def test_runs_that_cannot_be_written_are_told_before_the_training(tmp_path, no_data):
    (tmp_path / "runs").write_text("a file")
    refused(tmp_path, "cannot be written")


def test_one_training_owns_its_folder_and_its_checkpoint(run, tmp_path, no_data):
    out = small_checkpoint(tmp_path / "stored")
    with owned(run, out):
        for place, other in ((run, run / "checkpoint"), (tmp_path / "y", out)):
            with pytest.raises(PlaceError, match="another process is writing"), owned(place, other):
                pass
    with owned(run, out):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stored", "x"]


def test_a_checkpoint_elsewhere_is_replaced_by_the_training_that_was_begun_to_do_so(tmp_path):
    out, run = small_checkpoint(tmp_path / "stored"), tmp_path / "x"
    create(run, out, {})
    (run / LAST).write_bytes(b"state")
    check_place(run, out, resume=True, overwrite=False)
    other = small_checkpoint(tmp_path / "another")
    with pytest.raises(ParameterError, match="not begun to replace"):
        check_place(run, other, resume=True, overwrite=False)
    check_place(run, other, resume=True, overwrite=True)


def test_a_backup_that_is_not_ours_stays(run):
    backup_of(run).mkdir()
    (backup_of(run) / "notes.txt").write_text("the user's")
    before = content_of(run.parent)
    with pytest.raises(PlaceError, match=r"\.x\.replaced, which is no earlier training alone: it holds notes\.txt"):
        check_place(run, run / "checkpoint", resume=False, overwrite=True)
    (run / LAST).unlink()
    (run / "checkpoint").rmdir()
    restore(run)
    commit(run)
    assert content_of(run.parent) == {path: content for path, content in before.items() if path.name != LAST}


@pytest.mark.slow
def test_mistakes_and_interruptions_cost_no_earlier_training(tmp_path):
    folder = train(CNN, small(tmp_path))
    before, run = weights(folder), tmp_path / "x"

    def refused(error, *options):
        with pytest.raises(error):
            train(CNN, [*small(tmp_path, "--overwrite", "--seed_everything=5"), *options])

    refused(AbeleError, "--black_box=nowhere")
    refused(DataError, "--data.data_set=mnist", f"--data_dir={tmp_path}")
    refused(ParameterError, "--data.limit=1")
    refused(Killed, *killed(0))
    assert weights(folder) == before
    refused(Killed, *killed(1))
    assert weights(backup_of(run) / "checkpoint") == before
    train(CNN, small(tmp_path, "--seed_everything=5"), resume=True)
    assert weights(folder) != before
    assert read_manifest(folder).seed == 5
    assert not backup_of(run).exists()


# Devices


def test_no_device_is_chosen_that_has_no_float64(tmp_path, monkeypatch):
    """Apple's: Lightning's own "auto" would."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for options, expected in [([], "cpu"), (["--trainer.accelerator=auto"], "auto")]:
        given = [option for option in small(tmp_path) if "accelerator" not in option]
        cli = training.parse([f"--config={CNN}", *given, *options])
        assert cli.config.trainer.accelerator == expected
