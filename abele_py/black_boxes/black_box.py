"""The black box: any classifier from a batch of images to labels or scores, probed, batched, counted and checked.

The only file that calls the user's classifier. Torch modules and fitted scikit-learn estimators may be given as is.
"""

from collections.abc import Hashable, Mapping
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from ..checking.parameters import ClassNames, Count, checked
from ..class_names import class_names_of, names_for
from ..errors import AbeleError, BlackBoxError, ParameterError
from .adapters import as_function as as_function
from .adapters import given_to
from .modules import device_of
from .outputs import Answer, Reading, Scale, classes_of, keeps_scale, names_of, read, scale_of
from .outputs import probabilities as probabilities

_LOCK = Lock()  # of what black boxes count and learn; of all, so that each can be pickled


class BlackBox:
    """A checked black box. Calling it with images (N, C, H, W) in [0, 1] gives an
    :class:`~abele_py.black_boxes.outputs.Answer`.

    It can be shared by threads, and pickled where the classifier can be.

    Args:
        classifier: a callable from (N, C, H, W) float32 in [0, 1] to (N,) labels or (N, K >= 2) scores, tensor or
            array, also as the first element of a tuple or the ``logits``, ``scores`` or ``probabilities`` of a
            dictionary or record; or an ``nn.Module``, called without gradients in evaluation mode on its own device,
            in the type of its parameters, and left as it was found; or a fitted scikit-learn classifier, given
            flattened images. Normalisation is its own affair. Where it has ``classes_``, as estimators have, labels are
            places in them; any function may have this attribute.
        batch_size: most images in one call. (A torch module gets them filled up to a multiple of 16, so that the last
            bits of its scores do not depend on the batch.)
        class_names: names of its classes, see :attr:`class_names`: a sequence in the order of its columns, or a mapping
            from its classes to names.

    Attributes:
        classifier: what it was made of, for methods that look inside.
        calls, images: how often the classifier was called, and with how many images in all.
        n_classes: K, or None for a classifier that answers labels only.
        classes: its own classes, in the order of its columns; None where they are not known.
        scale: ``"probabilities"`` or ``"scores"``, decided once, on the first call's scores (:meth:`probe` is a good
            first call): see :func:`~abele_py.black_boxes.outputs.scale_of`; None for labels only.

    Raises:
        BlackBoxError: at a call, where the answer is not that of a classifier.
        ParameterError: names that do not fit its classes, at a call or where :attr:`class_names` is read.
    """

    @checked
    def __init__(
        self,
        classifier: Any,
        batch_size: Count = 256,
        class_names: ClassNames = None,
    ) -> None:
        if batch_size < 1:
            raise ParameterError(f"got batch_size={batch_size}; expected at least 1; 256 suits most machines")
        if isinstance(classifier, BlackBox):
            class_names = classifier._names if class_names is None else class_names
            classifier = classifier.classifier
        self.classifier: Any = classifier
        self._function = as_function(classifier)
        self.batch_size = batch_size
        self.calls = 0
        self.images = 0
        self.n_classes: int | None = None
        self.classes: tuple[Hashable, ...] | None = None
        self.scale: Scale | None = None
        self._asked = False
        self._example = torch.zeros(0)  # a row of its first scores
        self._names: Mapping[Any, Any] | tuple[str, ...] = (
            class_names if isinstance(class_names, Mapping) else class_names_of(class_names)
        )

    @property
    def device(self) -> torch.device:
        """Where the classifier takes its images, which is main memory for all but torch modules."""
        return device_of(self.classifier)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the columns, as they were given, else of its own classes; empty where numbers name them."""
        k = len(self.classes) if self.classes is not None else self.n_classes
        return names_for(self._names, self.classes, k) if self._names else names_of(self.classes)

    @property
    def answers(self) -> str:
        """Its form of answer, as one of ``"probabilities"``, other ``"scores"``, and ``"labels"``."""
        return self.scale or "labels"

    def __call__(self, images: Tensor) -> Answer:
        """The answer to images on any device, in main memory."""
        if len(images) == 0:  # a classifier need not know how to answer nothing
            none = None if self.n_classes is None else torch.zeros(0, self.n_classes)
            return Answer(torch.zeros(0, dtype=torch.int64), none, self.scale)
        found = [self._query(batch) for batch in images.split(self._rows)]
        labels = torch.cat([part.labels for part in found])
        parts = [part.scores for part in found if part.scores is not None]
        if not parts:
            return Answer(labels, None)
        scores = torch.cat(parts)
        return Answer(labels, scores, self._scaled(scores, all(part.integers for part in found)))

    def probe(self, images: Tensor) -> None:
        """Query the images twice, and the first alone: the answers must have one form and agree.

        Raises:
            BlackBoxError: where they do not.
        """
        first, again, alone = self(images), self(images), self(images[:1])
        row = Answer(first.labels[:1], None if first.scores is None else first.scores[:1])
        if not agree(first, again) or not agree(row, alone):
            raise BlackBoxError(
                "got different answers of the black box for the same image; expected a deterministic function of each "
                "image alone; switch off dropout and sampling (model.eval()) and anything that looks at the whole batch"
            )

    @property
    def _rows(self) -> int:
        """Images in one call: fewer than ``batch_size`` where the classifier says that more take longer each."""
        fewer = getattr(self.classifier, "rows_on_processor", None) if isinstance(self.classifier, nn.Module) else None
        return min(self.batch_size, fewer) if fewer and self.device.type == "cpu" else self.batch_size

    def _query(self, batch: Tensor) -> Reading:
        with _LOCK:
            self.calls += 1
            self.images += len(batch)
        try:
            # a copy: a black box that normalises in place must not change ours
            raw = self._function(batch.to(self.device, copy=True))
        except AbeleError:  # ours, which say what to do
            raise
        except (Exception, SystemExit) as error:
            raise BlackBoxError(
                f"the black box raised {type(error).__name__}: {error}; it was given {given_to(self._function, batch)}"
            ) from error
        try:
            found = read(raw, len(batch), classes_of(self.classifier), self._names)
        except AbeleError:
            raise
        except Exception as error:  # an object of a library that only looks like an array, a property that raises
            raise BlackBoxError(
                f"got an answer of type {type(raw).__name__} of the black box, which cannot be read "
                f"({type(error).__name__}: {error}); expected (N,) labels or (N, K) scores, as a tensor or array; "
                "convert it in the function"
            ) from error
        k = None if found.scores is None else found.scores.shape[1]
        with _LOCK:
            if self._asked and k != self.n_classes:
                raise BlackBoxError(
                    f"got {_form(k)} of the black box, and {_form(self.n_classes)} before; expected one form in all "
                    "calls; return scores for the same classes, or labels, for every batch"
                )
            self._asked, self.n_classes, self.classes = True, k, found.classes
        highest = int(found.labels.max())
        if k is None and found.classes is None and isinstance(self._names, tuple) and 0 < len(self._names) <= highest:
            raise ParameterError(
                f"got the label {highest} of the black box and {len(self._names)} class_names, of the labels 0 to "
                f"{len(self._names) - 1}; expected a name for each; pass a mapping from its labels to names, such as "
                "{1: 'cat', 2: 'dog'}"
            )
        return found

    def _scaled(self, scores: Tensor, integers: bool) -> Scale:
        """Whether scores are probabilities: decided on the first ones, and an error where later ones do not fit."""
        with _LOCK:
            if self.scale is None:
                self.scale = scale_of(scores, integers)
                self._example = scores[0].clone()
        if self.scale == "probabilities" and not keeps_scale(scores, self._example):
            sums = scores.sum(dim=1)
            raise BlackBoxError(
                f"got scores from {float(scores.min()):.4g} to {float(scores.max()):.4g} of the black box that sum to "
                f"{float(sums.min()):.4g} up to {float(sums.max()):.4g}, and probabilities before; expected one kind "
                "in all calls; return probabilities for every image (a softmax at the end), or logits for every image"
            )
        return self.scale


def agree(a: Answer, b: Answer) -> bool:
    """Whether two answers to the same images are the same, up to the last digits of scores."""
    if a.scores is None or b.scores is None:
        return torch.equal(a.labels, b.labels)
    return torch.allclose(a.scores, b.scores, rtol=1e-3, atol=1e-4)


def _form(k: int | None) -> str:
    return "labels" if k is None else f"scores for {k} classes"
