"""Rows: what a program that reads them may rely on."""

import re

import pyarrow as pa
import pytest
import torch
from support.paths import ROOT

from abele_py import Abele
from abele_py.distributed.images import Listed
from abele_py.distributed.rows import GRID, SCHEMA, cells_of, row_of, rule_of_row
from abele_py.errors import NeighborhoodError
from abele_py.provenance import hash_of_array


@pytest.fixture(scope="module")
def explained(digits_models, digit_images):
    autoencoder, classifier = digits_models
    return Abele(classifier, autoencoder, n_samples=300).explain(digit_images[7])


def listed(e):
    return Listed(3, "a.png", e.image, 7)


def test_every_column_is_documented_in_its_order():
    page = (ROOT / "docs" / "data-set-runs.md").read_text(encoding="utf-8")
    table = page.partition("| column | meaning |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \| \S", table, flags=re.MULTILINE) == SCHEMA.names


@pytest.mark.parametrize("keep", ["summary", "figures", "full"])
def test_a_row_is_what_the_schema_says(explained, keep):
    row = row_of(listed(explained), explained, keep)
    assert set(row) <= set(SCHEMA.names)
    (again,) = pa.Table.from_pylist([row], SCHEMA).to_pylist()
    empty = {name for name in SCHEMA.names if again[name] is None} - {"error", "reason"}
    if explained.exemplar_typicality is None:  # of an autoencoder without a mixture of its codes
        empty.remove("exemplar_typicality")
    pictures = {"image", "reconstruction", "map_picture", "exemplar_images", "counter_exemplar_images"}
    assert empty == (pictures if keep == "summary" else set())
    assert (again["index"], again["name"], again["true_label"]) == (3, "a.png", 7)
    assert again["image_sha256"].hex() == hash_of_array(explained.image)
    assert again["latent"] == explained.latent.tolist()
    assert again["verdicts"]["explanation"] == explained.verdicts[0].grade


def test_the_rule_comes_back_from_its_row(explained):
    (row,) = pa.Table.from_pylist([row_of(listed(explained), explained, "full")], SCHEMA).to_pylist()
    points = torch.randn(2000, len(explained.latent), generator=torch.Generator().manual_seed(0))
    rule = rule_of_row(row)
    assert torch.equal(rule.covers(points), explained.rule.covers(points))
    assert rule.covers(explained.latent[None]).all()
    assert rule.label == explained.label


def test_a_rule_without_directions_is_none(explained):
    row = row_of(listed(explained), explained, "full")
    row["conditions"] = [condition | {"direction": None} for condition in row["conditions"]]
    with pytest.raises(ValueError, match="without the directions"):
        rule_of_row(row)


def test_a_failed_image_says_why(explained):
    row = row_of(listed(explained), NeighborhoodError("got nothing"), "full")
    assert (row["error"], row["reason"], row["name"]) == ("NeighborhoodError", "got nothing", "a.png")
    assert "label" not in row


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (5, 30), (1, 2)])
def test_cells_keep_the_mean_of_a_map(shape):
    values = torch.full(shape, -0.5)
    assert cells_of(values) == [-64] * GRID**2  # of 127, rounded to the even one
    values = torch.zeros(16, 16)
    values[:2, :2] = 1
    assert cells_of(values) == [127] + [0] * (GRID**2 - 1)
