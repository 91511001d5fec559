"""A run in one process: every image has its row, whatever happens, and the same call goes on to the same bytes."""

import errno
import importlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.messages import says_what_to_do
from support.paths import ROOT
from support.real_data import data_dir_of
from support.small_runs import IMAGES, NEVER, SIZE, Away, files_of, refusing, rows_of, tiny
from support.worlds import Identity, quarters, soft

pytest.importorskip("pyarrow", reason="the extra [dataset] is not installed")

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import ImageSet
from abele_py.distributed import Images, Listed, explain_dataset
from abele_py.distributed.rows import SCHEMA
from abele_py.distributed.shards import shard_path, shard_paths
from abele_py.errors import BlackBoxError, ImageError, Interruption, MissingExtraError, ParameterError, PlaceError
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.classifiers import ConvolutionalClassifier


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of a run that nothing happens to."""
    out = tmp_path_factory.mktemp("expected") / "run"
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    return files_of(out)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def test_every_image_has_its_row_in_order_and_the_explanation_that_it_has_alone(out):
    told = []
    counts = explain_dataset(IMAGES, tiny(), out, shard_size=16, progress=lambda *done: told.append(done))
    rows, explainer = rows_of(out), tiny()
    assert (counts.n_images, counts.failed) == (40, {})
    assert told == [(16, 40), (32, 40), (40, 40)]
    assert [row["index"] for row in rows] == [*range(40)]
    for row, image in zip(rows, IMAGES, strict=True):
        alone = explainer.explain(image)
        assert row["label"] == alone.label
        assert row["counter_exemplars"][0]["distance"] == pytest.approx(float(alone.counter_exemplars.distances[0]))


def test_a_run_that_is_done_asks_nothing_more(out, expected):
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    explain_dataset(IMAGES, lambda: tiny(), out, shard_size=4, progress=lambda *_: pytest.fail("nothing is left"))
    assert files_of(out) == expected


@pytest.mark.parametrize("damage", [lambda content: content[:-7], lambda content: b"", lambda content: content[:50]])
def test_a_shard_that_was_cut_short_is_made_anew(damage, out, expected):
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    path = shard_path(out, 3)
    path.write_bytes(damage(path.read_bytes()))
    shard_path(out, 5).unlink()
    told = []
    explain_dataset(IMAGES, tiny(), out, shard_size=4, progress=lambda *done: told.append(done))
    assert told == [(36, 40), (40, 40)]
    assert files_of(out) == expected


def test_a_shard_in_the_place_of_another_is_made_anew(out, expected):
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    shard_path(out, 3).write_bytes(shard_path(out, 4).read_bytes())
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    assert files_of(out) == expected


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("options", {"explainer": lambda: tiny(random_state=1)}),
        ("models", {"explainer": lambda: tiny(Away(Path("no")))}),
        ("data", {"data": IMAGES.flip(0)}),
        ("keep", {"keep": "figures"}),
        ("shard_size", {"shard_size": 5}),
        ("options", {"target": "dark"}),
    ],
)
def test_another_run_in_the_folder_is_refused(what, options, out, expected):
    given = {"data": IMAGES, "explainer": tiny, "out": out} | SIZE
    explain_dataset(**given)
    with pytest.raises(ParameterError, match=what) as error:
        explain_dataset(**given | options)
    assert says_what_to_do(error.value)
    assert files_of(out) == expected


def test_a_folder_with_shards_of_nobody_is_refused(out):
    (out / "shards").mkdir(parents=True)
    with pytest.raises(ParameterError, match=r"holds no run\.json"):
        explain_dataset(IMAGES, tiny(), out, **SIZE)


def test_two_runs_into_one_folder(out, expected):
    def second(*_):
        with pytest.raises(PlaceError, match="another process is writing"):
            explain_dataset(IMAGES, tiny(), out, **SIZE)

    explain_dataset(IMAGES, tiny(), out, shard_size=4, progress=second)
    assert files_of(out) == expected


def test_ctrl_c_is_an_interruption_and_the_same_call_goes_on(out, expected):
    def stop(done, _):
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(Interruption, match=r"12 of 40 images are in .*; the same command goes on"):
        explain_dataset(IMAGES, tiny(), out, shard_size=4, progress=stop)
    assert len(shard_paths(out)) == 3
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    assert files_of(out) == expected


# Processes that end

RUN = """
import sys, time
from support.small_runs import IMAGES, tiny
from abele_py.distributed import explain_dataset
from abele_py.errors import Interruption
print("begun", flush=True)
try:
    explain_dataset(IMAGES, tiny(), sys.argv[1], shard_size=4, progress=lambda *_: time.sleep(0.05))
except Interruption as error:
    sys.exit(str(error))
"""


def begun(out):
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(out)], env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_kill_9_at_a_random_moment_loses_and_changes_nothing(seed, out, expected):
    with begun(out) as process:
        time.sleep(random.Random(seed).uniform(0, 1))
        process.kill()
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    assert files_of(out) == expected


@pytest.mark.slow
def test_a_signal_ends_a_process_with_one_clear_sentence(out, expected):
    with begun(out) as process:
        while not shard_path(out, 0).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.startswith("got an interruption; ")
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    assert files_of(out) == expected


@pytest.mark.parametrize("where", ["write", "replace"])
def test_a_full_disk_is_an_error_after_which_the_same_call_goes_on(where, out, expected, monkeypatch):
    replace, n = os.replace, 0

    def full(*arguments):
        nonlocal n
        n += 1
        if n > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(*arguments) if where == "replace" else None

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace" if where == "replace" else "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            explain_dataset(IMAGES, tiny(), out, **SIZE)
    assert not [path for path in out.rglob("*") if "tmp" in path.name]
    explain_dataset(IMAGES, tiny(), out, **SIZE)
    assert files_of(out) == expected


# Images and black boxes that fail


def test_an_image_that_the_black_box_refuses_has_a_row_with_the_reason_and_the_others_go_on(out):
    images = IMAGES.clone()
    images[13, 0, 0, 0] = NEVER
    counts = explain_dataset(images, tiny(refusing), out, **SIZE)
    assert counts.failed == {"BlackBoxError": 1}
    rows = rows_of(out)
    assert [row["index"] for row in rows if row["error"]] == [13]
    assert "not this one" in rows[13]["reason"]
    assert rows[13]["image_sha256"] is not None
    assert rows[13]["label"] is rows[13]["trust"] is None


def test_a_black_box_that_is_away_ends_the_run_which_goes_on_when_it_is_back(out, tmp_path, expected):
    box = Away(tmp_path / "away")
    with pytest.raises(BlackBoxError, match="nobody answers"):
        explain_dataset(IMAGES, tiny(box), out, shard_size=4, progress=lambda *_: box.flag.touch())
    assert len(shard_paths(out)) == 1
    box.flag.unlink()
    assert explain_dataset(IMAGES, tiny(box), out, **SIZE).failed == {}
    assert [r["label"] for r in rows_of(out)] == [int(label) for label in soft(IMAGES).argmax(1)]


def test_failed_images_are_tried_again_only_if_asked(out, tmp_path):
    class Once:
        """Fails on one image, while a file is there."""

        def __call__(self, images):
            return refusing(images) if (tmp_path / "bad").exists() else soft(images)

    images, explainer = IMAGES.clone(), tiny(Once())
    images[13, 0, 0, 0] = NEVER
    (tmp_path / "bad").touch()
    explain_dataset(images, explainer, out, **SIZE)
    (tmp_path / "bad").unlink()
    assert explain_dataset(images, explainer, out, **SIZE).failed == {"BlackBoxError": 1}
    assert explain_dataset(images, explainer, out, retry_failed=True, **SIZE).failed == {}


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "abele_py.distributed")
    with pytest.raises(MissingExtraError, match=r"\[dataset\]"):
        importlib.import_module("abele_py.distributed")


# Where images come from, and what is true of them


def tiny_pictures(root):
    for i, name in enumerate(("dark/1.png", "bright/2.png", "bright/more/3.png", "other/4.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((1, 2), 40 * i, np.uint8)).save(root / name)
    (root / "dark" / "broken.png").write_bytes(b"no picture")
    return root


def test_a_folder_its_names_say_what_is_true_and_a_broken_picture_has_a_row(out, tmp_path):
    counts = explain_dataset(tiny_pictures(tmp_path / "pictures"), tiny(), out, **SIZE)
    rows = {row["name"]: row for row in rows_of(out)}
    assert counts.failed == {"ImageError": 1}
    true = {name: row["true_label"] for name, row in rows.items()}
    assert true == {
        "dark/1.png": 0,
        "bright/2.png": 1,
        "bright/more/3.png": 1,
        "dark/broken.png": 0,
        "other/4.png": None,
    }
    assert "broken.png" in rows["dark/broken.png"]["reason"]
    assert rows["dark/broken.png"]["image_sha256"] is None


def test_a_file_its_names_of_labels_are_those_of_the_black_box(out, tmp_path):
    path = tmp_path / "x.npz"
    pixels = (255 * IMAGES[:4, 0].numpy()).astype(np.uint8)
    np.savez(path, images=pixels, labels=np.array([0, 1, 2, 1]), class_names=np.array(["bright", "dark", "no"]))
    explain_dataset(path, tiny(), out, **SIZE)
    assert [row["true_label"] for row in rows_of(out)] == [1, 0, None, 0]
    assert rows_of(out)[2]["name"] == "x.npz:2"


def test_images_of_a_set_and_images_that_are_read_when_their_turn_comes(out, tmp_path):
    read = []

    class Lazy:
        origin = {"source": "lazy", "n": 8, "digest": "1"}  # noqa: RUF012

        def __len__(self):
            return 8

        def read(self, index):
            read.append(index)
            return Listed(index, f"lazy:{index}", IMAGES[index], None)

    assert isinstance(Lazy(), Images)
    explain_dataset(Lazy(), tiny(), out, shard_size=4, progress=lambda done, _: read.append(-done))
    assert read == [0, 1, 2, 3, -4, 4, 5, 6, 7, -8]
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 1, 0])
    data = ImageSet(images=(255 * IMAGES[:8]).byte(), labels=labels, class_names=("dark", "bright"))
    explain_dataset(data, tiny(), tmp_path / "set", **SIZE)
    assert [row["true_label"] for row in rows_of(tmp_path / "set")] == labels.tolist()


def test_a_draw_of_a_split_has_names_that_lead_back_to_its_images(out, digits_models):
    explainer = Abele(digits_models[1], digits_models[0], n_samples=100)
    explain_dataset("digits:test:3", explainer, out, seed=5, **SIZE)
    split = load_split("digits", "test")
    for row in rows_of(out):
        assert row["true_label"] == int(split.labels[int(row["name"].rpartition(":")[2])])
    with pytest.raises(ParameterError, match="expected 1 to"):
        explain_dataset("digits:test:100000", explainer, out, **SIZE)


def test_images_of_another_shape_are_refused_before_anything_is_written(out):
    with pytest.raises(ImageError, match="as the autoencoder was trained"):
        explain_dataset(torch.rand(3, 1, 2, 2), tiny(), out, **SIZE)
    assert not (out / "run.json").exists()


# What is kept


def leaves(value, path=""):
    """Path of each value that is not null."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif value is not None:
        yield path


def paths_of(schema):
    def walk(kind, path):
        if hasattr(kind, "value_type"):
            return walk(kind.value_type, path)
        if kind.num_fields:
            return [found for field in kind for found in walk(field.type, f"{path}.{field.name}")]
        return [path]

    return {found for field in schema for found in walk(field.type, f".{field.name}")}


def test_every_column_is_filled_by_some_image(out, tmp_path, digits_models):
    explainer = Abele(digits_models[1], digits_models[0], n_samples=300, class_names="0123456789")
    folder = tmp_path / "pictures"
    split = load_split("digits", "test")
    for i in range(6):
        path = folder / str(int(split.labels[i])) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(split.images[i, 0].numpy()).save(path)
    (folder / "broken.png").write_bytes(b"")
    explain_dataset(folder, explainer, out, keep="figures", progress=lambda *_: None)
    explain_dataset(IMAGES, Abele(quarters, Identity(), n_samples=100), tmp_path / "quarters", **SIZE)
    filled = {path for row in rows_of(out) + rows_of(tmp_path / "quarters") for path in leaves(row)}
    # a condition that leads away from another label than the image's: where the surrogate errs, which is rare
    assert paths_of(SCHEMA) - filled <= {".conditions.away_from"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_a_summary_takes_a_kilobyte_an_image(name, out):
    explainer = Abele(load_classifier(f"{name}-cnn"), load_autoencoder(name), n_samples=300)
    n = 64
    explain_dataset(f"{name}:test:{n}", explainer, out, data_dir=data_dir_of(name), progress=lambda *_: None)
    assert sum(path.stat().st_size for path in shard_paths(out)) <= 1000 * n


@pytest.mark.slow
@pytest.mark.parametrize("side", [28, 128])
def test_figures_take_twenty_kilobytes_an_image_in_colour(side, out):
    torch.manual_seed(0)
    autoencoder = AdversarialAutoencoder((3, side, side), 16).eval()
    autoencoder.calibrate(torch.randn(40, 16), torch.randn(40, 16))
    explainer = Abele(ConvolutionalClassifier((3, side, side), 4).eval(), autoencoder, n_samples=60)
    images = torch.rand(8, 3, side, side)
    explain_dataset(images, explainer, out, keep="figures", shard_size=8, progress=lambda *_: None)
    assert sum(path.stat().st_size for path in shard_paths(out)) <= 20_000 * len(images)


def test_full_keeps_explanations_that_can_be_loaded(out):
    from abele_py import Explanation

    explain_dataset(IMAGES[:5], tiny(), out, keep="full", **SIZE)
    loaded = Explanation.load(out / "explanations" / "00000001" / "4.npz")
    assert loaded.label == rows_of(out)[4]["label"]
