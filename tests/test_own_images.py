"""A user's own images: imported right or refused in words, trained on, explained; the page about them works."""

import re
import shlex
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageDraw

from abele_py.checkpoints import Manifest, save_checkpoint
from abele_py.classifiers import ConvolutionalClassifier
from abele_py.cli import main
from abele_py.datasets import dataset_of, load_image, load_split
from abele_py.errors import AbeleError, DataError, ParameterError, UnknownNameError
from abele_py.finishing import finish
from abele_py.images import read_image
from abele_py.own_images import import_images
from abele_py.own_training import is_chain, train_chain
from abele_py.prepared import read_own_images
from abele_py.training import main as train

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "training" / "folder.yaml"
PAGE = (ROOT / "docs" / "own-images.md").read_text(encoding="utf-8")
NAMES = ("cross", "disc", "square")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


def shape(kind: str, random: np.random.Generator, side: int = 16, mode: str = "L") -> Image.Image:
    """A square, disc or cross, somewhere near the middle, of a random size and brightness."""
    x, y = random.uniform(0.4, 0.6, 2) * side
    r = random.uniform(0.2, 0.35) * side
    fill = tuple(random.integers(120, 256, len(mode)).tolist()) if len(mode) > 1 else int(random.integers(120, 256))
    picture = Image.new(mode, (side, side))
    draw = ImageDraw.Draw(picture)
    if kind == "square":
        draw.rectangle([x - r, y - r, x + r, y + r], fill=fill)
    elif kind == "disc":
        draw.ellipse([x - r, y - r, x + r, y + r], fill=fill)
    else:
        draw.rectangle([x - r, y - r / 3, x + r, y + r / 3], fill=fill)
        draw.rectangle([x - r / 3, y - r, x + r / 3, y + r], fill=fill)
    return picture


def draw_shapes(root: Path, n: int = 10, side: int = 16, mode: str = "L", seed: int = 0) -> Path:
    """A folder of ``n`` pictures per class, all different."""
    random, seen = np.random.default_rng(seed), set()
    for kind in NAMES:
        (root / kind).mkdir(parents=True)
        while len(list((root / kind).iterdir())) < n:
            picture = shape(kind, random, side, mode)
            if picture.tobytes() not in seen:
                seen.add(picture.tobytes())
                picture.save(root / kind / f"{len(seen):04d}.png")
    return root


@pytest.fixture
def pictures(tmp_path):
    return draw_shapes(tmp_path / "shapes")


def imported(source, **options):
    return read_own_images(import_images(source, source.parent / "x-data.npz", **options))


def in_source_order(own, split=None):
    """Rows of the prepared images in the order of the array file that they came from."""
    rows = range(len(own.names)) if split is None else own.rows(split)
    return sorted(rows, key=lambda row: int(re.search(r"\d+", own.names[row]).group()))


def arrays(path, **changes):
    """An array file of ten random images in two classes, with some arrays changed; None leaves one out."""
    random = np.random.default_rng(0)
    content = {"images": random.integers(0, 256, (10, 8, 8), dtype=np.uint8), "labels": np.arange(10) % 2} | changes
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return path


def refused(source, match, error=DataError, **options):
    with pytest.raises(error, match=match) as found:
        import_images(source, source.parent / "x-data.npz", **options)
    assert re.match(r"got .*; ", str(found.value))
    assert not list(source.parent.glob("*x-data*")), "nothing half-written is left"


# What is imported


def test_a_folder_gives_every_picture_once_with_its_class(pictures):
    own = imported(pictures)
    assert own.class_names == NAMES
    assert own.images.shape == (30, 1, 16, 16)
    assert own.images.dtype == np.uint8
    assert own.title == "shapes"
    for image, label, name in zip(own.images, own.labels, own.names, strict=True):
        assert name.split("/")[0] == NAMES[label]
        assert np.array_equal(image[0], np.asarray(Image.open(pictures / name)))
    assert sorted(own.names) == sorted(p.relative_to(pictures).as_posix() for p in pictures.glob("*/*"))


def test_splits_are_stratified_seeded_and_disjoint(pictures):
    own = imported(pictures)
    counts = [np.bincount(own.labels[own.rows(split)]).tolist() for split in ("train", "val", "test")]
    assert counts == [[6] * 3, [2] * 3, [2] * 3]
    assert np.array_equal(imported(pictures).splits, own.splits)
    assert not np.array_equal(imported(pictures, seed=1).splits, own.splits)
    half = imported(pictures, splits=(0.5, 0.2, 0.3))
    assert [len(half.rows(split)) for split in ("train", "val", "test")] == [15, 6, 9]


def test_the_prepared_file_is_the_same_every_time(pictures):
    first = import_images(pictures, pictures.parent / "x-data.npz").read_bytes()
    assert import_images(pictures, pictures.parent / "x-data.npz").read_bytes() == first


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_given_splits_are_kept(tmp_path, val):
    root = tmp_path / "shapes"
    for seed, part in enumerate(("train", val, "test")):
        draw_shapes(root / part, 5 + seed, seed=seed)
    own = imported(root)
    folders = {"train": "train", "val": val, "test": "test"}
    for split, folder in folders.items():
        names = [own.names[row] for row in own.rows(split)]
        assert len(names) > 9
        assert {name.split("/")[0] for name in names} == {folder}
    assert own.splitting == "splits as given"


def test_a_missing_val_is_drawn_from_train(tmp_path):
    root = tmp_path / "shapes"
    draw_shapes(root / "train", 20)
    draw_shapes(root / "test", 6, seed=1)
    own = imported(root)
    sources = {split: {own.names[row].split("/")[0] for row in own.rows(split)} for split in ("train", "val", "test")}
    assert sources == {"train": {"train"}, "val": {"train"}, "test": {"test"}}
    assert len(own.rows("val")) == 3 * round(20 * 0.15 / 0.85)
    assert "val drawn from train" in own.splitting


def test_exact_copies_are_left_out_and_told(pictures):
    original = sorted((pictures / "disc").iterdir())[0]
    shutil.copy(original, pictures / "disc" / "z-copy.png")
    Image.open(original).save(pictures / "disc" / "z-again.bmp")  # another file with the same pixels
    own = imported(pictures)
    assert len(own.images) == 30
    assert any("left out 2 files (disc/z-again.bmp, disc/z-copy.png): exact copies" in note for note in own.notes)


def test_of_copies_in_given_splits_the_test_image_stays(tmp_path):
    root = tmp_path / "shapes"
    for seed, part in enumerate(("train", "val", "test")):
        draw_shapes(root / part, 6, seed=seed)
    copied = sorted((root / "test" / "disc").iterdir())[0]
    shutil.copy(copied, root / "train" / "disc" / "0-copy.png")
    own = imported(root)
    assert f"test/disc/{copied.name}" in own.names
    assert "train/disc/0-copy.png" not in own.names


def test_one_image_under_two_classes_is_left_out_of_both(pictures):
    shutil.copy(sorted((pictures / "disc").iterdir())[0], pictures / "square" / "z.png")
    own = imported(pictures)
    assert len(own.images) == 29
    assert "square/z.png" not in own.names
    assert any("2 files" in note and "under different classes" in note for note in own.notes)


def test_a_picture_is_prepared_as_explain_reads_it(tmp_path):
    """Scaled, in grey, with transparent parts: the same pixels, but for rounding, as ``abele explain --resize``."""
    root = draw_shapes(tmp_path / "shapes", 6, side=70, mode="RGBA")
    own = imported(root, size=20, colour="grey")
    assert own.images.shape[1:] == (1, 20, 20)
    for image, name in zip(own.images, own.names, strict=True):
        read = read_image(root / name, (1, 20, 20), resize=True)
        assert (torch.from_numpy(image) / 255 - read).abs().max() <= 0.5 / 255 + 1e-6
    assert "stretched to 20x20" in own.preparation
    assert any("on black: parts are transparent" in note for note in own.notes)


def test_transparent_parts_are_black_whatever_lies_under_them(tmp_path):
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[:, 4:, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "half.png")
    grey = read_image(tmp_path / "half.png", (1, 8, 8))
    assert grey[:, :, :4].eq(1).all()
    assert grey[:, :, 4:].eq(0).all()


def test_colours_are_found(tmp_path):
    assert imported(draw_shapes(tmp_path / "a" / "colour", mode="RGB")).images.shape[1] == 3
    root = draw_shapes(tmp_path / "b" / "grey")
    for path in root.glob("*/*"):  # grey stored with three channels is grey
        Image.open(path).convert("RGB").save(path)
    assert imported(root).images.shape[1] == 1


def test_grey_and_colour_together_need_a_word(tmp_path):
    root = draw_shapes(tmp_path / "shapes")
    for path in (root / "disc").iterdir():
        shape("disc", np.random.default_rng(int(path.stem)), mode="RGB").save(path)
    refused(root, r"grey and in colour, such as cross/\S+ and disc/\S+; .*--data.colour grey")
    rgb, grey = imported(root, colour="rgb"), imported(root, colour="grey")
    assert (rgb.images.shape[1], grey.images.shape[1]) == (3, 1)
    name = next(name for name in grey.names if name.startswith("disc"))
    expected = np.asarray(Image.open(root / name).convert("L"))
    assert np.array_equal(grey.images[grey.names.index(name), 0], expected)


def test_a_photo_lies_upright(tmp_path):
    root = draw_shapes(tmp_path / "shapes", side=16)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    picture.save(root / "disc" / "turned.png", exif=exif)
    own = imported(root)
    turned = own.images[own.names.index("disc/turned.png"), 0]
    assert np.array_equal(turned, np.rot90(np.asarray(picture), -1))


def test_files_that_are_no_pictures_are_left_out_and_told(pictures):
    (pictures / "disc" / "notes.txt").write_text("x")
    (pictures / "readme.md").write_text("x")
    (pictures / ".DS_Store").write_text("x")
    (pictures / ".cache").mkdir()
    own = imported(pictures)
    assert any("left out 2 files (disc/notes.txt, readme.md)" in note for note in own.notes)


@pytest.mark.parametrize("place", ["disc/.thumbnails", "disc/deep/__MACOSX/disc", ".hidden", "__MACOSX/disc"])
def test_pictures_in_hidden_folders_are_left_out(pictures, place):
    (pictures / place).mkdir(parents=True)
    shape("disc", np.random.default_rng(50)).save(pictures / place / "a.png")
    (pictures / "disc" / "deep").mkdir(exist_ok=True)
    shape("disc", np.random.default_rng(51)).save(pictures / "disc" / "deep" / "__a.png")
    shape("disc", np.random.default_rng(52)).save(pictures / "disc" / "deep" / "a.png")
    own = imported(pictures)
    assert len(own.images) == 31
    assert "disc/deep/a.png" in own.names


def test_notes_hold_all_names_and_show_three(pictures):
    for path in sorted((pictures / "disc").iterdir())[:4]:
        shutil.copy(path, pictures / "disc" / f"z{path.name}")
        path.with_suffix(".txt").write_text("x")
    notes = imported(pictures).notes
    for start in ("left out 4 files (disc/z", "left out 4 files (disc/0"):
        sentence = next(note for note in notes if note.startswith(start))
        assert sentence.count("disc/") == 3
        assert len(notes[sentence]) == 4
        assert all(name.startswith("disc/") for name in notes[sentence])


def test_drawn_splits_are_told(pictures, tmp_path):
    assert "note: splits are drawn picture by picture" in str(imported(pictures))
    for seed, part in enumerate(("train", "val", "test")):
        draw_shapes(tmp_path / "given" / part, 5, seed=seed)
    assert "drawn" not in str(imported(tmp_path / "given"))


def test_the_first_images_are_of_every_class(pictures):
    own = imported(pictures)
    for split, n in (("train", 9), ("val", 4)):
        assert set(own.labels[own.rows(split)[:n]]) == {0, 1, 2}
    assert imported(pictures, seed=1).names != own.names


def test_scaling_warns_of_nothing(pictures):
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # torch tells of arrays that cannot be written to only once in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            assert imported(pictures, size=12).images.shape == (30, 1, 12, 12)
    finally:
        torch.set_warn_always(before)


@pytest.mark.parametrize("axis", [None, 1, 3])
@pytest.mark.parametrize("floats", [False, True])
def test_arrays_in_any_layout_give_the_same_images(tmp_path, axis, floats):
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 9), dtype=np.uint8)
    given = images if axis is None else np.expand_dims(images, axis)
    labels = (np.arange(12) % 2)[:, None]
    path = arrays(tmp_path / "x.npz", images=given / 255 if floats else given, labels=labels)
    own = imported(path)
    rows = in_source_order(own)
    assert np.array_equal(own.images[rows, 0], images)
    assert np.array_equal(own.labels[rows], labels[:, 0])
    assert own.class_names == ("0", "1")


def test_arrays_with_splits_and_names(tmp_path):
    random = np.random.default_rng(0)
    content = {}
    for split, n in (("train", 8), ("val", 4), ("test", 6)):
        content[f"{split}_images"] = random.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        content[f"{split}_labels"] = np.arange(n) % 2
    np.savez(tmp_path / "x.npz", **content, class_names=np.array(["no", "yes"]))
    own = imported(tmp_path / "x.npz")
    assert own.class_names == ("no", "yes")
    for split in ("train", "val", "test"):
        rows = in_source_order(own, split)
        assert np.array_equal(own.images[rows], content[f"{split}_images"].transpose(0, 3, 1, 2))


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
    root = draw_shapes(tmp_path / "shapes", 5, side=65)
    refused(root, r"got pictures of 65x65 pixels .*expected 4 to 64 a side; pass --data.size 28")
    assert imported(root, size=65).images.shape[2:] == (65, 65)


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
        ({"images": np.zeros((10, 80, 80), np.uint8)}, "got pictures of 80x80 pixels"),
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
        (["--data.path=my_images", "--name=a/b"], "expected a name without folders"),
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

    monkeypatch.setattr("abele_py.own_training.train", train)
    monkeypatch.setattr("abele_py.own_training.check", lambda argv: None)
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
        "import": "abele_py.own_images.write_own_images",
        "check": "abele_py.own_training.check",
        "removal": "abele_py.own_training.shutil.rmtree",
        "training": "abele_py.own_training.train",
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
        patch.setattr("abele_py.own_training.check", refuse)
        with pytest.raises(ParameterError, match="nonsense"):
            chain("--overwrite", "--seed_everything=1")
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == before


def test_only_trainings_are_overwritten(chain):
    Path("runs/x").mkdir(parents=True)
    Path("runs/x/letter.txt").write_text("dear")
    with pytest.raises(ParameterError, match="got runs/x, which is no earlier training"):
        chain("--overwrite")
    assert [path.name for path in Path("runs").rglob("*")] == ["x", "letter.txt"]


def test_it_is_said_where_all_names_are(chain):
    for path in sorted(Path("my_images/disc").iterdir())[:4]:
        path.with_suffix(".txt").write_text("x")
    said = chain()[1]
    assert "left out 4 files (disc/" in said.replace("my_images/", "")
    assert "all names: abele_py.prepared.read_own_images('runs/x-data.npz').notes" in said


def test_options_of_a_step_may_be_written_with_dashes(here, monkeypatch):
    given = []
    monkeypatch.setattr("abele_py.own_training.train", lambda argv: None)
    monkeypatch.setattr("abele_py.own_training.check", given.append)
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
        return finish(module, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("abele_py.training.finish", full)
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
    assert next(iter(manifests["x"]["metrics"])) == "label_preservation"


# The page


def commands():
    blocks = "".join(re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.strip()]


def test_links_of_the_page_lead_somewhere():
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.slow
def test_the_page_works_as_written(here, capsys):
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
        assert main(arguments) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        if command == commands()[0]:
            said = next(line for line in out.splitlines() if line.startswith("explain a picture: "))
            assert main([*shlex.split(said.partition(": ")[2])[1:], "--samples=100"]) == 0
