"""Model cards: fresh beside every shipped checkpoint, complete for every kind, and none of them trusted as data."""

import re
from dataclasses import replace

import pytest
from support.manifests import classifier, manifest
from support.paths import ROOT

from abele_py.datasets.catalog import DATASETS
from abele_py.metrics.registry import METRICS
from abele_py.models.checkpoints import find_checkpoint, list_checkpoints, load_autoencoder, load_classifier
from abele_py.models.verdict import verdict
from abele_py.training.model_card import PICTURES, card
from benchmarks.models_table import table, with_reached, with_table

SHIPPED = list_checkpoints()
SECTIONS = (
    "What it is for", "How to load it", "What it reaches", "Data", "Network", "Training", "Limits",
)  # fmt: skip


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_a_shipped_card_is_fresh(found):
    folder = find_checkpoint(found.name)
    assert folder.parent == ROOT / "checkpoints"
    text = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert text == card(found), "run: python benchmarks/model_cards.py"


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_a_shipped_card_says_what_matters(found):
    text = card(found)
    for word in (*SECTIONS, found.licence, DATASETS[found.data_set].source, "not meant", found.hardware, "clinical"):
        assert word.lower() in text.lower()
    for sentence in verdict(found):
        assert f"- {sentence}" in text
    for name in found.metrics:
        assert METRICS[name].title in text
    assert sum(found.test_counts) == DATASETS[found.data_set].sizes["test"]
    linked = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert linked == (list(PICTURES) if found.kind == "autoencoder" else [])
    assert all((find_checkpoint(found.name) / name).is_file() for name in linked)
    assert ("## Pictures" in text) == bool(linked)


@pytest.mark.parametrize("name", ["digits", "digits-cnn"])
def test_the_code_of_a_card_runs(name):
    found = next(m for m in SHIPPED if m.name == name)
    (code,) = re.findall(r"```python\n(.*?)```", card(found), flags=re.DOTALL)
    names = {}
    exec(compile(code, "MODEL_CARD.md", "exec"), names)
    same = (load_autoencoder if found.kind == "autoencoder" else load_classifier)(name)
    assert names["network"].config == same.config


def test_numbers_by_hand():
    """8 x 8 images, a hidden layer of 16, a code of 5, a discriminator of one layer of 4."""
    parts = {"encoder": 64 * 16 + 16 + 16 * 5 + 5, "decoder": 5 * 16 + 16 + 16 * 64 + 64, "d": 5 * 4 + 4 + 4 + 1}
    good = manifest()
    text = card(replace(good, config=good.config | {"discriminator_hidden": [4]}))
    assert f"{sum(parts.values()):,} parameters" in text
    assert "5 coordinates" in text
    assert "| Label preservation | 0.9800 |" in text
    assert "cat: 4000, dog: 6000" in text
    assert "1.5 min" in text


def test_a_card_of_own_images_and_of_an_older_manifest():
    own = manifest(data_set="My shells", licence="the user's own", test_counts=[])
    text = card(own)
    assert text.startswith("# mine: autoencoder for My shells\n")
    assert "the user's own" in text
    assert "test images:" not in text
    assert "Measured on the test split" in text


def test_a_card_of_an_autoencoder_says_that_it_holds_codes_of_images():
    """Of a sample of them, also of confidential ones: whoever passes the checkpoint on passes them on."""
    limits = card(manifest()).partition("## Limits")[2]
    assert "codes of 9 training images (`reference_latents`), which `decode` turns into approximations" in limits
    assert "reference_latents" not in card(classifier([400, 600], accuracy=0.9))


def test_a_mixture_is_named_where_there_is_one():
    good = manifest()
    assert "mixture" not in card(good)
    assert "20 components" in card(replace(good, config=good.config | {"n_components": 20}))


def test_a_card_of_two_classes_explains_the_area():
    text = card(classifier([400, 600], accuracy=0.9, auc=0.75))
    assert "| AUC | 0.7500 |" in text
    assert "calibrated" in text


def test_checkpoints_are_small_together():
    sizes = [path.stat().st_size for path in (ROOT / "checkpoints").rglob("*") if path.is_file()]
    assert sum(sizes) < 40e6


# The table and the recipes


def test_table_in_the_page_is_fresh():
    page = (ROOT / "training" / "README.md").read_text(encoding="utf-8")
    assert with_table(page, SHIPPED) == page, "run: python benchmarks/models_table.py"


def test_table_has_every_checkpoint_and_figure():
    text = table(SHIPPED)
    for found in SHIPPED:
        (row,) = (line for line in text.splitlines() if line.startswith(f"| {found.name} |"))
        size = (find_checkpoint(found.name) / "model.safetensors").stat().st_size / 1e6
        for cell in (f"{size:.1f}", found.hardware, f"`abele train training/{found.recipe['name']}.yaml`"):
            assert f"| {cell} |" in row
        assert all(METRICS[name].title in text for name in found.metrics)
    rows = [line.count("|") for line in text.partition("Classifiers")[0].splitlines() if line.startswith("|")]
    assert len(set(rows)) == 1


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_first_line_of_a_recipe_is_fresh(found):
    text = (ROOT / "training" / f"{found.recipe['name']}.yaml").read_text(encoding="utf-8")
    assert with_reached(text, found) == text, "run: python benchmarks/models_table.py"
