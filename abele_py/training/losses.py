"""Losses of an autoencoder beside the squared error of its pixels: edges, and how far its codes are from the prior."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checking.parameters import Shape, Size, checked
from .augmentation import crop


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


class LatentLabels(nn.Module):
    """A linear classifier of codes and, with ``consistent``, a small convolutional judge of images.

    Args:
        image_shape: (C, H, W).
        latent_dim: k.
        n_classes: K.
        consistent: is ``consistency`` going to be used?
    """

    @checked
    def __init__(self, image_shape: Shape, latent_dim: Size, n_classes: Size, consistent: bool = False) -> None:
        super().__init__()
        self.head = nn.Linear(latent_dim, n_classes)
        self.judge = _judge(image_shape, n_classes) if consistent else None

    def classification(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy of the linear classifier on the codes (N, k) of images with labels (N,).

        A supervised autoencoder: Le, Patterson, White 2018, NeurIPS.
        """
        return functional.cross_entropy(self.head(latents), labels)

    def consistency(
        self,
        decoder: Callable[[Tensor], Tensor],
        latents: Tensor,
        images: Tensor,
        decoded: Tensor,
        labels: Tensor,
        sharpness: float = 5.0,
    ) -> tuple[Tensor, Tensor]:
        """Do decoded images have the labels that the linear classifier gives to the points they are decoded from?

        Points are mixed from codes and samples of the prior, ``sqrt(1 - t) z + sqrt(t) e`` with t uniform in [0, 1], so
        that they lie wherever an explanation looks, and are as long as either. Every second image of the batch is used.

        Where an autoencoder sees labels at codes only, what a black box predicts between them is bent and patchy. This
        loss makes the label regions of decoded images what a linear classifier can say, which is what a rule can say.

        Args:
            decoder: (N, k) -> (N, C, H, W).
            latents: (N, k), codes of the images; they get no gradient.
            images, decoded: (N, C, H, W), and what their codes decode to.
            labels: (N,).
            sharpness: factor of the linear classifier's logits, where the decoder learns from it: larger makes
                decoded images change their label at once instead of passing through images of neither.

        Returns:
            The decoder's loss: cross entropy of the judge's answer with that of the linear classifier; neither gets a
            gradient. And the loss of those two: the judge learns from images and reconstructions, and the linear
            classifier from the judge; the decoder gets none.
        """
        if self.judge is None:
            raise RuntimeError("LatentLabels was made without consistent=True")
        latents, labels = latents[::2].detach(), labels[::2]
        share = torch.rand(len(latents), 1, device=latents.device)
        points = (1 - share).sqrt() * latents + share.sqrt() * torch.randn_like(latents)
        said = self.head(points)
        fixed = {name: parameter.detach() for name, parameter in self.judge.named_parameters()}
        seen = torch.func.functional_call(self.judge, fixed, _shaken(decoder(points)))
        wanted = (sharpness * said.detach()).softmax(dim=1)
        known = self.judge(_shaken(torch.cat([images[::2], decoded[::2].detach()])))
        learning = functional.cross_entropy(known, torch.cat([labels, labels]))
        return (
            functional.cross_entropy(seen, wanted),
            learning + functional.cross_entropy(said, seen.detach().softmax(dim=1)),
        )


def _judge(image_shape: Sequence[int], n_classes: int) -> nn.Module:
    c, h, w = image_shape
    return nn.Sequential(
        nn.Conv2d(c, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * ((h + 3) // 4) * ((w + 3) // 4), n_classes),
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _shaken(images: Tensor) -> Tensor:
    """Moved by up to two pixels and with a little noise: a decoder cannot please a judge with what nobody else sees."""
    return crop(images, 2) + 0.1 * torch.randn_like(images)
