"""The tables of a run's summary, as Parquet and as CSV."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..distributed.columns import GRADES
from ..distributed.mistakes import SIGNS
from ..distributed.records import Border, ClassOver, Confusion, Entry, Summary

_MAP = pa.list_(pa.float32())
_COUNTED = [(f"n_{grade}", pa.int64()) for grade in GRADES]
_KINDS = {"int": pa.int64(), "label": pa.int32(), "float": pa.float64(), "text": pa.string()}


def _columns(**names: str) -> list[tuple[str, pa.DataType]]:
    """Kind -> names of columns with spaces between."""
    return [(name, _KINDS[kind]) for kind, listed in names.items() for name in listed.split()]


_CLASSES = pa.schema(
    [
        *_columns(label="label", text="name", int="n n_true n_known n_right"), *_COUNTED,
        *_columns(float="held_out constant preserved", text="notes towards"), ("typical", pa.list_(pa.string())),
        ("map", _MAP), ("spread", _MAP),
    ]
)  # fmt: skip
_BORDERS = pa.schema(
    [
        *_columns(label="label other", text="name other_name", int="n n_nearest", float="mean median lowest"),
        ("change", _MAP),
    ]
)
_MISTAKES = pa.schema(
    [
        *_columns(label="true_label label", text="true_name name", int="n", float="probability distance to_true"),
        *_COUNTED, *((name.replace("-", "_"), pa.int64()) for name in SIGNS), *_columns(text="notes groups"),
        ("examples", pa.list_(pa.string())), ("change", _MAP),
    ]
)  # fmt: skip
_LEAST = pa.schema(
    [
        *_columns(int="index", text="image", label="true_label label"), *_columns(text="name", float="probability"),
        *_columns(text="grade rule map exemplars counter_exemplars", float="held_out constant"),
        *_columns(text="notes", label="nearest", float="distance"),
    ]
)  # fmt: skip
Row = dict[str, Any]


def tables_of_summary(summary: Summary) -> dict[str, bytes]:
    """Names of files -> their content: each of ``TABLES`` as ``.parquet`` and as ``.csv``, where lists are left out."""
    found = {}
    for name, (schema, rows_of) in TABLES.items():
        rows = rows_of(summary)
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")
        found[f"{name}.parquet"] = file.getvalue()
        flat = [field.name for field in schema if not pa.types.is_list(field.type)]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, flat, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        found[f"{name}.csv"] = text.getvalue().encode()
    return found


def _classes(s: Summary) -> list[Row]:
    def row(c: ClassOver) -> Row:
        towards = {f"{s.name(r.towards)}": r.n for r in c.reasons if r.towards is not None and r.away_from is None}
        return {
            "label": c.label, "name": s.name(c.label), "n": c.trust.n, "n_true": c.n_true, "n_known": c.n_known,
            "n_right": c.n_right, **_graded(c.trust.grades["explanation"]), "held_out": c.trust.held_out,
            "constant": c.trust.constant, "preserved": c.trust.preserved, "notes": _counted(c.trust.notes),
            "typical": [e.name for e in c.typical], "towards": _counted(towards), "map": _cells(c.map),
            "spread": _cells(c.spread),
        }  # fmt: skip

    return [row(c) for c in s.classes]


def _borders(s: Summary) -> list[Row]:
    def row(b: Border) -> Row:
        return {
            "label": b.label, "name": s.name(b.label), "other": b.other, "other_name": s.name(b.other), "n": b.n,
            "n_nearest": b.n_nearest, "mean": b.mean, "median": b.median, "lowest": b.lowest,
            "change": _cells(b.change),
        }  # fmt: skip

    return [row(b) for b in s.borders]


def _mistakes(s: Summary) -> list[Row]:
    def row(c: Confusion) -> Row:
        return {
            "true_label": c.true_label, "true_name": s.name(c.true_label), "label": c.label, "name": s.name(c.label),
            "n": c.side.n, "probability": c.side.probability, "distance": c.side.distance, "to_true": c.to_true,
            **_graded(c.side.grades), **{name.replace("-", "_"): n for name, n in c.side.signs.items()},
            "notes": _counted(c.side.notes), "groups": _counted({" ".join(names): n for names, n in c.groups.items()}),
            "examples": [e.name for e in c.examples], "change": _cells(c.change),
        }  # fmt: skip

    return [] if s.mistakes is None else [row(c) for c in s.mistakes.confusions]


def _least(s: Summary) -> list[Row]:
    def row(e: Entry) -> Row:
        parts = {part.replace("-", "_"): grade for part, grade in e.grades.items()}
        return {
            "index": e.index, "image": e.name, "true_label": e.true_label, "label": e.label, "name": s.name(e.label),
            "probability": e.probability, "grade": parts.pop("explanation", None), **parts, "held_out": e.held_out,
            "constant": e.constant, "notes": " ".join(e.notes), "nearest": e.nearest, "distance": e.distance,
        }  # fmt: skip

    return [row(e) for e in s.least]


TABLES: dict[str, tuple[pa.Schema, Callable[[Summary], list[Row]]]] = {
    "classes": (_CLASSES, _classes),
    "borders": (_BORDERS, _borders),
    "mistakes": (_MISTAKES, _mistakes),
    "least-trusted": (_LEAST, _least),
}


def _graded(grades: dict[str, int]) -> Row:
    return {f"n_{grade}": grades.get(grade, 0) for grade in GRADES}


def _counted(counts: dict[str, int]) -> str:
    """``name: 3; other: 1``."""
    return "; ".join(f"{name}: {n}" for name, n in counts.items())


def _cells(values: Any) -> list[float] | None:
    return None if values is None else values.flatten().tolist()
