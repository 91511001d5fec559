"""A user's own images, imported: every picture once, with its class, in splits that share nothing."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from support.shapes import NAMES, arrays, draw_shapes, imported, in_source_order, refused, shape

from abele_py.datasets.images import read_image
from abele_py.datasets.importing import import_images
from abele_py.errors import PlaceError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


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


@pytest.mark.parametrize("content", [b"", b"the user's", "arrays"])
def test_only_a_prepared_file_is_replaced(content, tmp_path, monkeypatch):
    out = tmp_path / "mine.npz"
    if content == "arrays":
        np.savez(out, images=np.zeros((9, 4, 4), np.uint8), labels=np.arange(9) % 2)
    else:
        out.write_bytes(content)
    before = out.read_bytes()
    with pytest.raises(PlaceError, match=r"mine\.npz, which is there and holds no prepared images"):
        import_images(tmp_path / "not looked at", out)
    with pytest.raises(PlaceError, match="is a folder"):
        import_images(tmp_path / "not looked at", a_folder(tmp_path / "x.npz"))
    assert out.read_bytes() == before


def a_folder(path):
    path.mkdir()
    return path
