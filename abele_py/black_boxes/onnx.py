"""A ``model.onnx`` as a black box, run by onnxruntime on the processor. The file holds a graph and weights, no code."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..batching import in_sized_batches, padded
from ..errors import BlackBoxError, missing_extra
from ..parameters import checked
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
    threads as torch did when it was made.

    Args:
        path: an ``.onnx`` file.

    Attributes:
        input_shape: of its input without N; None where a size may be any.
        dtype: of its input.

    Raises:
        BlackBoxError: no such file; or it is damaged, or has other inputs or outputs.
        MissingExtraError: onnxruntime is not installed.
    """

    @checked
    def __init__(self, path: str | Path) -> None:
        name = str(path)
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise missing_extra(error, repr(name), "onnx") from error
        if not os.path.isfile(path):
            raise BlackBoxError(f"got {name!r}, which is no file; expected an ONNX model; check the path")
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
        self._output, self._is_map = _output(name, self._session.get_outputs())

    def __call__(self, images: Tensor) -> Tensor:
        values = as_input(images, self.input_shape, self.dtype)
        if self._batch is None:  # the same bytes for an image, whatever the batch it came in
            return padded(self._answers, values)
        return in_sized_batches(self._answers, values, self._batch, self._batch)

    def _answers(self, batch: Tensor) -> Tensor:
        answer = self._session.run([self._output], {self._input: batch.numpy()})[0]
        found = _from_maps(answer) if self._is_map else np.asarray(answer)
        if len(found) != len(batch):
            raise BlackBoxError(
                f"got an answer of shape {found.shape} of the ONNX model for {len(batch)} images; expected one row "
                "for each; export it with a batch axis that is dynamic, or as large as the input's"
            )
        return torch.from_numpy(np.ascontiguousarray(found))


def _output(name: str, outputs: Sequence[Any]) -> tuple[str, bool]:
    """Name of the output that is asked for, and whether it is a map for each image."""
    answers = list(outputs)
    if len(answers) == 2 and answers[0].type in _LABELS and answers[1].type in (*_SCORES, *_MAPS):
        answers = answers[1:]  # labels and their probabilities, as scikit-learn's converter writes them
    if len(answers) == 1 and answers[0].type in (*_SCORES, *_MAPS, *_LABELS[:2]):
        return answers[0].name, answers[0].type in _MAPS
    raise BlackBoxError(
        f"got {name!r} with the outputs {_listed(outputs)}; expected scores (N, K), integer labels (N,), or labels and "
        "probabilities; export the model with one of these"
    )


def _from_maps(rows: Sequence[Mapping[Any, float]]) -> np.ndarray:
    """Maps class -> probability as (N, K), columns in the order of the classes, which are numbers from 0 or words."""
    classes = sorted(rows[0])
    if not isinstance(classes[0], str) and classes != list(range(len(classes))):
        raise BlackBoxError(
            f"got an ONNX model with the classes {classes[:10]}; expected 0..K-1; fit the classifier on such labels"
        )
    return np.array([[row[key] for key in classes] for row in rows], dtype=np.float32)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(f"{v.name}: {re.sub(r'^tensor', '', v.type)} {v.shape}" for v in values) or "none"
