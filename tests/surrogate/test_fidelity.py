"""The constant answer that a surrogate must exceed: the better of the image's label and the most frequent one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.worlds import seeded

from abele_py.surrogate.fidelity import Fidelity, best_constant, share
from abele_py.surrogate.tree import fit_surrogate

POINTS = st.lists(st.tuples(st.integers(0, 3), st.floats(1e-6, 1e6)), min_size=1, max_size=40)


def of(held_out, constant):
    return Fidelity(held_out, held_out, 1.0, constant, constant, True, 100)


@pytest.mark.parametrize(
    ("labels", "own", "weights", "label", "value"),
    [
        ([3, 3, 3, 5], 3, None, 3, 0.75),
        ([3, 3, 3, 5], 5, None, 3, 0.75),
        ([3, 3, 5, 5], 5, None, 5, 0.5),  # equally frequent: the image's own
        ([3, 3, 5, 5], 7, None, 3, 0.5),  # then the lowest
        ([5, 5, 5, 5], 3, None, 5, 1.0),  # no neighbor has the image's
        ([5, 5, 5, 5], 5, None, 5, 1.0),
        ([3, 3, 3, 5], 3, [1.0, 1.0, 1.0, 5.0], 5, 0.625),  # near ones count more
        ([3, 3, 3, 5], 3, [2.0, 2.0, 2.0, 2.0], 3, 0.75),
        ([3, 5, 5, 7], 7, [0.2, 0.3, 0.1, 0.4], 7, 0.4),
        ([3, 5, 7], 9, [0.1, 0.1, 0.1], 3, 1 / 3),  # a tie that sums of rounded numbers must not decide
    ],
)
def test_the_better_constant_answer_by_hand(labels, own, weights, label, value):
    weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    found = best_constant(torch.tensor(labels), own, weights)
    assert found == (label, pytest.approx(value))


@given(POINTS, st.integers(0, 4), st.randoms(use_true_random=False))
def test_it_is_never_below_either_answer_nor_above_1_and_knows_no_order(points, own, random):
    def best(rows, weighted):
        weights = torch.tensor([w for _, w in rows], dtype=torch.float64) if weighted else None
        return best_constant(torch.tensor([y for y, _ in rows]), own, weights)

    labels = torch.tensor([y for y, _ in points])
    shuffled = random.sample(points, len(points))
    for weighted in (False, True):
        weights = torch.tensor([w for _, w in points], dtype=torch.float64) if weighted else None
        label, value = best(points, weighted)
        assert value >= share(labels == own, weights)
        assert all(value >= share(labels == y, weights) for y in range(5))
        assert value == share(labels == label, weights) <= 1
        assert best(shuffled, weighted) == (label, value)


@given(POINTS, st.integers(1, 1000))
def test_weights_count_by_their_ratio_alone(points, factor):
    labels, weights = torch.tensor([y for y, _ in points]), torch.tensor([w for _, w in points], dtype=torch.float64)
    assert share(labels == 0, factor * weights) == pytest.approx(share(labels == 0, weights), abs=1e-12)


def test_without_points_there_is_no_share():
    label, value = best_constant(torch.zeros(0, dtype=torch.int64), 3)
    assert label == 3
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("held_out", "constant", "avoided"),
    [(0.96, 0.8, 0.8), (0.8, 0.8, 0.0), (1.0, 0.8, 1.0), (0.7, 0.8, -0.5), (1.0, 1.0, None), (0.9, 1.0, None)],
)
def test_what_a_rule_is_worth_is_the_share_of_errors_that_it_avoids(held_out, constant, avoided):
    found = of(held_out, constant).errors_avoided
    assert found == (None if avoided is None else pytest.approx(avoided))


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("share_of_own", [0.0, 0.01])
def test_where_the_image_s_label_is_lost_the_baseline_is_the_label_of_its_copy(oblique, share_of_own):
    """Row 0 is a 0, nearly all others a 1: "always 0" would be right for none, "always 1" for nearly all."""
    latents = torch.randn(400, 3, generator=seeded(3))
    labels = torch.ones(400, dtype=torch.int64)
    labels[: 1 + int(400 * share_of_own)] = 0
    _, fidelity = fit_surrogate(latents, labels, torch.ones(400).double(), seeded(), oblique=oblique)
    assert fidelity.constant >= 0.95
    assert fidelity.constant_label == fidelity.constant_label_unweighted == 1
    assert fidelity.held_out <= fidelity.constant, "nothing there tells the two labels apart"


def test_weights_can_make_another_label_the_most_frequent():
    """The far half is a 0 as the image is; the near half, a little smaller, is a 1, and counts for nearly all."""
    latents = torch.randn(400, 2, generator=seeded(5))
    near = latents.norm(dim=1) < latents.norm(dim=1).quantile(0.45)
    labels, weights = near.long(), torch.where(near, 1.0, 0.01).double()
    labels[0] = 0
    _, fidelity = fit_surrogate(latents, labels, weights, seeded())
    assert (fidelity.constant_label, fidelity.constant_label_unweighted) == (1, 0)
    assert fidelity.constant > 0.9
    assert fidelity.constant_unweighted == pytest.approx(0.55, abs=0.1)
