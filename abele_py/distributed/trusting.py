"""Sums over explanations: how far they can be trusted, and what decides in each class."""

from collections.abc import Iterable

import numpy as np

from .columns import GRADES, NONE, PARTS, Columns, Items
from .records import N_BARS, Reason, TrustOver
from .tallies import Tally, bins_of

MOST_CLASSES = 10_000  # that are told apart
MOST_REASONS = 50_000  # kinds of conditions, of all classes together
_MOST_NOTES = 64  # codes that are told apart, the last one for all others
_BITS = 17  # that hold a label or the number of a coordinate, or that there is none


class Codes:
    """Codes of notes as small numbers, in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def numbers(self, codes: Iterable[str]) -> np.ndarray:
        """(m,) int64; those beyond what is told apart share the last number."""
        last = _MOST_NOTES - 1
        known = self._numbers
        found = [known.setdefault(code, len(known)) if len(known) < last else known.get(code, last) for code in codes]
        return np.array(found, dtype=np.int64)

    def counted(self, counts: np.ndarray) -> dict[str, int]:
        """Counts by number (``n_codes``,) as counts by code, the most frequent first."""
        named = {code: int(counts[number]) for code, number in self._numbers.items()}
        others = int(counts[_MOST_NOTES - 1])
        found = {code: n for code, n in named.items() if n} | ({"other": others} if others else {})
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


N_CODES = _MOST_NOTES
TRUST_SUMS: dict[str, tuple[int, ...]] = {
    "n": (), "held_out": (), "n_held_out": (), "constant": (), "n_constant": (), "preserved": (),
    "grades": (len(PARTS), len(GRADES)),
}  # fmt: skip


class TrustSums:
    """How far explanations can be trusted, by key.

    Args:
        most: keys that are told apart.
        codes: numbers of notes, which several sums may share.
    """

    def __init__(self, most: int, codes: Codes) -> None:
        self.tally = Tally(
            most, TRUST_SUMS, {"held_out_bars": N_BARS, "constant_bars": N_BARS, "notes": N_CODES},
        )  # fmt: skip
        self._codes = codes

    def add(self, columns: Columns, keys: np.ndarray, notes: np.ndarray) -> np.ndarray:
        """Add the explained rows of a shard.

        Args:
            columns: the rows.
            keys: (N,) of each.
            notes: (m,) numbers of the codes of all their notes.

        Returns:
            (N,) slots; -1 of rows that were not explained or are left out.
        """
        own = np.flatnonzero(columns.explained)
        slots = np.full(len(columns), NONE)
        slots[own] = self.tally.slots(keys[own])
        graded = np.stack([columns.grades == grade for grade in range(len(GRADES))], axis=2)
        self.tally.add(
            slots,
            n=1,
            **means(held_out=columns.held_out, constant=columns.constant),
            preserved=columns.preserved,
            grades=graded,
        )
        self.tally.count("held_out_bars", slots, bins_of(columns.held_out, N_BARS))
        self.tally.count("constant_bars", slots, bins_of(columns.constant, N_BARS))
        self.tally.count("notes", slots[columns.notes.rows], notes)
        return slots

    def found(self, slot: int) -> TrustOver:
        """What was added to one slot; zeros where nothing was."""
        t = self.tally
        if slot >= len(t.keys):
            none = {part: dict.fromkeys(GRADES, 0) for part in PARTS}
            return TrustOver(0, none, None, None, 0.0, np.zeros((2, N_BARS), np.uint32), {})
        n = int(t["n"][slot])
        grades = {
            part: {grade: int(t["grades"][slot, i, j]) for j, grade in enumerate(GRADES)}
            for i, part in enumerate(PARTS)
        }
        return TrustOver(
            n=n,
            grades=grades,
            held_out=mean_of(t, "held_out", slot),
            constant=mean_of(t, "constant", slot),
            preserved=float(t["preserved"][slot]) / n,
            histogram=np.stack([t["held_out_bars"][slot], t["constant_bars"][slot]]),
            notes=self._codes.counted(t["notes"][slot]),
        )


def means(**values: np.ndarray) -> dict[str, np.ndarray]:
    """What is added up for means of values that may be NaN: of each its sum, and how many there are."""
    sums = {name: np.nan_to_num(v) for name, v in values.items()}
    return sums | {f"n_{name}": ~np.isnan(v) for name, v in values.items()}


def mean_of(tally: Tally, name: str, slot: int) -> float | None:
    """The mean of what was added as :func:`means` has it; None of nothing."""
    n = float(tally[f"n_{name}"][slot])
    return float(tally[name][slot]) / n if n else None


class ReasonSums:
    """Kinds of conditions by class: in how many explanations each is found."""

    def __init__(self) -> None:
        # Those towards another class apart: the many others of many classes must not take their place.
        self._tallies = Tally(MOST_REASONS, {"n": ()}), Tally(MOST_REASONS, {"n": ()})

    def add(self, conditions: Items, labels: np.ndarray) -> None:
        """Add the conditions of a shard's rules; ``labels`` (N,) of its rows."""
        v = conditions.values
        along = v["towards"] >= 0
        first = np.where(along, v["towards"], v["axis"])
        second = np.where(along, v["away_from"] + 1, v["below"])
        kinds = ((labels[conditions.rows] << _BITS | first) << _BITS | second) << 1 | along
        for tally, chosen in zip(self._tallies, (along & (second == 0), ~along | (second != 0)), strict=True):
            once = np.unique(np.stack([conditions.rows[chosen], kinds[chosen]]), axis=1)[1]
            tally.add(tally.slots(once), n=1)

    def found(self, most: int) -> dict[int, tuple[Reason, ...]]:
        """Label -> its most frequent kinds of conditions."""
        found: dict[int, list[Reason]] = {}
        mask = 2**_BITS - 1
        counted = {key: n for tally in self._tallies for key, n in zip(tally.keys, tally["n"].tolist(), strict=True)}
        for key, n in sorted(counted.items()):
            along, second, first = key & 1, key >> 1 & mask, key >> 1 + _BITS & mask
            reason = (
                Reason(first, second - 1 if second else None, None, None, int(n))
                if along
                else Reason(None, None, first, bool(second), int(n))
            )
            found.setdefault(key >> 1 + 2 * _BITS, []).append(reason)
        return {label: tuple(sorted(reasons, key=lambda r: -r.n)[:most]) for label, reasons in found.items()}
