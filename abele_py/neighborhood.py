"""Neighborhoods: latent points around the code of the explained image, valid, labelled by the black box, in batches.

Five ways to propose points: ``Random``, ``Genetic`` and ``Hybrid`` as the paper defines them (Guidotti et al. 2019,
section 4.1), ``FromMixture``, and ``Local``. Row 0 is always the image's own code, with the image itself and its own
label.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from .errors import NeighborhoodError, ParameterError, unknown_name
from .latent_space import LatentSpace, Points, concatenate, local_radius


@dataclass(frozen=True)
class Neighborhood:
    """The labelled points around the image on which the surrogate is learned, by default together with real codes.

    Attributes:
        latents: (N, k) float32, rows unique, row 0 the code of the image.
        labels: (N,) int64, labels[0] the black box's label of the image itself.
        scores: (N, K) float32 or None.
        weights: (N,) float64 in (0, 1], by distance to row 0.
    """

    latents: Tensor
    labels: Tensor
    scores: Tensor | None
    weights: Tensor

    def __len__(self) -> int:
        return len(self.latents)


class Strategy(Protocol):
    """Proposes and labels points around row 0 of ``anchor`` (the image's code, itself and its label)."""

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        """About n valid points, more if need be, best first, of which at least n_other have another label if found."""


@dataclass(frozen=True)
class Random:
    """Samples of the prior N(0, I).

    Attributes:
        rounds: most batches of n samples drawn until there are n valid points and enough of another label.
    """

    rounds: int = 10

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        return _drawn(lambda: torch.randn(n, space.k, generator=generator), self.rounds, space, anchor, n, n_other)


@dataclass(frozen=True)
class FromMixture:
    """Samples of the Gaussian mixture fitted to the autoencoder's codes (Ghosh et al. 2020, arXiv 1903.12436).

    As ``Random``; but the prior is where the codes should lie, and the mixture where they do.

    Attributes:
        rounds: as of ``Random``.
    """

    rounds: int = 10

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        """As of every strategy.

        Raises:
            ParameterError: the autoencoder has no mixture.
        """
        return _drawn(lambda: space.sample(n, generator), self.rounds, space, anchor, n, n_other)


@dataclass(frozen=True)
class Local:
    """Steps around the code in any direction, their length uniform up to a radius learned from real codes.

    The radius is ``scale`` times :func:`~abele_py.latent_space.local_radius`. Where too few points within it get
    another label, it grows until the steps reach over the decision boundary; near points stay among them.

    Attributes:
        scale: first radius, in units of the local radius.
        coordinates: most coordinates that one step changes, at least one; each number is as frequent as the others.
            None: as many as there are.
        growth: factor of the radius from one round to the next.
        rounds: most radii tried.
    """

    scale: float = 1.0
    coordinates: int | None = None
    growth: float = 1.25
    rounds: int = 10

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        center = anchor.latents[0]
        radius = self.scale * local_radius(space, center)

        def ball(size: int) -> Points:
            steps = torch.randn(size, space.k, generator=generator)
            changed = torch.randint(1, min(self.coordinates or space.k, space.k) + 1, (size, 1), generator=generator)
            place = torch.rand(size, space.k, generator=generator).argsort(dim=1).argsort(dim=1)
            steps *= place < changed
            lengths = radius * torch.rand(size, 1, generator=generator)
            latents = center + lengths * steps / steps.norm(dim=1, keepdim=True)
            return space.classify(latents[space.valid(latents)])

        probe = ball(n // 4)
        for _ in range(self.rounds):
            other = probe.labels != anchor.labels[0]
            if int(other.sum()) * n >= n_other * len(probe) > 0:
                break
            radius *= self.growth
            probe = ball(n // 4)
        points = probe
        for _ in range(self.rounds):
            missing = n - len(points)
            if missing <= 0 and int((points.labels != anchor.labels[0]).sum()) >= n_other:
                break
            points = concatenate([points, ball(max(missing, n // 4))])
        return points


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
    generations: int = 10
    crossover_probability: float = 0.5
    mutation_probability: float = 0.2
    tournament: int = 3

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
                parents = _tournament(values[population], self.tournament, generator)
                genes = _crossover(known.latents[population[parents]], self.crossover_probability, generator)
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


@dataclass(frozen=True)
class Hybrid:
    """Half random, half genetic: the best of the paper."""

    random: Random = Random()
    genetic: Genetic = Genetic()

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        half = n // 2
        near = self.genetic.points(space, anchor, n - half, n_other, generator)
        return concatenate([near, self.random.points(space, anchor, half, n_other // 2, generator)])


STRATEGIES: dict[str, Strategy] = {
    "local": Local(),
    "random": Random(),
    "genetic": Genetic(),
    "genetic-score": Genetic(similarity="score"),
    "hybrid": Hybrid(),
    "mixture": FromMixture(),
}


def strategy(name: str | Strategy) -> Strategy:
    """A strategy by its name, or itself.

    Raises:
        UnknownNameError: no such name.
        ParameterError: no strategy.
    """
    if not isinstance(name, str):
        if not callable(getattr(name, "points", None)):
            raise ParameterError(f"got neighborhood {name!r}; expected a name or a strategy with a method points")
        return name
    if name not in STRATEGIES:
        raise unknown_name("neighborhood", name, STRATEGIES)
    return STRATEGIES[name]


def generate(
    strategy: Strategy,
    space: LatentSpace,
    anchor: Points,
    n: int,
    min_class_fraction: float,
    generator: torch.Generator,
) -> Points:
    """At most n distinct valid points, row 0 the anchor, at least a fraction of them with another label if found.

    Args:
        strategy: how points are proposed.
        space: where.
        anchor: one point: the image's code, the image itself, its label and scores.
        n: number of points, at least 10.
        min_class_fraction: in [0, 0.5], the least share of points with another label.
        generator: all randomness comes from it.

    Raises:
        ParameterError: an argument is out of range.
        NeighborhoodError: hardly any point was valid.
    """
    if n < 10:
        raise ParameterError(f"got n_samples={n}; expected at least 10; 1000 is usual")
    if not 0 <= min_class_fraction <= 0.5:
        raise ParameterError(f"got min_class_fraction={min_class_fraction}; expected a value in [0, 0.5]; 0.1 is usual")
    n_other = math.ceil(min_class_fraction * n)
    pool = concatenate([anchor, strategy.points(space, anchor, n - 1, n_other, generator)])
    pool = pool[_first_occurrences(pool.latents)]
    if len(pool) < 10:
        raise NeighborhoodError(
            f"got {len(pool) - 1} valid neighbors; expected {n - 1}; the discriminator refuses nearly every "
            "point: lower validity_threshold, or check that the image is of the kind the autoencoder was trained on"
        )
    return pool[_composed(pool.labels != anchor.labels[0], n, n_other)]


def kernel_weights(latents: Tensor, width: float | None = None) -> Tensor:
    """Weight of each point by its distance d to row 0: ``sqrt(exp(-d^2 / width^2))``, (N,) float64.

    Args:
        latents: (N, k).
        width: the paper's is ``0.75 sqrt(k)``: 0.75 times the typical distance of a prior sample. None takes
            0.75 times the median distance of these points, which keeps its meaning at every scale.
    """
    distances = (latents - latents[0]).norm(dim=1).double()
    if width is None:
        width = 0.75 * float(distances[1:].median())
    return torch.exp(-((distances / max(width, 1e-12)) ** 2)).sqrt().clamp(min=1e-12)


def _composed(other: Tensor, n: int, n_other: int) -> Tensor:
    """Numbers of n rows: the first ones, the last of them replaced by later ones where too few are ``other``."""
    rows = torch.arange(len(other))
    first, later = rows[:n], rows[n:]
    missing = max(0, n_other - int(other[:n].sum()))
    extra = later[other[n:]][:missing]
    same = first[~other[:n]]
    keep = torch.ones(len(other), dtype=torch.bool)
    keep[n:] = False
    keep[same[1:].flip(0)[: len(extra)]] = False  # never row 0
    keep[extra] = True
    return rows[keep]


def _first_occurrences(latents: Tensor) -> Tensor:
    _, index = np.unique(latents.numpy(), axis=0, return_index=True)
    return torch.from_numpy(np.sort(index))


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


def _drawn(draw: Callable[[], Tensor], rounds: int, space: LatentSpace, anchor: Points, n: int, n_other: int) -> Points:
    """The valid points of as many batches as are needed for n of them, n_other with another label; of ``rounds``."""
    points = space.classify(anchor.latents[:0])
    for _ in range(rounds):
        latents = draw()
        points = concatenate([points, space.classify(latents[space.valid(latents)])])
        if len(points) >= n and int((points.labels != anchor.labels[0]).sum()) >= n_other:
            break
    return points


def _tournament(values: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """As many winners as individuals: each the fittest of ``size`` drawn at random."""
    drawn = torch.randint(len(values), (len(values), size), generator=generator)
    return drawn.gather(1, values[drawn].argmax(dim=1, keepdim=True)).squeeze(1)


def _crossover(genes: Tensor, probability: float, generator: torch.Generator) -> Tensor:
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
