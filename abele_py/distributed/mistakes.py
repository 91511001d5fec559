"""Sums over mistakes: what their explanations say beside those of right decisions, and what they have in common."""

from collections.abc import Callable

import numpy as np

from .columns import GRADES, NONE, Columns
from .records import Confusion, Entry, Mistakes, Side
from .rows import GRID
from .tallies import Lowest, Tally, scattered
from .trusting import N_CODES, Codes, mean_of, means

MOST_PAIRS = 50_000  # of classes that are told apart
N_EXAMPLES = 6  # of one kind of mistake
SURE, UNSURE = 0.9, 0.6  # probabilities
# What can be said of one decision: name -> in words. The first four are of mistakes alone.
SIGNS = {
    "true-nearest": "the true class is the nearest other class",
    "true-farther": "another class is nearer than the true one",
    "true-not-found": "no way to the true class was found",
    "copy-right": "the autoencoder's copy is predicted rightly",
    "label-lost": "the autoencoder's copy is predicted as something else",
    "sure": f"the black box is sure: a probability of {SURE} or more",
    "unsure": f"the black box is not sure: a probability below {UNSURE}",
    "unusual": "the image is unusual",
    "bad": "the rule cannot be relied on",
}
_UNUSUAL = ("code-not-valid", "not-typical")
# Signs that make a group where they come together: one of the first three, and any of the others.
_WAYS, _ADDED = ("true-nearest", "true-farther", "true-not-found"), ("copy-right", "sure", "unusual")
GROUPS = [
    (way, *(name for i, name in enumerate(_ADDED) if more >> i & 1))
    for way in _WAYS
    for more in range(2 ** len(_ADDED))
]
_SUMS: dict[str, tuple[int, ...]] = {
    "n": (), "grades": (len(GRADES),), "signs": (len(SIGNS),), "probability": (), "n_probability": (),
    "distance": (), "n_distance": (), "to_true": (), "n_to_true": (),
}  # fmt: skip
_WRONG, _RIGHT = 0, 1
_CELLS = GRID * GRID


class MistakeSums:
    """What explanations of mistakes and of right decisions say.

    Args:
        codes: numbers of notes.
    """

    def __init__(self, codes: Codes) -> None:
        counts = {"notes": N_CODES, "groups": len(GROUPS)}
        self._codes = codes
        self._sides = Tally(2, _SUMS, counts)
        self._sides.slots(np.array([_WRONG]))
        self._sides.slots(np.array([_RIGHT]))
        self._pairs = Tally(MOST_PAIRS, _SUMS | {"change": (_CELLS,), "n_change": ()}, counts)
        self.examples = Lowest[Entry](N_EXAMPLES)

    def add(self, columns: Columns, notes: np.ndarray, entry_of: Callable[[int], Entry]) -> None:
        """Add the explained rows of a shard whose true label is known.

        Args:
            columns: the rows.
            notes: (m,) numbers of the codes of all their notes.
            entry_of: one of the rows in short.
        """
        known = columns.explained & (columns.true_label >= 0)
        wrong = known & (columns.true_label != columns.label)
        signs, to_true = _signs(columns, wrong)
        nearest, distance = columns.nearest
        values = {
            "n": 1,
            "grades": columns.grades[:, :1] == np.arange(len(GRADES)),
            "signs": signs,
            **means(probability=columns.probability, distance=distance, to_true=to_true),
        }
        groups = _groups(signs)
        sides = np.where(known, np.where(wrong, _WRONG, _RIGHT), NONE)
        self._sides.add(sides, **values)
        pairs = np.full(len(columns), NONE)
        pairs[wrong] = self._pairs.slots(columns.true_label[wrong] << 16 | columns.label[wrong])
        self._pairs.add(pairs, **values)
        for tally, slots in ((self._sides, sides), (self._pairs, pairs)):
            tally.count("notes", slots[columns.notes.rows], notes)
            tally.count("groups", np.where(wrong, slots, NONE), groups)
        changes = columns.changes
        leads_to_true = nearest[changes.rows] == columns.true_label[changes.rows]
        if leads_to_true.any():
            at = changes.rows[leads_to_true]
            self._pairs.add(pairs[at], change=changes.values[leads_to_true], n_change=1)
        self.examples.add(pairs, scattered(columns.index, 2), entry_of)

    def found(self) -> Mistakes | None:
        """What was added; None where no true label is known."""
        if not self._sides["n"].any():
            return None
        confusions = [self._confusion(slot, key) for slot, key in enumerate(self._pairs.keys)]
        confusions.sort(key=lambda c: (-c.side.n, c.true_label, c.label))
        return Mistakes(
            wrong=self._side(self._sides, _WRONG),
            right=self._side(self._sides, _RIGHT),
            confusions=tuple(confusions),
            groups=_named(self._sides["groups"][_WRONG]),
            left_out=self._pairs.left_out,
        )

    def _side(self, tally: Tally, slot: int) -> Side:
        return Side(
            n=int(tally["n"][slot]),
            grades={grade: int(n) for grade, n in zip(GRADES, tally["grades"][slot], strict=True)},
            notes=self._codes.counted(tally["notes"][slot]),
            signs={name: int(n) for name, n in zip(SIGNS, tally["signs"][slot], strict=True)},
            probability=mean_of(tally, "probability", slot),
            distance=mean_of(tally, "distance", slot),
        )

    def _confusion(self, slot: int, key: int) -> Confusion:
        pairs = self._pairs
        n_change = pairs["n_change"][slot]
        return Confusion(
            true_label=key >> 16,
            label=key & 0xFFFF,
            side=self._side(pairs, slot),
            to_true=mean_of(pairs, "to_true", slot),
            change=(pairs["change"][slot] / n_change / 127).reshape(GRID, GRID) if n_change else None,
            groups=_named(pairs["groups"][slot]),
            examples=tuple(self.examples.of(slot)),
        )


def _signs(columns: Columns, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which signs each row has, (N, number of signs) bool, and how far the true label is, (N,), NaN without a way."""
    counters = columns.counters
    of_true = counters.values["label"] == columns.true_label[counters.rows]
    to_true = np.full(len(columns), np.nan)
    at = counters.rows[of_true][::-1]  # of several the nearest, which comes first, is written last
    to_true[at] = counters.values["distance"][of_true][::-1]
    found = np.zeros(len(columns), dtype=bool)
    found[at] = True
    nearest, _ = columns.nearest
    is_nearest = found & (nearest == columns.true_label)
    unusual = np.zeros(len(columns), dtype=bool)
    unusual[columns.notes.rows[np.isin(columns.notes.values["code"].astype(str), _UNUSUAL)]] = True
    signs = {
        "true-nearest": wrong & is_nearest,
        "true-farther": wrong & found & ~is_nearest,
        "true-not-found": wrong & ~found,
        "copy-right": wrong & (columns.copy_label == columns.true_label),
        "label-lost": ~columns.preserved,
        "sure": columns.probability >= SURE,
        "unsure": columns.probability < UNSURE,
        "unusual": unusual,
        "bad": columns.grades[:, 0] == GRADES.index("bad"),
    }
    return np.stack([signs[name] for name in SIGNS], axis=1), to_true


def _groups(signs: np.ndarray) -> np.ndarray:
    """Signs (N, number of signs) -> places in ``GROUPS``."""
    at = {name: i for i, name in enumerate(SIGNS)}
    way = signs[:, [at[name] for name in _WAYS]].argmax(axis=1)
    more = signs[:, [at[name] for name in _ADDED]] @ (1 << np.arange(len(_ADDED)))
    return np.asarray(way * 2 ** len(_ADDED) + more)


def _named(counts: np.ndarray) -> dict[tuple[str, ...], int]:
    order = np.argsort(-counts.astype(np.int64), kind="stable")
    return {GROUPS[i]: int(counts[i]) for i in order.tolist() if counts[i]}
