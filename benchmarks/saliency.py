"""Which saliency map finds the pixels that decide? Deletion and insertion (RISE, Petsiuk et al. 2018) of our two maps.

    python benchmarks/saliency.py mnist-cnn --autoencoder mnist --data mnist:val --images 60 --data_dir DIR

Pixels are ordered by a map. Deletion sets them to 0 from the top, insertion puts them into a blurred image; the figure
is the area under the curve of the explained label's probability: low for deletion, high for insertion is good. Beside
the maps stand two controls that know nothing of the black box: a random order, and the image itself.
"""

from typing import Any

import numpy as np
import torch
from jsonargparse import auto_cli
from torchvision.transforms.functional import gaussian_blur

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.datasets import load_split, to_unit

STEPS = 29


def curve(
    black_box: Any, image: torch.Tensor, start: torch.Tensor, end: torch.Tensor, order: torch.Tensor, y: int
) -> float:
    """Area under the probability of label y while ``start`` becomes ``end``, pixel by pixel in the given order."""
    rank = order.argsort().reshape(image.shape[1:])
    cuts = torch.linspace(0, rank.numel(), STEPS)
    frames = torch.where(rank < cuts[:, None, None, None], end, start)
    with torch.no_grad():
        return float(torch.trapezoid(black_box(frames)[:, y], cuts / rank.numel()))


def main(
    black_box: str,
    autoencoder: str = "mnist",
    data: str = "mnist:val",
    images: int = 60,
    seed: int = 1,
    data_dir: str | None = None,
) -> None:
    """Print the mean deletion and insertion AUC of each map over random images.

    Args:
        black_box: name or folder of a classifier.
        autoencoder: name or folder of an autoencoder.
        data: DATASET:SPLIT.
        images: how many, drawn at random.
        seed: of the draw.
        data_dir: folder of the data sets.
    """
    torch.set_num_threads(1)
    classifier, network = load_classifier(black_box), load_autoencoder(autoencoder)
    split = load_split(*data.split(":"), data_dir)
    rng = np.random.default_rng(seed)
    explainers = {kind: Abele(classifier, network, saliency=kind) for kind in ("contrast", "median")}
    rows: dict[str, list[tuple[float, float]]] = {}
    for index in rng.choice(len(split), images, replace=False):
        x = to_unit(split.images[index])
        found = {kind: e.explain(x) for kind, e in explainers.items()}
        y = found["contrast"].label
        maps = {kind: e.saliency for kind, e in found.items()}
        maps["median, low = important"] = -found["median"].saliency.abs()
        maps["contrast, areas only"] = found["contrast"].saliency_areas
        maps["image itself"] = x.mean(0)
        maps["random order"] = torch.from_numpy(rng.random(x.shape[1:]))
        blurred = gaussian_blur(x, [11, 11], [5.0, 5.0])
        for name, saliency in maps.items():
            order = saliency.flatten().argsort(descending=True, stable=True)
            deletion = curve(classifier, x, x, torch.zeros_like(x), order, y)
            rows.setdefault(name, []).append((deletion, curve(classifier, x, blurred, x, order, y)))
    print(f"{data}, {images} images, seed {seed}: deletion (low is good), insertion (high is good)")
    for name, values in rows.items():
        print(f"{name:28} {np.mean(values, 0)[0]:.3f}  {np.mean(values, 0)[1]:.3f}")


if __name__ == "__main__":
    auto_cli(main)
