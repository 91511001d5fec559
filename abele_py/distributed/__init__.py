"""Explanations of whole data sets: a run over all images, in one process or many, and what it says in sum."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
