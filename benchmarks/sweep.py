"""How many latent coordinates, and how strong a pull towards the prior? Short trainings beside each other, on ``val``.

    python benchmarks/sweep.py --data_dir DIR     # trains and measures what is not there: about 1.5 hours on one core
    python benchmarks/sweep_page.py               # docs/latent-space.md and its plot anew from what is stored

Every autoencoder is the one of training/mnist-autoencoder.yaml (linear layers of 512 and 512), but trained for EPOCHS
epochs only, in batches of BATCH_SIZE, without a choice of the best epoch. Nothing here sees the test split. Trained
networks go to runs/sweep, figures to benchmarks/sweep; both are kept, so that an interrupted sweep goes on.
"""

import json
import logging
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jsonargparse import auto_cli
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from abele_py import Abele, load_classifier
from abele_py.black_boxes.black_box import BlackBox
from abele_py.datasets.loading import dataset_of, load_split
from abele_py.datasets.records import ImageSet, to_unit
from abele_py.errors import CheckpointError, NeighborhoodError, UnknownNameError
from abele_py.explanation.explanation import Explanation
from abele_py.latent.neighborhood import generate
from abele_py.latent.space import LatentSpace, Points
from abele_py.metrics.autoencoder import discriminator_mean, fid, label_preservation, rmse
from abele_py.metrics.counter_exemplars import Plausibility, availability, availability_per_class, plausibility
from abele_py.metrics.surrogate import agreement, balanced_agreement, fresh_neighbors
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.checkpoints import read_manifest
from abele_py.storage.files import write_atomically
from abele_py.surrogate.fidelity import share
from abele_py.training.callbacks import SeedSteps
from abele_py.training.data_module import ImageData
from abele_py.training.finishing import in_batches
from abele_py.training.modules import AutoencoderModule

ROOT = Path(__file__).resolve().parent.parent
RESULTS, NETWORKS = ROOT / "benchmarks" / "sweep", ROOT / "runs" / "sweep"
DATA_SETS, SIZES = ("mnist", "fashion-mnist"), (16, 8, 4, 32, 2)
EPOCHS, BATCH_SIZE, EXPLAINED, REFERENCES = 3, 128, 40, 2000
JUDGES = {"mnist": "mnist-cnn", "fashion-mnist": "fashion-mnist-cnn", "digits": "digits-cnn"}


@dataclass(frozen=True)
class Setting:
    """What one training is of: options of ``AutoencoderModule``, and the seed of all randomness."""

    data_set: str
    latent_dim: int
    adversarial_weight: float
    mmd_weight: float = 0.0
    seed: int = 0

    @property
    def name(self) -> str:
        mmd = f"-mmd{self.mmd_weight:g}" if self.mmd_weight else ""
        seed = f"-seed{self.seed}" if self.seed else ""
        return f"{self.data_set}-k{self.latent_dim}-w{self.adversarial_weight:g}{mmd}{seed}"


def _settings(data_sets: Sequence[str] = DATA_SETS, sizes: Sequence[int] = SIZES) -> list[Setting]:
    """Every size with one weight; at 16 a tenth and ten times of it too; on MNIST also the MMD term."""
    grid = [Setting(data, k, 0.002) for k in sizes for data in data_sets]
    if 16 not in sizes:
        return grid
    grid += [Setting(data, 16, weight) for weight in (0.0002, 0.02) for data in data_sets]
    # Tolstikhin et al. weigh the term by 10 beside squared errors summed over 784 pixels: 0.0128 beside their mean.
    return grid + [Setting("mnist", 16, weight, 0.01) for weight in (0, 0.002) if "mnist" in data_sets]


SETTINGS = _settings()


def train(s: Setting, folder: Path, data_dir: str | None, epochs: int = EPOCHS, limit: int | None = None) -> Path:
    """Train one autoencoder, and store its weights with what the training was; one that is there is kept."""
    path = folder / f"{s.name}.safetensors"
    if path.exists():
        return path
    pl.seed_everything(s.seed, verbose=False)
    shape = dataset_of(s.data_set).image_shape
    module = AutoencoderModule(
        shape, latent_dim=s.latent_dim, adversarial_weight=s.adversarial_weight, mmd_weight=s.mmd_weight, refinement=0
    )  # the codes as the encoder gives them: the question is what the training does
    data = ImageData(s.data_set, BATCH_SIZE, data_dir, seed=s.seed, limit=limit)
    start = time.perf_counter()
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[SeedSteps(s.seed)], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, data)
    training = {
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "images": len(data.splits["train"]),
        "steps": trainer.global_step,
        "seconds": round(time.perf_counter() - start, 1),
        "threads": torch.get_num_threads(),
    }
    state = {name: tensor.contiguous() for name, tensor in module.network.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    partly = path.with_suffix(".partly")
    save_file(state, partly, {"training": json.dumps(training)})
    partly.replace(path)
    return path


def load(s: Setting, path: Path) -> tuple[AdversarialAutoencoder, dict[str, Any]]:
    """A stored autoencoder, not calibrated, and what its training was."""
    network = AdversarialAutoencoder(dataset_of(s.data_set).image_shape, s.latent_dim)
    with safe_open(path, "pt") as file:
        network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        return network.eval().requires_grad_(False), json.loads(file.metadata()["training"])


@cache
def material(data_set: str, data_dir: str | None) -> tuple[ImageSet, ImageSet, nn.Module, Plausibility]:
    """Of a data set: ``train``, ``val``, the judge, and the real images that judge counter-exemplars."""
    judge = load_classifier(JUDGES[data_set])
    train_images, val = (load_split(data_set, split, data_dir) for split in ("train", "val"))
    some = train_images.images[:12_000]
    labels = in_batches(lambda x: judge(x).argmax(dim=1), some)
    return train_images, val, judge, Plausibility.fit(to_unit(some), labels, per_class=1000)


def measure(s: Setting, path: Path, data_dir: str | None, explained: int = EXPLAINED) -> dict[str, Any]:
    """All figures of one autoencoder: of the whole of ``val``, and of explanations of some of its images."""
    train_images, val, judge, real = material(s.data_set, data_dir)
    network, training = load(s, path)
    rows = torch.randperm(len(train_images), generator=torch.Generator().manual_seed(0))[:REFERENCES]
    codes = in_batches(network.encode, val.images)
    network.calibrate(codes, in_batches(network.encode, train_images.images[rows.sort().values]))

    prior = torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    originals = to_unit(val.images)
    with torch.no_grad():
        decoded, made = (torch.cat([network.decode(part) for part in z.split(1000)]) for z in (codes, prior))
        labels, again = (torch.cat([judge(part).argmax(dim=1) for part in x.split(1000)]) for x in (originals, decoded))
        answers = [network.discriminate(z) for z in (codes, prior)]
    of_all = {
        "rmse": rmse(originals, decoded),
        "label_preservation": label_preservation(labels, again),
        "discriminator_codes": discriminator_mean(answers[0]),
        "discriminator_prior": discriminator_mean(answers[1]),
        "fid_prior": fid(originals, made, judge),
    }
    explainer = Abele(judge, network)
    space = LatentSpace(network, BlackBox(judge))
    chosen = np.random.default_rng(0).choice(len(val), explained, replace=False).tolist()
    found = [of_explanation(explainer, space, originals[i], i, real) for i in chosen]
    columns = {name: np.array([row[name] for row in found], dtype=np.float64) for name in found[0]}
    known = {name: column[~np.isnan(column)] for name, column in columns.items()}
    return {
        **asdict(s),
        "training": training,
        "judge": read_manifest(JUDGES[s.data_set]).name,
        "split": "val",
        "images": len(val),
        "explained_images": explained,
        "figures": _rounded(of_all | {name: _mean(column) for name, column in known.items()}),
        "standard_errors": _rounded(
            {name: _mean((c - _mean(c)) ** 2) ** 0.5 / max(1, len(c)) ** 0.5 for name, c in known.items()}
        ),
        "explanations_counted": {name: len(column) for name, column in known.items()},
    }


def of_explanation(
    explainer: Abele, space: LatentSpace, image: torch.Tensor, index: int, real: Plausibility
) -> dict[str, float]:
    """Figures of one explanation; NaN where there is nothing to measure, such as without any valid neighbor."""
    n_classes = space.black_box(image[None]).scores.shape[1]  # type: ignore[union-attr]
    try:
        e = explainer.explain(image)
    except NeighborhoodError:
        unknown = dict.fromkeys(("agreement", "constant", "balanced_agreement", "outlier_factor"), math.nan)
        return {"explained": 0.0, "counter_exemplar": 0.0, "counter_exemplar_per_class": 0.0, **unknown}
    points = _fresh(explainer, space, e, torch.Generator().manual_seed(1_000_003 + index))
    told, counters = e.surrogate.predict(points.latents), e.counter_exemplars
    return {
        "explained": 1.0,
        "agreement": agreement(told, points.labels),
        "constant": share(points.labels == e.label),  # always the image's label
        "balanced_agreement": balanced_agreement(told, points.labels, e.label),
        "counter_exemplar": availability(counters.labels),
        "counter_exemplar_per_class": availability_per_class(counters.labels, n_classes),
        "outlier_factor": plausibility(real, counters.images, counters.labels),
    }


def _fresh(explainer: Abele, space: LatentSpace, e: Explanation, generator: torch.Generator) -> Points:
    """Neighbors from the distribution of the explanation's own, of which the surrogate has seen none."""
    x = e.image[None]
    anchor = Points(e.latent[None], x, *space.black_box(x))
    draw = partial(
        generate, explainer.options.neighborhood, space, anchor, e.params["n_samples"], e.params["min_class_fraction"]
    )
    return fresh_neighbors(draw, e.neighborhood.latents, generator)


def _mean(column: np.ndarray) -> float:
    return float(column.mean()) if len(column) else math.nan


def _rounded(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 5) for name, value in figures.items()}


def sweep(
    settings: Sequence[Setting],
    results: Path,
    networks: Path,
    data_dir: str | None,
    explained: int = EXPLAINED,
    **options: Any,
) -> None:
    """Train and measure each setting that is not stored yet; without a judge, train only."""
    for s in settings:
        path = results / f"{s.name}.json"
        if path.exists():
            continue
        weights = train(s, networks, data_dir, **options)
        try:
            row = measure(s, weights, data_dir, explained)
        except (CheckpointError, UnknownNameError) as error:
            print(f"{s.name}: trained, not measured: {error}", flush=True)
            continue
        content = f"{json.dumps(row, indent=1, allow_nan=False)}\n".encode()
        write_atomically(path, lambda file, content=content: file.write(content))
        print(s.name, row["training"]["seconds"], row["figures"], flush=True)


def everything(
    data_dir: str | None = None,
    threads: int = 1,
    data_sets: Sequence[str] = DATA_SETS,
    sizes: Sequence[int] = SIZES,
    epochs: int = EPOCHS,
    limit: int | None = None,
    images: int = EXPLAINED,
    out: Path = RESULTS,
    networks: Path = NETWORKS,
) -> None:
    """Train and measure all settings that are not stored yet.

    Args:
        data_dir: folder of the data sets.
        threads: of torch.
        data_sets: names of data sets with a judge.
        sizes: numbers of latent coordinates; with 16 among them, the other weights are tried too.
        epochs: of each training.
        limit: train with only the first images of each split.
        images: how many random images of `val` are explained.
        out: folder of the figures.
        networks: folder of the trained networks.
    """
    torch.set_num_threads(threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    sweep(_settings(data_sets, sizes), out, networks, data_dir, images, epochs=epochs, limit=limit)


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(everything, args=argv)


if __name__ == "__main__":
    main()
