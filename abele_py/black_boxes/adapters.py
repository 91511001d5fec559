"""Functions from images to a classifier's raw answer: what a callable, a torch module or a fitted estimator stands for.

Objects rather than closures, so that a black box can be pickled and sent to a worker.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..batching import filled
from ..errors import BlackBoxError
from .modules import as_given, dtype_of, evaluating
from .outputs import Output, classes_of, main_output, shape_of, wrong_shape


def as_function(classifier: Any) -> Callable[[Tensor], Any]:
    """The function from a batch of images to labels or scores that a callable, module or estimator stands for.

    What can be called is called with images, as Keras' models are, unless it is one of scikit-learn's kind: fitted, and
    with ``predict_proba``, ``classes_`` or ``get_params``.

    Raises:
        BlackBoxError: it is none of these.
    """
    if isinstance(classifier, type):
        raise BlackBoxError(
            f"got the class {classifier.__name__}; expected an object of it, trained or fitted; call it first: "
            f"{classifier.__name__}(...)"
        )
    if isinstance(classifier, nn.Module):
        return ModuleFunction(classifier)
    if hasattr(classifier, "predict") and hasattr(classifier, "fit"):
        kind = ("predict_proba", "classes_", "get_params")
        if not callable(classifier) or any(hasattr(classifier, name) for name in kind):
            return EstimatorFunction(classifier)
    if callable(classifier):
        return classifier
    raise BlackBoxError(
        f"got a black box of type {type(classifier).__name__}; expected a callable on (N, C, H, W) images, a torch "
        "module or a fitted scikit-learn classifier; wrap it in a function"
    )


def given_to(function: Callable[[Tensor], Any], images: Tensor) -> str:
    """What a function of :func:`as_function` gets for images, in words; and what to do if it cannot take that."""
    if isinstance(function, (ModuleFunction, EstimatorFunction, PreprocessedFunction)):
        return function.given(images)
    text = f"a float32 tensor of shape {tuple(images.shape)} in [0, 1]; expected (N,) labels or (N, K) scores"
    if hasattr(function, "predict") and hasattr(function, "fit"):
        return (
            f"{text}; try it on such a batch; if it wants arrays, or the channels last as Keras does, pass a "
            "function: lambda images: model.predict(images.permute(0, 2, 3, 1).numpy())"
        )
    return f"{text}; try it on such a batch"


class ModuleFunction:
    """A torch module, called in evaluation mode, without gradients, on its device and in its type; left as found.

    Batches are filled up to a multiple of 16 images, so that the last bits of an answer do not depend on the batch.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, images: Tensor) -> Output:
        with evaluating(self.module), torch.no_grad():
            batch = filled(as_given(self.module, images))
            output = main_output(self.module(batch), len(batch))
        if (shape_of(output.values) or (0,))[0] != len(batch):
            raise wrong_shape(output.values, len(batch), self._batch(images))
        return output.first(len(images))

    def given(self, images: Tensor) -> str:
        kind = str(dtype_of(self.module)).removeprefix("torch.")
        shape = (len(images) + -len(images) % 16, *images.shape[1:])
        return (
            f"a {kind} tensor of shape {shape} in [0, 1], {self._batch(images)}; expected (N,) labels or (N, K) "
            "scores; try it on such a batch"
        )

    def _batch(self, images: Tensor) -> str:
        n, m = len(filled(images)), len(images)
        return f"{n} images" if n == m else f"{n} images ({m}, filled up to a multiple of 16 with the last one)"


class EstimatorFunction:
    """A fitted classifier of scikit-learn's kind: its probabilities, else its decision function, else its labels.

    Of two classes the decision function d becomes the columns (-d/2, d/2), whose softmax is the sigmoid of d.
    It gets flattened images; one that cannot take them, as a network of skorch, gets images (N, C, H, W).
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self._flat: bool | None = None  # what it takes; None: not yet known

    def __call__(self, images: Tensor) -> Any:
        pixels = images.cpu().numpy()
        rows = pixels.reshape(len(pixels), -1)
        if self._flat is None and getattr(self.estimator, "n_features_in_", None) == rows.shape[1]:
            self._flat = True
        if self._flat is not None:
            return self._answer(rows if self._flat else pixels)
        try:
            answer = self._answer(rows)
        except Exception as first:  # noqa: BLE001 - whatever an estimator raises of a shape
            try:
                answer = self._answer(pixels)
            except Exception:  # noqa: BLE001 - the first one tells more
                raise first from None
            self._flat = False
            return answer
        self._flat = True
        return answer

    def given(self, images: Tensor) -> str:
        flat = f"a float32 array of flattened images, shape {tuple(images.flatten(1).shape)}"
        other = f"one of images, shape {tuple(images.shape)}"
        tried = flat if self._flat else other if self._flat is False else f"{flat}, and then {other}"
        return f"{tried}, with pixels in [0, 1]; expected (N,) labels or (N, K) scores; fit it on such arrays"

    def _answer(self, rows: np.ndarray) -> Any:
        estimator, classes = self.estimator, classes_of(self.estimator)
        if hasattr(estimator, "predict_proba"):
            found = estimator.predict_proba(rows)
            if isinstance(found, list) and found and getattr(found[0], "ndim", 0) == 2:
                raise BlackBoxError(
                    f"got a {type(estimator).__name__} with {len(found)} outputs; expected one; pass a function that "
                    "predicts one of them"
                )
            return found
        if classes is not None and hasattr(estimator, "decision_function"):
            decisions = np.asarray(estimator.decision_function(rows))
            if len(classes) == 2 and decisions.size == len(rows):
                half = decisions.reshape(-1) / 2
                return np.stack([-half, half], axis=1)
            if decisions.shape == (len(rows), len(classes)) and not _by_pairs(estimator):
                return decisions
        return estimator.predict(rows)


class PreprocessedFunction:
    """A classifier that is no torch module, behind the preprocessing of its pixels."""

    def __init__(self, classifier: Any, pixels: Callable[[Tensor], Tensor]) -> None:
        self.classifier, self.pixels = classifier, pixels
        self._function = as_function(classifier)

    @property
    def classes_(self) -> Any:
        """The classifier's own; None where it has none."""
        return classes_of(self.classifier)

    def __call__(self, images: Tensor) -> Any:
        return self._function(self.pixels(images))

    def given(self, images: Tensor) -> str:
        text = given_to(self._function, self.pixels(images))
        return text.replace(" in [0, 1]", " after mean, std, order and layout of its pixels", 1)


def _by_pairs(estimator: Any) -> bool:
    """Whether columns of its decision function are pairs of classes, of which three classes have three as well."""
    inner = getattr(estimator, "best_estimator_", estimator)
    options = inner.get_params() if hasattr(inner, "get_params") else {}
    return any(k.endswith("decision_function_shape") and v == "ovo" for k, v in options.items())
