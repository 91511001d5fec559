"""Where in the images that lies which a label follows: a window, at one place or at a place of its own in each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..explanation.saliency import areas_of_seed, map_of_mosaics

Kind = Literal["fixed", "varies", "none"]
N_MOSAICS = 300
WINDOW = 5 / 28  # of the shorter side
_NEAR = 0.2  # share of a side by which windows of one place differ, at most
_MOSTLY = 0.6  # of the images
_INSIDE = 3.0  # times as much of the map in the window as a window of its size has on average


@dataclass(frozen=True, eq=False)
class Place:
    """Where that lies which a label follows.

    Attributes:
        kind: ``"fixed"``, at one place in most images; ``"varies"``, a window, but another one in each; ``"none"``,
            spread over the image, as brightness and texture are.
        window: rows and columns of the window at the fixed place: top, left, side; None without one.
        windows: of each image that was looked at its own window.
        donors: numbers of the images in the pool that what was exchanged came from, one for each window.
        evidence: (H, W) float32, mean of the maps: positive where what was exchanged supports the label.
        rate: share of fresh images that get the label where the window alone is exchanged.
        rate_elsewhere: the same of a window of that size at a random place.
        n: images in each of the two rates.
    """

    kind: Kind
    window: tuple[int, int, int] | None
    windows: tuple[tuple[int, int, int], ...]
    donors: tuple[int, ...]
    evidence: Tensor
    rate: float
    rate_elsewhere: float
    n: int


def map_of_change(before: Tensor, after: Tensor, probability: Callable[[Tensor], Tensor], seed: int) -> Tensor:
    """Which parts of a change support a label: the map of mosaics of the image after it and the image before it.

    Args:
        before, after: (C, H, W) in [0, 1].
        probability: of the label, of images (M, C, H, W).
        seed: of the areas.

    Returns:
        (H, W) float32 in [-1, 1].
    """
    areas = areas_of_seed(seed, *after.shape[1:], N_MOSAICS)
    return map_of_mosaics(after, before[None], areas, probability, N_MOSAICS).values


def best_window(evidence: Tensor, side: int) -> tuple[tuple[int, int, int], float]:
    """The window that holds most of the positive part of a map (H, W), and its share of all of that."""
    positive = evidence.clamp(min=0).double()
    sums = functional.avg_pool2d(positive[None], side, 1)[0] * side**2
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return (top, left, side), float(sums.max() / positive.sum().clamp(min=1e-12))


def side_of(height: int, width: int) -> int:
    """Side of the windows in images of this size, in pixels."""
    return max(2, round(WINDOW * min(height, width)))


def only_inside(before: Tensor, after: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Images (M, C, H, W) changed inside a window only."""
    top, left, side = window
    found = before.clone()
    rows, columns = slice(top, top + side), slice(left, left + side)
    found[..., rows, columns] = after[..., rows, columns]
    return found


def kind_of(maps: Tensor, side: int) -> tuple[Kind, tuple[int, int, int] | None, list[tuple[int, int, int]]]:
    """What kind of place maps (N, H, W) show, its window where it is fixed, and the window of each."""
    found = [best_window(one, side) for one in maps]
    windows = [window for window, _ in found]
    height, width = maps.shape[1:]
    shares = torch.tensor([share for _, share in found])
    if float(shares.median()) < _INSIDE * side**2 / (height * width):
        return "none", None, windows
    common, _ = best_window(maps.clamp(min=0).mean(dim=0), side)
    near = [
        max(abs(top - common[0]), abs(left - common[1])) <= max(1, _NEAR * min(height, width))
        for top, left, _ in windows
    ]
    fixed = sum(near) >= _MOSTLY * len(near)
    return ("fixed", common, windows) if fixed else ("varies", None, windows)
