"""What the page of a run's summary is made of: bars of grades, maps in cells, images and the ways to explanations."""

import base64
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch

from ..distributed.records import Entry, Summary
from ..distributed.run_file import Run
from ..distributed.similar import stored
from ..explanation.trust import ANSWERS
from ..latent.neighborhood import STRATEGIES
from . import sentences
from .html import Content, Html, tag
from .svg import map_uri

NOTES = {  # codes of notes -> in short
    "blank": "nothing can be seen on the image",
    "inverted": "light and dark are likely exchanged",
    "label-not-preserved": "the autoencoder's copy is predicted as something else",
    "not-drawn": "the autoencoder cannot draw the image",
    "code-not-valid": "unlike the images that the autoencoder knows",
    "not-typical": "an unusual image",
    "one-label": "all similar images have one label",
    "min-class-fraction": "few similar images have another label",
    "own-label-fraction": "few similar images have the same label",
    "no-rule": "no rule was found",
    "few-neighbors": "few similar images were found",
    "below-constant": "the rule is no better than a constant answer",
    "few-exemplars": "few exemplars were found",
    "target-not-found": "no way to the target was found",
    "no-counter-exemplars": "no image with another label was found",
}
_SPLIT = re.compile(r"((?:[\w-]+|.+\.npz):\w+)(?::\d+)?")  # DATASET:SPLIT or DATASET:SPLIT:N


@dataclass(frozen=True)
class Pictures:
    """Pictures of one row, as they are stored; empty where there is none.

    Attributes:
        image, map: the image, and its map.
        other: the nearest counter-exemplar.
    """

    image: bytes = b""
    map: bytes = b""
    other: bytes = b""


@dataclass(frozen=True)
class Shown:
    """A summary, and what a page shows beside it.

    Attributes:
        summary: of the run.
        pictures: index of an image -> its pictures.
        up: path that leads from the page to the run's folder.
    """

    summary: Summary
    pictures: Mapping[int, Pictures]
    up: str

    def name(self, label: int) -> str:
        """Of a class."""
        return self.summary.name(label)

    def picture(self, entry: Entry, kind: str = "image") -> Html | None:
        """One of an image's pictures; None where it was not kept, or there was no room for it."""
        content: bytes = getattr(self.pictures.get(entry.index, Pictures()), kind)
        if not content:
            return None
        alt = {"image": entry.name, "map": f"Map of {entry.name}", "other": f"Counter-exemplar of {entry.name}"}[kind]
        width, height = self.summary.run.image_shape[2], self.summary.run.image_shape[1]
        look = "pixels" if max(width, height) <= 100 else None
        return tag("img", src=picture_uri(content), alt=alt, class_=look, width=width, height=height)

    def way(self, entry: Entry) -> Html:
        """How to come to the explanation of an image: a stored file, a command, or what to do in Python."""
        summary = self.summary
        file = stored(summary.folder, entry.shard, entry.index)
        command = command_for(summary.run, entry.name)
        link = None
        if file is not None:
            place = quote(f"{self.up}/{file.relative_to(summary.folder).as_posix()}")
            link = tag("a", "stored explanation", href=place)
        if command is None and link is None:
            return tag("span", f"explain image {entry.index} again in Python", class_="hint")
        return tag("span", link, " " if link and command else None, tag("code", command) if command else None)


def command_for(run: Run, name: str) -> str | None:
    """The ``abele explain`` command for an image of a run, for a shell; None of a run that no command can repeat.

    Args:
        run: that holds the image.
        name: of the image; that of a picture is below the folder that was explained, as the run's command named it.
    """
    named, source = run.named, str(run.data.get("source", ""))
    if not all(isinstance(v, str) for v in named.values()) or not {"autoencoder", "black_box"} <= named.keys():
        return None
    data = str(named.get("data", source))
    place, _, number = name.rpartition(":")
    if place == source and number.isdecimal():  # of a split or of arrays
        split = _SPLIT.fullmatch(data)
        if split is None:
            return None
        spec = f"{split[1]}:{number}"
    else:
        spec = os.path.join(data, name)
    if spec.startswith("-"):
        spec = os.path.join(".", spec)
    given = ["--autoencoder", named["autoencoder"], "--black-box", named["black_box"], *_options(run.options)]
    return shlex.join(["abele", "explain", spec, *given, "--html"])


def _options(options: Mapping[str, Any]) -> list[str]:
    """Options of the command that are not what it takes anyway."""
    preset = options.get("preset", "default")
    usual = {"n_samples": 1000, "random_state": 0, "target": None, "preset": "default"}
    names = {"n_samples": "--samples", "random_state": "--seed", "target": "--target", "preset": "--preset"}
    found = []
    for name, option in names.items():
        if options.get(name, usual[name]) != usual[name]:
            found += [option, str(options[name])]
    neighborhood = next((name for name, s in STRATEGIES.items() if _as_options(s) == options.get("neighborhood")), None)
    if neighborhood not in (None, "hybrid" if preset == "paper" else "local"):
        found += ["--neighborhood", str(neighborhood)]
    return found


def _as_options(strategy: Any) -> dict[str, Any]:
    own = asdict(strategy) if is_dataclass(strategy) and not isinstance(strategy, type) else {}
    return {"strategy": type(strategy).__name__, **own}


def picture_uri(content: bytes) -> str:
    """A stored picture as a ``data:`` address."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def grade_bar(grades: Mapping[str, int]) -> Html:
    """Numbers by grade as a bar of parts and in words."""
    total = sum(grades.values())
    if not total:
        return tag("span", "none")
    there = {grade: n for grade, n in grades.items() if n}
    parts = [tag("i", class_=grade, style=f"width:{100 * n / total:.2f}%") for grade, n in there.items()]
    words = ", ".join(f"{ANSWERS[grade]} {n:,}" for grade, n in there.items())  # type: ignore[index]
    return tag("div", tag("div", parts, class_="stack", aria_hidden="true"), tag("small", words), class_="grades")


def cells(values: np.ndarray, alt: str) -> Html:
    """A map (GRID, GRID) in cells, in colours that reach as far as its largest value does."""
    peak = float(np.abs(values).max())
    shown = torch.from_numpy(np.ascontiguousarray(values / peak if peak > 0 else values))
    return tag("img", src=map_uri(shown), alt=alt, class_="cells pixels", width=8, height=8)


def peak_of(values: np.ndarray) -> str:
    """The largest value of a map in words."""
    return f"{float(np.abs(values).max()):.2f}"


def table(headings: Iterable[Content], rows: Iterable[Iterable[Content]], caption: str, **attributes: str) -> Html:
    """A table; the first cell of each row is its heading."""
    body = []
    for row in rows:
        first, *rest = row
        body.append(tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in rest]))
    head = tag("thead", tag("tr", [tag("th", heading, scope="col") for heading in headings]))
    whole = tag("table", tag("caption", caption), head, tag("tbody", body), class_="wide", **attributes)
    return tag("div", whole, class_="scroll")


def number(value: float | None, digits: int = 2) -> str:
    """A number, or that there is none."""
    return "-" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def share(n: float, of: float) -> str:
    """A share in per cent, and of how many."""
    return f"{sentences.percent(n / of)} ({n:,.0f})" if of else "-"


def note_words(code: str) -> str:
    """A note in short."""
    return NOTES.get(code, code)


def run_folder_from(page: Path, folder: Path) -> str:
    """The path that leads from a page's folder to a run's, with slashes."""
    try:
        return Path(os.path.relpath(folder.resolve(), page.resolve())).as_posix()
    except ValueError:  # another drive
        return folder.resolve().as_posix()
