"""Sums, samples and extremes of rows that come in a stream, in memory that does not grow with their number."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

T = TypeVar("T")
Array = np.ndarray[Any, Any]

N_BINS = 256
_LOW, _HIGH = -4.0, 4.0  # powers of ten between which distances are told apart; beyond, they are in the last bins


class Tally:
    """Sums, counts and minima by key.

    Args:
        most: keys that are told apart; rows of any later one are counted in ``left_out`` alone.
        sums: name -> shape of what is added up, ``()`` for numbers.
        counts: name -> number of bins that are counted in.
        minima: names of numbers of which the lowest is kept.
    """

    def __init__(
        self,
        most: int,
        sums: Mapping[str, tuple[int, ...]],
        counts: Mapping[str, int] | None = None,
        minima: Sequence[str] = (),
    ) -> None:
        self.keys: list[int] = []
        self.left_out = 0
        self._most, self._slots = most, dict[int, int]()
        self._sums: dict[str, Array] = {name: np.zeros((8, *shape)) for name, shape in sums.items()}
        self._sums |= {name: np.zeros((8, n), np.uint32) for name, n in (counts or {}).items()}
        self._sums |= {name: np.full(8, np.inf) for name in minima}
        self._minima = frozenset(minima)

    def slots(self, keys: Array) -> Array:
        """Where each key's sums are: (n,) int64 to (n,) int64, -1 for those left out."""
        different, inverse = np.unique(keys, return_inverse=True)
        found = np.array([self._slot(key) for key in different.tolist()], dtype=np.int64)
        slots = found[inverse.reshape(-1)]
        self.left_out += int((slots < 0).sum())
        return slots

    def add(self, slots: Array, **values: Any) -> None:
        """Add values (n, ...) to the sums of their slots (n,); one value for all is added for each. -1: left out."""
        order = np.argsort(slots, kind="stable")
        order = order[np.searchsorted(slots[order], 0) :]
        if not len(order):
            return
        at, starts = np.unique(slots[order], return_index=True)
        for name, given in values.items():
            total = self._sums[name]
            rows = np.broadcast_to(np.asarray(given, dtype=np.float64), (len(slots), *total.shape[1:]))
            total[at] += np.add.reduceat(rows[order], starts, axis=0)

    def count(self, name: str, slots: Array, bins: Array) -> None:
        """Count one in a bin (n,) of the sum of each slot (n,); -1: left out."""
        there = (slots >= 0) & (bins >= 0)
        total = self._sums[name]
        flat = slots[there] * total.shape[1] + bins[there]
        at, times = np.unique(flat, return_counts=True)
        total.reshape(-1)[at] += times.astype(np.uint32)

    def lower(self, name: str, slots: Array, values: Array) -> None:
        """Keep the lowest of the values (n,) of each slot (n,). -1: left out."""
        np.minimum.at(self._sums[name], slots[slots >= 0], values[slots >= 0])

    def __getitem__(self, name: str) -> Array:
        """By slot, (number of keys, ...): sums as float64, whole numbers exact below 2**53, and counts as uint32."""
        return self._sums[name][: len(self.keys)]

    def _slot(self, key: int) -> int:
        if (slot := self._slots.get(key)) is not None:
            return slot
        if len(self.keys) == self._most:
            return -1
        slot = self._slots[key] = len(self.keys)
        self.keys.append(key)
        for name, total in self._sums.items():
            if slot == len(total):
                more = np.full_like(total, np.inf if name in self._minima else 0)
                self._sums[name] = np.concatenate([total, more])
        return slot


class Lowest(Generic[T]):
    """Of each group those with the lowest keys; of equal keys, those that came first.

    Args:
        most: of each group.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._heaps: list[list[tuple[float, int, T]]] = []  # the highest key first, with its sign turned
        self._bounds = np.full(8, np.inf)
        self._n = 0

    def add(self, groups: Array, keys: Array, make: Callable[[int], T]) -> None:
        """Take from n more.

        Args:
            groups: (n,) whole numbers, best small ones; those below 0 are left out.
            keys: (n,) numbers; NaN is as high as can be.
            make: what is kept of one of the n, by its place; called for those that are taken alone.
        """
        if not len(groups) or self.most == 0:
            return
        keys = np.nan_to_num(np.asarray(keys, dtype=np.float64), nan=np.finfo(np.float64).max)
        while groups.max() >= len(self._bounds):
            self._bounds = np.concatenate([self._bounds, np.full_like(self._bounds, np.inf)])
        self._heaps += [[] for _ in range(int(groups.max()) + 1 - len(self._heaps))]
        for i in np.flatnonzero((groups >= 0) & (keys < self._bounds[groups])).tolist():
            group, key = int(groups[i]), float(keys[i])
            heap = self._heaps[group]
            if key >= self._bounds[group]:
                continue
            self._n += 1
            item = (-key, -self._n, make(i))
            if len(heap) < self.most:
                heapq.heappush(heap, item)
            else:
                heapq.heapreplace(heap, item)
            if len(heap) == self.most:
                self._bounds[group] = -heap[0][0]

    def of(self, group: int = 0) -> list[T]:
        """What was kept of a group, the lowest key first."""
        heap = self._heaps[group] if group < len(self._heaps) else []
        return [thing for _, _, thing in sorted(heap, key=lambda item: (-item[0], -item[1]))]


def scattered(numbers: Array, salt: int) -> Array:
    """Whole numbers (n,) as numbers in [0, 1) without a pattern: those of the lowest are a random sample.

    The same for the same number and salt, whatever stands beside it (the finaliser of SplitMix64, Steele, Lea & Flood
    2014).
    """
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(salt + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2**53


def bins_of(values: Array, n: int) -> Array:
    """Values (m,) in [0, 1] -> the numbers of n bins of one width; -1 for NaN."""
    bins = np.clip(np.nan_to_num(values) * n, 0, n - 1).astype(np.int64)
    return np.where(np.isnan(values), -1, bins)


def distance_bins(distances: Array) -> Array:
    """Distances (m,) -> the numbers of ``N_BINS`` bins whose ends differ by a factor of 1.075; -1 for NaN."""
    powers = np.log10(np.maximum(np.nan_to_num(distances), 10**_LOW))
    return np.where(np.isnan(distances), -1, bins_of((powers - _LOW) / (_HIGH - _LOW), N_BINS))


def median_distance(counts: Array, low: float) -> float:
    """The median of distances counted by :func:`distance_bins`, to 4 %; NaN of none.

    Args:
        counts: (N_BINS,).
        low: the smallest distance, which it is not below.
    """
    if not (total := counts.sum()):
        return float("nan")
    bin_ = int(np.searchsorted(np.cumsum(counts), total / 2))
    return max(float(10 ** (_LOW + (bin_ + 0.5) / N_BINS * (_HIGH - _LOW))), low)
