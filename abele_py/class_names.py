"""Names of classes: from whatever a user gives to one tuple, and from a label to its name."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from .errors import ParameterError

MOST = 2**16  # classes; names are made for all labels below the largest one


def class_names_of(given: Sequence[Any] | Mapping[Any, Any] | None) -> tuple[str, ...]:
    """The names of the labels 0..K-1.

    Args:
        given: a sequence (list, tuple, array, or a text with one character a class); a mapping from labels to names,
            in which a label without a name is called by its number; or None, for no names.

    Raises:
        ParameterError: a mapping whose keys are no labels.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        return tuple(str(name) for name in given)
    if not all(isinstance(label, Integral) and 0 <= int(label) < MOST for label in given):
        raise ParameterError(
            f"got class_names with the keys {', '.join(map(repr, given))[:200]}; expected labels, whole numbers from 0 "
            f"to {MOST - 1}; pass {{0: 'cat', 1: 'dog'}} or ('cat', 'dog')"
        )
    return tuple(str(given.get(label, label)) for label in range(int(max(given, default=-1)) + 1))


def name_of(class_names: Sequence[str], label: int) -> str:
    """The name of a label, or its number where it has none."""
    return class_names[label] if label < len(class_names) else str(label)
