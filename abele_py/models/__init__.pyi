from .adversarial import AdversarialAutoencoder
from .autoencoder import Autoencoder
from .checkpoints import load_autoencoder, load_classifier, save_checkpoint
from .classifiers import ConvolutionalClassifier, Forest
from .manifests import Manifest, list_checkpoints, read_manifest
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
