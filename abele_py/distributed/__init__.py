"""Explanations of whole data sets: a run over all images, in one process or many, and what it says in sum."""

from importlib.util import find_spec

import lazy_loader

from ..errors import missing_extra

if find_spec("pyarrow") is None:
    raise missing_extra(ModuleNotFoundError(name="pyarrow"), "a run over a data set", "dataset")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
