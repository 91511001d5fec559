"""PARTS: what an evaluation measures, image by image, as rows of figures.

A part prepares what its images share, and gives a function from the number of an image to rows. What it measures of
an image depends on the seed and that image alone, so that an interrupted evaluation goes on with the same figures.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import metrics_autoencoder as of_autoencoder
from . import metrics_counter_exemplars as of_counters
from . import metrics_exemplars as of_exemplars
from . import metrics_saliency as of_maps
from . import metrics_surrogate as of_surrogate
from . import sanity as of_dependence
from .black_box import BlackBox
from .class_autoencoders import ClassAutoencoders, fit_class_autoencoders
from .datasets import to_unit
from .exemplars import diverse
from .explanation import Explanation, write_atomically
from .latent_space import Points
from .neighborhood import generate, kernel_weights
from .subject import Subject

PROTOTYPES = (1, 2, 4, 8, 16, 32, 64)


class Row(NamedTuple):
    """Some figures of one image.

    Attributes:
        of: what they are of, such as the name of a method.
        at: where, such as a layer or a number of prototypes; None where there is one place only.
        figures: names of ``figures.FIGURES`` -> values; NaN where there is none.
        seconds: what the explanation took, where it was timed.
    """

    of: str
    at: str | int | None
    figures: Mapping[str, float]
    seconds: float | None = None


Measure = Callable[[int], list[Row]]

# Places where a surrogate is judged; the others are flattering, or farther away than it is meant for.
_FRESH, _REAL = "held-out neighbors, drawn anew", "nearest real images"
_JUDGED = (_FRESH, "sphere 0.5", "sphere 1.0", _REAL)


def surrogate(s: Subject) -> Measure:
    """Fidelity where the surrogate was fitted, held out, and where it never was; the constant answer beside it."""
    test_codes = torch.cat([s.space.encode(to_unit(part)) for part in s.test.images.split(1000)])
    real_codes = torch.cat([s.space.encode(to_unit(part)) for part in s.train.images.split(1000)])
    explainer = s.explainer

    def measure(index: int) -> list[Row]:
        start = time.perf_counter()
        e = explainer.explain(s.image(index))
        seconds = time.perf_counter() - start
        t, z = e.trust, e.latent

        def row(at: str, latents: Tensor, labels: Tensor, weights: Tensor | None = None) -> Row:
            told = e.surrogate.predict(latents)
            figures = {
                "agreement": of_surrogate.agreement(told, labels, weights),
                "constant": of_surrogate.constant(labels, e.label, weights),
            }
            if weights is None:
                figures["balanced_agreement"] = of_surrogate.balanced_agreement(told, labels, e.label)
            return Row("surrogate", at, figures)

        tree = {
            "hit": of_surrogate.hit(e.surrogate, z, e.label),
            "rule_length": of_surrogate.rule_length(e.rule),
            "labels_present": of_surrogate.labels_present(e.neighborhood.labels),
            "leaves": of_surrogate.leaves(e.surrogate),
            "reported_fidelity": t.held_out,
            "reported_constant": t.constant,
        }
        own = e.neighborhood
        fresh = _fresh_neighbors(s, e, s.generator(index, "fresh"))
        weights = kernel_weights(torch.cat([z[None], fresh.latents]), e.params["kernel_width"])[1:]
        rows = [
            row("own neighbors (3 of 4 fitted on)", own.latents, own.labels),
            row(_FRESH, fresh.latents, fresh.labels),
            row("the same, near ones counting more", fresh.latents, fresh.labels, weights),
        ]
        distance = of_surrogate.typical_distance(z, real_codes)
        for factor in (0.5, 1.0, 1.5):
            latents = of_surrogate.sphere(z, factor * distance, 300, s.generator(index, f"sphere {factor}"))
            rows.append(row(f"sphere {factor}", latents, s.space.classify(latents).labels))
        near = of_surrogate.nearest_real(z, test_codes)
        rows.append(row(_REAL, test_codes[near], s.test_labels[near]))
        judged = [r.figures for r in rows if r.at in _JUDGED]
        tree["nowhere_below_constant"] = of_surrogate.nowhere_below_constant(
            [f["agreement"] for f in judged], [f["constant"] for f in judged]
        )
        return [Row("surrogate", None, tree, seconds), *rows]

    return measure


def saliency(s: Subject) -> Measure:
    """Deletion, insertion and other figures of each method's map; the curves are kept in the folder."""

    def measure(index: int) -> list[Row]:
        x, y = s.image(index), s.label(index)
        maps, seconds = s.maps(index)
        if not maps:
            return []
        stack = torch.stack([*maps.values()])
        ask = (x, s.black_box, y, stack)
        curves = {}
        for kind in of_maps.BASELINES:
            baseline = of_maps.baseline_of(x, kind)
            curves[f"deletion_{kind}"] = of_maps.deletion_curves(*ask, baseline)
            curves[f"insertion_{kind}"] = of_maps.insertion_curves(*ask, baseline)
        zero = of_maps.baseline_of(x, "zero")
        figures = {name: of_maps.area(curve) for name, curve in curves.items()} | {
            "faithfulness_correlation": of_maps.faithfulness_correlation(*ask, zero, s.generator(index, "subsets")),
            "infidelity": of_maps.infidelity(*ask, s.generator(index, "noise")),
            "complexity": of_maps.complexity(stack),
            "sparseness": of_maps.sparseness(stack),
        }
        arrays = {name: curve.numpy() for name, curve in curves.items()} | {"methods": np.array(list(maps))}
        path = s.folder / "curves" / f"{index}.npz"
        write_atomically(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
        return [
            Row(name, None, {figure: float(v[i]) for figure, v in figures.items()}, seconds[name])
            for i, name in enumerate(maps)
        ]

    return measure


def stability(s: Subject) -> Measure:
    """How much each map changes with a little noise in the image."""

    def measure(index: int) -> list[Row]:
        x, y = s.image(index), s.label(index)
        copies = of_maps.noisy_copies(x, s.generator(index, "copies"))
        rows = []
        for name, own in s.maps(index)[0].items():
            again = [s.map_of(name, copy, s.black_box, y) for copy in copies]
            found = torch.stack([m if m is not None else torch.full_like(own, math.nan) for m in again])
            whole = bool(found.isfinite().all())
            value = of_maps.stability(x, copies, own[None], found[:, None]) if whole else torch.tensor([math.nan])
            rows.append(Row(name, None, {"stability": float(value)}))
        return rows

    return measure


def coherence(s: Subject) -> Measure:
    """How much each map changes between real images of one predicted class."""
    labels = {index: s.label(index) for index in _mapped(s)}
    values: dict[int, dict[str, float]] = {index: {} for index in labels}
    for y in set(labels.values()):
        of_class = [index for index in labels if labels[index] == y]
        maps = {index: s.maps(index)[0] for index in of_class}
        for name in s.methods:
            having = [index for index in of_class if name in maps[index]]
            if having:
                images = torch.stack([s.image(index) for index in having])
                found = of_maps.coherence(images, torch.stack([maps[index][name] for index in having]))
                for index, value in zip(having, found.tolist(), strict=True):
                    values[index][name] = value

    def measure(index: int) -> list[Row]:
        return [Row(name, None, {"coherence": value}) for name, value in values[index].items()]

    return measure


def sanity(s: Subject) -> Measure:
    """Does each map, and ABELE's rule and exemplars, change when the black box's weights are randomised?

    Each network, the black box and the randomised ones, is asked for its own label of the image, and every method
    explains that. ABELE's rule and exemplars are also compared with those of another seed, where nothing is randomised.
    """
    cascade = of_dependence.cascade(s.black_box.classifier, s.image(s.chosen[0]), s.seed)
    steps = [
        (f"{number} {layer}", BlackBox(module, s.black_box.batch_size))
        for number, (layer, module) in enumerate(cascade, start=1)
    ]
    others = {"0 other seed": s.explainer_of(s.black_box, random_state=s.seed + 1)}
    others |= {at: s.explainer_of(box) for at, box in steps}

    def measure(index: int) -> list[Row]:
        x, y = s.image(index), s.label(index)
        maps, _ = s.maps(index)
        rows = []
        for at, box in steps:
            label = int(box(x[None]).labels)
            rows.append(Row("black box", at, {"label_kept": float(label == y)}))
            for name, own in maps.items():
                other = s.map_of(name, x, box, label)
                if other is not None:
                    figures = {
                        "rank_correlation": of_dependence.rank_correlation(own, other),
                        "rank_correlation_absolute": of_dependence.rank_correlation(own, other, absolute=True),
                        "structural_similarity": of_dependence.structural_similarity(own, other),
                    }
                    rows.append(Row(name, at, figures))
        ours = s.explainer.explain(x)
        for at, explainer in others.items():
            theirs = explainer.explain(x)
            rows.append(Row("abele-rule", at, {"rule_overlap": of_dependence.rule_overlap(ours, theirs)}))
            rows.append(Row("abele-exemplars", at, {"exemplar_overlap": of_dependence.exemplar_overlap(ours, theirs)}))
        return rows

    return measure


def exemplars(s: Subject) -> Measure:
    """1-NN on k exemplars and k counter-exemplars, beside as many real images chosen by other methods."""
    most = max(PROTOTYPES)
    explainer = s.explainer_of(s.black_box, n_exemplars=most)
    real, labels = s.rival_images, s.rival_labels
    points = real.flatten(1)

    @cache
    def chosen(label: int) -> dict[str, Callable[[int], tuple[Tensor, Tensor]]]:
        """For each rival: k -> the k images chosen of the label, and the k chosen of all others, of 2,000 images."""
        few = labels[:2000]
        kinds = (few == label).nonzero()[:, 0], (few != label).nonzero()[:, 0]
        critics = [rows[of_exemplars.mmd_critic(points[rows], min(most, len(rows)), 0)[0]] for rows in kinds]
        medoids = {
            k: [rows[of_exemplars.k_medoids(points[rows], min(k, len(rows)))] for rows in kinds] for k in PROTOTYPES
        }
        return {
            "mmd-critic": lambda k: (real[critics[0][:k]], real[critics[1][:k]]),
            "k-medoids": lambda k: (real[medoids[k][0]], real[medoids[k][1]]),
        }

    def measure(index: int) -> list[Row]:
        e = explainer.explain(s.image(index))
        others = _other_points(s, e, most)
        kinds = (labels == e.label).nonzero()[:, 0], (labels != e.label).nonzero()[:, 0]
        near = [rows[of_exemplars.nearest_real(points[rows], e.image.flatten(), most)] for rows in kinds]
        rivals = {
            "abele": lambda k: (e.exemplars.images[:k], others[:k]),
            **chosen(e.label),
            "nearest-real": lambda k: (real[near[0][:k]], real[near[1][:k]]),
        }
        queries = of_exemplars.balanced_queries(
            torch.where(torch.arange(len(s.test)) == index, -1, s.test_labels), e.label, 200, s.generator(index, "ask")
        )
        asked = to_unit(s.test.images[queries]), s.test_labels[queries] == e.label
        rows = []
        for name, choose in rivals.items():
            for k in PROTOTYPES:
                same, other = choose(k)
                is_label = torch.arange(len(same) + len(other)) < len(same)
                value = of_exemplars.one_nearest_neighbor(torch.cat([same, other]), is_label, *asked)
                rows.append(Row(name, k, {"one_nearest_neighbor": value}))
        return rows

    return measure


def counter_exemplars(s: Subject) -> Measure:
    """Are counter-exemplars valid, available, near, plausible, diverse; beside the nearest real images."""
    path = s.folder / "class_autoencoders.safetensors"
    if path.exists():
        networks = ClassAutoencoders.load(path)
    else:
        networks = fit_class_autoencoders(s.train.images, s.train_labels, s.n_classes, seed=s.seed)
        networks.save(path)
    plausibility = of_counters.Plausibility.fit(to_unit(s.train.images), s.train_labels)
    real, labels = s.rival_images, s.rival_labels
    explainer = s.explainer

    def measure(index: int) -> list[Row]:
        start = time.perf_counter()
        e = explainer.explain(s.image(index))
        seconds = time.perf_counter() - start
        c = e.counter_exemplars
        near = of_counters.nearest_unlike(e.image, labels, real, e.label)
        codes = s.space.encode(real[near])
        return [
            Row("abele", None, judged(e, c.images, c.labels, c.latents), seconds),
            Row("nearest-unlike", None, judged(e, real[near], labels[near], codes)),
        ]

    def judged(e: Explanation, counters: Tensor, claimed: Tensor, codes: Tensor) -> dict[str, float]:
        figures = {
            "validity": of_counters.validity(s.black_box, counters, claimed),
            "availability": of_counters.availability(claimed),
            "availability_per_class": of_counters.availability_per_class(claimed, s.n_classes),
            "proximity_l1": of_counters.proximity_l1(e.image, counters),
            "proximity_l2": of_counters.proximity_l2(e.image, counters),
            "latent_distance": of_counters.latent_distance(e.latent, codes),
            "sparsity": of_counters.sparsity(e.image, counters),
            "plausibility": of_counters.plausibility(plausibility, counters, claimed),
            "im1": of_counters.im1(networks, counters, claimed, e.label),
            "im2": of_counters.im2(networks, counters, claimed),
            "diversity": of_counters.diversity(counters),
        }
        if s.oracle is not None:
            figures["oracle_agreement"] = of_counters.oracle_agreement(s.oracle, counters, claimed)
        return figures

    return measure


def autoencoder(s: Subject) -> Measure:
    """Reconstruction, labels kept, and codes against the prior, on the whole split at once."""

    def measure(_: int) -> list[Row]:
        parts = [to_unit(part) for part in s.test.images.split(1000)]
        latents = torch.cat([s.space.encode(part) for part in parts])
        images, again = torch.cat(parts), torch.cat([s.space.decode(part) for part in latents.split(1000)])
        prior = torch.randn(latents.shape, generator=s.generator(-1, "prior"))
        answers = [s.space.realism(points) for points in (latents, prior)]
        figures = {
            "rmse": of_autoencoder.rmse(images, again),
            "label_preservation": of_autoencoder.label_preservation(s.test_labels, s.black_box(again).labels),
            "discriminator_codes": of_autoencoder.discriminator_mean(answers[0]),
            "discriminator_prior": of_autoencoder.discriminator_mean(answers[1]),
            "discriminator_gap": of_autoencoder.discriminator_balance(*answers),
            "valid_codes": of_autoencoder.valid_share(answers[0], s.space.validity_threshold),
            "mardia_kurtosis": of_autoencoder.mardia_kurtosis(latents),
            "mardia_skewness": of_autoencoder.mardia_skewness(latents),
            "ks_mean": of_autoencoder.ks_mean(latents),
            "ks_max": of_autoencoder.ks_max(latents),
            "mmd": of_autoencoder.mmd(latents, prior),
        }
        order = torch.randperm(len(s.train), generator=s.generator(-1, "real"))[: len(images)]
        made = {"prior": s.space.decode(prior), "reconstructions": again, "real": to_unit(s.train.images[order])}
        if s.oracle is not None and _ends_in_a_linear_layer(s.oracle.classifier):
            figures |= {f"fid_{what}": of_autoencoder.fid(images, x, s.oracle.classifier) for what, x in made.items()}
        return [Row("autoencoder", None, figures)]

    return measure


def _ends_in_a_linear_layer(classifier: object) -> bool:
    """Can FID take its features from this classifier?"""
    return isinstance(classifier, nn.Module) and any(isinstance(m, nn.Linear) for m in classifier.modules())


def _fresh_neighbors(s: Subject, e: Explanation, generator: torch.Generator) -> Points:
    """Neighbors from the same distribution as the explanation's own, of which the surrogate has seen none."""
    x = e.image[None]
    anchor = Points(e.latent[None], x, *s.black_box(x))
    n, share = e.params["n_samples"], e.params["min_class_fraction"]
    draw = partial(generate, s.explainer.neighborhood, s.space, anchor, n, share)
    return of_surrogate.fresh_neighbors(draw, e.neighborhood.latents, generator)


def _other_points(s: Subject, e: Explanation, n: int) -> Tensor:
    """At most n images with other labels: the counter-exemplars, then neighbors far from each other."""
    rows = (e.neighborhood.labels != e.label).nonzero()[:, 0]
    latents = e.neighborhood.latents[rows]
    latents = latents[diverse(latents, e.latent, n)]
    return torch.cat([e.counter_exemplars.images, s.space.decode(latents)])[:n]


class Part(NamedTuple):
    """One part of an evaluation: how it is measured, and of which images."""

    prepare: Callable[[Subject], Measure]
    images: Callable[[Subject], tuple[int, ...]]


def _all(s: Subject) -> tuple[int, ...]:
    return s.chosen


def _mapped(s: Subject) -> tuple[int, ...]:
    return s.chosen[: s.n_maps]


def _few(s: Subject) -> tuple[int, ...]:
    return s.chosen[: s.n_costly]


def _once(s: Subject) -> tuple[int, ...]:
    return (-1,)


PARTS: dict[str, Part] = {
    "autoencoder": Part(autoencoder, _once),
    "surrogate": Part(surrogate, _all),
    "counter-exemplars": Part(counter_exemplars, _all),
    "exemplars": Part(exemplars, _all),
    "saliency": Part(saliency, _mapped),
    "coherence": Part(coherence, _mapped),
    "stability": Part(stability, _few),
    "sanity": Part(sanity, _few),
}
