"""Padded batches: a row's result is the same, bit by bit, whatever the batch it came in."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Matrix kernels sum in another order for another number of rows, which changes the last bits of a row's result. Batches
# padded to a multiple of this give every row the same bytes, whatever the batch it came in.
ROWS = 16
# So many are enough for functions whose time grows from the first row on. Kernels take rows in groups of at least so
# many: the tests hold that a row is the same in all multiples, for every architecture and every shipped autoencoder.
FEW_ROWS = 4


def filled(rows: Tensor, multiple: int = ROWS) -> Tensor:
    """The rows and, up to a multiple of so many, the last one again."""
    missing = -len(rows) % multiple
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows


def padded(function: Callable[..., Tensor], *arguments: Tensor, multiple: int = ROWS) -> Tensor:
    """Call with a multiple of ROWS rows, so that a row's result does not depend on how many came with it."""
    n = len(arguments[0])
    found = function(*(filled(rows, multiple) for rows in arguments))
    return found if n % multiple == 0 else found[:n]


def in_sized_batches(function: Callable[[Tensor], Any], rows: Tensor, low: int = 1, high: int | None = None) -> Any:
    """Call with batches of ``low`` to ``high`` rows only, as a network with a fixed batch size wants it.

    A batch that is too small is filled with its last row again; what answers for those is dropped. The function returns
    tensors, or arrays.
    """
    answers = []
    for part in rows.split(high or len(rows)):
        rows_of_part = filled(part, low) if len(part) < low else part
        answers.append(function(rows_of_part)[: len(part)])
    return torch.cat(answers) if isinstance(answers[0], Tensor) else np.concatenate(answers)
