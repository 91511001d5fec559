"""Rules: a rule covers a point exactly where the tree puts it, and the nearest point of a box lies in the box."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier
from support.fuzz import examples
from support.worlds import seeded

from abele_py.surrogate.rules import Condition, CounterfactualRule, Rule
from abele_py.surrogate.tree import Surrogate, rule_of
from abele_py.trees import from_sklearn

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)


def grown(latents: torch.Tensor, labels: torch.Tensor) -> tuple[Surrogate, DecisionTreeClassifier]:
    model = DecisionTreeClassifier(random_state=0).fit(latents.numpy(), labels.numpy())
    return Surrogate(from_sklearn([model]), torch.from_numpy(model.classes_)), model


def many_points(surrogate: Surrogate, k: int, n: int = 10_000) -> torch.Tensor:
    """Random points, many of them exactly on a threshold or one float32 beside it."""
    points = torch.randn(n, k, generator=seeded(1))
    split = surrogate.tree.axis >= 0
    axes, thresholds = surrogate.tree.axis[split], surrogate.tree.threshold[split].float()
    chosen = torch.randint(len(axes), (n,), generator=seeded(2))
    beside = torch.stack(
        [thresholds, thresholds.nextafter(-torch.tensor(9e9)), thresholds.nextafter(torch.tensor(9e9))]
    )
    values = beside[torch.randint(3, (n,), generator=seeded(3)), chosen]
    rows = torch.arange(n // 2)
    points[rows, axes[chosen[rows]]] = values[rows]
    return points


@pytest.mark.parametrize("seed", range(5))
def test_rule_covers_exactly_the_leaf_of_the_explained_point(seed):
    latents = torch.randn(200, 3, generator=seeded(seed))
    labels = ((latents[:, 0] > 0.2).long() + (latents[:, 1] * latents[:, 2] > 0).long()) % 3
    surrogate, model = grown(latents, labels)
    points = many_points(surrogate, 3)
    for z in latents[:5]:
        rule = rule_of(surrogate, z)
        same_leaf = model.apply(points.numpy()) == model.apply(z[None].numpy())
        assert np.array_equal(rule.covers(points).numpy(), same_leaf)
        assert torch.equal(surrogate.leaf(points) == surrogate.leaf(z[None]), torch.from_numpy(same_leaf))
        assert bool(rule.covers(z[None]))


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_threshold_of_exactly_zero_is_a_condition_like_any_other(side):
    latents = torch.tensor([[-1.0], [1.0]])
    surrogate, model = grown(latents, torch.tensor([0, 1]))
    assert surrogate.tree.threshold[0] == 0.0
    rule = rule_of(surrogate, torch.tensor([side]))
    assert rule.conditions == (Condition(0, "<=" if side < 0 else ">", 0.0),)
    points = torch.tensor([[0.0], [-0.0], [1e-45], [-1e-45], [-1.0], [1.0]])
    assert rule.covers(points).tolist() == (model.apply(points.numpy()) == (1 if side < 0 else 2)).tolist()


def test_a_float32_point_is_compared_with_the_float64_threshold():
    threshold = float(np.float32(0.1)) - 1e-12  # as float32 the same number as the point, as float64 below it
    rule = Rule((Condition(0, "<=", threshold),), 0)
    assert not bool(rule.covers(torch.tensor([[0.1]])))


def test_repeated_splits_of_an_axis_leave_the_tightest_bound_of_each_side():
    latents = torch.arange(8.0)[:, None]
    surrogate, _ = grown(latents, torch.tensor([0, 1, 0, 1, 0, 1, 0, 1]))
    for i in range(1, 7):
        assert rule_of(surrogate, latents[i]).conditions == (Condition(0, ">", i - 0.5), Condition(0, "<=", i + 0.5))


@examples(300)
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=4), st.floats(0, 10), st.data())
def test_nearest_lands_inside_any_box_that_holds_a_point(bounds, margin, data):
    lower = torch.tensor([min(b) for b in bounds], dtype=torch.float64)
    inside = torch.tensor([max(b) for b in bounds]).nextafter(torch.tensor(torch.inf))  # a float32 above each lower one
    upper = torch.where(torch.rand(len(bounds), generator=seeded()) < 0.5, inside.double(), inside.double() + 1.0)
    points = torch.tensor(data.draw(st.lists(st.lists(FLOATS, min_size=len(bounds), max_size=len(bounds)), min_size=1)))
    rule = Rule.from_box(lower, upper, 0)
    moved = rule.nearest(points, margin)
    assert moved.dtype == torch.float32
    assert bool(rule.covers(moved).all())


@examples(300)
@given(FLOATS, st.integers(1, 3), st.floats(0, 10), FLOATS)
def test_nearest_lands_inside_a_box_of_one_to_three_floats(start, width, margin, point):
    value = torch.tensor([start])
    lower, upper = value.double(), value
    for _ in range(width):
        upper = upper.nextafter(torch.tensor(torch.inf))
    rule = Rule.from_box(lower, upper.double(), 0)
    assert bool(rule.covers(rule.nearest(torch.tensor([[point]]), margin)))


@examples(200)
@given(st.floats(-1e6, 1e6), FLOATS, st.floats(0, 10), st.sampled_from(["<=", ">"]))
def test_nearest_lands_inside_half_spaces_whose_bound_is_no_float32(threshold, point, margin, operator):
    rule = Rule((Condition(0, operator, threshold),), 0)
    assert bool(rule.covers(rule.nearest(torch.tensor([[point]]), margin)))


def test_nearest_moves_a_point_inside_nowhere_and_others_only_on_broken_axes():
    rule = Rule((Condition(0, ">", 0.0), Condition(0, "<=", 1.0), Condition(2, ">", 5.0)), 0)
    inside = torch.tensor([[0.5, -7.0, 6.0]])
    assert torch.equal(rule.nearest(inside), inside)
    moved = rule.nearest(torch.tensor([[3.0, -7.0, 6.0]]))
    assert moved.tolist() == [[1.0, -7.0, 6.0]]


def test_nearest_keeps_the_margin_where_the_box_is_wide_enough():
    rule = Rule((Condition(0, ">", 0.0), Condition(0, "<=", 1.0)), 0)
    assert rule.nearest(torch.tensor([[-5.0], [5.0]]), 0.25).tolist() == [[0.25], [0.75]]
    assert rule.nearest(torch.tensor([[-5.0], [5.0]]), 9.0).tolist() == [[0.5], [0.5]]


@examples(100)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5))
def test_nearest_projects_onto_polytopes(seed, n_conditions, k):
    """Any polytope that holds a ball: the answer lies inside, and no nearer point does."""
    normals = torch.nn.functional.normalize(torch.randn(n_conditions, k, generator=seeded(seed)).double(), dim=1)
    center = torch.randn(k, generator=seeded(seed + 1)).double()
    bounds = normals @ center + 0.2
    signs = [1 if i % 2 else -1 for i in range(n_conditions)]
    conditions = [
        Condition(i, "<=" if sign > 0 else ">", float(sign * bound), tuple((sign * v).tolist()))
        for i, (sign, bound, v) in enumerate(zip(signs, bounds, normals, strict=True))
    ]
    rule = Rule(tuple(conditions), 0)
    points = 3 * torch.randn(20, k, generator=seeded(seed + 2))
    moved = rule.nearest(points)
    assert bool(rule.covers(moved).all())
    inside = rule.covers(points) & (points.double() @ normals.T < bounds - 1e-4).all(dim=1)
    assert torch.equal(moved[inside], points[inside])
    # Of a convex set p is the point nearest to x where (x - p)(q - p) <= 0 for all q of it (Kolmogorov's criterion).
    others = center + 0.19 * torch.nn.functional.normalize(
        torch.randn(50, k, generator=seeded(seed + 3)).double(), dim=1
    )
    gaps = (points - moved).double()
    angles = gaps @ others.T - (gaps * moved.double()).sum(dim=1, keepdim=True)
    assert float(angles.max()) < 1e-2


def test_a_margin_without_room_is_kept_as_far_as_possible():
    direction = (0.6, 0.8)
    rule = Rule((Condition(0, "<=", 1.0, direction), Condition(0, ">", 0.0, direction)), 0)
    moved = rule.nearest(torch.tensor([[5.0, 5.0], [-5.0, -5.0]]), 100.0)
    assert bool(rule.covers(moved).all())
    kept = rule.nearest(torch.tensor([[5.0, 5.0]]), 0.25)
    assert float(kept @ torch.tensor(direction)) == pytest.approx(0.75, abs=1e-5)


def test_no_conditions_cover_everything():
    rule = Rule((), 3)
    points = torch.randn(5, 2, generator=seeded())
    assert bool(rule.covers(points).all())
    assert torch.equal(rule.nearest(points), points)
    assert rule.intervals() == []


def test_intervals_are_the_bounds_of_the_box():
    lower, upper = torch.tensor([-math.inf, -1.0, -math.inf]), torch.tensor([0.5, 0.0, math.inf])
    rule = Rule.from_box(lower.double(), upper.double(), 4)
    assert rule == Rule((Condition(0, "<=", 0.5), Condition(1, ">", -1.0), Condition(1, "<=", 0.0)), 4)
    assert rule.intervals() == [(0, -math.inf, 0.5), (1, -1.0, 0.0)]


def test_broken_names_the_conditions_that_a_point_does_not_meet():
    rule = Rule((Condition(0, "<=", 0.5), Condition(1, ">", 0.0)), 1)
    assert rule.broken(torch.tensor([0.5, 0.0])) == (Condition(1, ">", 0.0),)
    assert rule.broken(torch.tensor([0.5, 0.1])) == ()


def test_rules_in_words():
    low, high = Condition(0, ">", -1.204), Condition(3, "<=", 0.0)
    rule = Rule((low, high), 7)
    assert str(rule) == "{z0 > -1.20, z3 <= 0.00} -> 7"
    assert rule.words() == "7, because z0 > -1.20 and z3 <= 0.00"
    assert rule.words(lambda y: "seven") == "seven, because z0 > -1.20 and z3 <= 0.00"
    assert str(Rule((Condition(0, "<=", -0.004),), 7)) == "{z0 <= 0.00} -> 7"
    assert str(Rule((), 7)) == "{always} -> 7"
    assert Rule((), 7).words() == "7, always"
    counter = CounterfactualRule(rule, (high,))
    assert counter.label == 7
    assert str(counter) == "{z3 <= 0.00} -> 7"
    assert counter.words() == "7, if z3 <= 0.00 instead"


def test_a_rule_covers_what_each_of_its_conditions_covers():
    latents = torch.randn(500, 3, generator=seeded(1))
    slant = tuple((torch.tensor([1.0, 2.0, -1.0]).double() / 6**0.5).tolist())
    rule = Rule((Condition(0, "<=", 0.8), Condition(1, ">", -0.5), Condition(2, ">", -0.3, slant)), 1)
    each = torch.stack([c.covers(latents) for c in rule.conditions], dim=1)
    assert torch.equal(rule.covers(latents), each.all(dim=1))
    for latent, held in zip(latents[:50], each.tolist(), strict=False):
        assert rule.broken(latent) == tuple(c for c, holds in zip(rule.conditions, held, strict=True) if not holds)
    assert Rule((), 1).covers(latents).all()
    assert Rule((), 1).broken(latents[0]) == ()
