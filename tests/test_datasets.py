"""The data sets: every entry of the table keeps what its record says; damaged and missing data are refused."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from real_data import data_dir_of
from sklearn.datasets import load_digits

from abele_py.datasets import DATASETS, SPLITS, load_split, to_unit
from abele_py.errors import DataError, UnknownNameError
from abele_py.readers import enlarge_digits

# sha256 of the bytes of all labels and images: the splits must never change under a shipped checkpoint
CONTENT = {
    ("digits", "train"): "0c1ad34c9c928cda97520c23bd4907c3d859c54e4e28a925acbf427a98af1c60",
    ("digits", "val"): "8883dc9414d4eb31d29431d3e18704416645b197f8d688274d75e54c94c31bc5",
    ("digits", "test"): "89a91eec4c1a416ddf9421894d9a2233cd93d67db3a35808f3588a89b059390a",
    ("mnist", "val"): "149089f5e824808a81bb50434d357b228405e04df3e0888799ef1ea12767d629",
}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", DATASETS)
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


@pytest.mark.parametrize("name", DATASETS)
def test_splits_share_no_image(name):
    seen: set[bytes] = set()
    distinct = 0
    for split in SPLITS:
        own = {image.tobytes() for image in load_split(name, split, data_dir_of(name)).images.numpy()}
        seen |= own
        distinct += len(own)
    assert len(seen) == distinct


@pytest.mark.parametrize(("name", "split"), CONTENT)
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


def test_missing_data_say_how_to_get_them(tmp_path):
    with pytest.raises(DataError, match="download=True"):
        load_split("mnist", "test", tmp_path)


def test_the_data_folder_can_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ABELE_DATA_DIR", str(tmp_path / "from-environment"))
    with pytest.raises(DataError, match="from-environment"):
        load_split("mnist", "test")
    with pytest.raises(DataError, match="from-argument"):
        load_split("mnist", "test", tmp_path / "from-argument")


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_file_is_refused(tmp_path, damage):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (Path(data_dir_of("mnist")) / "MNIST" / "raw").iterdir():
        shutil.copyfile(file, raw / file.name)
    assert len(load_split("mnist", "test", tmp_path)) == 10_000
    victim = raw / "t10k-images-idx3-ubyte"
    content = bytearray(victim.read_bytes())
    if damage == "truncated":
        content = content[:-1]
    else:
        content[5000] ^= 1
    victim.write_bytes(content)
    with pytest.raises(DataError, match="expected"):
        load_split("mnist", "test", tmp_path)


def test_failed_download_is_a_clear_error(tmp_path, monkeypatch):
    import torchvision.datasets

    def fail(self, root, train=True, download=False):
        raise RuntimeError("no connection")

    monkeypatch.setattr(torchvision.datasets.MNIST, "__init__", fail)
    with pytest.raises(DataError, match="no connection"):
        load_split("mnist", "test", tmp_path, download=True)
