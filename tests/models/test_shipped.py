"""The shipped checkpoints: complete, small, as good as they say, and found by their names."""

import json
import subprocess
import sys

import pytest
from support.real_data import data_dir_of

from abele_py.datasets.catalog import DATASETS
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import ImageSet
from abele_py.errors import UnknownNameError
from abele_py.models import checkpoints
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.checkpoints import (
    list_checkpoints,
    load_autoencoder,
    load_classifier,
    read_manifest,
)

SHIPPED = [manifest.name for manifest in list_checkpoints()]


@pytest.mark.skipif("mnist" not in SHIPPED, reason="not shipped")
def test_misspelt_name_gets_the_closest_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist'"):
        load_autoencoder("mnits")


@pytest.mark.slow
def test_import_is_light():
    heavy = {"pytorch_lightning", "torchvision", "matplotlib", "jsonargparse"}
    code = f"import sys, abele_py.models.checkpoints; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_checkpoint_is_complete_and_small(name):
    found = read_manifest(name)
    network = (load_autoencoder if found.kind == "autoencoder" else load_classifier)(name)
    record = DATASETS[found.data_set]
    assert tuple(found.config["image_shape"]) == record.image_shape
    assert found.class_names == list(record.class_names)
    assert found.licence == record.licence
    folder = checkpoints.find_checkpoint(name)
    assert {path.name for path in folder.iterdir()} == {*found.files, "manifest.json", "MODEL_CARD.md"}
    assert all(path.stat().st_size < 20e6 for path in folder.iterdir())
    assert "/" not in json.dumps(found.recipe["options"].get("data", {}))
    if isinstance(network, AdversarialAutoencoder):
        assert next(iter(found.metrics)) == "label_preservation"
        assert network.reference_latents.shape == (min(2000, record.sizes["train"]), network.latent_dim)
        assert 0 < network.validity_threshold < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_checkpoint_reaches_its_first_figure(name):
    """On all of the test images where there are few, else on the first 300, within four standard errors."""
    from abele_py.training.finishing import in_batches, measure_autoencoder, measure_classifier

    found = read_manifest(name)
    images = load_split(found.data_set, "test", data_dir_of(found.data_set))
    n = min(300, len(images))
    part = ImageSet(images.images[:n], images.labels[:n], images.class_names)
    if found.kind == "autoencoder":
        judge = load_classifier(found.recipe["options"]["black_box"])
        network = load_autoencoder(name)
        measured = measure_autoencoder(network, part, in_batches(network.encode, part.images), judge)
    else:
        measured = measure_classifier(load_classifier(name), part)
    figure, value = next(iter(found.metrics.items()))
    tolerance = 1.5 / n if n == len(images) else 4 * (value * (1 - value) / n) ** 0.5 + 0.005
    assert measured[figure] == pytest.approx(value, abs=tolerance)
