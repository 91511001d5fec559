"""What follows a training: calibrate on ``val``, measure on ``test``, write the checkpoint folder and its pictures."""

import math
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from lightning_fabric.utilities.rank_zero import rank_zero_info  # type: ignore[attr-defined]
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from ..datasets.loading import dataset_of, load_split
from ..datasets.records import ImageSet, to_unit, unit_batches
from ..errors import CheckpointError
from ..metrics.autoencoder import (
    balanced_mean,
    discriminator_mean,
    label_preservation,
    label_preservation_balanced,
    mardia_kurtosis,
    rmse,
    valid_share,
)
from ..models.adversarial import AdversarialAutoencoder
from ..models.checkpoints import Manifest, read_manifest, save_checkpoint
from ..models.mixture import N_CODES, fit_mixture
from ..provenance import versions
from ..storage.files import write_bytes
from . import pictures
from .data_module import EVALUATED
from .latent_size import LatentSizes, judged
from .model_card import card
from .restoration import restored

N_REFERENCES = 2000
_VISIBLE = 0.05  # share of the error of the pixels; nobody sees less
_VALUES = 25_000_000  # of the images that a mixture is fitted to: refining the codes of large ones takes longer
_PACKAGES = ("abele-py", "torch", "pytorch-lightning", "torchvision", "numpy", "scikit-learn", "python")


def finalize(
    module: pl.LightningModule, config: Namespace, out: Path, black_box: nn.Module | None, seconds: float,
    sizes: LatentSizes | None = None,
) -> Path:  # fmt: skip
    """Calibrate on ``val``, measure on ``test``, write the checkpoint.

    An autoencoder that has started from principal components and has not become better than these is written as these,
    or as these and their restoration where that is better.

    Beside the run's logs, ``reconstructions.png`` shows images of the data set; the checkpoint holds none.

    Args:
        module: trained; its ``network`` is written.
        config: the options of the training, all of them.
        out: folder of the checkpoint.
        black_box: judges whether an autoencoder preserves labels.
        seconds: time of the training.
        sizes: what the number of latent coordinates was chosen by.

    Returns:
        The folder.

    Raises:
        CheckpointError: the checkpoint or the picture beside it cannot be written. The state of the best epoch is left:
            ``--resume`` then comes here again without training.
    """
    network: Any = module.network
    network.cpu().eval().requires_grad_(False)
    if config.half:
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    data = dataset_of(config.data.data_set)
    test = load_split(config.data.data_set, "test", config.data_dir)
    shareable: dict[str, bytes] = {}
    floor: dict[str, float] = {}
    if isinstance(network, AdversarialAutoencoder):
        train_images = load_split(config.data.data_set, "train", config.data_dir).images[: config.data.limit]
        n_codes = min(N_CODES, max(N_REFERENCES, _VALUES // math.prod(data.image_shape)))
        rows = torch.randperm(len(train_images), generator=torch.Generator().manual_seed(0))[:n_codes]
        val = load_split(config.data.data_set, "val", config.data_dir).images[: config.data.limit]
        if network.config["architecture"] == "pca":
            linear = network.without_residuals()
            floor = _decoded(linear, test.images, in_batches(linear.encode, test.images), black_box).metrics()
            candidates = {"principal components": linear, "the trained autoencoder": network}
            if channels := int(module.restoration):  # type: ignore[arg-type]
                name = "principal components and their restoration"
                candidates[name] = restored(network, train_images, channels, int(config.seed_everything))
            network, val_codes = _best(candidates, judged(val), black_box)
        else:
            val_codes = in_batches(network.encode, val)
        codes = in_batches(network.encode, train_images[rows])
        network.calibrate(val_codes, codes[:N_REFERENCES], mixture=fit_mixture(codes, val_codes))
        test_codes = in_batches(network.encode, test.images)
        metrics = measure_autoencoder(network, test, test_codes, black_box)
        shareable = {"samples.png": pictures.samples(network), "traversals.png": pictures.traversals(network)}
    else:
        metrics = measure_classifier(network, test)
    file = str(config.config[0]) if config.config else ""
    manifest = Manifest(
        name=config.name,
        kind="autoencoder",  # this and the two below: filled in from the network
        architecture="",
        config={},
        data_set=data.name,
        split=f"train ({data.splitting})",
        preprocessing="; ".join(filter(None, (data.preparation, "pixels / 255: float32 in [0, 1], (C, H, W)"))),
        class_names=list(data.class_names),
        recipe={"name": Path(file).stem, "options": trained_options(config, data.name)},
        seed=int(config.seed_everything),
        versions={package: found for package, found in versions(*_PACKAGES).items() if found is not None},
        hardware=_hardware(module),
        training_seconds=round(seconds, 1),
        metrics={name: round(value, 6) for name, value in metrics.items()},
        licence=data.licence,
        test_counts=torch.bincount(test.labels, minlength=len(data.class_names)).tolist(),
        floor={name: round(value, 6) for name, value in floor.items()},
        latent_sizes={} if sizes is None else {str(k): round(share, 6) for k, share in sizes.kept.items()},
    )
    try:
        save_checkpoint(out, network, manifest, shareable, card)
        if isinstance(network, AdversarialAutoencoder):
            drawn = pictures.reconstructions(network, to_unit(test.images), test_codes, black_box, data.class_names)
            beside = Path(config.runs) / config.name / "reconstructions.png"
            write_bytes(beside, drawn)
    except OSError as error:
        raise CheckpointError(
            f"got a finished training whose results cannot be written: {error}; expected room for them; make some, and "
            "go on with --resume: nothing is trained again"
        ) from error
    return out


def trained_options(config: Namespace, data_set: str) -> dict[str, Any]:
    """The recipe as it was trained: without what belongs to one machine, without options left at None.

    Data set and black box may have been given as paths, and are called by their names.
    """
    judge = config.black_box and read_manifest(config.black_box).name

    def given(options: dict[str, Any]) -> dict[str, Any]:
        nested = {key: given(value) if isinstance(value, dict) else value for key, value in options.items()}
        machine = {"config", "runs", "out", "data_dir", "download", "resume", "overwrite", "threads"}
        return {key: value for key, value in nested.items() if value is not None and key not in machine}

    options = config.as_dict()
    return given(options | {"black_box": judge, "data": options["data"] | {"data_set": data_set}})


def _hardware(module: pl.LightningModule) -> str:
    if module.device.type == "cuda":
        return torch.cuda.get_device_name(module.device)
    return f"{platform.machine()} processor, {torch.get_num_threads()} of {os.cpu_count()} cores"


def measure_classifier(network: nn.Module, images: ImageSet) -> dict[str, float]:
    """Metrics of a classifier, the most important one first: ``accuracy``, for two classes ``auc``."""
    scores = in_batches(network, images.images)
    metrics = {"accuracy": float((scores.argmax(dim=1) == images.labels).float().mean())}
    if len(images.class_names) == 2 == len(images.labels.unique()):
        metrics["auc"] = float(roc_auc_score(images.labels.numpy(), scores[:, 1].numpy()))
    return metrics


@torch.no_grad()
def measure_autoencoder(
    network: AdversarialAutoencoder, images: ImageSet, latents: Tensor, black_box: nn.Module | None
) -> dict[str, float]:
    """Metrics of an autoencoder, by their keys in ``METRICS``, the most important one first; it needs the black box.

    Args:
        network: calibrated.
        images: N images that it has not seen.
        latents: (N, k) their codes.
        black_box: (N, C, H, W) in [0, 1] to (N, K) probabilities; None leaves out the metrics of labels.
    """
    metrics = _decoded(network, images.images, latents, black_box).metrics()
    answers = network.discriminate(latents)
    prior = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    metrics["discriminator_codes"] = discriminator_mean(answers)
    metrics["discriminator_prior"] = discriminator_mean(network.discriminate(prior))
    metrics["valid"] = valid_share(answers, network.validity_threshold)
    metrics["kurtosis"] = mardia_kurtosis(latents)
    return metrics


class _Decoded(NamedTuple):
    """How decoded codes compare with their images.

    Attributes:
        rmse_255: of the pixels.
        labels: (N,) of the images; None where there are not several to keep.
        again: (N,) of the decoded codes.
    """

    rmse_255: float
    labels: Tensor | None
    again: Tensor

    def metrics(self) -> dict[str, float]:
        kept: dict[str, float] = {}
        if self.labels is not None:
            kept["label_preservation"] = label_preservation(self.labels, self.again)
            kept["label_preservation_balanced"] = label_preservation_balanced(self.labels, self.again)
        return kept | {"rmse_255": self.rmse_255}


@torch.no_grad()
def _decoded(network: AdversarialAutoencoder, images: Tensor, latents: Tensor, black_box: nn.Module | None) -> _Decoded:
    """Of images (N, C, H, W) uint8 and their codes."""
    none = torch.zeros(0, dtype=torch.int64)
    labels, again, errors = [none], [none], []
    for batch, codes in zip(unit_batches(images, EVALUATED), latents.split(EVALUATED), strict=True):
        decoded = network.decode(codes)
        errors.append(rmse(batch, decoded) ** 2 * len(batch))
        if black_box is not None:
            labels.append(black_box(batch).argmax(dim=1))
            again.append(black_box(decoded).argmax(dim=1))
    whole = torch.cat(labels)
    return _Decoded((sum(errors) / len(images)) ** 0.5, whole if len(whole.unique()) > 1 else None, torch.cat(again))


def _best(
    candidates: dict[str, AdversarialAutoencoder], images: Tensor, black_box: nn.Module | None
) -> tuple[AdversarialAutoencoder, Tensor]:
    """The last of these networks that is better than the best one before it, the first one otherwise; and its codes.

    Of two that are as good the earlier one is: what is better on these images by chance is as often worse on others.
    """
    kept, *others = candidates
    codes = in_batches(candidates[kept].encode, images)
    reached = _decoded(candidates[kept], images, codes, black_box)
    for name in others:
        other_codes = in_batches(candidates[name].encode, images)
        other = _decoded(candidates[name], images, other_codes, black_box)
        if _is_better(other, reached):
            kept, codes, reached = name, other_codes, other
    rank_zero_info(f"kept, by what it reaches on val: {kept}")
    return candidates[kept], codes


def _is_better(trained: _Decoded, start: _Decoded) -> bool:
    """Better in pixels, to be seen, and in labels no worse by two standard errors; or better by so many in labels, and
    in pixels no worse."""
    smaller = 1 - trained.rmse_255 / start.rmse_255 if start.rmse_255 else 0.0
    if trained.labels is None or start.labels is None:
        return smaller > 0
    gains = (trained.again == trained.labels).double() - (start.again == start.labels).double()
    gain, error = balanced_mean(gains, trained.labels)
    return (smaller >= _VISIBLE and gain >= -2 * error) or (smaller >= 0 and gain > 2 * error)


def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, size: int = EVALUATED) -> Tensor:
    """What a function of float images (N, C, H, W) in [0, 1] answers to uint8 images, without gradients."""
    with torch.no_grad():
        return torch.cat([function(batch) for batch in unit_batches(images, size)])
