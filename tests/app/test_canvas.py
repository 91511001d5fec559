"""Drawings become images like those of the data set; whatever else a browser may send is refused."""

import base64
import io
import warnings

import pytest
import torch
from PIL import Image

from abele_py.app.canvas import as_drawn, read_drawing
from abele_py.datasets.catalog import DATASETS
from abele_py.errors import ImageError

MNIST = DATASETS["mnist"].drawn


def address(picture, kind="PNG"):
    content = io.BytesIO()
    picture.save(content, kind)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def ink(top, left, height, width, side=280):
    drawing = torch.zeros(side, side)
    drawing[top : top + height, left : left + width] = 1
    return drawing


def extent(image):
    rows, columns = ((image[0] > 0.02).any(dim=d).nonzero().flatten() for d in (1, 0))
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


@pytest.mark.parametrize(
    ("place", "size"),
    [((10, 10, 200, 100), (20, 10)), ((100, 30, 50, 250), (4, 20)), ((0, 0, 280, 280), (20, 20))],
)
def test_a_drawing_for_mnist_fills_a_box_of_20_pixels_around_its_centre_of_mass(place, size):
    image = as_drawn(ink(*place), (1, 28, 28), *MNIST)
    assert image.shape == (1, 28, 28)
    assert extent(image) == size
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1
    at = torch.arange(28.0)
    assert float((image[0].sum(dim=1) * at).sum() / image.sum()) == pytest.approx(14, abs=0.51)
    assert float((image[0].sum(dim=0) * at).sum() / image.sum()) == pytest.approx(14, abs=0.51)


def test_where_and_how_large_it_is_drawn_does_not_matter():
    small, large = (
        as_drawn(ink(10, 20, 80, 40), (1, 28, 28), *MNIST),
        as_drawn(ink(70, 90, 160, 80), (1, 28, 28), *MNIST),
    )
    assert small.allclose(large, atol=1e-5)


def test_a_drawing_for_digits_fills_the_image_and_is_as_blurred(digit_images):
    box, detail = DATASETS["digits"].drawn
    image = as_drawn(ink(40, 120, 200, 24), (1, 28, 28), box, detail)
    assert extent(image)[0] == 28

    def blur(images):  # of what an image changes from pixel to pixel, how little is sudden
        return float(images.diff(dim=-1).abs().max())

    assert blur(image) <= blur(digit_images)
    assert blur(as_drawn(ink(40, 120, 200, 24), (1, 28, 28), box, 28)) > blur(digit_images)


def test_a_dot_and_a_hairline_are_drawings_too():
    assert float(as_drawn(ink(5, 5, 1, 1), (1, 28, 28), *MNIST).max()) > 0.9
    assert extent(as_drawn(ink(0, 140, 280, 1), (1, 28, 28), *MNIST))[0] == 20


def test_in_colour_every_channel_is_the_same():
    image = as_drawn(ink(5, 5, 100, 100), (3, 32, 32), 24, 32)
    assert image.shape == (3, 32, 32)
    assert image[0].equal(image[2])
    assert image.is_contiguous()


def test_an_empty_drawing_is_refused_and_says_what_to_do():
    with pytest.raises(ImageError, match=r"got an empty drawing; expected white lines .*; draw"):
        as_drawn(torch.zeros(280, 280), (1, 28, 28), *MNIST)


def test_a_canvas_is_read_as_it_was_drawn():
    canvas = Image.new("RGBA", (280, 280), "black")
    canvas.paste("white", (100, 50, 120, 250))
    assert read_drawing(address(canvas)).equal(ink(50, 100, 200, 20))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "data:image/png;base64,",
        "data:image/png;base64,$$$",
        "data:image/png;base64," + base64.b64encode(b"hello").decode(),
        "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode(),
        address(Image.new("L", (9, 9)), "GIF"),
        address(Image.new("L", (280, 280)))[:150],
        address(Image.new("L", (1, 1001))),
        "https://example.org/a.png",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ImageError, match=r"got no readable drawing .*; expected a PNG of the canvas; draw"):
        read_drawing(text)


def test_a_bomb_is_refused_before_it_is_unpacked():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="5000x5000"):
            read_drawing(address(Image.new("1", (5000, 5000))))
