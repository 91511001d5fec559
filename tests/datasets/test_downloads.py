"""Data sets are fetched, checked and read: small archives of the right format stand in for those of the network.

torchvision's code runs, up to the connection; the digest of a stand-in takes the place of the official one.
"""

import gzip
import io
import re
import shlex
import shutil
import tarfile
import zipfile
from dataclasses import replace
from functools import cache, partial
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from support.downloads import digest_of, recorded
from support.paths import ROOT
from torchvision.datasets import utils

from abele_py.cli.commands import main
from abele_py.datasets import readers
from abele_py.datasets.catalog import DATASETS
from abele_py.datasets.files import File, fetch_files
from abele_py.datasets.loading import load_split, prepare
from abele_py.datasets.records import SPLITS
from abele_py.errors import DataError
from abele_py.storage.places import alone
from abele_py.training.recipe import check

FETCHED = [name for name, record in DATASETS.items() if record.fetch]
MEDMNIST = [name for name in FETCHED if next(iter(DATASETS[name].files)).startswith("medmnist/")]
AS_THEY_ARE = [name for name in MEDMNIST if name != "pneumoniamnist"]  # neither sorted nor without copies


def idx(array: np.ndarray) -> bytes:
    """The format of MNIST: two zeros, type 8 (unsigned byte), number of axes, their lengths, then the bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.astype(np.uint8).tobytes()


@cache
def drawn(n: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(n).randint(0, 256, (n, *shape)).astype(np.uint8)


def mnist_archives() -> dict[str, bytes]:
    arrays = {
        "train-images-idx3": drawn(20, 28, 28),
        "train-labels-idx1": np.arange(20) % 10,
        "t10k-images-idx3": drawn(8, 28, 28),
        "t10k-labels-idx1": np.arange(8),
    }
    return {f"{name}-ubyte.gz": gzip.compress(idx(array)) for name, array in arrays.items()}


def emnist_archives() -> dict[str, bytes]:
    arrays = {
        "train-images-idx3": drawn(20, 28, 28),
        "train-labels-idx1": np.arange(20) % 26 + 1,
        "test-images-idx3": drawn(8, 28, 28),
        "test-labels-idx1": np.array([1, 2, 3, 4, 5, 6, 25, 26]),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("gzip/emnist-byclass-mapping.txt", "of no use here")
        for name, array in arrays.items():
            archive.writestr(f"gzip/emnist-letters-{name}-ubyte.gz", gzip.compress(idx(array)))
    return {"gzip.zip": buffer.getvalue()}


def cifar_archives() -> dict[str, bytes]:
    records = np.concatenate([(np.arange(28) % 10)[:, None], drawn(28, 3072)], axis=1).astype(np.uint8)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for i in (4, 2, 0, 1, 3, 5):  # the order inside the archive is of no matter
            content = records[4 * i : 4 * i + (8 if i == 5 else 4)].tobytes()
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{names[i]}.bin")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return {"cifar-10-binary.tar.gz": buffer.getvalue()}


def pneumonia_archives() -> dict[str, bytes]:
    images = drawn(31, 28, 28)
    arrays = {"train": np.concatenate([images[:15], images[15:16]]), "val": images[15:20], "test": images[20:28]}
    buffer = io.BytesIO()
    np.savez(
        buffer,
        **{f"{split}_images": rows for split, rows in arrays.items()},
        **{f"{split}_labels": (np.arange(len(rows)) % 2)[:, None].astype(np.uint8) for split, rows in arrays.items()},
    )
    return {"pneumoniamnist.npz": buffer.getvalue()}


def medmnist_archives(name: str) -> dict[str, bytes]:
    rows, (path,) = medmnist_images(name), DATASETS[name].files
    buffer = io.BytesIO()
    parts = {"train": rows[:15], "val": rows[15:20], "test": rows[20:]}
    np.savez_compressed(
        buffer,
        **{f"{split}_images": part for split, part in parts.items()},
        **{f"{split}_labels": (np.arange(len(part)) % 7)[:, None].astype(np.uint8) for split, part in parts.items()},
    )
    return {Path(path).name: buffer.getvalue()}


def medmnist_images(name: str) -> np.ndarray:
    channels, *pixels = DATASETS[name].image_shape
    return drawn(28, *pixels, *([channels] if channels > 1 else []))


ARCHIVES = {
    **{name: partial(medmnist_archives, name) for name in AS_THEY_ARE},
    "mnist": mnist_archives,
    "fashion-mnist": mnist_archives,
    "kmnist": mnist_archives,
    "emnist-letters": emnist_archives,
    "pneumoniamnist": pneumonia_archives,
    "cifar10": cifar_archives,
}


@pytest.fixture(params=FETCHED)
def stand_in(request, monkeypatch):
    """Name of a data set whose downloads give small archives: 20 images for train and val, 15 + 5, and 8 for test."""
    name, archives = request.param, ARCHIVES[request.param]()
    record, set_apart = DATASETS[name], readers.set_apart
    files = {}
    for path in record.files:
        last = Path(path).name
        content = archives[last] if last in archives else gzip.decompress(archives[f"{last}.gz"])
        files[path] = File((digest_of(content),), len(content))
    monkeypatch.setitem(DATASETS, name, replace(record, files=files))
    monkeypatch.setattr(readers, "set_apart", lambda x, y, split, n_val: set_apart(x, y, split, n_val // 1000))

    def same_md5(path, md5):
        official = {digest for file in record.files.values() for digest in file.digests if digest.startswith("md5:")}
        assert not official or f"md5:{md5}" in official
        return Path(path).read_bytes() == archives[Path(path).name]

    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda url, path: Path(path).write_bytes(archives[Path(path).name]))
    monkeypatch.setattr(utils, "check_md5", same_md5)
    return name


def test_a_download_is_checked_read_and_split(stand_in, tmp_path):
    folder = tmp_path / "made" / "by it"
    splits = {split: load_split(stand_in, split, folder, download=True) for split in SPLITS}
    assert {split: len(images) for split, images in splits.items()} == {"train": 15, "val": 5, "test": 8}
    for images in splits.values():
        assert images.images.shape[1:] == DATASETS[stand_in].image_shape
        assert images.images.dtype == torch.uint8
        assert images.images.is_contiguous()
        assert 0 <= int(images.labels.min()) <= int(images.labels.max()) < len(images.class_names)
    kept = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert kept == set(DATASETS[stand_in].files)


def test_the_images_of_a_split_belong_to_its_reader(stand_in, tmp_path):
    first = load_split(stand_in, "test", tmp_path, download=True)
    expected = first.images.clone()
    first.images.zero_()
    assert torch.equal(load_split(stand_in, "test", tmp_path).images, expected)


def test_without_download_nothing_is_fetched(stand_in, tmp_path):
    with pytest.raises(DataError, match="--download"):
        load_split(stand_in, "test", tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_fetched_again(stand_in, tmp_path, monkeypatch):
    prepare(stand_in, tmp_path, download=True)
    asked = []
    monkeypatch.setattr(utils, "_urlretrieve", recorded(utils._urlretrieve, asked))
    prepare(stand_in, tmp_path, download=True)
    assert not asked
    (tmp_path / next(iter(DATASETS[stand_in].files))).unlink()
    prepare(stand_in, tmp_path, download=True)
    assert asked


def no_connection(url, path):
    raise URLError("no connection")


def cut_off(url, path):
    raise IncompleteRead(b"half of it")


def half(url, path):
    Path(path).write_bytes(b"half of it")


def interrupted(url, path):
    Path(path).write_bytes(b"half of it")
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("failure", "error"),
    [(no_connection, DataError), (cut_off, DataError), (half, DataError), (interrupted, KeyboardInterrupt)],
)
def test_a_failed_download_leaves_nothing(stand_in, tmp_path, monkeypatch, failure, error):
    monkeypatch.setattr(utils, "_urlretrieve", failure)
    with pytest.raises(error) as raised:
        prepare(stand_in, tmp_path, download=True)
    if error is DataError:
        for told in (DATASETS[stand_in].title, str(tmp_path), "check the connection", *DATASETS[stand_in].files):
            assert told in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_data_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="check the connection and the folder"):
        prepare("cifar10", tmp_path / "file" / "below", download=True)


def test_torchvision_knows_the_same_archives():
    kmnist = {f"KMNIST/raw/{name}": f"md5:{md5}" for name, md5 in torchvision.datasets.KMNIST.resources}
    assert {path: file.digests[1] for path, file in DATASETS["kmnist"].files.items()} == kmnist
    (emnist,) = DATASETS["emnist-letters"].files.values()
    assert emnist.digests[1] == f"md5:{torchvision.datasets.EMNIST.md5}"


@pytest.mark.parametrize("stand_in", ["kmnist"], indirect=True)
def test_validation_images_are_the_first_of_a_fixed_permutation(stand_in, tmp_path):
    val = np.sort(np.random.RandomState(0).permutation(20)[:5])
    train = np.setdiff1d(np.arange(20), val)
    for split, rows in {"val": val, "train": train}.items():
        images = load_split(stand_in, split, tmp_path, download=True)
        assert (images.images[:, 0].numpy() == drawn(20, 28, 28)[rows]).all()
        assert images.labels.tolist() == (rows % 10).tolist()


@pytest.mark.parametrize("stand_in", ["emnist-letters"], indirect=True)
def test_emnist_is_set_upright_and_counted_from_zero(stand_in, tmp_path):
    images = load_split(stand_in, "test", tmp_path, download=True)
    stored = drawn(8, 28, 28)
    assert int(images.images[3, 0, 2, 27]) == int(stored[3, 27, 2])
    assert (images.images[:, 0].numpy() == stored.transpose(0, 2, 1)).all()
    assert [images.class_names[label] for label in images.labels] == list("ABCDEFYZ")


@pytest.mark.parametrize("stand_in", ["cifar10"], indirect=True)
def test_cifar10_is_red_green_blue_row_by_row(stand_in, tmp_path):
    images = load_split(stand_in, "test", tmp_path, download=True)
    stored = drawn(28, 3072)
    assert images.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]  # records 20 to 27
    red, green, blue = images.images[1]
    assert [int(red[0, 1]), int(red[1, 0])] == stored[21, [1, 32]].tolist()
    assert [int(green[0, 0]), int(blue[0, 0]), int(blue[31, 31])] == stored[21, [1024, 2048, 3071]].tolist()
    both = torch.cat([load_split(stand_in, split, tmp_path).images for split in ("train", "val")])
    assert {image.tobytes() for image in both.numpy()} == {record.tobytes() for record in stored[:20]}


@pytest.mark.parametrize("stand_in", ["pneumoniamnist"], indirect=True)
def test_pneumonia_images_of_another_split_are_left_out_of_train(stand_in, tmp_path):
    train = load_split(stand_in, "train", tmp_path, download=True)
    images = drawn(31, 28, 28)
    found = {image.tobytes(): int(label) for image, label in zip(train.images.numpy(), train.labels, strict=True)}
    assert found == {image.tobytes(): i % 2 for i, image in enumerate(images[:15])}


@pytest.mark.parametrize("stand_in", AS_THEY_ARE, indirect=True)
def test_medmnist_is_read_in_its_own_order(stand_in, tmp_path):
    stored = medmnist_images(stand_in)
    for split, rows in {"train": stored[:15], "val": stored[15:20], "test": stored[20:]}.items():
        images = load_split(stand_in, split, tmp_path, download=True)
        expected = rows.transpose(0, 3, 1, 2) if rows.ndim == 4 else rows[:, None]
        assert (images.images.numpy() == expected).all()
        assert images.labels.tolist() == [i % 7 for i in range(len(rows))]


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_another_medmnist_file_than_the_published_one_is_refused(name, tmp_path):
    ((path, file),) = DATASETS[name].files.items()
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_bytes(medmnist_archives(name)[Path(path).name])
    with pytest.raises(DataError, match=f"got other content in .*; expected {file.digests[0]}; delete it"):
        load_split(name, "test", tmp_path)


@pytest.mark.parametrize("stand_in", ["bloodmnist"], indirect=True)
def test_the_medical_commands_of_the_page_are_parsed_and_ask_for_their_data(stand_in, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "data-sets.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```bash\n(abele [^`]*{stand_in}[^`]*)```", page)
    commands = [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
    shutil.copytree(ROOT / "training", tmp_path / "training")
    monkeypatch.chdir(tmp_path)
    assert [command[:2] for command in commands] == [["abele", "train"]] * 2
    for _, _, *arguments in commands:
        check(arguments)
    classifier, autoencoder = (command[command.index("--name") + 1] for command in commands)
    assert classifier != autoencoder
    assert f"runs/{classifier}/checkpoint" in commands[1]
    monkeypatch.setattr(utils, "_urlretrieve", no_connection)
    assert main(commands[0][1:]) == 2
    assert "got no download of BloodMNIST into data" in capsys.readouterr().err


@pytest.mark.parametrize("stand_in", ["mnist"], indirect=True)
def test_the_command_of_the_page_asks_for_its_data(stand_in, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "data-sets.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"```bash\nabele (.*)\n```", page)
    shutil.copytree(ROOT / "training", tmp_path / "training")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(utils, "_urlretrieve", no_connection)
    assert main(shlex.split(command)) == 2
    assert "got no download of MNIST into data" in capsys.readouterr().err


# Downloads into the user's own data folder


def test_a_download_keeps_what_is_there_and_removes_what_a_killed_one_left(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_bytes(b"the user's")
    (tmp_path / ".download-of-mine").mkdir()
    dead, living = tmp_path / ".download-dead", tmp_path / ".download-alive"
    for folder in (dead, living):
        folder.mkdir()
        (folder / "half").write_bytes(b"half")
    (dead / ".download.abele-lock").touch()

    def fetch(folder):
        (folder / "a").mkdir()
        for name in ("mine", "new"):
            (folder / "a" / name).write_bytes(b"fetched")

    with alone(living, "download"):
        fetch_files("letters", tmp_path, {name: File(()) for name in ("a/mine", "a/new")}, fetch)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert found == {"a", "a/mine", "a/new", ".download-of-mine", ".download-alive", ".download-alive/half"}
    assert (tmp_path / "a" / "mine").read_bytes() == b"the user's"
