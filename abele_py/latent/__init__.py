"""The latent space: neighborhoods around a code, exemplars, counter-exemplars, and walks through it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
