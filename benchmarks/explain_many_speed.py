"""Many explanations: side by side against one by one, by two processes against one, and the memory of a long run.

    python benchmarks/explain_many_speed.py --data_dir DATA    # writes benchmarks/results/explain-many-speed.json

CPU seconds on one thread; the two ways take turns, batch by batch of the same random test images, and every explanation
must be the same both ways. Processes: wall clock of one that explains some images, and of two at once that explain as
many each; it says something on a machine that does nothing else. Memory: the most that the process has taken after each
tenth of a long run.
"""

import math
import multiprocessing
import platform
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from torch import Tensor

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.storage.files import write_json

OUT = Path(__file__).resolve().parent / "results" / "explain-many-speed.json"
TOGETHER = 32


def explainer_of(autoencoder: str, classifier: str) -> Abele:
    torch.set_num_threads(1)
    return Abele(load_classifier(classifier), load_autoencoder(autoencoder), random_state=0)


def drawn(data: str, data_dir: str | None, n: int, seed: int) -> Tensor:
    """n random images of a split, (n, C, H, W)."""
    images = load_split(*data.split(":"), data_dir=data_dir).images
    rows = torch.randint(len(images), (n,), generator=torch.Generator().manual_seed(seed))
    return to_unit(images[rows])


def side_by_side(explainer: Abele, images: Tensor) -> dict[str, float]:
    """CPU seconds an image, both ways, and their ratio."""
    list(explainer.explain_many(images[:2]))  # imports, caches
    seconds, different = {"one by one": 0.0, "side by side": 0.0}, 0
    for some in images.split(TOGETHER):
        found = {}
        for way, explain in (
            ("one by one", lambda x: map(explainer.explain, x)),
            ("side by side", explainer.explain_many),
        ):
            start = time.process_time()
            found[way] = list(explain(some))
            seconds[way] += time.process_time() - start
        different += sum(a.to_json() != b.to_json() for a, b in zip(*found.values(), strict=True))
    per_image = {way: round(taken / len(images), 4) for way, taken in seconds.items()}
    return per_image | {"ratio": round(seconds["side by side"] / seconds["one by one"], 3), "different": different}


def worked(autoencoder: str, classifier: str, images: Tensor, start_at: float) -> float:
    """When the images are explained, by a process that begins at a time at which others begin as well."""
    explainer = explainer_of(autoencoder, classifier)
    explainer.explain(images[0])
    time.sleep(max(0.0, start_at - time.time()))
    for _ in explainer.explain_many(images):
        pass
    return time.time()


def processes(
    autoencoder: str, classifier: str, images: Tensor, setup: float, numbers: Sequence[int]
) -> dict[str, float]:
    """Wall clock of so many processes, each with all images, and how many times as much the last do as the first."""
    taken = {}
    for n in numbers:
        with ProcessPoolExecutor(n, multiprocessing.get_context("spawn")) as pool:
            start = time.time() + setup
            ends = [pool.submit(worked, autoencoder, classifier, images, start) for _ in range(n)]
            taken[n] = max(end.result() for end in ends) - start
    speeds = [n / seconds for n, seconds in taken.items()]
    return {str(n): round(seconds, 2) for n, seconds in taken.items()} | {
        "throughput": round(speeds[-1] / speeds[0], 2)
    }


def memory(explainer: Abele, images: Tensor, n: int) -> list[float]:
    """MB, the most that was taken after each tenth of n explanations."""
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    tenth, found = math.ceil(n / 10), []
    many = explainer.explain_many(images[i % len(images)] for i in range(10 * tenth))
    for _ in range(10):
        for _ in range(tenth):
            next(many)
        found.append(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1))
    return found


def run(
    autoencoder: str = "mnist",
    classifier: str = "mnist-cnn",
    data: str = "mnist:test",
    data_dir: str | None = None,
    images: int = 64,
    seed: int = 0,
    processes_at_once: tuple[int, ...] = (1, 2),
    setup: float = 30.0,
    long: int = 2000,
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
        processes_at_once: how many, in turn.
        setup: seconds that a process is given to load the models.
        long: explanations of the run whose memory is looked at; 0: none.
        out: file of the results.
    """
    explainer, chosen = explainer_of(autoencoder, classifier), drawn(data, data_dir, images, seed)
    result: dict[str, Any] = {"black_box": classifier, "images": images, "seed": seed}
    result["cpu_seconds_per_image"] = side_by_side(explainer, chosen)
    print(f"CPU seconds an image: {result['cpu_seconds_per_image']}", flush=True)
    result["wall_seconds_of_processes"] = processes(autoencoder, classifier, chosen, setup, processes_at_once)
    print(f"wall seconds of processes: {result['wall_seconds_of_processes']}", flush=True)
    if long:
        result["mb_after_tenths"] = {"explanations": long, "mb": memory(explainer, chosen, long)}
        print(f"MB after tenths of {long} explanations: {result['mb_after_tenths']['mb']}")
    write_json(
        Path(out), result | {"hardware": f"{platform.machine()} processor, 1 thread", "torch": torch.__version__}
    )


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(run, args=argv)


if __name__ == "__main__":
    main()
