"""Does the surrogate say what the black box says, where it was not fitted?

First the places (fresh neighbors, spheres around the code, the nearest real images), then the metrics, which compare
the surrogate's labels with the black box's, and last what describes a surrogate and its rule.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..checking.parameters import Label, Many, NotNegative, checked
from ..checking.shapes import Rows, Values, Vector
from ..errors import ParameterError
from ..latent.space import Points
from ..surrogate.fidelity import best_constant, share
from ..surrogate.rules import Rule
from ..surrogate.tree import Surrogate
from .base import metric
from .exemplars import nearest_real


@checked
def fresh_neighbors(draw: Callable[[torch.Generator], Points], known: Rows, generator: torch.Generator) -> Points:
    """An independent sample of an explanation's neighborhood, without the points that the explanation knows.

    Args:
        draw: from a generator to labelled points, as ``partial(generate, strategy, space, anchor, n,
            min_class_fraction)`` of ``neighborhood.py`` does it.
        known: (N, k), the explanation's neighbors, its own code among them: fitted on, or used to choose and measure.
        generator: another one than the explanation's.

    Returns:
        Points of the same distribution, in the order they were drawn; the code, which is known, is not among them.

    Raises:
        ParameterError: the generator draws the known points again.
    """
    points = draw(generator)
    _, numbers = torch.cat([known, points.latents]).unique(dim=0, return_inverse=True)
    fresh = points[~torch.isin(numbers[len(known) :], numbers[: len(known)])]
    if len(fresh) == 0:
        raise ParameterError(
            f"got {len(points)} neighbors, all of them known to the explanation; expected fresh ones; use a generator "
            "with another seed than random_state"
        )
    return fresh


@checked
def sphere(latent: Vector, radius: NotNegative, n: Many, generator: torch.Generator) -> Tensor:
    """(n, k) float32 points, uniform on the sphere of a radius around a code (k,).

    Normal samples divided by their lengths (Muller 1959, CACM 2(4)).
    """
    directions = torch.randn(n, len(latent), generator=generator)
    return latent + radius * directions / directions.norm(dim=1, keepdim=True)


@checked
def typical_distance(latent: Vector, codes: Rows, n: Many = 100) -> float:
    """Median distance of a code (k,) to the n nearest codes of real images (M, k); the code itself does not count.

    Raises:
        ParameterError: there is no other code.
    """
    near = codes[nearest_codes(latent, codes, n)]
    return float((near - latent).norm(dim=1).median())


@checked
def nearest_codes(latent: Vector, codes: Rows, n: Many = 100) -> Tensor:
    """Rows (n,) of the codes of real images (M, k) that are nearest to a code (k,), the nearest first.

    The code itself, should it be among them, does not count. Fewer than n rows where there are no more.

    Raises:
        ParameterError: there is no other code.
    """
    others = (codes != latent).any(dim=1).nonzero()[:, 0]
    if len(others) == 0:
        raise ParameterError(
            f"got {len(codes)} codes of real images, none of them another than the explained one; expected at least "
            "one, and about 100; encode more images"
        )
    return others[nearest_real(latent, codes[others], n)]


@metric("Agreement", "higher", 0.0, 1.0, "fidelity: Guidotti et al. 2018, ACM Computing Surveys 51(5), section 5")
@checked
def agreement(surrogate_labels: Values, labels: Values, weights: Values | None = None) -> float:
    """Share of points (N,) to which the surrogate gives the black box's label.

    Args:
        surrogate_labels: (N,) int64.
        labels: (N,) int64, the black box's.
        weights: (N,) how much each point counts; None counts them alike.

    Returns:
        NaN for no points.

    Raises:
        ParameterError: the shapes differ.
    """
    _same_shape(surrogate_labels, labels)
    return share(surrogate_labels == labels, weights)


@metric("Balanced agreement", "higher", 0.0, 1.0, "balanced accuracy: Brodersen et al. 2010, ICPR")
@checked
def balanced_agreement(surrogate_labels: Values, labels: Values, label: Label) -> float:
    """Does the surrogate tell a label from the rest? Mean of two recalls: with the label, and without it.

    0.5 for every constant answer, however common the label is, and for a surrogate that guesses. Other labels are not
    told from each other here.

    Args:
        surrogate_labels: (N,) int64.
        labels: (N,) int64, the black box's.
        label: the image's.

    Returns:
        NaN where all points have the label, or none: there is nothing to tell apart.

    Raises:
        ParameterError: the shapes differ.
    """
    _same_shape(surrogate_labels, labels)
    told, true = surrogate_labels == label, labels == label
    recalls = [(told[kind] == true[kind]).double().mean() for kind in (true, ~true)]
    return float(torch.stack(recalls).mean())


@metric(
    "Constant answer",
    "neither",
    0.0,
    1.0,
    "share of the image's label or of the most frequent one, whichever is larger",
)
@checked
def constant(labels: Values, label: Label, weights: Values | None = None) -> float:
    """Share of points (N,) that the better of two constant answers gets right: the image's label, the most frequent.

    A surrogate that does not agree more often explains nothing. The balanced agreement of a constant answer is 0.5.
    See :func:`~abele_py.surrogate.best_constant`.

    Args:
        labels: (N,) int64, the black box's.
        label: the image's.
        weights: (N,) how much each point counts; None counts them alike.

    Returns:
        NaN for no points.
    """
    return best_constant(labels, label, weights)[1]


@metric(
    "Nowhere below the constant answer",
    "higher",
    0.0,
    1.0,
    "share of images; the constant answer in four places",
)
@checked
def nowhere_below_constant(agreements: Sequence[float], constants: Sequence[float]) -> float:
    """1 where the surrogate agrees at least as often as the better constant answer in every place, else 0.

    One value of each for the fresh neighbors, the spheres at 0.5 and 1 times the typical distance, and the nearest real
    images. A mean over images hides that a surrogate misleads about some of them.
    """
    return float(all(a >= c for a, c in zip(agreements, constants, strict=True)))


@metric("Hit", "higher", 0.0, 1.0, "LORE: Guidotti et al. 2018, arXiv 1805.10820, section 6")
@checked
def hit(surrogate: Surrogate, latent: Vector, label: Label) -> float:
    """1 where the surrogate gives the code (k,) the image's label, else 0."""
    return float(int(surrogate.predict(latent[None])) == label)


@metric("Rule length", "neither", 0.0, float("inf"), "number of conditions: Guidotti et al. 2018, section 5")
@checked
def rule_length(rule: Rule) -> float:
    """Number of conditions; at most two for each coordinate. 0 for a rule that always holds."""
    return float(len(rule.conditions))


@metric("Labels present", "neither", 0.0, float("inf"), "number of different labels among points")
@checked
def labels_present(labels: Values) -> float:
    """Number of different labels among points (N,). With one there is nothing to explain."""
    return float(len(labels.unique()))


@metric("Leaves", "neither", 1.0, float("inf"), "size of the surrogate tree")
@checked
def leaves(surrogate: Surrogate) -> float:
    """Number of leaves of the surrogate; 1 for the constant answer."""
    return float(surrogate.n_leaves)


def _same_shape(surrogate_labels: Tensor, labels: Tensor) -> None:
    if surrogate_labels.shape != labels.shape:
        raise ParameterError(
            f"got {tuple(surrogate_labels.shape)} labels of the surrogate for {tuple(labels.shape)} of the black box; "
            "expected one for each point; ask both about the same points"
        )
