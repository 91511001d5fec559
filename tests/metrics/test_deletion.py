"""Baselines, and curves of deletion and insertion: by hand, by a slow loop, in any order and batch size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.fuzz import examples
from support.maps import MAPS, SHAPE, WEIGHTS, ZERO, X, labels, linear, measured, one_pixel, rough
from support.worlds import Counting, hard, image, seeded
from torch import nn

from abele_py.attribution.baselines import baseline_of
from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import UnknownNameError
from abele_py.metrics import saliency as ms

# Baselines


def test_baselines_zero_and_mean_of_each_channel():
    assert torch.equal(baseline_of(X, "zero"), ZERO)
    mean = baseline_of(X, "mean")
    assert mean.shape == SHAPE
    for channel in (0, 1):
        torch.testing.assert_close(mean[channel], X[channel].mean().expand(6, 5))


def test_blur_is_torchvisions():
    gaussian_blur = pytest.importorskip("torchvision.transforms.functional").gaussian_blur
    x = torch.rand(3, 20, 17, generator=seeded())
    torch.testing.assert_close(baseline_of(x, "blur"), gaussian_blur(x, [11, 11], [5.0, 5.0]), atol=1e-6, rtol=0)


def test_blur_of_an_image_smaller_than_its_window():
    blurred = baseline_of(image(0.0, 1.0), "blur")
    assert blurred.shape == (1, 1, 2)
    assert 0 < float(blurred.min()) <= float(blurred.max()) < 1
    assert torch.equal(baseline_of(torch.full((1, 3, 3), 0.25), "blur"), torch.full((1, 3, 3), 0.25))


def test_an_unknown_baseline_names_the_closest():
    with pytest.raises(UnknownNameError, match="Did you mean 'blur'"):
        baseline_of(X, "blurr")


# Deletion and insertion


def test_curves_and_areas_by_hand():
    """Four pixels, the second decides. A map that has it first, third and last."""
    x = torch.tensor([[[0.2, 0.8, 0.4, 0.6]]])
    maps = torch.tensor([[[1.0, 9, 2, 3]], [[8, 3, 9, 2]], [[9, -1, 3, 2]]])
    box, zero = BlackBox(one_pixel), torch.zeros_like(x)
    deleted = ms.deletion_curves(x, box, 1, maps, zero, steps=5)
    torch.testing.assert_close(
        deleted, torch.tensor([[0.8, 0, 0, 0, 0], [0.8, 0.8, 0.8, 0, 0], [0.8, 0.8, 0.8, 0.8, 0]])
    )
    torch.testing.assert_close(ms.insertion_curves(x, box, 1, maps, zero, steps=5), 0.8 - deleted)
    torch.testing.assert_close(ms.deletion(x, box, 1, maps, zero, steps=5), 0.8 * torch.tensor([1 / 8, 5 / 8, 7 / 8]))
    torch.testing.assert_close(ms.insertion(x, box, 1, maps, zero, steps=5), 0.8 * torch.tensor([7 / 8, 3 / 8, 1 / 8]))


def test_area_is_by_trapezoids_over_shares_from_0_to_1():
    torch.testing.assert_close(ms.area(torch.tensor([[1.0, 0.0], [1, 1]])), torch.tensor([0.5, 1]))
    torch.testing.assert_close(ms.area(torch.tensor([[0.0, 1, 0, 0.5]])), torch.tensor([1.25 / 3]))


def test_curves_are_those_of_a_slow_loop():
    """The definition: sort, replace the top pixels in all channels, ask for one image."""
    maps, steps = MAPS.abs().clamp(max=0.5), 7  # with ties
    shuffled = torch.randperm(30, generator=seeded(0)).tolist()
    fast = ms.deletion_curves(X, BlackBox(rough), 1, maps, ZERO, steps)
    for m, values in enumerate(maps.flatten(1).tolist()):
        order = sorted(shuffled, key=lambda p, values=values: -values[p])
        for s in range(steps):
            frame = X.clone().flatten(1)
            frame[:, order[: round(30 * s / (steps - 1))]] = 0
            assert float(fast[m, s]) == pytest.approx(float(rough(frame.view(1, *SHAPE))[0, 1]), abs=1e-6)


def test_the_true_map_is_best_its_reverse_is_worst_and_a_random_order_between():
    true = (X * WEIGHTS).sum(dim=0)
    random = torch.rand(200, 6, 5, generator=seeded(5))
    values = measured(torch.cat([true[None], -true[None], random]), linear)
    for name, sign in (("deletion", -1), ("insertion", 1), ("faithfulness", 1)):
        best, worst, others = sign * values[name][0], sign * values[name][1], sign * values[name][2:]
        assert float(worst) < float(others.min()) <= float(others.max()) < float(best), name
    # In a random order each pixel has left at half of the time on average: half of the image's score.
    half = float(linear(X[None])[0, 1]) / 2
    assert float(values["deletion"][2:].mean()) == pytest.approx(half, rel=0.03)
    assert float(values["insertion"][2:].mean()) == pytest.approx(half, rel=0.03)


def test_equal_values_do_not_come_in_reading_order():
    """A constant map is a random order: it starts neither at the top left nor at the bottom right."""
    seen = Counting(one_pixel)
    x = torch.ones(1, 10, 10)
    ms.deletion_curves(x, BlackBox(seen), 1, torch.zeros(1, 10, 10), torch.zeros_like(x), steps=3)
    half = seen.seen[0][1, 0] == 0
    assert int(half.sum()) == 50
    assert 15 < int(half[:5].sum()) < 35
    assert 15 < int(half[:, :5].sum()) < 35


def test_equal_maps_get_equal_values_wherever_they_stand():
    values = measured(torch.stack([MAPS[0], MAPS[1], MAPS[0], torch.zeros(6, 5), torch.zeros(6, 5)]))
    for value in values.values():
        assert value[0] == value[2]
        assert value[3] == value[4]


@examples(25)
@given(arrays("float32", (2, 6, 5), elements=st.floats(-100, 100, width=16)))
def test_ranges_and_what_changes_nothing(values):
    maps = torch.from_numpy(values)
    found, scaled = measured(maps), measured(4 * maps)
    for name in ("deletion", "insertion", "infidelity"):
        assert 0 <= float(found[name].min()) <= float(found[name].max()) <= 1
    assert float(found["faithfulness"].abs().max()) <= 1
    for name, value in found.items():
        torch.testing.assert_close(value, scaled[name], atol=1e-6, rtol=0)
    for name in ("deletion", "insertion"):  # only the order matters
        assert torch.equal(found[name], measured(maps.double().div(50).exp())[name])
    shifted = measured(maps.double() + 3)["faithfulness"]  # all sets have one size
    torch.testing.assert_close(found["faithfulness"], shifted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("black_box", [rough, labels])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_batch_size_and_other_maps_change_nothing(black_box, batch_size):
    whole, small = measured(black_box=black_box), measured(black_box=black_box, batch_size=batch_size)
    for name, value in whole.items():
        torch.testing.assert_close(small[name], value, atol=1e-6, rtol=0)
        torch.testing.assert_close(measured(MAPS[:1], black_box)[name], value[:1], atol=1e-6, rtol=0)


def test_a_network_gives_the_same_bytes_with_any_batch_size(digits_models, digit_images):
    maps = torch.randn(3, 28, 28, generator=seeded(4))
    arguments = {"x": digit_images[3], "baseline": torch.zeros(1, 28, 28)}
    found = [measured(maps, digits_models[1], **arguments, batch_size=size) for size in (256, 16, 7)]
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name])
        assert torch.equal(value, found[2][name])


def test_the_black_box_is_asked_in_full_batches_and_once_for_all_maps():
    for n_maps in (1, 4):
        counting = Counting(rough)
        box = BlackBox(counting, batch_size=50)
        ms.faithfulness_correlation(X, box, 1, MAPS[:n_maps], ZERO, seeded(), n_subsets=120)
        ms.infidelity(X, box, 1, MAPS[:n_maps], seeded(), n_samples=100)
        assert counting.batches == [50, 50, 20, 1, 50, 50]
    counting = Counting(rough)
    ms.deletion(X, BlackBox(counting, batch_size=50), 1, MAPS, ZERO)
    assert counting.batches == [50, 50, 4 * 29 - 100]


def test_labels_only_by_hand():
    """The identity world: label 1 while the first pixel is above 0.3."""
    maps = torch.tensor([[[2.0, 1.0]], [[1.0, 2.0]]])
    values = measured(maps, hard, image(0.6, 0.5), torch.zeros(1, 1, 2))
    curves = ms.deletion_curves(image(0.6, 0.5), BlackBox(hard), 1, maps, torch.zeros(1, 1, 2), steps=3)
    assert curves.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert float(values["faithfulness"][0]) == pytest.approx(1)
    assert float(values["faithfulness"][1]) == pytest.approx(-1)


class Logits(nn.Module):
    """Three logits, far outside [0, 1]."""

    def forward(self, images):
        score = 9 * (images * WEIGHTS).flatten(1).sum(dim=1)
        return torch.stack([-score, score, score.cos() - 2], dim=1)


@pytest.mark.parametrize("curves", [ms.deletion_curves, ms.insertion_curves])
def test_curves_of_logits_are_those_of_their_probabilities(curves):
    logits = Logits()
    found = curves(X, BlackBox(logits), 1, MAPS, ZERO)
    expected = curves(X, BlackBox(nn.Sequential(logits, nn.Softmax(dim=1))), 1, MAPS, ZERO)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert 0 <= float(found.min()) < float(found.max()) <= 1
    assert float(logits(X[None])[0, 1]) > 1
