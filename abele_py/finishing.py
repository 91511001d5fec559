"""What follows a training: calibrate on ``val``, measure on ``test``, write the checkpoint folder."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from torch import nn

from .autoencoder import AdversarialAutoencoder
from .checkpoints import Manifest, save_checkpoint
from .datasets import dataset_of, load_split
from .results import in_batches, measure_autoencoder, measure_classifier, png, samples

N_REFERENCES = 2000


def finish(
    module: pl.LightningModule, config: Namespace, out: Path, black_box: nn.Module | None, seconds: float
) -> Path:
    """Calibrate on ``val``, measure on ``test``, write the checkpoint.

    Args:
        module: trained; its ``network`` is written.
        config: the options of the training, all of them.
        out: folder of the checkpoint.
        black_box: judges whether an autoencoder preserves labels.
        seconds: time of the training.

    Returns:
        The folder.
    """
    network: Any = module.network
    network.cpu().eval().requires_grad_(False)
    if config.half:
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    data = dataset_of(config.data.data_set)
    test = load_split(data.name, "test", config.data_dir)
    pictures = {}
    if isinstance(network, AdversarialAutoencoder):
        train_images = load_split(data.name, "train", config.data_dir).images[: config.data.limit]
        rows = torch.randperm(len(train_images), generator=torch.Generator().manual_seed(0))[:N_REFERENCES]
        val = load_split(data.name, "val", config.data_dir).images[: config.data.limit]
        network.calibrate(in_batches(network.encode, val), in_batches(network.encode, train_images[rows.sort().values]))
        metrics = measure_autoencoder(network, test, black_box)
        pictures["samples.png"] = png(samples(network))
    else:
        metrics = measure_classifier(network, test)
    file = str(config.config[0]) if config.config else ""
    return save_checkpoint(
        out,
        network,
        Manifest(
            name=config.name,
            kind="autoencoder",  # this and the two below: filled in from the network
            architecture="",
            config={},
            data_set=data.name,
            split=f"train ({data.splitting})",
            preprocessing="pixels / 255: float32 in [0, 1], (C, H, W)",
            class_names=list(data.class_names),
            recipe={"name": Path(file).stem, "options": _options(config)},
            seed=int(config.seed_everything),
            versions={
                name: version(name)
                for name in ("abele-py", "torch", "pytorch-lightning", "torchvision", "numpy", "scikit-learn")
            }
            | {"python": platform.python_version()},
            hardware=_hardware(module),
            training_seconds=round(seconds, 1),
            metrics={name: round(value, 6) for name, value in metrics.items()},
            licence=data.licence,
        ),
        pictures,
    )


def _options(config: Namespace) -> dict[str, Any]:
    """The recipe as it was trained: without what belongs to one machine, without options left at None."""

    def given(options: dict[str, Any]) -> dict[str, Any]:
        nested = {key: given(value) if isinstance(value, dict) else value for key, value in options.items()}
        machine = {"config", "runs", "out", "data_dir", "download", "resume", "overwrite", "threads"}
        return {key: value for key, value in nested.items() if value is not None and key not in machine}

    return given(config.as_dict())


def _hardware(module: pl.LightningModule) -> str:
    if module.device.type == "cuda":
        return torch.cuda.get_device_name(module.device)
    return f"{platform.machine()} processor, {torch.get_num_threads()} of {os.cpu_count()} cores"
