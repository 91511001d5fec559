"""The pictures at the end of a training show what they say."""

import io

import pytest
import torch
from PIL import Image
from support.worlds import Scores
from torch import nn

from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.mixture import fit_mixture
from abele_py.training import pictures


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = AdversarialAutoencoder((1, 8, 8), 3, hidden=(16,), discriminator_hidden=(8,)).eval().requires_grad_(False)
    made.calibrate(torch.randn(50, 3), torch.randn(20, 3))
    return made


@pytest.fixture
def blocks(monkeypatch):
    """What a picture shows: the blocks that it was asked to draw."""
    drawn = []
    monkeypatch.setattr(pictures, "drawn", lambda some: drawn.extend(some) or b"")
    return drawn


def opened(content):
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pixels_are_drawn_as_they_are(channels, mode):
    images = torch.rand(2, 3, channels, 28, 14)
    page = opened(pictures.drawn([pictures.Block(images, "", ["a", "b"])]))
    assert page.mode == mode
    left, cell = 12 + 92, (28 * 4 + 2, 14 * 4 + 2)
    for i in range(2):
        for j in range(3):
            pixel = page.getpixel((left + j * cell[1] + 4 * 5 + 1, i * cell[0] + 4 * 9 + 1))
            expected = (255 * images[i, j, :, 9, 5]).round().int().tolist()
            assert pixel == (expected[0] if channels == 1 else tuple(expected))


def test_titles_and_names_are_written():
    images = torch.zeros(1, 2, 1, 28, 28)
    plain = opened(pictures.drawn([pictures.Block(images, "", [""])]))
    named = opened(pictures.drawn([pictures.Block(images, "A title", ["z0"], ["one", "two\nlines"])]))
    assert named.height == pytest.approx(plain.height + 20 + 28, abs=2)  # two lines of text, by version of Pillow
    head = named.crop((104, 0, named.width, 20))
    assert head.getextrema()[0] < 128 < named.crop((0, 0, 104, 20)).getextrema()[0]
    assert named.crop((60, 48, 100, 106)).getextrema()[0] < 128  # z0


def test_walks_change_one_coordinate_at_a_time(network, blocks):
    pictures.traversals(network)
    (block,) = blocks
    assert block.images.shape == (3, 11, 1, 8, 8)
    assert [name.partition(" ")[0] for name in block.rows] == ["z0", "z1", "z2"]
    assert block.columns[0] == "-3.0"
    assert block.columns[5] == "0.0"
    start = torch.tensor([float(name.partition("(")[2].rstrip(")")) for name in block.rows])  # to one decimal
    for axis in range(3):
        latents = start.repeat(11, 1)
        latents[:, axis] = torch.linspace(-3, 3, 11)
        torch.testing.assert_close(block.images[axis], network.decode(latents), atol=0.02, rtol=0)


def test_of_many_coordinates_the_first_ones_walk(network, blocks, monkeypatch):
    monkeypatch.setattr(pictures, "WALKS", 2)
    pictures.traversals(network)
    assert blocks[0].images.shape == (2, 11, 1, 8, 8)
    assert [name.partition(" ")[0] for name in blocks[0].rows] == ["z0", "z1"]


def test_samples_show_the_mixture_where_there_is_one(network, blocks):
    pictures.samples(network)
    assert [block.title for block in blocks] == ["Samples of the prior N(0, I)"]
    blocks.clear()
    far = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)) * 0.01 + 2
    network.calibrate(far, far, mixture=fit_mixture(far, far, components=(1,)))
    pictures.samples(network)
    assert "mixture" in blocks[1].title
    assert blocks[1].images.shape == (5, 11, 1, 8, 8)
    expected = network.decode(torch.full((1, 3), 2.0)).expand(55, 1, 8, 8)
    torch.testing.assert_close(blocks[1].images.flatten(0, 1), expected, atol=0.05, rtol=0)


class Blank(nn.Module):
    """An autoencoder that loses all but the mean brightness."""

    def encode(self, images):
        return images.flatten(1).mean(dim=1, keepdim=True)

    def decode(self, latents):
        return latents[:, :, None, None].expand(-1, 1, 4, 4)


def test_lost_labels_are_shown_surest_first(blocks):
    images = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.2
    images[:, :, 0, 0] = 0.1  # not lost: the label is that of the first pixel
    images[7, :, 0, 0], images[9, :, 0, 0] = 0.8, 0.9  # lost, the second one more surely
    pictures.reconstructions(Blank(), images, Blank().encode(images), Scores(), ("no", "a very long name of a class"))
    *chosen, lost = blocks
    assert [block.images.shape[:2] for block in chosen] == [(2, 11), (2, 11), (2, 11)]
    assert "2 of 40 images" in lost.title
    assert list(lost.columns) == ["a very lon.\n\u2192 no"] * 2
    assert torch.equal(lost.images[0], images[[9, 7]])
    assert torch.equal(lost.images[1], Blank().decode(Blank().encode(images[[9, 7]])))


def test_without_a_judge_the_largest_errors_are_shown(blocks):
    images = torch.full((40, 1, 4, 4), 0.5)
    images[[3, 5], :, :2], images[5, :, 2:] = 1.0, 0.0
    pictures.reconstructions(Blank(), images, Blank().encode(images), None, ("no", "yes"))
    assert blocks[-2].title == "The largest errors"
    assert torch.equal(blocks[-2].images[0, :2], images[[5, 3]])
    assert blocks[-2].columns[0] == "error\n128 of 255"
