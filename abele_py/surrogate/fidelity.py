"""Fidelity: how often a surrogate is right, and the better of two constant answers, which it must exceed."""

import math
from dataclasses import dataclass, field

from torch import Tensor

from ..checking.parameters import Label, checked
from ..checking.shapes import Values


@dataclass(frozen=True)
class Fidelity:
    """How often the surrogate gives the black box's label. All in [0, 1], higher is better.

    Attributes:
        held_out: on neighbors that no fit and no choice saw, weighted by distance: *the* fidelity of an explanation.
        held_out_unweighted: the same, every neighbor counting alike.
        in_sample: on the points it was fitted on. Flattering, as the published code reports it.
        constant: the baseline of ``held_out``: what the better of two constant answers reaches there, the image's label
            and the most frequent label, see :func:`~abele_py.surrogate.best_constant`. A surrogate that does not exceed
            it explains nothing.
        constant_unweighted: the same, every neighbor counting alike.
        hit: does it give the explained point its label?
        n_held_out: number of held-out neighbors.
        constant_label, constant_label_unweighted: the labels that these two always answer. None in files of a time
            when the baseline was the image's label, also where another one was more frequent.
    """

    held_out: float
    held_out_unweighted: float
    in_sample: float
    constant: float
    constant_unweighted: float
    hit: bool
    n_held_out: int
    constant_label: int | None = field(default=None, kw_only=True)
    constant_label_unweighted: int | None = field(default=None, kw_only=True)

    @property
    def errors_avoided(self) -> float | None:
        """Share of the constant answer's errors that the surrogate avoids, at most 1; None where there are none.

        0: it is as good as the constant answer. Negative: it is worse.
        """
        if self.constant >= 1:
            return None
        return (self.held_out - self.constant) / (1 - self.constant)


def share(right: Tensor, weights: Tensor | None = None) -> float:
    """The share (N,) that is true, weighted by (N,) positive numbers, or every point counting alike.

    Sums are exact before they are rounded, so that the order of the points changes nothing. NaN for no points.
    """
    if len(right) == 0:
        return math.nan
    if weights is None:
        return int(right.sum()) / len(right)
    return math.fsum(weights[right.bool()].tolist()) / math.fsum(weights.tolist())


@checked
def best_constant(labels: Values, own: Label, weights: Values | None = None) -> tuple[int, float]:
    """The better of two constant answers: the image's label, and the label that is most frequent by weight.

    Around most images both are the same. Where the autoencoder's copy of an image has another label, hardly a neighbor
    has the image's own, and to exceed that is no achievement.

    Args:
        labels: (N,) int64, the black box's, of the points on which a surrogate is measured.
        own: the image's label; it is taken where others are equally frequent, and then the lowest.
        weights: (N,) positive: how much each point counts; None counts them alike.

    Returns:
        The label, and the share of the points that have it; NaN for no points.
    """
    shares = {own: share(labels == own, weights)}
    shares |= {y: share(labels == y, weights) for y in labels.unique().tolist()}
    label = max(shares, key=lambda y: (shares[y], y == own, -y))
    return label, shares[label]
