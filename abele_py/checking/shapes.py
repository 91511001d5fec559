"""Tensors by their axes, for the signatures of functions that are `checked`."""

from typing import Annotated

from torch import Tensor

from .parameters import Axes

Image = Annotated[Tensor, Axes("C H W")]
Images = Annotated[Tensor, Axes("N C H W")]
Values = Annotated[Tensor, Axes("N")]  # labels, scores of one class, weights
Vector = Annotated[Tensor, Axes("k")]
Rows = Annotated[Tensor, Axes("N k")]
