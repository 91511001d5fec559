"""Small worlds whose explanation is known: an autoencoder that copies images of two pixels, and rules on the pixels."""

import torch
from torch import Tensor, nn

from abele_py.black_boxes.black_box import BlackBox
from abele_py.latent.space import LatentSpace, Points
from abele_py.models.mixture import Mixture

EDGE = 0.3
# Two clouds in the unit square, which is hardly typical in its corners.
IN_THE_SQUARE = Mixture(
    weights=torch.tensor([0.5, 0.5], dtype=torch.float64),
    means=torch.tensor([[0.25, 0.5], [0.75, 0.5]], dtype=torch.float64),
    factors=torch.diag_embed(torch.tensor([[0.15, 0.3], [0.15, 0.3]], dtype=torch.float64)),
    quantiles=torch.linspace(-1.9, 0.5, 11, dtype=torch.float64),
)


class Identity:
    """An autoencoder that copies: the code of a 1x1x2 image is its two pixels. It has a mixture of its codes.

    Args:
        accepts: ``"square"`` (a point is valid inside [0, 1]^2), ``"all"`` or ``"none"``.
    """

    latent_dim = 2
    image_shape = (1, 1, 2)
    validity_threshold = 0.5

    def __init__(self, accepts: str = "square") -> None:
        self.accepts = accepts
        self.reference_latents = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
        self.mixture = IN_THE_SQUARE
        self.encoded, self.decoded = [], []  # sizes of the batches that came

    def encode(self, images: Tensor) -> Tensor:
        self.encoded.append(len(images))
        return images.flatten(1).clone()

    def decode(self, latents: Tensor) -> Tensor:
        self.decoded.append(len(latents))
        return latents.clamp(0, 1).reshape(-1, 1, 1, 2)

    def discriminate(self, latents: Tensor) -> Tensor:
        if self.accepts != "square":
            return torch.full((len(latents),), float(self.accepts == "all"))
        return ((latents >= 0) & (latents <= 1)).all(dim=1).float()


class IdentityModule(nn.Module):
    """The same as a torch module, which has a mode and parameters that must be left as they are; without a mixture."""

    latent_dim = 2
    image_shape = (1, 1, 2)
    validity_threshold = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.reference_latents = Identity().reference_latents
        self.copy = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Dropout(0.5))
        self.copy[0].weight.data = torch.eye(2)

    def encode(self, images: Tensor) -> Tensor:
        return self.copy(images.flatten(1))

    def decode(self, latents: Tensor) -> Tensor:
        return self.copy(latents).clamp(0, 1).reshape(-1, 1, 1, 2)

    def discriminate(self, latents: Tensor) -> Tensor:
        return Identity().discriminate(latents)


def hard(images: Tensor) -> Tensor:
    """The known answer: label 1 where the first pixel is above 0.3. Labels only."""
    return (images[:, 0, 0, 0] > EDGE).long()


def soft(images: Tensor) -> Tensor:
    """The same with scores; sums and products only, so that no batch size changes a bit."""
    score = (0.5 + images[:, 0, 0, 0] - EDGE).clamp(0, 1)
    return torch.stack([1 - score, score], dim=1)


def quarters(images: Tensor) -> Tensor:
    """Four classes: which quarter of the square."""
    pixels = images[:, 0, 0] > 0.5
    return 2 * pixels[:, 0].long() + pixels[:, 1].long()


def always_one(images: Tensor) -> Tensor:
    """Two classes, one of which never comes."""
    return torch.tensor([[0.2, 0.8]]).repeat(len(images), 1)


def image(*pixels: float) -> Tensor:
    return torch.tensor(pixels).reshape(1, 1, 2)


def space_of(black_box=hard, accepts: str = "square", batch_size: int = 256) -> LatentSpace:
    return LatentSpace(Identity(accepts), BlackBox(black_box, batch_size))


def anchor_of(space: LatentSpace, *pixels: float) -> Points:
    """Row 0: the code of an image, the image itself, and what the black box says of it."""
    x = image(*pixels)[None]
    return Points(space.encode(x), x, *space.black_box(x))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Counting:
    """A black box that remembers the size of every batch and every image it saw."""

    def __init__(self, function=hard) -> None:
        self.function = function
        self.batches: list[int] = []
        self.seen: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        self.seen.append(images.clone())
        return self.function(images)


class Scores(nn.Module):
    """Answers the first pixel as the probability of the last class."""

    def forward(self, images):
        p = images[:, 0, 0, 0]
        return torch.stack([1 - p, p], dim=1)
