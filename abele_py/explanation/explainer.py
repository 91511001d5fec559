"""Abele: explains one image by calling the stages in order. All state is what the constructor was given."""

import math
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from importlib.metadata import version
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor

from ..black_boxes.black_box import Answer, BlackBox
from ..errors import ParameterError, unknown_name
from ..images import check_image
from ..latent.counter_exemplars import (
    CounterExemplars,
    convincing,
    find_counter_exemplars,
    morph,
    rule_candidates,
    starting_points,
)
from ..latent.exemplars import find_exemplars
from ..latent.neighborhood import Hybrid, Local, Neighborhood, Strategy, generate, kernel_weights, strategy
from ..latent.space import LatentSpace, Points, local_radius
from ..latent.traversals import traverse
from ..models.autoencoder import Autoencoder
from ..surrogate.tree import counterfactual_rules, fit_surrogate, rule_of
from .explanation import Explanation
from .saliency import change_map, contiguous_areas, contrast_map, median_map, mosaic_map
from .trust import judge, notes_on


class Abele:
    """Explains single decisions of an image classifier (ABELE, Guidotti et al., ECML PKDD 2019, arXiv 2002.03746).

    Options that are None take the preset's value.

    Args:
        black_box: any callable from images (N, C, H, W) in [0, 1] to (N,) integer labels or (N, K) scores; a torch
            module; or a fitted scikit-learn classifier. See :class:`~abele_py.BlackBox`.
        autoencoder: keeps the protocol :class:`~abele_py.Autoencoder`, trained on images of the same kind.
        neighborhood: ``"local"``, ``"random"``, ``"genetic"``, ``"genetic-score"``, ``"hybrid"``, ``"mixture"``
            (where the autoencoder has one), or a strategy of ``abele_py.latent.neighborhood`` with options of its own.
        n_samples: number of neighbors, the image's code among them.
        random_state: seed of all randomness; the same seed gives the same explanation, whatever was explained before.
        n_exemplars: number of exemplars looked for.
        n_frames: frames of the morph from the image to each counter-exemplar, and of each traversal.
        min_class_fraction: least share of neighbors with another label, in [0, 0.5].
        validity_threshold: least answer of the discriminator; the autoencoder's own, calibrated one if None.
        kernel_width: of the neighbors' weights, see :func:`~abele_py.latent.neighborhood.kernel_weights`.
        saliency: ``"mosaic"``, ``"contrast"`` or ``"median"``, see :func:`~abele_py.explanation.saliency.mosaic_map`,
            ``contrast_map`` and ``median_map``.
        splits: of the surrogate tree: ``"oblique"``, where two labels meet, see
            :func:`~abele_py.surrogate.linear_machine.linear_machine`; or ``"axis"``, along the latent axes.
        n_landmarks: number of real codes (of the autoencoder's reference latents) that the black box labels once, at
            construction. The surrogate is fitted on the nearest of them too (a third of ``n_samples``), exemplars are
            made of them, and counter-exemplars are looked for towards them.
        counter_depth: how far beyond the boundary of their label counter-exemplars stand, as a share of the way from
            there to a real image of that label, in [0, 1]. 0: the nearest found, which the black box alone may tell
            from the image; more convinces other classifiers too, at a larger distance. The paper's preset, without
            one, takes the nearest point of the rules as it is.
        batch_size: most images in one call of the black box or the autoencoder.
        class_names: names of the labels 0..K-1, for words and figures.
        preset: ``"default"``, what was measured to be better; or ``"paper"``, the definitions of the paper: hybrid
            neighborhood, its kernel, splits along the axes, exemplars from the prior inside the rule,
            counter-exemplars from the counterfactual rules alone, median saliency.

    Raises:
        BlackBoxError, AutoencoderError, ParameterError, UnknownNameError: an argument cannot be used.
    """

    def __init__(
        self,
        black_box: Any,
        autoencoder: Autoencoder,
        neighborhood: str | Strategy | None = None,
        n_samples: int = 1000,
        random_state: int = 0,
        *,
        n_exemplars: int = 16,
        n_frames: int = 8,
        min_class_fraction: float = 0.1,
        validity_threshold: float | None = None,
        kernel_width: float | None = None,
        saliency: Literal["mosaic", "contrast", "median"] | None = None,
        splits: Literal["oblique", "axis"] | None = None,
        n_landmarks: int | None = None,
        counter_depth: float | None = None,
        batch_size: int = 256,
        class_names: Sequence[str] = (),
        preset: Literal["default", "paper"] = "default",
    ) -> None:
        self._space = LatentSpace(autoencoder, BlackBox(black_box, batch_size), validity_threshold)
        if preset not in ("default", "paper"):
            raise unknown_name("preset", preset, ("default", "paper"))
        self.paper = preset == "paper"
        self.neighborhood = strategy(neighborhood or (Hybrid() if self.paper else Local()))
        self.saliency = saliency or ("median" if self.paper else "mosaic")
        if self.saliency not in ("mosaic", "contrast", "median"):
            raise unknown_name("saliency", self.saliency, ("mosaic", "contrast", "median"))
        self.splits = splits or ("axis" if self.paper else "oblique")
        if self.splits not in ("oblique", "axis"):
            raise unknown_name("splits", self.splits, ("oblique", "axis"))
        self.kernel_width = 0.75 * math.sqrt(self._space.k) if self.paper and kernel_width is None else kernel_width
        self.n_landmarks = (0 if self.paper else 2000) if n_landmarks is None else n_landmarks
        self.counter_depth = (None if self.paper else 0.35) if counter_depth is None else float(counter_depth)
        self.n_samples, self.n_exemplars, self.n_frames = int(n_samples), int(n_exemplars), int(n_frames)
        for name, value, least in (
            ("n_samples", n_samples, 10),
            ("n_exemplars", n_exemplars, 1),
            ("n_frames", n_frames, 2),
            ("n_landmarks", self.n_landmarks, 0),
        ):
            if value < least:
                raise ParameterError(f"got {name}={value}; expected at least {least}")
        if not 0 <= min_class_fraction <= 0.5:
            raise ParameterError(f"got min_class_fraction={min_class_fraction}; expected a value in [0, 0.5]")
        if not 0 <= (self.counter_depth or 0) <= 1:
            raise ParameterError(
                f"got counter_depth={counter_depth}; expected a value in [0, 1]; 0 stays at the boundary, 1 goes all "
                "the way to a real image"
            )
        if self.kernel_width is not None and not 0 < self.kernel_width < math.inf:
            raise ParameterError(f"got kernel_width={kernel_width}; expected a finite number above 0")
        if not math.isfinite(self._space.validity_threshold):
            raise ParameterError(
                f"got validity_threshold={validity_threshold}; expected a number; 0 accepts every point"
            )
        if not -(2**63) <= random_state < 2**63:
            raise ParameterError(f"got random_state={random_state}; expected a whole number of at most 63 bits")
        self.min_class_fraction = min_class_fraction
        self.random_state = int(random_state)
        self.class_names = tuple(class_names)
        self.preset = preset
        self._space.probe()
        n_classes = self._space.black_box.n_classes
        if self.class_names and n_classes not in (None, len(self.class_names)):
            raise ParameterError(f"got {len(self.class_names)} class_names for {n_classes} scores; expected one each")
        references = self._space.reference_latents[: self.n_landmarks]
        self._landmarks = self._space.classify(references[self._space.valid(references)])
        self._goals = convincing(self._landmarks)

    def explain(self, image: Any, target: int | str | None = None) -> Explanation:
        """Explain the black box's decision on one image.

        Args:
            image: (C, H, W) float tensor or array in [0, 1], of the autoencoder's shape.
            target: a label or class name; counter-exemplars are then looked for with this label only.

        Raises:
            ImageError: the image cannot be used.
            BlackBoxError: the black box answered otherwise than a classifier does.
            NeighborhoodError: hardly any neighbor was valid.
            ParameterError, UnknownNameError: the target cannot be one.
        """
        space = self._space
        generator = torch.Generator().manual_seed(self.random_state)
        asked = space.black_box.images
        x = check_image(image, space.image_shape)
        answer = space.black_box(x[None])
        anchor = Points(space.encode(x[None]), x[None], *answer)
        z, label = anchor.latents[0], int(anchor.labels)
        wanted = self._target(target, label)

        neighbors = generate(self.neighborhood, space, anchor, self.n_samples, self.min_class_fraction, generator)
        weights = kernel_weights(neighbors.latents, self.kernel_width)
        real = self._landmarks[:0] if self.paper else self._landmarks
        near = real[(real.latents - z).norm(dim=1).argsort(stable=True)[: self.n_samples // 3]]
        surrogate, fidelity = fit_surrogate(
            neighbors.latents,
            neighbors.labels,
            weights,
            generator,
            oblique=self.splits == "oblique",
            real=(near.latents, near.labels),
        )
        rule = rule_of(surrogate, z)

        radius = local_radius(space, z)
        center, scale = (torch.zeros(space.k), 1.0) if self.paper else (z, 0.5 * radius / math.sqrt(space.k))
        exemplars = find_exemplars(space, rule, label, center, scale, self.n_exemplars, generator, real)
        made = [rule_candidates(space, counterfactual_rules(surrogate, z, per_label=3), z, radius)]
        made += [] if self.paper else [neighbors]
        candidates = starting_points(self._goals, made, z, label, self.counter_depth)
        reconstruction = space.classify(z[None])
        counters = self._counter_exemplars(anchor, reconstruction, candidates, wanted)

        counterfactuals = counterfactual_rules(surrogate, z)
        bounds = [*rule.conditions, *(condition for c in counterfactuals for condition in c.changes)]
        traversals = traverse(space, z, bounds, self.n_frames, 0.5 * radius)

        saliency = self._saliency(x, label, neighbors, exemplars)
        typicality = space.typicality(z[None])
        trust = judge(
            fidelity,
            surrogate,
            neighbors,
            anchor,
            reconstruction,
            counters,
            bool(space.valid(z[None])),
            None if typicality is None else float(typicality),
        )
        params = self._params(target if isinstance(target, str) else wanted)
        found = len(exemplars), len(counters)
        notes = notes_on(trust, self._name, label, int(reconstruction.labels), *found, wanted, params)
        return Explanation(
            image=x,
            label=label,
            scores=None if anchor.scores is None else anchor.scores[0],
            class_names=self.class_names,
            latent=z,
            reconstruction=reconstruction.images[0],
            reconstruction_label=int(reconstruction.labels),
            rule=rule,
            counterfactual_rules=counterfactuals,
            exemplars=exemplars,
            counter_exemplars=counters,
            saliency=saliency,
            saliency_areas=contiguous_areas(saliency),
            neighborhood=Neighborhood(neighbors.latents, neighbors.labels, neighbors.scores, weights),
            surrogate=surrogate,
            trust=trust,
            notes=tuple(notes),
            params=params | {"black_box_images": space.black_box.images - asked},
            exemplar_typicality=space.typicality(exemplars.latents),
            counter_exemplar_typicality=space.typicality(counters.latents),
            traversals=traversals,
        )

    def _saliency(self, image: Tensor, label: int, neighbors: Points, exemplars: Points) -> Tensor:
        if self.saliency == "median":
            return median_map(image, exemplars.images)
        if self.saliency == "contrast":
            evidence = Answer(neighbors.labels, neighbors.scores).evidence(label)
            return contrast_map(image, neighbors.images, evidence, neighbors.labels == label)
        # Of the landmarks where they have other labels: they are the same for all images, which keeps maps stable. A
        # generator of its own, so that the areas do not depend on how many neighbors were drawn.
        points = self._landmarks if bool((self._landmarks.labels != label).any()) else neighbors
        others = points.images[points.labels != label]
        generator = torch.Generator().manual_seed(self.random_state)
        black_box = self._space.black_box
        return mosaic_map(image, others, lambda images: black_box(images).probability(label), generator)

    def _name(self, label: int) -> str:
        return self.class_names[label] if label < len(self.class_names) else str(label)

    def _target(self, target: int | str | None, label: int) -> int | None:
        """The target as a label, or an error."""
        if target is None:
            return None
        n_classes = self._space.black_box.n_classes or len(self.class_names)
        names = [*self.class_names] or [str(y) for y in range(n_classes)]
        if isinstance(target, str):
            if target not in names and not target.isdecimal():
                raise unknown_name("target", target, names)
            target = names.index(target) if target in names else int(target)
        if isinstance(target, bool) or not isinstance(target, Integral):
            raise ParameterError(f"got the target {target!r}; expected a label (a whole number) or a class name")
        target = int(target)
        if target < 0 or (n_classes and target >= n_classes):
            raise unknown_name("target", target, names)
        if target == label:
            raise ParameterError(
                f"got target {names[target] if names else target}, the label the image has; expected another label"
            )
        return target

    def _counter_exemplars(
        self, anchor: Points, reconstruction: Points, candidates: Points, wanted: int | None
    ) -> CounterExemplars:
        z, label = anchor.latents[0], int(anchor.labels)
        if wanted is not None:
            candidates = candidates[candidates.labels == wanted]
        ends = find_counter_exemplars(self._space, z, label, candidates, self.counter_depth)
        paths, labels, scores = morph(self._space, anchor.images[0], reconstruction, ends, self.n_frames)
        return CounterExemplars(
            **vars(ends),
            distances=(ends.latents - z).norm(dim=1),
            paths=paths,
            path_labels=labels,
            path_scores=scores,
            saliency=change_map(reconstruction.images[0], ends.images),
        )

    def _params(self, target: int | str | None) -> dict[str, Any]:
        """All that decides the result; not the batch size, which changes nothing."""
        options: dict[str, Any] = (
            asdict(self.neighborhood)
            if is_dataclass(self.neighborhood) and not isinstance(self.neighborhood, type)
            else {}
        )
        return {
            "preset": self.preset,
            "neighborhood": {"strategy": type(self.neighborhood).__name__, **options},
            "n_samples": self.n_samples,
            "random_state": self.random_state,
            "n_exemplars": self.n_exemplars,
            "n_frames": self.n_frames,
            "min_class_fraction": self.min_class_fraction,
            "validity_threshold": self._space.validity_threshold,
            "kernel_width": self.kernel_width,
            "saliency": self.saliency,
            "splits": self.splits,
            "n_landmarks": self.n_landmarks,
            "counter_depth": self.counter_depth,
            "target": target,
            "autoencoder": type(self._space.autoencoder).__name__,
            "versions": {package: version(package) for package in ("abele-py", "torch", "numpy", "scikit-learn")},
        }
