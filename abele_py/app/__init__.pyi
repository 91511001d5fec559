from .backend import Studio
from .server import serve

__all__ = [
    "Studio",
    "serve",
]
