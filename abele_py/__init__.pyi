from .attribution.comparison import Comparison, compare
from .black_boxes.black_box import BlackBox
from .black_boxes.loading import load_black_box
from .datasets.images import read_image
from .datasets.loading import load_image
from .errors import AbeleError
from .explanation.explainer import Abele
from .explanation.explanation import Explanation
from .models.adversarial import AdversarialAutoencoder
from .models.autoencoder import Autoencoder
from .models.checkpoints import load_autoencoder, load_classifier
from .views.index import write_pages

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
