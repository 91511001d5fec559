"""A linear machine as a decision tree: its splits are the boundaries between two labels."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..trees import Trees
from .logistic import fit_logistic
from .pruning import without_idle_splits

Array = np.ndarray[Any, Any]


def linear_machine(latents: Tensor, labels: Tensor, weights: Tensor) -> tuple[Trees, Tensor, Tensor, Tensor]:
    """Learn a tree whose splits are boundaries between two labels, and that gives row 0 its label.

    A multinomial logistic regression gives each label a linear discriminant; the largest wins (a linear machine:
    Brodley & Utgoff 1995, Multivariate decision trees, Machine Learning 19). As a tree it is a tournament (Platt et al.
    2000, Large margin DAGs for multiclass classification): the label of row 0 meets the most frequent other label, the
    winner the next, and so on, so that the conditions on row 0's own path are boundaries of its own label. Splits with
    all points on one side are left out, and on row 0's path those with at most one in 200 of all points beyond: a rule
    speaks of the labels that are near. A boundary that row 0 lies beyond is moved up to it.

    Args:
        latents: (N, k) float32.
        labels: (N,) int64.
        weights: (N,) positive.

    Returns:
        The tree; (K',) int64 its classes, row 0's first; (m, k) float64, the unit vectors along which it measures the m
        coordinates that it tests; and (m, 2) int64, the labels that each of them leads from and to.
    """
    found, counts = labels.unique(return_counts=True)
    order = counts.where(found != labels[0], len(labels) + 1).argsort(descending=True, stable=True)
    slopes, offsets = _discriminants(latents, labels, weights)
    tournament = _Tournament(latents.double().numpy(), slopes[order].numpy(), offsets[order].numpy())
    tournament.grow(np.arange(len(latents)), 0, 1)
    tree, pairs, directions = tournament.tree()
    return tree, found[order], directions, found[order][pairs]


def along(directions: Tensor, latents: Tensor) -> Tensor:
    """Coordinates (N, m) float32 of points (N, k) along directions (m, k) float64."""
    return (latents.double() @ directions.T).float()


def _discriminants(latents: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes (K', k) and offsets (K',) float64 of a linear function for each label, in ascending order."""
    center = latents[0].double()
    points = latents.double() - center
    unit = points.norm(dim=1).median().clamp(min=1e-12)
    classes, numbers = labels.unique(return_inverse=True)
    if len(classes) == 1:
        return torch.zeros(1, latents.shape[1]).double(), torch.zeros(1).double()
    # Weak regularisation: of 10, 30, 100 and 300 the larger ones were more faithful (docs/experiments.md).
    found = fit_logistic((points / unit).numpy(), numbers.numpy(), (weights / weights.mean()).numpy(), c=100.0)
    slopes, offsets = map(torch.from_numpy, found)
    slopes = slopes / unit
    return slopes, offsets - slopes @ center


@dataclass
class _Tournament:
    """Nodes of the tree, grown from the root on: children come after their parents.

    Arrays, not tensors: there are many steps on few numbers.
    """

    latents: Array  # (N, k) float64, float32's values
    slopes: Array
    offsets: Array
    meetings: dict[tuple[int, int], tuple[Array, float, Array]] = field(default_factory=dict)
    splits: list[tuple[int, int] | None] = field(default_factory=list)
    children: list[tuple[int, int]] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)

    def meeting(self, a: int, b: int) -> tuple[Array, float, Array]:
        """Direction and threshold of the boundary of two classes; and (N,) bool, the points on the first's side."""
        if (a, b) not in self.meetings:
            step = self.slopes[b] - self.slopes[a]
            length = max(float(torch.from_numpy(step).norm()), 1e-12)
            coordinates = (self.latents @ (step / length)).astype(np.float32)  # as `along` measures them
            threshold = float(self.offsets[a] - self.offsets[b]) / length
            threshold = max(threshold, float(coordinates[0])) if a == 0 else threshold
            self.meetings[a, b] = step / length, threshold, coordinates <= np.float64(threshold)
        return self.meetings[a, b]

    def grow(self, rows: Array, winner: int, challenger: int) -> int:
        """The number of a new node that tells the points of some rows apart, the classes from challenger on to come."""
        node, n_classes = len(self.splits), len(self.slopes)
        few = len(self.latents) // 200 if winner == 0 else 0  # the class of row 0 wins on its path alone
        for b in range(challenger, n_classes):
            first = self.meeting(winner, b)[2][rows]
            beyond = len(rows) - int(np.count_nonzero(first))
            if few < beyond < len(rows):
                break
            winner = winner if beyond <= few else b
        else:
            self.splits.append(None)
            self.children.append((node, node))
            self.values.append(np.eye(n_classes, dtype=np.float32)[winner])
            return node
        self.splits.append((winner, b))
        self.children.append((node, node))
        self.values.append(np.zeros(n_classes, dtype=np.float32))
        left, right = self.grow(rows[first], winner, b + 1), self.grow(rows[~first], b, b + 1)
        self.children[node] = left, right
        share = 1 - beyond / len(rows)
        self.values[node] = share * self.values[left] + (1 - share) * self.values[right]
        return node

    def tree(self) -> tuple[Trees, Tensor, Tensor]:
        """The tree; the two classes of each coordinate that it tests, (m, 2); the direction of each, (m, k)."""
        used = sorted({pair for pair in self.splits if pair})
        number = {pair: i for i, pair in enumerate(used)}
        tree = Trees(
            axis=torch.tensor([number[pair] if pair else -1 for pair in self.splits]),
            threshold=torch.tensor([self.meetings[p][1] if p else 0.0 for p in self.splits], dtype=torch.float64),
            left=torch.tensor([left for left, _ in self.children]),
            right=torch.tensor([right for _, right in self.children]),
            value=torch.from_numpy(np.stack(self.values)),
            roots=torch.zeros(1, dtype=torch.int64),
        )
        directions = np.stack([self.meetings[pair][0] for pair in used]) if used else self.slopes[:0]
        return (
            without_idle_splits(tree),
            torch.tensor(used, dtype=torch.int64).reshape(-1, 2),
            torch.from_numpy(directions),
        )
