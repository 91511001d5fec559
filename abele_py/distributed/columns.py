"""The rows of shards as arrays: what a summary looks at, without pictures and directions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..class_names import MOST
from ..errors import DataError
from ..explanation.trust import Grade, Part
from .rows import GRID
from .shards import read_shard, shard_paths

GRADES = get_args(Grade)
PARTS = get_args(Part)
AT_ONCE = 2048  # rows: to look at a few takes nearly as long as to look at many
NONE = -1  # in place of a label, a grade or a row that is not there
# What a condition's row says of itself: the labels that a direction lies between, or an axis and a side of it.
_CONDITION = ("axis", "operator", "towards", "away_from")
_READ = [
    "index", "name", "true_label", "error", "reason", "label", "probability", "verdicts", "trust.held_out",
    "trust.constant", "trust.label_preserved", "trust.typicality", "notes.list.element", "latent",
    "reconstruction_label", *(f"conditions.list.element.{name}" for name in _CONDITION),
    *(f"counter_exemplars.list.element.{name}" for name in ("label", "distance")), "map", "change",
]  # fmt: skip


class Items(NamedTuple):
    """What rows hold several of, one after another.

    Attributes:
        rows: (m,) the row of each, ascending.
        first: (m,) is it the first of its row?
        values: name -> (m,) what each is.
    """

    rows: np.ndarray
    first: np.ndarray
    values: dict[str, np.ndarray]


class Arrays(NamedTuple):
    """Arrays of the rows that have one.

    Attributes:
        rows: (m,) which rows these are.
        values: (m, d).
    """

    rows: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Columns:
    """N rows.

    Attributes:
        shards, rows: (N,) number of the file among the run's shards, from 0, and of the row in it.
        index: (N,) int64, numbers of the images in the run.
        names, errors, reasons: N texts each; errors and reasons null where an image was explained.
        explained: (N,) bool.
        true_label, label, copy_label: (N,) int64, ``NONE`` where there is none; the last one is the reconstruction's.
        probability, held_out, constant, typicality: (N,) float64, NaN where there is none.
        preserved: (N,) bool, whether the reconstruction has the image's label.
        grades: (N, 5) int64, places in ``GRADES`` of the verdicts on ``PARTS``; ``NONE`` where there is none.
        notes: values ``code``, texts.
        conditions: values ``axis``, ``towards``, ``away_from``, ``NONE`` where there is none, and ``below``, bool.
        counters: counter-exemplars, the nearest first: values ``label`` and ``distance``.
        latents: codes of the images, (m, k) float32.
        maps, changes: (m, GRID * GRID) int8; the second of the way to the nearest counter-exemplar.
    """

    shards: np.ndarray
    rows: np.ndarray
    index: np.ndarray
    names: Any
    errors: Any
    reasons: Any
    explained: np.ndarray
    true_label: np.ndarray
    label: np.ndarray
    copy_label: np.ndarray
    probability: np.ndarray
    held_out: np.ndarray
    constant: np.ndarray
    typicality: np.ndarray
    preserved: np.ndarray
    grades: np.ndarray
    notes: Items
    conditions: Items
    counters: Items
    latents: Arrays
    maps: Arrays
    changes: Arrays

    def __len__(self) -> int:
        return len(self.index)

    @property
    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the nearest counter-exemplar label (N,) int64 and distance (N,) float64; ``NONE`` and NaN of none."""
        labels, distances = np.full(len(self), NONE), np.full(len(self), np.nan)
        at = self.counters.rows[self.counters.first]
        labels[at] = self.counters.values["label"][self.counters.first]
        distances[at] = self.counters.values["distance"][self.counters.first]
        return labels, distances


def read_columns(folder: Path, at_once: int = AT_ONCE) -> Iterator[Columns]:
    """The rows of a run in their order, those of several small shards together.

    Args:
        folder: of the run.
        at_once: rows that are enough to go on with; no more than these and one shard are in memory.

    Raises:
        DataError: a shard is damaged, or lacks columns, or holds what no run writes.
    """
    tables: list[pa.Table] = []
    paths = shard_paths(folder)
    for number, path in enumerate(paths):
        tables.append(read_shard(path, _READ))
        if number + 1 == len(paths) or sum(map(len, tables)) >= at_once:
            yield _joined(tables, paths[number + 1 - len(tables) : number + 1], number + 1 - len(tables))
            tables = []


def _joined(tables: list[pa.Table], paths: list[Path], first: int) -> Columns:
    try:
        shards = np.repeat(np.arange(first, first + len(tables)), [len(table) for table in tables])
        rows = np.concatenate([np.arange(len(table)) for table in tables])
        return _columns(pa.concat_tables(tables), shards, rows)
    except (KeyError, ValueError, pa.ArrowException) as error:
        for one in range(len(tables) if len(tables) > 1 else 0):  # which of them is it?
            _joined(tables[one : one + 1], paths[one : one + 1], first + one)
        raise DataError(
            f"got {paths[0]}, which does not hold what a run writes ({error}); expected a shard of a run; delete this "
            "file, and let abele explain-dataset make it anew"
        ) from error


def _columns(table: pa.Table, shards: np.ndarray, rows: np.ndarray) -> Columns:
    column = {name: table[name].combine_chunks() for name in table.column_names}
    label = _labels(column["label"])
    explained = label >= 0
    trust, verdicts = column["trust"], column["verdicts"]
    conditions = _items(column["conditions"], explained, _CONDITION)
    conditions.values["below"] = np.array(conditions.values.pop("operator") == "<=", dtype=bool)
    counters = _items(column["counter_exemplars"], explained, ("label", "distance"))
    if (counters.values["label"] < 0).any() or np.isnan(counters.values["distance"]).any():
        raise ValueError("a counter-exemplar without label or distance")
    latents = _arrays(column["latent"], explained, None)
    if not np.isfinite(latents.values).all():
        raise ValueError("codes that are not finite")
    return Columns(
        shards=shards,
        rows=rows,
        index=_numbers(column["index"], np.int64),
        names=column["name"],
        errors=column["error"],
        reasons=column["reason"],
        explained=explained,
        true_label=_labels(column["true_label"]),
        label=label,
        copy_label=_labels(column["reconstruction_label"]),
        probability=_floats(column["probability"]),
        held_out=_floats(trust.field("held_out")),
        constant=_floats(trust.field("constant")),
        typicality=_floats(trust.field("typicality")),
        preserved=_numbers(pc.fill_null(trust.field("label_preserved"), False), np.bool_),
        grades=np.stack([_grades(verdicts.field(part.replace("-", "_"))) for part in PARTS], axis=1),
        notes=_items(column["notes"], explained, ("code",)),
        conditions=conditions,
        counters=counters,
        latents=latents,
        maps=_arrays(column["map"], explained, GRID * GRID),
        changes=_arrays(column["change"], explained, GRID * GRID),
    )


def _numbers(values: Any, kind: Any) -> np.ndarray:
    return np.asarray(values.to_numpy(zero_copy_only=False)).astype(kind, copy=False)


def _floats(values: Any) -> np.ndarray:
    """Null becomes NaN, and so does what is infinite."""
    found = _numbers(values, np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def _labels(values: Any) -> np.ndarray:
    found = _numbers(pc.fill_null(values.cast(pa.int64()), NONE), np.int64)
    if len(found) and (found.min() < NONE or found.max() >= MOST):
        raise ValueError(f"a label that is not from 0 to {MOST - 1}")
    return found


def _grades(values: Any) -> np.ndarray:
    return _numbers(pc.fill_null(pc.index_in(values, value_set=pa.array(GRADES)), NONE), np.int64)


def _inside(lists: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """Lists, one a row: whether there is one, how long it is, and what is in them all."""
    there = _numbers(lists.is_valid(), np.bool_)
    lengths = _numbers(pc.fill_null(pc.list_value_length(lists), 0), np.int64)
    return there, lengths, lists.flatten()


def _items(lists: Any, explained: np.ndarray, names: tuple[str, ...]) -> Items:
    _, lengths, inner = _inside(lists)
    if lengths[~explained].any():
        raise ValueError("an explanation of an image without a label")
    rows = np.repeat(np.arange(len(lengths)), lengths)
    first = np.zeros(len(rows), dtype=bool)
    first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    values = {}
    for name in names:
        field = inner.field(name) if pa.types.is_struct(inner.type) else inner
        if pa.types.is_floating(field.type):
            values[name] = _floats(field)
        elif pa.types.is_integer(field.type):
            values[name] = _labels(field)
        else:
            values[name] = field.to_numpy(zero_copy_only=False)
    return Items(rows, first, values)


def _arrays(lists: Any, explained: np.ndarray, length: int | None) -> Arrays:
    """Lists of numbers of one length, of those rows that have one."""
    there, lengths, inner = _inside(lists)
    own = lengths[there]
    if (there & ~explained).any() or (len(own) and (own != (own[0] if length is None else length)).any()):
        raise ValueError("lists of another length than expected")
    if inner.null_count:
        raise ValueError("numbers that are null")
    values = inner.to_numpy(zero_copy_only=False)
    return Arrays(np.flatnonzero(there), values.reshape(len(own), -1) if len(own) else np.zeros((0, 0), values.dtype))
