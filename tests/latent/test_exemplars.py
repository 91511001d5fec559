"""Exemplars lie in the rule's box and have its label."""

import pytest
import torch
from support.worlds import EDGE, Counting, Identity, hard, image, quarters, seeded, soft, space_of

from abele_py.explanation.explainer import Abele
from abele_py.latent.exemplars import diverse, find_exemplars, representatives, sample_box
from abele_py.surrogate.rules import Condition, Rule

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


def landmarks_of(space, n=200):
    return space.classify(space.reference_latents[:n])


@pytest.mark.parametrize("black_box", [hard, soft, quarters])
def test_exemplars_of_landmarks_are_distinct_confirmed_and_inside_the_rule(black_box):
    space = space_of(black_box)
    center = torch.tensor([0.6, 0.6])
    label = int(space.classify(center[None]).labels)
    rule = Rule((Condition(0, ">", 0.55), Condition(1, "<=", 0.7)), label)
    exemplars = find_exemplars(space, rule, label, center, 0.2, 16, seeded(), landmarks_of(space))
    assert len(exemplars) == 16
    assert len(exemplars.latents.unique(dim=0)) == 16
    assert bool(rule.covers(exemplars.latents).all())
    assert bool(space.valid(exemplars.latents).all())
    again = space.classify(exemplars.latents)
    assert again.labels.unique().tolist() == [label]
    assert torch.equal(exemplars.images, again.images)


def test_exemplars_of_landmarks_lie_where_the_real_codes_of_the_label_lie():
    """Two clouds of the label, one of another: samples around the center would lie all around it."""
    space = space_of(hard)
    clouds = torch.tensor([[0.5, 0.4], [0.5, 0.6], [0.1, 0.5]]).repeat_interleave(20, dim=0)
    real = space.classify(clouds + 0.01 * torch.randn(60, 2, generator=seeded(3)))
    center = torch.tensor([0.5, 0.5])
    exemplars = find_exemplars(space, BRIGHT, 1, center, 0.1, 8, seeded(), real)
    assert float((exemplars.latents[:, 0] - 0.5).abs().max()) < 0.05
    sides = (exemplars.latents[:, 1] - 0.5).sign()
    assert 0 < int((sides > 0).sum()) < 8, "both clouds are represented"


def test_the_first_exemplars_of_many_are_those_of_few():
    space = space_of(hard)
    real = landmarks_of(space, 30)
    found = [find_exemplars(space, BRIGHT, 1, torch.tensor([0.6, 0.5]), 0.3, n, seeded(), real) for n in (12, 16)]
    assert torch.equal(found[0].latents, found[1].latents[:12])


def test_landmarks_cost_no_more_black_box_images_than_one_round_of_samples():
    counting = Counting(hard)
    space = space_of(counting, batch_size=10_000)
    real = landmarks_of(space)
    counting.batches.clear()
    assert len(find_exemplars(space, BRIGHT, 1, torch.tensor([0.6, 0.5]), 0.3, 8, seeded(), real, oversampling=10)) == 8
    assert sum(counting.batches) <= 10 * 8


def test_samples_are_added_where_landmarks_give_too_few_exemplars():
    space = space_of(hard)
    real = space.classify(torch.tensor([[0.8, 0.5], [0.1, 0.5]]))
    exemplars = find_exemplars(space, BRIGHT, 1, torch.tensor([0.6, 0.5]), 0.1, 16, seeded(), real)
    assert len(exemplars) == 16
    assert bool(BRIGHT.covers(exemplars.latents).all())


def test_landmarks_of_other_labels_only_change_nothing():
    space = space_of(hard)
    center = torch.tensor([0.6, 0.5])
    dark = space.classify(torch.tensor([[0.1, 0.5], [0.2, 0.1]]))
    without = find_exemplars(space, BRIGHT, 1, center, 0.1, 16, seeded())
    for landmarks in (dark, dark[:0]):
        found = find_exemplars(space, BRIGHT, 1, center, 0.1, 16, seeded(), landmarks)
        assert torch.equal(found.latents, without.latents)


def test_representatives_known_by_hand():
    points = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])
    even = torch.ones(5)
    assert representatives(points, even, 1).tolist() == [2], "the median"
    assert representatives(points, even, 2).tolist() == [2, 3]
    assert representatives(points, torch.tensor([1.5, 1.0, 1.0, 0.0, 0.0]), 2).tolist() == [1, 0]
    assert sorted(representatives(points, even, 99).tolist()) == [0, 1, 2, 3, 4]
    assert representatives(points[:0], even[:0], 3).tolist() == []


def test_copies_have_one_representative():
    points = torch.tensor([[0.3, 0.7]] * 30 + [[0.1, 0.2]] * 20)
    assert representatives(points, torch.ones(50), 4).tolist() == [0, 30]


def test_landmarks_make_the_default_exemplars_and_not_those_of_the_paper():
    def latents(preset, n_landmarks):
        explainer = Abele(soft, Identity(), n_samples=100, preset=preset, n_landmarks=n_landmarks)
        return explainer.explain(image(0.6, 0.5)).exemplars.latents

    assert not torch.equal(latents("default", 0), latents("default", 100))
    assert torch.equal(latents("paper", 0), latents("paper", 100))
