"""Metrics of maps: answers worked out by hand on linear black boxes, invariants, and equality with captum."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.maps import MAPS, SHAPE, WEIGHTS, ZERO, X, linear, measured, rough
from support.worlds import Counting, seeded
from torch import nn

from abele_py.attribution.baselines import BASELINES, baseline_of
from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import ImageError, ParameterError
from abele_py.metrics import saliency as ms
from abele_py.metrics.base import metric_of

# Faithfulness correlation and infidelity


def test_a_linear_black_box_is_told_exactly_by_its_own_terms():
    true = (X * WEIGHTS).sum(dim=0)
    maps = torch.stack([true, 7 * true, -true, torch.full((6, 5), 0.1), torch.zeros(6, 5)])
    correlation = measured(maps, linear)["faithfulness"]
    torch.testing.assert_close(correlation[:3], torch.tensor([1.0, 1, -1]), atol=1e-4, rtol=0)
    assert correlation[3:].tolist() == [0, 0]
    # Infidelity multiplies the map with what is removed, so there the exact map holds the weights alone.
    grey = X.mean(dim=0).expand(SHAPE)
    weights = WEIGHTS.mean(dim=0)
    values = ms.infidelity(
        grey, BlackBox(linear), 1, torch.stack([weights, -weights, 0 * weights, MAPS[0]]), seeded(), baseline=ZERO
    )
    assert float(values[:2].max()) < 1e-4
    assert float(values[2]) == 1
    assert 0.01 < float(values[3]) <= 1


def test_infidelity_favours_gradients_and_faithfulness_contributions_but_on_binary_images():
    """A linear model of one channel, its gradient beside gradient x input."""
    weights = WEIGHTS[0] / WEIGHTS[0].sum()

    def model(images):
        score = (images[:, 0] * weights).flatten(1).sum(dim=1)
        return torch.stack([1 - score, score], dim=1)

    def figures(x):
        maps = torch.stack([weights, weights * x[0]])
        zero = torch.zeros_like(x)
        return (
            ms.infidelity(x, BlackBox(model), 1, maps, seeded()).tolist(),
            ms.faithfulness_correlation(x, BlackBox(model), 1, maps, zero, seeded()).tolist(),
        )

    infidelity, correlation = figures(X[:1])
    assert infidelity[0] < 1e-4 < 1e-3 < infidelity[1]
    assert correlation[0] < 0.9 < 0.9999 < correlation[1]
    infidelity, correlation = figures((X[:1] > 0.5).float())
    assert max(infidelity) < 1e-4
    assert correlation[0] < 0.9 < 0.9999 < correlation[1]


def test_where_nothing_changes_the_score_no_map_is_faithful():
    values = measured(MAPS, lambda images: torch.full((len(images), 2), 0.5))
    assert values["faithfulness"].tolist() == [0] * 4
    assert values["infidelity"].tolist() == [1] * 4
    assert values["deletion"].tolist() == [0.5] * 4


def test_correlation_is_numpys_on_the_same_sets():
    counting = Counting(rough)
    found = ms.faithfulness_correlation(X, BlackBox(counting), 1, MAPS, ZERO, seeded(9), 60, 0.25)
    frames = torch.cat(counting.seen)
    assert len(frames) == 60
    inside = (frames == 0).all(dim=1).flatten(1)
    assert inside.sum(dim=1).tolist() == [8] * 60
    drops = rough(X[None])[0, 1] - rough(frames)[:, 1]
    for m in range(len(MAPS)):
        sums = inside.double() @ MAPS[m].flatten().double()
        expected = torch.corrcoef(torch.stack([sums, drops.double()]))[0, 1]
        assert float(found[m]) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("kind", BASELINES)
def test_infidelity_is_captums_on_the_same_perturbations(kind):
    captum = pytest.importorskip("captum.metrics")
    baseline, counting = baseline_of(X, kind), Counting(rough)
    found = ms.infidelity(X, BlackBox(counting), 1, MAPS, seeded(3), 50, baseline)
    frames = torch.cat(counting.seen[1:])
    drops = rough(X[None])[0, 1] - rough(frames)[:, 1]
    for m in range(len(MAPS)):
        theirs = captum.infidelity(
            rough,
            lambda inputs: (X - frames, frames),
            X[None],
            MAPS[m].expand(SHAPE)[None].contiguous(),
            target=1,
            n_perturb_samples=50,
            normalize=True,
        )
        assert float(found[m]) == pytest.approx(float(theirs) / float(drops.square().mean()), abs=1e-4)


def test_infidelity_removes_squares_of_many_sizes_and_places():
    counting = Counting(rough)
    ms.infidelity(torch.ones(1, 9, 12), BlackBox(counting), 1, torch.ones(1, 9, 12), seeded(), 400)
    removed = torch.cat(counting.seen[1:])[:, 0] == 0
    rows, columns = removed.any(dim=2).sum(dim=1), removed.any(dim=1).sum(dim=1)
    assert torch.equal(rows, columns)
    assert torch.equal(removed.flatten(1).sum(dim=1), rows**2)
    assert sorted(set(rows.tolist())) == [1, 2, 3, 4, 5]
    assert bool(removed.any(dim=0).all())


def test_random_numbers_come_from_the_generator_alone():
    before = torch.get_rng_state()
    first, again = measured(), measured()
    assert torch.equal(torch.get_rng_state(), before)
    for name in first:
        assert torch.equal(first[name], again[name])
    other = ms.infidelity(X, BlackBox(rough), 1, MAPS, seeded(8), 40)
    assert not torch.equal(other, first["infidelity"])


# Stability and coherence


def test_stability_by_hand():
    """Maps of length 1 that turn by a right angle lie sqrt(2) apart."""
    x = torch.zeros(1, 1, 2)
    copies = torch.tensor([[[[0.0, 0.5]]], [[[0.2, 0.0]]], [[[0.0, 0.0]]]])
    maps = torch.tensor([[[3.0, 0.0]], [[5.0, 5.0]], [[0.0, 0.0]]])
    turned = torch.tensor([[[0.0, 7.0]], [[1.0, 1.0]], [[0.0, 0.0]]])
    of_copies = torch.stack([turned, maps, turned])  # the third copy is the image: it does not count
    torch.testing.assert_close(ms.stability(x, copies, maps, of_copies), torch.tensor([math.sqrt(2) / 0.5, 0, 0]))
    of_copies = torch.stack([maps, turned, turned])
    torch.testing.assert_close(ms.stability(x, copies, maps, of_copies), torch.tensor([math.sqrt(2) / 0.2, 0, 0]))


def test_stability_has_no_unit_and_is_nan_without_a_copy_that_differs():
    copies = ms.noisy_copies(X, seeded(), n=4)
    of_copies = torch.randn(4, 4, 6, 5, generator=seeded(6))
    value = ms.stability(X, copies, MAPS, of_copies)
    torch.testing.assert_close(ms.stability(X, copies, 9 * MAPS, 0.1 * of_copies), value)
    assert bool(ms.stability(X, X[None], MAPS, MAPS[None]).isnan().all())
    assert bool(ms.stability(X, copies[:0], MAPS, of_copies[:0]).isnan().all())


def test_stability_is_captums_sensitivity_by_distance():
    """For maps of length 1 and copies at one distance it is ``sensitivity_max`` divided by that distance."""
    captum = pytest.importorskip("captum.metrics")

    def explain(inputs):
        if isinstance(inputs, tuple):
            return tuple(map(explain, inputs))
        maps = torch.sin(9 * inputs) + inputs.flip(-1)
        return maps / maps.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    x = torch.rand(1, 6, 5, generator=seeded(7))
    noise = torch.randn(8, 1, 6, 5, generator=seeded(8))
    copies = x + 0.25 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    theirs = captum.sensitivity_max(explain, x[None], perturb_func=lambda inputs: copies, n_perturb_samples=8)
    ours = ms.stability(x, copies, explain(x[None])[:, 0], explain(copies))
    assert float(ours) == pytest.approx(float(theirs) / 0.25, rel=1e-5)


def test_noisy_copies_stay_images_and_differ():
    copies = ms.noisy_copies(X, seeded(), n=50, sigma=0.05)
    assert copies.shape == (50, *SHAPE)
    assert copies.dtype == torch.float32
    assert 0 <= float(copies.min()) <= float(copies.max()) <= 1
    inner = (X > 0.2) & (X < 0.8)
    assert float((copies - X)[:, inner].std()) == pytest.approx(0.05, rel=0.1)
    assert torch.equal(copies, ms.noisy_copies(X, seeded(), n=50, sigma=0.05))


def test_coherence_is_stability_against_all_others():
    images = torch.rand(5, 2, 6, 5, generator=seeded(1))
    images[4] = images[0]  # equal images do not count for each other
    maps = torch.randn(5, 6, 5, generator=seeded(2))
    found = ms.coherence(images, maps)
    for i in range(5):
        others = [j for j in range(5) if j != i]
        torch.testing.assert_close(
            found[i], ms.stability(images[i], images[others], maps[i, None], maps[others, None])[0]
        )


def test_coherence_of_one_image_is_nan():
    assert bool(ms.coherence(X[None], MAPS[:1]).isnan().all())
    assert ms.coherence(X[None][:0], MAPS[:0]).shape == (0,)


# Complexity and sparseness


def test_complexity_and_sparseness_by_hand():
    maps = torch.zeros(4, 2, 5)
    maps[0, 1, 2] = -3  # one pixel
    maps[1] = -0.5  # all the same
    maps[2, 0] = torch.tensor([1, -1, 0, 0, 0])
    torch.testing.assert_close(
        ms.complexity(maps), torch.tensor([0, math.log(10), math.log(2), math.log(10)]), atol=1e-6, rtol=1e-6
    )
    torch.testing.assert_close(ms.sparseness(maps), torch.tensor([0.9, 0, 0.8, 0]), atol=1e-6, rtol=1e-6)


@given(arrays("float32", (3, 4, 6), elements=st.floats(-1e6, 1e6, width=32)), st.permutations(range(24)))
def test_complexity_and_sparseness_know_neither_places_nor_signs_nor_units(values, places):
    maps = torch.from_numpy(values)
    moved = -8 * maps.flatten(1)[:, list(places)].reshape(3, 4, 6)
    for function, top in ((ms.complexity, math.log(24)), (ms.sparseness, 1 - 1 / 24)):
        found = function(maps)
        assert found.shape == (3,)
        assert 0 <= float(found.min()) <= float(found.max()) <= top + 1e-6
        torch.testing.assert_close(function(moved), found, atol=1e-6, rtol=1e-6)


def test_sparseness_is_the_mean_difference_form_of_gini():
    sizes = MAPS.abs().flatten(1)
    differences = (sizes[:, :, None] - sizes[:, None, :]).abs().mean(dim=(1, 2))
    torch.testing.assert_close(ms.sparseness(MAPS), differences / (2 * sizes.mean(dim=1)))


# Declarations and refusals


@pytest.mark.parametrize(
    ("function", "better"),
    [
        (ms.deletion, "lower"),
        (ms.insertion, "higher"),
        (ms.faithfulness_correlation, "higher"),
        (ms.infidelity, "lower"),
        (ms.stability, "lower"),
        (ms.coherence, "lower"),
        (ms.complexity, "lower"),
        (ms.sparseness, "higher"),
    ],
)
def test_every_metric_declares_its_direction(function, better):
    declared = metric_of(function)
    assert declared.better == better
    assert declared.low < declared.high
    assert declared.source


def test_what_does_not_fit_is_refused():
    box = BlackBox(rough)
    broken = MAPS.clone()
    broken[1, 2, 3] = torch.nan
    for maps in (MAPS[0], MAPS[:, :5], MAPS[:0], broken):
        for ask in (
            lambda m: ms.deletion(X, box, 1, m, ZERO),
            lambda m: ms.insertion(X, box, 1, m, ZERO),
            lambda m: ms.faithfulness_correlation(X, box, 1, m, ZERO, seeded()),
            lambda m: ms.infidelity(X, box, 1, m, seeded()),
        ):
            with pytest.raises(ImageError, match="expected"):
                ask(maps)
    for maps in (MAPS[0], MAPS[:0], broken):
        for ask in (ms.complexity, ms.sparseness):
            with pytest.raises(ImageError, match="expected"):
                ask(maps)
    with pytest.raises(ImageError, match="baseline_of"):
        ms.deletion(X, box, 1, MAPS, ZERO[:1])
    with pytest.raises(ImageError, match="explain each copy"):
        ms.stability(X, X[None], MAPS, MAPS)
    with pytest.raises(ImageError, match="one map for each"):
        ms.coherence(X[None], MAPS)
    assert box.calls == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda box: ms.deletion(X, box, 1, MAPS, ZERO, steps=1),
        lambda box: ms.faithfulness_correlation(X, box, 1, MAPS, ZERO, seeded(), n_subsets=1),
        lambda box: ms.faithfulness_correlation(X, box, 1, MAPS, ZERO, seeded(), subset_fraction=1.0),
        lambda box: ms.infidelity(X, box, 1, MAPS, seeded(), n_samples=0),
    ],
)
def test_options_outside_their_range_are_refused(ask):
    with pytest.raises(ParameterError, match=r"got .*; expected"):
        ask(BlackBox(rough))


def test_a_module_is_left_as_it_was():
    module = nn.Sequential(nn.Flatten(), nn.Linear(60, 3), nn.Dropout(0.5), nn.Softmax(dim=1)).train()
    measured(black_box=module)
    assert all(part.training for part in module.modules())
    assert all(p.grad is None for p in module.parameters())
