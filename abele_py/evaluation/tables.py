"""From the rows of an evaluation's summary to tables for people: pivoted, rounded with their intervals, annotated."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Any, NamedTuple

from ..attribution.registry import METHODS, grouped
from ..metrics.base import Metric

# The content of a run's summary.json, one of its rows, and what is known of each metric by name.
Summary = Mapping[str, Any]
SummaryRow = Mapping[str, Any]
Metrics = Mapping[str, Metric]

QUANTILES = ("min", "q05", "q25", "q50", "q75", "q95", "max")
_COLUMNS = ("part", "of", "at", "figure", "n", "mean", "low", "high", "median", "std")
_ARROWS = {"lower": " ↓", "higher": " ↑", "neither": ""}
_DASH = "\N{EN DASH}"  # of a range, and where there is no value

# Part -> its title; the corner of its table; which field of a row goes down, which across.
LAYOUTS = {
    "surrogate": ("The surrogate tree beside the black box", "where", "at", "figure"),
    "saliency": ("Saliency maps", "method", "of", "figure"),
    "sanity": ("Sanity check: the black box's weights randomised, layer after layer", "method", "of", "at"),
    "exemplars": ("Exemplars as a classifier", "prototypes", "of", "at"),
    "counter-exemplars": ("Counter-exemplars", "figure", "figure", "of"),
    "autoencoder": ("Autoencoder", "figure", "figure", "of"),
}
_TITLES = {
    "abele": "ABELE",
    "abele-median": "ABELE, median",
    "abele-rule": "ABELE: rule",
    "abele-exemplars": "ABELE: exemplars",
    "surrogate": "value",
    "autoencoder": "value",
    "mmd-critic": "MMD-critic",
    "nearest-real": "nearest real images",
    "nearest-unlike": "nearest unlike image (real)",
}


class Table(NamedTuple):
    """One table for people, all text.

    Attributes:
        title: what stands above it; empty where the part has only this table.
        head: names of the columns.
        rows: cells, as many in each row as in ``head``.
        notes: lines below it: what was measured how often, what signs mean, what is missing and why.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def tables(summary: Summary, metrics: Metrics) -> dict[str, tuple[Table, ...]]:
    """Each part of a run as one table or several, pivoted for reading: ABELE first, controls last.

    Args:
        summary: content of ``summary.json``.
        metrics: what is known of each metric: title, direction, range, source.

    Returns:
        Part -> its tables. Sanity and exemplars have one for each metric, saliency one for the curves and one for all
        else, the surrogate one for places and one for the tree.
    """
    groups: dict[str, dict[str, list[SummaryRow]]] = {}
    for row in rows_of(summary):
        groups.setdefault(row["part"], {}).setdefault(_group(row, metrics), []).append(row)
    return {
        part: tuple(
            _table(summary, metrics, rows, title)
            for title, rows in sorted(of_part.items(), key=lambda item: item[0] == "The tree")
        )
        for part, of_part in groups.items()
    }


def markdown(shown: Iterable[Table]) -> str:
    """Tables as Markdown, each with its notes below."""
    return "\n\n".join(_markdown(table) for table in shown)


def definitions(metrics: Metrics, used: Iterable[str]) -> str:
    """A Markdown list of the metrics used: title, direction, range, source."""
    lines = []
    for name in ordered(used, metrics):
        m = metric_named(metrics, name)
        better = "describes, no direction" if m.better == "neither" else f"{m.better} is better{_ARROWS[m.better]}"
        source = f". {m.source}" if m.source else ""
        lines.append(f"- **{m.title}** (`{name}`): {better}; {_range(m)}{source}")
    return "\n".join(lines)


def csv_text(summary: Summary) -> str:
    """All metrics in long form, one a line, empty where nothing could be measured."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*_COLUMNS, *QUANTILES))
    for row in rows_of(summary):
        quantiles = row.get("quantiles") or [None] * len(QUANTILES)
        writer.writerow([*(row.get(column) for column in _COLUMNS), *quantiles])
    return file.getvalue()


def number(value: float | None) -> str:
    """A value for a table: three decimals below 10, three digits above, at least two digits however small."""
    return _DASH if value is None else _fixed(value, _places(value), ROUND_HALF_EVEN)


def with_interval(mean: float | None, low: float | None, high: float | None) -> str:
    """``0.275 (0.26–0.29)``: a mean and its interval, rounded outwards so that it holds the mean as printed."""
    if mean is None or low is None or high is None or low == high or not math.isfinite(high - low):
        return number(mean)
    places = _places(mean)
    if places is None:
        ends = None
    else:  # no more digits of the mean than the interval's width deserves, and one less of its ends
        needed = math.ceil(-math.log10(high - low))
        places = min(places, max(3, needed + 1))
        ends = min(places, max(places - 1, 0, needed))
    to = _DASH if low >= 0 else " to "
    printed = _fixed(low, ends, ROUND_FLOOR), _fixed(high, ends, ROUND_CEILING)
    return f"{_fixed(mean, places, ROUND_HALF_EVEN)} ({to.join(printed)})"


def mean_of(row: SummaryRow) -> str:
    """The mean of a row as the tables print it."""
    return with_interval(row["mean"], row["low"], row["high"]).partition(" ")[0]


def rows_of(summary: Summary) -> list[SummaryRow]:
    """The rows in the order of print; coherence and stability, measured apart, stand with the other metrics of maps."""
    merged = {"coherence": "saliency", "stability": "saliency"}
    rows = [{**row, "part": merged.get(row["part"], row["part"])} for row in summary["rows"]]
    parts = list(LAYOUTS)
    return sorted(rows, key=lambda row: parts.index(row["part"]) if row["part"] in parts else len(parts))


def label(metrics: Metrics, field: str, value: Any) -> str:
    """A value of a row's field ``of``, ``at`` or ``figure`` in print."""
    if field == "figure":
        m = metric_named(metrics, value)
        return m.title + _ARROWS[m.better]
    if field == "of":
        return METHODS[value].title if value in METHODS else _TITLES.get(value, str(value))
    return f"k = {value}" if isinstance(value, int) else str(value)


def metric_named(metrics: Metrics, name: str) -> Metric:
    """What is known of a metric; a metric that nobody declared describes only."""
    unknown = Metric(name.replace("_", " "), "neither", -math.inf, math.inf, "")
    return metrics.get(name, unknown)


def rank(of: Any) -> int:
    """ABELE 0, its other parts 1, rivals 2, controls 3."""
    if str(of).startswith("abele"):
        return 0 if of == "abele" else 1
    return 3 if of in METHODS and METHODS[of].family == "control" else 2


def ordered(values: Iterable[Any], metrics: Metrics | None = None) -> list[Any]:
    """Each once: by rank; numbers and numbered names by number; metrics as declared; the others as they came."""
    declared = list(metrics or ())

    def place(value: Any) -> tuple[int, int]:
        numbered = re.match(r"\d+(?= |$)", str(value))
        number = int(numbered[0]) if numbered else declared.index(value) if value in declared else len(declared)
        return rank(value), number

    return sorted(dict.fromkeys(values), key=place)


def _group(row: SummaryRow, metrics: Metrics) -> str:
    """The title of the table that a row stands in."""
    if row["part"] in ("sanity", "exemplars"):
        return label(metrics, "figure", row["figure"])
    if row["part"] == "saliency":
        curves = row["figure"].startswith(("deletion_", "insertion_"))
        return "Area under the deletion and insertion curves" if curves else "Faithful, stable, simple, fast"
    return "The tree" if row["part"] == "surrogate" and row["at"] is None else ""


def _table(summary: Summary, metrics: Metrics, rows: Sequence[SummaryRow], title: str) -> Table:
    _, corner, down, across = LAYOUTS.get(rows[0]["part"], ("", "", "of", "figure"))
    if "at" in (down, across) and all(row["at"] is None for row in rows):
        corner, down, across = "figure", "figure", "of"
    cells = {(row[down], row[across]): row for row in rows}
    lines, columns = (ordered((row[field] for row in rows), metrics) for field in (down, across))
    race = down == "of" and rows[0]["part"] != "sanity"  # a sanity check is passed or not
    best = _best(rows, metrics) if race else set()
    body = []
    for line in lines:
        texts = [_cell(cells.get((line, column)), best) for column in columns]
        body.append((label(metrics, down, line), *texts))
    head = (corner, *(label(metrics, across, column) for column in columns))
    return Table(title, head, tuple(body), _notes(summary, metrics, rows, body, bool(best)))


def _cell(row: SummaryRow | None, best: set[tuple[Any, ...]]) -> str:
    if row is None:
        return _DASH
    text = with_interval(row["mean"], row["low"], row["high"])
    return f"**{text}**" if (row["of"], row["at"], row["figure"]) in best else text


def _best(rows: Sequence[SummaryRow], metrics: Metrics) -> set[tuple[Any, ...]]:
    """The rows with the best mean, as printed, of each metric and place, controls aside."""
    groups: dict[tuple[Any, ...], list[SummaryRow]] = {}
    for row in rows:
        if rank(row["of"]) < 3 and row["mean"] is not None and metric_named(metrics, row["figure"]).better != "neither":
            groups.setdefault((row["at"], row["figure"]), []).append(row)
    best = set()
    for (at, metric), found in groups.items():
        choose = min if metric_named(metrics, metric).better == "lower" else max
        mean = mean_of(choose(found, key=lambda row: row["mean"]))
        best |= {(row["of"], at, metric) for row in found if mean_of(row) == mean and len(found) > 1}
    return best


def _notes(
    summary: Summary, metrics: Metrics, rows: Sequence[SummaryRow], body: Sequence[tuple[str, ...]], bold: bool
) -> tuple[str, ...]:
    used = list(dict.fromkeys(row["figure"] for row in rows))
    better = {metric_named(metrics, metric).better for metric in used}
    values = [cell for line in body for cell in line[1:]]
    counts = {metric: {row["n"] for row in rows if row["figure"] == metric and row["n"]} for metric in used}
    usual = max((row["n"] for row in rows), default=0)
    signs = [
        "in brackets the 95 % bootstrap interval of the mean" if any("(" in cell for cell in values) else "",
        "↓ lower is better" if "lower" in better else "",
        "↑ higher is better" if "higher" in better else "",
        "bold: the best mean, controls aside; where intervals overlap, that is no victory" if bold else "",
        f"{_DASH} not measured, or no image has it" if _DASH in values else "",
    ]
    run = summary["run"]
    once = rows[0]["part"] == "autoencoder"
    notes = [f"All images of {run['data']}" if once else f"N = {usual} images, seed {run['seed']}"]
    notes = ["; ".join(note for note in [*notes, *signs] if note) + "."]
    fewer = {metric: n for metric, n in counts.items() if n and n != {usual}}
    if fewer:
        told = (
            f"{metric_named(metrics, f).title} {_DASH.join(map(str, sorted({min(n), max(n)})))}"
            for f, n in fewer.items()
        )
        notes.append(f"Where N is smaller: {', '.join(told)}.")
    if {"stability", "coherence"} & {*used}:
        notes.append("A constant map scores 0 in stability and coherence: never read them without faithfulness.")
    of = {row["of"] for row in rows}
    return (*notes, *(f"Left out: {line}" for line in left_out(summary, parts=False) if of & {*METHODS}))


def left_out(summary: Summary, parts: bool = True) -> list[str]:
    """What was left out, and why: methods, those with one reason together; and parts."""
    missing = summary["left_out"]
    reasons = grouped(
        missing["methods"], {name: _TITLES.get(name) or METHODS[name].title for name in missing["methods"]}
    )
    if parts:
        reasons |= {LAYOUTS[part][0]: reason for part, reason in missing["parts"].items()}
    return [f"{what}: {why}" for what, why in reasons.items()]


def _markdown(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    grid = [line(table.head), line(["---", *["---:"] * (len(table.head) - 1)]), *(line(row) for row in table.rows)]
    return "\n\n".join([*([f"**{table.title}**"] if table.title else []), "\n".join(grid), *table.notes])


def _range(m: Metric) -> str:
    if math.isinf(m.low):
        return "any number" if math.isinf(m.high) else f"up to {m.high:g}"
    return f"{m.low:g} and up" if math.isinf(m.high) else f"{m.low:g} to {m.high:g}"


def _places(value: float) -> int | None:
    """Decimals that a value is printed with; None for very large ones."""
    size = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    if size > 8:
        return None
    return max(0, 2 - size) if size > 0 else 3 if size > -3 else 1 - size


def _fixed(value: float, places: int | None, rounding: str) -> str:
    if places is None or places > 7 or not math.isfinite(value):
        return f"{value:.2e}"
    exact = Decimal(f"{value:.12g}")  # without the noise of binary fractions, which would push 0.28 down to 0.27
    return f"{exact.quantize(Decimal(1).scaleb(-places), rounding, Context(prec=400)) + 0:,f}"
