"""The rows of one shard as arrays: what a summary looks at, without pictures and directions."""

from collections.abc import Iterator
from contextlib import contextmanager
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
from .shards import read_shard

GRADES = get_args(Grade)
PARTS = get_args(Part)
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
    """N rows of one shard.

    Attributes:
        shard: number of the file among the run's shards, from 0.
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

    shard: int
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


def read_columns(path: Path, shard: int) -> Columns:
    """The rows of a shard.

    Raises:
        DataError: it is damaged, or lacks columns, or holds what no run writes.
    """
    table = read_shard(path, _READ)
    with judging(path):
        return _columns(table, shard)


@contextmanager
def judging(path: Path) -> Iterator[None]:
    """What columns of a shard lead to within this, if they are none that a run writes.

    Raises:
        DataError: they are none.
    """
    try:
        yield
    except (KeyError, ValueError, IndexError, pa.ArrowException) as error:
        raise DataError(
            f"got {path}, which does not hold what a run writes ({error}); expected a shard of a run; delete this "
            "file, and let abele explain-dataset make it anew"
        ) from error


def _columns(table: pa.Table, shard: int) -> Columns:
    column = {name: table[name].combine_chunks() for name in table.column_names}
    label = _labels(column["label"])
    explained = label >= 0
    trust, verdicts = column["trust"], column["verdicts"]
    conditions = _items(column["conditions"], explained, _CONDITION)
    if not len(conditions.rows):
        conditions.values["below"] = np.zeros(0, dtype=bool)
    else:
        conditions.values["below"] = np.asarray(conditions.values.pop("operator") == "<=")
    conditions.values.pop("operator", None)
    return Columns(
        shard=shard,
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
        counters=_items(column["counter_exemplars"], explained, ("label", "distance")),
        latents=_arrays(column["latent"], explained, None),
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
    if len(found) and not (NONE <= found.min() and found.max() < MOST):
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
    if (there & ~explained).any() or len(own) and (own != (own[0] if length is None else length)).any():
        raise ValueError("lists of another length than expected")
    if inner.null_count:
        raise ValueError("numbers that are null")
    values = inner.to_numpy(zero_copy_only=False)
    return Arrays(np.flatnonzero(there), values.reshape(len(own), -1) if len(own) else np.zeros((0, 0), values.dtype))
