"""Counter-exemplars as an explanation holds them: found, with the way to each, and a map of what changes."""

from ..latent.counter_exemplars import CounterExemplars, morph
from ..latent.space import LatentSpace, Points
from .saliency import change_map


def with_ways(space: LatentSpace, anchor: Points, ends: Points, n_frames: int) -> CounterExemplars:
    """Counter-exemplars of one image, nearest first.

    Args:
        space: that is asked.
        anchor: the image, its code and its label.
        ends: at most one for each label.
        n_frames: of the way to each.
    """
    z = anchor.latents[0]
    ends = ends[(ends.latents - z).norm(dim=1).argsort(stable=True)]
    paths, labels, scores = morph(space, anchor.images[0], z, ends, n_frames)
    return CounterExemplars(
        **vars(ends),
        distances=(ends.latents - z).norm(dim=1),
        paths=paths,
        path_labels=labels,
        path_scores=scores,
        saliency=change_map(space.decode(z[None])[0], ends.images),
    )
