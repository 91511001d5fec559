"""How many latent coordinates images need: as many as principal components that keep the black box's labels."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from jsonargparse import Namespace
from lightning_fabric.utilities.rank_zero import rank_zero_info  # type: ignore[attr-defined]
from torch import Tensor, nn

from ..checking.parameters import Axes, Share, SmallSeed, checked
from ..datasets.loading import load_split, prepare
from ..datasets.records import unit_batches
from ..errors import ParameterError
from ..metrics.autoencoder import balanced_mean
from ..models.checkpoints import is_checkpoint, load_classifier
from ..models.principal import principal_components
from .run_folder import latent_dim_of

SIZES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
KEPT = 0.95  # share of the labels, each counted alike; from here on `verdict` calls an autoencoder good
_SEEN = 0.5  # share of an image's variance without which it cannot be recognised; of all but one image in twenty
_IMAGES = 2000  # that are judged, and fewer of large ones: each is drawn and judged once for every size
_VALUES = 12_000_000


@dataclass(frozen=True)
class LatentSizes:
    """What principal components alone keep of unseen images, by their number.

    Attributes:
        kept: number -> balanced label preservation, in [0, 1].
        seen: number -> share of the images of which more than half of the variance is left, in [0, 1].
        wanted: the share to be reached.
        errors: number -> standard error of ``kept``, for it is an estimate from finitely many images.
    """

    kept: dict[int, float]
    seen: dict[int, float]
    wanted: float = KEPT
    errors: dict[int, float] = field(default_factory=dict)

    @property
    def chosen(self) -> int:
        """The smallest number that keeps the wanted share and shows the images; else the one that keeps most.

        A share counts less its standard error: one that is reached by luck would be missed on other images.
        """
        sure = {k: share - self.errors.get(k, 0.0) for k, share in self.kept.items()}
        enough = [k for k in sure if sure[k] >= self.wanted and self.seen[k] >= KEPT]
        return enough[0] if enough else max(self.kept, key=lambda k: (self.kept[k], -k))

    def __str__(self) -> str:
        shares = ", ".join(f"{k}: {_down(share)}" for k, share in self.kept.items())
        return (
            f"latent coordinates: {self.chosen}. Labels in 100, each label counted alike, that so many principal "
            f"components keep: {shares}"
        )


def judged(images: Tensor) -> Tensor:
    """The images that a choice looks at: the first 2,000, fewer of more than 6,000 values."""
    return images[: min(_IMAGES, max(1, _VALUES // images[0].numel()))]


@checked
def latent_sizes(
    train_images: Annotated[Tensor, Axes("N C H W")],
    images: Annotated[Tensor, Axes("V C H W")],
    black_box: nn.Module,
    seed: SmallSeed = 0,
    wanted: Share = KEPT,
) -> LatentSizes:
    """Try 8 to 256 principal components of the training images; takes seconds.

    Args:
        train_images: uint8 (N, C, H, W).
        images: uint8 (V, C, H, W) that the choice may see, those of ``val``; see ``judged``.
        black_box: (N, C, H, W) in [0, 1] to (N, K) scores.
        seed: of the random part of the training images that is looked at.
        wanted: share of the labels to be kept.
    """
    found = principal_components(train_images, SIZES[-1], seed)
    sizes = [k for k in SIZES if k <= len(found)] or [max(1, len(found))]
    shape: tuple[int, int, int] = (images.shape[1], images.shape[2], images.shape[3])
    labels: list[Tensor] = []
    again: dict[int, list[Tensor]] = {k: [] for k in sizes}
    left: dict[int, list[Tensor]] = {k: [] for k in sizes}
    with torch.no_grad():
        for batch in unit_batches(judged(images), 250):
            labels.append(black_box(batch).argmax(dim=1))
            coordinates = found.coordinates(batch)
            variance = (batch - batch.mean(dim=(2, 3), keepdim=True)).square().sum(dim=(1, 2, 3))
            for k in sizes:
                drawn = found.images(coordinates[:, :k], shape)
                again[k].append(black_box(drawn).argmax(dim=1))
                left[k].append((drawn - batch).square().sum(dim=(1, 2, 3)) <= _SEEN * variance)
    whole = torch.cat(labels)
    kept = {k: balanced_mean((torch.cat(again[k]) == whole).double(), whole) for k in sizes}
    seen = {k: float(torch.cat(left[k]).float().mean()) for k in sizes}
    return LatentSizes({k: share for k, (share, _) in kept.items()}, seen, wanted, {k: e for k, (_, e) in kept.items()})


def choose_latent_dim(config: Namespace, run: Path) -> LatentSizes | None:
    """Where a recipe leaves the number of latent coordinates open (``auto``), find it, and write it into its options.

    Args:
        config: all options of the recipe; ``model.init_args.latent_dim`` is replaced.
        run: the run folder: a training that is resumed keeps its number.

    Returns:
        What it was chosen by; None where nothing was.

    Raises:
        ParameterError: there is no black box whose labels could be kept.
    """
    options = config.model.get("init_args", {})
    if options.get("latent_dim") != "auto":
        return None
    if config.black_box is None:
        raise ParameterError(
            "got latent_dim='auto' and no black box; expected a classifier's checkpoint, whose labels are to be kept; "
            "pass --black-box, or a number"
        )
    earlier = latent_dim_of(run) if config.resume else None
    if not is_checkpoint(config.black_box):  # not trained yet: options are checked before, and it is missed later
        options.latent_dim = earlier or SIZES[0]
        return None
    data = config.data
    prepare(data.data_set, config.data_dir, config.download)
    train, val = (load_split(data.data_set, part, config.data_dir).images[: data.limit] for part in ("train", "val"))
    sizes = latent_sizes(train, val, load_classifier(config.black_box), config.seed_everything)
    options.latent_dim = earlier or sizes.chosen
    if earlier is None:
        rank_zero_info(str(sizes))
    return sizes


def _down(share: float) -> str:
    """Rounded down, so that none looks like the one that is wanted and missed."""
    return f"{math.floor(1000 * share + 1e-9) / 10:.1f}"
