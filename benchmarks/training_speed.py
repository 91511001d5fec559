"""Epochs per second of ``abele train training/mnist-autoencoder.yaml`` beside a bare PyTorch loop of the same training.

    python benchmarks/training_speed.py --data-dir DATA --limit 10000

The two take turns, in one process and on one thread, so that whatever else the machine does meets both. Both take the
same steps: losses, optimiser, batches and seeds are the recipe's, and the weights they end with are equal byte by byte.
An epoch is the training steps and the validation; what comes beside them under Lightning (logs, progress bar, pictures,
states of the training) is overhead, and counted as such. The first epoch of each turn warms up and is not counted.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from abele_py.datasets.records import to_unit
from abele_py.training.callbacks import seed_of_step
from abele_py.training.data_module import EpochBatches
from abele_py.training.modules import AutoencoderModule
from abele_py.training.recipe import RecipeCli, calm, parse

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "results" / "training-speed.json"
Seconds = list[np.ndarray]


def now() -> np.ndarray:
    """Seconds on the wall, and seconds of the processor in this process: other work hardly moves those."""
    return np.array([time.perf_counter(), time.process_time()])


class Clock(pl.Callback):
    """Seconds at the start of every epoch, and at the end of the training."""

    def __init__(self) -> None:
        self.times: Seconds = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.times.append(now())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.times.append(now())


def prepared(options: argparse.Namespace, folder: str) -> RecipeCli:
    """The trainer, module and data of the command, as it makes them."""
    arguments = [
        f"--config={ROOT / 'training' / f'{options.recipe}.yaml'}", f"--runs={folder}", "--threads=1",
        f"--trainer.max_epochs={options.epochs + 1}", "--trainer.accelerator=cpu", "--trainer.num_sanity_val_steps=0",
    ]  # fmt: skip
    if options.data_dir is not None:
        arguments.append(f"--data_dir={options.data_dir}")
    if options.limit is not None:
        arguments.append(f"--data.limit={options.limit}")
    return parse([*arguments, *options.option])


def with_lightning(options: argparse.Namespace) -> tuple[Seconds, AutoencoderModule]:
    """Seconds of each counted epoch, and what was trained."""
    with tempfile.TemporaryDirectory() as folder, calm():
        cli, clock = prepared(options, folder), Clock()
        cli.trainer.callbacks.append(clock)
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return [end - start for start, end in zip(clock.times[1:], clock.times[2:], strict=False)], cli.model


def bare(options: argparse.Namespace) -> tuple[Seconds, AutoencoderModule]:
    """The same with nothing but PyTorch: no logs, no pictures, nothing written."""
    with tempfile.TemporaryDirectory() as folder, calm():
        cli = prepared(options, folder)
    data, module = cli.datamodule, cli.model
    data.trainer = None
    data.setup("fit")
    train, val = data.splits["train"], data.splits["val"]
    batches = EpochBatches(len(train), data.batch_size, data.seed, min_steps=data.min_steps)
    optimizer, schedule = module.optimizer((options.epochs + 1) * len(batches))
    seconds = []
    for epoch in range(options.epochs + 1):
        start = now()
        batches.set_epoch(epoch)
        module.train()
        for i, rows in enumerate(batches):
            torch.default_generator.manual_seed(seed_of_step(data.seed, epoch * len(batches) + i))
            loss, *_ = module.losses((to_unit(train.images[rows]), train.labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        module.eval()
        with torch.inference_mode():
            for images, labels in zip(val.images.split(1000), val.labels.split(1000), strict=True):
                module.validation_figures((to_unit(images), labels))
        seconds.append(now() - start)
    return seconds[1:], module


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="mnist-autoencoder", help="of an autoencoder")
    parser.add_argument("--data-dir")
    parser.add_argument("--limit", type=int, help="use only this many images of each split")
    parser.add_argument("--epochs", type=int, default=2, help="counted epochs of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--option", action="append", default=[], help="of the recipe: --option=--data.batch_size=64")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    options = parser().parse_args(argv)
    torch.set_num_threads(1)

    turns: dict[str, Seconds] = {"lightning": [], "bare": []}
    for _ in range(options.turns):
        turns["lightning"] += with_lightning(options)[0]
        turns["bare"] += bare(options)[0]
    wall, processor = ({name: [float(s[i]) for s in seconds] for name, seconds in turns.items()} for i in (0, 1))
    result = {
        "recipe": options.recipe,
        "options": options.option,
        "limit": options.limit,
        "epochs_per_second": {name: round(1 / float(np.median(seconds)), 4) for name, seconds in wall.items()},
        "overhead": round(float(np.median(wall["lightning"]) / np.median(wall["bare"])), 3),
        "overhead_of_processor_time": round(float(np.median(processor["lightning"]) / np.median(processor["bare"])), 3),
        "seconds": {name: [round(value, 3) for value in seconds] for name, seconds in wall.items()},
        "processor_seconds": {name: [round(value, 3) for value in seconds] for name, seconds in processor.items()},
        "hardware": f"{platform.machine()} processor, 1 thread",
        "versions": {"torch": torch.__version__, "pytorch-lightning": pl.__version__},
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"Lightning takes {result['overhead']} times what the bare loop takes (processor time: ", end="")
    print(f"{result['overhead_of_processor_time']}); epochs per second (medians): {result['epochs_per_second']}")


if __name__ == "__main__":
    main()
