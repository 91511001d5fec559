from .parts import PARTS
from .run import evaluate
from .subject import Subject
from .summary import summarise

__all__ = [
    "PARTS",
    "Subject",
    "evaluate",
    "summarise",
]
