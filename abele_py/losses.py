"""Losses of an autoencoder beside the squared error of its pixels: edges, and how far its codes are from the prior."""

import torch
from torch import Tensor


def edge_loss(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of the differences between neighboring pixels, down and across, of images (N, C, H, W)."""
    difference = x - y
    return difference.diff(dim=2).square().mean() + difference.diff(dim=3).square().mean()


def mmd_loss(x: Tensor, y: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two samples (N, k): 0 on average where both have one distribution.

    Inverse multiquadratic kernels of seven widths around the expected squared distance 2 k of two samples of N(0, I)
    (Tolstikhin et al. 2018, Wasserstein auto-encoders, arXiv 1711.01558, section 4).
    """
    k = x.shape[1]

    def mean(kernel: Tensor) -> Tensor:
        """Over pairs of different points; a point's kernel with itself is 1."""
        return (kernel.sum() - len(kernel)) / (len(kernel) * (len(kernel) - 1))

    total = x.new_zeros(())
    for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        width = 2 * k * scale
        xx, yy, xy = (width / (width + torch.cdist(a, b).square()) for a, b in ((x, x), (y, y), (x, y)))
        total = total + mean(xx) + mean(yy) - 2 * xy.mean()
    return total
