"""The surrogate: a weighted, pruned decision tree on labelled latent points, how faithful it is, and its rules.

Its splits lie along the axes, or along directions that are learned from the labels: classes rarely meet along an axis.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from .rules import CounterfactualRule, Rule
from .trees import Trees, from_sklearn, leaves, prune, pruning_alphas, without_idle_splits


@dataclass(frozen=True)
class Fidelity:
    """How often the surrogate gives the black box's label. All in [0, 1], higher is better.

    Attributes:
        held_out: on neighbors that no fit and no choice saw, weighted by distance: *the* fidelity of an explanation.
        held_out_unweighted: the same, every neighbor counting alike.
        in_sample: on the points it was fitted on. Flattering, as the published code reports it.
        constant: held out and weighted, of the constant answer "the image's label".
            A surrogate below it explains nothing.
        constant_unweighted: the same, every neighbor counting alike.
        hit: does it give the explained point its label?
        n_held_out: number of held-out neighbors.
    """

    held_out: float
    held_out_unweighted: float
    in_sample: float
    constant: float
    constant_unweighted: float
    hit: bool
    n_held_out: int


@dataclass(frozen=True)
class Surrogate:
    """A decision tree on the latent space.

    Attributes:
        tree: the tree as arrays.
        classes: (K',) int64, the black box's label of each column of ``tree.value``.
        directions: (k, k) float64, orthonormal rows: the tree tests the coordinates along them. None: the axes.
        towards: (m,) int64, the labels that the first m directions lead to; None without directions.
    """

    tree: Trees
    classes: Tensor
    directions: Tensor | None = None
    towards: Tensor | None = None

    def coordinates(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N, k) float32: what the tree tests."""
        return _along(self.directions, latents)

    def rule(self, lower: Tensor, upper: Tensor, label: int) -> Rule:
        """The rule of a box of these coordinates, bounds (k,)."""
        if self.directions is None or self.towards is None:
            return Rule.from_box(lower, upper, label)
        directions = [tuple(direction) for direction in self.directions.tolist()]
        others = [None] * (len(directions) - len(self.towards))
        return Rule.from_box(lower, upper, label, directions, [*self.towards.tolist(), *others])

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


def fit_surrogate(
    latents: Tensor,
    labels: Tensor,
    weights: Tensor,
    generator: torch.Generator,
    n_prunings: int = 8,
    oblique: bool = False,
) -> tuple[Surrogate, Fidelity]:
    """Fit a tree, prune it, and measure it on points that neither saw.

    The points are split at random into 50 % to fit, 25 % to choose the pruning and 25 % held out; row 0 is always
    fitted on. Prunings are those of minimal cost-complexity; of those within one standard error of the best, the
    simplest is taken that is no worse than the constant answer (Breiman et al. 1984, sections 3.3 and 3.4.3), and
    fitted again on the first two parts: two fits in all. Only trees that give row 0 its label are chosen from (the
    unpruned one always does): a rule that does not cover the explained decision would explain another one.

    Args:
        latents: (N, k) float32, rows unique, row 0 the explained point.
        labels: (N,) int64.
        weights: (N,) positive.
        generator: decides the split and the trees' ties.
        n_prunings: number of prunings tried.
        oblique: split along directions, see :func:`decision_directions`, learned from the points to fit; else along
            the axes.
    """
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(len(labels) - 1, generator=generator)])
    fit, choose, held_out = order.tensor_split([len(order) // 2, 3 * len(order) // 4])
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    directions, towards = decision_directions(latents[fit], labels[fit], weights[fit]) if oblique else (None, None)
    coordinates = _along(directions, latents)

    def prunings(rows: Tensor) -> tuple[Tensor, Callable[[float], tuple[Surrogate, Tensor]]]:
        """The costs at which the tree of these rows changes; and for a cost the pruned tree and where it is right."""
        model = DecisionTreeClassifier(random_state=seed)
        model.fit(coordinates[rows].numpy(), labels[rows].numpy(), sample_weight=weights[rows].numpy())
        tree, alphas, classes = from_sklearn([model]), pruning_alphas(model), torch.from_numpy(model.classes_)

        def pruned(alpha: float) -> tuple[Surrogate, Tensor]:
            surrogate = Surrogate(prune(tree, alphas, alpha), classes, directions, towards)
            return surrogate, (surrogate.predict(latents) == labels).double()

        return alphas, pruned

    alphas, pruned = prunings(fit)
    steps = np.unique(np.quantile(alphas.unique().numpy(), np.linspace(0, 1, n_prunings), method="nearest"))
    right = {alpha: pruned(alpha)[1] for alpha in steps.tolist()}
    scores = {alpha: _mean(r[choose], weights[choose]) for alpha, r in right.items() if r[0]}
    best, share = max(scores.values(), default=0.0), weights[choose] / weights[choose].sum()
    error = (best * (1 - best) * float((share**2).sum())) ** 0.5
    enough = max(best - error, scores.get(float(steps[-1]), 0.0))  # the last step leaves the root: the constant answer
    good = [alpha for alpha, score in scores.items() if score >= enough and alpha < steps[-1]]
    others = sorted(scores.keys() - good, key=lambda alpha: (scores[alpha], alpha), reverse=True)
    ranked = [*sorted(good, reverse=True), *others]  # the last resort, no pruning, tells row 0 from all others
    known = torch.cat([fit, choose])
    _, pruned = prunings(known)
    surrogate, agree = next((found for found in map(pruned, ranked) if found[1][0]), pruned(0.0))
    same = (labels == labels[0]).double()
    return replace(surrogate, tree=without_idle_splits(surrogate.tree)), Fidelity(
        held_out=_mean(agree[held_out], weights[held_out]),
        held_out_unweighted=_mean(agree[held_out]),
        in_sample=_mean(agree[known]),
        constant=_mean(same[held_out], weights[held_out]),
        constant_unweighted=_mean(same[held_out]),
        hit=bool(agree[0]),
        n_held_out=len(held_out),
    )


def rule_of(surrogate: Surrogate, latent: Tensor) -> Rule:
    """The path of one point (k,) through the tree, as a rule."""
    lower, upper = _boxes(surrogate, len(latent))
    node = surrogate.leaf(latent[None])
    return surrogate.rule(lower[node[0]], upper[node[0]], int(surrogate.label(node)))


def decision_directions(latents: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The directions along which the label of row 0 meets the others, and the labels they lead to.

    A logistic regression on the points gives, for each other label, the direction in which its odds against the label
    of row 0 grow fastest. Made orthonormal in the order of how often the labels occur (so that the first, which
    decides most, stays as it is), they turn the coordinates: a tree on them has oblique splits, whose boxes can be
    handled as those of the axes are. (Oblique trees: Murthy et al. 1994, JAIR 2; here one turn serves all splits.)

    Args:
        latents: (N, k).
        labels: (N,) int64.
        weights: (N,) positive.

    Returns:
        (k, k) float64, orthonormal rows, and (m,) int64, the labels of the first m of them; the others, orthogonal to
        those, are there so that nothing is lost. (None, None) where all labels are one.
    """
    own, (classes, counts) = int(labels[0]), labels.unique(return_counts=True)
    if len(classes) < 2:
        return None, None
    points = (latents - latents[0]).double()
    points = points / points.norm(dim=1).median().clamp(min=1e-12)
    model = LogisticRegression(C=10.0, max_iter=300)
    model.fit(points.numpy(), labels.numpy(), sample_weight=weights.numpy())
    slopes = torch.from_numpy(model.coef_)
    slopes = torch.cat([-slopes, slopes]) / 2 if len(classes) == 2 else slopes  # of two classes only the second's
    others = counts.where(classes != own, 0).argsort(descending=True, stable=True)[: len(classes) - 1]
    others = others[: latents.shape[1]]
    steps = slopes[others] - slopes[(classes == own).nonzero()[0]]
    q, r = torch.linalg.qr(steps.T, mode="complete")
    q[:, : len(others)] *= torch.where(r.diagonal() < 0, -1.0, 1.0)  # such that each leads towards its label
    return q.T.contiguous(), classes[others]


def counterfactual_rules(surrogate: Surrogate, latent: Tensor, per_label: int = 1) -> tuple[CounterfactualRule, ...]:
    """For every label but the leaf's own, the paths of which the point (k,) breaks the fewest conditions.

    Of equals, those nearest to the point. Sorted by label, then best first.
    """
    lower, upper = _boxes(surrogate, len(latent))
    nodes = (surrogate.tree.axis < 0).nonzero()[:, 0]
    labels = surrogate.label(nodes)
    z = surrogate.coordinates(latent[None])[0].double()
    below, above = z <= lower[nodes], z > upper[nodes]  # a point breaks at most one bound of an axis
    broken = (below | above).sum(dim=1)
    step = torch.where(below, lower[nodes] - z, torch.where(above, z - upper[nodes], 0.0)).norm(dim=1)
    own = int(surrogate.label(surrogate.leaf(latent[None])))
    found = []
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero()[:, 0].tolist()
        if label == own:
            continue
        for row in sorted(rows, key=lambda r: (int(broken[r]), float(step[r])))[:per_label]:
            rule = surrogate.rule(lower[nodes[row]], upper[nodes[row]], label)
            found.append(CounterfactualRule(rule, rule.broken(latent)))
    return tuple(found)


def _along(directions: Tensor | None, latents: Tensor) -> Tensor:
    return latents if directions is None else (latents.double() @ directions.T).float()


def _boxes(surrogate: Surrogate, k: int) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds of every node, each (M, k) float64: children are numbered after their parents."""
    tree = surrogate.tree
    lower = torch.full((len(tree.axis), k), -torch.inf, dtype=torch.float64)
    upper = torch.full((len(tree.axis), k), torch.inf, dtype=torch.float64)
    links = zip(tree.axis.tolist(), tree.threshold.tolist(), tree.left.tolist(), tree.right.tolist(), strict=True)
    for node, (axis, threshold, left, right) in enumerate(links):
        if axis < 0:
            continue
        for child in (left, right):
            lower[child], upper[child] = lower[node], upper[node]
        upper[left, axis] = threshold  # tighter than any bound above it: the split separates points inside the box
        lower[right, axis] = threshold
    return lower, upper


def _mean(values: Tensor, weights: Tensor | None = None) -> float:
    return float(torch.as_tensor(np.average(values.numpy(), weights=None if weights is None else weights.numpy())))
