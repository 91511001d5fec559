"""The data sets: every entry of the table keeps what its record says; damaged and missing data are refused."""

import hashlib
import importlib.util
import os
import re
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from support.downloads import digest_of, recorded
from support.marks import slow_if
from support.paths import ROOT
from support.real_data import data_dir_of
from torchvision.datasets import utils

from abele_py.datasets.catalog import DATASETS
from abele_py.datasets.files import File, check_files
from abele_py.datasets.loading import load_split, prepare
from abele_py.datasets.readers import channels_first, enlarge_digits
from abele_py.datasets.records import SPLITS, to_unit
from abele_py.errors import DataError, UnknownNameError

MEDMNIST = [name for name, record in DATASETS.items() if next(iter(record.files), "").startswith("medmnist/")]
FILES = [name for name, record in DATASETS.items() if record.files]

# sha256 of the bytes of all labels and images: the splits must never change under a shipped checkpoint
CONTENT = {
    ("digits", "train"): "0c1ad34c9c928cda97520c23bd4907c3d859c54e4e28a925acbf427a98af1c60",
    ("digits", "val"): "8883dc9414d4eb31d29431d3e18704416645b197f8d688274d75e54c94c31bc5",
    ("digits", "test"): "89a91eec4c1a416ddf9421894d9a2233cd93d67db3a35808f3588a89b059390a",
    ("mnist", "val"): "149089f5e824808a81bb50434d357b228405e04df3e0888799ef1ea12767d629",
    ("mnist", "test"): "6bfdba1d84ed554183b4828e8b6c889f7fd8244ce69e5c88134d85558440207b",
    ("fashion-mnist", "val"): "94d94a357b3354ad789317b0a23b5bfbbfead05d544d8b212d1ee4da12447c92",
    ("fashion-mnist", "test"): "5004ffe943f2cb8d2c14c84bc4434e9c2ca747f031fae8f081fc70e655048674",
    ("pneumoniamnist", "train"): "521f047ea68993429d962a9efa4f882af11174902e70f6abaf7f35bf905a2d7b",
    ("pneumoniamnist", "val"): "1fadf0abe0498d8c86a30ff6d1956afcf54422519c1e75d6a4ff9976d81bace2",
    ("pneumoniamnist", "test"): "c41aff9c94d8a94f2569a429ef8080dfe60fb3e237b3abc69bc30daf4bc47a19",
    ("cifar10-jpeg", "val"): "bbf0a3833138473481bac9295baee4ef7bcfcbf18c00d0d60778e46edcca39da",
    ("cifar10-jpeg", "test"): "62b58015d027fa494cfc84eeb20b0c369917d33e177a5a4f7a65507f0e7bed76",
}


LONG = {"cifar10-jpeg"}  # 50,000 JPEGs to decode
ALL = slow_if(LONG.__contains__, DATASETS)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", ALL)
def test_split_is_what_its_record_says(name, split):
    record = DATASETS[name]
    images = load_split(name, split, data_dir_of(name))
    assert len(images) == record.sizes[split]
    assert images.images.shape == (record.sizes[split], *record.image_shape)
    assert images.images.dtype == torch.uint8
    assert images.labels.dtype == torch.int64
    assert images.class_names == record.class_names
    assert set(images.labels.tolist()) == set(range(len(record.class_names)))
    assert images.images.min() < 5
    assert images.images.max() > 250


@pytest.mark.parametrize("name", DATASETS)
def test_record_is_complete(name):
    record = DATASETS[name]
    assert record.name == name
    assert record.title
    assert record.licence
    assert record.source
    assert record.splitting
    assert set(record.sizes) == set(SPLITS)
    assert len(set(record.class_names)) == len(record.class_names) > 1
    assert record.image_shape[0] in (1, 3)


def digests(name: str) -> list[str]:
    return [digest for file in DATASETS[name].files.values() for digest in file.digests]


@pytest.mark.parametrize("name", FILES)
def test_digests_are_whole_and_of_no_other_data_set(name):
    others = {
        digest for other in FILES if other != name for f in DATASETS[other].files.values() for digest in f.digests
    }
    for file in DATASETS[name].files.values():
        assert file.digests
        assert others.isdisjoint(file.digests)
        for digest in file.digests:
            assert re.fullmatch("sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", digest)


@pytest.mark.parametrize("name", MEDMNIST)
def test_medmnist_is_fetched_from_its_record(name, tmp_path, monkeypatch):
    record, asked = DATASETS[name], []
    monkeypatch.setattr(utils, "download_url", lambda *arguments: asked.append(arguments))
    record.fetch(tmp_path)
    ((path, file),) = record.files.items()
    ((url, folder, last, md5),) = asked
    assert Path(folder) / last == tmp_path / path
    assert url == f"https://zenodo.org/records/10519652/files/{last}?download=1"
    assert f"md5:{md5}" in file.digests


@pytest.mark.parametrize("name", MEDMNIST)
def test_sizes_of_medmnist_have_the_classes_images_and_licence_of_the_smallest(name):
    record, smallest = DATASETS[name], DATASETS[name.removesuffix("-64")]
    side = 64 if name.endswith("-64") else 28
    assert record.image_shape == (smallest.image_shape[0], side, side)
    for same in ("class_names", "sizes", "licence", "source"):
        assert getattr(record, same) == getattr(smallest, same)
    assert "not for clinical use" in record.licence
    assert ("CC BY-NC" in record.licence) == ("not for commercial use" in record.licence) == ("derma" in name)


@pytest.mark.parametrize("name", ALL)
def test_splits_share_no_image(name):
    seen: set[bytes] = set()
    distinct = 0
    for split in SPLITS:
        own = {image.tobytes() for image in load_split(name, split, data_dir_of(name)).images.numpy()}
        seen |= own
        distinct += len(own)
    assert len(seen) == distinct


@pytest.mark.parametrize(("name", "split"), slow_if(lambda key: key[0] in LONG, CONTENT))
def test_content_has_not_changed(name, split):
    images = load_split(name, split, data_dir_of(name))
    found = hashlib.sha256(images.labels.numpy().tobytes() + images.images.numpy().tobytes()).hexdigest()
    assert found == CONTENT[name, split]


def test_digits_are_enlarged_bilinearly():
    small = load_digits().images
    expected = torch.nn.functional.interpolate(torch.tensor(small)[:, None] * 255 / 16, size=(28, 28), mode="bilinear")
    enlarged = enlarge_digits(small.astype(np.int64))
    assert np.abs(enlarged - expected.numpy()).max() <= 0.5 + 1e-9


def test_unit_range():
    unit = to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert unit.dtype == torch.float32
    assert torch.equal(unit, torch.tensor([0.0, 0.2, 1.0]))


def test_loading_leaves_the_global_random_states_alone():
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    load_split("digits", "train")
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_unknown_names_say_what_is_known():
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist'"):
        load_split("mnits", "test")
    with pytest.raises(UnknownNameError, match="expected one of: train, val, test"):
        load_split("digits", "validation")


@pytest.mark.parametrize("name", FILES)
def test_missing_data_say_how_to_get_them(name, tmp_path):
    record = DATASETS[name]
    with pytest.raises(DataError) as raised:
        load_split(name, "test", tmp_path)
    message = str(raised.value)
    for told in (record.title, str(tmp_path), "--data-dir", "ABELE_DATA_DIR", record.advice):
        assert told in message
    assert ("--download" in message) == ("download=True" in message) == (record.fetch is not None)


def test_other_copies_of_cifar10_are_told_apart(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match=r"cifar-10-batches-py.* pickled .* never read: the binary version is needed"):
        load_split("cifar10", "test", tmp_path)
    with pytest.raises(DataError, match=r"lossy copy cannot be downloaded.* cifar10, from https://www.cs.toronto.edu"):
        load_split("cifar10-jpeg", "test", tmp_path, download=True)


def test_the_data_folder_can_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ABELE_DATA_DIR", str(tmp_path / "from-environment"))
    with pytest.raises(DataError, match="from-environment"):
        load_split("mnist", "test")
    with pytest.raises(DataError, match="from-argument"):
        load_split("mnist", "test", tmp_path / "from-argument")


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_refused(name, tmp_path, monkeypatch):
    contents = {path: path.encode() * 3 for path in DATASETS[name].files}
    files = {path: File((digest_of(content),), len(content)) for path, content in contents.items()}
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], files=files, read=None))
    ticks = count(1)

    def write(path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (next(ticks),) * 2)  # the clock of a file system may stand still between two writes

    for path, content in contents.items():
        write(tmp_path / path, content)
    prepare(name, tmp_path)
    for path, content in contents.items():
        victim, flipped = tmp_path / path, bytes([content[0] ^ 1]) + content[1:]
        for damaged, what in {
            content[:-1]: "bytes in",
            content + b" ": "bytes in",
            flipped: "other content in",
        }.items():
            write(victim, damaged)
            with pytest.raises(DataError, match=rf"{what} .*{victim.name}; expected .*; delete it and fetch it again"):
                prepare(name, tmp_path)
        write(victim, content)
        prepare(name, tmp_path)


def test_one_of_several_digests_is_enough(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    md5 = "md5:900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5
    check_files("A", tmp_path, {"a": File(("sha256:0", md5))}, "")
    with pytest.raises(DataError, match="got other content"):
        check_files("A", tmp_path, {"a": File(("sha256:0", "md5:0"))}, "")


def test_a_file_is_hashed_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    files = {"a": File((digest_of(b"abc"),))}
    hashed = []
    monkeypatch.setattr(hashlib, "file_digest", recorded(hashlib.file_digest, hashed))
    for _ in range(3):
        check_files("A", tmp_path, files, "")
    assert len(hashed) == 1


@pytest.mark.parametrize("n", [0, 1, 999, 1000, 2001])
def test_channels_come_first_in_the_same_memory(n):
    images = np.random.RandomState(n).randint(0, 256, (n, 3, 5, 3)).astype(np.uint8)
    expected = images.transpose(0, 3, 1, 2).copy()
    moved = channels_first(images)
    assert moved.shape == (n, 3, 3, 5)
    assert (moved == expected).all()
    assert moved.flags.c_contiguous
    assert n == 0 or np.shares_memory(moved, images)


def test_the_page_of_data_sets_is_fresh():
    spec = importlib.util.spec_from_file_location("data_sets", ROOT / "benchmarks" / "data_sets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "data-sets.md").read_text(encoding="utf-8")
    assert module.fresh(page) == page, "run: python benchmarks/data_sets.py"
    for name, record in DATASETS.items():
        assert f"`{name}`" in page
        assert record.source in page
        for path, file in record.files.items():
            assert all(text in page for text in (path, *file.digests))
