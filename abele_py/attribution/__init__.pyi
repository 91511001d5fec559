from .comparison import Comparison, compare
from .registry import LATENT, METHODS, AbeleMaps, Method, families, methods_of

__all__ = [
    "LATENT",
    "METHODS",
    "AbeleMaps",
    "Comparison",
    "Method",
    "compare",
    "families",
    "methods_of",
]
