"""How good are the explanations? Measures many images of one data set and black box, and writes every figure.

    python benchmarks/quality.py mnist-cnn mnist-cnn --data mnist:test --images 200 --data_dir DIR

Images are drawn at random with a stated seed. Interrupted, it goes on where it stopped. ``--preset paper`` and
``--neighborhood NAME`` measure other settings on the same images. Tune on ``val``, report on ``test``.

Bare-cost ratio: the seconds of one explanation over the seconds of its own decode and black-box calls, repeated bare
right after it, on the same batches, in the same process. The explanation is timed as a user runs it, with all checks of
what goes in and comes out.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import auto_cli
from tqdm import tqdm

from abele_py import Abele, Explanation, load_autoencoder, load_classifier
from abele_py.black_boxes.black_box import BlackBox
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.latent.space import LatentSpace
from abele_py.models.checkpoints import read_manifest
from abele_py.surrogate.fidelity import best_constant


def measure(explainer: Abele, autoencoder: Any, black_box: Any, image: torch.Tensor) -> dict[str, float]:
    """All figures of one explanation."""
    latents: list[torch.Tensor] = []
    images: list[torch.Tensor] = []
    decode, query = autoencoder.decode, explainer._space.black_box._function
    autoencoder.decode = lambda batch: latents.append(batch) or decode(batch)
    explainer._space.black_box._function = lambda batch: images.append(batch) or query(batch)
    try:
        start = time.perf_counter()
        explanation = explainer.explain(image)
        seconds = time.perf_counter() - start
    finally:
        autoencoder.decode, explainer._space.black_box._function = decode, query
    with torch.no_grad():
        start = time.perf_counter()
        for batch in latents:
            decode(batch)
        for batch in images:
            black_box(batch)
        bare = time.perf_counter() - start
        return {**figures(explanation, autoencoder, black_box), "seconds": seconds, "bare_cost_ratio": seconds / bare}


def figures(e: Explanation, autoencoder: Any, black_box: Any) -> dict[str, float]:
    """The figures of quality; the black box is queried again for every label that an exemplar claims."""
    k = black_box(e.image[None]).shape[1]
    counters = e.counter_exemplars

    def confirmed(points: Any) -> float:
        return float((black_box(points.images).argmax(1) == points.labels).float().mean()) if len(points) else 1.0

    # An independent sample: the sphere around the code at the median distance of its 100 nearest reference codes.
    generator = torch.Generator().manual_seed(1)
    radius = (autoencoder.reference_latents - e.latent).norm(dim=1).sort().values[1:101].median()
    steps = torch.randn(200, len(e.latent), generator=generator)
    sphere = e.latent + radius * steps / steps.norm(dim=1, keepdim=True)
    seen = e.seen_in(LatentSpace(autoencoder, BlackBox(black_box)))
    labels = seen.classify(sphere).labels
    t = e.trust
    return {
        "hit": float(t.hit),
        "fidelity": t.held_out,
        "constant": t.constant,
        "fidelity_unweighted": t.held_out_unweighted,
        "constant_unweighted": t.constant_unweighted,
        "fidelity_in_sample": t.in_sample,
        "above_constant": float(t.held_out >= t.constant),
        "sphere_fidelity": float((e.surrogate.predict(sphere) == labels).float().mean()),
        "sphere_constant": best_constant(labels, e.label)[1],
        "label_preserved": float(t.label_preserved),
        "code_valid": float(t.code_valid),
        "other_fraction": t.other_fraction,
        "labels_present": t.n_labels,
        "conditions": len(e.rule.conditions),
        "leaves": t.n_leaves,
        "exemplars": len(e.exemplars),
        "exemplar_distance": float((e.exemplars.latents - e.latent).norm(dim=1).mean()) if len(e.exemplars) else 0.0,
        "exemplars_confirmed": confirmed(e.exemplars),
        "counter_exemplar_per_image": float(len(counters) > 0),
        "counter_exemplar_per_class": len(counters) / (k - 1),
        "counter_exemplars_confirmed": confirmed(counters),
        "counter_exemplar_distance": float(counters.distances.mean()) if len(counters) else 0.0,
        "black_box_images": e.params["black_box_images"],
    }


def quality(
    black_box: str,
    label: str,
    autoencoder: str = "mnist",
    data: str = "mnist:test",
    images: int = 200,
    seed: int = 0,
    data_dir: str | None = None,
    neighborhood: str | None = None,
    preset: str = "default",
    detail: float | None = None,
    threads: int = 1,
    out: str = "runs/quality",
) -> None:
    """Measure explanations of random images and write a summary of every figure.

    Args:
        black_box: name or folder of a classifier.
        label: name of this run and of its files.
        autoencoder: name or folder of an autoencoder.
        data: DATASET:SPLIT.
        images: how many, drawn at random.
        seed: of the draw.
        data_dir: folder of the data sets.
        neighborhood: another one than the default.
        preset: default or paper.
        detail: another share than the preset's.
        threads: of torch.
        out: folder for the measurements.
    """
    torch.set_num_threads(threads)
    network, classifier = load_autoencoder(autoencoder), load_classifier(black_box)
    names = [read_manifest(model).name for model in (black_box, autoencoder)]  # wherever they lie
    path = Path(out) / f"{label}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    split = load_split(*data.split(":"), data_dir)
    chosen = np.random.default_rng(seed).choice(len(split), images, replace=False).tolist()
    if [row["index"] for row in done] != chosen[: len(done)]:
        raise SystemExit(f"{path} holds a run on other images; expected another label, or delete it")
    explainer = Abele(classifier, network, neighborhood=neighborhood, detail=detail, preset=preset)
    explainer.explain(to_unit(split.images[chosen[0]]))  # warm up
    with path.open("a") as file:
        for index in tqdm(chosen[len(done) :], initial=len(done), total=images):
            row = {"index": index, **measure(explainer, network, classifier, to_unit(split.images[index]))}
            file.write(json.dumps(row) + "\n")
            file.flush()
            done.append(row)
    figures_of = {key: np.array([row[key] for row in done]) for key in done[0] if key != "index"}
    summary = {
        "what": f"{names[0]} explained with {names[1]}, {data}, {images} images, seed {seed}, preset {preset}",
        "threads": threads,
        "mean": {key: round(float(v.mean()), 4) for key, v in figures_of.items()},
        "standard_error": {key: round(float(v.std() / len(v) ** 0.5), 4) for key, v in figures_of.items()},
        "quantile_5": {key: round(float(np.quantile(v, 0.05)), 4) for key, v in figures_of.items()},
        "median": {key: round(float(np.median(v)), 4) for key, v in figures_of.items()},
    }
    path.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"{summary['what']} -> {path.with_suffix('.json')}")
    for key in figures_of:
        print(f"{key:30}" + "".join(f"  {part} {summary[part][key]:8.3f}" for part in list(summary)[2:]))


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(quality, args=argv)


if __name__ == "__main__":
    main()
