"""Where a torch module runs: moved there once, before it is used."""

from typing import Any

import torch
from torch import nn

from ..errors import ParameterError


def on_device(model: Any, device: str | None) -> Any:
    """The model; a torch module is moved to the device first. None: it stays where it is.

    Raises:
        ParameterError: torch has no such device here.
    """
    if device is None or not isinstance(model, nn.Module):
        return model
    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch is built without it, or there is none
        reason = str(error).splitlines()[0]
        raise ParameterError(
            f"got the device {device!r} ({reason}); expected one that torch can use here; pass cpu, or cuda on a "
            "machine with a GPU of NVIDIA's"
        ) from error
