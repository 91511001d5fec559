"""FIGURES: the metric behind every figure of an evaluation: title, direction, range, source."""

import math
from collections.abc import Callable

from ..attribution.baselines import BASELINES
from . import autoencoder as of_autoencoder
from . import counter_exemplars as of_counters
from . import exemplars as of_exemplars
from . import saliency as of_maps
from . import sanity_checks as of_dependence
from . import surrogate as of_surrogate
from .base import Metric, metric_of


def _named(function: Callable[..., object], title: str) -> Metric:
    return metric_of(function)._replace(title=title)


FIGURES: dict[str, Metric] = {
    **{f"deletion_{b}": _named(of_maps.deletion, f"Deletion, {b}") for b in BASELINES},
    **{f"insertion_{b}": _named(of_maps.insertion, f"Insertion, {b}") for b in BASELINES},
    "rank_correlation_absolute": _named(
        of_dependence.rank_correlation, "Rank correlation of absolute values after randomisation"
    ),
    "discriminator_codes": _named(of_autoencoder.discriminator_mean, "Discriminator's mean on codes"),
    "discriminator_prior": _named(of_autoencoder.discriminator_mean, "Discriminator's mean on the prior"),
    "discriminator_gap": metric_of(of_autoencoder.discriminator_balance),
    "valid_codes": metric_of(of_autoencoder.valid_share),
    "fid_prior": _named(of_autoencoder.fid, "FID of samples of the prior"),
    "fid_reconstructions": _named(of_autoencoder.fid, "FID of reconstructions"),
    "fid_real": _named(of_autoencoder.fid, "FID of as many training images"),
    "seconds": Metric(
        "Seconds", "lower", 0.0, math.inf, "wall clock of one explanation, the machine shared with others"
    ),
    "agreement_low": _named(of_surrogate.agreement, "Agreement, 5 % of the images below"),
    "reported_fidelity": _named(of_surrogate.agreement, "Fidelity as the explanation reports it"),
    "reported_constant": _named(of_surrogate.constant, "Constant answer as the explanation reports it"),
    "label_kept": Metric("Label kept after randomisation", "neither", 0.0, 1.0, "share of images with the same label"),
    **{
        function.__name__: metric_of(function)
        for function in (
            of_surrogate.agreement,
            of_surrogate.balanced_agreement,
            of_surrogate.constant,
            of_surrogate.nowhere_below_constant,
            of_surrogate.hit,
            of_surrogate.rule_length,
            of_surrogate.labels_present,
            of_surrogate.leaves,
            of_maps.faithfulness_correlation,
            of_maps.infidelity,
            of_maps.stability,
            of_maps.coherence,
            of_maps.complexity,
            of_maps.sparseness,
            of_dependence.rank_correlation,
            of_dependence.structural_similarity,
            of_dependence.rule_overlap,
            of_dependence.exemplar_overlap,
            of_exemplars.one_nearest_neighbor,
            of_counters.validity,
            of_counters.availability,
            of_counters.availability_per_class,
            of_counters.proximity_l1,
            of_counters.proximity_l2,
            of_counters.latent_distance,
            of_counters.sparsity,
            of_counters.plausibility,
            of_counters.im1,
            of_counters.im2,
            of_counters.diversity,
            of_counters.oracle_agreement,
            of_autoencoder.rmse,
            of_autoencoder.label_preservation,
            of_autoencoder.mardia_kurtosis,
            of_autoencoder.mardia_skewness,
            of_autoencoder.ks_mean,
            of_autoencoder.ks_max,
            of_autoencoder.mmd,
        )
    },
}
