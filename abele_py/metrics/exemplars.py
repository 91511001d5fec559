"""Do exemplars and counter-exemplars tell images apart? 1-NN, beside prototypes chosen by other methods.

The methods beside ours choose real images, as rows of a matrix of flattened images; all are deterministic.
"""

import math

import torch
from torch import Tensor

from ..checking.parameters import Label, Number, checked
from ..checking.shapes import Rows, Values, Vector
from .base import metric
from .prototypes import squared_distances


@metric("1-NN accuracy", "higher", 0.0, 1.0, "Guidotti et al. 2019, exemplars as a classifier")
@checked
def one_nearest_neighbor(prototypes: Tensor, is_label: Values, queries: Tensor, query_is_label: Values) -> float:
    """Accuracy of the 1-nearest-neighbor classifier made of prototypes, by the Euclidean distance between pixels.

    Exemplars stand for the label, counter-exemplars for all others; the queries are held-out images of both kinds
    (``balanced_queries``), so that a constant answer reaches one half. With prototypes of one kind only the answer is
    that constant. Of prototypes equally near the first one decides.

    Args:
        prototypes: (P, C, H, W), the exemplars and counter-exemplars.
        is_label: (P,) bool, true for exemplars.
        queries: (Q, C, H, W), held-out images.
        query_is_label: (Q,) bool, whether the black box gives them the label.

    Returns:
        In [0, 1]; nan without prototypes or without queries.
    """
    if len(prototypes) == 0 or len(queries) == 0:
        return math.nan
    nearest = squared_distances(queries.flatten(1), prototypes.flatten(1)).argmin(dim=1)
    return float((is_label[nearest] == query_is_label).double().mean())


@checked
def balanced_queries(labels: Values, label: Label, n: Number, generator: torch.Generator) -> Tensor:
    """Rows of images to ask ``one_nearest_neighbor`` about: as many with the label as without it.

    Args:
        labels: (N,) int64, what the black box says of N held-out images; -1 for one that shall not be asked about,
            such as the explained image itself.
        label: that of the explained image.
        n: at most so many rows of both kinds together.
        generator: draws them, without replacement.

    Returns:
        (R,) int64, R even and at most n: first R / 2 rows with the label, then R / 2 with any other. Where one kind
        has fewer than n / 2 images, R / 2 is that number.
    """
    kinds = [(labels == label).nonzero()[:, 0], ((labels != label) & (labels >= 0)).nonzero()[:, 0]]
    half = min(n // 2, *(len(rows) for rows in kinds))
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)[:half]] for rows in kinds])


@checked
def nearest_real(x: Vector, points: Rows, n: Number) -> Tensor:
    """Rows (n,) int64 of the points (N, d) nearest to x (d,), the nearest first; fewer where N is smaller."""
    return squared_distances(x[None], points)[0].argsort(stable=True)[:n]
