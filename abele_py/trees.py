"""Decision trees as plain arrays: read off scikit-learn, walked in batches, stored without pickle. Knows no images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier


class Trees(NamedTuple):
    """One or several decision trees, their M nodes in one row of arrays.

    Attributes:
        axis: (M,) int64, the coordinate a node tests; -1 for a leaf.
        threshold: (M,) float64; a point goes left where ``point[axis] <= threshold``.
        left, right: (M,) int64, the children's numbers; a leaf's own number, so that walking on stays there.
        value: (M, K) float32, share of each class at the node.
        roots: (T,) int64, the number of each tree's root.
    """

    axis: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor


def from_sklearn(estimators: "Sequence[DecisionTreeClassifier]") -> Trees:
    """Join fitted classification trees with the same classes into one record."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in Trees._fields}
    start = 0
    for estimator in estimators:
        tree = estimator.tree_
        numbers = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        columns["axis"].append(np.where(leaf, -1, tree.feature))
        columns["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        columns["left"].append(np.where(leaf, numbers, tree.children_left) + start)
        columns["right"].append(np.where(leaf, numbers, tree.children_right) + start)
        share = tree.value[:, 0, :]
        columns["value"].append((share / share.sum(axis=1, keepdims=True)).astype(np.float32))
        columns["roots"].append(np.array([start]))
        start += tree.node_count
    return Trees(**{name: torch.from_numpy(np.concatenate(parts)) for name, parts in columns.items()})


def leaves(trees: Trees, points: Tensor) -> Tensor:
    """The leaf that each tree puts each point in: (N, d) float32 -> (N, T) int64 node numbers.

    Compares as scikit-learn does: the float32 coordinate against the float64 threshold, equality goes left.
    """
    node = trees.roots.expand(len(points), -1)
    coordinates, axis = points.double(), trees.axis.clamp(min=0)
    children = torch.stack([trees.right, trees.left], dim=1).flatten()
    # No tree is deeper than it has nodes below its root: bounded also for a damaged file whose nodes run in a circle.
    for _ in range(len(trees.axis) - len(trees.roots)):
        goes_left = coordinates.gather(1, axis[node]) <= trees.threshold[node]
        before, node = node, children[2 * node + goes_left]
        if torch.equal(before, node):  # a leaf's children are itself
            break
    return node
