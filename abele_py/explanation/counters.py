"""Counter-exemplars as an explanation holds them: found, with the way to each, and a map of what changes."""

from ..latent.counter_exemplars import CounterExemplars, find_counter_exemplars, morph
from ..latent.space import LatentSpace, Points
from .saliency import change_map


def counter_exemplars_at(
    space: LatentSpace, anchor: Points, candidates: Points, wanted: int | None, depth: float | None, n_frames: int
) -> CounterExemplars:
    """The counter-exemplars of one image.

    Args:
        space: that is asked.
        anchor: the image, its code and its label.
        candidates: where they are looked for.
        wanted: their label; None: any other than the image's.
        depth: how far beyond the boundary, see :class:`~abele_py.Abele`.
        n_frames: of the way to each.
    """
    z, label = anchor.latents[0], int(anchor.labels)
    if wanted is not None:
        candidates = candidates[candidates.labels == wanted]
    ends = find_counter_exemplars(space, z, label, candidates, depth)
    paths, labels, scores = morph(space, anchor.images[0], z, ends, n_frames)
    return CounterExemplars(
        **vars(ends),
        distances=(ends.latents - z).norm(dim=1),
        paths=paths,
        path_labels=labels,
        path_scores=scores,
        saliency=change_map(space.decode(z[None])[0], ends.images),
    )
