from .kinds import above, at_least, between, inside
from .parameters import checked

__all__ = ["above", "at_least", "between", "checked", "inside"]
