from .summary import summarize

__all__ = [
    "summarize",
]
