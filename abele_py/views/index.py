"""Several explanations as pages in one folder, and the page that leads to them."""

import html
import os
import re
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from urllib.parse import quote

from ..checking.parameters import checked
from ..errors import ParameterError
from ..explanation.explanation import Explanation
from ..explanation.verdicts import constant_name
from ..storage.files import write_bytes
from . import sentences
from .components import badge, document, picture
from .html import Html, tag

INDEX = "index.html"


@checked
def write_pages(explanations: Mapping[str, Explanation], folder: str | Path) -> Path:
    """Write a page for each explanation, ``NAME-explanation.html``, and ``index.html``, which leads to them.

    Args:
        explanations: by the name of their image, in the order of the index.
        folder: created where it is missing.

    Returns:
        The path of the index.

    Raises:
        ParameterError: there are none, or a name cannot be that of a file.
    """
    for name in explanations:
        if not name or Path(name).name != name or "\0" in name:
            raise ParameterError(f"got the name {name!r}; expected one that a file can have; leave out folders")
    if not explanations:
        raise ParameterError("got no explanations; expected at least one")
    for name, explanation in explanations.items():
        explanation.to_html(page_path(folder, name), title=name)
    return write_index(explanations, folder)


@checked
def page_path(folder: str | Path, name: str) -> Path:
    """Where the page of one explanation is written."""
    return Path(folder) / f"{name}-explanation.html"


@checked
def write_index(explanations: Mapping[str, Explanation], folder: str | Path) -> Path:
    """Write the page that leads to those of explanations, which stand beside it; see :func:`write_pages`.

    An index that leads to others too, and any other page of that name, is kept: the new one is then ``index-2.html``,
    or the first free number.
    """
    names = chain([INDEX], (f"index-{i}.html" for i in count(2)))
    own = {_link(name) for name in explanations}
    path = next(p for p in (Path(folder) / n for n in names) if not os.path.lexists(p) or _links(p) <= own)
    heading = sentences.counted(len(explanations), "explanation")
    entries = tag("ul", (_entry(name, e) for name, e in explanations.items()), class_="index")
    read = "What a black box predicts for images, how far to trust each explanation, and the nearest other label."
    page = document(heading, [tag("h1", heading), tag("p", read), entries])
    write_bytes(path, page.encode())
    return path


def _link(name: str) -> str:
    return quote(page_path("", name).name, errors="replace")


def _links(path: Path) -> set[str]:
    """Where an index leads to; to itself, if it is none of ours."""
    if path.is_symlink() or not path.is_file():
        return {path.name}
    _, list_, rest = path.read_text(encoding="utf-8", errors="replace").partition('<ul class="index">')
    return {html.unescape(href) for href in re.findall('href="([^"]*)"', rest)} if list_ else {path.name}


def _entry(name: str, e: Explanation) -> Html:
    t, others = e.trust, e.counter_exemplars.labels.tolist()
    label = e.name(e.label)
    held_out, constant = sentences.percent(t.held_out, 1), sentences.percent(t.constant, 1)
    return tag(
        "li",
        tag(
            "a",
            picture(e, e.image, f"Image {name}, predicted as {label}", 4_000),
            tag(
                "div",
                tag("strong", label),
                tag("p", name),
                tag("p", badge(e)),
                tag("p", f"The rule agrees in {held_out} of the cases; always {constant_name(e)}: {constant}."),
                tag("p", sentences.usable(e)),
                tag("p", f"Nearest other label: {e.name(others[0])}." if others else "No other label found."),
            ),
            href=_link(name),
        ),
    )
