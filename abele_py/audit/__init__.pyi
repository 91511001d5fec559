from .audit import Audit, Suspicion, audit
from .detection import Effect
from .places import Place

__all__ = [
    "Audit",
    "Effect",
    "Place",
    "Suspicion",
    "audit",
]
