"""An evaluation: many images, many metrics, resumed where it stopped, reported in tables and plots."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
