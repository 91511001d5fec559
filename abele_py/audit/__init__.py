"""Audits: does a classifier look at the wrong thing? Interventions on pairs of images, and maps of what they change."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
