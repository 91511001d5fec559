"""Counter-exemplars stand across the edge, as deep as asked, confirmed by the black box; the morph leads there."""

import pytest
import torch
from support.worlds import EDGE, Counting, anchor_of, hard, quarters, seeded, soft, space_of

from abele_py.latent.counter_exemplars import (
    convincing,
    find_counter_exemplars,
    leads_everywhere,
    morph,
    rule_candidates,
    starting_points,
)
from abele_py.latent.space import Points
from abele_py.surrogate.rules import Condition, CounterfactualRule, Rule


def test_candidates_lie_inside_the_counterfactual_rules_just_past_their_edges():
    space = space_of(quarters)
    z = torch.tensor([0.9, 0.9])
    rule = Rule((Condition(0, "<=", 0.5), Condition(1, ">", 0.5)), 1)
    points = rule_candidates(space, [CounterfactualRule(rule, rule.broken(z))], z, 0.2)
    assert bool(rule.covers(points.latents).all())
    torch.testing.assert_close(points.latents[:, 1], torch.full((len(points),), 0.9))
    assert float(points.latents[:, 0].max()) == 0.5
    assert torch.equal(points.labels, quarters(points.images))
    assert len(rule_candidates(space, [], z, 0.2)) == 0


@pytest.mark.parametrize("black_box", [hard, soft])
@pytest.mark.parametrize("start", [(0.6, 0.5), (0.31, 0.9), (1.0, 0.0)])
def test_the_counter_exemplar_stands_at_the_edge(black_box, start):
    space = space_of(black_box)
    anchor = anchor_of(space, *start)
    candidates = space.classify(torch.rand(100, 2, generator=seeded()))
    found = find_counter_exemplars(space, anchor.latents[0], 1, candidates)
    assert found.labels.tolist() == [0]
    assert 0.0 < EDGE - float(found.latents[0, 0]) < 0.02
    step = float((found.latents[0] - anchor.latents[0]).norm())
    assert step < 1.3 * (start[0] - EDGE) + 0.05
    assert space.classify(found.latents).labels.tolist() == [0]
    assert bool(space.valid(found.latents).all())


def test_one_counter_exemplar_for_each_other_label_nearest_first():
    space = space_of(quarters)
    z = torch.tensor([0.6, 0.8])
    candidates = space.classify(torch.rand(300, 2, generator=seeded()))
    found = find_counter_exemplars(space, z, 3, candidates)
    assert sorted(found.labels.tolist()) == [0, 1, 2]
    distances = (found.latents - z).norm(dim=1)
    assert torch.equal(distances, distances.sort().values)
    assert torch.equal(space.classify(found.latents).labels, found.labels)
    nearest = {y: float((candidates.latents[candidates.labels == y] - z).norm(dim=1).min()) for y in (0, 1, 2)}
    assert all(float(d) <= nearest[y] + 1e-6 for d, y in zip(distances, found.labels.tolist(), strict=True))


def test_candidates_that_are_not_valid_or_of_the_own_label_do_not_count():
    space = space_of(hard)
    outside = torch.tensor([[-0.5, 0.5], [0.1, 1.5], [0.9, 0.9]])
    assert len(find_counter_exemplars(space, torch.tensor([0.6, 0.5]), 1, space.classify(outside))) == 0
    assert len(find_counter_exemplars(space, torch.tensor([0.6, 0.5]), 1, space.classify(outside[:0]))) == 0


def test_without_refining_the_nearest_candidate_is_taken_as_it_is():
    space = space_of(hard)
    candidates = space.classify(torch.tensor([[0.05, 0.5], [0.2, 0.5], [0.1, 0.9]]))
    found = find_counter_exemplars(space, torch.tensor([0.6, 0.5]), 1, candidates, depth=None)
    assert torch.equal(found.latents, torch.tensor([[0.2, 0.5]]))


def test_an_island_of_another_label_on_the_way_is_no_counter_exemplar_of_the_end():
    """On the way to label 0 the line crosses label 2: the answer must keep the label it claims."""

    def stripes(images):
        x = images[:, 0, 0, 0]
        return torch.where(x > 0.5, 1, torch.where(x > 0.4, 2, 0))

    space = space_of(stripes)
    candidates = space.classify(torch.rand(100, 2, generator=seeded()))
    found = find_counter_exemplars(space, torch.tensor([0.9, 0.5]), 1, candidates)
    assert sorted(found.labels.tolist()) == [0, 2]
    assert torch.equal(space.classify(found.latents).labels, found.labels)


def test_the_search_for_counter_exemplars_has_a_budget():
    counting = Counting(quarters)
    space = space_of(counting, batch_size=10_000)
    candidates = space.classify(torch.rand(1000, 2, generator=seeded()))
    counting.batches.clear()
    find_counter_exemplars(space, torch.tensor([0.6, 0.8]), 3, candidates, per_label=3, steps=8, bisections=5)
    ends = 3 * 3
    assert sum(counting.batches) <= ends * (8 + 5 + 1)
    assert len(counting.batches) <= 1 + 5 + 1


@pytest.mark.parametrize("black_box", [hard, soft])
@pytest.mark.parametrize("depth", [0.0, 0.35, 0.5, 1.0])
def test_depth_is_the_share_of_the_way_from_the_boundary_to_the_candidate(black_box, depth):
    """Also for a black box without scores."""
    space = space_of(black_box)
    candidate = space.classify(torch.tensor([[0.02, 0.9]]))
    found = find_counter_exemplars(space, torch.tensor([0.6, 0.5]), 1, candidate, depth)
    assert found.labels.tolist() == [0]
    assert float(found.latents[0, 0]) == pytest.approx(EDGE - depth * (EDGE - 0.02), abs=0.006)
    assert float(found.latents[0, 1]) == pytest.approx(0.5 + 0.4 * (0.6 - float(found.latents[0, 0])) / 0.58, abs=1e-5)


@pytest.mark.parametrize("wrong", ["label", "validity"])
def test_where_the_point_at_that_depth_is_an_exception_the_next_one_known_to_hold_is_taken(wrong):
    def striped(images):
        x = images[:, 0, 0, 0]
        return torch.where((x > 0.2) & (x < 0.22) & (wrong == "label"), 2, hard(images))

    space = space_of(striped)
    refused = (lambda z: ((z[:, 0] <= 0.2) | (z[:, 0] >= 0.22)).float()) if wrong == "validity" else None
    space.autoencoder.discriminate = refused or space.autoencoder.discriminate
    candidate = space.classify(torch.tensor([[0.04, 0.5]]))  # 0.35 deep is 0.209; the grid knows 0.18
    found = find_counter_exemplars(space, torch.tensor([0.6, 0.5]), 1, candidate, 0.35)
    assert found.labels.tolist() == [0]
    assert float(found.latents[0, 0]) == pytest.approx(0.18, abs=1e-5)
    assert torch.equal(space.classify(found.latents).images, found.images)
    assert bool(space.valid(found.latents).all())


def test_a_label_that_comes_and_goes_on_the_way_begins_where_it_stays():
    def twice(images):
        x = images[:, 0, 0, 0]
        return torch.where((x < 0.2) | ((x > 0.4) & (x < 0.5)), 0, 1)

    space = space_of(twice)
    candidate = space.classify(torch.tensor([[0.0, 0.5]]))
    found = find_counter_exemplars(space, torch.tensor([0.8, 0.5]), 1, candidate, 0.0)
    assert 0.19 < float(found.latents[0, 0]) < 0.2


def points(latents, labels):
    latents = torch.tensor(latents, dtype=torch.float32).reshape(-1, 2)
    return Points(latents, latents.reshape(-1, 1, 1, 2), torch.tensor(labels, dtype=torch.int64), None)


def test_the_half_of_each_label_that_stands_among_its_own_is_convincing():
    """A 1 among the 0s, and the 1 nearest to them, are no ends to walk to; half of an odd number is rounded up."""
    zeros, ones = [[0.0, 0.0], [0.0, 0.1], [0.0, 0.19]], [[0.0, 0.15], [1.0, 0.0], [1.0, 0.1], [0.5, 0.1]]
    kept = convincing(points(ones + zeros, [1] * 4 + [0] * 3))
    assert kept.tolist() == [False, True, True, False, True, True, False]


def test_every_label_keeps_a_convincing_point_also_copies_and_single_ones():
    copies = points([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]], [0, 0, 1])
    assert copies[convincing(copies)].labels.tolist() == [0, 1]
    assert convincing(points([[0.0, 0.0]], [0])).tolist() == [True]
    assert int(convincing(points([[0.0, 0.0], [1.0, 0.0]], [3, 3])).sum()) == 1
    assert len(convincing(points([], []))) == 0


@pytest.mark.parametrize(
    ("depth", "found"), [(None, [0.1, 0.2, 0.3, 0.4]), (0.0, [0.1, 0.2, 0.3, 0.4]), (0.35, [0.2, 0.3])]
)
def test_to_stand_deep_the_way_leads_to_real_codes_where_there_are_some(depth, found):
    made = [points([[0.1, 0.0], [0.2, 0.0]], [0, 2]), points([[0.4, 0.0], [0.5, 0.0]], [0, 1])]
    real = points([[0.3, 0.0], [0.6, 0.0]], [0, 1])
    starts = starting_points(real, made, torch.zeros(2), 1, depth)
    assert sorted(starts.latents[:, 0].tolist()) == pytest.approx(found)


@pytest.mark.parametrize(
    ("depth", "n_classes", "everywhere"),
    [(0.35, 3, True), (0.35, 4, False), (0.35, None, False), (0.0, 3, False), (None, 3, False)],
)
def test_nothing_need_be_made_where_real_codes_have_every_label(depth, n_classes, everywhere):
    real = points([[0.3, 0.0], [0.6, 0.0]], [0, 2])
    assert leads_everywhere(real, 1, depth, n_classes) == everywhere
    if everywhere:
        made = [points([[0.1, 0.0], [0.2, 0.0], [0.3, 0.3]], [0, 2, 1])]
        with_made, without = (starting_points(real, some, torch.zeros(2), 1, depth) for some in (made, []))
        assert torch.equal(with_made.latents, without.latents)
        assert torch.equal(with_made.labels, without.labels)


@pytest.mark.parametrize("n_frames", [2, 3, 8])
def test_the_morph_goes_from_the_image_itself_to_the_counter_exemplar(n_frames):
    space = space_of(soft)
    space.autoencoder.decode = lambda z: (0.9 * z.clamp(0, 1)).reshape(-1, 1, 1, 2)  # loses some light
    anchor = anchor_of(space, 0.8, 0.5)
    ends = space.classify(torch.tensor([[0.1, 0.5], [0.2, 0.1]]))
    frames, labels, scores = morph(space, anchor.images[0], anchor.latents[0], ends, n_frames)
    assert frames.shape == (2, n_frames, 1, 1, 2)
    assert torch.equal(frames[:, 0], anchor.images.expand(2, 1, 1, 2))
    assert torch.equal(frames[:, -1], ends.images)
    assert torch.equal(labels, hard(frames.flatten(0, 1)).reshape(2, n_frames))
    assert torch.equal(scores, soft(frames.flatten(0, 1)).reshape(2, n_frames, 2))
    steps = frames.diff(dim=1)
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps), rtol=0, atol=1e-5)


def test_the_morph_to_no_end_is_empty():
    space = space_of(soft)
    frames, labels, scores = morph(
        space, torch.zeros(1, 1, 2), torch.zeros(2), space.classify(torch.zeros(0, 2)), n_frames=4
    )
    assert frames.shape == (0, 4, 1, 1, 2)
    assert labels.shape == (0, 4)
    assert scores is None or scores.shape[:2] == (0, 4)
