"""Decision trees as plain arrays: read off scikit-learn, walked in batches, stored without pickle. Knows no images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor


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


def from_sklearn(estimators: Sequence[DecisionTreeClassifier]) -> Trees:
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
    for _ in range(len(trees.axis)):  # bounded also for a damaged file whose nodes run in a circle
        axis = trees.axis[node]
        if bool((axis < 0).all()):
            break
        goes_left = points.gather(1, axis.clamp(min=0)).double() <= trees.threshold[node]
        node = torch.where(goes_left, trees.left[node], trees.right[node])
    return node


def pruning_alphas(estimator: DecisionTreeClassifier) -> Tensor:
    """For each node of a fitted tree, the cost of complexity from which on it is a leaf, (M,) float64.

    Weakest-link pruning (Breiman et al. 1984, section 3.3): always the inner node whose subtree lowers the impurity
    least per leaf is next. One fit gives all prunings; scikit-learn's ``ccp_alpha`` fits anew for each.
    """
    tree = estimator.tree_
    n, left, right = tree.node_count, tree.children_left, tree.children_right
    own = tree.impurity * tree.weighted_n_node_samples / tree.weighted_n_node_samples[0]
    inner = left >= 0
    parent = np.full(n, -1)
    parent[left[inner]] = parent[right[inner]] = np.flatnonzero(inner)
    below, size = own.copy(), np.ones(n)  # impurity and number of the leaves below each node
    for node in np.flatnonzero(inner)[::-1]:  # children are numbered after their parents
        below[node] = below[left[node]] + below[right[node]]
        size[node] = size[left[node]] + size[right[node]]
    gain = np.where(inner, own - below, np.inf) / np.maximum(size - 1, 1)
    alphas, alpha = np.where(inner, np.inf, 0.0), 0.0
    while np.isfinite(gain[0]):
        weakest = int(gain.argmin())
        alpha = max(alpha, gain[weakest])
        stack = [weakest]
        while stack:
            node = stack.pop()
            if np.isinf(alphas[node]):
                alphas[node], gain[node] = alpha, np.inf
                stack += [left[node], right[node]]
        saved, leaves_lost = own[weakest] - below[weakest], size[weakest] - 1
        node = weakest
        while node >= 0:
            below[node] += saved
            size[node] -= leaves_lost
            if np.isfinite(gain[node]):
                gain[node] = (own[node] - below[node]) / max(size[node] - 1, 1)
            node = parent[node]
    return torch.from_numpy(alphas)


def prune(tree: Trees, alphas: Tensor, alpha: float) -> Trees:
    """One tree with every node a leaf whose ``pruning_alphas`` are at most ``alpha``; the nodes below are dropped."""
    inner = alphas > alpha
    kept = torch.zeros(len(alphas), dtype=torch.bool)
    kept[tree.roots] = True
    kept[tree.left[inner]] = kept[tree.right[inner]] = True
    number = kept.cumsum(0) - 1
    return Trees(
        axis=torch.where(inner, tree.axis, -1)[kept],
        threshold=torch.where(inner, tree.threshold, 0.0)[kept],
        left=torch.where(inner, number[tree.left], number)[kept],
        right=torch.where(inner, number[tree.right], number)[kept],
        value=tree.value[kept],
        roots=tree.roots,
    )


def without_idle_splits(tree: Trees) -> Trees:
    """One tree without splits whose leaves are all of one class: no point changes its class, paths get shorter.

    Scikit-learn makes such splits where only the shares of the classes differ, and, with weights, in pure nodes too.
    """
    inner = tree.axis >= 0
    answer = torch.where(inner, -1, tree.value.argmax(dim=1)).tolist()  # -1: of several classes
    for node in inner.nonzero()[:, 0].tolist()[::-1]:  # children are numbered after their parents
        left, right = answer[tree.left[node]], answer[tree.right[node]]
        answer[node] = left if left == right else -1
    return prune(tree, torch.where(torch.tensor(answer) < 0, torch.inf, 0.0), 0.0)
