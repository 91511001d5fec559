"""Shipped convolutional classifiers in channels-last memory, as they compute, beside torch's own order of channels.

    python benchmarks/memory_format.py [--turns 9]    # writes benchmarks/results/memory-format.json

CPU milliseconds for 992 random images on one thread, medians; both take turns, so that whatever else the machine does
meets both. And how much the answers differ.
"""

import json
import statistics
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
from jsonargparse import auto_cli
from torch import Tensor, nn

from abele_py import load_classifier
from abele_py.storage.files import write_json

OUT = Path(__file__).resolve().parent / "results" / "memory-format.json"
CLASSIFIERS = ["digits-cnn", "mnist-cnn", "fashion-mnist-cnn", "pneumoniamnist-cnn", "cifar10-jpeg-cnn"]


def cpu_ms(network: nn.Module, images: Tensor) -> float:
    start = time.process_time()
    network(images)
    return 1000 * (time.process_time() - start)


@torch.no_grad()
def measured(name: str, n: int, turns: int) -> dict[str, float]:
    last = load_classifier(name)
    first = deepcopy(last).to(memory_format=torch.contiguous_format)
    images = torch.rand(n, *last.config["image_shape"], generator=torch.Generator().manual_seed(0))
    a, b = first(images), last(images)
    ms = [[cpu_ms(network, images) for network in (first, last)] for _ in range(turns)]
    medians = [statistics.median(of) for of in zip(*ms, strict=True)]
    return {
        "channels_first_ms": round(medians[0], 1),
        "channels_last_ms": round(medians[1], 1),
        "ratio": round(medians[1] / medians[0], 3),
        "labels_equal": float((a.argmax(1) == b.argmax(1)).float().mean()),
        "largest_difference": float((a - b).abs().max()),
    }


def run(
    classifiers: list[str] = CLASSIFIERS,
    images: int = 992,
    turns: int = 9,
    out: str = str(OUT),
) -> None:
    """Measure and write.

    Args:
        classifiers: names of shipped convolutional classifiers.
        images: in one batch.
        turns: of each network.
        out: file of the results.
    """
    torch.set_num_threads(1)
    rows = {name: measured(name, images, turns) for name in classifiers}
    write_json(Path(out), rows)
    print(json.dumps(rows, indent=1))


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(run, args=argv)


if __name__ == "__main__":
    main()
