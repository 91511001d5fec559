"""Images decoded from the mixture of the codes, beside images decoded from the prior: which look more like real ones?

    python benchmarks/mixture.py --data_dir DATA        # the shipped autoencoder of MNIST

An autoencoder without a mixture gets one here, fitted as a training fits it. Prints the figures and stores them in
benchmarks/results/mixture-<name>.json.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from abele_py import load_autoencoder, load_classifier
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.metrics.autoencoder import fid
from abele_py.models.checkpoints import read_manifest
from abele_py.models.mixture import fit_mixture
from abele_py.storage.files import write_atomically
from abele_py.training.finishing import in_batches

RESULTS = Path(__file__).resolve().parent / "results"


@torch.no_grad()
def measured(name: str, judge: str, data_dir: str | None, n: int) -> dict[str, Any]:
    """The figures of n images decoded from the ``prior``, from the ``mixture`` and from the ``codes`` of val images.

    ``frechet_distance`` to the val images themselves, by the classifier's features; ``top_score``: mean of the
    classifier's highest score; ``labels_kept``: share of the images that keep their label when they are encoded and
    decoded once more; ``valid``: share that the discriminator accepts; ``typicality``: its mean.
    """
    autoencoder, classifier = load_autoencoder(name), load_classifier(judge)
    data_set = read_manifest(name).data_set
    train, val = (load_split(data_set, split, data_dir).images for split in ("train", "val"))
    codes, val_codes = (in_batches(autoencoder.encode, images) for images in (train, val))
    start = time.process_time()
    mixture = autoencoder.mixture or fit_mixture(codes, val_codes)
    seconds = time.process_time() - start
    prior = torch.distributions.Normal(0.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    sources = {
        "prior": torch.randn(n, autoencoder.latent_dim, generator=generator),
        "mixture": mixture.sample(n, generator),
        "codes": val_codes[:n],
    }
    real = to_unit(val[:n])
    figures: dict[str, Any] = {}
    for source, latents in sources.items():
        images = torch.cat([autoencoder.decode(part) for part in latents.split(1000)])
        scores = torch.cat([classifier(part) for part in images.split(1000)])
        again = torch.cat([autoencoder.encode(part) for part in images.split(1000)])
        decoded_again = torch.cat([autoencoder.decode(part) for part in again.split(1000)])
        labels_again = torch.cat([classifier(part).argmax(dim=1) for part in decoded_again.split(1000)])
        figures[source] = {
            "frechet_distance": fid(real[: len(images)], images, classifier),
            "top_score": float(scores.amax(dim=1).mean()),
            "labels_kept": float((labels_again == scores.argmax(dim=1)).float().mean()),
            "valid": float((autoencoder.discriminate(latents) >= autoencoder.validity_threshold).float().mean()),
            "typicality": float(mixture.typicality(latents).mean()),
        }
    return {
        "autoencoder": name,
        "classifier": judge,
        "images": n,
        "components": len(mixture.weights),
        "fit_seconds": None if autoencoder.mixture else round(seconds, 1),
        "val_log_density": {
            "mixture": float(mixture.log_density(val_codes).mean()),
            "prior": float(prior.log_prob(val_codes.double()).sum(dim=1).mean()),
        },
        "figures": figures,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--autoencoder", default="mnist")
    parser.add_argument("--classifier", default="mnist-cnn", help="its features and its scores; state it with them")
    parser.add_argument("--data_dir")
    parser.add_argument("--images", type=int, default=5000, help="decoded from each source")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the file")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    found = measured(options.autoencoder, options.classifier, options.data_dir, options.images)
    text = json.dumps(found, indent=2) + "\n"
    path = options.out / f"mixture-{Path(options.autoencoder).name}.json"
    write_atomically(path, lambda file: file.write(text.encode()))
    print(text)


if __name__ == "__main__":
    main()
