"""Rules: interval logic on latent coordinates. A rule is an axis-aligned box of the latent space and the label in it.

Coordinates are named z0, z1, ... Points are float32, thresholds float64; a comparison is the one scikit-learn's trees
make, so that ``rule.covers(z)`` holds exactly where the tree puts ``z`` in the rule's leaf.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, order=True)
class Condition:
    """One bound on one latent coordinate: ``z[axis] <= threshold`` or ``z[axis] > threshold``."""

    axis: int
    operator: Literal["<=", ">"]
    threshold: float

    def covers(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) bool."""
        left = latents[:, self.axis].double() <= self.threshold
        return left if self.operator == "<=" else ~left

    def __str__(self) -> str:
        return f"z{self.axis} {self.operator} {self.threshold:.2f}"


@dataclass(frozen=True)
class Rule:
    """``conditions -> label``: at most one lower and one upper bound per axis, sorted by axis.

    No conditions means the whole latent space.
    """

    conditions: tuple[Condition, ...]
    label: int

    @classmethod
    def from_box(cls, lower: Tensor, upper: Tensor, label: int) -> "Rule":
        """The rule ``lower < z <= upper``; bounds (k,) float64, an infinite one is no condition."""
        conditions = [
            condition
            for axis, (low, high) in enumerate(zip(lower.tolist(), upper.tolist(), strict=True))
            for condition in (Condition(axis, ">", low), Condition(axis, "<=", high))
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

    def box(self, k: int) -> tuple[Tensor, Tensor]:
        """Lower and upper bound per axis, each (k,) float64, infinite where the rule has none."""
        lower = torch.full((k,), -torch.inf, dtype=torch.float64)
        upper = torch.full((k,), torch.inf, dtype=torch.float64)
        for c in self.conditions:
            (upper if c.operator == "<=" else lower)[c.axis] = c.threshold
        return lower, upper

    def nearest(self, latents: Tensor, margin: float = 0.0) -> Tensor:
        """(N, k) -> (N, k) float32: each point moved just inside the box by the smallest step.

        ``margin`` is the distance kept from a bound, as far as the box is wide enough. Points stay inside float32:
        a bound that float32 cannot hold is rounded towards the inside.
        """
        lower, upper = self.box(latents.shape[1])
        room = ((upper - lower) / 2).clamp(max=margin)
        first, last = _first_above(lower), _last_below(upper)
        low = (lower + room).float().clamp(first, last)
        high = (upper - room).float().clamp(first, last)
        return torch.minimum(torch.maximum(latents.float(), low), high)

    def words(self, name: Callable[[int], str] = str) -> str:
        """The rule as a sentence; ``name`` gives the name of a label."""
        premise = " and ".join(map(str, self.conditions))
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
        return f"{name(self.label)}, if {' and '.join(map(str, self.changes))} instead"

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
