"""The surrogate: a weighted decision tree on labelled latent points, how faithful it is, and its rules.

Its splits lie along the axes, or where two labels meet: they rarely meet along an axis.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..checking.parameters import Count, checked
from ..checking.shapes import Rows, Values, Vector
from ..trees import Trees, from_sklearn, leaves
from .fidelity import Fidelity, best_constant, share
from .linear_machine import along, linear_machine
from .pruning import prune, pruning_alphas, ways, without_idle_splits
from .rules import CounterfactualRule, Rule


@dataclass(frozen=True)
class Surrogate:
    """A decision tree on the latent space.

    Attributes:
        tree: the tree as arrays.
        classes: (K',) int64, the black box's label of each column of ``tree.value``.
        directions: (m, k) float64, unit rows: the tree tests the coordinates along them. None: the axes.
        pairs: (m, 2) int64, the labels that each direction leads from and to; None without directions.
    """

    tree: Trees
    classes: Tensor
    directions: Tensor | None = None
    pairs: Tensor | None = None

    def coordinates(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N, m) float32: what the tree tests."""
        return latents if self.directions is None else along(self.directions, latents)

    def rule(self, lower: Tensor, upper: Tensor, label: int) -> Rule:
        """The rule of a box of these coordinates, bounds (m,)."""
        if self.directions is None or self.pairs is None:
            return Rule.from_box(lower, upper, label)
        own = int(self.pairs[0, 0]) if len(self.pairs) else label
        pairs = [(end, None if start == own else start) for start, end in self.pairs.tolist()]
        places = [(tuple(v), *pair) for v, pair in zip(self.directions.tolist(), pairs, strict=True)]
        return Rule.from_box(lower, upper, label, places)

    @property
    def n_leaves(self) -> int:
        return int((self.tree.axis < 0).sum())

    def leaf(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) int64: the leaf of each point."""
        return leaves(self.tree, self.coordinates(latents))[:, 0]

    def predict(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) int64: the label of each point."""
        return self.label(self.leaf(latents))

    def label(self, nodes: Tensor) -> Tensor:
        """(N,) node numbers -> (N,) their labels."""
        return self.classes[self.tree.value[nodes].argmax(dim=1)]


@checked
def fit_surrogate(
    latents: Rows,
    labels: Values,
    weights: Values,
    generator: torch.Generator,
    n_prunings: Count = 8,
    oblique: bool = False,
    real: tuple[Tensor, Tensor] | None = None,
) -> tuple[Surrogate, Fidelity]:
    """Fit a tree, and measure it on points that it did not see.

    The points are split at random into 50 % to fit, 25 % to choose and 25 % held out; row 0 is always fitted on. Of the
    prunings (minimal cost-complexity) within one standard error of the best, the simplest is chosen that is no worse
    than the constant answer (Breiman et al. 1984, sections 3.3 and 3.4.3). With ``oblique``, the tree of
    :func:`~abele_py.surrogate.linear_machine.linear_machine` is preferred where it is as good as that, or the others
    have a rule for row 0 alone. What was chosen is fitted again on the first two parts. Only trees that give row 0 its
    label are chosen from (the unpruned one and the linear machine always do): a rule that does not cover the explained
    decision would explain another one.

    Args:
        latents: (N, k) float32, rows unique, row 0 the explained point.
        labels: (N,) int64.
        weights: (N,) positive.
        generator: decides the split and the trees' ties.
        n_prunings: number of prunings tried.
        oblique: splits may lie where two labels meet; else along the axes only.
        real: latents (M, k) and labels (M,) of real images' codes, fitted on too, each with the mean weight. The
            neighbors fill a ball evenly, real images only a part of it, about which a user asks.
    """
    from sklearn.tree import DecisionTreeClassifier  # takes seconds to import

    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(len(labels) - 1, generator=generator)])
    fit, choose, held_out = order.tensor_split([len(order) // 2, 3 * len(order) // 4])
    if real is not None:
        fit = torch.cat([fit, torch.arange(len(labels), len(labels) + len(real[1]))])
        latents, labels = torch.cat([latents, real[0]]), torch.cat([labels, real[1]])
        weights = torch.cat([weights, weights.mean().expand(len(real[1]))])
    known = torch.cat([fit, choose])
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))

    def right(surrogate: Surrogate) -> Tensor:
        return surrogate.predict(latents) == labels

    def machine(rows: Tensor) -> Surrogate:
        return Surrogate(*linear_machine(latents[rows], labels[rows], weights[rows]))

    def prunings(rows: Tensor) -> tuple[Surrogate, Tensor, Callable[[float], Surrogate]]:
        """The tree of these rows; the cost from which on each node is a leaf; and for a cost the pruned tree."""
        model = DecisionTreeClassifier(random_state=seed)
        model.fit(latents[rows].numpy(), labels[rows].numpy(), sample_weight=weights[rows].numpy())
        tree, alphas, classes = from_sklearn([model]), pruning_alphas(model), torch.from_numpy(model.classes_)
        whole = Surrogate(tree, classes)
        return whole, alphas, lambda alpha: Surrogate(without_idle_splits(prune(tree, alphas, alpha)), classes)

    whole, alphas, _ = prunings(fit)
    steps = np.unique(np.quantile(alphas.unique().numpy(), np.linspace(0, 1, n_prunings), method="nearest"))
    # All prunings from one walk through the whole tree: a leaf ends at the first node on its way that is one by then.
    places, leaf = whole.leaf(latents).unique(return_inverse=True)
    way = torch.from_numpy(ways(whole.tree))[places]
    costs, own = alphas[way], leaf[0]

    def ends(alpha: float) -> Tensor:
        """The label of each leaf."""
        return whole.label(way.gather(1, (costs <= alpha).byte().argmax(dim=1, keepdim=True))[:, 0])

    def general(end: Tensor) -> bool:
        """Does the leaf of row 0 hold more than itself: 1 % of the points? Else its rule is row 0, learned by heart.

        Without splits that decide nothing, it is the first node on the way below which all have one label.
        """
        inside = next(at for at in (way == way[own]).T if bool((end[at] == end[own]).all()))
        return int(inside[leaf[fit]].sum()) > max(1, len(fit) // 100)

    labelled = {alpha: ends(alpha) for alpha in steps.tolist()}
    found = {alpha: end[leaf] == labels for alpha, end in labelled.items() if not oblique or general(end)}
    scores = {alpha: share(r[choose], weights[choose]) for alpha, r in found.items() if r[0]}
    best, parts = max(scores.values(), default=0.0), weights[choose] / weights[choose].sum()
    error = (best * (1 - best) * float((parts**2).sum())) ** 0.5
    enough = max(best - error, scores.get(float(steps[-1]), 0.0))  # the last step leaves the root: the constant answer
    if oblique and share(right(machine(fit))[choose], weights[choose]) >= enough:
        surrogate = machine(known)
    else:
        good = [alpha for alpha, score in scores.items() if score >= enough and alpha < steps[-1]]
        others = sorted(scores.keys() - good, key=lambda alpha: (scores[alpha], alpha), reverse=True)
        *_, pruned = prunings(known)
        ranked = map(pruned, [*sorted(good, reverse=True), *others])
        # the last resort, no pruning, tells row 0 from all others
        surrogate = next((tree for tree in ranked if right(tree)[0]), pruned(0.0))
    agree, own = right(surrogate), int(labels[0])
    weighted = best_constant(labels[held_out], own, weights[held_out])
    unweighted = best_constant(labels[held_out], own)
    return surrogate, Fidelity(
        held_out=share(agree[held_out], weights[held_out]),
        held_out_unweighted=share(agree[held_out]),
        in_sample=share(agree[known]),
        constant=weighted[1],
        constant_unweighted=unweighted[1],
        hit=bool(agree[0]),
        n_held_out=len(held_out),
        constant_label=weighted[0],
        constant_label_unweighted=unweighted[0],
    )


@checked
def rule_of(surrogate: Surrogate, latent: Vector) -> Rule:
    """The path of one point (k,) through the tree, as a rule."""
    lower, upper = _boxes(surrogate, latent)
    node = surrogate.leaf(latent[None])
    return surrogate.rule(lower[node[0]], upper[node[0]], int(surrogate.label(node)))


@checked
def counterfactual_rules(surrogate: Surrogate, latent: Vector, per_label: Count = 1) -> tuple[CounterfactualRule, ...]:
    """For every label but the leaf's own, the paths of which the point (k,) breaks the fewest conditions.

    Of equals, those that break boundaries of the label itself (it may also win by beating another that beats the own),
    then those nearest to the point. Sorted by label, then best first.
    """
    lower, upper = _boxes(surrogate, latent)
    nodes = (surrogate.tree.axis < 0).nonzero()[:, 0]
    labels = surrogate.label(nodes)
    z = surrogate.coordinates(latent[None])[0].double()
    below, above = z <= lower[nodes], z > upper[nodes]  # a point breaks at most one bound of an axis
    broken = below | above
    ends = labels[:, None].expand(broken.shape) if surrogate.pairs is None else surrogate.pairs[:, 1]
    detours = (broken & (ends != labels[:, None])).sum(dim=1)
    step = torch.where(below, lower[nodes] - z, torch.where(above, z - upper[nodes], 0.0)).norm(dim=1)
    own = int(surrogate.label(surrogate.leaf(latent[None])))
    costs = [*zip(broken.sum(dim=1).tolist(), detours.tolist(), step.tolist(), strict=True)]
    found = []
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero()[:, 0].tolist()
        if label == own:
            continue
        for row in sorted(rows, key=costs.__getitem__)[:per_label]:
            rule = surrogate.rule(lower[nodes[row]], upper[nodes[row]], label)
            found.append(CounterfactualRule(rule, rule.broken(latent)))
    return tuple(found)


def _boxes(surrogate: Surrogate, latent: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds of the coordinates in every node, each (M, m) float64: children come after parents."""
    tree = surrogate.tree
    m = surrogate.coordinates(latent[None]).shape[1]
    lower, upper = np.full((len(tree.axis), m), -np.inf), np.full((len(tree.axis), m), np.inf)
    links = zip(tree.axis.tolist(), tree.threshold.tolist(), tree.left.tolist(), tree.right.tolist(), strict=True)
    for node, (axis, threshold, left, right) in enumerate(links):
        if axis < 0:
            continue
        for child in (left, right):
            lower[child], upper[child] = lower[node], upper[node]
        upper[left, axis] = threshold  # tighter than any bound above it: the split separates points inside the box
        lower[right, axis] = threshold
    return torch.from_numpy(lower), torch.from_numpy(upper)
