"""What refining the codes is worth: no steps, 5, 10 and 20 beside each other, on `val`.

    python benchmarks/refinement.py --data_dir DATA        # the shipped autoencoders of MNIST and Fashion-MNIST

Threshold and mixture stay those of the checkpoint, which was calibrated with its own number of steps. Prints the
figures and stores them in benchmarks/results/refinement-<name>.json.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.metrics.autoencoder import discriminator_mean, label_preservation, rmse
from abele_py.models.checkpoints import read_manifest
from abele_py.storage.files import write_atomically
from abele_py.surrogate.fidelity import share
from abele_py.training.finishing import in_batches

RESULTS = Path(__file__).resolve().parent / "results"


@torch.no_grad()
def measured(name: str, judge: str, data_dir: str | None, steps: Sequence[int], explained: int) -> dict[str, Any]:
    """Per number of steps: the codes of all `val` images, and explanations of some random ones (seed 0)."""
    autoencoder, classifier = load_autoencoder(name), load_classifier(judge)
    val = load_split(read_manifest(name).data_set, "val", data_dir).images
    labels = in_batches(lambda x: classifier(x).argmax(dim=1), val)
    chosen = torch.randperm(len(val), generator=torch.Generator().manual_seed(0))[:explained]
    rows = []
    for number in steps:
        autoencoder.config["refinement"] = number
        start = time.process_time()
        codes = in_batches(autoencoder.encode, val)
        seconds = time.process_time() - start
        decoded = torch.cat([autoencoder.decode(part) for part in codes.split(1000)])
        again = torch.cat([classifier(part).argmax(dim=1) for part in decoded.split(1000)])
        explainer = Abele(classifier, autoencoder, random_state=0)
        found = [explainer.explain(to_unit(val[i])) for i in chosen.tolist()]
        own = [share(e.neighborhood.labels == e.label, e.neighborhood.weights) for e in found]
        rows.append(
            {
                "steps": number,
                "rmse_255": rmse(to_unit(val), decoded),
                "label_preservation": label_preservation(labels, again),
                "discriminator_codes": discriminator_mean(autoencoder.discriminate(codes)),
                "milliseconds_per_image": 1000 * seconds / len(val),
                "held_out": sum(e.trust.held_out for e in found) / explained,
                "own_label": sum(own) / explained,
            }
        )
    return {"autoencoder": name, "classifier": judge, "images": len(val), "explained": explained, "rows": rows}


def refinement(
    autoencoders: tuple[str, ...] = ("mnist", "fashion-mnist"),
    classifiers: tuple[str, ...] = ("mnist-cnn", "fashion-mnist-cnn"),
    data_dir: str | None = None,
    steps: Sequence[int] = (0, 5, 10, 20),
    images: int = 40,
    out: Path = RESULTS,
) -> None:
    """Measure, print and store.

    Args:
        autoencoders: names of shipped autoencoders.
        classifiers: the judge of each.
        data_dir: folder of the data sets.
        steps: numbers of steps.
        images: how many random images of `val` are explained; the codes are measured of all.
        out: folder of the files.
    """
    torch.set_num_threads(1)
    for name, judge in zip(autoencoders, classifiers, strict=True):
        text = json.dumps(measured(name, judge, data_dir, steps, images), indent=2) + "\n"
        write_atomically(out / f"refinement-{name}.json", lambda file, text=text: file.write(text.encode()))
        print(text)


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(refinement, args=argv)


if __name__ == "__main__":
    main()
