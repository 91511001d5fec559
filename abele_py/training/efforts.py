"""Efforts of a recipe of recipes: a word for the options that decide how long its trainings take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import ParameterError
from .recipe_file import read_recipe

SECTION = "efforts"


@dataclass(frozen=True)
class Effort:
    """What a word such as ``--fast`` stands for.

    Attributes:
        says: a line for ``--help``.
        options: the options that it means, as they are written on the command line: ``--classifier.a.b=1``.
    """

    says: str
    options: tuple[str, ...]


def efforts_of(recipe: Path) -> dict[str, Effort]:
    """The efforts that a recipe names; none where it has no such section.

    Raises:
        ParameterError: the section is not what it has to be.
    """
    section = (yaml.safe_load(read_recipe(recipe)) or {}).get(SECTION, {})
    found = {}
    for name, effort in section.items() if isinstance(section, dict) else [(SECTION, section)]:
        if not (isinstance(name, str) and isinstance(effort, dict) and isinstance(effort.get("says"), str)):
            raise ParameterError(
                f"got {SECTION}: {name} in {recipe}; expected names, each with a line that says what it is for, and "
                "options; see training/folder.yaml"
            )
        options = {key: value for key, value in effort.items() if key != "says"}
        found[name] = Effort(effort["says"], tuple(_written(options, "--")))
    return found


def chosen(efforts: Mapping[str, Effort], argv: Sequence[str]) -> tuple[str, ...]:
    """The options with the effort that they ask for written out, before all others: those win.

    Raises:
        ParameterError: two efforts, or one with a value.
    """
    asked = [word for word in argv if word.removeprefix("--").partition("=")[0] in efforts and word.startswith("--")]
    names = list(dict.fromkeys(word.removeprefix("--") for word in asked))
    if len(names) > 1 or any("=" in name for name in names):
        raise ParameterError(
            f"got {' '.join(asked)}; expected one of {', '.join(f'--{name}' for name in efforts)}, without a value; "
            "leave the others out"
        )
    meant = efforts[names[0]].options if names else ()
    return (*meant, *(word for word in argv if word not in asked))


def _written(options: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _written(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
