"""Names of classes: from whatever a user gives to one tuple, and from a label to its name."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from numbers import Integral
from typing import Any

from .errors import ParameterError

MOST = 2**16  # classes; names are made for all labels below the largest one


def class_names_of(given: Sequence[Any] | Mapping[Any, Any] | None) -> tuple[str, ...]:
    """The names of the labels 0..K-1. Equal ones are told apart by their labels: ``crane (134)``, ``crane (517)``.

    Args:
        given: a sequence (list, tuple, array), or a text of characters that follow each other, such as
            ``"0123456789"``, one a class; a mapping from labels to names, in which a label without a name is called by
            its number; or None, for no names.

    Raises:
        ParameterError: a mapping whose keys are no labels, another text, or a set.
    """
    if given is None:
        return ()
    if isinstance(given, Mapping):
        return _different([str(name) for name in _by_number(given)])
    if isinstance(given, (bytes, AbstractSet)) or not isinstance(given, Iterable):
        raise ParameterError(
            f"got class_names of type {type(given).__name__}; expected names in the order of the labels; pass "
            "('cat', 'dog'), or {0: 'cat', 1: 'dog'}"
        )
    if isinstance(given, str) and not _enumerates(given):
        raise ParameterError(
            f"got the class_names {given!r}, one text; expected a sequence of names; pass ({given!r}, ...), or "
            f"tuple({given!r}) if each of its characters is the name of a class"
        )
    return _different([str(name) for name in given])


def names_for(
    given: Sequence[Any] | Mapping[Any, Any], classes: Sequence[Hashable] | None, k: int | None
) -> tuple[str, ...]:
    """The names of a classifier's K columns.

    Args:
        given: as :func:`class_names_of` takes them; but the keys of a mapping are the classifier's own classes.
        classes: its own classes, in the order of its columns; None where they are not known.
        k: K; None where it is not known.

    Raises:
        ParameterError: names that are not one for each class, or a mapping with other keys.
    """
    if isinstance(given, Mapping) and classes is not None:
        names = {str(label): name for label, name in given.items()}
        if unknown := [label for label in given if str(label) not in set(map(str, classes))]:
            raise ParameterError(
                f"got class_names for {', '.join(map(repr, unknown[:5]))}; expected names for the classes of the black "
                f"box: {', '.join(map(repr, classes[:20]))}; correct the keys"
            )
        return _different([str(names.get(str(c), c)) for c in classes])
    names_given = class_names_of(given)
    if isinstance(given, Mapping) and k is not None:
        names_given += tuple(map(str, range(len(names_given), k)))
    if k is not None and len(names_given) != k:
        kind = "scores" if classes is None else f"classes ({', '.join(map(str, classes[:20]))})"
        raise ParameterError(
            f"got {len(names_given)} class_names for {k} {kind}; expected one each; pass {k} names, in their order"
        )
    return names_given


def name_of(class_names: Sequence[str], label: int) -> str:
    """The name of a label, or its number where it has none."""
    return class_names[label] if label < len(class_names) else str(label)


def _by_number(given: Mapping[Any, Any]) -> list[Any]:
    """The values of a mapping from labels, numbers or texts of digits as JSON has them, in their order."""
    numbers = {}
    for label, name in given.items():
        text = isinstance(label, str) and label.isascii() and label.isdecimal() and len(label) <= len(str(MOST))
        number = isinstance(label, Integral) and not isinstance(label, bool)
        if not (text or number) or not 0 <= int(label) < MOST:
            raise ParameterError(
                f"got class_names with the keys {', '.join(map(repr, given))[:200]}; expected labels, whole numbers "
                f"from 0 to {MOST - 1}; pass {{0: 'cat', 1: 'dog'}} or ('cat', 'dog')"
            )
        numbers[int(label)] = name
    return [numbers.get(label, label) for label in range(max(numbers, default=-1) + 1)]


def _enumerates(text: str) -> bool:
    """Whether a text is no word but a list of characters: each follows the one before, as in ``0123`` and ``ABC``."""
    return all(ord(b) - ord(a) == 1 for a, b in pairwise(text))


def _different(names: list[str]) -> tuple[str, ...]:
    times = Counter(names)
    found = tuple(name if times[name] == 1 else f"{name} ({label})" for label, name in enumerate(names))
    if len(set(found)) < len(found):
        raise ParameterError("got class_names of which several are equal; expected different ones; rename them")
    return found
