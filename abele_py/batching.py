"""Padded batches: a row's result is the same, bit by bit, whatever the batch it came in."""

from collections.abc import Callable

import torch
from torch import Tensor

# Matrix kernels sum in another order for another number of rows, which changes the last bits of a row's result. Batches
# padded to a multiple of this give every row the same bytes, whatever the batch it came in.
ROWS = 16


def padded(function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    """Call with a multiple of ROWS rows, so that a row's result does not depend on how many came with it."""
    n = len(arguments[0])
    missing = -n % ROWS
    if missing == 0:
        return function(*arguments)
    return function(*(torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) for rows in arguments))[:n]


def in_sized_batches(
    function: Callable[[Tensor], Tensor], rows: Tensor, low: int = 1, high: int | None = None
) -> Tensor:
    """Call with batches of ``low`` to ``high`` rows only, as a network with a fixed batch size wants it.

    A batch that is too small is filled with its last row again; what answers for those is dropped.
    """
    answers = []
    for part in rows.split(high or len(rows)):
        missing = max(low - len(part), 0)
        filled = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
        answers.append(function(filled)[: len(part)])
    return torch.cat(answers)
