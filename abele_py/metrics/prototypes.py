"""Prototypes chosen by other methods: MMD-critic and k-medoids, the rivals of exemplars."""

import torch
from torch import Tensor

from ..checking.parameters import Count, Number, Positive, checked
from ..checking.shapes import Rows
from ..errors import ParameterError
from ..latent.exemplars import build_medoids


@checked
def mmd_critic(
    points: Rows,
    n_prototypes: Number,
    n_criticisms: Number,
    gamma: Positive | None = None,
) -> tuple[Tensor, Tensor]:
    """Prototypes and criticisms by MMD-critic (Kim, Khanna & Koyejo 2016, NeurIPS), both greedy.

    With ``k(x, z) = exp(-gamma ||x - z||^2)``, prototypes S maximise what of the squared maximum mean discrepancy
    between all points and S depends on S::

        J(S) = 2 / (N |S|) sum_{i, j in S} k(x_i, x_j) - 1 / |S|^2 sum_{i, j in S} k(x_i, x_j),

    and criticisms C, from the other points, the absolute witness function with a regulariser that keeps them apart::

        L(C) = sum_{c in C} |1 / N sum_i k(x_i, x_c) - 1 / |S| sum_{j in S} k(x_j, x_c)| + log det K_CC.

    Prototypes for a smaller ``n_prototypes`` are the first of these; so are criticisms for a smaller ``n_criticisms``
    and the same prototypes. Memory is that of a few matrices N x N.

    Args:
        points: (N, d) float; flattened images.
        n_prototypes, n_criticisms: how many; together at most N, else there are fewer criticisms, then prototypes.
        gamma: of the kernel; default: 1 / the median squared distance between two points.

    Returns:
        Rows of the prototypes and of the criticisms, int64, in the order of choice. Of equal rows the first is taken.

    Raises:
        ParameterError: criticisms without prototypes, negative numbers, or a gamma that is not positive.
    """
    if n_prototypes < 0 or n_criticisms < 0 or (n_prototypes == 0 and n_criticisms > 0):
        raise ParameterError(
            f"got n_prototypes={n_prototypes}, n_criticisms={n_criticisms}; expected both at least 0, and prototypes "
            "where there are criticisms; ask for at least one prototype"
        )
    if gamma is not None and not gamma > 0:
        raise ParameterError(f"got gamma={gamma}; expected a positive number; leave it out for the median heuristic")
    squared = _pairwise(points)
    kernel = squared.mul_(-(_median_gamma(squared) if gamma is None else gamma)).exp_()
    prototypes = _greedy_prototypes(kernel, min(n_prototypes, len(points)))
    return prototypes, _greedy_criticisms(kernel, prototypes, min(n_criticisms, len(points) - len(prototypes)))


@checked
def k_medoids(points: Rows, n: Count, max_swaps: Number = 200) -> Tensor:
    """Rows that minimise the sum of distances to the nearest of them: PAM (Kaufman & Rousseeuw 1990, chapter 2).

    BUILD adds, n times, the point that lowers the sum most; SWAP exchanges, while it helps, the medoid and the other
    point that lower it most. All swaps are judged at once as in FastPAM1 (Schubert & Rousseeuw 2019), in O(N^2).

    Args:
        points: (N, d) float; flattened images.
        n: medoids; fewer where N is smaller.
        max_swaps: most exchanges. With 0 a selection for a smaller n is the first part of this one.

    Returns:
        (n,) int64, in the order of choice; exchanged ones in the place of the old.
    """
    distances = _pairwise(points).sqrt_().float()
    medoids = build_medoids(distances, n, lambda near: near.sum(dim=1))
    if len(medoids) == 0:
        return medoids
    rounding = 1e-6 * float(distances[medoids].min(dim=0).values.sum())
    for _ in range(max_swaps):
        place, candidate, change = _best_swap(distances, medoids)
        if change >= -rounding:
            break
        medoids[place] = candidate
    return medoids


def _greedy_prototypes(kernel: Tensor, n: int) -> Tensor:
    mean = kernel.mean(dim=1)
    diagonal = kernel.diagonal()
    to_chosen = torch.zeros_like(mean)  # sum over S of k(x_j, candidate)
    free = torch.ones_like(mean, dtype=torch.bool)
    linear, quadratic = mean.new_zeros(()), mean.new_zeros(())  # the two sums of J over S
    chosen = torch.zeros(n, dtype=torch.int64)
    for step in range(n):
        size = step + 1
        value = 2 / size * (linear + mean) - (quadratic + 2 * to_chosen + diagonal) / size**2
        best = value.where(free, -torch.inf).argmax()
        linear, quadratic = linear + mean[best], quadratic + 2 * to_chosen[best] + diagonal[best]
        to_chosen = to_chosen + kernel[best]
        free[best] = False
        chosen[step] = best
    return chosen


def _greedy_criticisms(kernel: Tensor, prototypes: Tensor, n: int) -> Tensor:
    chosen = torch.zeros(n, dtype=torch.int64)
    if n == 0:
        return chosen
    witness = (kernel.mean(dim=1) - kernel[prototypes].mean(dim=0)).abs()
    free = torch.ones_like(witness, dtype=torch.bool)
    free[prototypes] = False
    # What a candidate adds to log det K_CC is the logarithm of its pivot in the Cholesky factorisation of K_CC.
    pivot = kernel.diagonal().clone()
    factor = kernel.new_zeros(n, len(kernel))
    for step in range(n):
        gain = witness + pivot.clamp(min=1e-12).log()
        best = gain.where(free, -torch.inf).argmax()
        column = kernel[best] - factor[:step, best] @ factor[:step]
        factor[step] = column / pivot[best].clamp(min=1e-12).sqrt()
        pivot = pivot - factor[step].square()
        free[best] = False
        chosen[step] = best
    return chosen


def _best_swap(distances: Tensor, medoids: Tensor) -> tuple[int, int, float]:
    """Which place to give to which point, and by how much the sum of distances changes.

    Taking in a point c changes the sum by sum_o min(d_oc - d1_o, 0), where d1 and d2 are a point's distances to its
    nearest and second nearest medoid; giving up m besides, by min(d_oc, d2_o) - min(d_oc, d1_o) over m's own points o.
    """
    own = distances[medoids]
    nearest, place = own.min(dim=0)
    second = own.scatter(0, place[None], torch.inf).min(dim=0).values  # infinite for one medoid
    near = torch.minimum(distances, nearest)
    belongs = torch.zeros_like(own).scatter_(0, place[None], 1.0)
    change = (near - nearest).sum(dim=1) + belongs @ (torch.minimum(distances, second) - near).T
    change[:, medoids] = torch.inf
    best = int(change.argmin())
    return best // len(near), best % len(near), float(change.flatten()[best])


def _pairwise(points: Tensor) -> Tensor:
    """(N, d) -> (N, N) float64 squared distances, 0 on the diagonal."""
    return squared_distances(points, points).fill_diagonal_(0)


@checked
def squared_distances(a: Rows, b: Rows) -> Tensor:
    """(Na, d) and (Nb, d) -> (Na, Nb) float64, at least 0."""
    a, b = a.double(), b.double()
    return torch.addmm(a.square().sum(dim=1)[:, None] + b.square().sum(dim=1), a, b.T, alpha=-2).clamp_(min=0)


def _median_gamma(squared: Tensor) -> float:
    """1 / the median squared distance of two different rows; 1 where that is 0 or there is one row only."""
    n = len(squared)
    if n < 2:
        return 1.0
    # the diagonal's n zeros stand before all others, and every pair counts twice
    median = float(squared.flatten().kthvalue(n + (n * (n - 1) + 1) // 2).values)
    return 1 / median if median > 0 else 1.0
