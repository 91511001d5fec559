"""Explain single decisions of image classifiers with images: ABELE on today's libraries.

Names are imported when they are first used, so that ``import abele_py`` costs nothing (PEP 562; the names are in
``__init__.pyi``).
"""

import lazy_loader

from . import moved as _moved

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_moved.keep_old_paths()
