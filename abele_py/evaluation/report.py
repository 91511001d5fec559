"""From the stored sums of an evaluation to its folder of tables and plots, and to the numbers of a page."""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ParameterError, UnknownNameError, unknown_name
from ..storage.files import write_atomically
from ..views.sentences import percent
from .plots import plots
from .tables import (
    LAYOUTS,
    Metrics,
    Summary,
    SummaryRow,
    csv_text,
    definitions,
    left_out,
    markdown,
    mean_of,
    rows_of,
    tables,
)

MARKS = ("table", "figure", "figure%", "definitions")


def report(summary: Summary, metrics: Metrics) -> str:
    """A run as one Markdown page: all tables, what was left out and why, definitions."""
    run, rows = summary["run"], rows_of(summary)
    models = ", ".join(f"{role.replace('_', ' ')} {model['name']}" for role, model in run["models"].items())
    lines = [f"# {run['data_title']}: {models}"]
    for part, shown in tables(summary, metrics).items():
        lines += [f"## {LAYOUTS[part][0] if part in LAYOUTS else part.capitalize()}", markdown(shown)]
    if missing := left_out(summary):
        lines += ["## Left out", "\n".join(f"- {line}" for line in missing)]
    lines += ["## Definitions", definitions(metrics, (row["figure"] for row in rows))]
    return "\n\n".join(lines) + "\n"


def write_report(folder: Path, summary: Summary, metrics: Metrics) -> tuple[Path, ...]:
    """Write ``summary.json``, ``table.md``, ``table.csv`` and a PNG for each plot, each file whole or not at all.

    Returns:
        What was written.
    """
    contents: dict[str, Callable[[Any], Any]] = {
        "summary.json": lambda file: file.write(f"{json.dumps(summary, indent=1, allow_nan=False)}\n".encode()),
        "table.md": lambda file: file.write(report(summary, metrics).encode()),
        "table.csv": lambda file: file.write(csv_text(summary).encode()),
    }
    for name, figure in plots(summary, metrics).items():
        contents[f"{name}.png"] = partial(figure.savefig, format="png", dpi=110)
    for name, write in contents.items():
        write_atomically(folder / name, write)
    return tuple(folder / name for name in contents)


def with_tables(page: str, summaries: Mapping[str, Summary], metrics: Metrics) -> str:
    """A page whose marks are filled from the summaries; what stood in them is replaced.

    Marks, each closed by ``<!-- end -->``: ``<!-- table: RUN PART -->``; ``<!-- figure: RUN PART FIGURE OF [AT] -->``,
    the mean alone as in the tables, for running text, and ``<!-- figure%: ... -->``, the same in per cent;
    ``<!-- definitions -->`` of all metrics in ``summaries``.

    Args:
        page: Markdown with marks.
        summaries: name of a run -> content of its ``summary.json``.
        metrics: what is known of each metric.

    Raises:
        UnknownNameError: there is no such mark, run, part or figure; the message names the closest.
        ParameterError: a mark is not closed.
    """

    def fill(match: re.Match[str]) -> str:
        mark, kind, words = match["mark"], match["kind"], match["words"] or ""
        if kind not in MARKS:
            raise unknown_name("mark", kind, MARKS)
        if kind == "definitions":
            used = (row["figure"] for summary in summaries.values() for row in rows_of(summary))
            return f"{mark}\n{definitions(metrics, used)}\n<!-- end -->"
        run, _, what = words.partition(" ")
        if run not in summaries:
            raise unknown_name("run", run, summaries)
        if kind in ("figure", "figure%"):
            row = _found(summaries[run], what)
            in_per_cent = kind == "figure%" and row["mean"] is not None
            return f"{mark}{percent(row['mean'], 1) if in_per_cent else mean_of(row)}<!-- end -->"
        parts = tables(summaries[run], metrics)
        if what not in parts:
            raise unknown_name(f"part of the run {run!r}", what, parts)
        return f"{mark}\n{markdown(parts[what])}\n\n<!-- end -->"

    filled = r"(?P<mark><!-- (?P<kind>[\w%]+)(?:: (?P<words>[^>]*?))? -->)(?:(?!<!--).)*<!-- end -->"
    for mark in re.findall(r"<!-- (?:table|figure%?|definitions)\b.*?-->", re.sub(filled, "", page, flags=re.DOTALL)):
        raise ParameterError(f"got the mark {mark!r} alone; expected '<!-- end -->' after it, before the next mark")
    return re.sub(filled, fill, page, flags=re.DOTALL)


def _found(summary: Summary, words: str) -> SummaryRow:
    """The row of a mark: ``PART FIGURE OF [AT]``."""
    known = {
        " ".join(str(row[field]) for field in ("part", "figure", "of", "at") if row[field] is not None): row
        for row in rows_of(summary)
    }
    if words not in known:
        close = difflib.get_close_matches(words, known, n=5, cutoff=0.0)
        raise UnknownNameError(f"got figure {words!r}; expected PART FIGURE OF [AT]; the closest: {'; '.join(close)}")
    return known[words]
