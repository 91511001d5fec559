"""Logistic regression: the minimum that scikit-learn finds, and one to which no class is bound."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from abele_py.surrogate.logistic import fit_logistic


def clouds(n_classes, n=300, k=4, spread=1.0):
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)])
    points = rng.normal(size=(n_classes, k))[labels] + spread * rng.normal(size=(n, k))
    return points, labels, rng.uniform(0.1, 2, size=n)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_the_minimum_is_scikit_learn_s(n_classes):
    points, labels, weights = clouds(n_classes)
    slopes, offsets = fit_logistic(points, labels, weights, c=10.0, tolerance=1e-9)
    model = LogisticRegression(C=10.0, solver="newton-cg", tol=1e-9, max_iter=1000).fit(points, labels, weights)
    coef, intercept = model.coef_, model.intercept_
    if n_classes == 2:
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    np.testing.assert_allclose(slopes, coef - coef.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(offsets, intercept - intercept.mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_by_default_it_ends_so_near_to_the_minimum_that_the_way_does_not_matter(n_classes):
    points, labels, weights = clouds(n_classes)
    slopes, _ = fit_logistic(points, labels, weights, c=100.0)
    exact, _ = fit_logistic(points, labels, weights, c=100.0, tolerance=1e-10)
    np.testing.assert_allclose(slopes, exact, rtol=0, atol=1e-3 * np.abs(exact).max())


def test_classes_that_a_plane_parts_have_finite_slopes_that_part_them():
    points, labels, weights = clouds(3, spread=0.01)
    slopes, offsets = fit_logistic(points, labels, weights, c=100.0)
    assert np.isfinite(slopes).all()
    assert ((points @ slopes.T + offsets).argmax(axis=1) == labels).all()


def test_points_that_are_all_one_tell_how_frequent_the_classes_are():
    slopes, offsets = fit_logistic(np.zeros((10, 2)), np.arange(10) % 3, np.ones(10), c=1.0, tolerance=1e-9)
    assert np.abs(slopes).max() == 0
    np.testing.assert_allclose(np.exp(offsets) / np.exp(offsets).sum(), [0.4, 0.3, 0.3], rtol=1e-6)
