"""Is a saliency map faithful, stable, simple?

Every metric takes many maps (M, H, W) of one image at once and gives (M,) float32: all methods are judged on the same
perturbations, and the black box is asked in one batched stream. It never chooses which maps.
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from ..black_boxes.black_box import BlackBox
from ..checking.parameters import Label, Many, NotNegative, Share, between, checked
from ..checking.shapes import Image, Images, Rows
from ..errors import ImageError, ParameterError
from .base import metric


@checked
def deletion_curves(
    image: Image,
    black_box: BlackBox,
    target: Label,
    maps: Tensor,
    baseline: Image,
    steps: Annotated[int, between(2, 10**4)] = 29,
) -> Tensor:
    """The target's probability while pixels go to the baseline, all channels at once, the highest of a map first.

    Step ``s`` has the share ``s / (steps - 1)`` of the pixels replaced, rounded to whole pixels: the first is the
    image, the last the baseline. Pixels of equal value come in one random order, the same for every map and call, so
    that maps of few values (superpixels, all 0) are not taken from the top left corner on. Scores that are no
    probabilities count by their softmax (:func:`~abele_py.black_boxes.outputs.probabilities`), labels as 1 and 0.

    Args:
        image: (C, H, W) in [0, 1].
        black_box: asked ``M * steps`` images.
        target: the explained label.
        maps: (M, H, W), higher for pixels that speak more for the target.
        baseline: (C, H, W), as of ``attribution.baselines.baseline_of``.
        steps: 2 or more.

    Returns:
        (M, steps) float32 in [0, 1].

    Raises:
        ImageError: maps or baseline do not fit the image, or are not finite.
        ParameterError: fewer than 2 steps.
    """
    return _curves(black_box, target, maps, image, baseline, steps)


@checked
def insertion_curves(
    image: Image,
    black_box: BlackBox,
    target: Label,
    maps: Tensor,
    baseline: Image,
    steps: Annotated[int, between(2, 10**4)] = 29,
) -> Tensor:
    """The target's probability while the image's pixels enter the baseline; all else as :func:`deletion_curves`."""
    return _curves(black_box, target, maps, image, baseline, steps, insert=True)


@checked
def area(curves: Rows) -> Tensor:
    """Area under curves (M, steps) over the share of pixels, 0 to 1, by trapezoids: (M,) float32."""
    return torch.trapezoid(curves.double(), dx=1 / (curves.shape[1] - 1), dim=1).float()


@metric("Deletion", "lower", 0.0, 1.0, "Petsiuk et al. 2018 (RISE), section 4.2, arXiv 1806.07421")
@checked
def deletion(
    image: Image,
    black_box: BlackBox,
    target: Label,
    maps: Tensor,
    baseline: Image,
    steps: Annotated[int, between(2, 10**4)] = 29,
) -> Tensor:
    """Area under :func:`deletion_curves`: (M,) in [0, 1]."""
    return area(deletion_curves(image, black_box, target, maps, baseline, steps))


@metric("Insertion", "higher", 0.0, 1.0, "Petsiuk et al. 2018 (RISE), section 4.2, arXiv 1806.07421")
@checked
def insertion(
    image: Image,
    black_box: BlackBox,
    target: Label,
    maps: Tensor,
    baseline: Image,
    steps: Annotated[int, between(2, 10**4)] = 29,
) -> Tensor:
    """Area under :func:`insertion_curves`: (M,) in [0, 1]."""
    return area(insertion_curves(image, black_box, target, maps, baseline, steps))


@metric("Faithfulness correlation", "higher", -1.0, 1.0, "Bhatt et al. 2020, arXiv 2005.00631")
@checked
def faithfulness_correlation(
    image: Image,
    black_box: BlackBox,
    target: Label,
    maps: Tensor,
    baseline: Image,
    generator: torch.Generator,
    n_subsets: Annotated[int, between(2, 10**6)] = 200,
    subset_fraction: Share = 0.1,
) -> Tensor:
    """Does a map say how much the score drops when pixels are taken away?

    ``corr_S( sum_{p in S} map(p), f(x) - f(x with S at the baseline) )``, Pearson's correlation over random sets S of
    pixels of one size. 0 where one of the two is constant. It favours maps of contributions: on a linear model gradient
    x (image - baseline) gets 1, the gradient itself less.

    Args:
        image: (C, H, W) in [0, 1].
        black_box: f, the score of the target; asked ``n_subsets`` images.
        target: the explained label.
        maps: (M, H, W).
        baseline: (C, H, W), as of ``attribution.baselines.baseline_of``.
        generator: of the sets.
        n_subsets: 2 or more.
        subset_fraction: share of the pixels in a set, in (0, 1).

    Returns:
        (M,) in [-1, 1].

    Raises:
        ImageError: maps or baseline do not fit the image, or are not finite.
        ParameterError: an option outside its range.
    """
    values = _rows(image, maps, baseline)
    pixels = values.shape[1]
    if n_subsets < 2 or not 0 < subset_fraction < 1:
        raise ParameterError(
            f"got n_subsets={n_subsets}, subset_fraction={subset_fraction}; expected at least 2 and a share inside "
            "(0, 1); 200 and 0.1 suit small images"
        )
    size = min(max(1, round(subset_fraction * pixels)), pixels - 1)
    sums, scores = [], []
    for n in _batches(n_subsets, black_box):
        chosen = torch.stack([torch.randperm(pixels, generator=generator)[:size] for _ in range(len(n))])
        inside = torch.zeros(len(n), pixels, dtype=torch.bool).scatter_(1, chosen, True)
        frames = torch.where(inside.view(-1, 1, *image.shape[1:]), baseline, image)
        sums.append(inside.double() @ values.T)
        scores.append(black_box(frames).evidence(target))
    return _correlation(torch.cat(sums).T, -torch.cat(scores).double()).float()


@metric("Infidelity (share of the zero map's)", "lower", 0.0, 1.0, "Yeh et al. 2019, definition 2.1, arXiv 1901.09392")
@checked
def infidelity(
    image: Image,
    black_box: BlackBox,
    target: Label,
    maps: Tensor,
    generator: torch.Generator,
    n_samples: Many = 100,
    baseline: Image | None = None,
) -> Tensor:
    """How far a map, read as a linear model, is from the black box's answers, as a share of what the zero map misses.

    ``E[(beta I.map - (f(x) - f(x - I)))^2] / E[(f(x) - f(x - I))^2]``. The perturbation I sets a square of random side
    (up to half of the image's) and place to the baseline (the paper's square removal). ``beta`` is the best factor for
    each map, since maps have different units; the numerator is ``captum.metrics.infidelity(normalize=True)``. The
    division makes images comparable: 0 is exact, 1 is what the zero map gets, and any map where f never changes. As in
    captum, ``beta`` may be negative, so a map and its negative score the same: the faithfulness correlation tells them
    apart.

    It favours maps of gradients, because it multiplies them by what is removed: on a linear model of one channel the
    gradient gets 0, gradient x input in general more. The two mean the same only where all that is removed has one
    value, as on binary images. A random order can score well, as a constant map already says that larger squares cost
    more: a random order must stand beside it.

    Args:
        image: x, (C, H, W) in [0, 1].
        black_box: f, the score of the target; asked ``n_samples + 1`` images.
        target: the explained label.
        maps: (M, H, W); each stands for all channels.
        generator: of the squares.
        n_samples: squares, 1 or more.
        baseline: (C, H, W); 0 if None. With 0 all of I is >= 0, so that a gradient has the sign of its contribution.

    Returns:
        (M,) in [0, 1].

    Raises:
        ImageError: maps or baseline do not fit the image, or are not finite.
        ParameterError: no samples.
    """
    baseline = torch.zeros_like(image) if baseline is None else baseline
    values = _rows(image, maps, baseline)
    if n_samples < 1:
        raise ParameterError(f"got n_samples={n_samples}; expected at least 1; 100 suit small images")
    removed = (image - baseline).sum(dim=0).flatten().double()
    squares = _squares(image.shape[1], image.shape[2], n_samples, generator)
    score = black_box(image[None]).evidence(target)
    products, drops = [], []
    for n in _batches(n_samples, black_box):
        inside = squares(n)
        frames = torch.where(inside[:, None], baseline, image)
        products.append(inside.flatten(1).double() @ (values * removed).T)
        drops.append((score - black_box(frames).evidence(target)).double())
    a, b = torch.cat(products).T, torch.cat(drops)
    # The least squares over beta: E[b^2] (1 - cos^2 of the angle between a and b).
    return (1 - _cosine(a, b).square()).clamp(0, 1).float()


@checked
def noisy_copies(image: Image, generator: torch.Generator, n: Many = 5, sigma: NotNegative = 0.05) -> Tensor:
    """Gaussian noise on an image (C, H, W): (n, C, H, W), cut to [0, 1]; sigma in units of the pixel range."""
    return (image + sigma * torch.randn(n, *image.shape, generator=generator)).clamp(0, 1)


@metric("Stability (local Lipschitz estimate)", "lower", 0.0, math.inf, "Alvarez-Melis & Jaakkola 2018, 1806.08049")
@checked
def stability(image: Image, copies: Images, maps: Tensor, maps_of_copies: Tensor) -> Tensor:
    """Largest change of a map per change of the image: ``max_r ||e(x) - e(x_r)|| / ||x - x_r||``.

    Each map is divided by its own L2 norm first, so that units do not matter; a map of zeros stays 0. A map that never
    changes scores 0, whatever it shows: never read it without a metric of faithfulness.

    Args:
        image: x, (C, H, W).
        copies: x_r, (R, C, H, W), as of :func:`noisy_copies`. Those equal to the image do not count.
        maps: e(x), (M, H, W).
        maps_of_copies: e(x_r), (R, M, H, W).

    Returns:
        (M,), >= 0; NaN where no copy differs from the image.

    Raises:
        ImageError: the shapes do not fit each other.
    """
    _rows(image, maps)
    if copies.shape[1:] != image.shape or maps_of_copies.shape != (len(copies), *maps.shape):
        raise ImageError(
            f"got copies {tuple(copies.shape)} and their maps {tuple(maps_of_copies.shape)}; expected "
            f"(R, {', '.join(map(str, image.shape))}) and (R, {', '.join(map(str, maps.shape))}); explain each copy"
        )
    change = (_unit(maps) - _unit(maps_of_copies)).norm(dim=2)
    distance = (copies - image).flatten(1).double().norm(dim=1)
    return _largest(change.T, distance.expand(len(maps), -1))


@metric("Coherence (Lipschitz estimate of one class)", "lower", 0.0, math.inf, "after Alvarez-Melis & Jaakkola 2018")
@checked
def coherence(images: Images, maps: Tensor) -> Tensor:
    """:func:`stability` over real images that the black box gives one label: for each the maximum over the others.

    Args:
        images: (N, C, H, W).
        maps: (N, H, W), one method's.

    Returns:
        (N,), >= 0; NaN where no other image differs.

    Raises:
        ImageError: not one map for each image.
    """
    if images.ndim != 4 or maps.shape != (len(images), *images.shape[2:]):
        raise ImageError(
            f"got images {tuple(images.shape)} and maps {tuple(maps.shape)}; expected (N, C, H, W) and (N, H, W); "
            "give one map for each image"
        )
    return _largest(_distances(_unit(maps)), _distances(images.flatten(1).double()))


@metric("Complexity (entropy)", "lower", 0.0, math.inf, "Bhatt et al. 2020, definition 3, arXiv 2005.00631")
@checked
def complexity(maps: Tensor) -> Tensor:
    """Entropy of ``|map| / sum |map|`` in nats: 0 for one pixel, log(H W) where all weigh the same.

    A map of zeros prefers no pixel, and counts as all the same. (M, H, W) -> (M,).
    """
    size = _flat(maps).abs()
    total = size.sum(dim=1, keepdim=True)
    share = torch.where(total > 0, size / total, 1 / size.shape[1])
    return torch.special.entr(share).sum(dim=1).clamp(min=0).float()


@metric("Sparseness (Gini index)", "higher", 0.0, 1.0, "Chalasani et al. 2020, arXiv 1810.06583")
@checked
def sparseness(maps: Tensor) -> Tensor:
    """Gini index of ``|map|``: 0 where all pixels weigh the same, 1 - 1 / (H W) for one pixel.

    ``1 - 2 sum_k v_k / ||v||_1 (d - k + 1/2) / d`` over the d sizes v in ascending order (Hurley & Rickard 2009). A map
    of zeros is 0. (M, H, W) -> (M,).
    """
    size = _flat(maps).abs().sort(dim=1).values
    d = size.shape[1]
    total = size.sum(dim=1)
    weight = (d - torch.arange(1, d + 1, dtype=torch.float64) + 0.5) / d
    gini = 1 - 2 * (size @ weight) / total
    return torch.where(total > 0, gini, 0.0).clamp(0, 1).float()


def _curves(
    black_box: BlackBox, target: int, maps: Tensor, image: Tensor, baseline: Tensor, steps: int, insert: bool = False
) -> Tensor:
    values = _rows(image, maps, baseline)
    if steps < 2:
        raise ParameterError(f"got steps={steps}; expected at least 2, the image and the baseline; 29 suit 28 x 28")
    start, end = (baseline, image) if insert else (image, baseline)
    ranks = _order(values).argsort(dim=1)
    counts = torch.linspace(0, values.shape[1], steps, dtype=torch.float64).round()
    scores = []
    for n in _batches(len(maps) * steps, black_box):
        reached = ranks[n // steps] < counts[n % steps][:, None]
        frames = torch.where(reached.view(-1, 1, *image.shape[1:]), end, start)
        scores.append(black_box(frames).probability(target))
    return torch.cat(scores).reshape(len(maps), steps)


def _order(values: Tensor) -> Tensor:
    """(M, H W) -> (M, H W): pixels from the highest value on, equal ones in one fixed random order."""
    shuffled = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0))
    return shuffled[values[:, shuffled].argsort(dim=1, descending=True, stable=True)]


def _batches(n: int, black_box: BlackBox) -> tuple[Tensor, ...]:
    # No more frames than one call takes exist at a time.
    return torch.arange(n).split(black_box.batch_size)


def _rows(image: Tensor, maps: Tensor, baseline: Tensor | None = None) -> Tensor:
    """The maps as (M, H W) float64, checked."""
    if image.ndim != 3 or maps.ndim != 3 or maps.shape[1:] != image.shape[1:]:
        raise ImageError(
            f"got an image {tuple(image.shape)} and maps {tuple(maps.shape)}; expected (C, H, W) and (M, H, W); "
            "stack the maps of one image, map[None] for one"
        )
    if baseline is not None and baseline.shape != image.shape:
        raise ImageError(
            f"got a baseline {tuple(baseline.shape)}; expected the image's shape {tuple(image.shape)}; see baseline_of"
        )
    return _flat(maps)


def _flat(maps: Tensor) -> Tensor:
    """(M, H, W) -> (M, H W) float64, checked."""
    if maps.ndim != 3 or maps.numel() == 0:
        raise ImageError(f"got maps {tuple(maps.shape)}; expected (M, H, W) with M >= 1; map[None] for one map")
    if not bool(torch.isfinite(maps).all()):
        raise ImageError("got NaN or infinity in a map; expected finite numbers; leave out what could not be explained")
    return maps.flatten(1).double()


def _squares(height: int, width: int, n: int, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """n random squares as a function from their numbers (B,) to masks (B, H, W)."""
    draw = torch.rand(3, n, generator=generator, dtype=torch.float64)
    side = 1 + (draw[0] * math.ceil(min(height, width) / 2)).long()
    top = (draw[1] * (height - side + 1)).long()
    left = (draw[2] * (width - side + 1)).long()
    rows, columns = torch.arange(height), torch.arange(width)

    def masks(index: Tensor) -> Tensor:
        y, x, s = top[index, None], left[index, None], side[index, None]
        return ((rows >= y) & (rows < y + s))[:, :, None] & ((columns >= x) & (columns < x + s))[:, None, :]

    return masks


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's of each row of a (M, n) with b (n,); 0 where one is constant."""
    constant = (a.amax(dim=1) == a.amin(dim=1)) | (b.max() == b.min())
    return torch.where(constant, 0.0, _cosine(a - a.mean(dim=1, keepdim=True), b - b.mean()))


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Of the angle between each row of a (M, n) and b (n,), in [-1, 1]; 0 where one is all 0."""
    length = a.norm(dim=1) * b.norm()
    return torch.where(length > 0, (a @ b) / length, 0.0).clamp(-1, 1)


def _unit(maps: Tensor) -> Tensor:
    """(..., H, W) -> (..., H W) float64 of length 1; a map of zeros stays 0."""
    rows = maps.flatten(-2).double()
    return rows / rows.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)


def _distances(rows: Tensor) -> Tensor:
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def _largest(change: Tensor, distance: Tensor) -> Tensor:
    """The largest ratio of each row where the distance is not 0; NaN where it always is."""
    apart = distance > 0
    ratio = torch.where(apart, change / distance, -torch.inf)
    none = torch.full((len(ratio), 1), -torch.inf, dtype=ratio.dtype)  # a row may be empty
    top = torch.cat([ratio, none], dim=1).amax(dim=1)
    return torch.where(apart.any(dim=1), top, torch.nan).float()
