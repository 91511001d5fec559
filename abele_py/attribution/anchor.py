"""ANCHOR: the shortest set of features that, kept, keeps the answer (Ribeiro et al. 2018). Knows no images.

Bottom-up beam search (their Algorithm 2). A feature is present or absent; a neighbor keeps the anchor's features, and
each other one with probability 1/2, so that an anchor of m features covers exactly 2^-m of all neighbors: the shortest
sufficient anchor is the one of the highest coverage, and the search ends with it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from ..checking.parameters import Count, Interval, Number, Positive, Seed, checked, inside
from ..errors import ParameterError


@dataclass(frozen=True)
class Anchor:
    """Features that suffice for the answer.

    Attributes:
        features: in the order in which they entered; none where nothing changes the answer.
        precision: share of the neighbors that keep the answer, estimated.
        lower_bound: KL lower confidence bound of the precision.
        coverage: share of all coalitions that contain the features, ``2 ** -len(features)``.
        n_queries: neighbors queried in the whole search.
        reached: is the wanted precision reached? Else this is the best that was found in the budget.
    """

    features: tuple[int, ...]
    precision: float
    lower_bound: float
    coverage: float
    n_queries: int
    reached: bool


@checked
def find_anchor(
    same: Callable[[Tensor], Tensor],
    d: Count,
    *,
    precision: Annotated[float, Interval(0, 1, (False, True))] = 0.95,
    delta: Annotated[float, inside(0, 1)] = 0.05,
    tolerance: Annotated[float, inside(0, 1)] = 0.1,
    beam: Count = 2,
    batch: Count = 32,
    max_features: Number | None = None,
    budget: Count = 3000,
    seed: Seed = 0,
) -> Anchor:
    """The shortest anchor on d binary features (Ribeiro, Singh & Guestrin 2018, "Anchors", AAAI, Algorithms 1 and 2).

    At each size the candidates are the best ones before with one more feature; which are the best now is found by
    KL-LUCB (Kaufmann & Kalyanakrishnan 2013). Those are queried until it is clear which reach the precision. It always
    ends.

    Args:
        same: (N, d) bool, True for a present feature -> (N,) bool, does the answer stay? Deterministic; may be queried
            for a few thousand rows at once. With all features present it is taken to stay.
        d: number of features, at least 1.
        precision: wanted share of neighbors that keep the answer, in (0, 1].
        delta: 1 - confidence of the bounds, in (0, 1).
        tolerance: the paper's epsilon, in (0, 1): by how much the chosen candidates may be worse than the best ones;
            and an estimate that reaches the precision is believed when its lower bound is above precision - tolerance.
        beam: candidates kept at each size.
        batch: neighbors queried of one candidate at a time.
        max_features: the longest anchor looked for; None for d.
        budget: most neighbors queried in all, at least two batches. An eighth at most goes into each choice by KL-LUCB,
            which by itself would ask of candidates that are alike for ever.
        seed: of the neighbors.

    Raises:
        ParameterError: an argument is out of range.
    """
    longest = d if max_features is None else min(max_features, d)
    for name, value, fine, expected in (
        ("d", d, d >= 1, "at least 1 feature"),
        ("precision", precision, 0 < precision <= 1, "a value in (0, 1]"),
        ("delta", delta, 0 < delta < 1, "a value in (0, 1)"),
        ("tolerance", tolerance, 0 < tolerance < 1, "a value in (0, 1)"),
        ("beam", beam, beam >= 1, "at least 1"),
        ("batch", batch, batch >= 1, "at least 1"),
        ("max_features", longest, longest >= 0, "at least 0"),
        ("budget", budget, budget >= 2 * batch, f"at least two batches, {2 * batch}"),
    ):
        if not fine:
            raise ParameterError(f"got {name}={value}; expected {expected}")

    generator = torch.Generator().manual_seed(seed)
    nobody = torch.zeros(0, d, dtype=torch.bool)
    pool = _Pool(nobody, nobody, nobody[:, 0])

    def ask(anchors: Tensor, times: int = batch) -> bool:
        """So many neighbors of each anchor (M, d) bool into the pool, as far as the budget goes: were there any?"""
        nonlocal pool
        kept = anchors.repeat_interleave(times, dim=0)[: budget - len(pool.stays)]
        if len(kept) == 0:
            return False
        present = kept | (torch.rand(kept.shape, generator=generator) < 0.5)
        pool = _Pool(*map(torch.cat, zip(pool, (kept, present, same(present).bool()), strict=True)))
        return True

    def top(anchors: Tensor) -> Tensor:
        """Rows of the best anchors by KL-LUCB: ask of the weakest of them and of the strongest other one, in turns."""
        for t in range(1, max(1, budget // (16 * batch)) + 1):
            means, counts = pool.means(anchors)
            order = means.argsort(descending=True, stable=True)
            best, rest = order[:beam], order[beam:]
            if len(rest) == 0:
                break
            level = math.log(405.5 * len(anchors) * t**1.1 / delta)  # the constants of their theorem
            lower, upper = kl_bounds(means, counts, level + math.log(level))
            weakest, strongest = best[lower[best].argmin()], rest[upper[rest].argmax()]
            if upper[strongest] - lower[weakest] < tolerance or not ask(anchors[torch.stack([weakest, strongest])]):
                break
        return best

    def verified(features: tuple[int, ...], chosen: Tensor) -> Anchor:
        """Asked anew until it is clear if the precision is reached: the neighbors that chose the anchor flatter it."""
        start, mean, low = len(pool.stays), 0.0, 0.0
        while ask(chosen[None]):
            means, counts = pool.means(chosen[None], start)
            lower, upper = kl_bounds(means, counts, math.log(1 / delta))
            mean, low = float(means), float(lower)
            if low > precision - tolerance or float(upper) < precision:
                break
        reached = mean >= precision and low > precision - tolerance
        return Anchor(features, mean, low, 2.0 ** -len(features), 0, reached)

    ask(torch.zeros(1, d, dtype=torch.bool), max(batch, budget // 8))  # neighbors of the empty anchor serve all others
    candidates: list[tuple[int, ...]] = [()]
    best = Anchor((), 0.0, 0.0, 1.0, 0, False)
    for size in range(longest + 1):
        anchors = _rows(candidates, d)
        chosen = top(anchors).tolist()
        best = max([best, *(verified(candidates[row], anchors[row]) for row in chosen)], key=_worth)
        if best.reached or len(pool.stays) == budget or size == longest:
            break
        candidates = _longer([candidates[row] for row in chosen], d)
    return replace(best, n_queries=len(pool.stays))


@checked
def kl_bounds(means: Tensor, counts: Tensor, level: Positive) -> tuple[Tensor, Tensor]:
    """Bounds of Bernoulli means: the smallest and largest q with ``count * KL(mean, q) <= level``.

    Chernoff's bound solved for q by bisection (Kaufmann & Kalyanakrishnan 2013): each holds with
    probability at least ``1 - exp(-level)`` for one mean and a count fixed before.

    Args:
        means: (N,) in [0, 1].
        counts: (N,) of samples; with none the bounds are 0 and 1.
        level: positive.

    Returns:
        Lower and upper bounds, each (N,) float64, lower <= mean <= upper.
    """
    p, room = means.double(), level / counts.double()
    own = torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)

    def fits(q: Tensor) -> Tensor:
        return own - torch.special.xlogy(p, q) - torch.special.xlogy(1 - p, 1 - q) <= room

    ends = torch.stack([torch.zeros_like(p), torch.ones_like(p)])
    inside, outside = torch.where(fits(ends), ends, p), ends
    for _ in range(35):
        middle = (inside + outside) / 2
        inside, outside = torch.where(fits(middle), middle, inside), torch.where(fits(middle), outside, middle)
    return inside[0], inside[1]


class _Pool(NamedTuple):
    """All neighbors queried so far.

    Attributes:
        kept: (N, d) bool, the anchor whose neighbor it is.
        present: (N, d) bool, the neighbor.
        stays: (N,) bool, does the answer stay?
    """

    kept: Tensor
    present: Tensor
    stays: Tensor

    def means(self, anchors: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """Precision of anchors (M, d) bool on the neighbors from number ``start`` on, and how many these are.

        A neighbor of a smaller anchor that happens to have all features of a larger one is a fair draw of the larger
        one's neighbors too: the other features are present with 1/2 in both.
        """
        kept, present, stays = self.kept[start:], self.present[start:], self.stays[start:]
        wanted = anchors.float()
        counts = ((1 - wanted) @ kept.T.float() == 0) & (wanted @ (~present).T.float() == 0)
        n = counts.sum(dim=1).double()
        return (counts & stays).sum(dim=1).double() / n.clamp(min=1), n


def _worth(anchor: Anchor) -> tuple[bool, float]:
    return anchor.reached, anchor.lower_bound


def _rows(anchors: list[tuple[int, ...]], d: int) -> Tensor:
    """(M, d) bool: which features each anchor has."""
    rows = torch.zeros(len(anchors), d, dtype=torch.bool)
    for row, features in zip(rows, anchors, strict=True):
        row[list(features)] = True
    return rows


def _longer(anchors: list[tuple[int, ...]], d: int) -> list[tuple[int, ...]]:
    """Each with one more feature; of those with the same features the first."""
    longer = {frozenset((*anchor, i)): (*anchor, i) for anchor in anchors[::-1] for i in range(d) if i not in anchor}
    return list(longer.values())
