"""What one explanation costs above the calls of autoencoder and black box that it makes, and how it grows with pixels.

    python benchmarks/explain_speed.py --data_dir DATA    # writes benchmarks/results/explain-speed.json

CPU milliseconds on one thread, medians over random test images. Each image is explained, then explained again with all
calls of `encode`, `decode`, `discriminate` and the black box recorded, and these are made once more, alone: what they
take is no overhead. Then networks with random weights for images of 3 channels, each size in a process of its own:
milliseconds per thousand pixels, and the memory of explainer and explanations above that of the networks that have
answered for one image.
"""

import json
import math
import os
import platform
import resource
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from jsonargparse import auto_cli
from torch import Tensor, nn

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.classifiers import ConvolutionalClassifier
from abele_py.storage.files import write_json

OUT = Path(__file__).resolve().parent / "results" / "explain-speed.json"
CALLS = ("encode", "decode", "discriminate", "black box")
BATCH, K, CLASSES, REFERENCES = 256, 16, 4, 2000  # of networks with random weights
FEW = 8  # images that networks answer for in a call, where they are not to take much memory themselves

Call = tuple[str, Any, Tensor]


@contextmanager
def recorded(autoencoder: nn.Module, black_box: nn.Module) -> Iterator[list[Call]]:
    """The calls of both that are made inside, in their order: name, function, argument."""
    calls: list[Call] = []

    def recording(name: str) -> Any:
        function = getattr(autoencoder, name)

        def call(rows: Tensor) -> Tensor:
            calls.append((name, function, rows.clone()))
            return function(rows)

        return call

    hook = black_box.register_forward_pre_hook(
        lambda _, given: calls.append(("black box", black_box, given[0].clone()))
    )
    for name in CALLS[:3]:
        setattr(autoencoder, name, recording(name))
    try:
        yield calls
    finally:
        hook.remove()
        for name in CALLS[:3]:
            delattr(autoencoder, name)


def cpu_ms(function: Any, *arguments: Any) -> float:
    start = time.process_time()
    function(*arguments)
    return 1000 * (time.process_time() - start)


@torch.no_grad()
def replayed(calls: Sequence[Call]) -> dict[str, float]:
    """CPU milliseconds of the calls, by name."""
    found = dict.fromkeys(CALLS, 0.0)
    for name, function, rows in calls:
        found[name] += cpu_ms(function, rows)
    return found


def measured(autoencoder: nn.Module, black_box: nn.Module, images: Tensor) -> dict[str, float]:
    """Medians over the images, of one explainer with the default options."""
    autoencoder, black_box = autoencoder.eval(), black_box.eval()
    explainer = Abele(black_box, autoencoder, random_state=0, batch_size=BATCH)
    explainer.explain(images[0])  # imports, caches
    rows = []
    for image in images:
        milliseconds = cpu_ms(explainer.explain, image)
        with recorded(autoencoder, black_box) as calls:
            found = explainer.explain(image)
        bare = replayed(calls)
        rows.append(
            {
                "explanation": milliseconds,
                **bare,
                "overhead": milliseconds - sum(bare.values()),
                "overhead_above_decode_and_black_box": milliseconds - bare["decode"] - bare["black box"],
                "black_box_images": found.params["black_box_images"],
                "decoded": sum(len(given) for name, _, given in calls if name == "decode"),
            }
        )
    return {name: round(statistics.median(row[name] for row in rows), 1) for name in rows[0]}


def networks(side: int) -> tuple[AdversarialAutoencoder, ConvolutionalClassifier]:
    """An autoencoder and a classifier with random weights for (3, side, side), whose classes are equally frequent."""
    torch.manual_seed(0)
    shape = 3, side, side
    autoencoder = AdversarialAutoencoder(shape, K, "conv-mlp", (64,), (8, 16), refinement=10).eval()
    classifier = ConvolutionalClassifier(shape, CLASSES, (4, 8), hidden=32).eval()
    autoencoder.calibrate(torch.randn(500, K), torch.randn(REFERENCES, K))
    with torch.no_grad():
        last: Any = classifier.head[-1]
        answers = torch.cat(
            [classifier.logits(autoencoder.decode(z)) for z in autoencoder.reference_latents.split(FEW)]
        )
        scale = 3 / answers.std(dim=0)
        last.weight.mul_(scale[:, None])
        last.bias.sub_(answers.mean(dim=0)).mul_(scale)
    return autoencoder, classifier


def peak_mb() -> float:
    """The most memory that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if platform.system() == "Darwin" else 2**10)


def synthetic(side: int, n_images: int) -> dict[str, float]:
    """Times of networks with random weights, also per thousand pixels."""
    torch.set_num_threads(1)
    autoencoder, classifier = networks(side)
    found = measured(autoencoder, classifier, decoded(autoencoder, n_images))
    pixels = side**2 / 1000
    names = "explanation", "overhead"
    return found | {f"{name}_per_1000_pixels": round(found[name] / pixels, 1) for name in names}


def memory(side: int, n_images: int) -> float:
    """MB that an explainer and its explanations take at most, above what its networks take for one image."""
    torch.set_num_threads(1)
    few, small = networks(8)
    Abele(small, few, n_samples=50, n_landmarks=50).explain(decoded(few, 1)[0])  # libraries that it loads
    autoencoder, classifier = networks(side)
    images = decoded(autoencoder, n_images)
    with torch.no_grad():
        autoencoder.encode(images[:1])
        classifier(images[:1])
    before = peak_mb()
    explainer = Abele(classifier, autoencoder, random_state=0, batch_size=BATCH)
    for image in images:
        explainer.explain(image)
    return round(peak_mb() - before, 1)


@torch.no_grad()
def decoded(autoencoder: AdversarialAutoencoder, n: int) -> Tensor:
    return autoencoder.decode(torch.randn(n, K, generator=torch.Generator().manual_seed(1)))


def in_a_process_of_its_own(function: Any, *arguments: Any, **environment: str) -> Any:
    with patch.dict(os.environ, environment), ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def measured_sides(sides: Sequence[int], n_images: int) -> dict[str, dict[str, float]]:
    found = {}
    for side in sides:
        times = in_a_process_of_its_own(synthetic, side, n_images)
        # what is freed goes back at once: else the C library keeps some of it, which nobody holds
        taken = in_a_process_of_its_own(memory, side, n_images, MALLOC_MMAP_THRESHOLD_="1000000")
        found[str(side)] = times | {"mb_above_models": taken}
    return found


def printed(title: str, rows: dict[str, dict[str, float]]) -> None:
    names = list(next(iter(rows.values())))
    width = max(map(len, names))
    print(f"\n{title:<{width}}" + "".join(f"{column:>14}" for column in rows))
    for name in names:
        print(f"{name:<{width}}" + "".join(f"{row[name]:14.1f}" for row in rows.values()))


def run(
    autoencoder: str = "mnist",
    classifier: str = "mnist-cnn",
    data: str = "mnist:test",
    data_dir: str | None = None,
    images: int = 20,
    seed: int = 0,
    sides: tuple[int, ...] = (28, 64, 96, 128),
    synthetic_images: int = 7,
    out: str = str(OUT),
) -> None:
    """Measure, print and write.

    Args:
        autoencoder: name of a shipped autoencoder.
        classifier: name of the network that is explained.
        data: data set and split of the images.
        data_dir: folder of the data sets.
        images: how many random ones.
        seed: which ones.
        sides: of the images of networks with random weights; ratios are to the first.
        synthetic_images: how many of each side.
        out: file of the results.
    """
    torch.set_num_threads(1)
    split = load_split(*data.split(":"), data_dir=data_dir).images
    chosen = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:images]
    shipped = measured(load_autoencoder(autoencoder), load_classifier(classifier), to_unit(split[chosen]))
    printed("CPU milliseconds", {classifier: shipped})
    by_side = measured_sides(sides, synthetic_images)
    printed("random networks", by_side)
    first, last = by_side[str(sides[0])], by_side[str(sides[-1])]
    ratios = {
        name: round(last[name] / first[name], 3) if first[name] else math.nan
        for name in ("explanation_per_1000_pixels", "overhead_per_1000_pixels")
    }
    print(f"\nper pixel at {sides[-1]} over {sides[0]}: {json.dumps(ratios)}")
    result = {
        "black_box": classifier,
        "images": images,
        "seed": seed,
        "cpu_ms": shipped,
        "random_networks": by_side,
        "last_side_over_first": ratios,
        "hardware": f"{platform.machine()} processor, 1 thread",
        "torch": torch.__version__,
    }
    write_json(Path(out), result)


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(run, args=argv)


if __name__ == "__main__":
    main()
