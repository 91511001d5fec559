"""Counter-exemplars just outside the rule's box, confirmed by the black box, and the way from the image to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .latent_space import LatentSpace, Points, concatenate
from .rules import CounterfactualRule


@dataclass(frozen=True)
class CounterExemplars(Points):
    """M counter-exemplars, at most one for each other label, nearest first.

    Attributes:
        distances: (M,) float32, latent distance to the code of the image.
        paths: (M, F, C, H, W), the morph from the image itself (frame 0) to the counter-exemplar (the last frame).
        path_labels: (M, F) int64, the black box's label of each frame.
        path_scores: (M, F, K) float32 or None, its scores.
        saliency: (M, H, W) in [-1, 1], what must change: positive brighter, negative darker.
    """

    distances: Tensor
    paths: Tensor
    path_labels: Tensor
    path_scores: Tensor | None
    saliency: Tensor


def rule_candidates(space: LatentSpace, rules: Sequence[CounterfactualRule], latent: Tensor, margin: float) -> Points:
    """The point moved just past the broken conditions of each rule, and up to ``margin`` farther; the valid ones."""
    if not rules:
        return space.classify(latent[None][:0])
    margins = [0.0, margin / 4, margin / 2, margin]
    latents = torch.cat([r.rule.nearest(latent[None], m) for r in rules for m in margins])
    return space.classify(latents[space.valid(latents)])


def find_counter_exemplars(
    space: LatentSpace,
    latent: Tensor,
    label: int,
    candidates: Points,
    refine: bool = True,
    per_label: int = 3,
    steps: int = 8,
    bisections: int = 5,
) -> Points:
    """For every other label among the candidates, the nearest valid point found that the black box gives that label.

    The nearest candidates of a label are approached on straight lines from the code: on ``steps`` points each, then by
    bisection between the last point that fails and the first that holds (as in growing spheres, Laugel et al. 2018).

    Args:
        space: where.
        latent: (k,) the code.
        label: the image's label.
        candidates: labelled points.
        refine: False takes the nearest candidates as they are.

    Returns:
        At most one point per label, nearest first.
    """
    usable = candidates[space.valid(candidates.latents)] if len(candidates) else candidates
    best = nearest_per_label(usable, latent, label, per_label)
    if refine and len(best):
        best = _approach(space, latent, best, steps, bisections)
    best = nearest_per_label(best, latent, label, 1)
    return best[(best.latents - latent).norm(dim=1).argsort(stable=True)]


def nearest_per_label(points: Points, latent: Tensor, label: int, n: int = 3) -> Points:
    """Of each label other than ``label`` the n points nearest to ``latent`` (k,), label by label, nearest first."""
    order = (points.latents - latent).norm(dim=1).argsort(stable=True)
    labels = points.labels[order]
    rows = [order[labels == y][:n] for y in labels.unique().tolist() if y != label]
    return points[torch.cat(rows)] if rows else points[:0]


def morph(
    space: LatentSpace, image: Tensor, reconstruction: Points, ends: Points, n_frames: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The way from the image to each end: frames (M, F, C, H, W), their labels (M, F), their scores (M, F, K) or None.

    Frames decode equal steps in the latent space. What the reconstruction (one point: the code, decoded) lacks of the
    image is added and faded out, so that the first frame is the image itself and the last the end's own image.
    """
    share = torch.linspace(0, 1, n_frames)
    latent = reconstruction.latents[0]
    latents = latent + share[None, :, None] * (ends.latents - latent)[:, None]
    frames = space.decode(latents.flatten(0, 1)).unflatten(0, (len(ends), n_frames))
    missing = image - reconstruction.images[0]
    frames = (frames + (1 - share)[:, None, None, None] * missing).clamp(0, 1)
    frames[:, 0], frames[:, -1] = image, ends.images
    answer = space.black_box(frames.flatten(0, 1))
    scores = None if answer.scores is None else answer.scores.unflatten(0, (len(ends), n_frames))
    return frames, answer.labels.unflatten(0, (len(ends), n_frames)), scores


def _approach(space: LatentSpace, latent: Tensor, ends: Points, steps: int, bisections: int) -> Points:
    """Each end replaced by the nearest point found on the line from the code to it that is valid and has its label."""

    def holds(share: Tensor) -> tuple[Tensor, Points]:
        points = space.classify(latent + share[:, None] * (ends.latents[line] - latent))
        return (points.labels == ends.labels[line]) & space.valid(points.latents), points

    line = torch.arange(len(ends)).repeat_interleave(steps)
    grid = torch.arange(1, steps + 1) / steps
    good, _ = holds(grid.repeat(len(ends)))
    good = good.unflatten(0, (len(ends), steps))
    good[:, -1] = True  # the end itself
    first = good.float().argmax(dim=1)
    high, low = grid[first], torch.where(first > 0, grid[first - 1], torch.zeros(()))
    line = torch.arange(len(ends))
    for _ in range(bisections):
        middle = (low + high) / 2
        good, _ = holds(middle)
        high, low = torch.where(good, middle, high), torch.where(good, low, middle)
    good, points = holds(high)
    return concatenate([points, ends])[torch.where(good, line, len(ends) + line)]
