"""Abele: explains one image by calling the stages in order. All state is what the constructor was given."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Annotated, Any, Literal, overload

import torch

from ..black_boxes.black_box import BlackBox, agree
from ..checking.parameters import CheckedInside, ClassNames, Count, Positive, Seed, Share, checked
from ..datasets.images import check_image, is_blank
from ..errors import AbeleError, BlackBoxError, ImageError
from ..latent.exemplars import find_exemplars
from ..latent.neighborhood import Neighborhood, Strategy, generate, kernel_weights
from ..latent.side_by_side import side_by_side
from ..latent.space import LatentSpace, Points, local_radius
from ..latent.traversals import traverse
from ..models.autoencoder import Autoencoder
from ..provenance import origin_of, origin_of_image, versions
from ..surrogate.tree import counterfactual_rules, fit_surrogate, rule_of
from .backdrop import labelled
from .counters import CounterSearches
from .explanation import Explanation
from .maps import measured_map
from .notes import is_inverted, notes_on
from .options import (
    ClassFraction,
    CounterSearch,
    Exemplars,
    Frames,
    Landmarks,
    Preset,
    Saliency,
    Samples,
    Splits,
    options_of,
)
from .saliency import contiguous_areas
from .targets import label_of
from .trust import judge
from .verdicts import verdicts_on

_ENOUGH = 256  # real codes whose images say how light those of the training were
_TOGETHER = 32  # explanations side by side, at most: with more, calls are not much larger, and memory is
_IMAGES, _BYTES = 400, 2**28  # that each holds: exemplars, counter-exemplars and the ways to them; and of all images


class Abele:
    """Explains single decisions of an image classifier (ABELE, Guidotti et al., ECML PKDD 2019, arXiv 2002.03746).

    Options that are None take the preset's value; :class:`~abele_py.explanation.options.Options` holds the defaults.

    Args:
        black_box: any callable from images (N, C, H, W) in [0, 1] to (N,) integer labels or (N, K) scores; a torch
            module; or a fitted scikit-learn classifier. See :class:`~abele_py.BlackBox`.
        autoencoder: keeps the protocol :class:`~abele_py.Autoencoder`, trained on images of the same kind.
        neighborhood: ``"local"``, ``"between"``, ``"random"``, ``"genetic"``, ``"genetic-score"``, ``"hybrid"``,
            ``"mixture"`` (where the autoencoder has one), or a strategy of ``abele_py.latent.neighborhood`` with
            options of its own. None: local, but between of more than 32 latent coordinates.
        n_samples: number of neighbors, the image's code among them; 1,000.
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
        n_landmarks: number of real codes (of the autoencoder's reference latents), labelled once. The surrogate is
            fitted on the nearest too (a third of ``n_samples``), exemplars and counter-exemplars are made with them.
        counter_search: how counter-exemplars are found: ``"descent"``, from near real images of another label towards
            the image, see ``abele_py.latent.descent``; or ``"line"``, on the line to such an image. Labels that
            a descent does not reach, and autoencoders without gradients, are left to the lines.
        counter_depth: of lines, how far beyond the boundary of their label counter-exemplars stand, as a share of the
            way from there to a real image of that label, in [0, 1]. 0: the nearest found, which the black box alone may
            tell from the image; more convinces other classifiers too, at a larger distance. The paper's preset, without
            one, takes the nearest point of the rules as it is. Where it is given the search is on lines.
        detail: share in [0, 1] of what the autoencoder does not draw of the image that is added to images near its
            code, fading up to the nearest real code. With 1 neighbors begin with the image itself, not with a copy.
        real_codes: fit the surrogate on landmarks too, and make exemplars of landmarks, or near the image's code where
            there are too few. False, as in the paper: on neighbors alone, and exemplars are samples of the prior.
        batch_size: most images in one call of the black box or the autoencoder.
        class_names: names of the classes, for words and figures: a sequence in the order of the black box's columns (of
            its ``classes_``, where it has them), or a mapping from its classes to names. None: what it calls them.
        preset: ``"default"``, what was measured to be better; or ``"paper"``, the definitions of the paper: hybrid
            neighborhood, its kernel, splits along the axes, exemplars from the prior inside the rule, counter-exemplars
            from the counterfactual rules alone, median saliency, no detail.

    Threads may share it, and it can be pickled where the black box and the autoencoder can. A torch module of the
    user's stays in evaluation mode while any of them is at work with it; do not train it meanwhile.

    Raises:
        BlackBoxError, AutoencoderError, ParameterError, UnknownNameError: an argument cannot be used.
    """

    @checked
    def __init__(
        self,
        black_box: Any,
        autoencoder: Autoencoder,
        neighborhood: str | Strategy | None = None,
        n_samples: Samples | None = None,
        random_state: Seed | None = None,
        *,
        n_exemplars: Exemplars | None = None,
        n_frames: Frames | None = None,
        min_class_fraction: ClassFraction | None = None,
        validity_threshold: float | None = None,
        kernel_width: Positive | None = None,
        saliency: Saliency | None = None,
        splits: Splits | None = None,
        n_landmarks: Landmarks | None = None,
        counter_search: CounterSearch | None = None,
        counter_depth: Share | None = None,
        real_codes: bool | None = None,
        detail: Share | None = None,
        batch_size: Count = 256,
        class_names: ClassNames = None,
        preset: Preset = "default",
    ) -> None:
        self._space = LatentSpace(autoencoder, BlackBox(black_box, batch_size, class_names), validity_threshold)
        self.options = options_of(
            preset,
            self._space.k,
            neighborhood=neighborhood,
            n_samples=n_samples,
            random_state=random_state,
            n_exemplars=n_exemplars,
            n_frames=n_frames,
            min_class_fraction=min_class_fraction,
            validity_threshold=self._space.validity_threshold,
            kernel_width=kernel_width,
            saliency=saliency,
            splits=splits,
            n_landmarks=n_landmarks,
            counter_search=counter_search,
            counter_depth=counter_depth,
            real_codes=real_codes,
            detail=detail,
        )
        self._space.probe()
        self.class_names = self._space.black_box.class_names
        references = self._space.reference_latents[: self.options.n_landmarks]
        self._landmarks, self._backdrop = labelled(self._space, references[self._space.valid(references)])
        self._searches = CounterSearches.of(self.options, self._space, self._landmarks, self._backdrop)
        self._origin = {"black_box": origin_of(black_box), "autoencoder": origin_of(autoencoder)}
        known = self._space.decode(self._space.reference_latents[:_ENOUGH])
        self._lightness = float(known.mean())  # of images like those that the autoencoder was trained on

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that it explains."""
        return self._space.image_shape

    @property
    def device(self) -> torch.device:
        """Where the autoencoder computes."""
        return self._space.device

    @property
    def origin(self) -> dict[str, Any]:
        """What ``black_box`` and ``autoencoder`` are, see :func:`~abele_py.provenance.origin_of`."""
        return dict(self._origin)

    def probe(self) -> None:
        """Try whether the black box and the autoencoder still answer, and the same each time, as the constructor does.

        Raises:
            BlackBoxError, AutoencoderError: one does not.
        """
        self._space.probe()

    @checked
    def explain(self, image: Any, target: Annotated[int | str | None, CheckedInside()] = None) -> Explanation:
        """Explain the black box's decision on one image.

        Args:
            image: (C, H, W) float tensor or array in [0, 1], of the autoencoder's shape; or a picture of Pillow's, or
                the path of an image file, both as :func:`~abele_py.read_image` takes them.
            target: a class name, or a class as the black box has it (7, where its classes are 1, 4 and 7);
                counter-exemplars are then looked for with this label only.

        Raises:
            ImageError: the image cannot be used.
            BlackBoxError: the black box answered otherwise than a classifier does, or otherwise at the end than at
                the beginning.
            NeighborhoodError: hardly any neighbor was valid.
            ParameterError, UnknownNameError: the target cannot be one.
        """
        (found,) = self._side_by_side([image], target)
        if isinstance(found, AbeleError):
            raise found
        return found

    @overload
    def explain_many(
        self,
        images: Iterable[Any],
        target: int | str | None = ...,
        progress: Callable[[int, int | None], object] | None = ...,
        *,
        together: int | None = ...,
        errors: Literal["raise"] = ...,
    ) -> Iterator[Explanation]: ...

    @overload
    def explain_many(
        self,
        images: Iterable[Any],
        target: int | str | None = ...,
        progress: Callable[[int, int | None], object] | None = ...,
        *,
        together: int | None = ...,
        errors: Literal["yield"],
    ) -> Iterator[Explanation | AbeleError]: ...

    @checked
    def explain_many(
        self,
        images: Iterable[Any],
        target: Annotated[int | str | None, CheckedInside()] = None,
        progress: Callable[[int, int | None], object] | None = None,
        *,
        together: Count | None = None,
        errors: Literal["raise", "yield"] = "raise",
    ) -> Iterator[Explanation | AbeleError]:
        """Explain the black box's decisions on many images: one explanation after the other, in their order.

        Each is the explanation that :meth:`explain` gives, to the byte where the black box answers each image by
        itself, as those of torch (in batches filled up to 16), scikit-learn and files do. Several are made side by
        side, and what they ask of autoencoder and black box goes there in common batches.

        Args:
            images: as of :meth:`explain`, (N, C, H, W) or any iterable; it is read as far as explanations are made.
            target: of all of them, as of :meth:`explain`.
            progress: called after each image with the number of those that are done, and of all of them, or None
                where ``images`` has no length.
            together: number of explanations made side by side, all of which memory holds. None: as many as hold about
                256 MB of images, but at most 32.
            errors: ``"raise"``: the first image that cannot be explained ends it, after those before it were given.
                ``"yield"``: its error comes in its place, and the others go on.

        Raises:
            ImageError, BlackBoxError, NeighborhoodError, ParameterError, UnknownNameError: as :meth:`explain`.
        """
        if isinstance(images, str | os.PathLike) or tuple(getattr(images, "shape", ())) == self._space.image_shape:
            raise ImageError(
                "got one image; expected several, (N, C, H, W) or an iterable of images; call explain(image), or pass "
                "[image]"
            )
        n, pixels = len(images) if isinstance(images, Sized) else None, math.prod(self._space.image_shape)
        size = together or max(1, min(_TOGETHER, _BYTES // (4 * _IMAGES * pixels)))

        def explained() -> Iterator[Explanation | AbeleError]:
            left, done = iter(images), 0
            while some := list(islice(left, size)):
                for found in self._side_by_side(some, target):
                    if errors == "raise" and isinstance(found, AbeleError):
                        raise found
                    done += 1
                    if progress is not None:
                        progress(done, n)
                    yield found

        return explained()

    def _side_by_side(self, images: list[Any], target: int | str | None) -> list[Explanation | AbeleError]:
        with self._space.at_work():
            return side_by_side(self._space, [partial(self._explain, image, target) for image in images])

    def _explain(self, image: Any, target: int | str | None, space: LatentSpace) -> Explanation:
        """One explanation, whose space counts what it queries."""
        o = self.options
        generator = torch.Generator().manual_seed(o.random_state)
        x = check_image(image, space.image_shape)
        answer = space.query(x[None])
        anchor = Points(space.encode(x[None]), x[None], *answer)
        z, label = anchor.latents[0], int(anchor.labels)
        wanted = label_of(target, label, space.black_box, self.class_names)
        reconstruction = space.classify(z[None])
        plain, space = space, space.detailed(x, reconstruction.images[0], z, o.detail)

        drawn, own = (
            (space, anchor) if self._maps_neighbors(label) else (space.without_images(), anchor.without_images())
        )
        neighbors = generate(o.neighborhood, drawn, own, o.n_samples, o.min_class_fraction, generator)
        weights = kernel_weights(neighbors.latents, o.kernel_width)
        real = self._landmarks if o.real_codes else self._landmarks[:0]
        near = real[(real.latents - z).norm(dim=1).argsort(stable=True)[: o.n_samples // 3]]
        known, oblique = (near.latents, near.labels), o.splits == "oblique"
        surrogate, fidelity = fit_surrogate(
            neighbors.latents, neighbors.labels, weights, generator, oblique=oblique, real=known
        )
        rule = rule_of(surrogate, z)

        radius = local_radius(space, z)
        center, scale = (z, 0.5 * radius / math.sqrt(space.k)) if o.real_codes else (torch.zeros(space.k), 1.0)
        exemplars = find_exemplars(space, rule, label, center, scale, o.n_exemplars, generator, real)
        counters = self._searches.counter_exemplars(plain, space, anchor, reconstruction, surrogate, neighbors, wanted)

        counterfactuals = counterfactual_rules(surrogate, z)
        bounds = [*rule.conditions, *(condition for c in counterfactuals for condition in c.changes)]
        traversals = traverse(space, z, bounds, o.n_frames, 0.5 * radius)

        saliency, map_fit = measured_map(o, space, anchor, neighbors, exemplars, self._landmarks, self._backdrop)
        points = z[None], exemplars.latents, counters.latents
        typicality = space.typicality(torch.cat(points))
        typicalities = [None] * 3 if typicality is None else typicality.split([*map(len, points)])
        trust = judge(
            fidelity,
            surrogate,
            neighbors,
            anchor,
            reconstruction,
            counters,
            bool(space.valid(z[None])),
            None if typicalities[0] is None else float(typicalities[0]),
            map_fit,
        )
        if not agree(answer, space.query(x[None])):
            others = space.queried - 2
            raise BlackBoxError(
                f"got another answer of the black box for the image after {others} other images; expected the same, "
                "for an explanation is of one function; switch off what changes while it is queried: training, caches, "
                "updates of the service"
            )
        explanation = Explanation(
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
            notes=(),
            params=self._params(target if target in (*self.class_names, str(wanted)) else wanted)
            | {"black_box_answers": space.black_box.answers, "black_box_images": space.queried},
            exemplar_typicality=typicalities[1],
            counter_exemplar_typicality=typicalities[2],
            traversals=traversals,
            provenance=self.origin | {"image": origin_of_image(x)},
        )
        noted = replace(
            explanation, notes=tuple(notes_on(explanation, is_blank(x), is_inverted(space, x, z, self._lightness)))
        )
        return replace(noted, verdicts=verdicts_on(noted))

    def _maps_neighbors(self, label: int) -> bool:
        """Whether the map of an image with this label is made of the images of its neighbors."""
        kind = self.options.saliency
        return kind == "contrast" or (kind == "mosaic" and not self._backdrop.has_others(label))

    def _params(self, target: int | str | None) -> dict[str, Any]:
        """All that decides the result; not the batch size, which changes nothing."""
        return self.options.as_params() | {
            "target": target,
            "autoencoder": type(self._space.autoencoder).__name__,
            "versions": versions("abele-py", "torch", "numpy", "scikit-learn"),
        }
