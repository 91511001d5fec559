"""The subject of an evaluation: models, images, methods and seed, and what all parts derive from them."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from ..attribution.registry import Method
from ..black_boxes.black_box import BlackBox
from ..datasets.records import ImageSet, to_unit, unit_batches
from ..errors import AbeleError, BlackBoxError, DataError, NeighborhoodError
from ..explanation.explainer import Abele
from ..explanation.explanation import Explanation
from ..latent.space import LatentSpace
from ..models.autoencoder import Autoencoder
from ..storage.files import read_npz, write_json, write_npz
from ..storage.reading import read_json

AHEAD = 16  # explanations made side by side: as many are lost if an evaluation is interrupted


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
        n_maps: number of images for the parts that need a map by every method.
        n_costly: number of images for the parts that need many maps of an image by every method.
        methods: the explainers that answer with maps.
        seed: of all randomness.
        folder: where explanations, maps, curves and autoencoders per class are kept: of this subject only.
        options: of ABELE, where they are not the defaults.
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
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def space(self) -> LatentSpace:
        """The autoencoder's latent space, in which the black box labels points."""
        return LatentSpace(self.autoencoder, self.black_box)

    @cached_property
    def explainer(self) -> Abele:
        """ABELE with the evaluation's options and seed."""
        return self.explainer_of(self.black_box)

    def explainer_of(self, black_box: BlackBox, **options: Any) -> Abele:
        """ABELE for a black box, with the evaluation's options and seed but for the options given."""
        common = {"random_state": self.seed, "batch_size": black_box.batch_size, **self.options}
        return Abele(black_box.classifier, self.autoencoder, **common | options)

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
        """The black box's."""
        return int(self.black_box(self.image(index)[None]).labels)

    def generator(self, index: int, purpose: str) -> torch.Generator:
        """Fresh randomness for one image and purpose, whatever was measured before."""
        entropy = [self.seed % 2**32, index % 2**32, *purpose.encode()]
        return torch.Generator().manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def explanation(self, index: int) -> tuple[Explanation, float]:
        """The default explanation of an image, and its share of the seconds of those that were made side by side.

        Made once, together with those of the next images, and kept in the folder; whole, so that its page can be looked
        at: 0.6 MB for an image of 28 x 28 pixels.

        Raises:
            NeighborhoodError: this image has none.
        """
        path = self._kept(index)
        if not path.exists():
            self._explain_from(index)
        return Explanation.load(path), _read_seconds(path.with_suffix(".json"))

    def _kept(self, index: int) -> Path:
        return self.folder / "explanations" / f"{index}.npz"

    def _explain_from(self, index: int) -> None:
        """Explain an image and keep its explanation, and those of the next ones that have none."""
        later = self.chosen[self.chosen.index(index) + 1 :] if index in self.chosen else ()
        ahead = [index, *(other for other in later if not self._kept(other).exists())][:AHEAD]
        start = time.perf_counter()
        found = list(self.explainer.explain_many(to_unit(self.test.images[ahead]), errors="yield"))
        seconds = (time.perf_counter() - start) / len(ahead)
        for number, one in zip(ahead, found, strict=True):
            if isinstance(one, Explanation):
                write_json(self._kept(number).with_suffix(".json"), {"seconds": seconds})
                one.save(self._kept(number))
        if isinstance(found[0], AbeleError):
            raise found[0]

    def maps_of(
        self, image: Tensor, black_box: BlackBox, label: int, explain: Callable[[], tuple[Explanation, float]]
    ) -> dict[str, tuple[Tensor, float]]:
        """Raw maps (H, W) of an image by all methods, and the seconds each took; without those that fail on it alone.

        Args:
            image: (C, H, W) float32 in [0, 1].
            black_box: any, of images of this kind.
            label: the label to explain.
            explain: the default explanation of the image and this black box, with the seconds it took. It is called
                once, if ABELE is among the methods: its maps are all read from it, and its seconds are theirs.
        """
        own = {name: method.read for name, method in self.methods.items() if method.read is not None}
        found: dict[str, tuple[Tensor, float]] = {}
        with suppress(BlackBoxError, NeighborhoodError):
            if own:
                explanation, seconds = explain()
                found = {name: (read(explanation), seconds) for name, read in own.items()}
        for name, method in self.methods.items():
            if name not in own:
                with suppress(BlackBoxError, NeighborhoodError):
                    start = time.perf_counter()
                    found[name] = method(image, black_box, label), time.perf_counter() - start
        return {name: found[name] for name in self.methods if name in found}

    def maps(self, index: int) -> tuple[dict[str, Tensor], dict[str, float]]:
        """:meth:`maps_of` an image that is explained: maps and seconds, by method; kept in the folder."""
        path = self.folder / "maps" / f"{index}.npz"
        if path.exists():
            return _read_maps(path)
        x = self.image(index)
        found = self.maps_of(x, self.black_box, self.label(index), partial(self.explanation, index))
        maps = {name: values for name, (values, _) in found.items()}
        seconds = {name: taken for name, (_, taken) in found.items()}
        arrays = {
            "methods": np.array(list(maps)),
            "maps": torch.stack([*maps.values()]) if maps else np.zeros((0, *x.shape[1:])),
            "seconds": np.array([*seconds.values()]),
        }
        write_npz(path, arrays, {})
        return maps, seconds

    def _labels(self, images: Tensor) -> Tensor:
        return torch.cat([self.black_box(batch).labels for batch in unit_batches(images)])


def timed(explainer: Abele, image: Tensor) -> tuple[Explanation, float]:
    """An explanation, and the seconds it took: wall clock."""
    start = time.perf_counter()
    return explainer.explain(image), time.perf_counter() - start


def _read_maps(path: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    try:
        arrays, _ = read_npz(path)
        names = [str(name) for name in arrays["methods"]]
        maps = {name: torch.from_numpy(m) for name, m in zip(names, arrays["maps"], strict=True)}
        return maps, dict(zip(names, arrays["seconds"].tolist(), strict=True))
    except Exception as error:  # whatever damaged bytes lead to in zlib, zip and numpy
        raise DataError(
            f"got damaged maps in {path} ({error}); expected an .npz; delete it to make them again"
        ) from error


def _read_seconds(path: Path) -> float:
    try:
        return float(read_json(path)["seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"got no seconds in {path} ({error}); expected those of the explanation beside it; delete the folder "
            f"{path.parent.name!r} to make all explanations again"
        ) from error


class Row(NamedTuple):
    """Some metrics of one image.

    Attributes:
        of: what they are of, such as the name of a method.
        at: where, such as a layer or a number of prototypes; None where there is one place only.
        metrics: keys of ``METRICS`` -> values; NaN where there is none.
        seconds: what the explanation took, where it was timed.
    """

    of: str
    at: str | int | None
    metrics: Mapping[str, float]
    seconds: float | None = None


class Part(Protocol):
    """One part of an evaluation. What its images share is prepared once; then each image is measured by itself.

    What is measured of an image depends on the subject and that image alone, so that an interrupted evaluation goes on
    with the same values.
    """

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        """Whatever is fitted or computed once.

        Raises:
            BlackBoxError, ParameterError: the part cannot be measured here, and is left out with this reason.
        """
        ...

    def measure(self, index: int) -> list[Row]:
        """The rows of one image.

        Raises:
            NeighborhoodError: this image alone cannot be measured.
        """
        ...


def all_images(subject: Subject) -> tuple[int, ...]:
    """For parts that need one explanation of an image."""
    return subject.chosen


def mapped_images(subject: Subject) -> tuple[int, ...]:
    """For parts that need one map of an image by each method."""
    return subject.chosen[: subject.n_maps]


def few_images(subject: Subject) -> tuple[int, ...]:
    """For parts that explain an image many times by each method."""
    return subject.chosen[: subject.n_costly]


def once(subject: Subject) -> tuple[int, ...]:
    """For a part that measures the whole split at once: no image, and the number -1 for all of them."""
    return (-1,)
