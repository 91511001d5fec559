"""A user's own images that cannot be imported are refused in words; those that are, are a data set."""

import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from support.shapes import NAMES, arrays, draw_shapes, imported, refused, shape

from abele_py.datasets.importing import import_images
from abele_py.datasets.loading import dataset_of, load_image, load_split
from abele_py.datasets.prepared_images import read_own_images
from abele_py.errors import DataError, ParameterError, UnknownNameError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


# What is refused


def test_no_such_place(tmp_path):
    refused(tmp_path / "nowhere", "expected a folder with one folder per class, or an .npz")
    (tmp_path / "x.txt").write_text("x")
    refused(tmp_path / "x.txt", "expected a folder, or a file .npz")


def test_a_folder_without_classes(tmp_path):
    root = tmp_path / "shapes"
    root.mkdir()
    refused(root, "got no folders in")
    shape("disc", np.random.default_rng(0)).save(root / "a.png")
    refused(root, "sort the pictures into folders")
    (root / "disc").mkdir()
    refused(root, "got no pictures in")


def test_splits_beside_other_folders(tmp_path):
    root = tmp_path / "shapes"
    for seed, part in enumerate(("train", "test", "extra")):
        draw_shapes(root / part, 5, seed=seed)
    refused(root, r"got the folder train, which holds folders \(cross, disc, square\), beside extra; .*move extra")


def test_a_class_may_be_called_train(tmp_path):
    root = tmp_path / "vehicles"
    draw_shapes(root, 5)
    (root / "disc").rename(root / "train")
    (root / "train" / "more").mkdir()
    (root / "train" / "most").mkdir()
    assert imported(root).class_names == ("cross", "square", "train")


def test_one_class(pictures):
    for name in NAMES[1:]:
        shutil.rmtree(pictures / name)
    refused(pictures, "got one class in .*: cross; expected two or more")


def test_a_class_with_too_few(pictures):
    for path in sorted((pictures / "disc").iterdir())[4:]:
        path.unlink()
    refused(pictures, "got 4 different images of the class 'disc'; expected at least 5")


def test_a_class_that_a_given_split_lacks(tmp_path):
    root = tmp_path / "shapes"
    for seed, part in enumerate(("train", "val", "test")):
        draw_shapes(root / part, 6, seed=seed)
    shutil.rmtree(root / "val" / "disc")
    refused(root, "got no image of the class 'disc' in val")


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "16 bit"])
def test_unreadable_pictures_are_named_and_skipped_on_request(pictures, damage):
    first, second = sorted((pictures / "disc").iterdir())[:2]
    for path in (first, second):
        if damage == "16 bit":
            Image.fromarray(np.zeros((16, 16), np.uint16)).save(path)
        else:
            content = path.read_bytes()
            path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"no picture"}[damage])
    refused(pictures, rf"got 2 files \(disc/{first.name}, disc/{second.name}\) that cannot be read.*skip_unreadable")
    own = imported(pictures, skip_unreadable=True)
    assert len(own.images) == 28
    assert any(f"skipped 2 files (disc/{first.name}" in note for note in own.notes)


def test_pictures_none_of_which_can_be_read(pictures):
    for path in pictures.glob("*/*"):
        path.write_bytes(b"no picture")
    refused(pictures, r"got 30 files \(.*, \.\.\.\) that cannot be read")
    refused(pictures, "got 0 different images of the class 'cross'", skip_unreadable=True)


def test_sizes_that_differ_need_a_word(pictures):
    Image.new("L", (20, 12), 9).save(pictures / "disc" / "zz.png")
    refused(pictures, r"cross/\S+ has 16x16 pixels, disc/zz.png 20x12; .*--data.size 28")
    assert imported(pictures, size=12).images.shape == (31, 1, 12, 12)


def test_large_pictures_need_a_word(tmp_path):
    root = draw_shapes(tmp_path / "shapes", 5, side=129)
    refused(root, r"got pictures of 129x129 pixels .*expected 4 to 128 a side; pass --data.size 28")
    assert imported(root, size=129).images.shape[2:] == (129, 129)


def test_a_picture_too_large_to_be_meant_is_unreadable(pictures, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    Image.new("L", (20, 20)).save(pictures / "disc" / "bomb.png")
    refused(pictures, r"got 1 file \(disc/bomb.png\) that cannot be read", size=16)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": 3}, "got size 3; expected 4 to 256"),
        ({"size": 257}, "expected 4 to 256"),
        ({"colour": "blue"}, "got colour 'blue'; expected one of: auto, grey, rgb"),
        ({"splits": (0.7, 0.3)}, "expected shares of train, val and test"),
        ({"splits": (0.7, 0.3, 0)}, "above 0"),
        ({"splits": (0.7, 0.2, 0.2)}, "sum to 1"),
        ({"splits": (float("nan"), 0.2, 0.2)}, "sum to 1"),
    ],
)
def test_options_that_cannot_be(pictures, options, match):
    refused(pictures, match, ParameterError, **options)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"images": None}, "got the arrays labels in x.npz; expected images and labels"),
        ({"labels": None}, "got no array labels"),
        ({"labels": np.arange(9) % 2}, r"labels of shape \(9,\) for 10 images"),
        ({"labels": np.arange(10) % 2 - 1}, "got labels from -1 to 0"),
        ({"labels": np.arange(10) % 2 * 1e9}, "got labels of float64; expected whole numbers"),
        ({"labels": np.arange(10) % 2 * 10**9}, "got labels from 0 to 1000000000; expected"),
        ({"labels": np.array(["a", "b"] * 5)}, "expected whole numbers"),
        ({"class_names": np.array(["a"])}, "got labels from 0 to 1 for 1 class_names; expected 0 to 0"),
        ({"class_names": np.array(["a", "a"])}, "expected different texts"),
        ({"class_names": np.array(["a", "b", "c"])}, "got 0 different images of the class 'c'"),
        ({"class_names": np.array(["a", "b"], dtype=object)}, "got Python objects in the array class_names"),
        ({"images": np.array([None] * 10)}, "objects can hold code and are never loaded"),
        ({"images": np.zeros((10, 8, 8), np.int64)}, "got images of int64; expected uint8, or floats"),
        ({"images": np.full((10, 8, 8), 1.5)}, "got pixels from 1.5 to 1.5"),
        ({"images": np.full((10, 8, 8), -0.5)}, "undo the normalisation"),
        ({"images": np.full((10, 8, 8), np.nan)}, "NaN or infinite"),
        ({"images": np.zeros((10, 4, 8, 8), np.uint8)}, "with 1 or 3 channels"),
        ({"images": np.zeros((10, 64), np.uint8)}, r"of shape \(10, 64\)"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, r"of shape \(0, 1, 8, 8\)"),
        ({"images": np.zeros((10, 200, 200), np.uint8)}, "got pictures of 200x200 pixels"),
        ({"images": np.zeros((10, 8, 8), np.uint8)}, "got 0 different images"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, changes, match):
    refused(arrays(tmp_path / "x.npz", **changes), match)


class Malicious:
    """Says so when unpickled."""

    def __reduce__(self):
        return (exec, ("raise RuntimeError('code has run')",))


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.array([Malicious()], dtype=object), labels=np.zeros(1, int))
    refused(tmp_path / "x.npz", "got Python objects in the array images")


def test_damaged_array_files(tmp_path):
    path = arrays(tmp_path / "x.npz")
    path.write_bytes(path.read_bytes()[:300])
    refused(path, "which is no readable .npz")
    with zipfile.ZipFile(path, "w") as file:  # a header that promises far more than the file holds
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 1000, 1000), }"
        file.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        file.writestr("labels.npy", b"")
    refused(path, "which is no readable .npz")


def test_a_place_that_cannot_be_written(pictures, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    first = import_images(pictures, pictures.parent / "kept.npz").read_bytes()
    monkeypatch.setattr(np, "savez", full)
    refused(pictures, "No space left on device")
    with pytest.raises(DataError, match="No space left"):
        import_images(pictures, pictures.parent / "kept.npz", seed=3)
    assert (pictures.parent / "kept.npz").read_bytes() == first


# As a data set


def test_a_prepared_file_is_a_data_set(pictures):
    path = str(import_images(pictures, pictures.parent / "x-data.npz", licence="CC0"))
    own, record = read_own_images(path), dataset_of(path)
    assert record.image_shape == (1, 16, 16)
    assert record.class_names == NAMES
    assert record.licence == "CC0"
    assert str(pictures.parent) not in f"{record.name} {record.title} {record.source}"
    for split in ("train", "val", "test"):
        images = load_split(path, split)
        assert len(images) == record.sizes[split]
        assert np.array_equal(images.images.numpy(), own.images[own.rows(split)])
        assert np.array_equal(images.labels.numpy(), own.labels[own.rows(split)])
    images.images.zero_()  # whoever asks next is not concerned
    assert load_split(path, "test").images.any()
    assert torch.equal(load_image(f"{path}:test:2"), load_split(path, "test").images[2] / 255)
    with pytest.raises(ParameterError, match=r"got index 99; expected 0 to 5"):
        load_image(f"{path}:test:99")
    with pytest.raises(UnknownNameError):
        load_split(path, "validation")


def test_a_prepared_file_made_anew_is_read_anew(pictures):
    path = import_images(pictures, pictures.parent / "x-data.npz")
    before = read_own_images(path).splits.copy()
    import_images(pictures, path, seed=1)
    assert not np.array_equal(read_own_images(path).splits, before)


def test_other_files_are_no_prepared_images(tmp_path):
    with pytest.raises(DataError, match=r"got no file .*expected prepared images; make it with: abele train"):
        dataset_of(str(tmp_path / "x-data.npz"))
    with pytest.raises(DataError, match="which holds no prepared images"):
        dataset_of(str(arrays(tmp_path / "x.npz")))
    np.savez(tmp_path / "x.npz", images=np.array([Malicious()], dtype=object))
    with pytest.raises(DataError, match="which holds no prepared images"):
        dataset_of(str(tmp_path / "x.npz"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", np.full(30, 3)),
        ("labels", np.zeros(29, np.int64)),
        ("splits", np.zeros(30, np.int8)),
        ("images", np.zeros((30, 2, 16, 16), np.uint8)),
        ("images", np.zeros((30, 1, 16, 16), np.float32)),
        ("record", np.array("{}")),
    ],
)
def test_a_prepared_file_whose_arrays_do_not_fit(pictures, name, value):
    path = import_images(pictures, pictures.parent / "x-data.npz")
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **content | {name: value})
    with pytest.raises(DataError, match="which holds no prepared images"):
        read_own_images(path)


@pytest.mark.parametrize(("high", "ok"), [(1, True), (2, False), (16, False), (17, True)])
def test_the_white_of_an_array_file_is_that_of_all_its_images(tmp_path, high, ok):
    images = np.random.default_rng(0).integers(0, high + 1, (10, 8, 8), dtype=np.uint8)
    path = arrays(tmp_path / "x.npz", images=images)
    if not ok:
        refused(path, f"got 8-bit pixels from 0 to {high}: nearly black if white is 255")
    else:
        assert imported(path).images.max() == (255 if high == 1 else high)


def test_images_that_all_look_the_same_are_refused(tmp_path):
    images = np.random.default_rng(0).random((10, 8, 8)) * 16 / 255  # divided by 255 instead of 16
    refused(arrays(tmp_path / "x.npz", images=images), "where nothing can be seen")
