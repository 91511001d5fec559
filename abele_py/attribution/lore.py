"""LORE: our surrogate and rules on present and absent features (Guidotti et al. 2018). Knows no images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..checking.parameters import Count, Label, Many, Seed, Share, at_least, checked
from ..errors import ParameterError
from ..latent import genetic
from ..surrogate.fidelity import Fidelity
from ..surrogate.rules import CounterfactualRule, Rule
from ..surrogate.tree import Surrogate, counterfactual_rules, fit_surrogate, rule_of


@dataclass(frozen=True)
class Lore:
    """A rule on features that are present (1) or absent (0); every threshold is 0.5.

    Attributes:
        rule: which features, present, give the explained point its label.
        counterfactual_rules: per other label, what must be absent for it; empty where no neighbor has another label.
        surrogate: the decision tree that they were read off.
        fidelity: how often it gives the black box's label.
        points: (N, d) float32, the distinct neighbors; row 0 has all features.
        labels: (N,) int64, theirs.
        weights: (N,) float64, by distance to row 0.
    """

    rule: Rule
    counterfactual_rules: tuple[CounterfactualRule, ...]
    surrogate: Surrogate
    fidelity: Fidelity
    points: Tensor
    labels: Tensor
    weights: Tensor


@checked
def find_rule(
    label_of: Callable[[Tensor], Tensor],
    d: Annotated[int, at_least(2)],
    *,
    n_samples: Many = 1000,
    generations: Count = 10,
    crossover: Share = 0.5,
    mutation: Share = 1.0,
    seed: Seed = 0,
) -> Lore:
    """The rule of the point with all d features (Guidotti et al. 2018, "Local Rule-Based Explanations of Black Box
    Decision Systems", arXiv 1805.10820).

    The neighborhood is their genetic one: two populations are evolved, one that keeps the point's label and one that
    changes it, by the fitness ``I(label kept, or changed) + (1 - d(x, z)) - I(x = z)``, with d the share of absent
    features. What differs: they start not as copies of the point but from its nearest neighbors, one feature absent,
    and the point without any; every child is mutated, since of binary features most are copies else (on digits, at
    the paper's rate of 0.2, about two thirds); all distinct neighbors that were queried are kept, not the last
    generation alone; and the tree is ours, pruned, weighted by distance, measured on neighbors held out.

    Args:
        label_of: (N, d) bool, True for a present feature -> (N,) int64 labels. Deterministic; called once for a
            generation, and never twice for the same neighbor.
        d: number of features, at least 2.
        n_samples: most neighbors queried, at least d + 2.
        generations: of each population; both together have about ``n_samples / generations`` individuals.
        crossover: share of pairs that swap the features between two random cuts.
        mutation: share of individuals of which some features are drawn anew.
        seed: of all randomness.

    Raises:
        ParameterError: an argument is out of range.
    """
    for name, value, fine, expected in (
        ("d", d, d >= 2, "at least 2 features"),
        ("n_samples", n_samples, n_samples >= d + 2, f"at least {d + 2}; 1000 is usual"),
        ("generations", generations, generations >= 1, "at least 1; 10 is usual"),
    ):
        if not fine:
            raise ParameterError(f"got {name}={value}; expected {expected}")

    generator = torch.Generator().manual_seed(seed)
    near = torch.cat([torch.ones(1, d), 1 - torch.eye(d), torch.zeros(1, d)]).bool()
    points, labels = near, label_of(near)
    number = {row.tobytes(): i for i, row in enumerate(near.numpy())}
    size = (n_samples - len(near)) // (2 * generations)
    populations = torch.randint(len(near), (2, size), generator=generator)
    for _ in range(generations if size else 0):
        kept = labels == labels[0]
        parents = [
            points[population[genetic.tournament(_fitness(points, same)[population], 3, generator)]]
            for population, same in zip(populations, (kept, ~kept), strict=True)
        ]
        children = [_mutate(genetic.crossover(p, crossover, generator), mutation, generator) for p in parents]
        rows = torch.cat(children)
        keys = [row.tobytes() for row in rows.numpy()]
        fresh = [i for i, key in enumerate(keys) if key not in number and keys.index(key) == i]
        if fresh:
            number |= {keys[i]: len(points) + j for j, i in enumerate(fresh)}
            points, labels = torch.cat([points, rows[fresh]]), torch.cat([labels, label_of(rows[fresh])])
        populations = torch.tensor([number[key] for key in keys]).reshape(2, size)
    weights = _kernel(points)
    latents = points.float()
    surrogate, fidelity = fit_surrogate(latents, labels, weights, generator)
    return Lore(
        rule=rule_of(surrogate, latents[0]),
        counterfactual_rules=counterfactual_rules(surrogate, latents[0]),
        surrogate=surrogate,
        fidelity=fidelity,
        points=latents,
        labels=labels,
        weights=weights,
    )


@checked
def effects(lore: Lore, label: Label) -> Tensor:
    """How much each feature's presence raises the surrogate's share of a label, (d,) float32 in [-1, 1].

    The weighted mean over the neighbors of ``p(feature present) - p(feature absent)``, all their other features as they
    are: the tree's partial dependence (Friedman 2001, section 8.2), near the explained point. 0 for features that the
    tree does not test, and for a label that it does not know.
    """
    points, weights, d = lore.points, lore.weights / lore.weights.sum(), lore.points.shape[1]
    column = (lore.surrogate.classes == label).nonzero()[:, 0]
    values = torch.zeros(d)
    if len(column) == 0:
        return values
    share = lore.surrogate.tree.value[:, int(column)].double()
    for i in lore.surrogate.tree.axis.unique().tolist():
        if i >= 0:
            present, absent = points.clone(), points.clone()
            present[:, i], absent[:, i] = 1, 0
            difference = share[lore.surrogate.leaf(present)] - share[lore.surrogate.leaf(absent)]
            values[i] = float(weights @ difference)
    return values


def _kernel(points: Tensor) -> Tensor:
    """``sqrt(exp(-D^2 / w^2))`` for the Euclidean distance D to row 0, w = 0.75 times its median, (N,) float64."""
    squared = (~points).sum(dim=1).double()
    return torch.exp(-squared / (2 * 0.75**2 * squared[1:].median()))


def _fitness(points: Tensor, fits: Tensor) -> Tensor:
    """The paper's, (N,): the answer fits, few features are absent, and it is not the point itself."""
    nearness = points.float().mean(dim=1)
    return fits.float() + nearness - points.all(dim=1).float()


def _mutate(genes: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """A random subset of the features of some individuals is drawn anew: present or absent, each with 1/2."""
    n, d = genes.shape
    chosen = torch.rand(n, d, generator=generator) < torch.rand(n, 1, generator=generator)
    chosen &= torch.rand(n, 1, generator=generator) < probability
    return torch.where(chosen, torch.rand(n, d, generator=generator) < 0.5, genes)
