"""The protocol that explanations need of an autoencoder."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Autoencoder(Protocol):
    """What an explanation needs of an autoencoder. Deterministic: ``encode(x)[:1]`` equals ``encode(x[:1])``.

    It may also have an attribute ``mixture``, a :class:`~abele_py.models.mixture.Mixture` of its codes or None: then
    explanations say how typical a point is, and the neighborhood ``"mixture"`` can be sampled.

    Attributes:
        latent_dim: k, number of latent coordinates.
        image_shape: (C, H, W).
        validity_threshold: a latent point is *valid* where ``discriminate`` is at least this.
        reference_latents: (M, k) codes of a random sample of the training images.
    """

    latent_dim: int
    image_shape: tuple[int, int, int]

    @property
    def validity_threshold(self) -> float: ...

    @property
    def reference_latents(self) -> Tensor: ...

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, k)."""

    def decode(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N, C, H, W) in [0, 1]."""

    def discriminate(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) in [0, 1]: how much each point looks like a sample of the prior N(0, I)."""
