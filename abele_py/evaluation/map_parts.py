"""What is measured of the maps of one image: faithfulness, stability, coherence, sanity checks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..attribution.baselines import BASELINES, baseline_of
from ..black_boxes.black_box import BlackBox
from ..explanation.explainer import Abele
from ..metrics import saliency as of_maps
from ..metrics import sanity_checks as of_dependence
from ..storage.files import write_npz
from .subject import Row, Subject, mapped_images, timed


@dataclass(frozen=True)
class SaliencyPart:
    """Deletion, insertion and other metrics of each method's map; the curves are kept in the folder."""

    subject: Subject

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        return cls(subject)

    def measure(self, index: int) -> list[Row]:
        s = self.subject
        x, y = s.image(index), s.label(index)
        maps, seconds = s.maps(index)
        if not maps:
            return []
        stack = torch.stack([*maps.values()])
        query = (x, s.black_box, y, stack)
        curves = {}
        for kind in BASELINES:
            baseline = baseline_of(x, kind)
            curves[f"deletion_{kind}"] = of_maps.deletion_curves(*query, baseline)
            curves[f"insertion_{kind}"] = of_maps.insertion_curves(*query, baseline)
        zero = baseline_of(x, "zero")
        metrics = {name: of_maps.area(curve) for name, curve in curves.items()} | {
            "faithfulness_correlation": of_maps.faithfulness_correlation(*query, zero, s.generator(index, "subsets")),
            "infidelity": of_maps.infidelity(*query, s.generator(index, "noise")),
            "complexity": of_maps.complexity(stack),
            "sparseness": of_maps.sparseness(stack),
        }
        write_npz(s.folder / "curves" / f"{index}.npz", curves | {"methods": np.array(list(maps))}, {})
        return [
            Row(name, None, {metric: float(v[i]) for metric, v in metrics.items()}, seconds[name])
            for i, name in enumerate(maps)
        ]


@dataclass(frozen=True)
class StabilityPart:
    """How much each map changes with a little noise in the image."""

    subject: Subject

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        return cls(subject)

    def measure(self, index: int) -> list[Row]:
        s = self.subject
        x, y = s.image(index), s.label(index)
        copies = of_maps.noisy_copies(x, s.generator(index, "copies"))
        again = [s.maps_of(copy, s.black_box, y, partial(timed, s.explainer, copy)) for copy in copies]
        rows = []
        for name, own in s.maps(index)[0].items():
            found = [maps[name][0] for maps in again if name in maps]
            rows.append(Row(name, None, {"stability": _stability(x, copies, own, found)}))
        return rows


def _stability(image: Tensor, copies: Tensor, own: Tensor, found: list[Tensor]) -> float:
    """Of one method, from its map (H, W) of the image and those of the copies; NaN where it has not one of each."""
    whole = len(found) == len(copies)
    return float(of_maps.stability(image, copies, own[None], torch.stack(found)[:, None])) if whole else math.nan


@dataclass(frozen=True)
class CoherencePart:
    """How much each map changes between real images of one predicted class.

    Attributes:
        values: number of an image -> method -> coherence.
    """

    values: Mapping[int, Mapping[str, float]]

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        labels = {index: subject.label(index) for index in mapped_images(subject)}
        values: dict[int, dict[str, float]] = {index: {} for index in labels}
        for y in set(labels.values()):
            maps = {index: subject.maps(index)[0] for index in labels if labels[index] == y}
            for name in subject.methods:
                having = [index for index in maps if name in maps[index]]
                if having:
                    images = torch.stack([subject.image(index) for index in having])
                    found = of_maps.coherence(images, torch.stack([maps[index][name] for index in having]))
                    for index, value in zip(having, found.tolist(), strict=True):
                        values[index][name] = value
        return cls(values)

    def measure(self, index: int) -> list[Row]:
        return [Row(name, None, {"coherence": value}) for name, value in self.values[index].items()]


@dataclass(frozen=True)
class SanityPart:
    """Does each map, and ABELE's rule and exemplars, change when the black box's weights are randomised?

    Each network, the black box and the randomised ones, is queried for its own label of the image, and every method
    explains that. ABELE's rule and exemplars are also compared with those of another seed, where nothing is randomised.

    Attributes:
        subject: what is evaluated.
        randomised: layer -> the black box whose weights are random down to it.
        explainers: the same layers, and first ``0 other seed`` -> the explainer to compare with.
    """

    subject: Subject
    randomised: Mapping[str, BlackBox]
    explainers: Mapping[str, Abele]

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        black_box = subject.black_box
        cascade = of_dependence.cascade(black_box.classifier, subject.image(subject.chosen[0]), subject.seed)
        randomised = {
            f"{number} {layer}": BlackBox(module, black_box.batch_size)
            for number, (layer, module) in enumerate(cascade, start=1)
        }
        explainers = {"0 other seed": subject.explainer_of(black_box, random_state=subject.seed + 1)}
        explainers |= {at: subject.explainer_of(box) for at, box in randomised.items()}
        return cls(subject, randomised, explainers)

    def measure(self, index: int) -> list[Row]:
        s = self.subject
        x, y = s.image(index), s.label(index)
        maps, (ours, _) = s.maps(index)[0], s.explanation(index)
        theirs = {at: timed(explainer, x) for at, explainer in self.explainers.items()}
        rows = []
        for at, box in self.randomised.items():
            label = int(box(x[None]).labels)
            rows.append(Row("black box", at, {"label_kept": float(label == y)}))
            others = s.maps_of(x, box, label, partial(theirs.__getitem__, at))
            rows += [Row(name, at, _likeness(own, others[name][0])) for name, own in maps.items() if name in others]
        for at, (other, _) in theirs.items():
            rows.append(Row("abele-rule", at, {"rule_overlap": of_dependence.rule_overlap(ours, other)}))
            rows.append(Row("abele-exemplars", at, {"exemplar_overlap": of_dependence.exemplar_overlap(ours, other)}))
        return rows


def _likeness(own: Tensor, other: Tensor) -> dict[str, float]:
    """How alike two maps (H, W) are."""
    return {
        "rank_correlation": of_dependence.rank_correlation(own, other),
        "rank_correlation_absolute": of_dependence.rank_correlation(own, other, absolute=True),
        "structural_similarity": of_dependence.structural_similarity(own, other),
    }
