"""HTML that cannot be broken by what it shows: every text is escaped, unless it was made here."""

import html
from collections.abc import Iterable
from typing import Union


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = Union[str, float, None, Iterable["Content"]]  # noqa: UP007 - it names itself
_VOID = {"br", "col", "img", "input", "link", "meta"}  # elements that have no end


def tag(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Html:
    """One element.

    Args:
        name: of the element.
        content: texts, which are escaped; elements made here; None, which is nothing; or iterables of these.
        attributes: ``class_`` stands for ``class``, ``data_x`` for ``data-x``. None and False leave one out, True gives
            it no value.
    """
    parts = [name]
    for key, value in attributes.items():
        key = key.strip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{escaped(value)}"')
    start = f"<{' '.join(parts)}>"
    return Html(start) if name in _VOID else Html(f"{start}{joined(content)}</{name}>")


def joined(content: Content) -> Html:
    """Contents one after another, as in :func:`tag`."""
    if content is None or isinstance(content, Html):
        return content or Html()
    if isinstance(content, (str, int, float)):
        return escaped(content)
    return Html("".join(map(joined, content)))


def escaped(text: object) -> Html:
    """Text as HTML, inside or outside of quotes. What is no text, such as half of a UTF-16 pair, becomes ``?``."""
    return Html(html.escape(str(text).encode("utf-8", "replace").decode()))
