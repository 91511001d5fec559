"""METRICS: every metric of an evaluation and of a checkpoint, by its key in stored files and manifests."""

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


def _named(function: Callable[..., object], title: str, meaning: str = "") -> Metric:
    return metric_of(function)._replace(title=title, meaning=meaning)


# In the order of print. A key stands in stored files and manifests, and never changes; some metrics have one key in
# evaluations and another in manifests.
METRICS: dict[str, Metric] = {
    **{f"deletion_{b}": _named(of_maps.deletion, f"Deletion, {b}") for b in BASELINES},
    **{f"insertion_{b}": _named(of_maps.insertion, f"Insertion, {b}") for b in BASELINES},
    "rank_correlation_absolute": _named(
        of_dependence.rank_correlation, "Rank correlation of absolute values after randomisation"
    ),
    "discriminator_codes": _named(
        of_autoencoder.discriminator_mean,
        "Discriminator's mean on codes",
        "its mean answer on the codes of test images; 0.5 where it cannot tell codes from samples of the prior",
    ),
    "discriminator_prior": _named(
        of_autoencoder.discriminator_mean,
        "Discriminator's mean on the prior",
        "its mean answer on as many samples of the prior",
    ),
    "discriminator_gap": metric_of(of_autoencoder.discriminator_balance),
    "valid_codes": metric_of(of_autoencoder.valid_share),
    "fid_prior": _named(of_autoencoder.fid, "FID of samples of the prior"),
    "fid_reconstructions": _named(of_autoencoder.fid, "FID of reconstructions"),
    "fid_real": _named(of_autoencoder.fid, "FID of as many training images"),
    "seconds": Metric(
        "Seconds",
        "lower",
        0.0,
        math.inf,
        "wall clock of one explanation, or its share of several made side by side, the machine shared with others",
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
            of_autoencoder.label_preservation_balanced,
        )
    },
    "rmse_255": metric_of(of_autoencoder.rmse),
    "valid": metric_of(of_autoencoder.valid_share),
    "kurtosis": metric_of(of_autoencoder.mardia_kurtosis),
    "accuracy": Metric(
        "Accuracy",
        "higher",
        0.0,
        1.0,
        "share of images with the right label",
        "share of test images labelled correctly",
    ),
    "auc": Metric(
        "AUC",
        "higher",
        0.0,
        1.0,
        "area under the ROC curve: Hanley & McNeil 1982, Radiology 143(1)",
        "area under the ROC curve of the second class: how often a random image of it gets a higher score than one "
        "of the first",
    ),
}
