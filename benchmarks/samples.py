"""Are more neighbors worth their time? Surrogates of 1,000, 2,000 and 4,000 neighbors beside each other, on `val`.

    python benchmarks/samples.py mnist-cnn mnist --data_dir DATA            # black box, autoencoder

The places and figures are those of `abele evaluate`. Prints the means and stores them in
benchmarks/results/samples-<name>.json.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jsonargparse import auto_cli
from tqdm import tqdm

from abele_py import load_autoencoder, load_classifier
from abele_py.black_boxes.black_box import BlackBox
from abele_py.datasets.loading import load_split
from abele_py.evaluation.explanation_parts import SurrogatePart
from abele_py.evaluation.subject import Subject
from abele_py.models.checkpoints import read_manifest
from abele_py.storage.files import write_atomically

RESULTS = Path(__file__).resolve().parent / "results"


def neighbors(
    black_box: str,
    autoencoder: str,
    name: str | None = None,
    samples: Sequence[int] = (1000, 2000, 4000),
    images: int = 40,
    seed: int = 0,
    data_dir: str | None = None,
    out: Path = RESULTS,
) -> None:
    """Measure, print and store.

    Args:
        black_box: a shipped classifier, or the folder of a checkpoint.
        autoencoder: a shipped autoencoder.
        name: of the file of results; by default the black box's.
        samples: numbers of neighbors.
        images: how many random images of `val` are explained.
        seed: of the draw and of the explanations.
        data_dir: folder of the data sets.
        out: folder of the file.
    """
    torch.set_num_threads(1)
    data_set = read_manifest(autoencoder).data_set
    train, val = (load_split(data_set, split, data_dir) for split in ("train", "val"))
    chosen = tuple(torch.randperm(len(val), generator=torch.Generator().manual_seed(seed))[:images].tolist())
    model, box = load_autoencoder(autoencoder), BlackBox(load_classifier(black_box))
    subject = Subject(model, box, None, train, train, val, chosen, images, images, {}, seed, out)
    prepared, rows = SurrogatePart.prepare(subject), []
    for n in samples:
        found: dict[str, dict[str, list[float]]] = {}
        seconds = []
        with TemporaryDirectory() as folder:  # of the explanations
            dense = replace(subject, folder=Path(folder), options={"n_samples": n})
            part = replace(prepared, subject=dense)  # all else, the codes of real images among it, stays
            for index in tqdm(chosen, desc=f"{n} neighbors"):
                start = time.process_time()
                dense.explainer.explain(dense.image(index))
                seconds.append(time.process_time() - start)
                for row in part.measure(index):
                    for metric, value in row.metrics.items():
                        found.setdefault(row.at or "surrogate", {}).setdefault(metric, []).append(value)
        figures = {at: {name: round(float(np.nanmean(v)), 4) for name, v in of.items()} for at, of in found.items()}
        rows.append({"n_samples": n, "processor_seconds": round(median(seconds), 3), "figures": figures})
        print(json.dumps(rows[-1], indent=1))
    name = name or Path(black_box).name
    content = {"black_box": name, "autoencoder": autoencoder, "data": f"{data_set}:val", "images": images, "seed": seed}
    text = json.dumps(content | {"rows": rows}, indent=1) + "\n"
    path = out / f"samples-{name}.json"
    write_atomically(path, lambda file: file.write(text.encode()))


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(neighbors, args=argv)


if __name__ == "__main__":
    main()
