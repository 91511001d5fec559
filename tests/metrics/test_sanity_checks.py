"""Sanity checks: the cascade randomises exactly the layers it names, and the comparisons know equal from different."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage, stats
from support.worlds import seeded
from torch import nn
from torch.nn import functional

from abele_py.errors import BlackBoxError, ImageError
from abele_py.latent.space import Points
from abele_py.metrics import sanity_checks as sanity
from abele_py.metrics.base import metric_of
from abele_py.models.classifiers import Forest
from abele_py.surrogate.rules import Condition, Rule

X = torch.rand(1, 4, 4, generator=seeded(1))
MAPS = arrays("float32", (2, 5, 4), elements=st.floats(-1, 1, width=16))


class Crossed(nn.Module):
    """Defined in another order than it is called, with functions, an own parameter and an unused part."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 3)
        self.first = nn.Conv2d(1, 2, 3)
        self.scale = nn.Parameter(torch.rand(16, generator=seeded(2)))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.BatchNorm1d(8)
        self.middle = nn.Linear(8, 6)
        self.unused = nn.Linear(4, 5)
        self.norm.running_mean.copy_(torch.rand(8, generator=seeded(3)))
        self.norm.running_var.copy_(torch.rand(8, generator=seeded(4)) + 0.5)

    def forward(self, images):
        images = images * self.scale.view(1, 1, 4, 4)
        tokens = functional.relu(self.first(images)).flatten(1)[:, None]
        mixed = tokens + self.attention(tokens, tokens, tokens)[0]
        return functional.softmax(self.last(functional.relu(self.middle(self.norm(mixed[:, 0])))), dim=1)


@pytest.fixture
def crossed():
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        return Crossed()


def changed(before, after):
    """Names of the entries of a module's state that differ."""
    other = after.state_dict()
    return {name for name, value in before.state_dict().items() if not torch.equal(value, other[name])}


# What each step of the cascade changes in Crossed; attention's initial biases are all 0, norm's scale all 1.
STEPS = [
    ("last", {"last.weight", "last.bias"}),
    ("middle", {"middle.weight", "middle.bias"}),
    ("norm", {"norm.running_mean", "norm.running_var"}),
    ("attention", {"attention.in_proj_weight", "attention.out_proj.weight"}),
    ("first", {"first.weight", "first.bias"}),
    ("", {"scale", "unused.weight", "unused.bias"}),
]


def test_the_cascade_goes_from_the_output_to_the_input_and_is_cumulative(crossed):
    steps = list(sanity.cascade(crossed, X, seed=0))
    assert [name for name, _ in steps] == [name for name, _ in STEPS]
    below = crossed
    expected: set[str] = set()
    for (_, module), (name, fresh) in zip(steps, STEPS, strict=True):
        assert changed(below, module) == fresh, name  # earlier layers keep the values of the step before
        expected |= fresh
        assert changed(crossed, module) == expected, name
        below = module


def test_every_value_moves_and_none_is_new(crossed):
    *_, (_, module) = sanity.cascade(crossed, X, seed=0)
    for name, value in crossed.named_parameters():
        new = module.get_parameter(name)
        assert torch.equal(new.flatten().sort().values, value.flatten().sort().values), name
        assert bool((new != value).all()) or bool((value == value.flatten()[0]).all()), name


def test_the_same_seed_gives_the_same_weights_and_global_random_state_is_left(crossed):
    state = torch.get_rng_state()
    first, again, other = ([m for _, m in sanity.cascade(crossed, X, seed=s)] for s in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(not changed(a, b) for a, b in zip(first, again, strict=True))
    assert all(changed(a, b) for a, b in zip(first, other, strict=True))


def test_weights_in_any_order_of_memory_are_randomised_alike():
    """A convolution of one channel, of which a flat view in channels-last memory would be written while it is read."""
    image = torch.rand(1, 6, 6)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    other = deepcopy(plain).to(memory_format=torch.channels_last)
    assert other[0].weight.stride() != plain[0].weight.stride()
    for (_, a), (_, b) in zip(sanity.cascade(plain, image, 0), sanity.cascade(other, image, 0), strict=True):
        assert not changed(a, b)


def test_steps_are_independent_copies(crossed):
    steps = sanity.cascade(crossed, X, seed=0)
    _, kept = next(steps)
    copy = deepcopy(kept)
    for _, module in steps:
        assert module is not kept
    assert not changed(copy, kept)


def test_the_users_module_is_left_as_it_was(crossed):
    crossed.train()
    crossed.middle.eval()
    seen = []
    crossed.norm.register_forward_hook(lambda *_: None)
    crossed.scale.grad = torch.ones(16)
    modes = [part.training for part in crossed.modules()]
    before, attributes = deepcopy(crossed), {name: set(vars(part)) for name, part in crossed.named_modules()}
    for _, module in sanity.cascade(crossed, X, seed=0):
        assert [part.training for part in module.modules()] == modes
        assert not any(part._forward_pre_hooks for part in module.modules())
        seen.append(module)
    assert len(seen) == len(STEPS)
    assert not changed(before, crossed)
    assert [part.training for part in crossed.modules()] == modes
    assert {name: set(vars(part)) for name, part in crossed.named_modules()} == attributes
    assert not any(part._forward_pre_hooks for part in crossed.modules())
    assert [len(part._forward_hooks) for part in crossed.modules()].count(1) == 1
    assert torch.equal(crossed.scale.grad, torch.ones(16))


def test_a_module_called_twice_has_its_place_where_it_is_called_last():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.between = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, images):
            return self.shared(self.between(self.shared(images.flatten(1))))

    assert [name for name, _ in sanity.cascade(Twice(), X, seed=0)] == ["shared", "between"]


def test_without_weights_there_is_nothing_to_randomise():
    for box in (Forest((1, 4, 4), 2, 1, 1), lambda images: images, nn.Sequential(nn.Flatten(), nn.Softmax(dim=1))):
        with pytest.raises(BlackBoxError, match="no weights to randomise"):
            sanity.cascade(box, X, seed=0)  # at once, not at the first step


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, of the old weight_norm
def test_a_network_that_cannot_be_copied_is_refused():
    with pytest.raises(BlackBoxError, match="cannot be copied"):
        sanity.cascade(nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(16, 2))), X, seed=0)


def test_parametrised_weights_are_randomised():
    module = nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(16, 2)))
    *_, (_, randomised) = sanity.cascade(module, X, seed=0)
    assert changed(module, randomised) == set(module.state_dict())


def test_an_image_of_another_kind_is_named(crossed):
    with pytest.raises(BlackBoxError, match=r"\(1, 1, 9, 9\)"):
        sanity.cascade(crossed, torch.zeros(1, 9, 9), seed=0)


def gradient(image, module):
    x = image[None].clone().requires_grad_()
    return torch.autograd.grad(module.logits(x)[0].max(), x)[0][0, 0]


def edges(image, module):
    return torch.from_numpy(ndimage.generic_gradient_magnitude(image[0].numpy(), ndimage.sobel))


def test_the_check_tells_a_gradient_from_an_edge_detector(digits_models, digit_images):
    """The paper's finding: what does not fall does not depend on what the black box has learned."""
    _, classifier = digits_models
    falls = []
    for i in range(8):
        x = digit_images[i]
        steps = list(sanity.cascade(classifier, x, seed=i))
        assert steps[0][0] == "head.5"
        name, randomised = steps[-1]
        assert name == "features.0"
        original = gradient(x, classifier)
        falls.append(
            [
                sanity.rank_correlation(original, gradient(x, randomised)),
                sanity.rank_correlation(original, gradient(x, randomised), absolute=True),
                sanity.structural_similarity(original, gradient(x, randomised)),
            ]
        )
        for compare in (sanity.rank_correlation, sanity.structural_similarity):
            assert compare(original, gradient(x, classifier)) == pytest.approx(1)
            assert compare(edges(x, classifier), edges(x, randomised)) == 1
    assert np.abs(np.mean(falls, axis=0)).max() < 0.25


# Similarity of maps


@given(MAPS)
def test_similarities_of_maps_lie_in_their_range_and_are_symmetric(values):
    a, b = torch.from_numpy(values)
    for compare in (sanity.rank_correlation, sanity.structural_similarity):
        assert -1 <= compare(a, b) <= 1
        assert compare(a, b) == pytest.approx(compare(b, a), abs=1e-9)
        assert compare(a, a) == pytest.approx(1)


def test_rank_correlation_by_hand_and_as_scipys():
    a = torch.tensor([[1.0, 2.0], [3.0, 10.0]])
    assert sanity.rank_correlation(a, a.exp()) == pytest.approx(1)
    assert sanity.rank_correlation(a, -a) == pytest.approx(-1)
    assert sanity.rank_correlation(a, -a, absolute=True) == 1
    assert sanity.rank_correlation(a, torch.tensor([[1.0, 3.0], [2.0, 4.0]])) == pytest.approx(0.8)
    left, right = torch.randn(2, 6, 7, generator=seeded(3))
    assert sanity.rank_correlation(left, right) == pytest.approx(stats.spearmanr(left.flatten(), right.flatten())[0])


def test_constant_maps_are_alike_only_where_they_are_equal():
    constant, other = torch.full((4, 5), 0.3), torch.rand(4, 5, generator=seeded())
    assert sanity.rank_correlation(constant, other) == 0
    assert sanity.rank_correlation(constant, 0 * constant) == 0
    assert sanity.rank_correlation(constant, constant) == 1
    assert sanity.structural_similarity(0 * constant, 0 * constant) == 1


def test_structural_similarity_has_no_unit_and_is_minus_1_for_the_negative_of_one_centred_window():
    a = torch.randn(9, 8, generator=seeded(4))
    assert sanity.structural_similarity(a, 50 * a) == pytest.approx(1)
    window = torch.arange(-24.0, 25).reshape(7, 7)
    assert sanity.structural_similarity(window, -window) == pytest.approx(-1, abs=0.02)
    assert sanity.structural_similarity(a[:3, :4], a[:3, :4]) == pytest.approx(1)


def test_structural_similarity_is_skimages():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = torch.rand(2, 12, 10, generator=seeded(5)) * 2 - 1
    a[:2], b[:2] = 1, -1  # so many largest values that the scale stays as it is
    theirs = metrics.structural_similarity(a.double().numpy(), b.double().numpy(), data_range=2)
    assert sanity.structural_similarity(a, b) == pytest.approx(theirs)


def test_maps_that_cannot_be_compared_are_refused():
    with pytest.raises(ImageError, match="one shape"):
        sanity.rank_correlation(torch.zeros(3, 4), torch.zeros(4, 3))
    with pytest.raises(ImageError, match="one shape"):
        sanity.structural_similarity(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4))
    with pytest.raises(ImageError, match="at least 3 x 3"):
        sanity.structural_similarity(torch.zeros(2, 9), torch.zeros(2, 9))


# Overlap of rules and exemplars


def with_rule(explanation, *conditions):
    return replace(explanation, rule=Rule(tuple(Condition(*c) for c in conditions), 1))


def with_exemplars(explanation, latents):
    n = len(latents)
    points = Points(latents, torch.zeros(n, 1, 1, 2), torch.ones(n, dtype=torch.int64), None)
    return replace(explanation, exemplars=points)


def test_rule_overlap_by_hand(explanation):
    points = torch.tensor([[0.1, 0.1], [0.3, 0.2], [0.5, 0.3], [0.7, 0.4]])
    e = replace(explanation, neighborhood=replace(explanation.neighborhood, latents=points))
    left, right = with_rule(e, (0, "<=", 0.6)), with_rule(e, (0, ">", 0.2))
    assert sanity.rule_overlap(left, right) == pytest.approx(2 / 4)
    assert sanity.rule_overlap(left, left) == 1
    assert sanity.rule_overlap(left, with_rule(e, (0, ">", 0.6))) == 0
    assert sanity.rule_overlap(with_rule(e, (1, ">", 9.0)), with_rule(e, (0, ">", 9.0))) == 0
    # The neighbors of both explanations count.
    more = replace(right, neighborhood=replace(e.neighborhood, latents=torch.tensor([[0.4, 0.0], [0.45, 0.0]])))
    assert sanity.rule_overlap(left, more) == sanity.rule_overlap(more, left) == pytest.approx(4 / 6)


def test_exemplar_overlap_of_equal_and_of_disjoint_rules(explanation):
    points = torch.tensor([[0.1, 0.0], [0.4, 0.9], [0.5, -7.0]])
    left = with_exemplars(with_rule(explanation, (0, "<=", 0.6)), points)
    right = with_exemplars(with_rule(explanation, (0, ">", 0.6)), points + 1)
    assert sanity.exemplar_overlap(left, left) == 1
    assert sanity.exemplar_overlap(left, right) == sanity.exemplar_overlap(right, left) == 0


def test_exemplar_overlap_by_hand(explanation):
    """Two of one side's four inside (0.2, inf), one of the other's three inside (-inf, 0.6]."""
    a = with_exemplars(with_rule(explanation, (0, "<=", 0.6)), torch.tensor([[0.0], [0.1], [0.3], [0.6]]))
    b = with_exemplars(with_rule(explanation, (0, ">", 0.2)), torch.tensor([[0.5], [0.7], [0.8]]))
    assert sanity.exemplar_overlap(a, b) == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert sanity.exemplar_overlap(b, a) == sanity.exemplar_overlap(a, b)
    # A rule inside the other: all of its exemplars lie in both, half of the others'.
    inner = with_exemplars(with_rule(explanation, (0, "<=", 0.2)), torch.tensor([[0.0], [0.1]]))
    assert sanity.exemplar_overlap(a, inner) == pytest.approx((2 / 4 + 1) / 2)


def test_exemplar_overlap_needs_exemplars_on_each_side(explanation):
    few, many = with_exemplars(explanation, torch.zeros(0, 2)), with_exemplars(explanation, torch.ones(5, 2))
    assert np.isnan(sanity.exemplar_overlap(few, many))
    assert np.isnan(sanity.exemplar_overlap(many, few))


def test_overlaps_of_a_real_explanation_with_itself_are_1(digit_explanation):
    assert sanity.rule_overlap(digit_explanation, digit_explanation) == 1
    assert sanity.exemplar_overlap(digit_explanation, digit_explanation) == 1


def test_every_comparison_is_a_metric_that_should_be_low():
    for compare in (
        sanity.rank_correlation,
        sanity.structural_similarity,
        sanity.rule_overlap,
        sanity.exemplar_overlap,
    ):
        assert metric_of(compare).better == "lower"
        assert metric_of(compare).high == 1
