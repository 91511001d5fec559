"""Figures of an autoencoder: known by hand, equal to scipy's and to the slow definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, stats
from support.worlds import seeded
from torch import nn

from abele_py.errors import ParameterError
from abele_py.metrics import autoencoder as metrics
from abele_py.metrics.autoencoder import (
    balanced_mean,
    discriminator_balance,
    discriminator_mean,
    features,
    fid,
    frechet_distance,
    ks_max,
    ks_mean,
    ks_per_axis,
    label_preservation,
    mardia_kurtosis,
    mardia_skewness,
    mmd,
    rmse,
    valid_share,
)
from abele_py.metrics.base import metric_of

NORMAL = torch.randn(4000, 3, generator=seeded(0))
IMAGES = torch.rand(30, 1, 6, 6, generator=seeded(1))


class Small(nn.Module):
    """A classifier of 36 pixels with 4 features, a batch normalisation and dropout, which modes change."""

    def __init__(self):
        super().__init__()
        first, last = nn.Linear(36, 4), nn.Linear(4, 3)
        for layer, seed in ((first, 2), (last, 3)):
            layer.weight.data = torch.randn(layer.weight.shape, generator=seeded(seed))
        self.body = nn.Sequential(nn.Flatten(), first, nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.5))
        self.last = last

    def forward(self, images):
        return self.last(self.body(images)).softmax(dim=1)


@pytest.fixture
def small():
    with torch.random.fork_rng(devices=[]):
        return Small()


# Reconstruction and labels


def test_rmse_is_on_the_scale_of_bytes():
    assert rmse(IMAGES, IMAGES) == 0
    assert rmse(torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)) == 255
    half = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(1, 1, 2, 2)
    assert rmse(torch.zeros(1, 1, 2, 2), half) == pytest.approx(255 / math.sqrt(2))


def test_a_balanced_mean_counts_labels_alike_and_says_how_exact_it_is():
    labels, kept = torch.tensor([0] * 100 + [1] * 25), torch.tensor([1.0] * 80 + [0.0] * 20 + [1.0] * 25)
    assert balanced_mean(kept, labels) == pytest.approx((0.9, (0.8 * 0.2 / 100) ** 0.5 / 2))
    assert balanced_mean(torch.ones(125), labels) == (1, 0)


def test_label_preservation_is_a_share():
    assert label_preservation(torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 2, 0])) == 0.75


@pytest.mark.parametrize("function", [rmse, label_preservation])
def test_what_does_not_belong_together_is_refused(function):
    with pytest.raises(ParameterError, match="expected"):
        function(torch.zeros(4, 1), torch.zeros(4, 4))  # torch alone would stretch the first one


# The discriminator


def test_discriminator_in_balance_and_out_of_it():
    half = torch.full((5,), 0.5)
    assert discriminator_mean(half) == 0.5
    assert discriminator_balance(half, torch.full((7,), 0.5)) == 0
    assert discriminator_balance(torch.zeros(5), torch.ones(7)) == 1
    assert discriminator_balance(torch.ones(5), torch.zeros(7)) == 1


def test_valid_share_counts_the_threshold_itself():
    assert valid_share(torch.tensor([0.25, 0.5, 0.75, 1.0]), 0.5) == 0.75


# Codes against the prior


def test_kurtosis_and_skewness_equal_their_definitions():
    latents = torch.randn(60, 3, generator=seeded(4)).exp()
    centred = (latents - latents.mean(dim=0)).double().numpy()
    distances = centred @ np.linalg.inv(centred.T @ centred / 60) @ centred.T
    assert mardia_kurtosis(latents) == pytest.approx((np.diag(distances) ** 2).mean() / 15, rel=1e-6)
    assert mardia_skewness(latents) == pytest.approx((distances**3).mean(), rel=1e-6)


def test_kurtosis_and_skewness_on_one_axis_equal_scipy():
    latents = torch.rand(500, 1, generator=seeded(5)) ** 2
    values = latents.double().numpy()[:, 0]
    assert mardia_kurtosis(latents) == pytest.approx(stats.kurtosis(values, fisher=False) / 3)
    assert mardia_skewness(latents) == pytest.approx(stats.skew(values) ** 2)


def test_normal_codes_look_normal_whatever_their_scale():
    mixed = NORMAL @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 9]]) + 5
    for latents in (NORMAL, mixed):
        assert mardia_kurtosis(latents) == pytest.approx(1, abs=0.03)
        assert mardia_skewness(latents) == pytest.approx(60 / 4000, abs=0.03)
    assert mardia_kurtosis(mixed) == pytest.approx(mardia_kurtosis(NORMAL), rel=1e-3)
    assert mardia_kurtosis(torch.rand(4000, 3, generator=seeded())) < 0.9  # no tails
    assert mardia_kurtosis(NORMAL**3) > 2  # heavy ones


def test_a_coordinate_that_does_not_vary_does_no_harm():
    flat = torch.cat([NORMAL, torch.full((4000, 1), 0.7)], dim=1)
    assert mardia_kurtosis(flat) == pytest.approx(mardia_kurtosis(NORMAL) * 15 / 24, rel=1e-4)
    assert mardia_skewness(flat) == pytest.approx(mardia_skewness(NORMAL), rel=1e-4)
    assert mardia_kurtosis(torch.zeros(10, 2)) == 0


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40))
def test_kolmogorov_smirnov_equals_scipy(values):
    (statistic,) = ks_per_axis(torch.tensor(values)[:, None]).tolist()
    assert statistic == pytest.approx(stats.kstest(values, "norm").statistic, abs=1e-12)


def test_kolmogorov_smirnov_finds_the_axis_that_is_off():
    latents = NORMAL + torch.tensor([0.0, 1.0, 0.0])
    axes = ks_per_axis(latents)
    assert axes.shape == (3,)
    assert int(axes.argmax()) == 1
    assert ks_max(latents) == axes[1] == pytest.approx(2 * stats.norm.cdf(0.5) - 1, abs=0.03)
    assert ks_mean(latents) == pytest.approx(axes.mean())
    assert ks_max(NORMAL) < 0.03


# Maximum mean discrepancy


def slow_mmd(x, y, width):
    """Equation 3 of Gretton et al. 2012 as it stands there."""

    def k(a, b):
        return math.exp(-float((a.double() - b.double()).square().sum()) / (2 * width**2))

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize("block", [1, 4, 1000])
def test_mmd_equals_its_definition_whatever_the_block(block):
    x, y = NORMAL[:9], NORMAL[9:20] + 0.5
    assert mmd(x, y, bandwidth=0.8, block=block) == pytest.approx(slow_mmd(x, y, 0.8), abs=1e-12)


def test_mmd_takes_the_median_distance():
    x, y = NORMAL[:20], NORMAL[20:40] + 0.5
    median = float(torch.pdist(torch.cat([x, y]).double()).median())
    assert mmd(x, y) == mmd(x, y, bandwidth=median)


def test_mmd_is_small_for_one_distribution_and_grows_with_the_shift():
    x, y = NORMAL[:1500], NORMAL[1500:3000]
    assert abs(mmd(x, y)) < 2e-3
    shifts = [mmd(x, y + shift) for shift in (0.2, 0.5, 1.0)]
    assert 5e-3 < shifts[0] < shifts[1] < shifts[2]


def test_mmd_is_unbiased():
    """Its mean over many small samples is 0; the biased estimator's would be above 0.1 here."""
    values = [mmd(a, b, bandwidth=1.0) for a, b in zip(NORMAL[:2000].split(10), NORMAL[2000:].split(10), strict=True)]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / len(values) ** 0.5)
    assert min(values) < 0


def test_mmd_of_points_that_are_all_the_same():
    same = torch.ones(5, 2)
    assert mmd(same, same) == 0
    assert mmd(same, same + 100, bandwidth=1.0) == pytest.approx(2)


@pytest.mark.parametrize(
    ("x", "y", "bandwidth"),
    [(NORMAL[:1], NORMAL[:9], None), (NORMAL[:9], NORMAL[:9, :2], None), (NORMAL[:9], NORMAL[:9], 0.0)],
)
def test_mmd_refuses_what_has_no_answer(x, y, bandwidth):
    with pytest.raises(ParameterError, match="expected"):
        mmd(x, y, bandwidth)


# Frechet distance


def by_hand(a, b):
    a, b = a.double().numpy(), b.double().numpy()
    covariances = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    return ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def test_frechet_distance_equals_the_formula():
    a, b = NORMAL[:200], NORMAL[200:500] @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 3]]) + 1
    assert frechet_distance(a, b) == pytest.approx(by_hand(a, b), rel=1e-8)


def test_frechet_distance_known_by_hand():
    assert frechet_distance(NORMAL, NORMAL) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(NORMAL, NORMAL + 2) == pytest.approx(12, rel=1e-4)  # means apart by 2 on each of 3 axes
    spread = NORMAL.double().var(dim=0).sum()
    assert frechet_distance(NORMAL, 3 * (NORMAL - NORMAL.mean(dim=0)) + NORMAL.mean(dim=0)) == pytest.approx(
        float(spread * (3 - 1) ** 2), rel=1e-4
    )


def test_features_are_what_the_last_linear_layer_is_given(small):
    expected = small.eval().body(IMAGES).detach()
    assert torch.allclose(features(small, IMAGES), expected.double(), atol=1e-6)
    assert torch.allclose(features(small, IMAGES, batch_size=7), expected.double(), atol=1e-6)


def test_features_of_the_shipped_classifier(digits_models, digit_images):
    classifier = digits_models[1]
    expected = classifier.head[:-1](classifier.features(digit_images[:20]))
    found = features(classifier, digit_images[:20])
    assert found.shape == (20, 64)
    assert torch.allclose(found, expected.double(), atol=1e-5)


def test_fid_is_the_distance_of_the_features(small):
    other = IMAGES.flip(0) * 0.5
    expected = by_hand(features(small, IMAGES), features(small, other))
    assert fid(IMAGES, other, small) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert fid(IMAGES, other, small) == fid(IMAGES, other, small)


def test_reconstructions_are_nearer_than_samples(digits_models, digit_images):
    autoencoder, classifier = digits_models
    with torch.no_grad():
        codes = autoencoder.encode(digit_images)
        again, drawn = autoencoder.decode(codes), autoencoder.decode(torch.randn(codes.shape, generator=seeded()))
    noise = torch.rand(digit_images.shape, generator=seeded())
    distances = [fid(digit_images, images, classifier) for images in (digit_images, again, drawn, noise)]
    assert distances == sorted(distances)
    assert distances[0] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("fails", [False, True])
def test_the_classifier_is_left_as_it_was_found(small, fails):
    small.train()
    small.body[4].eval()
    modes = [m.training for m in small.modules()]
    state = {name: value.clone() for name, value in small.state_dict().items()}
    random = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError):
            features(small, torch.rand(3, 1, 5, 5, generator=seeded()))
    else:
        fid(IMAGES, IMAGES.flip(3), small)
    assert torch.equal(random, torch.get_rng_state())
    assert modes == [m.training for m in small.modules()]
    assert all(torch.equal(value, state[name]) for name, value in small.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in small.parameters())
    assert not any(m._forward_hooks for m in small.modules())


def test_a_network_without_features_is_refused():
    with pytest.raises(ParameterError, match=r"nn\.Linear"):
        features(nn.Flatten(), IMAGES)


def test_too_few_images_are_refused(small):
    with pytest.raises(ParameterError, match="at least two"):
        fid(IMAGES[:1], IMAGES, small)


@pytest.mark.parametrize(
    ("a", "b"), [(NORMAL, NORMAL[:, :2]), (NORMAL, NORMAL[:, 0]), (NORMAL[:, 0], NORMAL[:, 0]), (NORMAL, NORMAL[:1])]
)
def test_features_of_another_kind_are_refused(a, b):
    with pytest.raises(ParameterError, match="expected"):
        frechet_distance(a, b)


def test_balanced_label_preservation_counts_each_label_alike():
    labels, again = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 2])
    assert metrics.label_preservation_balanced(labels, again) == pytest.approx((2 / 3 + 0) / 2)
    assert metrics.label_preservation(labels, again) == 0.5
    with pytest.raises(ParameterError, match="labels_again"):
        metrics.label_preservation_balanced(labels, again[:3])


def test_every_metric_says_what_it_is():
    functions = [f for f in vars(metrics).values() if hasattr(f, "metric")]
    assert len(functions) == 12
    for function in functions:
        declared = metric_of(function)
        assert declared.low < declared.high
        assert declared.source
    assert len({metric_of(function).title for function in functions}) == len(functions)
