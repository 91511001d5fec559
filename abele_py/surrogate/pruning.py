"""Pruning of a fitted tree: minimal cost-complexity (Breiman et al. 1984), and splits that decide nothing."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..trees import Trees

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier


def pruning_alphas(estimator: "DecisionTreeClassifier") -> Tensor:
    """For each node of a fitted tree, the cost of complexity from which on it is a leaf, (M,) float64.

    Weakest-link pruning (Breiman et al. 1984, section 3.3): always the inner node whose subtree lowers the impurity
    least per leaf is next. One fit gives all prunings; scikit-learn's ``ccp_alpha`` fits anew for each.
    """
    tree = estimator.tree_
    n, inner = tree.node_count, tree.children_left >= 0
    impurity = tree.impurity * tree.weighted_n_node_samples / tree.weighted_n_node_samples[0]
    links = np.full(n, -1)
    links[tree.children_left[inner]] = links[tree.children_right[inner]] = np.flatnonzero(inner)
    # lists: the walks below take single numbers, which arrays hand out slowly
    own, left, right, parent = (a.tolist() for a in (impurity, tree.children_left, tree.children_right, links))
    below, size = own.copy(), [1] * n  # impurity and number of the leaves below each node
    for node in np.flatnonzero(inner)[::-1].tolist():  # children are numbered after their parents
        below[node] = below[left[node]] + below[right[node]]
        size[node] = size[left[node]] + size[right[node]]
    gain = np.where(inner, impurity - below, np.inf) / np.maximum(np.array(size) - 1, 1)
    alphas, alpha = np.where(inner, np.inf, 0.0), 0.0
    pruned = (~inner).tolist()
    while np.isfinite(gain[0]):
        weakest = int(gain.argmin())
        alpha = max(alpha, float(gain[weakest]))
        stack = [weakest]
        while stack:
            node = stack.pop()
            if not pruned[node]:
                pruned[node], alphas[node], gain[node] = True, alpha, np.inf
                stack += [left[node], right[node]]
        saved, leaves_lost = own[weakest] - below[weakest], size[weakest] - 1
        node = weakest
        while node >= 0:
            below[node] += saved
            size[node] -= leaves_lost
            if not pruned[node]:
                gain[node] = (own[node] - below[node]) / max(size[node] - 1, 1)
            node = parent[node]
    return torch.from_numpy(alphas)


def ways(tree: Trees) -> np.ndarray[Any, Any]:
    """For each node of one tree the nodes from the root to it, which then stays: (M, D) int64, D - 1 the depth."""
    found = [[0]] * len(tree.axis)
    for node, (left, right) in enumerate(zip(tree.left.tolist(), tree.right.tolist(), strict=True)):
        if left != node:  # children are numbered after their parents
            found[left], found[right] = [*found[node], left], [*found[node], right]
    longest = max(map(len, found))
    return np.array([way + way[-1:] * (longest - len(way)) for way in found])


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
    left, right = tree.left.tolist(), tree.right.tolist()
    for node in inner.nonzero()[:, 0].tolist()[::-1]:  # children are numbered after their parents
        first, second = answer[left[node]], answer[right[node]]
        answer[node] = first if first == second else -1
    return prune(tree, torch.where(torch.tensor(answer) < 0, torch.inf, 0.0), 0.0)
