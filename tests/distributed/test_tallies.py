"""Sums, samples and extremes of a stream are what they are of all rows at once, and keep to their bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abele_py.distributed.tallies import (
    N_BINS,
    Lowest,
    Tally,
    bins_of,
    distance_bins,
    median_distance,
    scattered,
)

KEYS = st.lists(st.integers(-5, 40), min_size=1, max_size=80)


@given(KEYS, st.integers(1, 80))
def test_sums_in_pieces_are_the_sums_of_all(keys, cut):
    keys = np.array(keys)
    values = np.arange(len(keys) * 3).reshape(-1, 3) % 7
    tally = Tally(100, {"n": (), "v": (3,)}, {"bins": 4}, ("low",))
    for part in (slice(0, cut), slice(cut, None)):
        slots = tally.slots(keys[part])
        tally.add(slots, n=1, v=values[part])
        tally.count("bins", slots, values[part, 0] % 4)
        tally.lower("low", slots, values[part, 1].astype(float))
    for slot, key in enumerate(tally.keys):
        own = keys == key
        assert tally["n"][slot] == own.sum()
        assert np.array_equal(tally["v"][slot], values[own].sum(axis=0))
        assert np.array_equal(tally["bins"][slot], np.bincount(values[own, 0] % 4, minlength=4))
        assert tally["low"][slot] == values[own, 1].min()
    assert set(tally.keys) == set(keys.tolist())


def test_keys_beyond_the_most_are_counted_alone():
    tally = Tally(2, {"n": ()})
    slots = tally.slots(np.array([7, 7, 8, 9, 9, 9]))
    tally.add(slots, n=1)
    assert tally.keys == [7, 8]
    assert tally["n"].tolist() == [2, 1]
    assert tally.left_out == 3


@given(st.lists(st.tuples(st.integers(-1, 3), st.floats(-9, 9)), max_size=60), st.integers(1, 5), st.integers(0, 60))
def test_lowest_keeps_the_lowest_whatever_the_pieces(items, most, cut):
    groups = np.array([g for g, _ in items], dtype=np.int64)
    keys = np.array([k for _, k in items])
    lowest = Lowest(most)
    for start, end in ((0, cut), (cut, len(items))):
        lowest.add(groups[start:end], keys[start:end], lambda i, start=start: start + i)
    for group in range(4):
        own = [i for i in range(len(items)) if groups[i] == group]
        assert lowest.of(group) == sorted(own, key=lambda i: (keys[i], i))[:most]


def test_lowest_makes_no_more_than_it_takes():
    made = []
    lowest = Lowest(3)
    lowest.add(np.zeros(1000, dtype=np.int64), np.arange(1000.0), lambda i: made.append(i) or i)
    assert made == [0, 1, 2] == lowest.of()
    lowest.add(np.zeros(1, dtype=np.int64), np.array([np.nan]), lambda i: "nan")
    assert lowest.of() == [0, 1, 2]


def test_scattered_numbers_are_even_and_depend_on_number_and_salt_alone():
    numbers = np.arange(20_000)
    values = scattered(numbers, 1)
    assert np.array_equal(values[137:140], scattered(np.array([137, 138, 139]), 1))
    assert abs(values.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef(values, scattered(numbers, 2))[0, 1]) < 0.03
    assert np.bincount(bins_of(values, 10), minlength=10).min() > 1800
    assert values.min() >= 0
    assert values.max() < 1


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=200))
def test_a_median_of_counts_is_near_the_median(distances):
    distances = np.array(distances)
    counts = np.bincount(distance_bins(distances), minlength=N_BINS)
    found = median_distance(counts, float(distances.min()))
    below = np.sort(distances)[(len(distances) - 1) // 2]
    assert found == pytest.approx(below, rel=0.04)


def test_bins_have_ends_and_nothing_for_nan():
    assert bins_of(np.array([0, 0.049, 0.05, 1, 2, -1, np.nan]), 20).tolist() == [0, 0, 1, 19, 19, 0, -1]
    assert distance_bins(np.array([0, 1e-9, 1e9, np.nan])).tolist() == [0, 0, N_BINS - 1, -1]
    assert np.isnan(median_distance(np.zeros(N_BINS), 0.0))
