"""Counter-exemplars: near images that the black box gives another label, and the way from the image to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..surrogate.rules import CounterfactualRule
from .space import LatentSpace, Points, concatenate


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


def convincing(real: Points) -> Tensor:
    """(N,) bool: of each label the half of N points that stand deepest among those of their own label.

    By the trust score of Jiang et al. 2018 (To trust or not to trust a classifier): the distance to the nearest point
    of another label over that to the nearest of the own. What the black box mistakes for another label, and what
    stands between two, is no end to walk to. Needs labels only.
    """
    distances = torch.cdist(real.latents, real.latents, compute_mode="donot_use_mm_for_euclid_dist")
    own = real.labels[:, None] == real.labels
    other = distances.where(~own, torch.inf).amin(dim=1) if len(real) else distances.new_zeros(0)
    alike = distances.fill_diagonal_(torch.inf).where(own, torch.inf).amin(dim=1) if len(real) else other
    trust = torch.where(alike.isfinite(), other / alike.clamp(min=1e-12), 0.0)
    kept = torch.zeros(len(real), dtype=torch.bool)
    for label in real.labels.unique():
        rows = (real.labels == label).nonzero()[:, 0]
        kept[rows[trust[rows].argsort(descending=True, stable=True)[: (len(rows) + 1) // 2]]] = True
    return kept


def starting_points(real: Points, made: Sequence[Points], latent: Tensor, label: int, depth: float | None) -> Points:
    """Candidates for :func:`find_counter_exemplars`: of every other label the nearest of each source.

    To stand deep among the images of a label, one must know such images: with a ``depth`` above 0 the way leads to
    codes of real images, and to points that were made only for labels that no real one has.

    Args:
        real: codes of real images, labelled; none are needed.
        made: other labelled points, source by source.
        latent: (k,) the code of the image.
        label: its label.
        depth: in [0, 1]; None is like 0.

    Returns:
        Points without images.
    """
    known = nearest_per_label(real, latent, label)
    others = [nearest_per_label(points, latent, label) for points in made]
    if depth:
        others = [points[~torch.isin(points.labels, known.labels)] for points in others]
    return concatenate([points.without_images() for points in (*others, known)])


def leads_everywhere(real: Points, label: int, depth: float | None, n_classes: int | None) -> bool:
    """Whether :func:`starting_points` takes nothing but real points, whatever is made beside them.

    So it does with a ``depth`` above 0 where they have every label but the image's own, as far as all are known.
    """
    return bool(depth) and n_classes is not None and len({label, *real.labels.tolist()}) == n_classes


def find_counter_exemplars(
    space: LatentSpace,
    latent: Tensor,
    label: int,
    candidates: Points,
    depth: float | None = 0.0,
    per_label: int = 3,
    steps: int = 8,
    bisections: int = 4,
) -> Points:
    """For every other label among the candidates a near valid point that the black box gives that label.

    The nearest candidates of a label are approached on straight lines from the code. On ``steps`` points each, and then
    by bisection (as in growing spheres, Laugel et al. 2018), the boundary is found from which on the label holds up to
    the candidate. The point stands beyond it by ``depth``. Just across the boundary the black box has changed its mind
    and hardly anybody else: a second classifier confirms few points there, and most of those a third of the way to a
    real image. No scores are needed.

    Args:
        space: where.
        latent: (k,) the code.
        label: the image's label.
        candidates: labelled points; their images are not used.
        depth: share of the way from the boundary to the candidate, in [0, 1]: 0 is the boundary. None takes the
            nearest candidates as they are, as the paper does.

    Returns:
        At most one point per label, nearest first.
    """
    usable = candidates[space.valid(candidates.latents)] if len(candidates) else candidates
    best = nearest_per_label(usable, latent, label, per_label)
    best = Points(best.latents, space.decode(best.latents), best.labels, best.scores)
    if depth is not None and len(best):
        best = _approach(space, latent, best, depth, steps, bisections)
    best = nearest_per_label(best, latent, label, 1)
    return best[(best.latents - latent).norm(dim=1).argsort(stable=True)]


def nearest_per_label(points: Points, latent: Tensor, label: int, n: int = 3) -> Points:
    """Of each label other than ``label`` the n points nearest to ``latent`` (k,), label by label, nearest first."""
    order = (points.latents - latent).norm(dim=1).argsort(stable=True)
    labels = points.labels[order]
    rows = [order[labels == y][:n] for y in labels.unique().tolist() if y != label]
    return points[torch.cat(rows)] if rows else points[:0]


def morph(
    space: LatentSpace, image: Tensor, latent: Tensor, ends: Points, n_frames: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The way from the image to each end: frames (M, F, C, H, W), their labels (M, F), their scores (M, F, K) or None.

    Frames decode equal steps in the latent space. What the two codes, decoded, lack of the image and of the end's own
    image is added, the one fading out and the other in: these are the first frame and the last.
    """
    share = torch.linspace(0, 1, n_frames)
    latents = latent + share[None, :, None] * (ends.latents - latent)[:, None]
    frames = space.decode(latents.flatten(0, 1)).unflatten(0, (len(ends), n_frames))
    missing, at_end = image - frames[:, :1], ends.images[:, None] - frames[:, -1:]
    share = share[:, None, None, None]
    frames = (frames + (1 - share) * missing + share * at_end).clamp(0, 1)
    frames[:, 0], frames[:, -1] = image, ends.images
    answer = space.query(frames.flatten(0, 1))
    scores = None if answer.scores is None else answer.scores.unflatten(0, (len(ends), n_frames))
    return frames, answer.labels.unflatten(0, (len(ends), n_frames)), scores


def _approach(space: LatentSpace, latent: Tensor, ends: Points, depth: float, steps: int, bisections: int) -> Points:
    """Each end replaced by a point on the line from the code to it that is valid, has its label, and so do those
    looked at beyond: by ``depth`` beyond the boundary, or a little more where the point itself is an exception."""

    def holds(share: Tensor) -> tuple[Tensor, Points]:
        points = space.classify((latent + share[:, :, None] * (ends.latents - latent)[:, None]).flatten(0, 1))
        good = (points.labels.unflatten(0, share.shape) == ends.labels[:, None]) & space.valid(
            points.latents
        ).unflatten(0, share.shape)
        return good, points

    grid = torch.arange(1, steps + 1) / steps
    good, on_the_way = holds(grid.expand(len(ends), steps))
    good[:, -1] = True  # the end itself
    since = steps - good.flip(1).long().cumprod(dim=1).sum(dim=1)  # from here on all are good
    high, low = grid[since], since / steps
    for _ in range(bisections):
        middle = (low + high) / 2
        found = holds(middle[:, None])[0][:, 0]
        high, low = torch.where(found, middle, high), torch.where(found, low, middle)
    share = high + depth * (1 - high)
    good, points = holds(share[:, None])
    row = torch.arange(len(ends))
    beyond = (share * steps).ceil().long().clamp(1, steps) - 1  # of the grid
    fallback = torch.where(beyond == steps - 1, len(ends) + row, 2 * len(ends) + row * steps + beyond)
    return concatenate([points, ends, on_the_way])[torch.where(good[:, 0], row, fallback)]
