"""Rules: bounds on coordinates of the latent space. A rule is a box along the axes, or a polytope, and its label.

Coordinates are named z0, z1, ..., those along other directions d0, d1, ... Points are float32, thresholds float64; a
comparison is the one scikit-learn's trees make, so that ``rule.covers(z)`` holds exactly where the tree puts ``z`` in
the rule's leaf.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, order=True)
class Condition:
    """One bound on one coordinate of the latent space: ``c <= threshold`` or ``c > threshold``.

    Attributes:
        axis: number of the coordinate.
        operator: which side of the threshold.
        threshold: the bound.
        direction: (k,) unit vector v along which the coordinate ``c = v . z`` is measured; None: ``c = z[axis]``.
        towards: the label that a direction leads to.
        away_from: the label that it leads away from; None: that of the explained image.
    """

    axis: int
    operator: Literal["<=", ">"]
    threshold: float
    direction: tuple[float, ...] | None = field(default=None, repr=False)  # k numbers would hide the rest
    towards: int | None = None
    away_from: int | None = None

    def coordinate(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) float32."""
        if self.direction is None:
            return latents[:, self.axis]
        return (latents.double() @ torch.tensor(self.direction, dtype=torch.float64)).float()

    def covers(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) bool."""
        left = self.coordinate(latents).double() <= self.threshold
        return left if self.operator == "<=" else ~left

    def words(self, name: Callable[[int], str] = str) -> str:
        """The condition as words; ``name`` gives the name of a label."""
        letter = "z" if self.direction is None else "d"
        origin = "" if self.away_from is None else f"from {name(self.away_from)} "
        way = "" if self.towards is None else f" ({origin}towards {name(self.towards)})"
        return f"{letter}{self.axis}{way} {self.operator} {self.threshold:z.2f}"

    def __str__(self) -> str:
        return self.words()


@dataclass(frozen=True)
class Rule:
    """``conditions -> label``: at most one lower and one upper bound per coordinate, sorted by coordinate.

    No conditions means the whole latent space.
    """

    conditions: tuple[Condition, ...]
    label: int

    @classmethod
    def from_box(
        cls, lower: Tensor, upper: Tensor, label: int, places: Sequence[tuple[Any, ...]] | None = None
    ) -> "Rule":
        """The rule ``lower < c <= upper``; bounds (m,) float64, an infinite one is no condition.

        Args:
            places: of each of the m coordinates ``direction``, ``towards`` and ``away_from`` of :class:`Condition`;
                None: they are the first m of the latent space.
        """
        where = zip(lower.tolist(), upper.tolist(), places or len(lower) * [()], strict=True)
        conditions = [
            condition
            for axis, (low, high, place) in enumerate(where)
            for condition in (Condition(axis, ">", low, *place), Condition(axis, "<=", high, *place))
            if math.isfinite(condition.threshold)
        ]
        return cls(tuple(conditions), label)

    def covers(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) bool: which points meet all conditions."""
        return self._met(latents).all(dim=1)

    def broken(self, latent: Tensor) -> tuple[Condition, ...]:
        """The conditions that one point (k,) does not meet."""
        met = self._met(latent[None])[0].tolist()
        return tuple(c for c, holds in zip(self.conditions, met, strict=True) if not holds)

    def _met(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N, number of conditions) bool, as :meth:`Condition.covers` of each."""
        thresholds = torch.tensor([c.threshold for c in self.conditions], dtype=torch.float64)
        upper = torch.tensor([c.operator == "<=" for c in self.conditions], dtype=torch.bool)
        directions = torch.from_numpy(self._directions(latents.shape[1]))
        coordinates = (latents.double() @ directions.T).float()
        return (coordinates.double() <= thresholds) == upper

    def _directions(self, k: int) -> "np.ndarray[Any, Any]":
        """(number of conditions, k) float64: along what each measures; an axis is a direction too."""
        axes = np.eye(k)
        places = [axes[c.axis] if c.direction is None else c.direction for c in self.conditions]
        return np.array(places).reshape(-1, k)

    def intervals(self) -> list[tuple[int, float, float]]:
        """Of each bounded axis its number, and its lower and upper bound, infinite where there is none."""
        found: dict[int, tuple[int, float, float]] = {}
        for c in self.conditions:
            if c.direction is None:
                _, low, high = found.get(c.axis, (c.axis, -math.inf, math.inf))
                found[c.axis] = (c.axis, low, c.threshold) if c.operator == "<=" else (c.axis, c.threshold, high)
        return list(found.values())

    def nearest(self, latents: Tensor, margin: float = 0.0) -> Tensor:
        """(N, k) -> (N, k) float32: each point moved just inside by the smallest step.

        ``margin`` is the distance kept from a bound, as far as there is room. Points stay inside float32: a bound on an
        axis that float32 cannot hold is rounded towards the inside, and from bounds along directions, where the
        coordinate is rounded too, a distance of 1e-5 is kept.
        """
        if all(c.direction is None for c in self.conditions):
            return self._clamped(latents, margin)
        moved, rows = latents.float().clone(), torch.arange(len(latents))
        for share in (1.0, 0.5, 0.25, 0.125, 0.0):
            moved[rows] = self._projected(latents[rows], max(share * margin, 1e-5))
            rows = rows[~self.covers(moved[rows])]
            if not len(rows):
                break
        return moved

    def _clamped(self, latents: Tensor, margin: float) -> Tensor:
        moved = latents.float().clone()
        for axis, low, high in self.intervals():
            room = min(margin, (high - low) / 2)
            bounds = torch.tensor([low, high], dtype=torch.float64)
            first, last = _first_above(bounds[0]), _last_below(bounds[1])
            inside = (bounds[0] + room).float().clamp(first, last), (bounds[1] - room).float().clamp(first, last)
            moved[:, axis] = moved[:, axis].clamp(*inside)
        return moved

    def _projected(self, latents: Tensor, margin: float) -> Tensor:
        """The points of a polytope nearest to points: least distance programming (Lawson & Hanson 1974, chapter 23).

        Where the polytope less ``margin`` is empty, a point stays where it is.
        """
        from scipy.optimize import nnls  # takes half a second to import

        signs = np.array([1.0 if c.operator == "<=" else -1.0 for c in self.conditions])
        normals = signs[:, None] * self._directions(latents.shape[1])
        points = latents.double().numpy().copy()
        excess = points @ normals.T - signs * np.array([c.threshold for c in self.conditions]) + margin
        for row in np.flatnonzero(excess.max(axis=1) > 0):
            system = np.concatenate([-normals.T, excess[row][None]])
            goal = np.eye(len(system))[-1]
            rest = system @ nnls(system, goal)[0] - goal
            if rest[-1] < -1e-12:  # 0: no point meets all conditions
                points[row] -= rest[:-1] / rest[-1]
        return torch.from_numpy(points).float()

    def words(self, name: Callable[[int], str] = str) -> str:
        """The rule as a sentence; ``name`` gives the name of a label."""
        premise = " and ".join(c.words(name) for c in self.conditions)
        return f"{name(self.label)}, because {premise}" if premise else f"{name(self.label)}, always"

    def __str__(self) -> str:
        return f"{{{', '.join(map(str, self.conditions)) or 'always'}}} -> {self.label}"


@dataclass(frozen=True)
class CounterfactualRule:
    """What must change for another label: the conditions of ``rule`` that the explained point breaks.

    Attributes:
        rule: the whole path of the surrogate to the other label.
        changes: its conditions that the explained point breaks, at least one; all others it meets already.
    """

    rule: Rule
    changes: tuple[Condition, ...]

    @property
    def label(self) -> int:
        return self.rule.label

    def words(self, name: Callable[[int], str] = str) -> str:
        """The rule as a sentence; ``name`` gives the name of a label."""
        return f"{name(self.label)}, if {' and '.join(c.words(name) for c in self.changes)} instead"

    def __str__(self) -> str:
        return str(Rule(self.changes, self.label))


def _first_above(bound: Tensor) -> Tensor:
    """The smallest float32 above a float64 bound."""
    value = bound.float()
    return torch.where(value.double() > bound, value, torch.nextafter(value, torch.full_like(value, torch.inf)))


def _last_below(bound: Tensor) -> Tensor:
    """The largest float32 that is not above a float64 bound."""
    value = bound.float()
    return torch.where(value.double() <= bound, value, torch.nextafter(value, torch.full_like(value, -torch.inf)))
