"""What is measured of one explanation: surrogate, exemplars, counter-exemplars."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ..datasets.records import to_unit, unit_batches
from ..explanation.explainer import Abele
from ..explanation.explanation import Explanation
from ..latent.exemplars import diverse
from ..latent.neighborhood import generate, kernel_weights
from ..latent.space import Points
from ..metrics import counter_exemplars as of_counters
from ..metrics import exemplars as of_exemplars
from ..metrics import surrogate as of_surrogate
from ..metrics.class_autoencoders import ClassAutoencoders, fit_class_autoencoders
from ..metrics.prototypes import k_medoids, mmd_critic
from .subject import Row, Subject

PROTOTYPES = (1, 2, 4, 8, 16, 32, 64)
# Places where a surrogate is judged; the others are flattering, or farther away than it is meant for.
_FRESH, _REAL = "held-out neighbors, drawn anew", "nearest real images"
_JUDGED = (_FRESH, "sphere 0.5", "sphere 1.0", _REAL)


class _Place(NamedTuple):
    """Labelled points on which surrogate and black box are compared.

    Attributes:
        name: in print.
        latents: (N, k).
        labels: (N,) int64, the black box's.
        weights: (N,) how much each counts; None: alike.
    """

    name: str
    latents: Tensor
    labels: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class SurrogatePart:
    """Fidelity where the surrogate was fitted, held out, and where it never was; the constant answer beside it.

    Attributes:
        subject: what is evaluated.
        test_codes, train_codes: (N, k) codes of all images of the two splits.
    """

    subject: Subject
    test_codes: Tensor
    train_codes: Tensor

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        splits = subject.test.images, subject.train.images
        return cls(subject, *(torch.cat([subject.space.encode(x) for x in unit_batches(split)]) for split in splits))

    def measure(self, index: int) -> list[Row]:
        e, seconds = self.subject.explanation(index)
        rows = [_fidelity(e, place) for place in self._places(e, index)]
        judged = [row.metrics for row in rows if row.at in _JUDGED]
        tree = {
            "hit": of_surrogate.hit(e.surrogate, e.latent, e.label),
            "rule_length": of_surrogate.rule_length(e.rule),
            "labels_present": of_surrogate.labels_present(e.neighborhood.labels),
            "leaves": of_surrogate.leaves(e.surrogate),
            "reported_fidelity": e.trust.held_out,
            "reported_constant": e.trust.constant,
            "nowhere_below_constant": of_surrogate.nowhere_below_constant(
                [metrics["agreement"] for metrics in judged], [metrics["constant"] for metrics in judged]
            ),
        }
        return [Row("surrogate", None, tree, seconds), *rows]

    def _places(self, e: Explanation, index: int) -> Iterator[_Place]:
        s, z = self.subject, e.latent
        yield _Place("own neighbors (3 of 4 fitted on)", e.neighborhood.latents, e.neighborhood.labels)
        fresh = _fresh_neighbors(s, e, s.generator(index, "fresh"))
        weights = kernel_weights(torch.cat([z[None], fresh.latents]), e.params["kernel_width"])[1:]
        yield _Place(_FRESH, fresh.latents, fresh.labels)
        yield _Place("the same, near ones counting more", fresh.latents, fresh.labels, weights)
        distance = of_surrogate.typical_distance(z, self.train_codes)
        for factor in (0.5, 1.0, 1.5):
            latents = of_surrogate.sphere(z, factor * distance, 300, s.generator(index, f"sphere {factor}"))
            yield _Place(f"sphere {factor}", latents, e.seen_in(s.space).classify(latents).labels)
        near = of_surrogate.nearest_codes(z, self.test_codes)
        yield _Place(_REAL, self.test_codes[near], s.test_labels[near])


def _fidelity(e: Explanation, place: _Place) -> Row:
    predicted = e.surrogate.predict(place.latents)
    metrics = {
        "agreement": of_surrogate.agreement(predicted, place.labels, place.weights),
        "constant": of_surrogate.constant(place.labels, e.label, place.weights),
    }
    if place.weights is None:
        metrics["balanced_agreement"] = of_surrogate.balanced_agreement(predicted, place.labels, e.label)
    return Row("surrogate", place.name, metrics)


def _fresh_neighbors(s: Subject, e: Explanation, generator: torch.Generator) -> Points:
    """Neighbors from the same distribution as the explanation's own, of which the surrogate has seen none."""
    x = e.image[None]
    anchor = Points(e.latent[None], x, *s.black_box(x))
    n, share = e.params["n_samples"], e.params["min_class_fraction"]
    draw = partial(generate, s.explainer.options.neighborhood, e.seen_in(s.space), anchor, n, share)
    return of_surrogate.fresh_neighbors(draw, e.neighborhood.latents, generator)


# k -> the k images chosen of a label, and the k chosen of all others
Chooser = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ExemplarsPart:
    """1-NN on k exemplars and k counter-exemplars, beside as many real images chosen by other methods.

    Attributes:
        subject: what is evaluated.
        explainer: with as many exemplars as are needed. They are of more candidates than those of the default, which
            are not the first of them: this explanation cannot stand for the default one, nor that for this.
        prototypes: label -> rival -> its choice, which depends on no image.
    """

    subject: Subject
    explainer: Abele
    prototypes: Callable[[int], dict[str, Chooser]]

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        explainer = subject.explainer_of(subject.black_box, n_exemplars=max(PROTOTYPES))
        return cls(subject, explainer, cache(partial(_prototypes, subject.rival_images, subject.rival_labels)))

    def measure(self, index: int) -> list[Row]:
        s, e = self.subject, self.explainer.explain(self.subject.image(index))
        rivals = {
            "abele": self._explained(e),
            **self.prototypes(e.label),
            "nearest-real": _nearest(s.rival_images, s.rival_labels, e),
        }
        labels = torch.where(torch.arange(len(s.test)) == index, -1, s.test_labels)
        queries = of_exemplars.balanced_queries(labels, e.label, 200, s.generator(index, "ask"))
        images, with_label = to_unit(s.test.images[queries]), s.test_labels[queries] == e.label
        rows = []
        for name, choose in rivals.items():
            for k in PROTOTYPES:
                same, other = choose(k)
                is_label = torch.arange(len(same) + len(other)) < len(same)
                value = of_exemplars.one_nearest_neighbor(torch.cat([same, other]), is_label, images, with_label)
                rows.append(Row(name, k, {"one_nearest_neighbor": value}))
        return rows

    def _explained(self, e: Explanation) -> Chooser:
        """The exemplars; and the counter-exemplars, then neighbors of other labels, far from each other."""
        n = max(PROTOTYPES)
        latents = e.neighborhood.latents[e.neighborhood.labels != e.label]
        latents = latents[diverse(latents, e.latent, n)]
        others = torch.cat([e.counter_exemplars.images, e.seen_in(self.subject.space).decode(latents)])[:n]
        return lambda k: (e.exemplars.images[:k], others[:k])


def _prototypes(real: Tensor, labels: Tensor, label: int) -> dict[str, Chooser]:
    """The choices of MMD-critic and of k-medoids among the first 2,000 real images (R, C, H, W)."""
    points, few, n = real.flatten(1), labels[:2000], max(PROTOTYPES)
    kinds = (few == label).nonzero()[:, 0], (few != label).nonzero()[:, 0]
    critics = [rows[mmd_critic(points[rows], min(n, len(rows)), 0)[0]] for rows in kinds]
    medoids = {k: [rows[k_medoids(points[rows], min(k, len(rows)))] for rows in kinds] for k in PROTOTYPES}
    return {
        "mmd-critic": lambda k: (real[critics[0][:k]], real[critics[1][:k]]),
        "k-medoids": lambda k: (real[medoids[k][0]], real[medoids[k][1]]),
    }


def _nearest(real: Tensor, labels: Tensor, e: Explanation) -> Chooser:
    """The real images (R, C, H, W) nearest to the explained one."""
    kinds = (labels == e.label).nonzero()[:, 0], (labels != e.label).nonzero()[:, 0]
    points, x = real.flatten(1), e.image.flatten()
    same, other = (rows[of_exemplars.nearest_real(x, points[rows], max(PROTOTYPES))] for rows in kinds)
    return lambda k: (real[same[:k]], real[other[:k]])


@dataclass(frozen=True)
class CounterExemplarsPart:
    """Are counter-exemplars valid, available, near, plausible, diverse; beside the nearest real images.

    Attributes:
        subject: what is evaluated.
        networks: an autoencoder for each class, kept in the folder.
        real: the training images, for plausibility.
    """

    subject: Subject
    networks: ClassAutoencoders
    real: of_counters.Plausibility

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        path, train, labels = subject.folder / "class_autoencoders.safetensors", subject.train, subject.train_labels
        if path.exists():
            networks = ClassAutoencoders.load(path)
        else:
            networks = fit_class_autoencoders(train.images, labels, subject.n_classes, seed=subject.seed)
            networks.save(path)
        return cls(subject, networks, of_counters.Plausibility.fit(to_unit(train.images), labels))

    def measure(self, index: int) -> list[Row]:
        s, (e, seconds) = self.subject, self.subject.explanation(index)
        c, real, labels = e.counter_exemplars, s.rival_images, s.rival_labels
        near = of_counters.nearest_unlike(e.image, labels, real, e.label)
        return [
            Row("abele", None, self.metrics_of(e, c.images, c.labels, c.latents), seconds),
            Row("nearest-unlike", None, self.metrics_of(e, real[near], labels[near], s.space.encode(real[near]))),
        ]

    def metrics_of(self, e: Explanation, counters: Tensor, claimed: Tensor, codes: Tensor) -> dict[str, float]:
        """Of M counter-exemplars (M, C, H, W) of an image, with the labels that they are to have and their codes."""
        s = self.subject
        metrics = {
            "validity": of_counters.validity(s.black_box, counters, claimed),
            "availability": of_counters.availability(claimed),
            "availability_per_class": of_counters.availability_per_class(claimed, s.n_classes),
            "proximity_l1": of_counters.proximity_l1(e.image, counters),
            "proximity_l2": of_counters.proximity_l2(e.image, counters),
            "latent_distance": of_counters.latent_distance(e.latent, codes),
            "sparsity": of_counters.sparsity(e.image, counters),
            "plausibility": of_counters.plausibility(self.real, counters, claimed),
            "im1": of_counters.im1(self.networks, counters, claimed, e.label),
            "im2": of_counters.im2(self.networks, counters, claimed),
            "diversity": of_counters.diversity(counters),
        }
        if s.oracle is not None:
            metrics["oracle_agreement"] = of_counters.oracle_agreement(s.oracle, counters, claimed)
        return metrics
