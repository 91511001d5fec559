"""The black box: any callable from a batch of images to labels or scores, probed, batched, counted and checked.

The only file that calls the user's classifier. Torch modules and fitted scikit-learn estimators may be given as is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..batching import padded
from ..errors import AbeleError, BlackBoxError, ParameterError
from ..parameters import Count, checked
from ..shapes import Rows


class Answer(NamedTuple):
    """What the black box predicts for N images: labels (N,) int64, and scores (N, K) float32 where it gives scores."""

    labels: Tensor
    scores: Tensor | None

    def evidence(self, label: int) -> Tensor:
        """(N,) float32 for one label: its score, or 1 and 0 for a black box that answers labels only."""
        return (self.labels == label).float() if self.scores is None else self.scores[:, label]

    def probability(self, label: int) -> Tensor:
        """(N,) float32 in [0, 1] for one label, of :func:`probabilities`; of labels only 1 and 0."""
        if self.scores is None:
            return self.evidence(label)
        return probabilities(self.scores)[:, label].clamp(0, 1)  # a sum may be a little above 1


@checked
def probabilities(scores: Rows) -> Tensor:
    """(N, K) scores as probabilities: a row that already is a distribution as it is, of any other its softmax.

    A distribution has no score below 0, and a sum of 1, both up to 1e-3. Gradients flow through.
    """
    known = (scores >= -1e-3).all(dim=1) & ((scores.sum(dim=1) - 1).abs() < 1e-3)
    return torch.where(known[:, None], scores, scores.softmax(dim=1))


class BlackBox:
    """A checked black box. Calling it with images (N, C, H, W) in [0, 1] gives an
    :class:`~abele_py.black_boxes.black_box.Answer`.

    Args:
        classifier: a callable from (N, C, H, W) float32 in [0, 1] to (N,) integer labels or (N, K >= 2) scores, tensor
            or array; or an ``nn.Module``, called without gradients in evaluation mode on its own device and left as
            it was found; or a fitted scikit-learn classifier, given flattened images. Normalisation is its own affair.
        batch_size: most images in one call. (A torch module gets them filled up to a multiple of 16, so that the last
            bits of its scores do not depend on the batch.)

    Attributes:
        classifier: what it was made of, for methods that look inside.
        calls, images: how often the classifier was called, and with how many images in all.
        n_classes: K, or None for a classifier that answers labels only.

    Raises:
        BlackBoxError: at a call, where the answer is not that of a classifier.
    """

    @checked
    def __init__(self, classifier: Any, batch_size: Count = 256) -> None:
        if batch_size < 1:
            raise ParameterError(f"got batch_size={batch_size}; expected at least 1; 256 suits most machines")
        self.classifier = classifier
        self._function = as_function(classifier)
        self.batch_size = batch_size
        self.calls = 0
        self.images = 0
        self.n_classes: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the classifier takes its images, which is main memory for all but torch modules."""
        return device_of(self.classifier)

    def __call__(self, images: Tensor) -> Answer:
        """The answer to images on any device, in main memory."""
        if len(images) == 0:  # a classifier need not know how to answer nothing
            return Answer(
                torch.zeros(0, dtype=torch.int64), None if self.n_classes is None else torch.zeros(0, self.n_classes)
            )
        answers = [self._query(batch) for batch in images.split(self.batch_size)]
        scores = [a.scores for a in answers if a.scores is not None]
        return Answer(torch.cat([a.labels for a in answers]), torch.cat(scores) if scores else None)

    def probe(self, images: Tensor) -> None:
        """Query the images twice, and the first alone: the answers must have one form and agree.

        Raises:
            BlackBoxError: where they do not.
        """
        first, again, alone = self(images), self(images), self(images[:1])
        row = Answer(first.labels[:1], None if first.scores is None else first.scores[:1])
        if not _agree(first, again) or not _agree(row, alone):
            raise BlackBoxError(
                "got different answers of the black box for the same image; expected a deterministic function of each "
                "image alone; switch off dropout and sampling (model.eval()) and anything that looks at the whole batch"
            )

    def _query(self, batch: Tensor) -> Answer:
        self.calls += 1
        self.images += len(batch)
        try:
            # a copy: a black box that normalises in place must not change ours
            raw = self._function(batch.to(self.device, copy=True))
        except AbeleError:  # ours, which say what to do
            raise
        except Exception as error:
            raise BlackBoxError(
                f"the black box raised {type(error).__name__}: {error}; it was given a float32 tensor of shape "
                f"{tuple(batch.shape)} in [0, 1]; expected (N,) labels or (N, K) scores; try it on such a batch"
            ) from error
        answer = _checked(raw, len(batch))
        k = None if answer.scores is None else answer.scores.shape[1]
        if self.calls > 1 and k != self.n_classes:
            raise BlackBoxError(
                f"got {_form(k)} of the black box, and {_form(self.n_classes)} before; expected one form in all calls; "
                "return scores for the same classes, or labels, for every batch"
            )
        self.n_classes = k
        return answer


def _form(k: int | None) -> str:
    return "labels" if k is None else f"scores for {k} classes"


def _agree(a: Answer, b: Answer) -> bool:
    if a.scores is None or b.scores is None:
        return torch.equal(a.labels, b.labels)
    return torch.allclose(a.scores, b.scores, rtol=1e-3, atol=1e-4)


def _checked(raw: Any, n: int) -> Answer:
    """The raw answer as labels and scores, or an error that names what came."""
    try:
        value = raw.detach().cpu() if isinstance(raw, Tensor) else torch.as_tensor(np.array(raw, order="C"))
    except (TypeError, ValueError) as error:
        raise BlackBoxError(
            f"got an answer of type {type(raw).__name__} of the black box; expected a tensor or array of (N,) integer "
            "labels or (N, K) scores; convert it in the function"
        ) from error
    if value.ndim not in (1, 2) or len(value) != n:
        raise BlackBoxError(
            f"got an answer of shape {tuple(value.shape)} for {n} images; expected ({n},) labels or ({n}, K) scores; "
            "return one answer per image"
        )
    if value.ndim == 1:
        if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
            raise BlackBoxError(
                f"got {value.dtype} labels; expected integers; return argmax(scores, axis=1), the scores themselves "
                "as (N, K), or labels.astype(int)"
            )
        if bool((value.long() < 0).any()):
            raise BlackBoxError(
                f"got the label {int(value.min())}; expected labels from 0 on; number the classes 0, 1, ..."
            )
        return Answer(value.long(), None)
    if value.shape[1] < 2:
        raise BlackBoxError(
            f"got scores of shape {tuple(value.shape)}, one class only; expected K >= 2; for a binary classifier with "
            "one output p return the two columns (1 - p, p)"
        )
    scores = value.float()
    if not bool(torch.isfinite(scores).all()):
        raise BlackBoxError(
            "got NaN or infinite scores; expected finite numbers; look for a division by zero or log(0)"
        )
    return Answer(scores.argmax(dim=1), scores)


def as_function(classifier: Any) -> Callable[[Tensor], Any]:
    """The function from a batch of images to labels or scores that a callable, module or estimator stands for.

    Raises:
        BlackBoxError: it is none of these.
    """
    if isinstance(classifier, nn.Module):
        return lambda images: _query_module(classifier, images)
    if hasattr(classifier, "predict") and hasattr(classifier, "fit"):
        return lambda images: _query_estimator(classifier, images)
    if callable(classifier):
        return classifier
    raise BlackBoxError(
        f"got a black box of type {type(classifier).__name__}; expected a callable on (N, C, H, W) images, a torch "
        "module or a fitted scikit-learn classifier; wrap it in a function"
    )


def _query_module(module: nn.Module, images: Tensor) -> Tensor:
    with evaluating(module), torch.no_grad():
        return padded(module, images.to(device_of(module)))


def device_of(model: Any) -> torch.device:
    """The device of a torch module, by its first parameter or buffer; main memory for all else."""
    tensors = chain(model.parameters(), model.buffers()) if isinstance(model, nn.Module) else iter(())
    first = next(tensors, None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, each submodule's own mode again outside, also after an exception."""
    training = [m for m in module.modules() if m.training]
    for m in training:
        m.training = False
    try:
        yield
    finally:
        for m in training:
            m.training = True


def _query_estimator(estimator: Any, images: Tensor) -> np.ndarray:
    rows = images.flatten(1).numpy()
    classes = np.asarray(getattr(estimator, "classes_", []))
    if not hasattr(estimator, "predict_proba"):
        return estimator.predict(rows)
    if not np.array_equal(classes, np.arange(len(classes))):
        raise BlackBoxError(
            f"got an estimator with the classes {classes[:10].tolist()}; expected 0..K-1; fit it on such labels, or "
            "pass a function that answers labels"
        )
    return estimator.predict_proba(rows)
