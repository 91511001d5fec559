"""What the interactive page can do, without the page: one autoencoder, some black boxes, one piece of work at a time.

Work runs in a thread of its own, tells how far it is, and ends at the next call of a black box once it is stopped.
"""

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..attribution.comparison import Comparison, compare
from ..black_boxes.adapters import as_function
from ..black_boxes.black_box import BlackBox
from ..black_boxes.loading import load_black_box
from ..black_boxes.outputs import Answer, classes_of
from ..checking.parameters import ClassNames, Count, Seed, checked
from ..datasets.catalog import DATASETS
from ..datasets.images import read_image
from ..datasets.loading import load_split
from ..datasets.records import ImageSet, to_unit
from ..errors import AbeleError, ImageError, ParameterError
from ..explanation.explainer import Abele
from ..explanation.explanation import Explanation
from ..latent.space import LatentSpace, Points
from ..models.checkpoints import list_checkpoints, load_autoencoder, read_manifest
from ..provenance import now
from .canvas import as_drawn, read_drawing
from .jobs import Job, T


class Chosen(NamedTuple):
    """A picture to be explained: what it is called, and the image (C, H, W) in [0, 1]."""

    name: str
    image: Tensor


class Explained(NamedTuple):
    """An explanation, the name of its picture, and the specification of its black box."""

    name: str
    black_box: str
    explanation: Explanation


@dataclass(frozen=True)
class Loaded:
    """A black box that is ready.

    Attributes:
        classifier: what was loaded; it tells the job at work of every call.
        names: of its labels; numbers where it has no names.
        space: the autoencoder's latent space, labelled by it.
        explainer: of its decisions.
    """

    classifier: Any
    names: tuple[str, ...]
    space: LatentSpace
    explainer: Abele


class _Watched:
    """A classifier that is no torch module, and tells of how many images it is queried for."""

    def __init__(self, classifier: Any, tell: Callable[[int], object]) -> None:
        self._classifier, self._function, self._tell = classifier, as_function(classifier), tell

    @property
    def classes_(self) -> Any:
        return classes_of(self._classifier)

    def __call__(self, images: Tensor) -> Any:
        self._tell(len(images))
        return self._function(images)


class Studio:
    """Everything behind the page.

    Args:
        autoencoder: name of a shipped one, or a checkpoint folder.
        black_box: what ``load_black_box`` takes; it comes first among the shipped ones of the autoencoder's data set.
        data: ``DATASET:SPLIT`` of the pictures to pick from; the autoencoder's test images if None.
        data_dir, download: as of :func:`~abele_py.datasets.load_split`.
        batch_size, random_state: as of :class:`~abele_py.explanation.explainer.Abele`.
        class_names: of the labels of the black box that was given; those that it carries if empty.
        device: where torch models are to be, as of :func:`~abele_py.load_autoencoder`.
        options: of ``load_black_box``, for the black box that was given.

    Attributes:
        black_boxes: specifications to choose from, the first one loaded.
        data: which pictures there are to pick from.
        images: these pictures, or None; ``no_images`` says why there are none.

    Raises:
        AbeleError: the autoencoder or the first black box cannot be used.
    """

    @checked
    def __init__(
        self,
        autoencoder: str = "digits",
        black_box: str | None = None,
        *,
        data: str | None = None,
        data_dir: str | Path | None = None,
        download: bool = False,
        batch_size: Count = 256,
        random_state: Seed = 0,
        class_names: ClassNames = (),
        device: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.autoencoder, self._device = load_autoencoder(autoencoder, device), device
        self.data_set = read_manifest(autoencoder).data_set
        self.drawn = DATASETS[self.data_set].drawn if self.data_set in DATASETS else None
        self._given, self._class_names, self._options = black_box, class_names or None, options or {}
        self._batch_size, self._random_state = batch_size, random_state
        shipped = [m.name for m in list_checkpoints() if m.kind == "classifier" and m.data_set == self.data_set]
        self.black_boxes = list(dict.fromkeys([*([black_box] if black_box else []), *shipped]))
        if not self.black_boxes:
            raise ParameterError(
                f"got no --black-box, and none is shipped for {self.data_set}, which the autoencoder {autoencoder!r} "
                "learned from; expected one; pass it"
            )
        self.data = data or f"{self.data_set}:test"
        self.images, self.no_images = self._pictures(data_dir, download)
        self._pool, self._at_work = ThreadPoolExecutor(1, "abele"), Job[Any]("")
        self._loaded: dict[str, Loaded] = {}
        self.start(lambda: self.load(self.black_boxes[0])).result()

    def start(self, work: Callable[[], T], stage: str = "") -> Job[T]:
        """Begin a piece of work, after those that were begun before it: models are never at two things at once."""
        job: Job[T] = Job(stage)

        def run() -> T:
            self._at_work = job
            job.tell()
            return work()

        job._future = self._pool.submit(run)
        return job

    def close(self) -> None:
        """Stop the work, and wait until it has ended."""
        self._at_work.stop()
        self._pool.shutdown(cancel_futures=True)

    # What follows runs within `start`.

    def load(self, spec: str) -> Loaded:
        """A black box of :attr:`black_boxes`, loaded and made ready once."""
        if spec not in self.black_boxes:  # the page's own list; a request may name anything
            raise ParameterError(f"got the black box {spec!r}; expected one of: {', '.join(self.black_boxes)}")
        if spec not in self._loaded:
            self._at_work.tell(f"Loading {spec}")
            given, options = (self._class_names, self._options) if spec == self._given else (None, {})
            shape = self.autoencoder.image_shape
            classifier, names = load_black_box(spec, image_shape=shape, device=self._device, **options)
            classifier = self._watched(classifier)
            explainer = Abele(
                classifier,
                self.autoencoder,
                random_state=self._random_state,
                batch_size=self._batch_size,
                class_names=given or names or None,
            )
            names = explainer.class_names
            space = LatentSpace(self.autoencoder, BlackBox(classifier, self._batch_size))
            answer = space.classify(space.reference_latents[: self._batch_size])
            known = int(answer.labels.max()) + 1 if answer.scores is None else answer.scores.shape[1]
            self._loaded[spec] = Loaded(classifier, names or tuple(map(str, range(known))), space, explainer)
        return self._loaded[spec]

    def picked(self, number: float | None) -> Chosen:
        """A picture to pick from, by its number; a random one if None."""
        if self.images is None:
            raise ParameterError(self.no_images)
        n = len(self.images)
        index = random.randrange(n) if number is None else int(number)
        if not 0 <= index < n:
            raise ParameterError(f"got the number {index}; expected 0 to {n - 1}; choose another picture")
        return Chosen(f"{self.data}:{index}", to_unit(self.images.images[index]))

    def uploaded(self, path: str | Path, invert: bool = False) -> Chosen:
        """An uploaded picture, scaled to the size the autoencoder takes; light and dark exchanged if wanted."""
        path = Path(path)
        try:
            image = read_image(path, self.autoencoder.image_shape, resize=True)
        except ImageError as error:  # its folder is ours, and says nothing to whoever uploaded it
            raise ImageError(str(error).replace(f"{path.parent}{os.sep}", "")) from error
        return Chosen(path.name, 1 - image if invert else image)

    def sketched(self, address: str) -> Chosen:
        """A drawing of the page's canvas, made like the data set's images."""
        if self.drawn is None:
            raise ParameterError(f"got a drawing; {self.data_set} cannot be drawn; choose another picture")
        return Chosen("drawing", as_drawn(read_drawing(address), self.autoencoder.image_shape, *self.drawn))

    def predicted(self, image: Tensor, spec: str) -> Answer:
        """What a black box says of one image."""
        return self.load(spec).space.black_box(image[None])

    def explain(self, chosen: Chosen, spec: str, target: int | None = None) -> Explained:
        """Why a black box predicts what it predicts; counter-exemplars of one label only if it is named."""
        explainer = self.load(spec).explainer
        self._at_work.tell("Explaining")
        explanation = explainer.explain(chosen.image, target)
        told = explanation.with_provenance(image={"name": chosen.name}, time=now())
        return Explained(chosen.name, spec, told)

    def decoded(self, code: list[float], explained: Explained) -> tuple[Points, bool]:
        """The image of a code (k,) as the explanation sees it, its prediction, and whether it is found realistic."""
        space = explained.explanation.seen_in(self.load(explained.black_box).space)
        latents = torch.tensor([code], dtype=torch.float32)
        return space.classify(latents), bool(space.valid(latents))

    def compared(self, explained: Explained, methods: list[str]) -> Comparison:
        """The maps of several methods for an explained decision."""
        loaded, job = self.load(explained.black_box), self._at_work
        return compare(
            explained.explanation.image,
            loaded.classifier,
            self.autoencoder,
            methods,
            self._random_state,
            self._batch_size,
            loaded.names,
            progress=job.tell,
        )

    def ranges(self, *codes: Tensor) -> list[tuple[float, float]]:
        """For each axis of the latent space, between which tenths the codes of real images, and these (k,), lie."""
        tenths = torch.stack([*self.autoencoder.reference_latents, *codes]).double() * 10
        low, high = tenths.amin(dim=0).floor() / 10, tenths.amax(dim=0).ceil() / 10
        return list(zip(low.tolist(), high.tolist(), strict=True))

    def _watched(self, classifier: Any) -> Any:
        """The classifier, telling the job at work of every call."""
        if isinstance(classifier, nn.Module):
            # Every layer, for some methods do not call the network as a whole. No bound method, for methods that run a
            # copy of the network would copy what it is bound to.
            for layer in classifier.modules():
                layer.register_forward_pre_hook(lambda *_: self._at_work.tell())
            classifier.register_forward_pre_hook(lambda _, inputs: self._at_work.tell(queried=len(inputs[0])))
            return classifier
        return _Watched(classifier, lambda n: self._at_work.tell(queried=n))

    def _pictures(self, data_dir: str | Path | None, download: bool) -> tuple[ImageSet | None, str]:
        name, _, split = self.data.rpartition(":")
        try:
            images = load_split(name, split, data_dir, download)
        except AbeleError as error:
            return None, str(error)
        shape = self.autoencoder.image_shape
        if images.images.shape[1:] != shape:
            return (
                None,
                f"got images {tuple(images.images.shape[1:])} of {self.data}; expected {shape} of the autoencoder",
            )
        return images, ""
