"""Rules: interval logic on coordinates of the latent space. A rule is a box, along the axes or turned, and its label.

Coordinates are named z0, z1, ..., those along other directions d0, d1, ... Points are float32, thresholds float64; a
comparison is the one scikit-learn's trees make, so that ``rule.covers(z)`` holds exactly where the tree puts ``z`` in
the rule's leaf.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

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
            Directions of one rule are orthogonal.
        towards: the label that a direction leads to.
    """

    axis: int
    operator: Literal["<=", ">"]
    threshold: float
    direction: tuple[float, ...] | None = field(default=None, repr=False)  # k numbers would hide the rest
    towards: int | None = None

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
        towards = "" if self.towards is None else f" (towards {name(self.towards)})"
        return f"{letter}{self.axis}{towards} {self.operator} {self.threshold:.2f}"

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
        cls,
        lower: Tensor,
        upper: Tensor,
        label: int,
        directions: Sequence[tuple[float, ...] | None] | None = None,
        towards: Sequence[int | None] | None = None,
    ) -> "Rule":
        """The rule ``lower < c <= upper``; bounds (m,) float64, an infinite one is no condition.

        Args:
            directions: of the m coordinates, see :class:`Condition`; None: the first m of the latent space.
            towards: the label that each direction leads to.
        """
        m = len(lower)
        where = zip(directions or m * [None], towards or m * [None], strict=True)
        conditions = [
            condition
            for axis, (low, high, place) in enumerate(zip(lower.tolist(), upper.tolist(), where, strict=True))
            for condition in (Condition(axis, ">", low, *place), Condition(axis, "<=", high, *place))
            if math.isfinite(condition.threshold)
        ]
        return cls(tuple(conditions), label)

    def covers(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) bool: which points lie inside the box."""
        inside = torch.ones(len(latents), dtype=torch.bool)
        for condition in self.conditions:
            inside &= condition.covers(latents)
        return inside

    def broken(self, latent: Tensor) -> tuple[Condition, ...]:
        """The conditions that one point (k,) does not meet."""
        return tuple(c for c in self.conditions if not bool(c.covers(latent[None])))

    def intervals(self) -> list[tuple[Condition, float, float]]:
        """Of each bounded coordinate one of its conditions, and its lower and upper bound, infinite where none."""
        found: dict[int, tuple[Condition, float, float]] = {}
        for c in self.conditions:
            _, low, high = found.get(c.axis, (c, -math.inf, math.inf))
            found[c.axis] = (c, low, c.threshold) if c.operator == "<=" else (c, c.threshold, high)
        return list(found.values())

    def moved(self, latents: Tensor, place: Callable[[Condition, Tensor, float, float], Tensor]) -> Tensor:
        """(N, k) -> (N, k) float32: each bounded coordinate c of the points becomes ``place(condition, c, low, high)``.

        All that is orthogonal to the bounded coordinates stays.
        """
        moved = latents.float().clone()
        for condition, low, high in self.intervals():
            old = condition.coordinate(moved)
            new = place(condition, old, low, high)
            if condition.direction is None:
                moved[:, condition.axis] = new
            else:
                step = (new.double() - old.double())[:, None] * torch.tensor(condition.direction, dtype=torch.float64)
                moved = (moved.double() + step).float()
        return moved

    def nearest(self, latents: Tensor, margin: float = 0.0) -> Tensor:
        """(N, k) -> (N, k) float32: each point moved just inside the box by the smallest step.

        ``margin`` is the distance kept from a bound, as far as the box is wide enough. Points stay inside float32:
        a bound that float32 cannot hold is rounded towards the inside, and from bounds along directions, where a
        rotation rounds too, a distance of 1e-5 is kept.
        """

        def inside(condition: Condition, c: Tensor, low: float, high: float) -> Tensor:
            room = min(margin if condition.direction is None else max(margin, 1e-5), (high - low) / 2)
            bounds = torch.tensor([low, high], dtype=torch.float64)
            first, last = _first_above(bounds[0]), _last_below(bounds[1])
            return c.clamp((bounds[0] + room).float().clamp(first, last), (bounds[1] - room).float().clamp(first, last))

        return self.moved(latents, inside)

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
