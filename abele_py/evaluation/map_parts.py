"""What is measured of the maps of one image: faithfulness, stability, coherence, sanity checks."""

import math

import numpy as np
import torch

from ..attribution.baselines import BASELINES, baseline_of
from ..black_boxes.black_box import BlackBox
from ..files import write_atomically
from ..metrics import saliency as of_maps
from ..metrics import sanity_checks as of_dependence
from .subject import Measure, Row, Subject, mapped_images


def saliency(s: Subject) -> Measure:
    """Deletion, insertion and other figures of each method's map; the curves are kept in the folder."""

    def measure(index: int) -> list[Row]:
        x, y = s.image(index), s.label(index)
        maps, seconds = s.maps(index)
        if not maps:
            return []
        stack = torch.stack([*maps.values()])
        ask = (x, s.black_box, y, stack)
        curves = {}
        for kind in BASELINES:
            baseline = baseline_of(x, kind)
            curves[f"deletion_{kind}"] = of_maps.deletion_curves(*ask, baseline)
            curves[f"insertion_{kind}"] = of_maps.insertion_curves(*ask, baseline)
        zero = baseline_of(x, "zero")
        figures = {name: of_maps.area(curve) for name, curve in curves.items()} | {
            "faithfulness_correlation": of_maps.faithfulness_correlation(*ask, zero, s.generator(index, "subsets")),
            "infidelity": of_maps.infidelity(*ask, s.generator(index, "noise")),
            "complexity": of_maps.complexity(stack),
            "sparseness": of_maps.sparseness(stack),
        }
        arrays = {name: curve.numpy() for name, curve in curves.items()} | {"methods": np.array(list(maps))}
        path = s.folder / "curves" / f"{index}.npz"
        write_atomically(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
        return [
            Row(name, None, {figure: float(v[i]) for figure, v in figures.items()}, seconds[name])
            for i, name in enumerate(maps)
        ]

    return measure


def stability(s: Subject) -> Measure:
    """How much each map changes with a little noise in the image."""

    def measure(index: int) -> list[Row]:
        x, y = s.image(index), s.label(index)
        copies = of_maps.noisy_copies(x, s.generator(index, "copies"))
        rows = []
        for name, own in s.maps(index)[0].items():
            again = [s.map_of(name, copy, s.black_box, y) for copy in copies]
            found = torch.stack([m if m is not None else torch.full_like(own, math.nan) for m in again])
            whole = bool(found.isfinite().all())
            value = of_maps.stability(x, copies, own[None], found[:, None]) if whole else torch.tensor([math.nan])
            rows.append(Row(name, None, {"stability": float(value)}))
        return rows

    return measure


def coherence(s: Subject) -> Measure:
    """How much each map changes between real images of one predicted class."""
    labels = {index: s.label(index) for index in mapped_images(s)}
    values: dict[int, dict[str, float]] = {index: {} for index in labels}
    for y in set(labels.values()):
        of_class = [index for index in labels if labels[index] == y]
        maps = {index: s.maps(index)[0] for index in of_class}
        for name in s.methods:
            having = [index for index in of_class if name in maps[index]]
            if having:
                images = torch.stack([s.image(index) for index in having])
                found = of_maps.coherence(images, torch.stack([maps[index][name] for index in having]))
                for index, value in zip(having, found.tolist(), strict=True):
                    values[index][name] = value

    def measure(index: int) -> list[Row]:
        return [Row(name, None, {"coherence": value}) for name, value in values[index].items()]

    return measure


def sanity(s: Subject) -> Measure:
    """Does each map, and ABELE's rule and exemplars, change when the black box's weights are randomised?

    Each network, the black box and the randomised ones, is asked for its own label of the image, and every method
    explains that. ABELE's rule and exemplars are also compared with those of another seed, where nothing is randomised.
    """
    cascade = of_dependence.cascade(s.black_box.classifier, s.image(s.chosen[0]), s.seed)
    steps = [
        (f"{number} {layer}", BlackBox(module, s.black_box.batch_size))
        for number, (layer, module) in enumerate(cascade, start=1)
    ]
    others = {"0 other seed": s.explainer_of(s.black_box, random_state=s.seed + 1)}
    others |= {at: s.explainer_of(box) for at, box in steps}

    def measure(index: int) -> list[Row]:
        x, y = s.image(index), s.label(index)
        maps, _ = s.maps(index)
        rows = []
        for at, box in steps:
            label = int(box(x[None]).labels)
            rows.append(Row("black box", at, {"label_kept": float(label == y)}))
            for name, own in maps.items():
                other = s.map_of(name, x, box, label)
                if other is not None:
                    figures = {
                        "rank_correlation": of_dependence.rank_correlation(own, other),
                        "rank_correlation_absolute": of_dependence.rank_correlation(own, other, absolute=True),
                        "structural_similarity": of_dependence.structural_similarity(own, other),
                    }
                    rows.append(Row(name, at, figures))
        ours = s.explainer.explain(x)
        for at, explainer in others.items():
            theirs = explainer.explain(x)
            rows.append(Row("abele-rule", at, {"rule_overlap": of_dependence.rule_overlap(ours, theirs)}))
            rows.append(Row("abele-exemplars", at, {"exemplar_overlap": of_dependence.exemplar_overlap(ours, theirs)}))
        return rows

    return measure
