"""Exemplars: similar images inside the rule's box, with the same label."""

import torch
from torch import Tensor

from .latent_space import LatentSpace, Points, concatenate
from .rules import Rule


def sample_box(rule: Rule, center: Tensor, scale: float, n: int, generator: torch.Generator) -> Tensor:
    """n points of the normal distribution N(center, scale^2 I) truncated to the rule's box, (n, k) float32.

    Sampled through the inverse distribution function, as in POEM (Russo et al. 2024): nothing is rejected.
    """
    lower, upper = rule.box(len(center))
    low, high = (torch.special.ndtr((bound - center) / scale) for bound in (lower, upper))
    share = torch.rand(n, len(center), generator=generator, dtype=torch.float64)
    values = center + scale * torch.special.ndtri((low + share * (high - low)).clamp(1e-12, 1 - 1e-12))
    return rule.nearest(values.float())


def find_exemplars(
    space: LatentSpace,
    rule: Rule,
    label: int,
    center: Tensor,
    scale: float,
    n: int,
    generator: torch.Generator,
    rounds: int = 3,
    oversampling: int = 10,
) -> Points:
    """At most n valid points inside the rule's box whose images get ``label``: near the center, and diverse.

    Each round draws ``oversampling * n`` points, and where too few were found the next round stays nearer to the
    center. Of all that were found, the nearest is taken, then always the one farthest from those taken.
    """
    found = [space.classify(center[None][:0])]
    for round_ in range(rounds):
        latents = sample_box(rule, center, scale * 0.5**round_, oversampling * n, generator)
        points = space.classify(latents[space.valid(latents) & rule.covers(latents)])
        found.append(points[points.labels == label])
        if sum(map(len, found)) >= n:
            break
    points = concatenate(found)
    return points[diverse(points.latents, center, n)]


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
