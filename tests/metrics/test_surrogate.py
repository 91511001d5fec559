"""Figures of a surrogate: known by hand, equal to scikit-learn's; and the places where it was not fitted."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from support.worlds import EDGE, anchor_of, seeded, space_of

from abele_py.errors import ParameterError
from abele_py.latent.neighborhood import Random, generate, kernel_weights
from abele_py.metrics import surrogate as metrics
from abele_py.metrics.base import metric_of
from abele_py.metrics.surrogate import (
    agreement,
    balanced_agreement,
    constant,
    fresh_neighbors,
    hit,
    labels_present,
    leaves,
    nearest_codes,
    nowhere_below_constant,
    rule_length,
    sphere,
    typical_distance,
)
from abele_py.surrogate.rules import Condition, Rule
from abele_py.surrogate.tree import fit_surrogate, rule_of

BLACK_BOX = torch.tensor([0, 0, 0, 1, 2])
CODES = torch.randn(500, 3, generator=seeded(1))


def explained(black_box_seed=0, n=300):
    """The identity world around (0.6, 0.5): its space, the points, and the surrogate learned on them."""
    space = space_of()
    draw = partial(generate, Random(), space, anchor_of(space, 0.6, 0.5), n, 0.1)
    points = draw(seeded(black_box_seed))
    surrogate, _ = fit_surrogate(points.latents, points.labels, kernel_weights(points.latents), seeded())
    return space, draw, points, surrogate


# Figures


def test_perfect_constant_and_reversed_surrogates():
    assert agreement(BLACK_BOX, BLACK_BOX) == balanced_agreement(BLACK_BOX, BLACK_BOX, 0) == 1
    always = torch.zeros(5, dtype=torch.int64)
    assert agreement(always, BLACK_BOX) == constant(BLACK_BOX, 0) == 0.6
    assert balanced_agreement(always, BLACK_BOX, 0) == 0.5
    wrong = torch.tensor([1, 1, 1, 0, 0])
    assert agreement(wrong, BLACK_BOX) == balanced_agreement(wrong, BLACK_BOX, 0) == 0


def test_other_labels_are_not_told_from_each_other():
    confused = torch.tensor([0, 0, 0, 2, 1])
    assert agreement(confused, BLACK_BOX) == 0.6
    assert balanced_agreement(confused, BLACK_BOX, 0) == 1


def test_weights_say_how_much_a_point_counts():
    weights = torch.tensor([1.0, 0.0, 0.0, 1.0, 2.0])
    assert agreement(torch.tensor([0, 1, 1, 1, 1]), BLACK_BOX, weights) == 0.5
    assert constant(BLACK_BOX, 0, weights) == constant(BLACK_BOX, 1, weights) == 0.5  # label 2, by weight
    assert constant(BLACK_BOX, 0, torch.tensor([1.0, 1.0, 1.0, 0.5, 0.5])) == 0.75


def test_the_constant_answer_is_not_the_image_s_label_where_hardly_a_point_has_it():
    """A circle whose copy the black box calls a square: 99 of 100 points are squares, and none a circle."""
    labels = torch.tensor([1] * 99 + [2])
    assert constant(labels, 0) == 0.99
    assert constant(labels, 1) == 0.99


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30), st.integers(0, 3))
def test_figures_equal_those_of_scikit_learn(pairs, label):
    told, true = torch.tensor(pairs).T
    assert agreement(told, true) == pytest.approx(accuracy_score(true, told))
    balanced = balanced_agreement(told, true, label)
    if len((true == label).unique()) == 2:
        assert balanced == pytest.approx(balanced_accuracy_score(true == label, told == label))
    else:
        assert math.isnan(balanced)


def test_where_there_is_nothing_to_tell_apart_there_is_no_figure():
    ones = torch.ones(4, dtype=torch.int64)
    assert math.isnan(balanced_agreement(ones, ones, 1))
    assert math.isnan(balanced_agreement(ones, ones, 0))
    assert math.isnan(agreement(ones[:0], ones[:0]))
    assert math.isnan(constant(ones[:0], 1))


@pytest.mark.parametrize("function", [agreement, partial(balanced_agreement, label=0)])
def test_labels_of_other_points_are_refused(function):
    with pytest.raises(ParameterError, match="same points"):
        function(BLACK_BOX[:1], BLACK_BOX)  # torch alone would stretch the first one


def test_what_describes_a_surrogate_and_its_rule():
    _, _, points, surrogate = explained()
    assert leaves(surrogate) == 2
    assert rule_length(rule_of(surrogate, points.latents[0])) == 1
    assert rule_length(Rule((), 0)) == 0
    assert rule_length(Rule((Condition(0, ">", 0.1), Condition(0, "<=", 0.5), Condition(1, ">", 0.0)), 0)) == 3
    assert hit(surrogate, torch.tensor([0.9, 0.5]), 1) == 1
    assert hit(surrogate, torch.tensor([0.9, 0.5]), 0) == 0
    assert labels_present(points.labels) == 2
    assert labels_present(torch.tensor([5, 5])) == 1


def test_one_place_below_the_constant_answer_is_enough():
    assert nowhere_below_constant([0.9, 0.6], [0.9, 0.5]) == 1
    assert nowhere_below_constant([0.99, 0.6], [0.5, 0.61]) == 0


def test_every_figure_says_what_it_is():
    figures = [f for f in vars(metrics).values() if hasattr(f, "metric")]
    assert len(figures) == 8
    for figure in figures:
        declared = metric_of(figure)
        assert declared.low < declared.high
        assert declared.source
    assert len({metric_of(figure).title for figure in figures}) == len(figures)


# Places


def test_fresh_neighbors_are_none_of_the_known_ones():
    _, draw, points, _ = explained()
    fresh = fresh_neighbors(draw, points.latents, seeded(1))
    assert len(fresh) == 299  # all but the code
    known = {tuple(row) for row in points.latents.tolist()}
    assert not known & {tuple(row) for row in fresh.latents.tolist()}
    assert torch.equal(fresh.labels, (fresh.latents[:, 0] > EDGE).long())


def test_known_points_that_come_again_are_left_out():
    _, draw, points, _ = explained()
    all_fresh = fresh_neighbors(draw, points.latents, seeded(1))
    known = torch.cat([points.latents, all_fresh.latents[5:9]])
    fresh = fresh_neighbors(draw, known, seeded(1))
    kept = [i for i in range(299) if i not in (5, 6, 7, 8)]
    assert torch.equal(fresh.latents, all_fresh.latents[kept])
    assert torch.equal(fresh.images, all_fresh.images[kept])


def test_the_explanations_own_generator_is_refused():
    _, draw, points, _ = explained()
    with pytest.raises(ParameterError, match="another seed"):
        fresh_neighbors(draw, points.latents, seeded(0))


def test_fresh_neighbors_come_from_the_same_distribution():
    _, draw, points, _ = explained(n=1000)
    fresh = fresh_neighbors(draw, points.latents, seeded(1))
    assert torch.allclose(fresh.latents.mean(dim=0), points.latents.mean(dim=0), atol=0.06)
    assert constant(fresh.labels, 1) == pytest.approx(constant(points.labels, 1), abs=0.06)


def test_a_surrogate_that_found_the_edge_knows_it_everywhere():
    space, draw, points, surrogate = explained()
    fresh = fresh_neighbors(draw, points.latents, seeded(1))
    around = space.classify(sphere(torch.tensor([0.6, 0.5]), 0.4, 500, seeded(2)))
    for unseen in (fresh, around):
        told = surrogate.predict(unseen.latents)
        assert agreement(told, unseen.labels) > 0.97
        assert balanced_agreement(told, unseen.labels, 1) > 0.95
        assert constant(unseen.labels, 1) < 0.9


def test_a_surrogate_learned_by_heart_is_found_out():
    """Labels of noise, every point a leaf: right in-sample, and no better than chance where it was not fitted."""
    labels = (torch.rand(400, generator=seeded(2)) > 0.5).long()
    surrogate, _ = fit_surrogate(CODES[:400], labels, torch.ones(400), seeded(), n_prunings=1)
    assert agreement(surrogate.predict(CODES[:300]), labels[:300]) > 0.8
    unseen = (torch.rand(4000, generator=seeded(3)) > 0.5).long()
    told = surrogate.predict(torch.randn(4000, 3, generator=seeded(4)))
    assert balanced_agreement(told, unseen, 1) == pytest.approx(0.5, abs=0.03)


def test_all_points_of_a_sphere_are_at_its_radius():
    center = torch.tensor([1.0, -2.0, 3.0, 0.5])
    points = sphere(center, 1.5, 200, seeded())
    assert points.shape == (200, 4)
    assert points.dtype == torch.float32
    assert torch.allclose((points - center).norm(dim=1), torch.full((200,), 1.5), atol=1e-5)
    assert torch.equal(points, sphere(center, 1.5, 200, seeded()))


def test_directions_are_uniform():
    """On the sphere in three dimensions every coordinate is uniform on [-1, 1] (Archimedes), and all are centred."""
    points = sphere(torch.zeros(3), 1.0, 20_000, seeded()).double()
    for axis in range(3):
        heights = np.sort(points[:, axis].numpy())
        assert np.abs(heights - np.linspace(-1, 1, 20_000)).max() < 0.03
    assert torch.allclose(points.T @ points / len(points), torch.eye(3).double() / 3, atol=0.01)


def test_nearest_real_codes_come_in_order_and_without_the_code_itself():
    codes = torch.tensor([[3.0, 0], [0, 0], [1, 0], [0, 2], [0, 0]])
    assert nearest_codes(torch.zeros(2), codes, 2).tolist() == [2, 3]
    assert nearest_codes(torch.zeros(2), codes, 100).tolist() == [2, 3, 0]
    assert typical_distance(torch.zeros(2), codes, 3) == 2
    assert typical_distance(torch.zeros(2), codes, 1) == 1


@given(st.integers(1, 60), st.integers(0, 499))
def test_typical_distance_equals_its_definition(n, row):
    distances = sorted(d for d in (CODES - CODES[row]).norm(dim=1).tolist() if d > 0)[:n]
    assert typical_distance(CODES[row], CODES, n) == pytest.approx(float(torch.tensor(distances).median()))


def test_a_lone_code_has_no_typical_distance():
    with pytest.raises(ParameterError, match="at least one"):
        typical_distance(torch.zeros(2), torch.zeros(3, 2))
