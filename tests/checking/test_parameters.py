"""Parameters: a signature is the declaration, and what does not fit is told in one line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch

from abele_py.checking.parameters import (
    Axes,
    CheckedInside,
    Count,
    NotEmpty,
    Seed,
    Share,
    above,
    at_least,
    between,
    checked,
    fit,
    inside,
)
from abele_py.errors import ParameterError, UnknownNameError


@pytest.mark.parametrize(
    ("annotation", "value", "found"),
    [
        (int, 3.0, 3),
        (int, np.int64(3), 3),
        (int, np.array(3), 3),
        (int, torch.tensor(3), 3),
        (int, -(2**63), -(2**63)),
        (float, 3, 3.0),
        (float, np.float32(0.5), 0.5),
        (Annotated[float, inside(0, 1)], 0.5, 0.5),
        (Share, 0, 0.0),
        (bool, np.True_, True),
        (str, np.str_("a"), "a"),
        (str | Path, Path("a"), Path("a")),
        (int | None, None, None),
        (Literal["a", "b"], "b", "b"),
        (Sequence[int], np.array([1, 2]), (1, 2)),
        (list[int], (1, 2.0), [1, 2]),
        (tuple[int, float], [1, 2], (1, 2.0)),
        (Mapping[int, str], {np.int64(1): "a"}, {1: "a"}),
        (Any, "x", "x"),
        (int | str, "5", "5"),
        (Annotated[int, CheckedInside()], "x", "x"),
        (Seed, 2**63 - 1, 2**63 - 1),
    ],
)
def test_what_fits_becomes_pythons(annotation, value, found):
    fitted = fit("x", annotation, value)
    assert fitted == found
    assert type(fitted) is type(found)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, True, "a whole number"),
        (int, 10.7, "a whole number"),
        (int, "5", "a whole number"),
        (Count, 0, "at least 1"),
        (Count, 2**31, "at most 2147483647"),
        (Count, None, "a whole number of at least 1"),
        (int, 2**63, "at most"),
        (int, float("nan"), "a whole number"),
        (float, float("inf"), "a finite number"),
        (float, 10**400, "a finite number"),
        (Annotated[float, above(0)], 0, "above 0"),
        (Share, 1.1, r"\[0, 1\]"),
        (float, 1j, "a finite number"),
        (Annotated[float, inside(0, 1)], 0, r"\(0, 1\)"),
        (Annotated[int, between(2, 9)], 10, "at most 9"),
        (bool, 1, "True or False"),
        (str, b"", "a text"),
        (str, "a\0b", "no NUL"),
        (str, "\ud800", "no half"),
        (str | Path, 5, "a text or a path"),
        (Sequence[int], "12", "a list"),
        (Sequence[Count], [3, 0], "at least 1"),
        (tuple[Count, Count], [1], "2 values"),
        (Mapping[str, str], [], "a mapping"),
        (torch.Tensor, 3, "torch.Tensor"),
        (Annotated[torch.Tensor, Axes("N k")], torch.zeros(3), r"\(N, k\)"),
        (Annotated[Sequence[int], NotEmpty()], [], "empty"),
        (int, np.array([1, 2]), "a whole number"),
        (int | None, "a", "or None"),
        (Seed, np.random.RandomState(0), "a seed gives the same result again"),
        (Annotated[float, at_least(0)], -1, "0"),
    ],
)
def test_what_does_not_fit_is_refused(annotation, value, expected):
    with pytest.raises(ParameterError, match=f"(?s)got x.*{expected}"):
        fit("x", annotation, value)


@checked
def function(
    n: Count = 4, kind: Literal["mosaic", "median"] = "mosaic", *rest: int, share: Share | None = None, **more: Any
):
    return n, kind, rest, share, more


def test_arguments_come_by_place_and_by_name():
    assert function(np.int64(3), "median", 5, 6, share=np.float64(0.5), other="x") == (
        3, "median", (5, 6), 0.5, {"other": "x"},
    )  # fmt: skip
    assert function() == (4, "mosaic", (), None, {})
    with pytest.raises(TypeError):
        checked(lambda x: x)()


def test_the_error_says_the_way_out_and_the_closest_name_in_any_case():
    with pytest.raises(ParameterError, match="got n=0; expected at least 1; leave it out for 4"):
        function(0)
    for error in (ParameterError, UnknownNameError):  # an option, and a name
        with pytest.raises(
            error, match=r"got kind 'MOSAIC'; expected one of: mosaic, median; .* Did you mean 'mosaic'"
        ):
            function(kind="MOSAIC")


def test_a_value_that_cannot_be_shown_is_refused_all_the_same():
    class Odd:
        def __repr__(self):
            raise RuntimeError

    with pytest.raises(ParameterError, match="got n=a Odd"):
        function(Odd())
