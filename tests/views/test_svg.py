"""Pictures of a page: exact where they are small, small where they are not, and the same every time."""

import base64
import io

import pytest
import torch
from PIL import Image

from abele_py.views.neighborhood_map import projection
from abele_py.views.svg import (
    DIVERGING,
    N_COLORS,
    SHAPES,
    bytes_of,
    chart,
    color_of,
    data_uri,
    map_uri,
    scatter,
    shape_of,
)


def opened(uri):
    kind, content = uri.split(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    assert kind == f"data:image/{picture.format.lower()}"
    return picture


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_small_image_is_kept_to_the_pixel(channels):
    image = torch.rand(channels, 9, 7, generator=torch.Generator().manual_seed(0))
    picture = opened(data_uri(image))
    assert picture.format == "PNG"
    assert picture.size == (7, 9)
    assert picture.getpixel((3, 5)) == pytest.approx((255 * image[0, 5, 3]).round().item()) or channels == 3
    if channels == 3:
        assert list(picture.getpixel((3, 5))) == (255 * image[:, 5, 3]).round().tolist()


@pytest.mark.parametrize("room", [1_000, 4_000, 20_000])
def test_a_large_image_takes_no_more_than_its_room(room):
    image = torch.rand(3, 256, 200, generator=torch.Generator().manual_seed(0))
    uri = data_uri(image, room)
    assert len(uri) <= room * 4 / 3 + 100
    width, height = opened(uri).size
    assert width / height == pytest.approx(200 / 256, rel=0.1)


def test_a_map_is_neutral_at_0_and_has_opposite_colours_on_both_sides():
    picture = opened(map_uri(torch.tensor([[-1.0, 0.0, 1.0]])))
    low, zero, high = (picture.getpixel((i, 0)) for i in range(3))
    assert zero[3] == 0
    assert "#{:02x}{:02x}{:02x}".format(*low[:3]) == DIVERGING[0]
    assert "#{:02x}{:02x}{:02x}".format(*high[:3]) == DIVERGING[-1]
    assert low[3] == high[3] == 255
    assert len(DIVERGING) % 2 == 1
    assert base64.b64decode(bytes_of(torch.tensor([[-1.0, 0.0, 1.0]]))) == bytes([129, 0, 127])


def test_the_map_finds_the_two_directions_that_tell_labels_apart():
    generator = torch.Generator().manual_seed(0)
    centers = torch.tensor([[0.0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 3]])
    labels = torch.arange(300) % 3
    latents = centers[labels] + 0.1 * torch.randn(300, 4, generator=generator)
    latents[:, 0] += 20 * torch.rand(300, generator=generator)  # the largest spread says nothing of labels
    basis, share = projection(latents, labels)
    torch.testing.assert_close(basis.T @ basis, torch.eye(2, dtype=torch.float64))
    flat = latents.double() @ basis
    means = torch.stack([flat[labels == y].mean(dim=0) for y in range(3)])
    assert float(torch.cdist(means, means)[0, 1:].min()) > 2.5
    assert 0.99 < share <= 1
    again, _ = projection(latents, labels)
    assert torch.equal(basis, again)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 0, 1]])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_few_labels_and_dimensions_have_a_map_too(k, labels):
    basis, share = projection(torch.rand(4, k, generator=torch.Generator().manual_seed(0)), torch.tensor(labels))
    assert basis.shape == (k, 2)
    assert bool(basis.isfinite().all())
    assert 0 <= share <= 1 + 1e-9


def test_points_in_one_place_can_be_drawn():
    point = torch.zeros(2, dtype=torch.float64)
    drawn = scatter([("a", 0, point.expand(3, 2))], [("b", point)], point, "three points")
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert 'aria-label="three points"' in drawn


def test_no_label_is_known_by_its_colour_or_shape_alone():
    looks = {(shape_of(i), color_of(i)) for i in range(12)}
    assert len(looks) == 12
    assert len(SHAPES) != N_COLORS, "colours and shapes come round at different times"


@pytest.mark.parametrize(
    "lines", [[[0.0, 1.0]], [[0.2, 0.3, 0.1], [-4.0, 7.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.5]]]
)
def test_charts_of_any_scores(lines):
    drawn = chart(lines, "scores")
    assert drawn.count('class="line ') == len(lines)
    assert "nan" not in drawn
