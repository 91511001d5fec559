"""The restoration of an autoencoder: convolutions, trained after it, that restore what principal components draw."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from ..checking.parameters import Count, Size, SmallSeed, checked
from ..datasets.records import to_unit
from ..models.adversarial import AdversarialAutoencoder
from ..models.principal import PrincipalComponents, principal_components

STEPS = 800
_BATCH = 32
_VALUES = 400_000  # of a batch: of large images fewer are looked at, and time is bounded
_FOLDS = 5
_MANY = 20  # images for each component: what they draw of these and of others then differs by a twentieth


@checked
def restored(
    network: AdversarialAutoencoder, images: Tensor, channels: Size, seed: SmallSeed = 0, steps: Count = STEPS
) -> AdversarialAutoencoder:
    """The principal components of an autoencoder, and a restoration that has learned what they draw wrongly.

    Components of few images draw these nearly without an error, and others badly: 256 of 420 drawn shapes leave a veil
    of faint lines on a new one. What is learned from is therefore drawn by components that have not seen it (as in
    stacking: Wolpert 1992, Neural Networks 5). Squared error of the pixels; no global random state is touched.

    Args:
        network: of the architecture ``"pca"``; itself is kept, and what it has learned beside its components left out.
        images: uint8 (N, C, H, W) that it was trained on.
        channels: of the convolutions.
        seed: decides the folds and the order of the images.
        steps: batches.
    """
    restored = network.without_residuals().with_restoration(channels)
    restoration: nn.Module = restored.decoder.restoration  # type: ignore[assignment]
    restoration.train().requires_grad_(True)
    optimizer = Adam(restoration.parameters(), lr=3e-3)
    schedule = OneCycleLR(optimizer, 3e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    folds = _folds(images, network.latent_dim, seed, generator)
    shape, size = network.image_shape, max(4, min(_BATCH, _VALUES // images[0].numel()))
    with torch.enable_grad():
        for step in range(steps):
            components, rows = folds[step % len(folds)]
            batch = to_unit(images[rows[torch.randint(len(rows), (size,), generator=generator)]])
            drawn = components.images(components.coordinates(batch), shape)
            loss = functional.mse_loss(restoration(drawn), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    restoration.eval().requires_grad_(False)
    return restored


def _folds(images: Tensor, k: int, seed: int, generator: torch.Generator) -> list[tuple[PrincipalComponents, Tensor]]:
    """Components, and the rows of the images that they draw: of few, others than they were made from."""
    n = len(images)
    if n >= _MANY * k or n < 2 * _FOLDS:
        return [(principal_components(images, k, seed), torch.arange(n))]
    parts = torch.randperm(n, generator=generator).chunk(_FOLDS)
    others = [torch.cat([part for part in parts if part is not left_out]) for left_out in parts]
    return [
        (principal_components(images[rows], k, seed), left_out) for rows, left_out in zip(others, parts, strict=True)
    ]
