"""Images that users bring: what the documented command reaches on them, beside plain principal components.

    python benchmarks/own_images.py signs --data_dir DIR --seed 0

``signs`` and ``cells`` (48 pixels a side; ``cells-96``, ``cells-128``) are folders of colour pictures
(docs/own-images.md: ``abele train training/folder.yaml``), ``shapes`` and ``many-shapes`` (15,000) are drawn here;
another name is a data set, whose autoencoder is trained by ``folder-autoencoder.yaml``. A second classifier of other
widths and another seed judges counter-exemplars. Figures are of the test split, the images that are explained drawn at
random; they are added to ``results/own-images.json``.
What an effort takes and reaches, with nothing explained:

    python benchmarks/own_images.py many-shapes --effort fast
"""

import json
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import auto_cli
from PIL import Image, ImageDraw
from torch import Tensor, nn

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.attribution.baselines import baseline_of
from abele_py.black_boxes.black_box import BlackBox
from abele_py.cli.commands import main as abele
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.metrics.counter_exemplars import oracle_agreement
from abele_py.models.checkpoints import read_manifest
from abele_py.storage.files import write_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "own-images.json"
TOP = 0.15  # share of the pixels that are blurred
JUDGES = {"pneumoniamnist": "pneumoniamnist-cnn", "cifar10-jpeg": "cifar10-jpeg-cnn"}

CELLS = {"cells": 48, "cells-96": 96, "cells-128": 128}  # pixels of a side; at the native resolution
DRAWN = {"shapes": 200, "many-shapes": 5000}  # pictures of each kind


def draw_shapes(folder: Path, n: int = 200, side: int = 64) -> None:
    """Circles, squares and triangles of any colour, place and size on a plain ground of another colour."""
    random = np.random.default_rng(0)
    for kind in ("circle", "square", "triangle"):
        (folder / kind).mkdir(parents=True)
        for i in range(n):
            ground, ink = (tuple(random.integers(low, low + 100, 3).tolist()) for low in (0, 150))
            picture = Image.new("RGB", (side, side), ground)
            r, (x, y) = random.uniform(8, 20), random.uniform(22, side - 22, 2)
            pen, box = ImageDraw.Draw(picture), (x - r, y - r, x + r, y + r)
            if kind == "circle":
                pen.ellipse(box, fill=ink)
            elif kind == "square":
                pen.rectangle(box, fill=ink)
            else:
                pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=ink)
            picture.save(folder / kind / f"{i}.png")


def pictures_of(name: str, data_dir: Path, place: Path) -> Path | None:
    """A folder of pictures by class, made if it is not there; None for a data set of the table."""
    folder = place / name
    if name == "signs" and not folder.exists():
        with tarfile.open(data_dir / "signs" / "signs.tar") as archive:
            archive.extractall(place, filter="data")
    elif name in CELLS and not folder.exists():
        subprocess.run([sys.executable, data_dir / "cells" / "prepare.py", folder, str(CELLS[name])], check=True)
    elif name in DRAWN and not folder.exists():
        draw_shapes(folder, DRAWN[name])
    return folder if name in ("signs", *CELLS, *DRAWN) else None


def train(
    name: str, run: str, data_dir: Path, place: Path, seed: int, options: list[str]
) -> tuple[str, Path, str, float | None]:
    """Data set, checkpoint of the autoencoder and of the black box, CPU seconds; None where it was trained before."""
    runs = place / "runs"
    quiet = ["--trainer.enable_progress_bar=false", f"--runs={runs}", f"--seed_everything={seed}", *options]
    folder, start = pictures_of(name, data_dir, place), time.process_time()
    autoencoder = runs / run / "checkpoint"
    if folder is None:
        data, judge = name, JUDGES[name]
        recipe = [f"--data.data_set={name}", f"--data_dir={data_dir}", f"--black_box={judge}", f"--name={run}"]
        recipe = [str(ROOT / "training" / "folder-autoencoder.yaml"), *recipe]
    else:
        data, judge = str(runs / f"{run}-data.npz"), str(runs / f"{run}-classifier" / "checkpoint")
        recipe = [str(ROOT / "training" / "folder.yaml"), f"--data.path={folder}", f"--name={run}"]
    if autoencoder.exists():
        return data, autoencoder, judge, None
    if abele(["train", *recipe, *quiet]):
        raise SystemExit(2)
    return data, autoencoder, judge, time.process_time() - start


def second_classifier(data: str, data_dir: Path, place: Path, name: str, seed: int) -> BlackBox:
    """Of other widths, trained with another seed."""
    folder = place / "runs" / f"{name}-second" / "checkpoint"
    recipe = [str(ROOT / "training" / "folder-classifier.yaml"), f"--data.data_set={data}", f"--data_dir={data_dir}"]
    options = ["--model.channels=[24,48]", f"--seed_everything={seed + 1}", f"--name={name}-second"]
    quiet = ["--trainer.enable_progress_bar=false", f"--runs={place / 'runs'}"]
    if not folder.exists() and abele(["train", *recipe, *options, *quiet]):
        raise SystemExit(2)
    return BlackBox(load_classifier(folder))


def fall(
    image: Tensor, found: Tensor, label: int, black_box: nn.Module, generator: torch.Generator
) -> tuple[float, float]:
    """How far the label's score falls where the map's top is blurred; and where that area lies anywhere else."""
    top = (found.abs() >= found.abs().flatten().quantile(1 - TOP)).float()
    moves = torch.stack([torch.randint(size, (20,), generator=generator) for size in top.shape], dim=1)
    masks = torch.stack([top, *(top.roll(move, (0, 1)) for move in moves.tolist())])[:, None]
    blurred = baseline_of(image, "blur")
    with torch.no_grad():
        scores = black_box(torch.cat([image[None], image * (1 - masks) + blurred * masks]))[:, label]
    falls = scores[0] - scores[1:]
    return float(falls[0]), float(falls[1:].mean())


def explain(
    data: str, data_dir: Path, autoencoder: Any, black_box: nn.Module, second: BlackBox | None, n: int, seed: int
) -> dict[str, float]:
    """Means over n random test images."""
    test = load_split(data, "test", data_dir)
    rows = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))[:n]
    explainer = Abele(black_box, autoencoder, class_names=test.class_names)
    generator, found = torch.Generator().manual_seed(seed), []
    start = time.process_time()
    for image in to_unit(test.images[rows]):
        e = explainer.explain(image)
        counters = e.counter_exemplars
        figures = {
            "held_out": e.trust.held_out,
            "constant": e.trust.constant,
            "above_constant": float(e.trust.held_out > e.trust.constant),
            "label_preserved": float(e.trust.label_preserved),
            "has_rule": float(e.trust.n_leaves > 1),
            "conditions": float(len(e.rule.conditions)),
            "counter_exemplars": float(len(counters)),
        }
        figures["map_fall"], figures["random_fall"] = fall(image, e.saliency, e.label, black_box, generator)
        if second is not None and len(counters):
            figures["accepted"] = oracle_agreement(second, counters.images, counters.labels)
        found.append(figures)
    seconds = (time.process_time() - start) / n
    keys = dict.fromkeys(key for figures in found for key in figures)
    means = {key: float(np.mean([figures[key] for figures in found if key in figures])) for key in keys}
    if second is not None:
        real = to_unit(test.images)
        means["agreement_on_real"] = oracle_agreement(second, real, BlackBox(black_box)(real).labels)
        means["accepted_share"] = means["accepted"] / means["agreement_on_real"]
    return {**means, "images": float(n), "cpu_seconds": seconds}


def run(
    name: str, data_dir: str = "../shared/data", seed: int = 0, images: int = 40, place: str = "runs/own-images",
    second: bool = True, effort: str | None = None, out: str = str(RESULTS),
    options: list[str] = [],  # noqa: B006 - never changed
) -> None:  # fmt: skip
    """Train, measure, add to the results.

    Args:
        name: signs, cells, cells-96, cells-128, shapes, many-shapes, pneumoniamnist or cifar10-jpeg.
        data_dir: folder of the data sets.
        seed: of splits, trainings and images.
        images: number of test images that are explained.
        place: where pictures and trainings are kept.
        second: judge counter-exemplars by a second classifier, which is trained for that.
        effort: fast, good or best, of a folder of pictures: the training alone is measured, nothing is explained.
        out: file of the results.
        options: further options of the training.
    """
    torch.set_num_threads(1)
    where, folder = Path(data_dir), Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    key = f"{name}-{seed}" if effort is None else f"{name}-{seed}-{effort}"
    options = options if effort is None else [f"--{effort}", *options]
    data, checkpoint, judge, seconds = train(name, key, where, folder, seed, options)
    manifest = read_manifest(checkpoint)
    path = Path(out)
    rows = json.loads(path.read_text()) if path.exists() else {}
    row = {
        "k": manifest.config["latent_dim"],
        "training_seconds": manifest.training_seconds,
        "cpu_seconds": rows.get(key, {}).get("cpu_seconds") if seconds is None else round(seconds, 1),
        "autoencoder": manifest.metrics,
        "principal_components": manifest.floor,
    }
    if effort is None:
        judges = second_classifier(data, where, folder, key, seed) if second else None
        explained = explain(data, where, load_autoencoder(checkpoint), load_classifier(judge), judges, images, seed)
        row["explanations"] = {part: round(value, 4) for part, value in explained.items()}
    else:
        row["accuracy"] = read_manifest(judge).metrics["accuracy"]
        row["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    rows[key] = row
    write_json(path, dict(sorted(rows.items())))
    print(json.dumps(row, indent=1))


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(run, args=argv, as_positional=True)


if __name__ == "__main__":
    main()
