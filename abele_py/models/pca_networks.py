"""Encoder and decoder that begin as principal components, and what they learn beside these."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .principal import PrincipalComponents


def linear_layers(widths: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Linear layers of these widths, an activation after each."""
    return [m for i, o in pairwise(widths) for m in (nn.Linear(i, o), activation())]


class PcaEncoder(nn.Module):
    """k coordinates of principal components, and what an MLP that is given n_features of them adds.

    The MLP is given these and not the pixels, which all vary together where brightness does: a step of Adam, as large
    for each weight, then moves all codes along that one direction, on which they collapse.
    """

    def __init__(self, shape: tuple[int, int, int], k: int, n_features: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.k = k
        self.mean = nn.Parameter(torch.zeros(math.prod(shape)), requires_grad=False)
        self.components = nn.Linear(math.prod(shape), n_features, bias=False).requires_grad_(False)
        self.residual = nn.Sequential(*linear_layers([n_features, *hidden], nn.ReLU), nn.Linear(hidden[-1], k))

    @torch.no_grad()
    def start_from(self, found: PrincipalComponents) -> None:
        n = min(len(found), self.components.out_features)
        # the first k vary alike, the others as much less as they do in the images: rounding and noise stay small
        scale = 1 / torch.maximum(found.variances[:n], found.variances[: self.k][-1:]).sqrt()
        self.components.weight.zero_()[:n] = found.directions[:n] * scale[:, None]
        self.mean.copy_(found.mean)
        silence(self.residual)

    def forward(self, images: Tensor) -> Tensor:
        features = self.components(images.flatten(1) - self.mean)
        return features[:, : self.k] + self.residual(features)


class PcaDecoder(nn.Module):
    """What principal components draw, what an MLP adds to it, and what a restoration makes of that, if it has one."""

    def __init__(self, shape: tuple[int, int, int], k: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.shape = shape
        self.components = nn.Linear(k, math.prod(shape)).requires_grad_(False)
        self.residual = nn.Sequential(
            *linear_layers([k, *reversed(hidden)], nn.ReLU), nn.Linear(hidden[0], math.prod(shape))
        )
        self.restoration: nn.Module | None = None

    @torch.no_grad()
    def start_from(self, found: PrincipalComponents) -> None:
        n = min(len(found), self.components.in_features)
        self.components.weight.zero_()[:, :n] = (found.directions[:n] * found.variances[:n, None].sqrt()).T
        self.components.bias.copy_(found.mean)
        silence(self.residual)

    def forward(self, latents: Tensor) -> Tensor:
        drawn: Tensor = _Clamp.apply(self.components(latents) + self.residual(latents))
        images = drawn.unflatten(1, self.shape)
        return images if self.restoration is None else self.restoration(images)


class Restoration(nn.Module):
    """What convolutions make of images that are drawn by few components: sharper edges, plain ground.

    They add what is missing (residual learning: Zhang et al. 2017, arXiv 1608.03981). Each pixel depends on a square of
    14 pixels alone, wherever it lies, so that they learn from few images what components of these cannot draw. At half
    the resolution, squares of four pixels as channels (Shi et al. 2016, arXiv 1609.05158): a quarter of the time.
    """

    def __init__(self, n_channels: int, channels: int) -> None:
        super().__init__()
        inside = 4 * n_channels
        with torch.random.fork_rng(devices=[]):  # whatever is made after it begins with the weights that it has without
            self.layers = nn.Sequential(
                *(nn.Conv2d(inside, channels, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()),
                nn.Conv2d(channels, inside, 3, padding=1),
            )
        self._start()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in AdversarialAutoencoder

    def _start(self) -> None:
        """As torch's convolutions begin, but always alike; the last one adds nothing."""
        generator = torch.Generator().manual_seed(0)
        layers: Any = self.layers
        for layer in (layers[0], layers[2]):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in (layer.weight, layer.bias):
                nn.init.uniform_(parameter, -bound, bound, generator)
        silence(self.layers)

    def forward(self, images: Tensor) -> Tensor:
        if not len(images):  # pixel_shuffle returns none with the channels that it was given
            return images
        height, width = images.shape[2:]
        even = functional.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
        added = functional.pixel_shuffle(self.layers(functional.pixel_unshuffle(even, 2)), 2)
        restored: Tensor = _Clamp.apply(images + added[:, :, :height, :width])
        return restored


class _Clamp(torch.autograd.Function):
    """To [0, 1], with the gradient of the identity: a pixel beyond the range can still be called back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


@torch.no_grad()
def silence(residual: nn.Sequential) -> None:
    """Let it add nothing, and still learn."""
    last: Any = residual[-1]
    last.weight.zero_()
    last.bias.zero_()
