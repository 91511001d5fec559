"""A ``model.onnx`` as a black box, run by onnxruntime on the processor. The file holds a graph and weights, no code."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..batching import filled, in_sized_batches
from ..checking.parameters import checked
from ..errors import BlackBoxError, missing_extra
from ..storage.reading import check_regular, read_regular
from .onnx_classes import columns_named_by, lists_in, only_list
from .outputs import from_maps, plain
from .preprocessing import as_input

_DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(uint8)": torch.uint8,
}
_LABELS = ("tensor(int64)", "tensor(int32)", "tensor(string)")
_SCORES = ("tensor(float)", "tensor(double)", "tensor(float16)")
_MAPS = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")


class OnnxClassifier:
    """A network in an ONNX file: (N, ...) pixels as its input wants them -> (N, K) scores or (N,) labels.

    It may answer scores, labels, or both as scikit-learn's converter writes them (labels, then probabilities as an
    array or as a map for each image). A fixed batch size is kept: batches are split and filled. It uses as many
    threads as torch did when it was made. It can be pickled; the file is then read again from its place.

    Args:
        path: an ``.onnx`` file.

    Attributes:
        input_shape: of its input without N; None where a size may be any.
        dtype: of its input.
        classes_: the classes that the file names, in the order of its columns; None where it names none, and before the
            first call where its input has a size that may be any.

    Raises:
        BlackBoxError: no such file; or it is damaged, or has other inputs or outputs.
        MissingExtraError: onnxruntime is not installed.
    """

    @checked
    def __init__(self, path: str | Path) -> None:
        self.path = name = str(Path(path).absolute())
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise missing_extra(error, repr(name), "onnx") from error
        try:
            check_regular(path)
        except (OSError, ValueError) as error:
            raise BlackBoxError(
                f"got {name!r}, which is no file that can be read ({error}); expected an ONNX model; check the path"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = 4  # what goes wrong is raised too
        try:
            self._session = onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has an exception of its own for each of a dozen causes
            raise BlackBoxError(
                f"got {name!r}, which onnxruntime cannot load ({error}); expected an ONNX model with standard "
                "operators; export it again, with an opset that the installed onnxruntime knows"
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _DTYPES or len(inputs[0].shape) < 2:
            raise BlackBoxError(
                f"got {name!r} with the inputs {_listed(inputs)}; expected one, of images, of type "
                f"{', '.join(_DTYPES)}; export the model with one input"
            )
        self.dtype = _DTYPES[inputs[0].type]
        self._input = inputs[0].name
        batch, *shape = (size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape)
        self.input_shape: tuple[int | None, ...] = tuple(shape)
        self._batch = batch
        self._outputs, kind = _outputs(name, self._session.get_outputs())
        self._is_map = kind in _MAPS
        self.classes_: tuple[Any, ...] | None = None
        if kind in _LABELS:
            self.classes_ = only_list(lists_in(name), words="string" in kind)
        sizes = [size for size in shape if size is not None]
        if len(sizes) == len(shape):
            self.find_classes(torch.rand(16, *sizes, generator=torch.Generator().manual_seed(0)))

    def __call__(self, images: Tensor) -> Any:
        values = as_input(images, self.input_shape, self.dtype)
        if self._batch is None:  # the same bytes for an image, whatever the batch it came in
            return in_sized_batches(lambda batch: self._answers(filled(batch)), values)
        return in_sized_batches(self._answers, values, self._batch, self._batch)

    def __reduce__(self) -> Any:  # a session cannot be pickled
        return type(self), (self.path,)

    def find_classes(self, images: Tensor) -> None:
        """Ask for some images, so that :attr:`classes_` is known; nothing if they cannot be answered."""
        if self.classes_ is None and (len(self._outputs) > 1 or self._is_map):
            with suppress(BlackBoxError):
                self(images)

    def _answers(self, batch: Tensor) -> Tensor | np.ndarray:
        """Scores, or labels: as a tensor, or an array of words."""
        try:
            *labels, answer = self._session.run(self._outputs, {self._input: batch.numpy()})
        except Exception as error:  # onnxruntime has an exception of its own for each of a dozen causes
            raise BlackBoxError(
                f"got {self.path!r}, which onnxruntime cannot run ({error}); it was given {tuple(batch.shape)} of "
                f"{str(self.dtype).removeprefix('torch.')}; expected scores or labels; try it on such a batch"
            ) from error
        if self._is_map:
            answer, self.classes_ = from_maps(answer, self.classes_)
        found = np.asarray(answer)
        if len(found) != len(batch):
            raise BlackBoxError(
                f"got an answer of shape {found.shape} of the ONNX model for {len(batch)} images; expected one row "
                "for each; export it with a batch axis that is dynamic, or as large as the input's"
            )
        if labels and self.classes_ is None:
            self.classes_ = self._columns([plain(v) for v in np.ravel(labels[0]).tolist()], found)
        return found if found.dtype.kind == "O" else torch.from_numpy(np.ascontiguousarray(found))

    def _columns(self, labels: list[Any], scores: np.ndarray) -> tuple[Any, ...]:
        """The class of each column, by the labels beside the scores."""
        k = scores.shape[1] if scores.ndim == 2 else 0
        found = columns_named_by(lists_in(self.path), labels, scores) if k else None
        if found is None and (not k or all(isinstance(y, int) and 0 <= y < k for y in labels)):
            return tuple(range(k))
        if found is None:
            raise BlackBoxError(
                f"got {self.path!r} with scores for {k} classes beside the labels "
                f"{', '.join(map(repr, dict.fromkeys(labels[:10])))}; expected a list of its classes in the file; "
                "export it with its maps from classes to scores (skl2onnx: leave out zipmap=False)"
            )
        return found


def _outputs(name: str, outputs: Sequence[Any]) -> tuple[list[str], str]:
    """Names of the outputs that are asked for, labels before scores, and the type of the last."""
    answers = list(outputs)
    both = len(answers) == 2 and answers[0].type in _LABELS and answers[1].type in (*_SCORES, *_MAPS)
    if both or (len(answers) == 1 and answers[0].type in (*_SCORES, *_MAPS, *_LABELS)):
        return [answer.name for answer in answers], answers[-1].type
    raise BlackBoxError(
        f"got {name!r} with the outputs {_listed(outputs)}; expected scores (N, K), labels (N,), or labels and "
        "probabilities; export the model with one of these"
    )


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(f"{v.name}: {re.sub(r'^tensor', '', v.type)} {v.shape}" for v in values) or "none"


def external_files(path: Path) -> list[Path]:
    """Files beside an ONNX model that hold its weights, as it names them: large models are written in parts."""
    # In the model's protobuf each is an entry with the key "location" (field 1) and the name as its value (field 2).
    content, found = read_regular(path), set()
    for start in re.finditer(rb"\x0a\x08location\x12([\x01-\x7f])", content):
        name = content[start.end() : start.end() + start[1][0]].decode(errors="replace")
        found.add(path.parent / name)
    return sorted(place for place in found if place.is_file())
