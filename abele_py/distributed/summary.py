"""A run in sum: its shards are read one after another, and what is kept of them does not grow with their number.

Sums, counts, histograms and samples are bounded. Samples are those rows whose numbers, scattered by a fixed function,
are lowest: the same shards give the same summary.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..checking.parameters import checked
from ..errors import DataError
from ..metrics.prototypes import k_medoids
from .columns import GRADES, PARTS, Columns, read_columns
from .mistakes import MOST_PAIRS, MistakeSums
from .records import Border, ClassOver, Entry, Failures, Mistakes, Reason, Summary
from .rows import GRID
from .run_file import Run, read_run
from .tallies import N_BINS, Lowest, Tally, distance_bins, median_distance, scattered
from .trusting import MOST_CLASSES, Codes, ReasonSums, TrustSums

__all__ = ["Summary", "summarize"]

N_LEAST = 300  # images whose explanations can be trusted least
N_SAMPLED, N_MISTAKES = 1000, 700  # further images to choose from
N_TYPICAL, N_REASONS = 6, 8  # of a class
_MOST_CODES = 500  # of a class, from which typical ones are chosen
_NUMBERS = 20_000_000  # that codes of all classes take together, an image's other figures counted as 300
_MOST_FAILURES = 100  # reasons that are told apart
_LONGEST = 500  # letters of a reason
_CELLS = GRID * GRID


class _Coded(NamedTuple):
    entry: Entry
    code: np.ndarray


@checked
def summarize(folder: str | Path) -> Summary:
    """What a run says in sum.

    The shards are read as a stream. In memory are some thousand rows, sums for each class and pair of classes (of at
    most 10,000 classes and 50,000 pairs; what is beyond is counted), and samples of fixed sizes.

    Args:
        folder: of a run, finished or not.

    Returns:
        The summary: the same shards give the same one.

    Raises:
        DataError: the folder holds no run, or a shard is damaged.
    """
    folder = Path(folder)
    sums = _Sums(folder, read_run(folder))
    for columns in read_columns(folder):
        sums.add(columns)
    return sums.found()


class _Sums:
    """What is kept of the rows so far."""

    def __init__(self, folder: Path, run: Run) -> None:
        self._folder, self._run, self._n = folder, run, 0
        codes = self._codes = Codes()
        self._whole, self._classes = TrustSums(1, codes), TrustSums(MOST_CLASSES, codes)
        self._known = Tally(MOST_CLASSES, {"n_known": (), "n_right": ()})  # by predicted label
        self._true = Tally(MOST_CLASSES, {"n": ()})  # by true label
        self._maps = Tally(MOST_CLASSES, {"n": (), "sum": (_CELLS,), "squares": (_CELLS,)})
        self._reasons, self._mistakes = ReasonSums(), MistakeSums(codes)
        self._borders = Tally(
            MOST_PAIRS,
            {"n": (), "n_nearest": (), "distance": (), "change": (_CELLS,), "n_change": ()},
            {"bins": N_BINS},
            ("lowest",),
        )
        self._failures: dict[tuple[str, str], tuple[int, str]] = {}
        self._least, self._sampled = Lowest[Entry](N_LEAST), Lowest[Entry](N_SAMPLED)
        self._coded: Lowest[_Coded] | None = None
        self._k = 0

    def add(self, columns: Columns) -> None:
        """Add rows."""
        entries = _Entries(columns)
        labels, everything = columns.label, np.zeros(len(columns), dtype=np.int64)
        explained = np.where(columns.explained, 0, -1)
        notes = self._codes.numbers(columns.notes.values["code"].tolist())
        self._n += len(columns)
        self._add_failures(columns)
        self._whole.add(columns, everything, notes)
        slots = self._classes.add(columns, labels, notes)
        known = columns.true_label >= 0
        self._true.add(self._true.slots(columns.true_label[known]), n=1)
        right = known & (columns.true_label == labels)
        known &= columns.explained
        self._known.add(self._known.slots(labels[known]), n_known=1, n_right=right[known])
        maps = columns.maps
        if len(maps.rows):
            cells = maps.values.astype(np.float64)
            self._maps.add(self._maps.slots(labels[maps.rows]), n=1, sum=cells, squares=cells**2)
        self._reasons.add(columns.conditions, labels)
        self._mistakes.add(columns, notes, entries.make)
        self._add_borders(columns)
        self._least.add(explained, _distrust(columns), entries.make)
        self._sampled.add(explained, scattered(columns.index, 1), entries.make)
        self._add_codes(columns, slots, entries)

    def _add_failures(self, columns: Columns) -> None:
        for i in np.flatnonzero(~columns.explained).tolist():
            reason = str(columns.reasons[i].as_py() or "no explanation, and no reason for it")[:_LONGEST]
            key = (str(columns.errors[i].as_py() or "unknown"), reason)
            if key not in self._failures and len(self._failures) >= _MOST_FAILURES:
                key = ("other", f"other reasons than the first {_MOST_FAILURES}")
            n, first = self._failures.get(key, (0, columns.names[i].as_py()))
            self._failures[key] = (n + 1, first)

    def _add_borders(self, columns: Columns) -> None:
        counters, changes = columns.counters, columns.changes
        others, distances = counters.values["label"], counters.values["distance"]
        slots = self._borders.slots(columns.label[counters.rows] << 16 | others)
        self._borders.add(slots, n=1, n_nearest=counters.first, distance=distances)
        self._borders.count("bins", slots, distance_bins(distances))
        self._borders.lower("lowest", slots, distances)
        if len(changes.rows):
            of_row = np.full(len(columns), -1)
            of_row[counters.rows[counters.first]] = slots[counters.first]
            self._borders.add(of_row[changes.rows], change=changes.values, n_change=1)

    def _add_codes(self, columns: Columns, slots: np.ndarray, entries: "_Entries") -> None:
        rows, codes = columns.latents
        if not len(rows):
            return
        if self._coded is None:
            self._k = codes.shape[1]
            room = _NUMBERS // (max(1, len(self._run.class_names)) * (self._k + 300))
            self._coded = Lowest[_Coded](min(_MOST_CODES, max(2 * N_TYPICAL, room)))
        if codes.shape[1] != self._k:
            raise DataError(
                f"got codes of {codes.shape[1]} numbers after such of {self._k} in {self._folder}; expected shards of "
                "one run; delete those that are none of it, and let abele explain-dataset make them anew"
            )
        self._coded.add(
            slots[rows],
            scattered(columns.index[rows], 3),
            lambda i: _Coded(entries.make(int(rows[i])), codes[i].astype(np.float32)),
        )

    def found(self) -> Summary:
        """The summary of all rows that were added."""
        mistakes, least = self._mistakes.found(), tuple(self._least.of())
        shown = {entry.index: entry for entry in (*self._sampled.of(), *_of_all_kinds(mistakes), *least)}
        failures = [Failures(*key, n, first) for key, (n, first) in self._failures.items()]
        return Summary(
            folder=self._folder,
            run=self._run,
            n=self._n,
            failures=tuple(sorted(failures, key=lambda f: (-f.n, f.error, f.reason))),
            trust=self._whole.found(0),
            classes=self._all_classes(),
            borders=tuple(self._all_borders()),
            borders_left_out=self._borders.left_out,
            mistakes=mistakes,
            least=least,
            listed=tuple(shown[index] for index in sorted(shown)),
        )

    def _all_classes(self) -> tuple[ClassOver, ...]:
        reasons = self._reasons.found(N_REASONS)
        return tuple(
            self._class(label, slot, reasons.get(label, ()))
            for label, slot in sorted((label, slot) for slot, label in enumerate(self._classes.tally.keys))
        )

    def _class(self, label: int, slot: int, reasons: tuple[Reason, ...]) -> ClassOver:
        known = _at(self._known, label, "n_known", "n_right")
        (n_true,) = _at(self._true, label, "n")
        mean = spread = None
        if label in self._maps.keys:
            at = self._maps.keys.index(label)
            n = self._maps["n"][at]
            mean = self._maps["sum"][at] / n
            spread = np.sqrt(np.maximum(self._maps["squares"][at] / n - mean**2, 0)) / 127
            mean, spread = (mean / 127).reshape(GRID, GRID), spread.reshape(GRID, GRID)
        coded = [] if self._coded is None else self._coded.of(slot)
        typical: tuple[Entry, ...] = ()
        if coded:
            codes = torch.from_numpy(np.stack([one.code for one in coded]))
            typical = tuple(coded[i].entry for i in k_medoids(codes, N_TYPICAL, max_swaps=0).tolist())
        return ClassOver(
            label=label, trust=self._classes.found(slot), n_true=n_true, n_known=known[0], n_right=known[1],
            typical=typical, map=mean, spread=spread, reasons=reasons,
        )  # fmt: skip

    def _all_borders(self) -> list[Border]:
        b, found = self._borders, []
        for key, slot in sorted((key, slot) for slot, key in enumerate(b.keys)):
            n, n_change, lowest = int(b["n"][slot]), b["n_change"][slot], float(b["lowest"][slot])
            mean = float(b["distance"][slot]) / n
            found.append(
                Border(
                    label=key >> 16,
                    other=key & 0xFFFF,
                    n=n,
                    n_nearest=int(b["n_nearest"][slot]),
                    mean=mean,
                    median=median_distance(b["bins"][slot], lowest),
                    lowest=lowest,
                    change=(b["change"][slot] / n_change / 127).reshape(GRID, GRID) if n_change else None,
                )
            )
        return found


class _Entries:
    """Rows of a shard in short, made when they are asked for."""

    def __init__(self, columns: Columns) -> None:
        self._c, (self._nearest, self._distance) = columns, columns.nearest
        lengths = np.bincount(columns.notes.rows, minlength=len(columns))
        self._ends = np.concatenate([[0], np.cumsum(lengths)])

    def make(self, i: int) -> Entry:
        c, codes = self._c, self._c.notes.values["code"]
        nearest = int(self._nearest[i])
        return Entry(
            shard=int(c.shards[i]),
            row=int(c.rows[i]),
            index=int(c.index[i]),
            name=str(c.names[i].as_py()),
            label=int(c.label[i]),
            true_label=None if c.true_label[i] < 0 else int(c.true_label[i]),
            probability=_number(c.probability[i]),
            grades={part: GRADES[g] for part, g in zip(PARTS, c.grades[i].tolist(), strict=True) if g >= 0},
            held_out=_number(c.held_out[i]),
            constant=_number(c.constant[i]),
            notes=tuple(map(str, codes[self._ends[i] : self._ends[i + 1]])),
            nearest=None if nearest < 0 else nearest,
            distance=_number(self._distance[i]),
        )


def _number(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)


def _at(tally: Tally, key: int, *names: str) -> list[int]:
    """Sums of a key as whole numbers; 0 where nothing was added."""
    return [int(tally[name][tally.keys.index(key)]) if key in tally.keys else 0 for name in names]


def _distrust(columns: Columns) -> np.ndarray:
    """(N,) lower is less trusted: by the grade of the whole, and then by what the rule is better than a constant."""
    better = np.nan_to_num(columns.held_out - columns.constant)
    return np.asarray(better - 10.0 * np.maximum(columns.grades[:, 0], 0))


def _of_all_kinds(mistakes: Mistakes | None) -> list[Entry]:
    """Examples of mistakes: the first of each kind, then the second of each, and so on."""
    kinds = [] if mistakes is None else [confusion.examples for confusion in mistakes.confusions]
    longest = max(map(len, kinds), default=0)
    return [kind[i] for i in range(longest) for kind in kinds if i < len(kind)][:N_MISTAKES]
