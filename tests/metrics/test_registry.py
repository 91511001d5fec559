"""METRICS: one table for evaluations and checkpoints, under the keys of their files."""

import math

import pytest

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
