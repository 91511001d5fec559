"""Training with Lightning: the data module, one module per kind of network, and pictures of the progress.

Every module holds its plain network as ``network``; files of finished networks are the business of ``checkpoints.py``.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader, Sampler, TensorDataset
from torchvision.utils import make_grid

from .autoencoder import AdversarialAutoencoder
from .classifiers import ConvolutionalClassifier, Forest
from .datasets import ImageSet, load_split, to_unit
from .errors import ParameterError
from .results import png

Batch = tuple[Tensor, Tensor]


class ImageData(pl.LightningDataModule):
    """The ``train`` and ``val`` splits of a data set; ``test`` is never loaded while training.

    Images stay one uint8 tensor, a batch is one indexing of it, and becomes float on the device it was moved to.

    Args:
        data_set: a key of ``DATASETS``.
        batch_size: images per training step.
        data_dir: folder of the data sets, as in ``load_split``.
        download: fetch missing files first.
        seed: decides the order of the images, together with the number of the epoch.
        limit: use only the first images of each split.
    """

    def __init__(
        self,
        data_set: str = "digits",
        batch_size: int = 128,
        data_dir: str | None = None,
        download: bool = False,
        seed: int = 0,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or (limit is not None and limit < 1):
            raise ParameterError(f"got batch_size={batch_size}, limit={limit}; expected at least 1; pass another")
        self.data_set, self.batch_size, self.data_dir, self.download = data_set, batch_size, data_dir, download
        self.seed, self.limit = seed, limit
        self.splits: dict[str, ImageSet] = {}

    def prepare_data(self) -> None:
        load_split(self.data_set, "train", self.data_dir, self.download)

    def setup(self, stage: str) -> None:
        for split in ("train", "val"):
            full = load_split(self.data_set, split, self.data_dir)
            self.splits[split] = ImageSet(full.images[: self.limit], full.labels[: self.limit], full.class_names)

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader("train", self.batch_size, self.seed)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader("val", 1000, None)

    def _loader(self, split: str, batch_size: int, seed: int | None) -> DataLoader[Batch]:
        images = self.splits[split]
        rows: Any = TensorDataset(images.images, images.labels)
        return DataLoader(rows, batch_size=None, sampler=EpochBatches(len(images), batch_size, seed))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        images, labels = batch
        return to_unit(images), labels


class EpochBatches(Sampler[list[int]]):
    """Lists of indices. Shuffled by (seed, epoch) alone, so a resumed training sees the batches it would have seen.

    Args:
        n: number of images.
        batch_size: images per list. Shuffled, every image is used in every epoch, and what does not fill a list is
            spread over the others: no list is much smaller or larger than the rest, as batch normalisation wants it.
        seed: None keeps the order of the images.
    """

    def __init__(self, n: int, batch_size: int, seed: int | None) -> None:
        self.n, self.batch_size, self.seed, self.epoch = n, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.seed is None:
            return math.ceil(self.n / self.batch_size)
        return max(1, self.n // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if self.seed is None:
            yield from (rows.tolist() for rows in torch.arange(self.n).split(self.batch_size))
        else:
            generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
            yield from (rows.tolist() for rows in torch.randperm(self.n, generator=generator).tensor_split(len(self)))


class AutoencoderModule(pl.LightningModule):
    """Adversarial autoencoder: each batch one step of encoder and decoder, then one step of the discriminator.

    The encoder and decoder minimise the mean squared error of the pixels plus ``adversarial_weight`` times the
    non-saturating loss -log D(E(x)); the discriminator separates samples of the prior from codes
    (Makhzani et al. 2015, arXiv 1511.05644). The encoder is deterministic; the losses take logits.

    Args:
        image_shape: (C, H, W); given by the data set.
        n_classes: given by the data set, not used: the autoencoder sees no labels.
        latent_dim: k.
        architecture: ``"mlp"``, ``"conv"`` or ``"conv-mlp"``.
        hidden: widths of the hidden layers, see ``AdversarialAutoencoder``.
        channels: channels of the convolutions, of the convolutional parts.
        discriminator_hidden: widths of the discriminator.
        adversarial_weight: larger brings the codes closer to the prior and costs reconstruction.
        learning_rate: highest rate of encoder and decoder; rises over the first 5 % of the training, falls as a cosine.
        discriminator_learning_rate: of the discriminator; falls too, or it would win once the encoder stands still.
        shift, rotation, scale: as in ``jitter``, for small data sets.
    """

    kind: Literal["autoencoder"] = "autoencoder"

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        n_classes: int = 10,
        latent_dim: int = 12,
        architecture: Literal["mlp", "conv", "conv-mlp"] = "mlp",
        hidden: Sequence[int] = (512, 512),
        channels: Sequence[int] = (32, 64),
        discriminator_hidden: Sequence[int] = (256, 256),
        adversarial_weight: float = 0.002,
        learning_rate: float = 2e-3,
        discriminator_learning_rate: float = 5e-4,
        shift: float = 0.0,
        rotation: float = 0.0,
        scale: float = 0.0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # two optimisers take turns
        self.network = AdversarialAutoencoder(
            image_shape, latent_dim, architecture, hidden, channels, discriminator_hidden
        )
        self.adversarial_weight = adversarial_weight
        self.learning_rate = learning_rate
        self.discriminator_learning_rate = discriminator_learning_rate
        self.jitter = (shift, rotation, scale)

    def autoencoder_loss(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of encoder and decoder, the mean squared error in it, and the codes."""
        latents = self.network.encoder(images)
        error = functional.mse_loss(self.network.decoder(latents), images)
        adversarial = functional.softplus(-self.network.discriminator_logits(latents)).mean()
        return error + self.adversarial_weight * adversarial, error, latents

    def discriminator_loss(self, latents: Tensor) -> Tensor:
        """Loss of the discriminator on codes and as many samples of the prior; the encoder gets no gradient."""
        prior = torch.randn_like(latents)
        on_codes = functional.softplus(self.network.discriminator_logits(latents.detach())).mean()
        return on_codes + functional.softplus(-self.network.discriminator_logits(prior)).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        images = jitter(batch[0], *self.jitter) if any(self.jitter) else batch[0]
        autoencoder, discriminator = self.optimizers()  # type: ignore[misc, attr-defined]

        # Toggled, so that the gradients of one part's loss reach no parameter of the other part.
        self.toggle_optimizer(autoencoder)
        loss, error, latents = self.autoencoder_loss(images)
        self._step(autoencoder, loss)

        self.toggle_optimizer(discriminator)
        discriminator_loss = self.discriminator_loss(latents)
        self._step(discriminator, discriminator_loss)

        for schedule in self.lr_schedulers():  # type: ignore[union-attr]
            schedule.step()
        self.log("train/rmse_255", 255 * error.detach().sqrt(), prog_bar=True)
        self.log("train/discriminator_loss", discriminator_loss.detach(), prog_bar=True)

    def _step(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.untoggle_optimizer(optimizer)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, _ = batch
        latents = self.network.encode(images)
        error = functional.mse_loss(self.network.decode(latents), images)
        self.log("val/mse", error, prog_bar=True)
        self.log("val/rmse_255", 255 * error.sqrt(), prog_bar=True)
        self.log("val/discriminator_codes", self.network.discriminate(latents).mean(), prog_bar=True)
        self.log("val/discriminator_prior", self.network.discriminate(torch.randn_like(latents)).mean())

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        network = self.network
        autoencoder = Adam([*network.encoder.parameters(), *network.decoder.parameters()], lr=self.learning_rate)
        # momentum 0.5, as usual for discriminators: their target moves
        discriminator = Adam(
            network.discriminator.parameters(), lr=self.discriminator_learning_rate, betas=(0.5, 0.999)
        )
        return [autoencoder, discriminator], [_warm_cosine(o, self.trainer) for o in (autoencoder, discriminator)]


class ClassifierModule(pl.LightningModule):
    """A small convolutional classifier; cross entropy on logits.

    Args:
        image_shape: (C, H, W); given by the data set.
        n_classes: K; given by the data set.
        channels: of the convolutions, see ``ConvolutionalClassifier``.
        hidden: width of the hidden layer.
        dropout: before each linear layer.
        learning_rate: highest rate; rises over the first 5 % of the training, falls as a cosine.
        weight_decay: of AdamW.
        shift, rotation, scale: of the training images, as in ``jitter``.
    """

    kind: Literal["classifier"] = "classifier"

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        n_classes: int = 10,
        channels: Sequence[int] = (16, 32),
        hidden: int = 128,
        dropout: float = 0.25,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-4,
        shift: float = 0.07,
        rotation: float = 10.0,
        scale: float = 0.1,
    ) -> None:
        super().__init__()
        self.network = ConvolutionalClassifier(image_shape, n_classes, channels, hidden, dropout)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.jitter = (shift, rotation, scale)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels = batch
        images = jitter(images, *self.jitter)
        loss = functional.cross_entropy(self.network.logits(images), labels)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        logits = self.network.logits(images)
        self.log("val/loss", functional.cross_entropy(logits, labels), prog_bar=True)
        self.log("val/accuracy", (logits.argmax(dim=1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> Any:
        optimizer = AdamW(self.network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        schedule = {"scheduler": _warm_cosine(optimizer, self.trainer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class ForestModule(pl.LightningModule):
    """A random forest: gathers the batches of one epoch, fits at its end, and becomes a ``Forest`` of arrays.

    Args:
        image_shape: (C, H, W); given by the data set.
        n_classes: K; given by the data set.
        n_trees: number of trees.
        max_depth: of each tree; None grows until the leaves are pure.
        min_samples_leaf: images in a leaf, at least.
        n_jobs: processor cores used for fitting.
    """

    kind: Literal["classifier"] = "classifier"

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        n_classes: int = 10,
        n_trees: int = 100,
        max_depth: int | None = None,
        min_samples_leaf: int = 1,
        n_jobs: int = 1,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # nothing here has a gradient
        self.image_shape = image_shape
        self.forest = RandomForestClassifier(
            n_trees, max_depth=max_depth, min_samples_leaf=min_samples_leaf, n_jobs=n_jobs
        )
        self.network = Forest(image_shape, n_classes, n_trees, n_trees)
        self.gathered: list[Batch] = []

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.gathered.append(batch)
        if self.trainer.is_last_batch:
            images, labels = (torch.cat(column).cpu() for column in zip(*self.gathered, strict=True))
            self.forest.set_params(random_state=int(torch.randint(2**31, ())))  # torch has the training's seed
            self.forest.fit(images.flatten(1).numpy(), labels.numpy())
            self.network = Forest.from_sklearn(self.forest, self.image_shape).to(self.device)
            self.gathered.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        self.log("val/accuracy", (self.network(images).argmax(dim=1) == labels).float().mean(), prog_bar=True)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        n_nodes = len(checkpoint["state_dict"]["network.axis"])  # a grown forest has more than the empty one
        self.network = Forest(**{**self.network.config, "n_nodes": n_nodes})

    def configure_optimizers(self) -> None:
        return None


class ImageGrids(pl.Callback):
    """After a validation: reconstructions and samples of an autoencoder, as PNG files and in TensorBoard.

    Args:
        folder: of the PNG files.
        every: epochs between two grids.
        columns: images in a row.
    """

    def __init__(self, folder: str | Path, every: int = 1, columns: int = 10) -> None:
        self.folder, self.every, self.columns = Path(folder), every, columns

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        network, now = pl_module.network, trainer.current_epoch % self.every == 0 and not trainer.sanity_checking
        if not (now and trainer.is_global_zero and isinstance(network, AdversarialAutoencoder)):
            return
        data: ImageData = trainer.datamodule  # type: ignore[attr-defined]
        images = to_unit(data.splits["val"].images[: 2 * self.columns]).to(pl_module.device)
        prior = torch.randn((2 * self.columns, network.latent_dim), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            rows = [images, network.decode(network.encode(images)), network.decode(prior.to(images))]
        grid = make_grid(torch.cat(rows), nrow=self.columns, pad_value=0.5).cpu()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"epoch-{trainer.current_epoch:03d}.png").write_bytes(png(grid))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("images, reconstructions, samples", grid, trainer.global_step)


class SeedSteps(pl.Callback):
    """Seeds every step by its number, so that a resumed training draws what an uninterrupted one draws."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        # here, and not at the start of the epoch: setting up the loaders draws too, at another time after a resumption
        step = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx
        torch.manual_seed((self.seed * 1_000_003 + step) % 2**63)


def jitter(images: Tensor, shift: float, rotation: float, scale: float) -> Tensor:
    """Move, turn and scale each image of a batch by its own random amounts; what comes in from outside is 0.

    Args:
        images: (N, C, H, W).
        shift: at most this share of the image's size, in each direction.
        rotation: at most this many degrees, either way.
        scale: larger or smaller by at most this share.
    """
    n = len(images)

    def uniform(limit: float) -> Tensor:
        return (2 * torch.rand(n, device=images.device) - 1) * limit

    angle, factor = uniform(math.radians(rotation)), 1 + uniform(scale)
    rows = [factor * angle.cos(), -factor * angle.sin(), uniform(2 * shift)]
    rows += [factor * angle.sin(), factor * angle.cos(), uniform(2 * shift)]
    grid = functional.affine_grid(torch.stack(rows, dim=1).view(n, 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _warm_cosine(optimizer: Optimizer, trainer: pl.Trainer) -> LambdaLR:
    """A rise over the first 5 % of the steps, then half a cosine down to 1 % of the rate."""
    total = min(1e6, float(trainer.estimated_stepping_batches))  # infinite for a training without an end
    warm = max(1.0, 0.05 * total)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, total - warm))))

    return LambdaLR(optimizer, factor)
