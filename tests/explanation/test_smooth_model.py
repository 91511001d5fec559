"""Smooth weights are those of a Gaussian process, whose noise is the most likely one."""

import pytest
import torch
from support.worlds import seeded

from abele_py.explanation.saliency import _areas, _smooth_model


def dense_process(changes: torch.Tensor, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Changes without their mean (M, H W), and the kernel of the weights (H W, H W), by the definitions."""
    places = torch.cartesian_prod(*(torch.arange(side).double() for side in changes.shape[1:]))
    kernel = torch.exp(-0.5 * (torch.cdist(places, places) / (width * min(changes.shape[1:]))) ** 2)
    return (changes - changes.mean(dim=0)).flatten(1), kernel


def test_smooth_weights_are_those_of_a_dense_gaussian_process():
    changes, answers = torch.rand(12, 4, 5, generator=seeded(1)).double(), torch.rand(12, generator=seeded(2)).double()
    centred, kernel = dense_process(changes, 0.3)
    found = _smooth_model(changes, answers, 0.3)
    covariance = centred @ kernel @ centred.T + found.noise * torch.eye(12).double()
    expected = kernel @ centred.T @ torch.linalg.inv(covariance) @ (answers - answers.mean())
    torch.testing.assert_close(found.weights.flatten(), expected)


def test_the_noise_is_the_one_under_which_answers_are_most_likely():
    changes = torch.rand(200, 4, 5, generator=seeded(1)).double()
    centred, kernel = dense_process(changes, 0.3)
    root = torch.linalg.qr(torch.cat([torch.ones(200, 1), torch.randn(200, 199, generator=seeded(9))], dim=1)).Q[:, 1:]
    true = (
        centred @ torch.linalg.cholesky(kernel + 1e-9 * torch.eye(20)) @ torch.randn(20, generator=seeded(2)).double()
    )
    noises = []
    for spread in (0.3, 1.0, 3.0):
        answers = true + spread * true.std() * torch.randn(200, generator=seeded(3)).double()
        covariance, seen = root.T.double() @ (centred @ kernel @ centred.T) @ root.double(), root.T.double() @ answers

        def unlikely(noise, covariance=covariance, seen=seen):
            whole = covariance + noise * torch.eye(199)
            return 199 * (seen @ torch.linalg.solve(whole, seen)).log() + torch.linalg.slogdet(whole).logabsdet

        found = _smooth_model(changes, answers, 0.3).noise
        assert unlikely(found) <= min(unlikely(found * factor) for factor in (0.4, 0.63, 1.6, 2.5))
        noises.append(found)
    assert noises == sorted(noises)
    assert len(set(noises)) == 3


def test_where_nothing_changes_weights_are_0():
    found = _smooth_model(torch.zeros(9, 4, 5), torch.full((9,), 0.25).double(), 0.3)
    assert torch.equal(found.weights, torch.zeros(4, 5).double())
    assert torch.equal(found.missed, torch.zeros(9).double())


@pytest.mark.parametrize("size", [(28, 28), (40, 12)])
def test_few_features_in_float32_give_about_the_weights_of_the_whole_process(size):
    areas = _areas(120, *size, seeded(1))
    changes, answers = areas * torch.rand(size, generator=seeded(2)), torch.rand(120, generator=seeded(3)).double()
    reach = 0.11 * min(size)
    down, across = (
        torch.exp(-0.5 * ((torch.arange(side)[:, None] - torch.arange(side)) / reach).double() ** 2) for side in size
    )
    centred = changes.double() - changes.double().mean(dim=0)
    smooth = (down @ centred @ across).flatten(1)
    covariance = smooth @ centred.flatten(1).T
    model = _smooth_model(changes, answers, 0.11)
    share = torch.linalg.solve(covariance + model.noise * torch.eye(120), answers - answers.mean())
    expected, found = smooth.T @ share, model.weights.flatten()
    assert float((found - expected).abs().max() / expected.abs().max()) < 0.01


def test_what_is_missed_is_what_a_fit_without_the_answer_misses():
    changes, answers = torch.rand(12, 4, 5, generator=seeded(1)).double(), torch.rand(12, generator=seeded(2)).double()
    (centred, kernel), given = dense_process(changes, 0.3), answers - answers.mean()
    model = _smooth_model(changes, answers, 0.3)
    covariance = centred @ kernel @ centred.T
    noisy = covariance + model.noise * torch.eye(12)
    for i in range(12):
        others = torch.arange(12) != i
        predicted = covariance[i, others] @ torch.linalg.solve(noisy[others][:, others], given[others])
        torch.testing.assert_close(model.missed[i], given[i] - predicted)
