"""The surrogate: a decision tree in the latent space, and the rules read off it. Knows no images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
