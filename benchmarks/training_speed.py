"""Epochs per second of ``abele train training/mnist-autoencoder.yaml`` beside a bare PyTorch loop of the same training.

The two take turns, in one process and on one thread, so that whatever else the machine does meets both. An epoch is the
training steps and the validation; what comes beside them under Lightning (logs, progress bar, pictures, checkpoints) is
overhead, and counted as such. The first epoch of each turn warms up and is not counted.

    python benchmarks/training_speed.py --data-dir ../shared/data
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from abele_py.datasets.records import to_unit
from abele_py.training import recipe as training
from abele_py.training.data_module import EpochBatches

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "results" / "training-speed.json"


def now():
    """Seconds on the wall, and seconds of the processor in this process: other work hardly moves those."""
    return np.array([time.perf_counter(), time.process_time()])


class Clock(pl.Callback):
    """Seconds at the start of every epoch, and at the end of the training."""

    def __init__(self):
        self.times = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.times.append(now())

    def on_train_end(self, trainer, pl_module):
        self.times.append(now())


def prepared(options, folder):
    """The trainer, module and data of the command, as it makes them."""
    recipe = ROOT / "training" / f"{options.recipe}.yaml"
    arguments = [
        f"--config={recipe}", f"--runs={folder}", f"--trainer.max_epochs={options.epochs + 1}", "--threads=1",
        "--trainer.accelerator=cpu", "--trainer.num_sanity_val_steps=0",
    ]  # fmt: skip
    if options.data_dir is not None:
        arguments.append(f"--data_dir={options.data_dir}")
    if options.limit is not None:
        arguments.append(f"--data.limit={options.limit}")
    return training._parse(arguments)


def with_lightning(options):
    """Seconds of each epoch."""
    with tempfile.TemporaryDirectory() as folder, training._calm():
        cli, clock = prepared(options, folder), Clock()
        cli.trainer.callbacks.append(clock)
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return [end - start for start, end in zip(clock.times[1:], clock.times[2:], strict=False)]


def bare(options):
    """The same with nothing but PyTorch: no logs, no pictures, nothing written."""
    with tempfile.TemporaryDirectory() as folder, training._calm():
        cli = prepared(options, folder)
    data, module = cli.datamodule, cli.model
    data.trainer = None
    data.setup("fit")
    train, val = data.splits["train"], data.splits["val"]
    batches = EpochBatches(len(train), data.batch_size, data.seed)
    network = module.network
    parts = [
        {"params": [*network.encoder.parameters(), *network.decoder.parameters()], "lr": module.learning_rate},
        {"params": network.discriminator.parameters(), "lr": module.discriminator_learning_rate, "betas": (0.5, 0.999)},
    ]
    optimizer = Adam(parts)
    schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step / 1000))
    seconds = []
    for epoch in range(options.epochs + 1):
        start = now()
        batches.set_epoch(epoch)
        network.train()
        for rows in batches:
            loss, _, latents = module.autoencoder_loss(to_unit(train.images[rows]))
            loss = loss + module.discriminator_loss(latents)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            for images in val.images.split(1000):
                latents = network.encoder(to_unit(images))
                network.decode(latents)
                network.discriminate(latents)
                network.discriminate(torch.randn_like(latents))
        seconds.append(now() - start)
    return seconds[1:]


def parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="mnist-autoencoder", help="of an autoencoder")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--limit", type=int, default=None, help="use only so many images of each split")
    parser.add_argument("--epochs", type=int, default=2, help="counted epochs of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    return parser


def main():
    options = parser().parse_args()
    torch.set_num_threads(1)

    turns = {"lightning": [], "bare": []}
    for _ in range(options.turns):
        turns["lightning"] += with_lightning(options)
        turns["bare"] += bare(options)
    wall, processor = ({name: [float(s[i]) for s in seconds] for name, seconds in turns.items()} for i in (0, 1))
    result = {
        "recipe": options.recipe,
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
