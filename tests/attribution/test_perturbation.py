"""Occlusion, RISE and learnt masks: black boxes that look at one place only, and what no batch size may change."""

import captum.attr
import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier
from support.messages import says_what_to_do
from support.worlds import Counting, hard, seeded
from torch import nn

from abele_py import load_classifier
from abele_py.attribution import perturbation
from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import BlackBoxError, ImageError, ParameterError

METHODS = {name: getattr(perturbation, name) for name in ("occlusion", "rise", "meaningful_perturbation")}
ASKING = {name: method for name, method in METHODS.items() if name != "meaningful_perturbation"}
X = 0.2 + 0.8 * torch.rand(1, 20, 16, generator=seeded(1))
methods = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
asking = pytest.mark.parametrize("method", ASKING.values(), ids=ASKING.keys())


def two(score):
    return torch.stack([1 - score, score], dim=1)


def one_pixel(images):
    return two(images[:, 0, 5, 11])


def one_pixel_labels(images):
    return (images[:, 0, 5, 11] > 0.1).long()


def linear(weight):
    return lambda images: two((images * weight).sum(dim=(1, 2, 3)))


class Patch(nn.Module):
    """Says 1 as far as the patch at rows 8..13, columns 4..9 is bright."""

    def forward(self, images):
        return two(torch.sigmoid(20 * images[:, :, 8:14, 4:10].mean(dim=(1, 2, 3)) - 6))


def peak(saliency):
    return divmod(int(saliency.argmax()), saliency.shape[1])


def test_occlusion_of_one_pixel_by_hand():
    """Single pixels covered: the score falls by the pixel where the black box looks, and nowhere else."""
    expected = torch.zeros(20, 16)
    expected[5, 11] = X[0, 5, 11]
    assert torch.allclose(perturbation.occlusion(X, BlackBox(one_pixel), 1, patch=1, stride=1), expected, atol=1e-6)
    assert torch.allclose(perturbation.occlusion(X, BlackBox(one_pixel), 0, patch=1, stride=1), -expected, atol=1e-6)


def test_occlusion_is_the_mean_over_the_squares_that_cover_a_pixel():
    """Of the squares 0..2, 2..4 and the last, 3..5, in a row of six, the black box feels the first two."""
    image = torch.ones(1, 3, 6)
    saliency = perturbation.occlusion(image, BlackBox(lambda x: two(x[:, 0, 1, 2])), 1, patch=3, stride=2)
    assert torch.allclose(saliency, torch.tensor([1, 1, 1, 0.5, 0.5, 0]).expand(3, 6))


@pytest.mark.parametrize(("patch", "stride", "baseline"), [(4, 4, 0.0), (4, 2, 0.5), (2, 1, 1.0)])
def test_occlusion_equals_captum_where_squares_end_at_the_edge(patch, stride, baseline):
    image = torch.rand(3, 12, 8, generator=seeded(2))
    function = linear(torch.randn(3, 12, 8, generator=seeded(3)))
    expected = captum.attr.Occlusion(function).attribute(
        image[None], (3, patch, patch), strides=(3, stride, stride), baselines=baseline, target=1
    )
    saliency = perturbation.occlusion(image, BlackBox(function), 1, patch, stride, baseline)
    assert torch.allclose(saliency, expected[0, 0], atol=1e-5)


@pytest.mark.parametrize(("size", "patch"), [((28, 28), 5), ((56, 64), 10), ((3, 2), 1)])
def test_squares_grow_with_the_image_and_cover_all_of_it(size, patch):
    black_box = Counting(lambda images: two(images.mean(dim=(1, 2, 3))))
    perturbation.occlusion(torch.ones(1, *size), BlackBox(black_box), 1)
    covered = (torch.cat(black_box.seen) == 0).squeeze(1)
    assert sorted(set(covered.sum(dim=(1, 2)).tolist()) - {0}) == [patch**2]
    assert bool(covered.any(dim=0).all())


def test_a_square_larger_than_the_image_covers_all():
    saliency = perturbation.occlusion(X, BlackBox(one_pixel), 1, patch=99)
    assert torch.allclose(saliency, X[0, 5, 11].expand(20, 16))


@asking
@pytest.mark.parametrize("black_box", [one_pixel, one_pixel_labels], ids=["scores", "labels"])
def test_the_peak_is_near_the_pixel_that_the_black_box_looks_at(method, black_box):
    row, column = peak(method(X, BlackBox(black_box), 1))
    assert abs(row - 5) <= 3
    assert abs(column - 11) <= 3


def test_rise_is_what_equation_6_says():
    """One cell of one pixel, independent bits: E[f | pixel shown] = w + (sum of the others) / 2, less E[f]."""
    image = torch.ones(1, 2, 2)
    weight = torch.tensor([[0.4, 0.3], [0.2, 0.1]])
    saliency = perturbation.rise(image, BlackBox(linear(weight)), 1, n_masks=40000, cells=2)
    expected = weight + 0.5 * (weight.sum() - weight) - 0.5 * weight.sum()
    assert torch.allclose(saliency, expected, atol=0.01)


def test_rise_of_a_constant_black_box_is_neutral():
    saliency = perturbation.rise(X, BlackBox(lambda images: torch.tensor([[0.2, 0.8]]).repeat(len(images), 1)), 1)
    assert torch.allclose(saliency, torch.zeros(20, 16), atol=1e-6)


def test_rise_of_a_linear_black_box_follows_weight_times_pixel():
    weight = torch.zeros(1, 20, 16)
    weight[:, 2:8, 3:9], weight[:, 12:18, 8:14] = 0.02, -0.01
    saliency = perturbation.rise(X, BlackBox(linear(weight)), 1, n_masks=4000)
    expected = nn.functional.avg_pool2d(weight * X, 5, stride=1, padding=2)[0]
    assert float(torch.corrcoef(torch.stack([saliency.flatten(), expected.flatten()]))[0, 1]) > 0.8


def test_masks_of_rise_are_soft_differ_and_show_half():
    black_box = Counting(lambda images: two(images.mean(dim=(1, 2, 3))))
    perturbation.rise(torch.ones(1, 28, 28), BlackBox(black_box), 1, n_masks=500)
    masks = torch.cat(black_box.seen).squeeze(1)
    assert 0 <= float(masks.min()) < 0.01
    assert 0.99 < float(masks.max()) <= 1
    assert float(((masks > 0.01) & (masks < 0.99)).float().mean()) > 0.3
    assert float(masks.mean()) == pytest.approx(0.5, abs=0.02)
    assert len({tuple(m.flatten().tolist()) for m in masks}) == 500
    assert float((masks.mean(dim=0) - 0.5).abs().max()) < 0.12  # no pixel is shown more often than others


def test_the_seed_of_rise_changes_it_a_little():
    black_box = BlackBox(one_pixel)
    a, b = perturbation.rise(X, black_box, 1), perturbation.rise(X, black_box, 1, seed=1)
    assert not torch.equal(a, b)
    assert float((a - b).abs().max()) < 0.15


def test_a_learnt_mask_lies_where_the_black_box_looks():
    image = torch.zeros(1, 20, 16)
    image[:, 8:14, 4:10] = 1
    image[:, 1:5, 10:15] = 1  # the black box does not see this one
    saliency = perturbation.meaningful_perturbation(image, BlackBox(Patch()), 1)
    assert float(saliency[7:15, 3:11].sum()) > 0.9 * float(saliency.sum())
    assert float(saliency[8:14, 4:10].mean()) > 0.4
    assert 0 <= float(saliency.min()) <= float(saliency.max()) <= 1
    assert float(Patch()(image[None])[0, 1]) > 0.99
    assert float(Patch()((image * (1 - saliency))[None])[0, 1]) < 0.2


def test_blur_deletes_a_thin_line():
    class Line(nn.Module):
        def forward(self, images):
            return two(torch.sigmoid(20 * images[:, :, 10, 4:10].mean(dim=(1, 2)) - 16))

    image = torch.zeros(1, 20, 16)
    image[:, 10, 2:12] = image[:, 3, 2:12] = 1
    saliency = perturbation.meaningful_perturbation(image, BlackBox(Line()), 1, reference="blur")
    assert float(saliency[8:13].sum()) > 0.9 * float(saliency.sum())
    assert float(saliency[10, 4:10].mean()) > 0.3


def test_a_learnt_mask_deletes_less_where_area_costs_more(digits_models, digit_images):
    black_box = BlackBox(digits_models[1])
    target = int(black_box(digit_images[:1]).labels)
    cheap, dear = (
        perturbation.meaningful_perturbation(digit_images[0], black_box, target, n_steps=60, area=area)
        for area in (0.01, 1.0)
    )
    assert float(dear.mean()) < 0.7 * float(cheap.mean())


def test_logits_become_probabilities_and_probabilities_stay():
    class Logits(nn.Module):
        def forward(self, images):
            score = 20 * images[:, :, 8:14, 4:10].mean(dim=(1, 2, 3)) - 6
            return torch.stack([torch.zeros_like(score), score], dim=1)

    by_probability = perturbation.meaningful_perturbation(X, BlackBox(Patch()), 1)
    by_logits = perturbation.meaningful_perturbation(X, BlackBox(Logits()), 1)
    assert float(by_logits.max()) > 0.4
    assert torch.allclose(by_probability, by_logits, atol=1e-2)


@pytest.mark.slow
@methods
def test_maps_of_a_real_network_are_finite_vary_and_come_again(method, digits_models, digit_images):
    black_box = BlackBox(digits_models[1])
    target = int(black_box(digit_images[:1]).labels)
    before = torch.get_rng_state()
    saliency = method(digit_images[0], black_box, target)
    assert torch.equal(torch.get_rng_state(), before)
    assert saliency.shape == (28, 28)
    assert saliency.dtype == torch.float32
    assert bool(torch.isfinite(saliency).all())
    assert float(saliency.std()) > 0
    assert torch.equal(saliency, method(digit_images[0], black_box, target))


@asking
def test_the_pixels_it_marks_matter_more_than_the_others(method, digits_models, digit_images):
    """Black where the map is highest, a tenth of the pixels, against black where it is lowest."""
    black_box = BlackBox(digits_models[1])
    target = int(black_box(digit_images[:1]).labels)
    order = method(digit_images[0], black_box, target).flatten().argsort()
    copies = digit_images[0].flatten().repeat(2, 1)
    copies[0, order[-78:]], copies[1, order[:78]] = 0, 0
    high, low = black_box(copies.reshape(2, 1, 28, 28)).evidence(target).tolist()
    assert high < low - 0.3


@asking
def test_the_batch_size_bounds_memory_and_changes_nothing(method):
    maps = []
    for batch_size in (1, 7, 256):
        counting = Counting(one_pixel)
        maps.append(method(X, BlackBox(counting, batch_size), 1))
        assert max(counting.batches) <= batch_size
    assert torch.allclose(maps[0], maps[2], atol=1e-6)
    assert torch.allclose(maps[1], maps[2], atol=1e-6)


@methods
def test_the_network_is_left_as_it_was(method, digits_models, digit_images):
    classifier = digits_models[1]
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    modes = [m.training for m in classifier.modules()]
    classifier.train()
    try:
        method(digit_images[0], BlackBox(classifier), 0)
        assert all(m.training for m in classifier.modules())
    finally:
        classifier.eval()
    assert modes == [m.training for m in classifier.modules()]
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())
    assert all(p.grad is None for p in classifier.parameters())


@methods
def test_images_of_three_channels_give_one_map(method):
    image = torch.rand(3, 20, 16, generator=seeded(5))
    assert method(image, BlackBox(Patch()), 1).shape == (20, 16)


@asking
def test_a_forest_and_an_estimator_are_explained(method, digit_images):
    forest = BlackBox(load_classifier("digits-forest"))
    image = digit_images[0]
    saliency = method(image, forest, int(forest(image[None]).labels))
    assert float(saliency.std()) > 0
    rows = np.random.default_rng(0).random((60, 320)).astype(np.float32)
    tree = DecisionTreeClassifier(random_state=0, max_depth=1).fit(rows, (rows[:, 91] > 0.4).astype(int))
    bright = torch.full((1, 20, 16), 0.9)
    assert float(method(bright, BlackBox(tree), 1).std()) > 0


@pytest.mark.parametrize("black_box", [hard, load_classifier("digits-forest")], ids=["function", "forest"])
def test_a_learnt_mask_needs_gradients(black_box, digit_images):
    with pytest.raises(BlackBoxError, match="meaningful perturbation needs gradients") as caught:
        perturbation.meaningful_perturbation(digit_images[0], BlackBox(black_box), 0)
    assert says_what_to_do(caught.value)


@methods
@pytest.mark.parametrize("target", [-1, 2])
def test_an_unknown_class_is_an_error(method, target):
    with pytest.raises(ParameterError, match="from 0 to 1") as caught:
        method(X, BlackBox(Patch()), target)
    assert says_what_to_do(caught.value)


@methods
@pytest.mark.parametrize("image", [X[None], X[0], X * 2], ids=["4-D", "2-D", "range"])
def test_what_is_no_image_is_an_error(method, image):
    with pytest.raises(ImageError):
        method(image, BlackBox(Patch()), 0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("occlusion", {"patch": 0}),
        ("occlusion", {"stride": 0}),
        ("rise", {"n_masks": 0}),
        ("rise", {"cells": 0}),
        ("rise", {"share": 0.0}),
        ("rise", {"share": 1.0}),
        ("meaningful_perturbation", {"n_steps": 0}),
        ("meaningful_perturbation", {"cells": 0}),
        ("meaningful_perturbation", {"reference": "noise"}),
    ],
)
def test_an_option_out_of_range_is_an_error(name, options):
    with pytest.raises(ParameterError) as caught:
        METHODS[name](X, BlackBox(Patch()), 1, **options)
    assert says_what_to_do(caught.value)
