"""1-NN is scikit-learn's; queries have both kinds; prototypes equal their definition by brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from support.fuzz import examples
from support.worlds import image, seeded

from abele_py.errors import ParameterError
from abele_py.metrics.base import metric_of
from abele_py.metrics.exemplars import balanced_queries, nearest_real, one_nearest_neighbor
from abele_py.metrics.prototypes import k_medoids, mmd_critic


def images_of(*values: float):
    return torch.stack([image(v, v) for v in values])


# -- 1-NN


def test_one_nearest_neighbor_by_hand():
    prototypes, is_label = images_of(0.1, 0.9), torch.tensor([True, False])
    queries, truth = images_of(0.0, 0.4, 0.6, 1.0), torch.tensor([True, False, False, True])
    assert one_nearest_neighbor(prototypes, is_label, queries, truth) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_one_nearest_neighbor_is_that_of_scikit_learn(seed):
    prototypes, queries = (torch.rand(n, 1, 4, 4, generator=seeded(seed + n)) for n in (13, 50))
    is_label, truth = (torch.rand(n, generator=seeded(seed + n)) < 0.4 for n in (13, 50))
    theirs = KNeighborsClassifier(n_neighbors=1).fit(prototypes.flatten(1), is_label)
    expected = theirs.score(queries.flatten(1), truth)
    assert one_nearest_neighbor(prototypes, is_label, queries, truth) == pytest.approx(expected, abs=1e-12)


def test_one_nearest_neighbor_without_one_kind_answers_the_constant_and_without_any_nothing():
    truth = torch.tensor([True, True, False])
    queries = images_of(0.1, 0.2, 0.3)
    assert one_nearest_neighbor(images_of(0.3), torch.tensor([True]), queries, truth) == pytest.approx(2 / 3)
    none = torch.zeros(0, dtype=torch.bool)
    assert math.isnan(one_nearest_neighbor(images_of(0.3)[:0], none, queries, truth))
    assert math.isnan(one_nearest_neighbor(images_of(0.3), torch.tensor([True]), queries[:0], none))
    assert metric_of(one_nearest_neighbor).better == "higher"


# -- queries


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40), st.integers(0, 30), st.integers(0, 3))
@examples(100)
def test_queries_are_of_both_kinds_in_equal_numbers_each_once(labels, n, label):
    labels = torch.tensor(labels)
    rows = balanced_queries(labels, label, n, seeded())
    with_label, without = int((labels == label).sum()), int(((labels != label) & (labels >= 0)).sum())
    half = min(n // 2, with_label, without)
    assert len(rows) == 2 * half == len(rows.unique())
    assert bool((labels[rows[:half]] == label).all())
    assert bool((labels[rows[half:]] != label).all())  # the published code drew these with ==
    assert bool((labels[rows] >= 0).all())  # never one that was left out


def test_queries_depend_on_the_generator_alone():
    labels = torch.arange(100) % 4
    state = torch.get_rng_state()
    first, again, other = (balanced_queries(labels, 1, 20, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


# -- nearest real images


def test_nearest_real_images_come_nearest_first():
    points = torch.tensor([[0.0, 0.0], [3.0, 0.0], [1.0, 1.0], [0.0, 0.5]])
    assert nearest_real(torch.tensor([0.0, 0.1]), points, 3).tolist() == [0, 3, 2]
    assert len(nearest_real(torch.zeros(2), points, 9)) == 4


# -- MMD-critic


def explained(kernel: np.ndarray, rows: list[int]) -> float:
    """J of the paper, by its definition."""
    s = len(rows)
    return 2 / (len(kernel) * s) * kernel[:, rows].sum() - kernel[np.ix_(rows, rows)].sum() / s**2


def criticised(kernel: np.ndarray, prototypes: list[int], rows: list[int]) -> float:
    """L + log det, by their definition."""
    witness = kernel.mean(axis=0) - kernel[prototypes].mean(axis=0)
    return float(np.abs(witness[rows]).sum() + np.linalg.slogdet(kernel[np.ix_(rows, rows)])[1])


def greedily(value, free: list[int], n: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(n):
        chosen.append(max((row for row in free if row not in chosen), key=lambda row: value([*chosen, row])))
    return chosen


@pytest.mark.parametrize("seed", range(6))
def test_mmd_critic_chooses_step_by_step_what_brute_force_does(seed):
    points = torch.randn(25, 3, generator=seeded(seed))
    kernel = rbf_kernel(points.double().numpy(), gamma=0.4)
    prototypes, criticisms = mmd_critic(points, 6, 7, gamma=0.4)
    assert prototypes.tolist() == greedily(lambda rows: explained(kernel, rows), list(range(25)), 6)
    rest = [row for row in range(25) if row not in prototypes.tolist()]
    assert criticisms.tolist() == greedily(lambda rows: criticised(kernel, prototypes.tolist(), rows), rest, 7)


def test_a_smaller_selection_is_the_beginning_of_a_larger_one_and_none_comes_twice():
    points = torch.rand(40, 5, generator=seeded())
    prototypes, criticisms = mmd_critic(points, 12, 10)
    assert len(torch.cat([prototypes, criticisms]).unique()) == 22
    assert torch.equal(mmd_critic(points, 5, 0)[0], prototypes[:5])
    assert torch.equal(mmd_critic(points, 12, 4)[1], criticisms[:4])


def test_mmd_critic_takes_a_prototype_of_each_cluster_and_criticises_with_the_outlier():
    cluster = 0.1 * torch.randn(20, 2, generator=seeded())
    points = torch.cat([cluster, cluster + 5, torch.tensor([[2.5, 0.0]])])
    prototypes, criticisms = mmd_critic(points, 2, 1, gamma=0.5)
    assert sorted(prototypes.div(20, rounding_mode="floor").tolist()) == [0, 1]
    assert criticisms.tolist() == [40]


def test_the_default_kernel_is_that_of_the_median_distance():
    points = torch.rand(30, 4, generator=seeded())
    squared = torch.pdist(points.double()).square()
    chosen = mmd_critic(points, 8, 8)
    given = mmd_critic(points, 8, 8, gamma=1 / float(squared.median()))
    assert torch.equal(chosen[0], given[0])
    assert torch.equal(chosen[1], given[1])


def test_mmd_critic_with_few_or_equal_points():
    same = torch.ones(5, 3)
    prototypes, criticisms = mmd_critic(same, 3, 9)
    assert sorted([*prototypes.tolist(), *criticisms.tolist()]) == [0, 1, 2, 3, 4]
    assert [len(rows) for rows in mmd_critic(same[:1], 4, 4)] == [1, 0]
    assert [len(rows) for rows in mmd_critic(same[:0], 4, 4)] == [0, 0]


@pytest.mark.parametrize(
    ("numbers", "message"), [((0, 1), "expected both at least 0"), ((2, -1), "at least 0"), ((1, 1, 0.0), "gamma=0.0")]
)
def test_mmd_critic_refuses(numbers, message):
    with pytest.raises(ParameterError, match=message):
        mmd_critic(torch.rand(5, 2, generator=seeded()), *numbers)


# -- k-medoids


def cost(points: torch.Tensor, rows: torch.Tensor) -> float:
    return float(torch.cdist(points, points[rows]).min(dim=1).values.sum())


def test_one_medoid_is_the_point_with_the_smallest_sum_of_distances():
    points = torch.rand(30, 3, generator=seeded())
    assert k_medoids(points, 1).tolist() == [int(torch.cdist(points, points).sum(dim=1).argmin())]


def test_two_clusters_give_one_medoid_each():
    cluster = 0.1 * torch.randn(15, 2, generator=seeded())
    medoids = k_medoids(torch.cat([cluster, cluster + 3]), 2)
    assert sorted(medoids.div(15, rounding_mode="floor").tolist()) == [0, 1]


@pytest.mark.parametrize("seed", range(6))
def test_no_exchange_of_one_medoid_helps_any_more(seed):
    points = torch.rand(24, 2, generator=seeded(seed))
    medoids = k_medoids(points, 4)
    best = cost(points, medoids)
    assert best <= cost(points, k_medoids(points, 4, max_swaps=0)) + 1e-6
    for place in range(4):
        for other in range(24):
            swapped = medoids.clone()
            swapped[place] = other
            assert cost(points, swapped) >= best - 1e-4
    for draw in range(20):
        assert best <= cost(points, torch.randperm(24, generator=seeded(draw))[:4]) + 1e-6


def test_a_swap_is_found_where_building_alone_is_not_enough():
    points = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])  # BUILD starts in the middle, where none belongs
    built, swapped = k_medoids(points, 2, max_swaps=0), k_medoids(points, 2)
    assert cost(points, built) == 4.0
    assert cost(points, swapped) == 3.0


def test_medoids_built_for_fewer_are_the_first_of_those_for_more():
    points = torch.rand(30, 3, generator=seeded())
    assert torch.equal(k_medoids(points, 4, max_swaps=0), k_medoids(points, 9, max_swaps=0)[:4])


def test_medoids_are_different_rows_also_of_equal_points():
    assert sorted(k_medoids(torch.ones(4, 2), 3).tolist()) == [0, 1, 2]
    assert len(k_medoids(torch.rand(3, 2, generator=seeded()), 7).unique()) == 3
    assert len(k_medoids(torch.zeros(0, 2), 2)) == 0


def test_selections_are_the_same_each_time_and_read_no_random_state():
    points = torch.rand(200, 20, generator=seeded())
    state = torch.get_rng_state()
    first = [*mmd_critic(points, 8, 8), k_medoids(points, 8)]
    torch.rand(3)
    again = [*mmd_critic(points, 8, 8), k_medoids(points, 8)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    torch.set_rng_state(state)
