"""Exemplars: similar images inside the rule's box, with the same label."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..surrogate.rules import Rule
from .space import LatentSpace, Points, concatenate


def sample_box(rule: Rule, center: Tensor, scale: float, n: int, generator: torch.Generator) -> Tensor:
    """n points of the normal distribution N(center, scale^2 I) truncated to the rule's box, (n, k) float32.

    Sampled through the inverse distribution function, as in POEM (Russo et al. 2024): nothing is rejected. Points that
    lie outside a bound along a direction are moved inside by the smallest step instead.
    """
    share = torch.rand(n, len(center), generator=generator, dtype=torch.float64)
    for axis, low, high in rule.intervals():
        first, last = torch.special.ndtr((torch.tensor([low, high], dtype=torch.float64) - center[axis]) / scale)
        share[:, axis] = first + share[:, axis] * (last - first)
    return rule.nearest(center + scale * torch.special.ndtri(share.clamp(1e-12, 1 - 1e-12)))


def find_exemplars(
    space: LatentSpace,
    rule: Rule,
    label: int,
    center: Tensor,
    scale: float,
    n: int,
    generator: torch.Generator,
    landmarks: Points | None = None,
    rounds: int = 3,
    oversampling: int = 10,
) -> Points:
    """At most n valid points inside the rule whose images get ``label``.

    With landmarks they represent the real images of the label around the center. Candidates are the landmarks of the
    label, moved into the rule by the smallest step, and the points halfway from the center to these: real codes show
    in which directions images of the label differ, which samples of a sphere do not. The exemplars are the
    :func:`representatives` of those that hold, near ones counting more.

    Without landmarks, and where these give too few, points are drawn from N(center, scale^2 I) inside the rule: in each
    round ``oversampling * n``, and where still too few are found the next round stays nearer to the center. Without
    landmarks the nearest is taken, then always the one farthest from those taken.

    Args:
        space: where.
        rule: where the exemplars must lie.
        label: what the black box must say of their images.
        center: (k,) the code of the image.
        scale: standard deviation of samples; ``scale * sqrt(k)``, the typical length of their steps, is the width of
            the weights of near candidates.
        n: number of exemplars looked for, at least 1.
        generator: draws the samples.
        landmarks: labelled real codes, of which the ``oversampling * n / 2`` nearest of the label are used.
        rounds: most rounds of samples.
        oversampling: most candidates of the landmarks, and of each round, per exemplar.

    Returns:
        At most n distinct points, best first.
    """

    def holding(latents: Tensor) -> Points:
        points = space.classify(latents[space.valid(latents) & rule.covers(latents)])
        return points[points.labels == label]

    real = None if landmarks is None else landmarks.latents[landmarks.labels == label]
    found = [space.classify(center[None][:0])]
    if real is not None and len(real):
        nearest = (real - center).norm(dim=1).argsort(stable=True)[: oversampling * n // 2]
        moved = rule.nearest(real[nearest])
        found.append(holding(torch.cat([moved, (moved + center) / 2]).unique(dim=0)))
    for round_ in range(rounds):
        if sum(map(len, found)) >= n:
            break
        found.append(holding(sample_box(rule, center, scale * 0.5**round_, oversampling * n, generator)))
    points = concatenate(found)
    if real is None or not len(real):
        return points[diverse(points.latents, center, n)]
    width = scale * len(center) ** 0.5
    weights = torch.exp(-0.5 * ((points.latents - center).norm(dim=1).double() / width).square())
    return points[representatives(points.latents, weights, n)]


def representatives(points: Tensor, weights: Tensor, n: int) -> Tensor:
    """Rows of at most n points that represent all: greedy weighted k-medoids, those for a smaller n coming first.

    Each adds what lowers the weighted sum of the distances from all points to the nearest of those chosen most
    (:func:`build_medoids`): greedy facility location.

    Args:
        points: (N, d).
        weights: (N,) at least 0.
        n: most rows.

    Returns:
        (n,) int64, in the order of choice; fewer where only copies of those chosen are left. Of equals the first.
    """
    distances = torch.cdist(points.double(), points.double()).fill_diagonal_(0)
    copies = 1e-6 * float(distances.max()) if len(points) else 0.0  # what rounding leaves between copies
    return build_medoids(distances, n, lambda near: near @ weights.double(), copies)


def build_medoids(distances: Tensor, n: int, cost: Callable[[Tensor], Tensor], apart: float | None = None) -> Tensor:
    """BUILD of PAM (Kaufman & Rousseeuw 1990, chapter 2): adds, n times, the row that lowers the cost most.

    The cost is that of the distances from all rows to the nearest of those chosen.

    Args:
        distances: (N, N) with 0 on the diagonal.
        n: most rows.
        cost: of each candidate, (N,), from the distances (N, N) of all rows to the nearest if it is taken: their sum
            along the second axis, in whatever weights and precision.
        apart: only rows farther than this from all chosen ones are candidates; None: all but those chosen.

    Returns:
        (n,) int64, in the order of choice; fewer where no candidate is left. Of equals the first.
    """
    nearest = distances.new_full((len(distances),), torch.inf)
    free = torch.ones_like(nearest, dtype=torch.bool)
    chosen: list[int] = []
    while len(chosen) < n and bool(free.any()):
        near = torch.minimum(distances, nearest)
        best = int(cost(near).where(free, torch.inf).argmin())
        nearest = near[best]
        free[best] = False
        free &= True if apart is None else nearest > apart
        chosen.append(best)
    return torch.tensor(chosen, dtype=torch.int64)


def diverse(latents: Tensor, center: Tensor, n: int) -> Tensor:
    """Row numbers of at most n distinct points: the nearest to the center, then always the farthest from the taken."""
    if len(latents) == 0:
        return torch.zeros(0, dtype=torch.int64)
    chosen = [int((latents - center).norm(dim=1).argmin())]
    gap = (latents - latents[chosen[0]]).norm(dim=1)
    while len(chosen) < n and float(gap.max()) > 0:  # 0: only copies of those taken are left
        chosen.append(int(gap.argmax()))
        gap = torch.minimum(gap, (latents - latents[chosen[-1]]).norm(dim=1))
    return torch.tensor(chosen)
