"""The pictures beside a trained autoencoder: samples, walks along the latent axes, reconstructions. Drawn as PNG bytes.

Samples and walks show generated images only and travel with the checkpoint. Reconstructions show images of the data
set, which may not be anyone's to pass on: they stay with the run.
"""

import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from ..models.adversarial import AdversarialAutoencoder
from ..models.mixture import Mixture
from .data_module import EVALUATED

COLUMNS = 11
WALKS = 64  # coordinates that a picture shows; more would take long, and nobody looks at so many
REACH = 3.0  # of a walk along one axis: 99.7 % of the prior lies within

# pixels
_GAP, _MARGIN, _ROWS, _TITLE, _NAMES, _BELOW = 2, 12, 92, 20, 28, 10
_DPI = 100
_LONGEST = 11  # letters of a class name that fit over an image


class Block(NamedTuple):
    """Images in a grid, with words.

    Attributes:
        images: (R, N, C, H, W) in [0, 1].
        title: over the grid; empty for none.
        rows: R names, left of the grid; empty for none.
        columns: N names of at most two lines, over the images; empty for none.
    """

    images: Tensor
    title: str
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()


@torch.no_grad()
def samples(network: AdversarialAutoencoder) -> bytes:
    """Generated images: samples of the prior, then of the mixture fitted to the codes, where there is one."""
    latents = {"Samples of the prior N(0, I)": _prior(network)}
    if network.mixture is not None:
        latents["Samples of the mixture fitted to the codes of training images"] = _of_mixture(network.mixture)
    return drawn(
        [Block(network.decode(points).unflatten(0, (-1, COLUMNS)), title) for title, points in latents.items()]
    )


@torch.no_grad()
def traversals(network: AdversarialAutoencoder) -> bytes:
    """What each latent coordinate changes: from one generated image, one coordinate at a time goes from -3 to 3.

    Of more than 64 coordinates the first 64 are shown; those of the architecture ``pca`` begin as the
    largest principal components.

    The walks start from a sample of the mixture, or of the prior where there is none (of several, the one at the most
    usual distance from the origin), not from the origin itself: a normal distribution of many coordinates has next to
    nothing there, and its image is a blur of all classes.
    """
    candidates = _prior(network) if network.mixture is None else _of_mixture(network.mixture)
    distances = candidates.norm(dim=1)
    start = candidates[(distances - distances.median()).abs().argmin()]
    steps = torch.linspace(-REACH, REACH, COLUMNS)
    shown = min(WALKS, network.latent_dim)
    walks = start.repeat(shown, COLUMNS, 1)
    for axis in range(shown):
        walks[axis, :, axis] = steps
    images = network.decode(walks.flatten(0, 1)).unflatten(0, walks.shape[:2])
    rows = [f"z{axis} ({value:+.1f})" for axis, value in enumerate(start[:shown].tolist())]
    title = "One coordinate at a time from -3 to 3, the others as in one generated image (their values: left)"
    return drawn([Block(images, title, rows, [f"{round(step, 1) + 0.0:.1f}" for step in steps.tolist()])])


@torch.no_grad()
def reconstructions(
    network: AdversarialAutoencoder,
    images: Tensor,
    latents: Tensor,
    black_box: nn.Module | None,
    class_names: Sequence[str],
) -> bytes:
    """Images of the data set over their reconstructions: random ones, then the worst.

    With a black box, the worst are the images whose label is lost, those first of which it was surest; without one, and
    where no label is lost, those with the largest errors.

    Args:
        network: trained.
        images: (N, C, H, W) in [0, 1], best of the test split.
        latents: (N, k) their codes.
        black_box: (N, C, H, W) in [0, 1] to (N, K) probabilities.
        class_names: K names.
    """
    decoded = torch.cat([network.decode(part) for part in latents.split(EVALUATED)])
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[: 3 * COLUMNS].sort().values
    errors = (decoded - images).square().flatten(1).mean(dim=1).sqrt()
    words = [f"error\n{255 * error:.0f} of 255" for error in errors.tolist()]
    worst, title = errors.argsort(descending=True), "The largest errors"
    if black_box is not None:
        scores, again = (torch.cat([black_box(part) for part in x.split(EVALUATED)]) for x in (images, decoded))
        labels, labels_again = scores.argmax(dim=1), again.argmax(dim=1)
        names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}." for name in class_names]
        words = [f"{names[a]}\n\u2192 {names[b]}" for a, b in zip(labels.tolist(), labels_again.tolist(), strict=True)]
        lost = torch.nonzero(labels != labels_again).flatten()
        if len(lost):
            worst = lost[scores[lost].amax(dim=1).argsort(descending=True)]
            title = f"Labels lost by the reconstruction: {len(lost)} of {len(images)} images, the surest first"
    blocks = []
    for head, part in (("Random images over their reconstructions", chosen), (title, worst[: 2 * COLUMNS])):
        for i, rows in enumerate(part.split(COLUMNS)):
            pair = torch.stack([images[rows], decoded[rows]])
            columns = [words[row] for row in rows.tolist()]
            blocks.append(Block(pair, "" if i else head, ["image", "reconstruction"], columns))
    return drawn(blocks)


def drawn(blocks: Sequence[Block]) -> bytes:
    """Blocks below each other, as the content of a PNG file; an image's pixels become squares of pixels."""
    channels, height, width = blocks[0].images.shape[2:]
    scale = math.ceil(56 / width)  # titles fit over 11 images of this many pixels
    cell = (height * scale + _GAP, width * scale + _GAP)
    left = _MARGIN + _ROWS * any(block.rows for block in blocks)
    tops, bottom = [], 0
    for block in blocks:
        bottom += _TITLE * bool(block.title) + _NAMES * bool(block.columns)
        tops.append(bottom)
        bottom += len(block.images) * cell[0] + _BELOW
    size = (left + COLUMNS * cell[1] + _MARGIN, bottom)
    figure = Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI)

    def write(x: float, y: float, text: str, points: float, align: str) -> None:
        figure.text(
            x / size[0], 1 - y / size[1], text, fontsize=points, ha=align, va="center", linespacing=1.0,
            parse_math=False,
        )  # fmt: skip

    for block, top in zip(blocks, tops, strict=True):
        if block.title:
            write(left, top - _NAMES * bool(block.columns) - _TITLE / 2, block.title, 8.5, "left")
        for i, name in enumerate(block.columns):
            write(left + (i + 0.5) * cell[1], top - _NAMES / 2, name, 6, "center")
        for i, name in enumerate(block.rows):
            write(left - 6, top + (i + 0.5) * cell[0], name, 7.5, "right")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    page = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")
    for block, top in zip(blocks, tops, strict=True):
        for i, row in enumerate(block.images):
            for j, image in enumerate(row):
                page.paste(_picture(image, scale), (left + j * cell[1], top + i * cell[0]))
    return _encoded(page if channels == 3 else page.convert("L"))


def png(grid: Tensor) -> bytes:
    """A (3, H, W) grid in [0, 1] as the content of a PNG file."""
    return _encoded(_picture(grid, 1))


def _picture(image: Tensor, scale: int) -> Image.Image:
    """(C, H, W) in [0, 1], grey or colour, each pixel as ``scale`` by ``scale`` pixels."""
    pixels = (255 * image.clamp(0, 1)).round().byte().expand(3, -1, -1).permute(1, 2, 0)
    return Image.fromarray(pixels.repeat_interleave(scale, 0).repeat_interleave(scale, 1).numpy())


def _encoded(page: Image.Image) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _prior(network: AdversarialAutoencoder) -> Tensor:
    return torch.randn(5 * COLUMNS, network.latent_dim, generator=torch.Generator().manual_seed(0))


def _of_mixture(mixture: Mixture) -> Tensor:
    return mixture.sample(5 * COLUMNS, torch.Generator().manual_seed(0))
