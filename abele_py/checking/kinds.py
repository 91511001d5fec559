"""What the annotation of a parameter means: how a value is checked and converted, and what is expected in words."""

import math
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

MOST = 2**31 - 1  # of a whole number that is only said to be at least something


class Interval(NamedTuple):
    """Which numbers a parameter takes: ``low`` and ``high`` themselves too, where they are closed."""

    low: float
    high: float
    closed: tuple[bool, bool] = (True, True)

    def holds(self, value: float) -> bool:
        above = self.low <= value if self.closed[0] else self.low < value
        return above and (value <= self.high if self.closed[1] else value < self.high)

    def words(self, whole: bool, value: Any = None) -> str:
        """The interval in words; of a number that is beyond it, only the end that it is beyond."""
        low, high = (f"{end:.15g}" if abs(end) < 1e15 else str(end) for end in (self.low, self.high))
        if whole:
            if isinstance(value, int) and not isinstance(value, bool):
                return f"at least {low}" if value < self.low else f"at most {high}"
            return "a whole number" if self.low < -MOST else f"a whole number of at least {low}"
        if self.high < math.inf:
            return f"a value in {'[' if self.closed[0] else '('}{low}, {high}{']' if self.closed[1] else ')'}"
        if self.low == -math.inf:
            return "a finite number"
        return f"a finite number {'of at least' if self.closed[0] else 'above'} {low}"


def at_least(low: float) -> Interval:
    """For ``Annotated``: ``low`` or more."""
    return Interval(low, math.inf)


def above(low: float) -> Interval:
    """For ``Annotated``: more than ``low``."""
    return Interval(low, math.inf, (False, True))


def between(low: float, high: float) -> Interval:
    """For ``Annotated``: from ``low`` to ``high``, both of them too."""
    return Interval(low, high)


def inside(low: float, high: float) -> Interval:
    """For ``Annotated``: between ``low`` and ``high``, and neither of them."""
    return Interval(low, high, (False, False))


class CheckedInside(NamedTuple):
    """For ``Annotated``: the function itself checks this parameter, and says better what is wrong."""


class Has(NamedTuple):
    """For ``Annotated``: an object with a method of this name, whatever its class."""

    method: str


class NotEmpty(NamedTuple):
    """For ``Annotated``: a sequence of at least one."""


class Axes(NamedTuple):
    """For ``Annotated`` tensors: the letters of their axes, such as ``"N k"``."""

    letters: str


class Unfit(Exception):
    """A value that does not fit."""


class Kind(NamedTuple):
    """What one annotation means.

    Attributes:
        expected: in words; given the value that does not fit.
        convert: the value as the function wants it, or `Unfit`.
        choices: the names, where it is one of a few.
    """

    expected: Callable[[Any], str]
    convert: Callable[[Any], Any]
    choices: tuple[str, ...] = ()


def kind_of(annotation: Any) -> Kind | None:
    """What an annotation means; None: whatever it is, is not checked here."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _narrowed(parts[0], parts[1:])
    if origin in (Union, types.UnionType):
        return _one_of(parts)
    if origin is Literal:
        return Kind(lambda _: f"one of: {', '.join(parts)}", _choice(parts), parts)
    if origin in (tuple, list, Sequence):
        return _several(origin, parts)
    if origin in (dict, Mapping):
        return _mapping(*map(kind_of, parts))
    if origin is Callable or annotation is Callable:
        return Kind(lambda _: "a function", _if(callable))
    if annotation in (int, float):
        return _number(
            annotation, Interval(-(2**63), 2**63 - 1) if annotation is int else Interval(-math.inf, math.inf)
        )
    if annotation is bool:
        return Kind(lambda _: "True or False", _flag)
    if annotation is str:
        return Kind(_expected_text("a text"), _text)
    if annotation in (None, type(None)):
        return Kind(lambda _: "None", _if(lambda value: value is None))
    if isinstance(annotation, type) and issubclass(annotation, os.PathLike):
        return Kind(_expected_text("a path"), _path)
    anything = annotation in (Any, object) or getattr(annotation, "_is_protocol", False)
    return _instance(annotation) if isinstance(annotation, type) and not anything else None


def plain(value: Any) -> Any:
    """A number or text of numpy or torch as Python's; all else as it is."""
    if getattr(value, "ndim", None) == 0 and callable(item := getattr(value, "item", None)):
        try:
            return item()
        except (RuntimeError, NotImplementedError, TypeError, ValueError):  # a tensor without content
            return value
    return value


def _if(holds: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not holds(value):
            raise Unfit
        return value

    return convert


def _instance(cls: type) -> Kind:
    name = f"{cls.__module__.partition('.')[0]}.{cls.__name__}"
    return Kind(lambda _: f"an instance of {name}", _if(lambda value: isinstance(value, cls)))


def _having(method: str) -> Kind:
    return Kind(
        lambda _: f"an object with a method {method}", _if(lambda value: callable(getattr(value, method, None)))
    )


def _number(cls: type, interval: Interval) -> Kind:
    whole = cls is int
    if whole and interval.high == math.inf:
        interval = interval._replace(high=MOST)

    def convert(value: Any) -> Any:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, Real):
            raise Unfit
        try:
            number = float(value)
            if whole:
                if not number.is_integer():
                    raise Unfit
                number = int(value) if isinstance(value, int) else int(number)
        except (OverflowError, ValueError) as error:  # too large for a float
            raise Unfit from error
        if not math.isfinite(number) or not interval.holds(number):
            raise Unfit
        return number

    return Kind(lambda value: interval.words(whole, plain(value)), convert)


def _narrowed(annotation: Any, details: Sequence[Any]) -> Kind | None:
    """``Annotated``."""
    for detail in details:
        if isinstance(detail, CheckedInside):
            return None
        if isinstance(detail, Interval):
            return _number(annotation, detail)
        if isinstance(detail, Axes):
            return _tensor(annotation, detail.letters.split())
        if isinstance(detail, Has):
            return _having(detail.method)
        if isinstance(detail, NotEmpty):
            return _several(get_origin(annotation), get_args(annotation), least=1)
    return kind_of(annotation)


def _tensor(cls: type, letters: Sequence[str]) -> Kind:
    shape = f"({', '.join(letters)}{',' * (len(letters) == 1)})"
    return Kind(
        lambda _: f"a {cls.__name__} of shape {shape}",
        _if(lambda value: isinstance(value, cls) and getattr(value, "ndim", None) == len(letters)),
    )


def _choice(names: Sequence[str]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        value = plain(value)
        if not isinstance(value, str) or value not in names:
            raise Unfit
        return str(value)

    return convert


def _flag(value: Any) -> bool:
    value = plain(value)
    if not isinstance(value, bool):
        raise Unfit
    return value


def _text(value: Any) -> str:
    value = plain(value)
    if not isinstance(value, str) or not _is_writable(value):
        raise Unfit
    return str(value)


def _path(value: Any) -> Any:
    if not isinstance(value, os.PathLike) or not _is_writable(os.fspath(value)):
        raise Unfit
    return value


def _is_writable(text: Any) -> bool:
    """No NUL, which no file name may have, and no half of a character, which cannot be encoded."""
    try:
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _expected_text(kind: str) -> Callable[[Any], str]:
    odd = "a text that can be written: no NUL, no half of a character"
    return lambda value: odd if isinstance(value, (str, os.PathLike)) else kind


def _one_of(annotations: Sequence[Any]) -> Kind | None:
    """A union: the first that fits."""
    found = [kind_of(annotation) for annotation in annotations]
    if None in found:  # one of them takes whatever comes
        return None
    kinds = [kind for kind in found if kind is not None]

    def convert(value: Any) -> Any:
        for kind in kinds:
            try:
                return kind.convert(value)
            except Unfit:
                continue
        raise Unfit

    def expected(value: Any) -> str:
        words = list(dict.fromkeys(kind.expected(value) for kind in kinds))
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))

    choices = next((kind.choices for kind in kinds if kind.choices), ())
    return Kind(expected, convert, choices)


def _several(origin: Any, parts: Sequence[Any], least: int = 0) -> Kind:
    """A sequence as a tuple (a list for ``list``): of one kind, or of as many as a tuple's annotation has."""
    alike = origin is not tuple or parts[1:] == (Ellipsis,)
    kinds = [kind_of(part) for part in (parts[:1] if alike else parts)]

    def convert(value: Any) -> Any:
        if isinstance(value, (str, bytes, bytearray, Mapping, set, frozenset)) or not isinstance(value, Iterable):
            raise Unfit
        if getattr(value, "ndim", 1) == 0:  # an array of no axis says it is iterable, and is not
            raise Unfit
        values = list(value)
        if len(values) < least or (not alike and len(values) != len(kinds)):
            raise Unfit
        of_each = kinds * len(values) if alike else kinds
        fitted = [v if kind is None else kind.convert(v) for kind, v in zip(of_each, values, strict=True)]
        return fitted if origin is list else tuple(fitted)

    def expected(value: Any) -> str:
        values = list(value) if isinstance(value, (list, tuple)) else []
        wrong = [
            v for kind, v in zip(kinds * len(values) if alike else kinds, values, strict=False) if not fits(kind, v)
        ]
        words = [None if kind is None else kind.expected(wrong[0] if wrong else None) for kind in kinds]
        if alike:
            several = "a list that is not empty" if least else "a list"
            return several if words[0] is None else f"{several}, each of it {words[0]}"
        return f"{len(kinds)} values, each {words[0]}" if len(set(words)) == 1 else f"({', '.join(map(str, words))})"

    def fits(kind: Kind | None, value: Any) -> bool:
        try:
            return kind is None or kind.convert(value) is not kind
        except Unfit:
            return False

    return Kind(expected, convert)


def _mapping(of_keys: Kind | None, of_values: Kind | None) -> Kind:
    def convert(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Unfit
        return {
            key if of_keys is None else of_keys.convert(key): v if of_values is None else of_values.convert(v)
            for key, v in value.items()
        }

    def expected(value: Any) -> str:
        words = [None if kind is None else kind.expected(None) for kind in (of_keys, of_values)]
        return "a mapping" if None in words else f"a mapping from {words[0]} to {words[1]}"

    return Kind(expected, convert)
