"""Parameters of tests of which `make check` runs some and the whole suite all."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow_if(slow: Callable[[Any], bool], values: Iterable[Any]) -> list[Any]:
    """`values` as parameters of a test, marked slow where `slow` says so. A tuple holds several arguments."""

    def marked(value: Any) -> Any:
        return pytest.param(*value if isinstance(value, tuple) else (value,), marks=pytest.mark.slow)

    return [marked(value) if slow(value) else value for value in values]
