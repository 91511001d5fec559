"""A user's torch module: where its parameters are, of what type, and evaluation mode that threads can share."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

_LOCK = Lock()
# Modules in evaluation mode on our account: how many are at work with it, and whether it was in training mode before.
# Each submodule by itself, for two networks may share some.
_AT_WORK: dict[int, tuple[int, bool]] = {}
# The modules that were asked for: how many are at work with each, and its parts, which are walked once for all of them.
_ASKED: dict[int, tuple[int, list[nn.Module]]] = {}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, each submodule's own mode again outside, also after an exception.

    Threads may share a module, or a part of one: the last one out restores the mode. Inside another one of the same
    module it takes next to no time.
    """
    with _LOCK:
        users, parts = _ASKED.get(id(module)) or (0, _parts(module))
        _ASKED[id(module)] = users + 1, parts  # kept, so that no other object gets the id of one of them
        if not users:
            _begin(parts)
    try:
        yield
    finally:
        with _LOCK:
            users, parts = _ASKED.pop(id(module))
            if users > 1:
                _ASKED[id(module)] = users - 1, parts
            else:
                _end(parts)


def _begin(parts: list[nn.Module]) -> None:
    for part in parts:
        users, training = _AT_WORK.get(id(part), (0, part.training))
        _AT_WORK[id(part)] = users + 1, training
        if part.training:  # to set what is set already takes longer than all the rest
            part.training = False


def _end(parts: list[nn.Module]) -> None:
    for part in parts:
        users, training = _AT_WORK.pop(id(part))
        if users > 1:
            _AT_WORK[id(part)] = users - 1, training
        elif training:
            part.training = True


def device_of(model: Any) -> torch.device:
    """The device of a torch module, by its first parameter or buffer; main memory for all else."""
    first = next(_tensors(model), None)
    return torch.device("cpu") if first is None else first.device


def dtype_of(model: Any) -> torch.dtype:
    """The type of images that a torch module takes: of its first floating parameter or buffer; else float32.

    Modules of this package that convert images themselves say so by ``image_dtype``.
    """
    own = getattr(model, "image_dtype", None)
    if isinstance(own, torch.dtype):
        return own
    return next((t.dtype for t in _tensors(model) if t.is_floating_point()), torch.float32)


def as_given(module: nn.Module, images: Tensor) -> Tensor:
    """Images on the module's device, in the type of its parameters."""
    return images.to(device_of(module), dtype_of(module))


def _parts(module: nn.Module) -> list[nn.Module]:
    """The module and all below it, each once: ``module.modules()`` without the names, which take most of its time."""
    found = {id(module): module}
    waiting = [module]
    while waiting:
        fresh = {
            id(part): part for part in waiting.pop()._modules.values() if part is not None and id(part) not in found
        }
        found |= fresh
        waiting += fresh.values()
    return [*found.values()]


def _tensors(model: Any) -> Iterator[Tensor]:
    return chain(model.parameters(), model.buffers()) if isinstance(model, nn.Module) else iter(())
