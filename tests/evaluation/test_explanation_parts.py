"""What is measured of one explanation, place by place."""

from types import SimpleNamespace

import pytest
import torch

from abele_py.evaluation.explanation_parts import _fidelity, _Place

OWN = SimpleNamespace(label=0, surrogate=SimpleNamespace(predict=lambda latents: (latents[:, 0] > 0).long()))


@pytest.mark.parametrize(
    ("labels", "weights", "agreement", "constant"),
    [
        ([0, 1, 1, 1], None, 1.0, 0.75),  # "always the image's label" would be right for a quarter
        ([1, 1, 1, 1], None, 0.75, 1.0),  # a place without the image's label
        ([0, 1, 1, 1], [6.0, 1.0, 1.0, 1.0], 1.0, 6 / 9),
        ([2, 2, 0, 1], None, 0.25, 0.5),  # neither of the labels that the surrogate knows
    ],
)
def test_beside_the_agreement_stands_the_better_constant_answer_of_the_same_points(
    labels, weights, agreement, constant
):
    latents = torch.tensor([[-1.0], [1.0], [1.0], [1.0]])
    weights = None if weights is None else torch.tensor(weights)
    metrics = _fidelity(OWN, _Place("here", latents, torch.tensor(labels), weights)).metrics
    assert metrics["agreement"] == pytest.approx(agreement)
    assert metrics["constant"] == pytest.approx(constant)
