"""The one place that reads what a classifier returns: its labels or scores, which class each column is, and its scale.

Labels are columns, 0 to K - 1, in the order of the classifier's own classes where these are known, and else the numbers
as it gives them.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import BlackBoxError

Scale = Literal["probabilities", "scores"]
KEYS = ("logits", "scores", "probabilities", "probs")  # under which outputs with names hold what is wanted
_TOTALS = (1.0, 100.0, 255.0)  # of probabilities: shares, per cents, 8-bit integers
_SLACK = 1e-3  # of float arithmetic, float16 and bfloat16 included
_LOOSEST = 0.5


@dataclass(frozen=True, eq=False)
class Answer:
    """What the black box predicts for N images. It unpacks as ``labels, scores``.

    Attributes:
        labels: (N,) int64, columns of ``scores``.
        scores: (N, K) float32 where it gives scores, as it gives them; else None.
        scale: whether scores are probabilities, as decided for the black box; None: decided on these rows together.
    """

    labels: Tensor
    scores: Tensor | None
    scale: Scale | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.labels, self.scores))

    def evidence(self, label: int) -> Tensor:
        """(N,) float32 for one label: its score, or 1 and 0 for a black box that answers labels only."""
        return (self.labels == label).float() if self.scores is None else self.scores[:, label]

    def probability(self, label: int) -> Tensor:
        """(N,) float32 in [0, 1] for one label, of :func:`probabilities`; of labels only 1 and 0."""
        return self.evidence(label) if self.scores is None else probabilities(self.scores, self.scale)[:, label]


def probabilities(scores: Tensor, scale: Scale | None = None) -> Tensor:
    """Scores (..., K) as probabilities, all rows in one way. Gradients flow through.

    Probabilities are divided by their sum, which rounding may have moved. Of all other scores, logits and distances
    from a boundary among them, it is the softmax.

    Args:
        scores: finite.
        scale: as ``BlackBox.scale`` has it; None: decided on these rows together, see :func:`scale_of`.
    """
    if (scale or scale_of(scores.detach().reshape(-1, scores.shape[-1]))) == "probabilities":
        kept = scores.clamp(min=0)
        return kept / kept.sum(dim=-1, keepdim=True)
    return scores.softmax(dim=-1)


def scale_of(scores: Tensor, integers: bool = False) -> Scale:
    """Whether scores (N, K) are probabilities: no row has one below 0, and all sum to 1, to 100 or to 255.

    The sum may differ by as much as rounding to two decimals moves it: .005 for each class, at least .01 and at most
    half of it. Integers may have any sum that all rows share, as votes have: they are shares of it.
    """
    votes = [float(scores.sum(dim=1).median())] if integers and len(scores) > 1 else []
    spread = min(max(0.01, 0.005 * scores.shape[-1]), _LOOSEST)
    return "probabilities" if any(_fit(scores, total, spread) for total in (*_TOTALS, *votes)) else "scores"


def scale_in(params: Mapping[str, Any]) -> Scale | None:
    """What ``black_box_answers`` in the parameters of a result says of its scores; None in files from before."""
    found = params.get("black_box_answers")
    return found if found in ("probabilities", "scores") else None


def keeps_scale(scores: Tensor, before: Tensor) -> bool:
    """Whether scores (N, K) can be probabilities, as a row of the same black box was: none below 0, a sum like its."""
    return _fit(scores, float(before.sum()), _LOOSEST)


def _fit(scores: Tensor, total: float, spread: float) -> bool:
    low, high = ((1 - spread - _SLACK) * total, (1 + spread + _SLACK) * total)
    sums = scores.sum(dim=-1)
    return total > 0 and bool((scores >= -_SLACK * total).all() and (sums >= low).all() and (sums <= high).all())


class Output(NamedTuple):
    """The part of a classifier's return value that counts.

    Attributes:
        values: (N,) labels or (N, K) scores, tensor, array or lists; or N mappings from classes to scores.
        labels: (N,) labels that it returned beside scores; None without.
    """

    values: Any
    labels: Any = None

    def first(self, n: int) -> "Output":
        """Of the first n images."""
        return Output(self.values[:n], None if self.labels is None else self.labels[:n])


def main_output(raw: Any, n: int) -> Output:
    """Labels or scores among all that a classifier returned for n images.

    Of a tuple the first element, or labels and scores together; of a dictionary or record its ``logits``, ``scores`` or
    ``probabilities``, or its only value.

    Raises:
        BlackBoxError: a dictionary without these.
    """
    if isinstance(raw, Output):
        return raw
    if isinstance(raw, Tensor) or hasattr(raw, "__array__") or hasattr(raw, "toarray"):
        return Output(raw)
    if isinstance(raw, Mapping):
        found = [raw[key] for key in KEYS if key in raw] or (list(raw.values()) if len(raw) == 1 else [])
        if not found:
            raise BlackBoxError(
                f"got a dictionary of the black box with the keys {', '.join(map(repr, raw)) or 'none'}; expected one "
                f"of {', '.join(KEYS)}, or a single value; return the labels or scores themselves"
            )
        return main_output(found[0], n)
    for key in KEYS:
        if hasattr(raw, key):
            return main_output(getattr(raw, key), n)
    if isinstance(raw, (tuple, list)) and raw and not _one_for_each(raw, n):
        if len(raw) == 2 and _are_labels_and_scores(raw[0], raw[1], n):
            return Output(raw[1], raw[0])
        return main_output(raw[0], n)
    return Output(raw)


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Of a tensor, array or nested lists; None where there is none."""
    try:
        return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)
    except (ValueError, TypeError, RuntimeError):  # lists of different lengths, tensors with gradients
        return None


def wrong_shape(value: Any, n: int, images: str) -> BlackBoxError:
    """The error for an answer that is not one row for each of n images, which are described by ``images``."""
    shape = shape_of(value)
    inside = f" of {', '.join(type(v).__name__ for v in value[:5])}" if isinstance(value, (list, tuple)) else ""
    got = f"type {type(value).__name__}{inside}" if shape in (None, ()) else f"shape {shape}"
    lost = " (a squeeze() loses the batch axis of one image)" if n == 1 and shape and len(shape) == 1 else ""
    return BlackBoxError(
        f"got an answer of {got} for {images}; expected ({n},) labels or ({n}, K) scores, as a tensor or array; return "
        f"one answer per image{lost}"
    )


class Reading(NamedTuple):
    """What was read: an answer of labels or scores, the classes of its columns, and whether scores were integers."""

    labels: Tensor
    scores: Tensor | None
    classes: tuple[Hashable, ...] | None
    integers: bool


def read(raw: Any, n: int, classes: Sequence[Any] | None, names: Sequence[Any] | Mapping[Any, Any] = ()) -> Reading:
    """What a classifier returned for n images as columns, or an error that names what came.

    Args:
        raw: its return value.
        n: number of images.
        classes: its own classes, in the order of its columns; None where it has none.
        names: what the user calls the classes: an answer of words is read by them where it has no classes of its own.

    Raises:
        BlackBoxError: it is no answer of a classifier.
    """
    output = main_output(raw, n)
    known = None if classes is None else tuple(map(plain, classes))
    values, found = from_maps(output.values, known) if _are_maps(output.values, n) else (output.values, known)
    value = _array(values, n)
    if value.ndim not in (1, 2) or len(value) != n:
        raise wrong_shape(value if value.ndim else values, n, f"{n} image{'' if n == 1 else 's'}")
    if value.ndim == 1:
        return _labels(value, found, names)
    scores = _scores(value, found)
    if output.labels is not None and found is None and not _name_columns(output.labels, scores):
        return _labels(_array(output.labels, n), None, names)
    return Reading(scores.argmax(dim=1), scores, found, not (value.is_floating_point() or value.dtype == torch.bool))


def classes_of(classifier: Any) -> tuple[Hashable, ...] | None:
    """The classifier's own classes, in the order of its columns: its ``classes_``; None where it has none.

    Raises:
        BlackBoxError: those of several outputs.
    """
    try:
        found = getattr(classifier, "classes_", None)
    except Exception:  # noqa: BLE001 - a property of the user's, before it is fitted
        return None
    if found is None:
        return None
    if isinstance(found, list) and any(isinstance(part, np.ndarray) and part.ndim for part in found):
        raise BlackBoxError(
            f"got a {type(classifier).__name__} with {len(found)} outputs; expected one; pass a function that predicts "
            "one of them"
        )
    return tuple(map(plain, found))


def plain(value: Any) -> Hashable:
    """A class as a plain number, truth or text: no type of numpy or torch, no 7.0 for 7."""
    single = isinstance(value, np.generic) or (isinstance(value, (np.ndarray, Tensor)) and value.ndim == 0)
    value = value.item() if single else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def names_of(classes: Sequence[Hashable] | None) -> tuple[str, ...]:
    """What classes are called; empty for none, and for 0 to K - 1, which are their own numbers."""
    if classes is None or all(type(c) is int and c == i for i, c in enumerate(classes)):
        return ()
    return tuple(map(str, classes))


def _labels(value: Any, classes: tuple[Hashable, ...] | None, names: Iterable[Any]) -> Reading:
    words = isinstance(value, np.ndarray)
    if classes is None and words and names:
        classes = tuple(map(plain, names))
    if classes is not None:
        columns = {c: i for i, c in enumerate(classes)}
        found = [columns.get(plain(v), -1) for v in value.tolist()]
        if -1 in found:
            raise BlackBoxError(
                f"got the label {plain(value[found.index(-1)])!r} of the black box; expected one of its classes: "
                f"{', '.join(map(repr, classes[:20]))}; correct its classes_, or the class_names of its words"
            )
        return Reading(torch.tensor(found, dtype=torch.int64), None, classes, False)
    if words:
        raise BlackBoxError(
            f"got the label {plain(value[0])!r} of the black box, a word; expected integers, or words of known "
            "classes; pass all of them as class_names=('cat', 'dog'), or give the function its classes "
            "(function.classes_ = ['cat', 'dog'])"
        )
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        kind = str(value.dtype).removeprefix("torch.")
        raise BlackBoxError(f"got {kind} labels; expected integers; {_way_out(value)}")
    if bool((value.long() < 0).any()):
        raise BlackBoxError(
            f"got the label {int(value.min())}; expected labels from 0 on; number the classes 0, 1, ..., or give the "
            "function its classes (function.classes_ = [-1, 1])"
        )
    return Reading(value.long(), None, None, False)


def _way_out(value: Tensor) -> str:
    """What to return instead of (N,) numbers that are no integers."""
    columns = "return the two columns (1 - p, p), np.stack([1 - p, p], axis=1)"
    if value.dtype == torch.bool:
        return "return the scores (N, K), or labels.astype(int) where True is class 1"
    whole = bool((value == value.round()).all())
    if not value.is_complex() and bool(((value >= 0) & (value <= 1)).all()):
        otherwise = "; if they are labels, labels.astype(int)" if whole else ""
        return f"if they are probabilities p of one class, as of a sigmoid, {columns}{otherwise}"
    if whole:
        return "return argmax(scores, axis=1), the scores themselves as (N, K), or labels.astype(int)"
    return f"return scores (N, K); if they are logits d of one class, take p = 1 / (1 + np.exp(-d)) and {columns}"


def _scores(value: Any, classes: tuple[Hashable, ...] | None) -> Tensor:
    if isinstance(value, np.ndarray):
        raise BlackBoxError(
            f"got words of shape {value.shape} of the black box; expected (N,) labels or (N, K) scores; return one "
            "answer per image"
        )
    k = value.shape[1]
    if k < 2:
        labels = "" if value.is_floating_point() else "; if these are labels, return labels[:, 0]"
        raise BlackBoxError(
            f"got scores of shape {tuple(value.shape)}, one class only; expected K >= 2; for a binary classifier with "
            f"one output p, as of a sigmoid, return the two columns (1 - p, p){labels}"
        )
    if value.is_complex():
        raise BlackBoxError("got complex scores; expected real numbers; return their absolute values, or their logits")
    if classes is not None and len(classes) != k:
        raise BlackBoxError(
            f"got scores for {k} classes of a black box with {len(classes)} classes; expected one column for each; "
            "correct its classes_"
        )
    scores = value.float()
    if not bool(torch.isfinite(scores).all()):
        raise BlackBoxError(
            "got NaN or infinite scores; expected finite numbers; look for a division by zero or log(0)"
        )
    return scores


def _array(value: Any, n: int) -> Any:
    """Numbers as a tensor in main memory, words as an array of them."""
    try:
        if isinstance(value, Tensor):
            return _dense(value)
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):  # a tensor for each image
            return torch.stack([_dense(v) for v in value])
        array = np.array(value.toarray() if hasattr(value, "toarray") else value, order="C")
        if array.dtype.kind in "USO" and array.ndim:
            items = [plain(v) for v in array.ravel().tolist()]
            if all(isinstance(v, str) for v in items):
                return np.array(items, object).reshape(array.shape)
            if not all(isinstance(v, (str, Number)) for v in items):  # numpy would unpack a range, however long
                raise TypeError(f"an array of {', '.join(sorted({type(v).__name__ for v in items}))}")
            array = np.array(items).reshape(array.shape) if array.dtype.kind == "O" else array
        kinds = {"i": np.int64, "u": np.int64, "f": np.float64}  # torch has not all of numpy's sizes and byte orders
        return torch.as_tensor(array.astype(kinds.get(array.dtype.kind, array.dtype)))
    except (TypeError, ValueError, RuntimeError) as error:
        raise wrong_shape(value, n, f"{n} images") from error


def _dense(value: Tensor) -> Tensor:
    value = value.detach().cpu()
    value = value.dequantize() if value.is_quantized else value
    return value if value.layout == torch.strided else value.to_dense()


def _one_for_each(raw: Sequence[Any], n: int) -> bool:
    """Whether these are the answers for n images, one each, and not several outputs of a network."""
    first = shape_of(raw[0])
    if isinstance(raw[0], (Mapping, str, bytes)) or first == ():
        return True
    if first is None or len(first) > 1:
        return False
    if isinstance(raw[0], (list, tuple)):
        return isinstance(raw, list) or first[0] != n
    return isinstance(raw, list) and len(raw) == n and len({(shape_of(row), _kind(row)) for row in raw}) == 1


def _are_maps(values: Any, n: int) -> bool:
    return isinstance(values, (list, tuple)) and len(values) == n > 0 and all(isinstance(v, Mapping) for v in values)


def _are_labels_and_scores(labels: Any, scores: Any, n: int) -> bool:
    """Whether a pair is what scikit-learn's converter to ONNX writes: (N,) labels, and scores or N maps to scores."""
    if shape_of(labels) != (n,) or _kind(labels) not in tuple("iuUSO"):
        return False
    shape = shape_of(scores)
    return _are_maps(scores, n) or (shape is not None and len(shape) == 2 and shape[0] == n and _kind(scores) == "f")


def _kind(value: Any) -> str:
    """The kind of numpy's type."""
    if isinstance(value, Tensor):
        return "f" if value.is_floating_point() else "b" if value.dtype == torch.bool else "i"
    try:
        return np.asarray(value).dtype.kind
    except (ValueError, TypeError, RuntimeError):  # as above
        return ""


def from_maps(
    maps: Sequence[Mapping[Any, float]], classes: tuple[Hashable, ...] | None
) -> tuple[np.ndarray, tuple[Hashable, ...]]:
    """Mappings from classes to scores as (N, K), and the classes in the order of its columns: sorted, if not given."""
    rows = [{plain(key): value for key, value in row.items()} for row in maps]
    found = classes
    if found is None or set(found) != set(rows[0]):
        found = in_order(rows[0])
    if not all(row.keys() == rows[0].keys() for row in rows):
        raise BlackBoxError(
            "got dictionaries of the black box with different classes; expected the same for every image; return "
            "(N, K) scores"
        )
    return np.array([[row[key] for key in found] for row in rows], dtype=np.float32), found


def in_order(classes: Sequence[Hashable] | Mapping[Hashable, Any]) -> tuple[Hashable, ...]:
    """Sorted, as scikit-learn has its classes; as they come where they cannot be compared."""
    try:
        return tuple(sorted(classes))  # type: ignore[type-var]
    except TypeError:
        return tuple(classes)


def _name_columns(labels: Any, scores: Tensor) -> bool:
    """Whether labels beside scores (N, K) are the numbers of their largest columns."""
    found = _array(labels, len(scores))
    return isinstance(found, Tensor) and torch.equal(found.long().flatten(), scores.argmax(dim=1))
