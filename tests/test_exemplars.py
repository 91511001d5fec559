"""Exemplars lie in the rule's box and have its label."""

import pytest
import torch
from worlds import EDGE, Counting, hard, quarters, seeded, soft, space_of

from abele_py.exemplars import diverse, find_exemplars, sample_box
from abele_py.rules import Condition, Rule

BRIGHT = Rule((Condition(0, ">", EDGE),), 1)
DARK = Rule((Condition(0, "<=", EDGE),), 0)


def box(low, high, k=2):
    return Rule.from_box(torch.full((k,), low, dtype=torch.float64), torch.full((k,), high, dtype=torch.float64), 0)


@pytest.mark.parametrize(
    "rule", [box(0.2, 0.3), box(0.0, 1e-7), box(5.0, 5.5), box(-40.0, -39.0), box(-1e-30, 0.0), Rule((), 0)]
)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 100.0])
def test_every_point_of_a_box_lies_in_it_also_far_from_the_center(rule, scale):
    points = sample_box(rule, torch.tensor([0.1, -0.2]), scale, 500, seeded())
    assert points.shape == (500, 2)
    assert points.dtype == torch.float32
    assert bool(torch.isfinite(points).all())
    assert bool(rule.covers(points).all())


@pytest.mark.parametrize("black_box", [hard, soft, quarters])
def test_every_exemplar_is_inside_the_rule_valid_and_has_the_label(black_box):
    space = space_of(black_box)
    center = torch.tensor([0.4, 0.6])
    label = int(space.classify(center[None]).labels)
    exemplars = find_exemplars(space, BRIGHT, label, center, 0.3, 16, seeded())
    assert len(exemplars) == 16
    assert bool(BRIGHT.covers(exemplars.latents).all())
    assert bool(space.valid(exemplars.latents).all())
    again = space.classify(exemplars.latents)
    assert again.labels.unique().tolist() == [label]
    assert torch.equal(exemplars.images, again.images)


def test_no_exemplars_where_the_box_holds_no_point_of_the_label():
    """Published code searched for minutes."""
    counting = Counting(hard)
    space = space_of(counting)
    exemplars = find_exemplars(space, DARK, 1, torch.tensor([0.1, 0.5]), 0.1, 16, seeded(), rounds=3, oversampling=10)
    assert len(exemplars) == 0
    assert sum(counting.batches) <= 3 * 10 * 16


def test_no_exemplars_and_no_call_where_the_discriminator_refuses_everything():
    counting = Counting(hard)
    exemplars = find_exemplars(space_of(counting, "none"), BRIGHT, 1, torch.tensor([0.6, 0.5]), 0.1, 16, seeded())
    assert len(exemplars) == 0
    assert counting.batches == []


def test_exemplars_are_spread_and_begin_with_the_nearest():
    latents = torch.tensor([[0.0], [0.1], [0.2], [1.0], [-1.0]])
    assert diverse(latents, torch.tensor([0.12]), 3).tolist() == [1, 4, 3]
    assert sorted(diverse(latents, torch.tensor([0.0]), 99).tolist()) == [0, 1, 2, 3, 4]
    assert diverse(latents[:0], torch.tensor([0.0]), 3).tolist() == []


def test_copies_of_a_point_are_one_exemplar():
    latents = torch.tensor([[1.0, 1.0]] * 3 + [[0.0, 0.0]] * 3)
    assert diverse(latents, torch.zeros(2), 4).tolist() == [3, 0]
