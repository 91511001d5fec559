"""Neighborhoods: latent points around the code of the explained image, valid, labelled by the black box, in batches.

Six ways to propose points: ``Random``, ``Genetic`` and ``Hybrid`` as the paper defines them (Guidotti et al. 2019,
section 4.1), ``FromMixture``, ``Local``, and ``Between``. Row 0 is always the image's own code, with the image itself
and its own label.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import numpy as np
import torch
from torch import Tensor

from ..checking.parameters import Axes, Count, Has, Positive, at_least, between, checked
from ..errors import NeighborhoodError, ParameterError, unknown_name
from .genetic import Genetic, Rounds
from .space import LatentSpace, Points, concatenate, local_radius


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
        """About n valid points, more if need be, best first, of which at least n_other have another label if found.

        Their images, and the anchor's, are (N, 0) where none are needed: what looks at them decodes them.
        """


@checked
@dataclass(frozen=True)
class Random:
    """Samples of the prior N(0, I).

    Attributes:
        rounds: most batches of n samples drawn until there are n valid points and enough of another label.
    """

    rounds: Rounds = 10

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        return _drawn(lambda: torch.randn(n, space.k, generator=generator), self.rounds, space, anchor, n, n_other)


@checked
@dataclass(frozen=True)
class FromMixture:
    """Samples of the Gaussian mixture fitted to the autoencoder's codes (Ghosh et al. 2020, arXiv 1903.12436).

    As ``Random``; but the prior is where the codes should lie, and the mixture where they do.

    Attributes:
        rounds: as of ``Random``.
    """

    rounds: Rounds = 10

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        """As of every strategy.

        Raises:
            ParameterError: the autoencoder has no mixture.
        """
        return _drawn(lambda: space.sample(n, generator), self.rounds, space, anchor, n, n_other)


@checked
@dataclass(frozen=True)
class Local:
    """Steps around the code in any direction, their length uniform up to a radius learned from real codes.

    The radius is ``scale`` times :func:`~abele_py.latent.space.local_radius`. Where too few points within it get
    another label, it grows until the steps reach over the decision boundary; near points stay among them.

    Attributes:
        scale: first radius, in units of the local radius.
        coordinates: most coordinates that one step changes, at least one; each number is as frequent as the others.
            None: as many as there are.
        growth: factor of the radius from one round to the next.
        rounds: most radii tried.
    """

    scale: Positive = 1.0
    coordinates: Count | None = None
    growth: Annotated[float, at_least(1)] = 1.25
    rounds: Rounds = 10

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        center = anchor.latents[0]
        radius = self.scale * local_radius(space, center)

        def ball(size: int) -> Points:
            steps = torch.randn(size, space.k, generator=generator)
            changed = torch.randint(1, min(self.coordinates or space.k, space.k) + 1, (size, 1), generator=generator)
            order = torch.rand(size, space.k, generator=generator).argsort(dim=1)
            place = torch.empty_like(order).scatter_(1, order, torch.arange(space.k).expand_as(order))
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


@checked
@dataclass(frozen=True)
class Between:
    """Points on the straight ways from the code to the nearest codes of real images, anywhere between the two.

    As in SMOTE (Chawla et al. 2002, section 4.2), whatever the labels. Of many coordinates nearly all directions lead
    where no image lies, and a ball around a code holds one label or none that is valid; these ways lead from image to
    image, and cross the boundaries that matter.

    Attributes:
        nearest: number of real codes, of the autoencoder's reference codes.
        rounds: as of ``Random``.
    """

    nearest: Count = 100
    rounds: Rounds = 10

    def points(self, space: LatentSpace, anchor: Points, n: int, n_other: int, generator: torch.Generator) -> Points:
        center = anchor.latents[0]
        distances = (space.reference_latents - center).norm(dim=1)
        order = distances.argsort(stable=True)
        ends = space.reference_latents[order[distances[order] > 0][: self.nearest]]
        if not len(ends):  # all real codes are this one: there are no ways
            return space.classify(ends)

        def draw() -> Tensor:
            rows = torch.randint(len(ends), (n,), generator=generator)
            return center + torch.rand(n, 1, generator=generator) * (ends[rows] - center)

        return _drawn(draw, self.rounds, space, anchor, n, n_other)


@checked
@dataclass(frozen=True)
class Hybrid:
    """Half random, half genetic: the best of the paper."""

    random: Random = Random()
    genetic: Genetic = field(default_factory=Genetic)

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
    "between": Between(),
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


@checked
def generate(
    strategy: Annotated[Strategy, Has("points")],
    space: LatentSpace,
    anchor: Points,
    n: Annotated[int, between(10, 10**6)],
    min_class_fraction: Annotated[float, between(0, 0.5)],
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
    n_other = math.ceil(min_class_fraction * n)
    pool = concatenate([anchor, strategy.points(space, anchor, n - 1, n_other, generator)])
    distinct = _first_occurrences(pool.latents)
    if len(distinct) < 10:
        raise NeighborhoodError(
            f"got {len(distinct) - 1} valid neighbors; expected {n - 1}; the discriminator refuses nearly every "
            "point: lower validity_threshold, or check that the image is of the kind the autoencoder was trained on"
        )
    return pool[distinct[_composed(pool.labels[distinct] != anchor.labels[0], n, n_other)]]


@checked
def kernel_weights(latents: Annotated[Tensor, Axes("N k")], width: Positive | None = None) -> Tensor:
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


def _drawn(draw: Callable[[], Tensor], rounds: int, space: LatentSpace, anchor: Points, n: int, n_other: int) -> Points:
    """The valid points of as many batches as are needed for n of them, n_other with another label; of ``rounds``."""
    points = space.classify(anchor.latents[:0])
    for _ in range(rounds):
        latents = draw()
        points = concatenate([points, space.classify(latents[space.valid(latents)])])
        if len(points) >= n and int((points.labels != anchor.labels[0]).sum()) >= n_other:
            break
    return points
