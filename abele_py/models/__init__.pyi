from .adversarial import AdversarialAutoencoder
from .autoencoder import Autoencoder
from .checkpoints import Manifest, list_checkpoints, load_autoencoder, load_classifier, read_manifest, save_checkpoint
from .classifiers import ConvolutionalClassifier, Forest
from .mixture import Mixture, fit_mixture

__all__ = [
    "AdversarialAutoencoder",
    "Autoencoder",
    "ConvolutionalClassifier",
    "Forest",
    "Manifest",
    "Mixture",
    "fit_mixture",
    "list_checkpoints",
    "load_autoencoder",
    "load_classifier",
    "read_manifest",
    "save_checkpoint",
]
