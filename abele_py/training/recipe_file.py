"""The file of a recipe: what it would become in memory is bounded before anybody parses it."""

from pathlib import Path

import yaml

from ..errors import ParameterError
from ..storage.reading import read_regular

MOST_BYTES = 2**20
MOST_NODES = 20_000  # keys and values, aliases written out; our recipes have below a hundred
DEEPEST = 50


def read_recipe(path: str | Path) -> str:
    """The text of a recipe.

    Raises:
        ParameterError: no file, too long, no YAML, nested too deeply, or with aliases that would multiply it.
    """
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
        _check(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())[:300]
        raise ParameterError(
            f"got the recipe {str(path)!r}, which cannot be used ({said}); expected a short file of YAML; see those in "
            "the folder training/"
        ) from error
    return text


def _check(text: str) -> None:
    """Count what the text stands for, without making it."""
    sizes: dict[str, int] = {}  # of what has been given a name
    total, open_ = 0, list[tuple[str | None, int]]()  # name of a collection, and what there was before it
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias {event.anchor} stands for nothing, or for what it is part of")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            size = 1 + len(event.value) // 64
            total += size
            if event.anchor is not None:
                sizes[event.anchor] = size
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            name, before = open_.pop()
            if name is not None:
                sizes[name] = total - before
        if total > MOST_NODES:
            raise ValueError(f"it stands for more than {MOST_NODES} keys and values")
        if len(open_) > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
