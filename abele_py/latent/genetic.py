"""Genetic neighborhoods: two populations evolved from the code of the image (Guidotti et al. 2019, section 4.1)."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from ..checking.parameters import Share, between, checked
from ..errors import ParameterError
from .space import LatentSpace, Points, concatenate

Rounds = Annotated[int, between(1, 10**4)]


@checked
@dataclass(frozen=True)
class Genetic:
    """Two populations evolved from the code: one keeps the label, one changes it, both stay close (section 4.1).

    Fitness is ``a1 s(1 - d) + a2 s(similarity)``, or ``1 - s(similarity)`` for the second population, with s the
    logistic function of slope 10 and centre 0.5, and d the normalised squared distance
    ``|z - h|^2 / (2 |z|^2 + 2 |h|^2)``, which lies in [0, 1]. Points that are not valid have fitness 0. The images of
    all generations are held until the end.

    Attributes:
        similarity: ``"label"`` (1 if the labels agree) or ``"score"`` (cosine of the scores).
        generations: number of generations; each costs one decode and one black-box call per batch.
        crossover_probability, mutation_probability: of a pair, and of an individual.
        tournament: individuals that compete for a place among the parents.
    """

    similarity: Literal["label", "score"] = "label"
    generations: Rounds = 10
    crossover_probability: Share = 0.5
    mutation_probability: Share = 0.2
    tournament: Rounds = 3

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        sizes = (math.ceil(n / 2), n // 2)
        # Individuals are numbers of rows in `known`. Nothing is evaluated twice. Row 0 is the code, where all begin;
        # it is no neighbor of itself, so its fitness is 0.
        known = anchor
        fitness = [torch.zeros(1), torch.zeros(1)]
        populations = [torch.zeros(size, dtype=torch.int64) for size in sizes]
        for generation in range(self.generations):
            children = []
            for population, values in zip(populations, fitness, strict=True):
                parents = tournament(values[population], self.tournament, generator)
                genes = crossover(known.latents[population[parents]], self.crossover_probability, generator)
                # All start as copies of one code, which crossover cannot tell apart: the first step mutates everyone.
                rate = 1.0 if generation == 0 else self.mutation_probability
                children.append(_mutate(genes, rate, generator))
            numbers, fresh = _number(torch.cat(children), known.latents)
            known = concatenate([known, space.classify(fresh)])
            valid = space.valid(fresh)
            for i, same in enumerate((True, False)):
                values = torch.where(
                    valid, _fitness(self, known[slice(len(known) - len(fresh), None)], anchor, same), 0.0
                )
                fitness[i] = torch.cat([fitness[i], values])
            populations = list(numbers.split(sizes))
        return known[_hall_of_fame(fitness, sizes)]


def _logistic(values: Tensor) -> Tensor:
    return torch.sigmoid(10 * (values - 0.5))


def _fitness(genetic: Genetic, points: Points, anchor: Points, same: bool) -> Tensor:
    """(N,): how well each point serves the population that keeps (``same``) or changes the label."""
    z = anchor.latents[0]
    scale = 2 * ((z**2).sum() + (points.latents**2).sum(dim=1))
    distance = ((points.latents - z) ** 2).sum(dim=1) / scale.clamp(min=1e-12)
    if genetic.similarity == "label":
        similarity = (points.labels == anchor.labels[0]).float()
    else:
        if points.scores is None or anchor.scores is None:
            raise ParameterError(
                "got a genetic neighborhood by scores and a black box that answers labels only; expected scores "
                "(N, K); use similarity='label'"
            )
        similarity = torch.cosine_similarity(points.scores, anchor.scores[:1]).clamp(0, 1)
    agreement = _logistic(similarity)
    return 0.5 * _logistic(1 - distance) + 0.5 * (agreement if same else 1 - agreement)


def tournament(values: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """As many winners as individuals: each the fittest of ``size`` drawn at random."""
    drawn = torch.randint(len(values), (len(values), size), generator=generator)
    return drawn.gather(1, values[drawn].argmax(dim=1, keepdim=True)).squeeze(1)


def crossover(genes: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Two-point crossover of neighboring rows: the pair swaps the coordinates between two random cuts."""
    pairs, k = len(genes) // 2, genes.shape[1]
    cuts = torch.randint(k + 1, (pairs, 2), generator=generator).sort(dim=1).values
    axis = torch.arange(k)
    swap = (axis >= cuts[:, :1]) & (axis < cuts[:, 1:])
    swap &= torch.rand(pairs, 1, generator=generator) < probability
    children = genes.clone()
    first, second = genes[0 : 2 * pairs : 2], genes[1 : 2 * pairs : 2]
    children[0 : 2 * pairs : 2] = torch.where(swap, second, first)
    children[1 : 2 * pairs : 2] = torch.where(swap, first, second)
    return children


def _mutate(genes: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """A random subset of the coordinates of some individuals, at least one, is drawn anew from the prior."""
    n, k = genes.shape
    chosen = torch.rand(n, k, generator=generator) < torch.rand(n, 1, generator=generator)
    chosen[torch.arange(n), torch.randint(k, (n,), generator=generator)] = True
    chosen &= torch.rand(n, 1, generator=generator) < probability
    return torch.where(chosen, torch.randn(n, k, generator=generator), genes)


def _number(children: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Each child's row in ``known`` followed by the fresh ones, and the fresh ones (distinct, not yet known)."""
    rows = torch.cat([known, children]).numpy()
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    first_seen = first[inverse.reshape(-1)][len(known) :]
    fresh_rows = np.unique(first_seen[first_seen >= len(known)])
    numbers = np.where(first_seen < len(known), first_seen, len(known) + np.searchsorted(fresh_rows, first_seen))
    return torch.from_numpy(numbers), torch.from_numpy(rows[fresh_rows])


def _hall_of_fame(fitness: list[Tensor], sizes: tuple[int, int]) -> Tensor:
    """The fittest of all that ever lived, but the code itself: first those for one population, then for the other."""
    order = fitness[0][1:].argsort(descending=True, stable=True) + 1
    first = order[fitness[0][order] > 0][: sizes[0]]
    values = fitness[1].clone()
    values[first] = 0
    order = values[1:].argsort(descending=True, stable=True) + 1
    return torch.cat([first, order[values[order] > 0][: sizes[1]]])
