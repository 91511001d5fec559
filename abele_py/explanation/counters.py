"""Counter-exemplars as an explanation holds them: found, with the way to each, and a map of what changes."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ..latent.counter_exemplars import (
    CounterExemplars,
    convincing,
    find_counter_exemplars,
    leads_everywhere,
    morph,
    rule_candidates,
    starting_points,
)
from ..latent.descent import Descent, nearer_counter_exemplars
from ..latent.space import LatentSpace, Points, concatenate, local_radius
from ..surrogate.tree import Surrogate, counterfactual_rules
from .backdrop import Backdrop
from .options import Options
from .saliency import change_map


@dataclass(frozen=True, eq=False)
class CounterSearches:
    """What all searches of an explainer share.

    Attributes:
        options: of the explanations.
        landmarks: real codes, labelled, of which ``backdrop`` are the images.
        convincing: (N,) bool, the landmarks that a search may lead to.
        descent: learned from these; None where the options or the autoencoder want lines.
    """

    options: Options
    landmarks: Points
    backdrop: Backdrop
    convincing: Tensor
    descent: Descent | None

    @classmethod
    def of(cls, options: Options, space: LatentSpace, landmarks: Points, backdrop: Backdrop) -> Self:
        goals, descent = convincing(landmarks), None
        if options.counter_search == "descent" and space.has_gradients:
            descent = Descent.of(landmarks, goals, backdrop.lightness)
        return cls(options, landmarks, backdrop, goals, descent)

    def counter_exemplars(
        self,
        plain: LatentSpace,
        space: LatentSpace,
        anchor: Points,
        reconstruction: Points,
        surrogate: Surrogate,
        neighbors: Points,
        wanted: int | None,
    ) -> CounterExemplars:
        """The counter-exemplars of one image, nearest first: by descent, and for labels that this does not reach on
        lines.

        Args:
            plain, space: that are asked, without and with detail of the image.
            anchor: the image, its code and its label.
            reconstruction: the code decoded.
            surrogate, neighbors: of the explanation.
            wanted: their label; None: any other than the image's.
        """
        o, z, label = self.options, anchor.latents[0], int(anchor.labels)
        near = self._nearer(plain, anchor, reconstruction, wanted)
        goals, made = self.landmarks[self.convincing], list[Points]()
        if not leads_everywhere(goals, label, o.counter_depth, space.black_box.n_classes):
            rules = counterfactual_rules(surrogate, z, per_label=3)
            made = [rule_candidates(space.without_images(), rules, z, local_radius(space, z))]
            made += [] if o.counter_depth is None else [neighbors]
        candidates = starting_points(goals, made, z, label, o.counter_depth)
        candidates = candidates[~torch.isin(candidates.labels, near.labels)]
        if wanted is not None:
            candidates = candidates[candidates.labels == wanted]
        on_lines = find_counter_exemplars(space, z, label, candidates, o.counter_depth)
        return _with_ways(space, anchor, concatenate([near, on_lines]), o.n_frames)

    def _nearer(self, plain: LatentSpace, anchor: Points, reconstruction: Points, wanted: int | None) -> Points:
        if self.descent is None:
            return reconstruction[:0]
        image, drawn = anchor.images[0], reconstruction.images[0]
        starts = self.descent.starts(
            self.landmarks, self.convincing, anchor.latents[0], self.backdrop.differences(image), int(anchor.labels)
        )
        if wanted is not None:
            starts = starts[starts.labels == wanted]
        if len(starts) == 0:
            return reconstruction[:0]
        return nearer_counter_exemplars(plain, self.descent, starts, image, drawn, self.options.detail)


def _with_ways(space: LatentSpace, anchor: Points, ends: Points, n_frames: int) -> CounterExemplars:
    """Counter-exemplars of one image, at most one for each label, nearest first, with the way to each."""
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
