from .similar import similar
from .summary import summarize

__all__ = [
    "similar",
    "summarize",
]
