"""Saliency: from an image and its neighbors, of its label and of others, to a signed map and its contiguous areas.

Maps are (H, W) in [-1, 1]; 0 is neutral: where all that takes the image's place equals it, every map is 0.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from .backdrop import N_NEAREST, backgrounds_of

N_MOSAICS = 1600
_PART = 64  # images worked on at a time, where all at once would take much memory
_NOISE = torch.logspace(-3, 2, 26, dtype=torch.float64)  # shares of an answer's mean prior variance that are tried
_NO_VARIANCE = 1e-4  # as a share of the largest


class MeasuredMap(NamedTuple):
    """A map, and how well what it was read from predicts the black box.

    Attributes:
        values: (H, W) float32 in [-1, 1].
        fit: share of the variance of the answers that is predicted where each answer is left out of the fit in its
            turn, at most 1; 0 or below: no better than always the mean answer. None where the answers do not vary.
    """

    values: Tensor
    fit: float | None


def mosaic_map(
    image: Tensor,
    others: Tensor,
    probability: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    n_mosaics: int = N_MOSAICS,
    n_nearest: int = N_NEAREST,
    width: float = 0.08,
) -> MeasuredMap:
    """What the label loses where areas of the image give way to something else.

    A mosaic keeps some areas of the image and takes the rest from a background. There are three: the darkest value of
    each pixel in the others, their mean (of those nearest to the image), and a blurred copy of the image. In the first
    all light goes that need not be there, in the second gaps between it are filled as well, and in the third it stays
    and loses its form.
    For each background a linear model says how the log-odds of the label fall in the mosaics,

        ``log-odds = constant - sum over the replaced pixels p of w(p) |x(p) - background(p)|``,

    in which w is smooth: its prior is a Gaussian process over the plane, so that areas speak rather than single pixels.
    How much of the answers is noise is what makes them most likely. The map is the sum over all backgrounds of
    ``w(p) |x(p) - background(p)|``, which is the Shapley value of the pixel in that model: smooth in what is important,
    as sharp as the image in where it lies.

    Args:
        image: (C, H, W) in [0, 1].
        others: (N, C, H, W), images of its kind that have other labels.
        probability: of the image's label, from images (M, C, H, W) to (M,) in [0, 1]; queried once, ``n_mosaics``
            images. Cut to [0.001, 0.999] before the logarithm, so that labels, which are 0 and 1, will do.
        generator: of the areas.
        n_mosaics: images queried, a third of them for each background; 6 or more.
        n_nearest: most images in the mean, the nearest to the image by the squared differences of their pixels.
        width: of the Gaussian kernel of w, as a share of the image's shorter side.

    Returns:
        The map, all 0 without others and where they equal the image, and how well the models together predict the
        log-odds of mosaics left out of the fit.
    """
    areas = _areas(n_mosaics, image.shape[1], image.shape[2], generator)
    return map_of_mosaics(image, backgrounds_of(image, others, n_nearest), areas, probability, len(areas), width)


def map_of_mosaics(
    image: Tensor,
    backgrounds: Tensor,
    areas: Tensor,
    probability: Callable[[Tensor], Tensor],
    batch_size: int,
    width: float = 0.08,
) -> MeasuredMap:
    """:func:`mosaic_map` of given backgrounds and areas.

    Args:
        backgrounds: (B, C, H, W).
        areas: (M, H, W) bool, what is replaced: by the first background in the first of B parts, and so on.
        probability: as of :func:`mosaic_map`; queried for at most ``batch_size`` mosaics at a time.
    """
    if torch.equal(backgrounds, image.expand_as(backgrounds)):  # nothing can be replaced
        return MeasuredMap(torch.zeros(image.shape[1:]), None)
    parts = torch.arange(len(areas)).tensor_split(len(backgrounds))
    which = torch.cat([torch.full_like(part, b) for b, part in enumerate(parts)])
    rows = torch.arange(len(areas)).split(batch_size)
    mosaics = (torch.where(areas[part, None], backgrounds[which[part]], image) for part in rows)
    odds = torch.logit(torch.cat([probability(part) for part in mosaics]).double(), eps=1e-3)
    change = (image - backgrounds).abs().mean(dim=1)
    models = [
        _smooth_model(torch.where(areas[part], size, 0.0), odds[part], width)
        for size, part in zip(change, parts, strict=True)
    ]
    maps = [-size * model.weights for size, model in zip(change, models, strict=True)]
    variation = sum(float(model.answers.square().sum()) for model in models)
    missed = sum(float(model.missed.square().sum()) for model in models)
    fit = 1 - missed / variation if variation > 1e-12 else None  # equal answers differ from their mean by rounding
    return MeasuredMap(_scaled(torch.stack(maps).sum(dim=0)).float(), fit)


@lru_cache(maxsize=4)  # the same for all images of an explainer: a few of these may be at work
def areas_of_seed(seed: int, height: int, width: int, n: int = N_MOSAICS) -> Tensor:
    """(n, H, W) bool: the areas of a seed's mosaics. To be read only: callers share them."""
    return _areas(n, height, width, torch.Generator().manual_seed(seed))


def contrast_map(image: Tensor, images: Tensor, evidence: Tensor, same: Tensor) -> Tensor:
    """Positive where the image's pixel is evidence for its label.

    For each pixel the covariance, over the neighbors, of its value with the evidence for the label, times the image's
    own distance from the neighbors of other labels: ``cov(p, evidence) (x(p) - mean of the others)``. Where more light
    goes with more evidence and the image is brighter than the others, or both the other way round, the pixel speaks
    for the label: strokes that are there, and gaps that stay empty.

    Args:
        image: (C, H, W) in [0, 1].
        images: (N, C, H, W), its neighbors, exemplars of its label and of others.
        evidence: (N,) for the image's label: its score, or 1 where the label is the same and else 0.
        same: (N,) bool, the neighbors with the image's label.

    Returns:
        (H, W) float32 in [-1, 1], the mean over channels; all 0 where the neighbors have one label.
    """
    if bool(same.all()) or not bool(same.any()):
        return torch.zeros(image.shape[1:])
    pixels = images.flatten(1)
    covariance = (evidence - evidence.mean()) @ (pixels - pixels.mean(dim=0)) / len(images)
    contrast = covariance * (image.flatten() - pixels[~same].mean(dim=0))
    return _scaled(contrast.reshape(image.shape).mean(dim=0))


def median_map(image: Tensor, exemplars: Tensor, neutral: float = 0.05) -> Tensor:
    """The paper's map (Guidotti et al. 2019, section 4.3): ``median over the exemplars of (x - exemplar)``.

    What differs can vary while the label stays. Unlike the published code it is not rescaled, which would move 0.

    Args:
        image: (C, H, W) in [0, 1].
        exemplars: (N, C, H, W), images with its label.
        neutral: smaller differences, in units of the pixel range, become 0.

    Returns:
        (H, W) float32 in [-1, 1], the mean over channels; all 0 without exemplars.
    """
    if len(exemplars) == 0:
        return torch.zeros(image.shape[1:])
    difference = (image - exemplars).median(dim=0).values.mean(dim=0)
    return torch.where(difference.abs() < neutral, 0.0, difference)


def change_map(reconstruction: Tensor, counter_exemplars: Tensor) -> Tensor:
    """What must change for another label: positive where it must become brighter, negative where darker.

    Args:
        reconstruction: (C, H, W), the decoded code of the image, so that errors of reconstruction do not count.
        counter_exemplars: (M, C, H, W).

    Returns:
        (M, H, W) float32 in [-1, 1], in units of the pixel range; the mean over channels.
    """
    return (counter_exemplars - reconstruction).mean(dim=1)


def contiguous_areas(saliency: Tensor, low: float = 0.15, high: float = 0.4, min_pixels: int = 4) -> Tensor:
    """The map with everything but its marked areas set to 0.

    Areas are connected pixels (8 neighbors) of one sign above ``low`` times the largest absolute value, that contain a
    pixel above ``high`` times it (hysteresis, Canny 1986) and have at least ``min_pixels`` pixels.

    Args:
        saliency: (H, W) in [-1, 1].

    Returns:
        (H, W) float32: the map inside the areas, 0 outside.
    """
    values = saliency.numpy()
    top = np.abs(values).max()
    keep = np.zeros(values.shape, dtype=bool)
    if top > 0:
        for sign in (1, -1):
            areas, n = ndimage.label(sign * values > low * top, structure=np.ones((3, 3)))
            numbers = np.arange(1, n + 1)
            peak = ndimage.maximum(sign * values, areas, numbers)
            size = ndimage.sum_labels(np.ones_like(values), areas, numbers)
            keep |= np.isin(areas, numbers[(np.asarray(peak) > high * top) & (size >= min_pixels)])
    return torch.from_numpy(np.where(keep, values, 0).astype(np.float32))


def on_one_scale(values: Tensor, quantile: float = 0.99) -> Tensor:
    """Any method's raw map on the scale on which maps are drawn side by side.

    Divided by the quantile of its absolute values, so that a single pixel does not hide the rest, and cut to [-1, 1];
    signs and 0 stay. Where the quantile is 0, as in a map of few pixels, the largest absolute value divides.

    Args:
        values: (..., H, W).

    Returns:
        The same shape, in [-1, 1].
    """
    size = values.abs().flatten(-2)
    top = torch.quantile(size, quantile, dim=-1)
    top = torch.where(top > 0, top, size.amax(dim=-1)).clamp(min=torch.finfo(values.dtype).tiny)
    return (values / top[..., None, None]).clamp(-1, 1)


def _scaled(values: Tensor) -> Tensor:
    """Divided by the largest absolute value, so that signs and 0 stay."""
    top = values.abs().max()
    return values / top if top > 0 else values


def _areas(n: int, height: int, width: int, generator: torch.Generator, cells: int = 5) -> Tensor:
    """(n, H, W) bool: random areas, smooth in outline, that cover 10 to 90 % of the pixels.

    Noise on a coarse grid, enlarged and moved at random as RISE's masks are; the lowest pixels of each are inside.
    """
    steps = math.ceil(height / cells), math.ceil(width / cells)
    noise = torch.randn(n, 1, cells + 3, cells + 3, generator=generator)
    first = (torch.rand(n, 2, generator=generator) * torch.tensor(steps)).long() + torch.tensor(steps)
    share = 0.1 + 0.8 * torch.rand(n, 1, generator=generator)
    size = [(cells + 3) * step for step in steps]
    areas = [
        _lowest(functional.interpolate(part, size, mode="bicubic")[:, 0], corner, covered, height, width)
        for part, corner, covered in zip(noise.split(_PART), first.split(_PART), share.split(_PART), strict=True)
    ]
    return torch.cat(areas)


def _lowest(values: Tensor, first: Tensor, share: Tensor, height: int, width: int) -> Tensor:
    """(n, height, width) bool: the pixels with the lowest values (n, H, W) in a window that begins at (n, 2), as many
    as the share (n, 1) says."""
    rows, columns = first[:, :1] + torch.arange(height), first[:, 1:] + torch.arange(width)
    seen = values[torch.arange(len(values))[:, None, None], rows[:, :, None], columns[:, None, :]].flatten(1)
    last = (share * seen.shape[1]).ceil().long() - 1
    highest = seen.sort(dim=1).values.gather(1, last)  # the highest value inside
    return (seen <= highest).reshape(-1, height, width)


class _Model(NamedTuple):
    """A Gaussian process over the plane, fitted to answers.

    Attributes:
        weights: (H, W), the mean of the weights after the answers were seen.
        answers: (M,) without their mean.
        missed: (M,) what is missing to each of these answers where it alone was not seen.
        noise: variance of the noise, in units of the prior variance of a weight.
    """

    weights: Tensor
    answers: Tensor
    missed: Tensor
    noise: float


def _smooth_model(changes: Tensor, answers: Tensor, width: float) -> _Model:
    """The process of weights w in ``answers = constant + sum(w * change) + noise``.

    The kernel is a product of one down and one across, and smooth: few products of their eigenvectors have a variance
    that matters. In these coordinates the process is a ridge regression on so few features, and only the product that
    makes them grows with the pixels. The noise is that of the largest marginal likelihood, whatever the scale of the
    answers (Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, equation 5.8). Answers left out take no
    second fit: the error is that of the fit over one less the answer's leverage (PRESS, Allen 1974; their equation
    5.12).

    Args:
        changes: (M, H, W), of the precision in which the features are made; the equations are solved in float64.
        answers: (M,) float64.
        width: of the kernel, as a share of the shorter side.
    """
    answers = answers - answers.mean()
    reach = width * min(changes.shape[1:])
    (down, high), (across, wide) = (_waves(side, reach) for side in changes.shape[1:])
    kept = high[:, None] * wide > _NO_VARIANCE * high.max() * wide.max()
    features = (down.T.to(changes) @ (changes @ across.to(changes)))[:, kept]
    features = (features - features.mean(dim=0)).double()
    sizes, axes = torch.linalg.eigh(features.T @ features)
    known = sizes > 1e-9 * sizes[-1].clamp(min=1e-6)  # none where nothing changes
    sizes, along = sizes[known], features @ axes[:, known]
    goal = along.T @ answers
    noise = _likely_noise(sizes, goal, answers)
    fitted = axes[:, known] @ (goal / (sizes + noise))
    leverage = (along.square() / (sizes + noise)).sum(dim=1)
    missed = (answers - features @ fitted) / (1 - leverage)
    weights = down @ torch.zeros_like(high[:, None] * wide).masked_scatter(kept, fitted) @ across.T
    return _Model(weights, answers, missed, noise)


def _likely_noise(sizes: Tensor, goal: Tensor, answers: Tensor) -> float:
    """The noise, in units of the prior variance of a weight, under which answers are most likely.

    Args:
        sizes: (r,) eigenvalues of the features' products.
        goal: (r,) the features' products with the answers, along the eigenvectors.
        answers: (M,) without their mean.
    """
    noise = (_NOISE * sizes.sum() / len(answers)).clamp(min=1e-12)[:, None]
    free = len(answers) - 1  # a mean was taken from them
    left = (answers.square().sum() - (goal.square() / (sizes + noise)).sum(dim=1)) / noise[:, 0]
    spread = (sizes + noise).log().sum(dim=1) + (free - len(sizes)) * noise[:, 0].log()
    likelihood = -free * left.clamp(min=1e-12).log() - spread
    return float(noise[likelihood.argmax()])


@lru_cache(maxsize=8)
def _waves(side: int, reach: float) -> tuple[Tensor, Tensor]:
    """The eigenvectors of the Gaussian kernel of a line that have a variance that matters, scaled by its root, (side,
    r) float64, and these variances (r,). r depends on the line's length in units of the reach, not on its pixels."""
    steps = torch.arange(side, dtype=torch.float64)
    variances, vectors = torch.linalg.eigh(torch.exp(-0.5 * ((steps[:, None] - steps) / reach) ** 2))
    kept = variances > _NO_VARIANCE * variances[-1]
    return vectors[:, kept] * variances[kept].sqrt(), variances[kept]
