"""METRICS: one table for evaluations and checkpoints, under the keys of their files."""

import math

import pytest

from abele_py.metrics import autoencoder as metrics_autoencoder
from abele_py.metrics import counter_exemplars as metrics_counter_exemplars
from abele_py.metrics import exemplars as metrics_exemplars
from abele_py.metrics import saliency as metrics_saliency
from abele_py.metrics import sanity_checks as sanity
from abele_py.metrics import surrogate as metrics_surrogate
from abele_py.metrics.registry import METRICS
from abele_py.models.checkpoints import list_checkpoints


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.title
    assert metric.source
    assert metric.low < metric.high
    assert not metric.meaning.endswith("."), "it stands in a table"


def test_every_metric_of_a_shipped_checkpoint_is_known_and_its_meaning_told():
    for manifest in list_checkpoints():
        for name, value in manifest.metrics.items():
            assert METRICS[name].meaning, name
            assert METRICS[name].low <= value <= METRICS[name].high, (manifest.name, name)


@pytest.mark.parametrize(
    ("of_evaluations", "of_manifests"),
    [("rmse", "rmse_255"), ("valid_codes", "valid"), ("mardia_kurtosis", "kurtosis")],
)
def test_two_keys_of_one_metric_say_the_same(of_evaluations, of_manifests):
    assert METRICS[of_evaluations] == METRICS[of_manifests]


def test_one_title_means_one_metric():
    titles = {}
    for metric in METRICS.values():
        assert titles.setdefault(metric.title, metric) == metric
    assert METRICS["seconds"].high == math.inf


@pytest.mark.parametrize(
    "room",
    [metrics_autoencoder, metrics_counter_exemplars, metrics_exemplars, metrics_saliency, metrics_surrogate, sanity],
)
def test_every_metric_is_measured_and_has_a_source(room):
    declared = [f.metric for f in vars(room).values() if hasattr(f, "metric")]
    assert declared
    known = {(m.better, m.low, m.high, m.source) for m in METRICS.values()}
    for metric in declared:
        assert (metric.better, metric.low, metric.high, metric.source) in known, metric
        assert metric.title
        assert metric.source
        assert metric.low < metric.high
