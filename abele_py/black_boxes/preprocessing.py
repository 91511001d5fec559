"""Pixels as a black box wants them: normalised, in its channel order and layout, and in its input's shape and type.

For black boxes from files and services, whose preprocessing nothing else carries. Images are (N, C, H, W) in [0, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..checking.parameters import checked
from ..errors import BlackBoxError, ParameterError

Order = Literal["rgb", "bgr"]
ORDERS: tuple[Order, ...] = get_args(Order)


@checked
@dataclass(frozen=True)
class Pixels:
    """What is done to images before a black box gets them: ``(x - mean) / std`` by channel, order, layout.

    Attributes:
        mean, std: one value, or one per channel in the order in which the black box gets them; empty: 0 and 1.
        channel_order: ``"rgb"``, as images are, or ``"bgr"``.
        channels_last: (N, H, W, C) instead of (N, C, H, W).

    Raises:
        ParameterError: no finite numbers, a ``std`` that is not positive, another order, or mean and std of different
            lengths.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channel_order: Order = "rgb"
    channels_last: bool = False

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not all(math.isfinite(v) and (v > 0 or name == "mean") for v in values):
                raise ParameterError(
                    f"got {name} {list(values)}; expected finite numbers{' above 0' if name == 'std' else ''}, of "
                    "pixels in [0, 1]; look how the classifier's training images were normalised"
                )
        if len({len(values) for values in (self.mean, self.std) if len(values) > 1}) > 1:
            raise ParameterError(
                f"got {len(self.mean)} values of mean and {len(self.std)} of std; expected one each, or one per "
                "channel; give as many of both"
            )

    @property
    def normalised(self) -> bool:
        return bool(self.mean or self.std)

    def __bool__(self) -> bool:
        """Whether anything is done at all."""
        return self.normalised or self.channel_order != "rgb" or self.channels_last

    def check(self, channels: int) -> None:
        """An error where the options do not fit images of this many channels."""
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (0, 1, channels):
                raise ParameterError(
                    f"got {len(getattr(self, name))} values of {name} for images of {channels} channels; expected 1 "
                    f"or {channels}; give one per channel"
                )
        if self.channel_order != "rgb" and channels != 3:
            raise ParameterError(
                f"got channel order {self.channel_order!r} for images of {channels} channels; expected colour images; "
                "leave the option out"
            )

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, H, W), or (N, H, W, C) where channels come last. Gradients flow through."""
        self.check(images.shape[1])
        if self.channel_order == "bgr":
            images = images.flip(1)
        if self.mean:
            images = images - images.new_tensor(self.mean)[:, None, None]
        if self.std:
            images = images / images.new_tensor(self.std)[:, None, None]
        return images.permute(0, 2, 3, 1) if self.channels_last else images


def numbers(text: str | float | Sequence[float] | None, name: str) -> tuple[float, ...]:
    """``"0.5,0.4"``, a number or a sequence of numbers as a tuple; empty for None."""
    values: Any = text.split(",") if isinstance(text, str) else text
    try:
        return (
            ()
            if values is None
            else tuple(float(v) for v in ([values] if isinstance(values, (int, float)) else values))
        )
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"got {name} {text!r}; expected numbers, one or one per channel, such as 0.485,0.456,0.406; write a dot in "
            "a number and a comma between two"
        ) from error


def as_input(images: Tensor, shape: Sequence[int | None], dtype: torch.dtype) -> Tensor:
    """Images after :class:`Pixels` in the shape and type of a network's input.

    Args:
        images: (N, ...) floats.
        shape: of the input without N; None for a size that may be any. One number: flattened images. Two: images
            without their only channel.
        dtype: of the input; for ``uint8``, pixels from 0 to 255.

    Raises:
        BlackBoxError: the shapes differ.
    """
    given = tuple(images.shape[1:])
    values = images
    if len(shape) == 1:
        values = images.flatten(1)
    elif len(shape) == 2 and 1 in (given[0], given[-1]):
        values = images.squeeze(1 if given[0] == 1 else -1)
    fits = len(shape) == values.ndim - 1 and all(a in (None, b) for a, b in zip(shape, values.shape[1:], strict=True))
    if not fits:
        raise BlackBoxError(
            f"got a black box whose input is {_shape(shape)} and images of {_shape(given)}; expected the same; "
            f"{_way_out(given, shape)}"
        )
    if dtype == torch.uint8:
        return (values * 255).round().clamp(0, 255).to(torch.uint8).contiguous()
    return values.to(dtype).contiguous()


def _shape(shape: Sequence[int | None]) -> str:
    return f"({', '.join(['N', *('any' if n is None else str(n) for n in shape)])})"


def _way_out(given: Sequence[int], shape: Sequence[int | None]) -> str:
    if len(given) == len(shape) == 3:
        for moved, what in (
            ((given[1], given[2], given[0]), "pass --channels-last (channels_last=True)"),
            ((given[2], given[0], given[1]), "leave out --channels-last (channels_last=True)"),
        ):
            if all(a in (None, b) for a, b in zip(shape, moved, strict=True)):
                return what
    return "use an autoencoder for images of that shape, or a function that converts them (package.module:function)"
