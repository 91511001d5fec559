"""Explainers that change the image and query the black box again: occlusion, RISE, meaningful perturbation.

Occlusion and RISE work with every black box, also one that answers labels only; masks that are learnt need gradients.
"""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..black_boxes.black_box import BlackBox
from ..black_boxes.outputs import Answer, Scale, probabilities
from ..checking.parameters import Count, Many, NotNegative, Picture, Seed, Share, between, checked, inside
from ..datasets.images import check_image
from ..errors import ParameterError
from .differentiable import differentiable


@checked
def occlusion(
    image: Picture,
    black_box: BlackBox,
    target: int,
    patch: Count | None = None,
    stride: Count | None = None,
    baseline: Share = 0.0,
) -> Tensor:
    """How much the score drops when a square is covered, averaged over the squares that cover a pixel.

    Source: Zeiler & Fergus 2014, arXiv 1311.2901, section 4.2. The last square of a row and of a column lies at the
    edge, so that every pixel is covered.

    Args:
        image: (C, H, W) in [0, 1].
        black_box: any.
        target: the class to explain.
        patch: side of the square in pixels; by default 5 of 28, and as large a share of larger images.
        stride: pixels from square to square; by default half of ``patch``, rounded down.
        baseline: what covers, in [0, 1].

    Returns:
        (H, W) float32, in units of the score; negative where covering helps the target.

    Raises:
        ParameterError: there is no such class, or a size is below 1.
    """
    image = _checked(image)
    _, h, w = image.shape
    patch = max(1, round(min(h, w) * 5 / 28)) if patch is None else patch
    stride = max(1, patch // 2) if stride is None else stride
    if min(patch, stride) < 1:
        raise ParameterError(f"got patch={patch}, stride={stride}; expected at least 1; leave them out")
    rows, columns = _covers(h, patch, stride), _covers(w, patch, stride)
    places = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(columns)))
    scores = [
        _evidence(black_box, torch.where(_outer(rows[at[:, 0]], columns[at[:, 1]]), baseline, image), target)
        for at in places.split(black_box.batch_size)
    ]
    drops = (_evidence(black_box, image[None], target) - torch.cat(scores)).reshape(len(rows), len(columns))
    above, left = rows.double().T, columns.double()
    times = above.sum(dim=1, keepdim=True) * left.sum(dim=0)
    return (above @ drops.double() @ left / times).float()


@checked
def rise(
    image: Picture,
    black_box: BlackBox,
    target: int,
    n_masks: Many = 2000,
    cells: Annotated[int, between(1, 1000)] = 7,
    share: Annotated[float, inside(0, 1)] = 0.5,
    seed: Seed = 0,
) -> Tensor:
    """How much higher than usual the score is under random soft masks that show a pixel.

    Source: Petsiuk, Das & Saenko 2018, arXiv 1806.07421, equation 6; masks as in section 3.2: a grid of random bits,
    larger than the image by one cell, bilinear, shifted at random. What a mask hides becomes black. Unlike the paper
    the mean score over all masks is subtracted from each: in expectation that moves the whole map by a constant, so
    that 0 is neutral, and it takes away the error that comes of some pixels being shown more often than others.

    Args:
        image: (C, H, W) in [0, 1].
        black_box: any.
        target: the class to explain.
        n_masks: random masks; the error of the map falls with its square root.
        cells: of the grid, in each direction.
        share: of the cells that are shown, in (0, 1).
        seed: of the masks.

    Returns:
        (H, W) float32: an estimate of the expected score while the pixel is shown, minus the expected score.

    Raises:
        ParameterError: there is no such class, or an option is out of range.
    """
    image = _checked(image)
    if n_masks < 1 or cells < 1 or not 0 < share < 1:
        raise ParameterError(
            f"got n_masks={n_masks}, cells={cells}, share={share}; expected at least 1, at least 1 and a share "
            "between 0 and 1; leave them out"
        )
    _, h, w = image.shape
    generator = torch.Generator().manual_seed(seed)
    # all at once, so that the batch size does not change the masks
    bits = torch.rand(n_masks, 1, cells + 1, cells + 1, generator=generator) < share
    shifts = torch.rand(n_masks, 2, generator=generator)
    total, shown, sum_of_scores = torch.zeros(h * w).double(), torch.zeros(h * w).double(), 0.0
    for some, by in zip(bits.split(black_box.batch_size), shifts.split(black_box.batch_size), strict=True):
        masks = _shifted(some.float(), by, cells, (h, w))
        scores = _evidence(black_box, masks[:, None] * image, target)
        pixels = masks.flatten(1).double()
        total += scores.double() @ pixels
        shown += pixels.sum(dim=0)
        sum_of_scores += float(scores.double().sum())
    return ((total - sum_of_scores / n_masks * shown) / (n_masks * share)).reshape(h, w).float()


@checked
def meaningful_perturbation(
    image: Picture,
    black_box: BlackBox,
    target: int,
    reference: Literal["black", "blur"] = "black",
    n_steps: Count = 150,
    cells: Annotated[int, between(1, 1000)] = 14,
    area: NotNegative = 0.05,
    variation: NotNegative = 0.02,
) -> Tensor:
    """The small and smooth part of the image whose deletion takes the target's probability away, learnt by gradients.

    Source: Fong & Vedaldi 2017, arXiv 1704.03296, equation 3, without jitter. ``d = 1 - m`` says how much of a pixel
    is deleted: coarse, bilinear to (H, W). Adam (rate 0.1, from ``d`` = 1/2, which is kept in [0, 1]) minimises
    ``p(target | (1 - d) image + d reference) + area mean(d) + variation TV(d)``, where TV is the sum of squared
    differences of neighboring cells, divided by the number of cells.

    The paper blurs. Blurred strokes on a black ground are still strokes, so the default here deletes to black, and a
    black pixel is never evidence.

    Args:
        image: (C, H, W) in [0, 1].
        black_box: made of an ``nn.Module`` from images to scores, through which gradients flow.
        target: the class to explain.
        reference: what takes the place of what is deleted: black, or the image blurred by 10/224 of its size.
        n_steps: of Adam; each is one call of the network with one image, forth and back.
        cells: of ``d``, in each direction; no more than pixels.
        area: weight of the mean of ``d``, the paper's lambda 1.
        variation: weight of TV, the paper's lambda 2.

    Returns:
        (H, W) float32 in [0, 1], ``d``.

    Raises:
        BlackBoxError: no gradient reaches the image.
        ParameterError: there is no such class, or an option is out of range.
    """
    if n_steps < 1 or cells < 1 or reference not in ("black", "blur"):
        raise ParameterError(
            f"got n_steps={n_steps}, cells={cells}, reference={reference!r}; expected at least 1, at least 1, and "
            "'black' or 'blur'; leave them out"
        )
    network, x = differentiable(image, black_box, target, "meaningful perturbation")
    change = (torch.zeros_like(x) if reference == "black" else _blurred(x)) - x
    h, w = x.shape[2:]
    scale = _scale(black_box, network, x)
    with torch.inference_mode(False), torch.enable_grad():
        coarse = torch.full((1, 1, min(cells, h), min(cells, w)), 0.5, device=x.device, requires_grad=True)
        adam = torch.optim.Adam([coarse], lr=0.1)
        for _ in range(n_steps):
            adam.zero_grad()
            deleted = functional.interpolate(coarse, (h, w), mode="bilinear")
            probability = probabilities(network((x + deleted * change).to(x.dtype)).float(), scale)[0, target]
            rough = coarse.diff(dim=2).square().sum() + coarse.diff(dim=3).square().sum()
            (probability + area * coarse.mean() + variation * rough / coarse.numel()).backward()
            adam.step()
            coarse.data.clamp_(0, 1)
        return functional.interpolate(coarse.detach(), (h, w), mode="bilinear")[0, 0].float().cpu()


def _blurred(x: Tensor) -> Tensor:
    """(1, C, H, W), Gaussian, with the paper's width: 10 pixels of 224."""
    sigma = min(x.shape[2:]) * 10 / 224
    radius = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=x.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, -1, 1)
    c, h, w = x.shape[1:]
    rows = functional.pad(x.reshape(c, 1, h, w), (radius,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(rows, kernel), kernel.transpose(2, 3)).reshape(x.shape)


def _checked(image: Tensor) -> Tensor:
    c, h, w = (1, 1, 1, *getattr(image, "shape", ()))[-3:]
    return check_image(image, (c, h, w))


def evidence(black_box: BlackBox, answer: Answer, target: int) -> Tensor:
    """(N,) of an answer for the target.

    Raises:
        ParameterError: there is no such class.
    """
    k = black_box.n_classes
    if target < 0 or (k is not None and target >= k):
        last = "K - 1" if k is None else k - 1
        raise ParameterError(f"got target {target}; expected a class from 0 to {last}; choose one")
    return answer.evidence(target)


def _scale(black_box: BlackBox, network: nn.Module, x: Tensor) -> Scale:
    """What a copy of the black box's network answers: its probabilities, or logits, which it may answer instead."""
    answer = black_box(x.float().cpu())
    with torch.no_grad():
        own = network(x).float().cpu()
    same = answer.scores is not None and torch.allclose(own, answer.scores, rtol=1e-3, atol=1e-4)
    return "probabilities" if same and answer.scale == "probabilities" else "scores"


def _evidence(black_box: BlackBox, images: Tensor, target: int) -> Tensor:
    return evidence(black_box, black_box(images), target)


def _covers(n: int, patch: int, stride: int) -> Tensor:
    """(P, n) bool: which of n pixels in a line each of P patches covers."""
    last = max(0, n - patch)
    starts = torch.tensor(sorted({*range(0, last + 1, stride), last}))
    pixels = torch.arange(n)
    return (pixels >= starts[:, None]) & (pixels < starts[:, None] + patch)


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """(N, H) and (N, W) bool -> (N, 1, H, W)."""
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _shifted(bits: Tensor, shifts: Tensor, cells: int, size: tuple[int, int]) -> Tensor:
    """(N, H, W): grids of bits (N, 1, cells + 1, cells + 1), upsampled, and cut where shifts in [0, 1)^2 say."""
    cell = [math.ceil(n / cells) for n in size]
    large = functional.interpolate(bits, [(cells + 1) * n for n in cell], mode="bilinear")[:, 0]
    first = (shifts * torch.tensor(cell)).long()
    rows = first[:, :1] + torch.arange(size[0])
    columns = first[:, 1:] + torch.arange(size[1])
    return large[torch.arange(len(bits))[:, None, None], rows[:, :, None], columns[:, None, :]]
