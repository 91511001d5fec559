"""Checks and conversions of what users give, declared once: by the annotations of a function's own signature.

``@checked`` reads them: ``int`` is a whole number, ``float`` a finite one, ``Literal`` a choice, ``X | None`` may be
left out, a class wants its instances, and ``Annotated[int, at_least(1)]`` narrows a number. Numbers of numpy and torch
become Python's. What does not fit is a :class:`~abele_py.errors.ParameterError` before anything is computed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, TypeVar

from ..errors import ParameterError, UnknownChoiceError, unknown_name
from .kinds import (
    Axes,
    CheckedInside,
    Has,
    Interval,
    Kind,
    NotEmpty,
    Unfit,
    above,
    at_least,
    between,
    inside,
    kind_of,
    plain,
)

__all__ = [
    "Axes",
    "CheckedInside",
    "ClassNames",
    "Count",
    "Has",
    "Interval",
    "Label",
    "Many",
    "NotEmpty",
    "NotNegative",
    "Number",
    "Picture",
    "Positive",
    "Seed",
    "Shape",
    "Share",
    "Size",
    "SmallSeed",
    "above",
    "at_least",
    "between",
    "checked",
    "fit",
    "inside",
    "shown",
]

F = TypeVar("F", bound=Callable[..., Any])
_LONGEST = 60  # letters of a value in an error

ClassNames = str | Sequence[Any] | Mapping[Any, Any] | None  # for `class_names_of`
Picture = Annotated[Any, CheckedInside()]  # for `check_image`, which says how to convert one
Count = Annotated[int, at_least(1)]
Number = Annotated[int, at_least(0)]
Many = Annotated[int, between(1, 10**6)]  # of what is held in memory at once
Size = Annotated[int, between(1, 2**20)]  # of a layer, or of an image
Shape = tuple[Size, Size, Size]  # of an image: (C, H, W)
Label = Annotated[int, at_least(0)]
Share = Annotated[float, between(0, 1)]
Positive = Annotated[float, above(0)]
NotNegative = Annotated[float, at_least(0)]
Seed = Annotated[int, between(-(2**63), 2**63 - 1)]  # of torch
SmallSeed = Annotated[int, between(0, 2**32 - 1)]  # of numpy, which scipy and scikit-learn draw from


def checked(function: F) -> F:
    """Decorate a function, or a class of its ``__init__``: every argument is checked and converted as it is annotated.

    Raises:
        ParameterError, UnknownNameError: at a call, where an argument does not fit.
    """
    if isinstance(function, type):
        function.__init__ = checked(function.__init__)  # type: ignore[misc]
        return function
    kinds = {name: kind for name, a in function.__annotations__.items() if name != "return" and (kind := kind_of(a))}
    parameters = signature(function).parameters
    places = [
        (name, kinds.get(name))
        for name, p in parameters.items()
        if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    ]

    def fitted(name: str, kind: Kind | None, value: Any) -> Any:
        if kind is None:
            return value
        try:
            return kind.convert(value)
        except Unfit:
            error = _refusal(name, kind, value, parameters[name].default)
        raise error  # outside: the user's mistake has no other cause

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        given = [fitted(*place, value) for place, value in zip(places, arguments, strict=False)]
        for name in named.keys() & kinds.keys():
            named[name] = fitted(name, kinds[name], named[name])
        return function(*given, *arguments[len(given) :], **named)

    call.checks = kinds  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def fit(name: str, annotation: Any, value: Any) -> Any:
    """One value, checked and converted as an annotation says.

    Raises:
        ParameterError, UnknownNameError: it does not fit.
    """
    kind = kind_of(annotation)
    if kind is None:
        return value
    try:
        return kind.convert(value)
    except Unfit:
        error = _refusal(name, kind, value, Parameter.empty)
    raise error


def _refusal(name: str, kind: Kind, value: Any, default: Any) -> ParameterError:
    if default is Parameter.empty:
        advice = "pass one"
    elif default is None or not isinstance(default, (int, float, str)):
        advice = "leave it out"
    else:
        advice = f"leave it out for {default!r}"
    if kind.choices and isinstance(value, str):
        known, _, hint = str(unknown_name(name, value, kind.choices)).partition(". ")
        return UnknownChoiceError(f"{known.removesuffix('.')}; {advice}{'. ' * bool(hint)}{hint}")
    return ParameterError(f"got {shown(name, value)}; expected {kind.expected(value)}; {_hint(value)}{advice}")


def _hint(value: Any) -> str:
    """Of generators of random numbers, which are given for a seed."""
    if type(value).__name__ in ("RandomState", "Generator"):
        return "a seed gives the same result again, which a generator would not: int(generator.integers(2**31)), or "
    return ""


def shown(name: str, value: Any) -> str:
    """``name=value`` for an error, in one short line, whatever it is."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{name} of type {type(value).__name__}, shape {tuple(shape)}"
    try:
        text = " ".join(repr(plain(value)).split())
    except Exception:  # noqa: BLE001 - whatever the user's own __repr__ raises
        text = f"a {type(value).__name__}"
    return f"{name}={text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}"
