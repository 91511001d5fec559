from .recipe import check, main, train

__all__ = [
    "check",
    "main",
    "train",
]
