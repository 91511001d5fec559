"""What is measured of one explanation, place by place."""

import json
from types import SimpleNamespace

import pytest
import torch

from abele_py.evaluation.explanation_parts import _fidelity, _Place
from abele_py.evaluation.run import SCHEMA
from abele_py.evaluation.summary import summarise

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


def test_a_run_of_before_is_not_said_to_hold_the_better_constant_answer(tmp_path):
    """Runs of schema 1 stored the share of the image's label under this name."""
    place = {"of": "surrogate", "at": "here", "figures": {"agreement": 0.605, "constant": 0.0}}
    tree = {"of": "surrogate", "at": None, "figures": {"reported_constant": 0.0, "nowhere_below_constant": 1.0}}
    line = json.dumps({"image": 3, "rows": [place, tree]})
    (tmp_path / "surrogate.jsonl").write_text(f"{line}\n")
    read = {}
    for schema in (1, SCHEMA):
        (tmp_path / "run.json").write_text(json.dumps({"schema": schema, "left_out": {}}))
        read[schema] = {row["figure"] for row in summarise(tmp_path)["rows"]}
    assert not {"constant", "reported_constant", "nowhere_below_constant"} & read[1]
    assert {"always_image_label", "agreement"} < read[1]
    assert {"constant", "reported_constant", "nowhere_below_constant", "agreement"} < read[SCHEMA]
