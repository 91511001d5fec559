"""What is measured of one explanation: surrogate, exemplars, counter-exemplars; and of the autoencoder."""

import time
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn

from ..datasets.records import to_unit
from ..explanation.explanation import Explanation
from ..latent.exemplars import diverse
from ..latent.neighborhood import generate, kernel_weights
from ..latent.space import Points
from ..metrics import autoencoder as of_autoencoder
from ..metrics import counter_exemplars as of_counters
from ..metrics import exemplars as of_exemplars
from ..metrics import surrogate as of_surrogate
from ..metrics.class_autoencoders import ClassAutoencoders, fit_class_autoencoders
from ..metrics.prototypes import k_medoids, mmd_critic
from .subject import Measure, Row, Subject

PROTOTYPES = (1, 2, 4, 8, 16, 32, 64)
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
        critics = [rows[mmd_critic(points[rows], min(most, len(rows)), 0)[0]] for rows in kinds]
        medoids = {k: [rows[k_medoids(points[rows], min(k, len(rows)))] for rows in kinds] for k in PROTOTYPES}
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
    draw = partial(generate, s.explainer.options.neighborhood, s.space, anchor, n, share)
    return of_surrogate.fresh_neighbors(draw, e.neighborhood.latents, generator)


def _other_points(s: Subject, e: Explanation, n: int) -> Tensor:
    """At most n images with other labels: the counter-exemplars, then neighbors far from each other."""
    rows = (e.neighborhood.labels != e.label).nonzero()[:, 0]
    latents = e.neighborhood.latents[rows]
    latents = latents[diverse(latents, e.latent, n)]
    return torch.cat([e.counter_exemplars.images, s.space.decode(latents)])[:n]
