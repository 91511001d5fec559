"""Walks along the coordinates that conditions bound, so that a bound on a latent coordinate can be seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..checking.parameters import Axes, NotNegative, between, checked
from ..surrogate.rules import Condition
from .space import LatentSpace


@dataclass(frozen=True)
class Traversals:
    """M straight walks through the code of the image, one along each coordinate, to both sides of its thresholds.

    Only that coordinate's direction is walked: as directions need not be at right angles, others may change with it.

    Attributes:
        axes: (M,) int64, the number of each coordinate, as in :class:`~abele_py.surrogate.rules.Condition`.
        positions: (M, F) float32, the value of the coordinate at each frame, in equal steps.
        images: (M, F, C, H, W), the decoded frames.
        labels: (M, F) int64, the black box's label of each frame.
        scores: (M, F, K) float32 or None, its scores.
    """

    axes: Tensor
    positions: Tensor
    images: Tensor
    labels: Tensor
    scores: Tensor | None


@checked
def traverse(
    space: LatentSpace,
    latent: Annotated[Tensor, Axes("k")],
    conditions: Sequence[Condition],
    n_frames: Annotated[int, between(2, 1000)],
    reach: NotNegative,
) -> Traversals:
    """Walk along every coordinate that conditions bound, in the order in which they come.

    A walk spans the image's own value and all thresholds on the coordinate; beyond them it goes on, on either side, by
    half of that or by ``reach``, whichever is more.

    Args:
        space: where.
        latent: (k,) the code of the image.
        conditions: all from one tree, in which a number stands for one coordinate.
        n_frames: images of each walk, at least 2.
        reach: distance in the latent space.
    """
    walked = {c.axis: c for c in conditions}
    positions, latents = torch.zeros(len(walked), n_frames), torch.zeros(len(walked), n_frames, len(latent))
    for row, (axis, condition) in enumerate(walked.items()):
        direction = torch.eye(len(latent))[axis] if condition.direction is None else torch.tensor(condition.direction)
        own = float(condition.coordinate(latent[None]))
        ends = [own, *(c.threshold for c in conditions if c.axis == axis)]
        beyond = max((max(ends) - min(ends)) / 2, reach)
        positions[row] = torch.linspace(min(ends) - beyond, max(ends) + beyond, n_frames)
        latents[row] = latent + (positions[row] - own)[:, None] * direction
    points = space.classify(latents.flatten(0, 1))
    shape = (len(walked), n_frames)
    return Traversals(
        axes=torch.tensor(list(walked), dtype=torch.int64),
        positions=positions,
        images=points.images.unflatten(0, shape),
        labels=points.labels.unflatten(0, shape),
        scores=None if points.scores is None else points.scores.unflatten(0, shape),
    )
