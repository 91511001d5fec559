"""Lightning callbacks of a training: image grids, seeds by step, a stop that lasts."""

from pathlib import Path
from typing import Annotated

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torchvision.utils import make_grid

from ..checking.parameters import Count, Number, Seed, between, checked
from ..datasets.records import to_unit
from ..models.adversarial import AdversarialAutoencoder
from ..storage.files import write_bytes
from .data_module import Batch, ImageData
from .pictures import png


class ImageGrids(pl.Callback):
    """After a validation: reconstructions and samples of an autoencoder, as PNG files and in TensorBoard.

    Args:
        folder: of the PNG files.
        every: epochs between two grids.
        columns: images in a row.
    """

    @checked
    def __init__(self, folder: str | Path, every: Count = 1, columns: Annotated[int, between(1, 100)] = 10) -> None:
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
        write_bytes(self.folder / f"epoch-{trainer.current_epoch:03d}.png", png(grid))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("images, reconstructions, samples", grid, trainer.global_step)


class StayStopped(pl.Callback):
    """A training that was stopped for want of gain, and is resumed, has nothing left to train."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # after the states of the callbacks are restored; Lightning stops only while it trains
        if any(stopper.wait_count >= max(1, stopper.patience) for stopper in trainer.early_stopping_callbacks):
            trainer.should_stop = True


class SeedSteps(pl.Callback):
    """Seeds every step by its number: a resumed training draws what an uninterrupted one draws."""

    @checked
    def __init__(self, seed: Seed) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        # here, and not at the start of the epoch: setting up the loaders draws too, at another time after a resumption
        step = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx
        seed = seed_of_step(self.seed, step, trainer.global_rank)
        torch.default_generator.manual_seed(seed)
        if pl_module.device.type != "cpu":  # torch.manual_seed would ask all kinds of devices, at a cost in each step
            torch.get_device_module(pl_module.device).manual_seed(seed)


@checked
def seed_of_step(seed: Seed, step: Number, rank: Number = 0) -> int:
    """What torch is seeded with before a step of a training, in each of its processes."""
    return (seed * 1_000_003 + step + rank * 1_000_000_007) % 2**63
