"""The mixture of the codes: densities as scikit-learn computes them, samples, typicality, the choice of its size."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from support.worlds import seeded

from abele_py.errors import ParameterError
from abele_py.models.mixture import N_CODES, REGULARISATION, TOLERANCE, Mixture, fit_mixture


def two_clouds(n, seed=0, k=3):
    """A quarter of the points around -2, stretched along the first axis; the others around 1."""
    generator = seeded(seed)
    points = 0.5 * torch.randn(n, k, generator=generator)
    first = torch.rand(n, generator=generator) < 0.25
    points[first] *= torch.tensor([3.0] + [1.0] * (k - 1))
    return points + torch.where(first, -2.0, 1.0)[:, None]


@pytest.fixture(scope="module")
def mixture():
    return fit_mixture(two_clouds(2000), two_clouds(1000, 1))


def test_a_single_normal_distribution_has_its_known_density():
    factor = torch.tensor([[[2.0, 0.0], [1.0, 0.5]]], dtype=torch.float64)
    mean = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    one = Mixture(torch.ones(1, dtype=torch.float64), mean, factor, torch.zeros(2))
    points = torch.randn(20, 2, generator=seeded())
    expected = multivariate_normal(mean[0].numpy(), (factor[0] @ factor[0].T).numpy()).logpdf(points.double().numpy())
    np.testing.assert_allclose(one.log_density(points).numpy(), expected, atol=1e-12)
    assert float(one.log_density(mean.float())) == pytest.approx(-math.log(2 * math.pi) - math.log(2.0 * 0.5))


@pytest.mark.parametrize(("k", "m"), [(1, 1), (2, 5), (16, 10)])
def test_densities_are_those_of_scikit_learn(k, m):
    codes = two_clouds(500, k=k)
    fitted = fit_mixture(codes, codes, components=(m,))
    expected = GaussianMixture(m, reg_covar=REGULARISATION, tol=TOLERANCE, random_state=0)
    expected.fit(codes[torch.randperm(500, generator=seeded())].double().numpy())
    points = 2 * torch.randn(300, k, generator=seeded(2))
    scores = expected.score_samples(points.double().numpy())
    np.testing.assert_allclose(fitted.log_density(points).numpy(), scores, atol=1e-8)


def test_a_point_far_away_has_a_finite_density_and_no_typicality(mixture):
    far = torch.full((1, 3), 1e4)
    assert bool(mixture.log_density(far).isfinite())
    assert mixture.typicality(far).tolist() == [0]


@pytest.mark.parametrize("k", [3, 16])
def test_the_batch_changes_nothing_for_a_row(k):
    codes = two_clouds(1000, k=k)
    fitted = fit_mixture(codes, codes, components=(7,))
    for function in (fitted.log_density, fitted.typicality):
        whole = function(codes)
        for n in (1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 129, 256, 999):
            assert torch.equal(function(codes[:n]), whole[:n])
            assert torch.equal(function(codes[-n:]), whole[-n:])


def test_no_points_have_no_density(mixture):
    none = torch.zeros(0, 3)
    assert mixture.log_density(none).shape == mixture.typicality(none).shape == (0,)
    assert mixture.sample(0, seeded()).shape == (0, 3)


def test_it_finds_what_it_was_given():
    found = fit_mixture(two_clouds(8000), two_clouds(1000, 1), components=(2,))
    order = found.means[:, 0].argsort()
    torch.testing.assert_close(found.weights[order], torch.tensor([0.25, 0.75]).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(found.means[order], torch.tensor([[-2.0] * 3, [1.0] * 3]).double(), atol=0.1, rtol=0)
    spread = found.factors[order].diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(spread, torch.tensor([[1.5, 0.5, 0.5], [0.5] * 3]).double(), atol=0.07, rtol=0)


def test_samples_have_the_mean_and_the_covariance_of_the_mixture(mixture):
    samples = mixture.sample(50_000, seeded()).double()
    mean = (mixture.weights[:, None] * mixture.means).sum(dim=0)
    within = (mixture.weights[:, None, None] * (mixture.factors @ mixture.factors.mT)).sum(dim=0)
    apart = mixture.means - mean
    torch.testing.assert_close(samples.mean(dim=0), mean, atol=0.03, rtol=0)
    covariance = within + (mixture.weights[:, None] * apart).T @ apart
    torch.testing.assert_close(samples.T.cov(), covariance, atol=0.06, rtol=0)


def test_samples_lie_on_the_right_side_of_skewed_axes():
    """A factor taken the wrong way round has the same variances where it is symmetric: here it is not."""
    factor = torch.tensor([[[1.0, 0.0], [2.0, 0.1]]], dtype=torch.float64)
    one = Mixture(torch.ones(1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64), factor, torch.zeros(2))
    covariance = one.sample(20_000, seeded()).double().T.cov()
    torch.testing.assert_close(covariance, torch.tensor([[1.0, 2.0], [2.0, 4.01]]).double(), atol=0.1, rtol=0)


def test_samples_follow_their_generator_and_nothing_else(mixture):
    before = torch.get_rng_state()
    first = mixture.sample(50, seeded(3))
    assert first.dtype == torch.float32
    assert torch.equal(first, mixture.sample(50, seeded(3)))
    assert not torch.equal(first, mixture.sample(50, seeded(4)))
    assert torch.equal(before, torch.get_rng_state())


def test_typicality_is_uniform_on_the_validation_codes(mixture):
    typicality = mixture.typicality(two_clouds(1000, 1)).sort().values
    expected = torch.arange(1000) / 999
    assert float((typicality - expected).abs().max()) < 0.011  # the quantiles are a hundredth apart
    assert (float(typicality[0]), float(typicality[-1])) == (0, 1)


def test_typicality_is_the_share_of_validation_codes_that_are_no_more_likely(mixture):
    points = 2 * torch.randn(300, 3, generator=seeded(2))
    validation = mixture.log_density(two_clouds(1000, 1))
    expected = (validation[None] <= mixture.log_density(points)[:, None]).double().mean(dim=1)
    torch.testing.assert_close(mixture.typicality(points).double(), expected, atol=0.011, rtol=0)


def test_typicality_where_validation_codes_are_equally_likely():
    at = {"weights": torch.ones(1), "means": torch.zeros(1, 1), "factors": torch.ones(1, 1, 1)}
    points = torch.tensor([[0.0], [1.0], [3.0]])
    density = Mixture(**at, quantiles=torch.zeros(2)).log_density(points)
    high, low = float(density[0]), float(density[1])
    assert Mixture(**at, quantiles=torch.tensor([high] * 5).double()).typicality(points).tolist() == [1, 0, 0]
    steps = torch.tensor([low, low, low, high, high]).double()
    assert Mixture(**at, quantiles=steps).typicality(points).tolist() == [1, 0.5, 0]


def test_the_size_is_the_one_under_which_validation_codes_are_likeliest():
    train, val = two_clouds(1000), two_clouds(1000, 1)
    assert len(fit_mixture(train, val, components=(1, 2, 40)).weights) == 2
    normal = torch.randn(1000, 3, generator=seeded())
    assert len(fit_mixture(normal, torch.randn(1000, 3, generator=seeded(1)), components=(1, 20)).weights) == 1


@pytest.mark.parametrize("n", [2, 3, 20])
def test_few_codes_of_many_coordinates_give_one_regularised_component(n):
    few = torch.randn(n, 16, generator=seeded())
    found = fit_mixture(few, few)
    assert len(found.weights) == 1
    assert bool(found.log_density(few).isfinite().all())


def test_equal_codes_are_no_special_case():
    same = torch.ones(50, 2)
    assert float(fit_mixture(same, same).typicality(same[:1])) == 1


def test_the_same_codes_and_seed_give_the_same_mixture_and_no_global_random_state_is_touched():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again = (fit_mixture(two_clouds(500), two_clouds(100, 1)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(again).values(), strict=True))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_of_many_codes_a_random_sample_is_used():
    """The first codes alone would say nothing of the second half."""
    codes = torch.cat([torch.full((N_CODES, 1), -1.0), torch.full((N_CODES, 1), 1.0)])
    assert abs(float(fit_mixture(codes, codes, components=(1,)).means)) < 0.1


NAN = torch.full((9, 2), math.nan)


@pytest.mark.parametrize(
    ("train", "val", "components"),
    [
        (torch.rand(9), torch.rand(9), (1,)),
        (torch.rand(1, 2), torch.rand(9, 2), (1,)),
        (torch.rand(9, 2), torch.rand(1, 2), (1,)),
        (torch.rand(9, 2), torch.rand(9, 3), (1,)),
        (torch.rand(9, 0), torch.rand(9, 0), (1,)),
        (NAN, torch.rand(9, 2), (1,)),
        (torch.rand(9, 2), NAN, (1,)),
        (torch.rand(9, 2), torch.rand(9, 2), ()),
        (torch.rand(9, 2), torch.rand(9, 2), (0, 1)),
        (torch.rand(9, 2), torch.rand(9, 2), (50,)),
    ],
)
def test_what_no_mixture_can_be_fitted_to_is_refused(train, val, components):
    with pytest.raises(ParameterError, match=r"got .*; expected"):
        fit_mixture(train, val, components=components)
