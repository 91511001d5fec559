"""Detail that the autoencoder cannot draw, carried over from the image to the points near its code."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Detail:
    """What an image has and its reconstruction lacks, fading with the distance from the image's code.

    Attributes:
        missing: (C, H, W), the image less its reconstruction, or a share of that.
        latent: (k,) the image's code, where all of it is added.
        reach: distance from the code, above 0, from which on nothing is.
    """

    missing: Tensor
    latent: Tensor
    reach: float

    def added_to(self, images: Tensor, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) that the points (N, k) were decoded to, with the detail."""
        share = (1 - (latents - self.latent).norm(dim=1) / self.reach).clamp(min=0)
        return (share[:, None, None, None] * self.missing).add_(images).clamp_(0, 1)
