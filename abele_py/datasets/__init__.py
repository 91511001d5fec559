"""Data sets and users' own images: where they come from, and how they are checked, split and read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
