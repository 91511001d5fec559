"""What many tests share: one thread, the identity world's explainer, and the shipped digits models, loaded once."""

import os

import pytest
import torch
from support.shapes import draw_shapes
from support.worlds import Identity, image, soft

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start


@pytest.fixture(scope="session")
def digits_models():
    """The shipped autoencoder and CNN of the digits."""
    return load_autoencoder("digits"), load_classifier("digits-cnn")


@pytest.fixture(scope="session")
def digit_images():
    """Test images of the digits, (300, 1, 28, 28) in [0, 1]."""
    return to_unit(load_split("digits", "test").images)


@pytest.fixture(scope="session")
def digit_explanation(digits_models, digit_images):
    autoencoder, classifier = digits_models
    return Abele(classifier, autoencoder, n_samples=400, class_names="0123456789").explain(digit_images[7])


@pytest.fixture(scope="session")
def explanation():
    """One explanation of the identity world, with scores and a counter-exemplar."""
    return Abele(soft, Identity(), n_samples=300, class_names=("dark", "bright")).explain(image(0.6, 0.5))


@pytest.fixture
def pictures(tmp_path):
    """A folder of drawn pictures, ten of each of three classes."""
    return draw_shapes(tmp_path / "shapes")
