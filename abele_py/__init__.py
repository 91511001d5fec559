"""Explain single decisions of image classifiers with images: ABELE on today's libraries."""

from .autoencoder import AdversarialAutoencoder, Autoencoder
from .black_box import BlackBox
from .black_boxes import load_black_box
from .checkpoints import load_autoencoder, load_classifier
from .comparison import Comparison, compare
from .datasets import load_image
from .errors import AbeleError
from .explainer import Abele
from .explanation import Explanation
from .images import read_image
from .pages import write_pages

__all__ = [
    "Abele",
    "AbeleError",
    "AdversarialAutoencoder",
    "Autoencoder",
    "BlackBox",
    "Comparison",
    "Explanation",
    "compare",
    "load_autoencoder",
    "load_black_box",
    "load_classifier",
    "load_image",
    "read_image",
    "write_pages",
]
