"""The subject of an evaluation: models, images, methods and seed, and what all parts derive from them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..attribution.registry import Method
from ..black_boxes.black_box import BlackBox
from ..datasets.records import ImageSet, to_unit
from ..errors import BlackBoxError, DataError, NeighborhoodError
from ..explanation.explainer import Abele
from ..files import write_atomically
from ..latent.space import LatentSpace
from ..models.autoencoder import Autoencoder


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and on which images.

    Attributes:
        autoencoder, black_box: what explanations are made of.
        oracle: a second classifier, trained apart, or None.
        train: the training images, on which yardsticks are fitted: plausibility, autoencoders per class.
        rivals: real images of another split, of which other methods choose prototypes and counter-exemplars.
        test: the split of which images are explained.
        chosen: numbers of the images to explain.
        n_maps: number of images for the parts that ask every method for a map.
        n_costly: number of images for the parts that ask each method many times per image.
        methods: the explainers that answer with maps.
        seed: of all randomness.
        folder: where maps, curves and autoencoders per class are kept.
    """

    autoencoder: Autoencoder
    black_box: BlackBox
    oracle: BlackBox | None
    train: ImageSet
    rivals: ImageSet
    test: ImageSet
    chosen: tuple[int, ...]
    n_maps: int
    n_costly: int
    methods: Mapping[str, Method]
    seed: int
    folder: Path

    @cached_property
    def space(self) -> LatentSpace:
        return LatentSpace(self.autoencoder, self.black_box)

    @cached_property
    def explainer(self) -> Abele:
        return self.explainer_of(self.black_box)

    def explainer_of(self, black_box: BlackBox, **options: Any) -> Abele:
        options = {"random_state": self.seed, "batch_size": black_box.batch_size} | options
        return Abele(black_box.classifier, self.autoencoder, **options)

    @cached_property
    def test_labels(self) -> Tensor:
        """(N,) the black box's labels of the whole test split."""
        return self._labels(self.test.images)

    @cached_property
    def train_labels(self) -> Tensor:
        """(N,) the black box's labels of the training images."""
        return self._labels(self.train.images)

    @cached_property
    def rival_images(self) -> Tensor:
        """(R, C, H, W) float32 in [0, 1], in a random order."""
        order = torch.randperm(len(self.rivals), generator=self.generator(-1, "rivals"))
        return to_unit(self.rivals.images[order])

    @cached_property
    def rival_labels(self) -> Tensor:
        """(R,) the black box's labels of ``rival_images``."""
        return self.black_box(self.rival_images).labels

    @cached_property
    def n_classes(self) -> int:
        """K of the black box's scores; of one that answers labels only, the highest label it gave, plus 1."""
        return self.black_box.n_classes or int(max(self.train_labels.max(), self.test_labels.max())) + 1

    def image(self, index: int) -> Tensor:
        """(C, H, W) float32 in [0, 1]."""
        return to_unit(self.test.images[index])

    def label(self, index: int) -> int:
        return int(self.black_box(self.image(index)[None]).labels)

    def generator(self, index: int, purpose: str) -> torch.Generator:
        """Fresh randomness for one image and purpose, whatever was measured before."""
        entropy = [self.seed % 2**32, index % 2**32, *purpose.encode()]
        return torch.Generator().manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def map_of(self, name: str, image: Tensor, black_box: BlackBox, label: int) -> Tensor | None:
        """One method's raw map (H, W) of an image (C, H, W), or None where it fails on this image alone."""
        try:
            return self.methods[name](image, black_box, label)
        except (BlackBoxError, NeighborhoodError):
            return None

    def maps(self, index: int) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Raw maps (H, W) of an image by all methods that have one, and the seconds each took; kept in the folder."""
        path = self.folder / "maps" / f"{index}.npz"
        if path.exists():
            return _read_maps(path)
        x, y = self.image(index), self.label(index)
        maps, seconds = {}, {}
        for name in self.methods:
            start = time.perf_counter()
            found = self.map_of(name, x, self.black_box, y)
            if found is not None:
                maps[name], seconds[name] = found, time.perf_counter() - start
        arrays = {
            "methods": np.array(list(maps)),
            "maps": torch.stack([*maps.values()]).numpy() if maps else np.zeros((0, *x.shape[1:])),
            "seconds": np.array([*seconds.values()]),
        }
        write_atomically(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
        return maps, seconds

    def _labels(self, images: Tensor) -> Tensor:
        return torch.cat([self.black_box(to_unit(part)).labels for part in images.split(1000)])


def _read_maps(path: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [str(name) for name in file["methods"]]
            maps = {name: torch.from_numpy(m) for name, m in zip(names, file["maps"], strict=True)}
            return maps, dict(zip(names, file["seconds"].tolist(), strict=True))
    except Exception as error:  # whatever damaged bytes lead to in zlib, zip and numpy
        raise DataError(
            f"got damaged maps in {path} ({error}); expected an .npz; delete it to make them again"
        ) from error


class Row(NamedTuple):
    """Some figures of one image.

    Attributes:
        of: what they are of, such as the name of a method.
        at: where, such as a layer or a number of prototypes; None where there is one place only.
        figures: names of ``figures.FIGURES`` -> values; NaN where there is none.
        seconds: what the explanation took, where it was timed.
    """

    of: str
    at: str | int | None
    figures: Mapping[str, float]
    seconds: float | None = None


Measure = Callable[[int], list[Row]]


class Part(NamedTuple):
    """One part of an evaluation: how it is measured, and of which images."""

    prepare: Callable[[Subject], Measure]
    images: Callable[[Subject], tuple[int, ...]]


def all_images(s: Subject) -> tuple[int, ...]:
    return s.chosen


def mapped_images(s: Subject) -> tuple[int, ...]:
    return s.chosen[: s.n_maps]


def few_images(s: Subject) -> tuple[int, ...]:
    return s.chosen[: s.n_costly]


def once(s: Subject) -> tuple[int, ...]:
    return (-1,)
