from .explainer import Abele
from .explanation import Explanation
from .trust import Note, Trust

__all__ = [
    "Abele",
    "Explanation",
    "Note",
    "Trust",
]
