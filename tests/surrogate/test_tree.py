"""The surrogate: a pruned tree that always knows the explained point, and fidelity measured on points it never saw."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier
from support.fuzz import examples
from support.worlds import seeded

from abele_py.latent.neighborhood import kernel_weights
from abele_py.surrogate.linear_machine import linear_machine
from abele_py.surrogate.rules import Condition
from abele_py.surrogate.tree import Surrogate, counterfactual_rules, fit_surrogate, rule_of

LATENTS = torch.randn(400, 3, generator=seeded(3))
WEIGHTS = kernel_weights(LATENTS)


@pytest.mark.parametrize("weights", [WEIGHTS, torch.ones(400).double()], ids=["kernel", "equal"])
def test_one_cut_gives_one_condition_at_the_edge(weights):
    labels = (LATENTS[:, 1] > 0.3).long()
    surrogate, fidelity = fit_surrogate(LATENTS, labels, weights, seeded())
    rule = rule_of(surrogate, LATENTS[0])
    assert surrogate.n_leaves == 2
    assert [c.axis for c in rule.conditions] == [1]
    assert rule.conditions[0].threshold == pytest.approx(0.3, abs=0.05)
    assert fidelity.held_out > 0.97
    assert fidelity.hit
    (counterfactual,) = counterfactual_rules(surrogate, LATENTS[0])
    own = rule.conditions[0]
    opposite = {"<=": ">", ">": "<="}[own.operator]
    assert counterfactual.changes == (Condition(1, opposite, own.threshold),)
    assert counterfactual.label == 1 - rule.label


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_the_tree_always_gives_the_explained_point_its_label(seed, oblique):
    """Also where this label is noise that pruning would remove."""
    labels = (torch.rand(400, generator=seeded(seed)) > 0.5).long()
    labels[0] = 2
    surrogate, fidelity = fit_surrogate(LATENTS, labels, WEIGHTS, seeded(seed), oblique=oblique)
    assert fidelity.hit
    assert int(surrogate.predict(LATENTS[:1])) == 2
    assert rule_of(surrogate, LATENTS[0]).label == 2


def test_an_oblique_split_lies_where_the_labels_meet():
    """Along the axes it takes a staircase; along the direction that the labels tell it takes one split."""
    direction = torch.tensor([0.6, 0.8, 0.0])
    labels = torch.where(LATENTS @ direction > 0.2, 5, 2)
    surrogate, fidelity = fit_surrogate(LATENTS, labels, WEIGHTS, seeded(), oblique=True)
    own = int(labels[0])
    (condition,) = rule_of(surrogate, LATENTS[0]).conditions
    assert condition.towards == 7 - own
    learned = torch.tensor(condition.direction)
    assert float(learned @ direction) * (1 if own == 2 else -1) > 0.98
    assert str(condition).startswith(f"d0 (towards {7 - own}) <= ")
    assert fidelity.held_out > 0.95
    (counterfactual,) = counterfactual_rules(surrogate, LATENTS[0])
    moved = counterfactual.rule.nearest(LATENTS[:1], 0.1)
    assert int(surrogate.predict(moved)) == 7 - own
    assert bool(counterfactual.rule.covers(moved).all())
    assert not bool(counterfactual.rule.covers(LATENTS[:1]).any())
    axis, worse = fit_surrogate(LATENTS, labels, WEIGHTS, seeded())
    assert axis.n_leaves > surrogate.n_leaves == 2
    assert worse.held_out < fidelity.held_out


def three_wedges(n=600):
    """Three labels that meet in the origin of the first two of three coordinates, and their discriminants."""
    latents = torch.randn(n, 3, generator=seeded(8))
    corners = torch.tensor([[1.0, 0.0, 0.0], [-0.5, 0.9, 0.0], [-0.5, -0.9, 0.0]])
    winners = (latents @ corners.T).argmax(dim=1)
    winners[0] = int((latents[0] @ corners.T).argmax())
    return latents, torch.tensor([4, 1, 9])[winners]


def test_the_machine_finds_where_labels_meet_and_its_rule_is_about_the_own_label():
    latents, labels = three_wedges()
    surrogate = Surrogate(*linear_machine(latents, labels, torch.ones(600).double()))
    assert float((surrogate.predict(latents) == labels).double().mean()) > 0.97
    own = int(labels[0])
    rule = rule_of(surrogate, latents[0])
    assert 1 <= len(rule.conditions) <= 2
    assert all(c.away_from is None and c.towards != own and c.operator == "<=" for c in rule.conditions)
    lengths = surrogate.directions.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert (surrogate.directions[:, 2].abs() < 0.2).all(), "the third coordinate decides nothing"
    found = counterfactual_rules(surrogate, latents[0])
    assert all(c.towards == r.label for r in found for c in r.changes if len(r.changes) == 1), "no detour"
    of_others = [c for r in counterfactual_rules(surrogate, latents[0]) for c in r.rule.conditions if c.away_from]
    assert all(str(c).startswith(f"d{c.axis} (from {c.away_from} towards {c.towards})") for c in of_others)


@examples(40)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 60), st.integers(1, 4))
def test_the_machine_is_a_tree_that_knows_row_0_whatever_the_labels(seed, n_labels, n, k):
    latents = torch.randn(n, k, generator=seeded(seed))
    labels = torch.randint(n_labels, (n,), generator=seeded(seed + 1)) * 3
    surrogate = Surrogate(*linear_machine(latents, labels, kernel_weights(latents)))
    assert int(surrogate.predict(latents[:1])) == int(labels[0])
    assert set(surrogate.predict(latents).tolist()) <= set(labels.tolist())
    points = torch.randn(200, k, generator=seeded(seed + 2))
    rule = rule_of(surrogate, latents[0])
    assert torch.equal(rule.covers(points), surrogate.leaf(points) == surrogate.leaf(latents[:1]))
    assert all(c.away_from is None for c in rule.conditions)
    for found in counterfactual_rules(surrogate, latents[0]):
        assert found.changes
        assert not bool(found.rule.covers(latents[:1]))


def test_a_rule_is_not_about_the_explained_point_alone():
    """Where the label of row 0 is found nowhere else, a tree along the axes would put it into a box of its own."""
    labels = (LATENTS[:, 0] > 0).long()
    labels[0] = 2
    (learned_by_heart, _), (surrogate, _) = (
        fit_surrogate(LATENTS, labels, WEIGHTS, seeded(), oblique=oblique) for oblique in (False, True)
    )
    assert int(rule_of(learned_by_heart, LATENTS[0]).covers(LATENTS).sum()) == 1
    assert int(rule_of(surrogate, LATENTS[0]).covers(LATENTS).sum()) > 1
    assert int(surrogate.predict(LATENTS[:1])) == 2


def test_copies_of_a_point_with_two_labels_do_not_break_the_machine():
    surrogate = Surrogate(*linear_machine(torch.zeros(6, 2), torch.tensor([3, 3, 5, 5, 5, 7]), torch.ones(6).double()))
    assert surrogate.predict(torch.randn(4, 2, generator=seeded())).tolist() == [3, 3, 3, 3]


def test_what_no_single_direction_tells_is_learned_all_the_same():
    latents = torch.randn(2000, 2, generator=seeded(4))
    labels = (latents[:, 0] * latents[:, 1] > 0).long()
    _, fidelity = fit_surrogate(latents, labels, torch.ones(2000).double(), seeded(), oblique=True)
    assert fidelity.held_out > 0.9


def test_oblique_rules_cover_what_the_tree_puts_there():
    labels = ((LATENTS**2).sum(dim=1) > 2).long() + 2 * (LATENTS[:, 0] > LATENTS[:, 1]).long()
    surrogate, _ = fit_surrogate(LATENTS, labels, WEIGHTS, seeded(), oblique=True)
    points = torch.randn(5000, 3, generator=seeded(9))
    z = LATENTS[0]
    same = surrogate.leaf(points) == surrogate.leaf(z[None])
    assert torch.equal(rule_of(surrogate, z).covers(points), same)
    assert 0 < int(same.sum()) < len(points)
    for counterfactual in counterfactual_rules(surrogate, z):
        inside = counterfactual.rule.nearest(points)
        assert bool((surrogate.predict(inside) == counterfactual.label).all())


def test_noise_is_not_learned_by_heart():
    """Published code measured fidelity on the training points, where noise looks like knowledge."""
    labels = (torch.rand(400, generator=seeded(1)) > 0.7).long()
    surrogate, fidelity = fit_surrogate(LATENTS, labels, torch.ones(400).double(), seeded())
    assert fidelity.held_out < 0.85
    assert surrogate.n_leaves < 60


def test_held_out_points_decide_neither_fit_nor_pruning():
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(399, generator=seeded(5))])
    labels = (LATENTS[:, 0] > 0).long()
    surrogate, fidelity = fit_surrogate(LATENTS, labels, WEIGHTS, seeded(5))
    changed = labels.clone()
    changed[order[300:]] = 1 - changed[order[300:]]
    other, worse = fit_surrogate(LATENTS, changed, WEIGHTS, seeded(5))
    assert all(torch.equal(a, b) for a, b in zip(surrogate.tree, other.tree, strict=True))
    assert worse.held_out == pytest.approx(1 - fidelity.held_out)
    assert worse.in_sample == fidelity.in_sample


def test_the_rule_does_not_speak_of_a_label_that_is_hardly_there():
    """Three of 1,000 points are a 2, thirty a 3: a condition for the latter alone, and all others stay told apart."""
    points = torch.randn(1000, 2, generator=seeded(8)).clamp(-1.5, 1.5)
    labels = (points[:, 0] > 0.5).long()
    points[0], labels[0] = torch.tensor([-0.5, 0.0]), 0

    def with_label(label, n):
        latents, names = points.clone(), labels.clone()
        latents[-n:] = torch.tensor([-0.5, 6.0]) + 0.1 * latents[-n:]
        names[-n:] = label
        tree, classes, directions, pairs = linear_machine(latents, names, torch.ones(1000).double())
        surrogate = Surrogate(tree, classes, directions, pairs)
        assert (surrogate.predict(latents[:-n]) == names[:-n]).double().mean() > 0.99
        return {c.towards for c in rule_of(surrogate, latents[0]).conditions}

    assert with_label(2, 3) == {1}
    assert with_label(3, 30) == {1, 3}


@pytest.mark.parametrize("oblique", [False, True])
def test_real_codes_are_learned_from_and_never_measured_on(oblique):
    """The neighbors know of labels 0 and 1; beyond them lie real codes with label 2."""
    labels = (LATENTS[:, 1] > 0.3).long()
    real = LATENTS[:100] + torch.tensor([20.0, 0.0, 0.0]), torch.full((100,), 2)
    without, before = fit_surrogate(LATENTS, labels, WEIGHTS, seeded(), oblique=oblique)
    surrogate, fidelity = fit_surrogate(LATENTS, labels, WEIGHTS, seeded(), oblique=oblique, real=real)
    assert not (without.predict(real[0]) == 2).any()
    assert (surrogate.predict(real[0]) == 2).all()
    assert fidelity.n_held_out == before.n_held_out
    assert fidelity.constant == before.constant
    assert fidelity.held_out > 0.95
    empty = fit_surrogate(LATENTS, labels, WEIGHTS, seeded(), oblique=oblique, real=(real[0][:0], real[1][:0]))
    assert empty[1] == before


def test_near_points_count_more_than_far_ones():
    latents = torch.linspace(0, 1, 400)[:, None]
    far = latents[:, 0] > 0.5
    labels = torch.where(far, torch.arange(400) % 2, (latents[:, 0] > 0.2).long())
    weights = torch.where(far, 1e-6, 1.0).double()
    _, fidelity = fit_surrogate(latents, labels, weights, seeded())
    assert fidelity.held_out > 0.9 > fidelity.held_out_unweighted + 0.1


def test_the_constant_answer_is_measured_beside_it():
    labels = torch.zeros(400, dtype=torch.int64)
    labels[200:] = 1
    _, fidelity = fit_surrogate(LATENTS, labels, torch.ones(400).double(), seeded())
    assert fidelity.constant == fidelity.constant_unweighted == pytest.approx(0.5, abs=0.15)


def test_one_label_gives_a_rule_without_conditions():
    surrogate, fidelity = fit_surrogate(LATENTS, torch.full((400,), 7), WEIGHTS, seeded())
    assert str(rule_of(surrogate, LATENTS[0])) == "{always} -> 7"
    assert counterfactual_rules(surrogate, LATENTS[0]) == ()
    assert fidelity.held_out == fidelity.constant == 1.0


def test_labels_need_not_be_all_numbers_from_zero_on():
    labels = torch.where(LATENTS[:, 0] > 0, 3, 28)
    surrogate, fidelity = fit_surrogate(LATENTS, labels, WEIGHTS, seeded())
    assert set(surrogate.predict(LATENTS).tolist()) == {3, 28}
    assert fidelity.held_out > 0.9


@pytest.mark.parametrize("n", [10, 11, 13])
def test_the_smallest_neighborhood_can_be_learned(n):
    _, fidelity = fit_surrogate(LATENTS[:n], torch.arange(n) % 3, WEIGHTS[:n], seeded())
    assert fidelity.hit
    assert fidelity.n_held_out >= 2


def test_a_handful_of_fits_is_enough(monkeypatch):
    """Published code: 1,000 tree fits for a grid search."""
    fits = []

    class Counted(DecisionTreeClassifier):
        def fit(self, *arguments, **options):
            fits.append(1)
            return super().fit(*arguments, **options)

    monkeypatch.setattr("sklearn.tree.DecisionTreeClassifier", Counted)
    labels = (torch.rand(400, generator=seeded(1)) > 0.5).long()
    fit_surrogate(LATENTS, labels, WEIGHTS, seeded())
    assert 0 < len(fits) <= 25


def test_the_same_seed_grows_the_same_tree():
    labels = (LATENTS[:, 0] * LATENTS[:, 1] > 0).long()
    trees = [fit_surrogate(LATENTS, labels, WEIGHTS, seeded(3))[0].tree for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*trees, strict=True))


def test_counterfactual_rules_are_the_nearest_of_equally_short_ones_and_sorted():
    labels = (LATENTS[:, 0] > 1).long() + 2 * (LATENTS[:, 0] < -1).long()
    labels[0] = 0
    surrogate, _ = fit_surrogate(LATENTS, labels, torch.ones(400).double(), seeded())
    z = LATENTS[0]
    many = counterfactual_rules(surrogate, z, per_label=5)
    assert [c.label for c in many] == sorted(c.label for c in many)
    for label in {c.label for c in many}:
        keys = [(len(c.changes), float((c.rule.nearest(z[None]) - z).norm())) for c in many if c.label == label]
        assert all(a[0] < b[0] or (a[0] == b[0] and a[1] <= b[1] + 1e-6) for a, b in pairwise(keys))
    for c in many:
        assert c.changes
        assert set(c.changes) <= set(c.rule.conditions)


def test_no_split_separates_two_leaves_of_one_label():
    """Such a split changes no answer and puts a condition without meaning into rules."""
    for seed in range(5):
        labels = (torch.rand(400, generator=seeded(seed)) > 0.6).long()
        surrogate = fit_surrogate(LATENTS, labels, WEIGHTS, seeded(seed))[0]
        tree, classes = surrogate.tree, surrogate.classes
        answer = classes[tree.value.argmax(dim=1)]
        for node in (tree.axis >= 0).nonzero()[:, 0].tolist():
            left, right = int(tree.left[node]), int(tree.right[node])
            leaves = tree.axis[left] < 0 and tree.axis[right] < 0
            assert not (leaves and answer[left] == answer[right])
