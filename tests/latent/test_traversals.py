"""Traversals: walks whose frames are where they say they are, on both sides of every threshold."""

import pytest
import torch
from support.worlds import EDGE, Counting, Identity, hard, image, quarters, soft, space_of

from abele_py import Abele
from abele_py.latent.traversals import traverse
from abele_py.surrogate.rules import Condition

LATENT = torch.tensor([0.6, 0.5])


def test_a_walk_along_an_axis_shows_the_known_answer():
    found = traverse(space_of(soft), LATENT, [Condition(0, ">", EDGE)], n_frames=5, reach=0.1)
    assert found.axes.tolist() == [0]
    torch.testing.assert_close(found.positions, torch.tensor([[0.15, 0.3, 0.45, 0.6, 0.75]]))
    torch.testing.assert_close(found.images[0, :, 0, 0, 0], found.positions[0])
    assert bool((found.images[0, :, 0, 0, 1] == 0.5).all()), "only one coordinate changes"
    assert found.labels[0, [0, 2, 3, 4]].tolist() == [0, 1, 1, 1]
    torch.testing.assert_close(found.scores[0, :, 1], 0.2 + found.positions[0])


def test_a_walk_along_a_direction_moves_its_coordinate():
    direction = (0.6, 0.8)
    condition = Condition(3, "<=", 0.9, direction, towards=1)
    found = traverse(space_of(hard), LATENT, [condition], n_frames=4, reach=0.0)
    torch.testing.assert_close(condition.coordinate(found.images[0, :, 0, 0]), found.positions[0])
    assert found.axes.tolist() == [3]
    assert found.scores is None


def test_all_thresholds_of_a_coordinate_lie_on_one_walk():
    conditions = [Condition(1, "<=", 0.9), Condition(0, ">", 0.3), Condition(1, ">", 0.1)]
    found = traverse(space_of(), LATENT, conditions, n_frames=8, reach=0.05)
    assert found.axes.tolist() == [1, 0]
    for row, (low, high) in enumerate([(0.1, 0.9), (0.3, 0.6)]):
        assert float(found.positions[row, 0]) < low - 0.04
        assert float(found.positions[row, -1]) > high + 0.04


def test_no_conditions_give_no_walks():
    found = traverse(space_of(soft), LATENT, [], n_frames=3, reach=0.1)
    assert found.images.shape == (0, 3, 1, 1, 2)
    assert found.labels.shape == found.positions.shape == (0, 3)


def test_one_batched_call():
    counting = Counting(hard)
    traverse(space_of(counting), LATENT, [Condition(0, ">", 0.3), Condition(1, ">", 0.3)], n_frames=6, reach=0.1)
    assert counting.batches == [12]


@pytest.mark.parametrize("splits", ["axis", "oblique"])
def test_an_explanation_has_a_walk_for_every_coordinate_of_its_rules(splits):
    e = Abele(quarters, Identity(), n_samples=200, splits=splits, n_frames=7).explain(image(0.6, 0.7))
    bounds = [*e.rule.conditions, *(c for rule in e.counterfactual_rules for c in rule.changes)]
    assert e.traversals.axes.tolist() == list(dict.fromkeys(c.axis for c in bounds))
    assert e.traversals.images.shape == (len(e.traversals.axes), 7, 1, 1, 2)
    for axis, positions in zip(e.traversals.axes.tolist(), e.traversals.positions, strict=True):
        places = [c.threshold for c in bounds if c.axis == axis]
        own = [float(c.coordinate(e.latent[None])) for c in bounds if c.axis == axis]
        assert float(positions[0]) < min(places + own)
        assert float(positions[-1]) > max(places + own)
