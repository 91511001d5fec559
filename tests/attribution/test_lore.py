"""LORE: rules that are known by hand, on features that are present or absent."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import examples
from support.worlds import Counting

from abele_py.attribution.lore import effects, find_rule
from abele_py.errors import ParameterError
from abele_py.surrogate.rules import Condition

D = 12


def third(present):
    return present[:, 3].long()


def both(present):
    return (present[:, 2] & present[:, 5]).long()


def test_one_feature_that_decides_is_the_rule_and_its_counterfactual():
    found = find_rule(third, D)
    assert found.rule.conditions == (Condition(3, ">", 0.5),)
    assert found.rule.label == 1
    assert [c.changes for c in found.counterfactual_rules] == [(Condition(3, "<=", 0.5),)]
    assert found.fidelity.hit
    assert found.fidelity.held_out == 1


def test_and_of_two_features_needs_both_and_loses_either():
    found = find_rule(both, D)
    assert found.rule.conditions == (Condition(2, ">", 0.5), Condition(5, ">", 0.5))
    (other,) = found.counterfactual_rules
    assert other.label == 0
    assert len(other.changes) == 1
    assert other.changes[0].axis in (2, 5)


def test_each_other_label_has_its_counterfactual():
    found = find_rule(lambda present: torch.where(present[:, 0], torch.where(present[:, 1], 7, 4), 2), D)
    assert found.rule.label == 7
    changes = {c.label: c.changes for c in found.counterfactual_rules}
    assert changes == {2: (Condition(0, "<=", 0.5),), 4: (Condition(1, "<=", 0.5),)}


@examples(8)
@given(st.sets(st.integers(0, 9), min_size=1, max_size=3), st.integers(0, 3))
def test_any_and_of_up_to_three_features_is_its_own_rule(needed, seed):
    found = find_rule(lambda present: present[:, sorted(needed)].all(dim=1).long(), 10, seed=seed)
    assert {c.axis for c in found.rule.conditions} == needed
    assert all(c.operator == ">" and c.threshold == 0.5 for c in found.rule.conditions)


@pytest.mark.parametrize("d", [2, 3, 12])
def test_a_label_that_never_changes_has_the_rule_always(d):
    found = find_rule(lambda present: torch.full((len(present),), 4), d)
    assert found.rule.conditions == ()
    assert found.rule.label == 4
    assert found.counterfactual_rules == ()
    assert found.fidelity.hit
    assert torch.equal(effects(found, 4), torch.zeros(d))


@pytest.mark.parametrize("d", [2, 3, 4])
def test_few_features_are_no_trouble(d):
    found = find_rule(lambda present: present[:, 1].long(), d)
    assert len(found.points) == 2**d  # all there are
    assert found.fidelity.hit
    assert {c.axis for c in found.rule.conditions} == {1}


def test_the_neighborhood_is_distinct_begins_with_the_point_and_has_both_labels():
    asked = Counting(both)
    found = find_rule(asked, D, n_samples=500)
    rows = torch.cat(asked.seen)
    assert torch.equal(found.points, rows.float())
    assert len(rows.unique(dim=0)) == len(rows) <= 500
    assert len(asked.seen) <= 11  # the nearest, and one call for each generation
    assert bool(rows[0].all())
    assert torch.equal(found.labels, both(rows))
    assert 0.2 < float(found.labels.float().mean()) < 0.8
    assert torch.equal(found.surrogate.predict(found.points[:1]), found.labels[:1])


def test_weights_fall_with_the_distance_alone():
    found = find_rule(third, D)
    absent = (found.points == 0).sum(dim=1)
    assert found.weights[0] == 1
    order = absent.argsort()
    assert bool((found.weights[order].diff() <= 0).all())
    assert all(len(found.weights[absent == n].unique()) == 1 for n in absent.unique())


def test_the_two_populations_go_near_the_point_and_across_the_border():
    found = find_rule(lambda present: (present.sum(dim=1) > 15).long(), 20)
    changed = found.points[found.labels == 0][21:].sum(dim=1)  # after the first call
    assert 12 <= changed.median() <= 15  # random coalitions of 20 have 10


def test_effects_are_known_where_one_feature_decides():
    found = find_rule(third, D)
    expected = torch.zeros(D)
    expected[3] = 1
    assert torch.equal(effects(found, 1), expected)
    assert torch.equal(effects(found, 0), -expected)
    assert torch.equal(effects(found, 9), 0 * expected)


def test_effects_are_the_mean_difference_of_the_surrogate():
    found = find_rule(lambda present: (present[:, :3].sum(dim=1) > 1).long() + present[:, 4].long(), D, n_samples=150)
    tree, column = found.surrogate.tree, (found.surrogate.classes == 2).nonzero()[0, 0]
    for i in range(D):
        total = 0.0
        for point, weight in zip(found.points, found.weights, strict=True):
            with_it, without = point.clone(), point.clone()
            with_it[i], without[i] = 1, 0
            shares = tree.value[found.surrogate.leaf(torch.stack([with_it, without])), column]
            total += float(weight) * float(shares[0] - shares[1])
        assert float(effects(found, 2)[i]) == pytest.approx(total / float(found.weights.sum()), abs=1e-6)


def test_the_same_seed_gives_the_same_and_touches_no_global_state():
    state = torch.get_rng_state()
    first, second, other = find_rule(both, D, seed=1), find_rule(both, D, seed=1), find_rule(both, D, seed=2)
    assert torch.equal(first.points, second.points)
    assert (first.rule, first.fidelity) == (second.rule, second.fidelity)
    assert not (len(first.points) == len(other.points) and torch.equal(first.points, other.points))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("option", [{"d": 1}, {"n_samples": D + 1}, {"generations": 0}])
def test_an_option_out_of_range_is_named(option):
    with pytest.raises(ParameterError, match=f"got {next(iter(option))}="):
        find_rule(third, **{"d": D, **option})


def test_the_smallest_neighborhood_does():
    found = find_rule(third, D, n_samples=D + 2)
    assert len(found.points) == D + 2
    assert found.fidelity.hit
