"""One explanation against LIME and KernelSHAP of captum that query as many images of the black box.

    python benchmarks/captum_speed.py --data_dir DATA    # writes benchmarks/results/captum-speed.json

CPU milliseconds on one thread, medians over random test images, and of the ratios on the same image, on which all take
turns. Captum's explain superpixels (SLIC, about 40) against the mean of the image, as those of `abele compare` do; once
in captum's default, an image a call, and once in calls of as many images as ours.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from captum.attr import KernelShap, Lime
from jsonargparse import auto_cli
from torch import Tensor, nn

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.attribution.baselines import baseline_of
from abele_py.attribution.superpixels import segments
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.storage.files import write_json

OUT = Path(__file__).resolve().parent / "results" / "captum-speed.json"
BATCH = 256
RIVALS = {"LIME": Lime, "KernelSHAP": KernelShap}


def cpu_ms(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return 1000 * (time.process_time() - start)


def rival(
    kind: type, black_box: nn.Module, image: Tensor, label: int, n_images: int, batch: int
) -> Callable[[], Tensor]:
    """An explanation by captum that queries ``n_images`` images, ``batch`` of them a call, superpixels and all."""
    return lambda: kind(black_box).attribute(
        image[None],
        target=label,
        baselines=baseline_of(image, "mean")[None],
        feature_mask=segments(image)[None, None],
        n_samples=n_images,
        perturbations_per_eval=batch,
    )


def measured(explainer: Abele, black_box: nn.Module, image: Tensor, batches: Sequence[int]) -> dict[str, float]:
    """Milliseconds of all, and of the rivals as shares of ours."""
    found = explainer.explain(image)
    n_images = found.params["black_box_images"]
    ours = cpu_ms(lambda: explainer.explain(image))
    row = {"ours": ours, "black_box_images": n_images}
    for name, kind in RIVALS.items():
        for batch in batches:
            key = f"{name}, {batch} a call"
            row[key] = cpu_ms(rival(kind, black_box, image, found.label, n_images, batch))
            row[f"{key} / ours"] = row[key] / ours
    return row


def run(
    autoencoder: str = "mnist",
    classifier: str = "mnist-cnn",
    data: str = "mnist:test",
    data_dir: str | None = None,
    images: int = 10,
    seed: int = 0,
    batches: tuple[int, ...] = (1, BATCH),
    out: str = str(OUT),
) -> None:
    """Measure, print and write.

    Args:
        autoencoder: name of a shipped autoencoder.
        classifier: name of the network that is explained.
        data: data set and split of the images.
        data_dir: folder of the data sets.
        images: how many random ones.
        seed: which ones, and of all explanations.
        batches: images that captum sends in one call.
        out: file of the results.
    """
    torch.set_num_threads(1)
    split = load_split(*data.split(":"), data_dir=data_dir).images
    chosen = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:images]
    black_box = load_classifier(classifier).eval()
    explainer = Abele(black_box, load_autoencoder(autoencoder), random_state=seed, batch_size=BATCH)
    torch.manual_seed(seed)  # captum draws from the global state
    measured(explainer, black_box, to_unit(split[chosen[0]]), batches[-1:])  # imports, caches
    rows = [measured(explainer, black_box, image, batches) for image in to_unit(split[chosen])]
    medians = {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}
    for name, value in medians.items():
        print(f"{name:<32}{value:10.2f}")
    write_json(Path(out), {"black_box": classifier, "images": images, "seed": seed, "medians": medians})


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(run, args=argv)


if __name__ == "__main__":
    main()
