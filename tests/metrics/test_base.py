"""A metric declares itself; the interval of a mean is the percentile bootstrap's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from abele_py.metrics.base import Metric, mean_interval, metric, metric_of


def test_a_metric_declares_what_a_reader_must_know():
    @metric("Deletion", "lower", 0.0, 1.0, "RISE")
    def deletion():
        return 0.5

    assert deletion() == 0.5
    assert metric_of(deletion) == Metric("Deletion", "lower", 0.0, 1.0, "RISE")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_interval_lies_inside_the_values_and_is_the_same_each_time(values):
    low, high = mean_interval(values)
    assert min(values) - 1e-6 <= low <= high <= max(values) + 1e-6
    assert (low, high) == mean_interval(values)


def test_interval_is_that_of_the_normal_approximation_for_many_values():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    half = 1.96 * values.std() / 20
    assert mean_interval(values.tolist()) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05)


@pytest.mark.parametrize(("n", "level", "seed"), [(2, 0.95, 0), (30, 0.95, 0), (30, 0.95, 1), (7, 0.8, 3)])
def test_interval_is_scipys(n, level, seed):
    values = np.random.default_rng(n).normal(size=n)
    options = {"n_resamples": 2000, "confidence_level": level, "method": "percentile"}
    theirs = stats.bootstrap((values,), np.mean, **options, rng=np.random.default_rng(seed)).confidence_interval
    assert mean_interval(values.tolist(), level, seed) == pytest.approx(tuple(theirs), rel=1e-9)


def test_one_value_is_its_own_interval():
    assert mean_interval([0.25]) == (0.25, 0.25)
