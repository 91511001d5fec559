"""Images: what is no image of the right kind is refused in clear words; pictures and arrays are read in one range."""

import contextlib
import subprocess
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from abele_py import read_image
from abele_py.datasets.images import check_image, is_blank, resized, scaled
from abele_py.errors import AbeleError, ImageError

GREY = (1, 28, 28)
COLOUR = (3, 28, 28)
GRADIENT = np.arange(28 * 28, dtype=np.uint32).reshape(28, 28) % 256


def refused(function, *arguments, match):
    with pytest.raises(ImageError, match=match) as caught:
        function(*arguments)
    assert isinstance(caught.value, (AbeleError, ValueError))
    text = str(caught.value)
    assert "got" in text
    assert ";" in text, "says what to do"
    return text


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(GRADIENT.astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (torch.rand(28, 28), r"image\[None\]"),
        (torch.rand(28, 28, 1), "channels first"),
        (torch.rand(1, 1, 28, 28), r"images\[0\]"),
        (torch.rand(3, 28, 28), r"expected \(C, H, W\) = \(1, 28, 28\)"),
        (torch.rand(1, 32, 32), r"got an image of shape \(1, 32, 32\)"),
        (torch.zeros(0), "got an image of shape"),
        (torch.zeros(GREY, dtype=torch.uint8), "divide 8-bit pixels by 255"),
        (torch.zeros(GREY, dtype=torch.int64), "got an image of int64"),
        (torch.zeros(GREY, dtype=torch.bool), "got an image of bool"),
        (np.zeros(GREY, dtype=np.complex64), "got an image of complex64"),
        (np.full(GREY, "white"), "expected floats"),
        (np.full(GREY, None), "expected floats"),
        (torch.full(GREY, torch.nan), "NaN"),
        (torch.full(GREY, torch.inf), "infinite"),
        (torch.full(GREY, 1.001), "got pixels from"),
        (torch.full(GREY, -0.5), "undo the normalisation"),
        (torch.rand(GREY) * 255, "divide by 255"),
        ([[0.0] * 28] * 28, "got an image of type list"),
        ("seven.png", "that exists"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_image_is_refused(image, match):
    refused(check_image, image, GREY, match=match)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f4")])
def test_floats_of_any_size_become_float32(dtype):
    value = check_image(np.full(GREY, 0.5, dtype=dtype), GREY)
    assert value.dtype == torch.float32
    assert bool((value == 0.5).all())


def test_a_flipped_array_is_an_image_like_any_other():
    array = np.linspace(0, 1, 784, dtype=np.float32).reshape(GREY)
    assert torch.equal(check_image(array[:, :, ::-1], GREY), torch.from_numpy(array).flip(2))


def test_the_checked_image_is_a_copy():
    given = torch.zeros(GREY)
    checked = check_image(given, GREY)
    given += 1
    assert float(checked.max()) == 0


def test_a_tensor_with_gradients_gives_one_without():
    assert not check_image(torch.rand(GREY, requires_grad=True), GREY).requires_grad


def test_a_png_is_read_exactly(png):
    value = read_image(png, GREY)
    assert value.shape == GREY
    assert torch.equal(value, torch.from_numpy(GRADIENT.astype(np.float32) / 255)[None])


def test_a_path_may_be_a_text(png):
    assert torch.equal(read_image(str(png), GREY), read_image(png, GREY))


def test_grey_becomes_colour_and_colour_grey(tmp_path, png):
    colour = read_image(png, COLOUR)
    assert torch.equal(colour, read_image(png, GREY).repeat(3, 1, 1))
    red = tmp_path / "red.png"
    Image.new("RGB", (28, 28), (255, 0, 0)).save(red)
    assert torch.equal(read_image(red, COLOUR), torch.tensor([1.0, 0, 0])[:, None, None].expand(COLOUR))
    assert float(read_image(red, GREY).max()) == pytest.approx(0.299, abs=0.01)


@pytest.mark.parametrize(("mode", "white"), [("1", 1), ("P", 255), ("LA", (255, 255)), ("RGBA", (255,) * 4)])
def test_pictures_of_other_modes_are_converted(tmp_path, mode, white):
    path = tmp_path / "white.png"
    Image.new("L", (28, 28), 255).convert(mode).save(path) if mode == "P" else Image.new(mode, (28, 28), white).save(
        path
    )
    assert bool((read_image(path, GREY) == 1).all())


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "float.tif", "big-endian.tif", "lab.tif"])
def test_pictures_of_16_bits_and_other_strange_modes_are_refused_not_clipped(tmp_path, name):
    path = tmp_path / name
    if name == "float.tif":
        Image.fromarray(GRADIENT.astype(np.float32)).save(path)
    elif name == "lab.tif":
        Image.new("LAB", (28, 28)).save(path)
    elif name == "big-endian.tif":
        Image.frombytes("I;16B", (28, 28), (GRADIENT * 256).astype(">u2").tobytes()).save(path)
    else:
        Image.fromarray((GRADIENT * 256).astype(np.uint16)).save(path)
    refused(read_image, path, GREY, match=name if name == "lab.tif" else "expected 8 bits per channel")


def test_a_picture_of_another_size_is_refused_and_resizing_offered(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("L", (40, 20), 128).save(path)
    refused(read_image, path, GREY, match="got a picture of 40x20 pixels; expected 28x28; pass --resize")
    value = read_image(path, GREY, resize=True)
    assert value.shape == GREY
    torch.testing.assert_close(value, torch.full(GREY, 128 / 255))


def test_resizing_keeps_a_thin_stroke(tmp_path):
    pixels = np.zeros((280, 280), dtype=np.uint8)
    pixels[:, 141] = 255
    Image.fromarray(pixels).save(tmp_path / "thin.png")
    value = read_image(tmp_path / "thin.png", GREY, resize=True)
    assert float(value[0, 14].sum()) == pytest.approx(0.1, rel=0.3)


def test_a_missing_file_is_refused(tmp_path):
    refused(read_image, tmp_path / "no.png", GREY, match="expected a picture or .npy file that exists")
    refused(read_image, tmp_path, GREY, match="expected a picture or .npy file that exists")


@pytest.mark.parametrize("name", ["empty.png", "empty.npy"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    refused(read_image, tmp_path / name, GREY, match="empty file")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".tif"])
def test_a_truncated_picture_is_refused_wherever_it_ends(tmp_path, suffix):
    path = tmp_path / f"whole{suffix}"
    Image.fromarray(GRADIENT.astype(np.uint8)).save(path)
    content = path.read_bytes()
    read_image(path, GREY)
    for n in (1, 5, 20, len(content) // 2):
        (tmp_path / f"part{suffix}").write_bytes(content[:n])
        refused(read_image, tmp_path / f"part{suffix}", GREY, match="part")


def test_a_damaged_picture_is_read_or_refused_but_never_another_error(png, tmp_path):
    content = bytearray(png.read_bytes())
    for position in range(0, len(content), 3):
        damaged = bytes(content[:position]) + bytes([content[position] ^ 0x55]) + bytes(content[position + 1 :])
        (tmp_path / "damaged.png").write_bytes(damaged)
        with contextlib.suppress(ImageError):
            assert read_image(tmp_path / "damaged.png", GREY).shape == GREY


@pytest.mark.parametrize("content", [b"hello, I am no picture", b"\x00" * 100, b"%PDF-1.7\n", zlib.compress(b"x" * 99)])
def test_a_file_that_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "text.png").write_bytes(content)
    refused(read_image, tmp_path / "text.png", GREY, match="not a readable picture")


def test_a_picture_too_large_to_unpack_is_refused(tmp_path, png, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    refused(read_image, png, GREY, match="too many pixels; expected at most 50 million")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # between the limit of the warning and of the error
    refused(read_image, png, GREY, match="too many pixels; expected at most 50 million")


@pytest.mark.parametrize(
    "array",
    [
        GRADIENT.astype(np.uint8),
        GRADIENT.astype(np.uint8)[None],
        GRADIENT.astype(np.uint8)[:, :, None],
        (GRADIENT / 255).astype(np.float32),
        (GRADIENT / 255)[None],
    ],
    ids=["uint8", "uint8 CHW", "uint8 HWC", "float32", "float64 CHW"],
)
def test_arrays_are_read_with_or_without_a_channel_axis(tmp_path, array):
    np.save(tmp_path / "image.npy", array)
    torch.testing.assert_close(
        read_image(tmp_path / "image.npy", GREY), torch.from_numpy((GRADIENT / 255).astype(np.float32))[None]
    )


def test_a_colour_array_may_have_its_channels_last(tmp_path):
    array = np.zeros((28, 28, 3), dtype=np.uint8)
    array[:, :, 1] = 255
    np.save(tmp_path / "green.npy", array)
    assert read_image(tmp_path / "green.npy", COLOUR)[:, 0, 0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.full((28, 28), None), "no readable .npy"),
        (np.full((28, 28), "a"), "without an array of numbers"),
        (GRADIENT.astype(np.int64), "expected floats"),
        (GRADIENT.astype(np.float32), "expected .0, 1."),
        (np.full((28, 28), np.nan), "NaN"),
        (np.zeros((5, 28, 28, 1)), "got an image of shape"),
        (np.zeros(28), "got an image of shape"),
        (np.float32(0.5), "got an image of shape"),
        (np.zeros((3, 28, 28)), "got an image of shape"),
    ],
)
def test_arrays_that_are_no_image_are_refused(tmp_path, array, match, resize):
    np.save(tmp_path / "image.npy", array, allow_pickle=True)
    refused(read_image, tmp_path / "image.npy", GREY, resize, match=match)


@pytest.mark.parametrize(
    "array", [np.full((40, 40), 3.0), np.full((40, 40), -1.0), np.full((40, 40), 200), np.zeros((1, 0, 9))]
)
def test_resizing_hides_no_wrong_range_type_or_size(tmp_path, array):
    np.save(tmp_path / "image.npy", array)
    refused(read_image, tmp_path / "image.npy", GREY, True, match="got")


def test_damaged_arrays_are_refused(tmp_path):
    np.save(tmp_path / "whole.npy", np.zeros(GREY))
    content = (tmp_path / "whole.npy").read_bytes()
    for damaged in (  # truncated, no array, and headers that lie
        content[:20],
        content[:500],
        b"no array",
        content.replace(b"(1, 28, 28)", b"(9**9, 28,)"),
        content.replace(b"(1, 28, 28), }     ", b"(1, 28, 28000000), }"),
        content.replace(b"(1, 28, 28), }           ", b"(9999, 9999, 9999999), }"),
    ):
        assert damaged != content
        (tmp_path / "damaged.npy").write_bytes(damaged)
        refused(read_image, tmp_path / "damaged.npy", GREY, match="no readable .npy")


def test_an_archive_of_arrays_is_no_image(tmp_path):
    np.savez(tmp_path / "many.npz", a=np.zeros(GREY))
    (tmp_path / "many.npz").rename(tmp_path / "many.npy")
    refused(read_image, tmp_path / "many.npy", GREY, match="without an array")


def test_pictures_for_autoencoders_of_other_channels_are_refused(png):
    refused(read_image, png, (4, 28, 28), match="4 channels")


def test_an_array_named_as_a_picture_and_a_picture_named_as_an_array_are_told_as_such(tmp_path):
    array, picture = tmp_path / "array.npy", tmp_path / "picture.png"
    np.save(array, np.zeros((4, 4), dtype=np.float32))
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(picture)
    for path, name, words in ((array, "a.png", "holds a numpy array"), (picture, "a.npy", "holds a picture")):
        other = path.rename(tmp_path / name)
        with pytest.raises(ImageError, match=words):
            read_image(other, (1, 4, 4))


# Ranges are guessed from values


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
def test_a_mask_is_read_as_it_is(tmp_path, dtype):
    mask = (GRADIENT > 99).astype(dtype)
    np.save(tmp_path / "mask.npy", mask)
    assert np.array_equal(read_image(tmp_path / "mask.npy", GREY)[0].numpy(), mask.astype(np.float32))


@pytest.mark.parametrize("high", [2, 15, 16])
def test_small_numbers_of_8_bits_are_refused_for_white_may_be_anything(tmp_path, high):
    np.save(tmp_path / "small.npy", (GRADIENT % (high + 1)).astype(np.uint8))
    text = refused(read_image, tmp_path / "small.npy", GREY, match=f"from 0 to {high}: nearly black if white is 255")
    assert f"a picture if white is {high}" in text


def test_other_8_bit_arrays_are_divided_by_255(tmp_path):
    array = (GRADIENT % 18).astype(np.uint8)
    np.save(tmp_path / "dark.npy", array)
    assert torch.equal(read_image(tmp_path / "dark.npy", GREY)[0], torch.from_numpy(array).float() / 255)


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (torch.randint(0, 17, GREY), "such as 16 for scikit-learn"),
        (torch.linspace(0, 16, 784).reshape(GREY), "such as 16 for scikit-learn"),
        (torch.eye(28, dtype=torch.uint8)[None], r"image.float\(\)"),
        (torch.eye(28, dtype=torch.bool)[None], r"image.float\(\)"),
        (torch.full(GREY, 40_000.0), "such as 65535"),
    ],
)
def test_the_way_out_follows_from_the_values(image, match):
    refused(check_image, image, GREY, match=match)


def test_what_hardly_differs_is_blank():
    assert is_blank(torch.full(GREY, 0.5))
    assert is_blank(torch.rand(GREY) * 16 / 255)
    assert not is_blank(torch.linspace(0.4, 0.6, 784).reshape(GREY))


@pytest.mark.parametrize(("ink", "ground"), [((0, 0, 0), 1.0), ((255, 255, 255), 0.0)])
def test_ink_on_a_transparent_ground_can_be_seen(tmp_path, ink, ground):
    picture = Image.new("RGBA", (28, 28), (0, 0, 0, 0))
    picture.paste((*ink, 255), (8, 8, 20, 20))
    picture.save(tmp_path / "ink.png")
    if ground:
        with pytest.warns(UserWarning, match=r"ink\.png: put on white: parts are transparent"):
            value = read_image(tmp_path / "ink.png", GREY)
    else:
        value = read_image(tmp_path / "ink.png", GREY)
    assert float(value[0, 0, 0]) == ground
    assert float(value[0, 10, 10]) == 1 - ground


# Hostile pictures


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.eps", "x"])
@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EndComments\nshowpage\n", b"%PDF-1.4\n"]
)
def test_a_program_is_no_picture_whatever_it_is_called(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / name).write_bytes(content)
    refused(read_image, tmp_path / name, GREY, match="expected PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM or .npy")


def test_too_many_pixels_are_refused_before_one_is_decoded(tmp_path, monkeypatch):
    Image.new("1", (9400, 9400)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    refused(read_image, tmp_path / "large.png", GREY, True, match="of 9400x9400 pixels; expected at most 50 million")


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_of_several_frames_the_first_is_read_and_told(tmp_path, suffix):
    first, second = (Image.new("L", (28, 28), level) for level in (0, 255))
    first.save(tmp_path / f"x.{suffix}", save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match="the first of its 2 frames was read"):
        assert float(read_image(tmp_path / f"x.{suffix}", GREY).max()) < 0.02


def test_channels_scaled_one_by_one_are_as_scaled_together():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 90, 70), dtype=np.uint8)
    assert torch.equal(scaled(pixels, (28, 28)), resized(torch.from_numpy(pixels).float() / 255, (28, 28)))
