"""Training data: a data set's splits as batches, the same after an interruption and for any number of processes."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.rank_zero import rank_zero_info  # type: ignore[attr-defined]
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from ..checking.parameters import Count, Many, Number, SmallSeed, checked
from ..datasets.loading import load_split, prepare
from ..datasets.records import ImageSet, to_unit
from ..errors import ParameterError

Batch = tuple[Tensor, Tensor]
EVALUATED = 250  # images in a batch without gradients: of 64x64 pixels, 1,000 take three times as long each


class ImageData(pl.LightningDataModule):
    """The ``train`` and ``val`` splits of a data set; ``test`` is never loaded while training.

    Images stay one uint8 tensor, on the training's device where they fit, else in main memory. A batch is one indexing
    of it, and becomes float on the device. Several processes share each batch.

    Args:
        data_set: a key of ``DATASETS``.
        batch_size: images per training step.
        data_dir: folder of the data sets, as in ``load_split``.
        download: fetch missing files first.
        seed: decides the order of the images, together with the number of the epoch.
        limit: use only the first images of each split.
        min_steps: an epoch passes over the images until there are at least this many batches; for small data sets.
        max_values: an epoch ends once its batches hold this many values, colours of pixels, and are at least
            ``min_steps``, for large data sets: other images follow in the next one. Time is bounded by values, not by
            steps: one of large images takes longer.
    """

    @checked
    def __init__(
        self,
        data_set: str = "digits",
        batch_size: Count = 128,
        data_dir: str | None = None,
        download: bool = False,
        seed: SmallSeed = 0,
        limit: Count | None = None,
        min_steps: Many = 1,
        max_values: Count | None = None,
    ) -> None:
        super().__init__()
        positive = {"batch_size": batch_size, "limit": limit, "min_steps": min_steps, "max_values": max_values}
        for name, value in positive.items():
            if value is not None and value < 1:
                raise ParameterError(f"got {name}={value}; expected at least 1; pass another")
        self.data_set, self.batch_size, self.data_dir, self.download = data_set, batch_size, data_dir, download
        self.seed, self.limit, self.min_steps, self.max_values = seed, limit, min_steps, max_values
        self.splits: dict[str, ImageSet] = {}

    def prepare_data(self) -> None:
        prepare(self.data_set, self.data_dir, self.download)

    def setup(self, stage: str) -> None:
        for split in ("train", "val"):
            full = load_split(self.data_set, split, self.data_dir)
            images, labels = full.images[: self.limit], full.labels[: self.limit]
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
            if device.type == "cuda" and 4 * images.nbytes < torch.cuda.mem_get_info(device)[0]:
                images, labels = images.to(device), labels.to(device)
            self.splits[split] = ImageSet(images, labels, full.class_names)

    def train_dataloader(self) -> DataLoader[Batch]:
        max_steps = None
        if self.max_values is not None:
            max_steps = max(1, self.max_values // (self.batch_size * self.splits["train"].images[0].numel()))
        return self._loader("train", self.batch_size, self.seed, self.min_steps, max_steps)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader("val", EVALUATED, None)

    def _loader(
        self, split: str, batch_size: int, seed: int | None, min_steps: int = 1, max_steps: int | None = None
    ) -> DataLoader[Batch]:
        images = self.splits[split]
        if seed is not None and len(images) < batch_size:
            rank_zero_info(f"{len(images)} images are fewer than a batch of {batch_size}: every step sees all of them")
        rows: Any = TensorDataset(images.images, images.labels)
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        batches = EpochBatches(len(images), batch_size, seed, rank, world_size, min_steps, max_steps)
        return DataLoader(rows, batch_size=None, sampler=batches)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        images, labels = batch
        return to_unit(images), labels


class EpochBatches(Sampler[Tensor]):
    """Numbers of rows, batch by batch. Shuffled by (seed, epoch) alone: a resumed training goes on with the same ones.

    Args:
        n: number of images.
        batch_size: images per batch, of all processes together. What does not fill a batch is spread over the others:
            none is much smaller or larger than the rest, as batch normalisation wants it. Fewer images than that are
            one batch.
        seed: None keeps the order of the images, in batches of at most ``batch_size``.
        rank, world_size: number of this process and of all; each takes its share of every batch.
        min_steps: an epoch shuffles and passes over all images, and does so again until it has this many batches.
        max_steps: and ends after this many, or ``min_steps`` where that is more.

    Raises:
        ParameterError: a batch is too small to be shared by the processes, or (shuffled) to be normalised by each.
    """

    @checked
    def __init__(
        self,
        n: Count,
        batch_size: Count,
        seed: SmallSeed | None,
        rank: Number = 0,
        world_size: Count = 1,
        min_steps: Count = 1,
        max_steps: Count | None = None,
    ) -> None:
        self.n, self.seed, self.epoch = n, seed, 0
        self.rank, self.world_size = rank, world_size
        self.in_a_pass = math.ceil(n / batch_size) if seed is None else max(1, n // batch_size)
        self.passes = math.ceil(min_steps / self.in_a_pass)
        whole = self.passes * self.in_a_pass
        self.steps = whole if max_steps is None else min(whole, max(min_steps, max_steps))
        smallest, needed = n // self.in_a_pass, world_size * (1 if seed is None else 2)
        if smallest < needed:
            raise ParameterError(
                f"got {n} images in batches of {smallest} for {world_size} process(es); expected at least {needed} in "
                "a batch; use more images, a larger --data.batch_size, or fewer --trainer.devices"
            )

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Tensor]:
        return islice(self._whole_passes(), self.steps)

    def _whole_passes(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0 if self.seed is None else self.seed * 100_003 + self.epoch)
        for _ in range(self.passes):
            rows = torch.arange(self.n) if self.seed is None else torch.randperm(self.n, generator=generator)
            for batch in rows.tensor_split(self.in_a_pass):
                yield batch[self.rank :: self.world_size]
