"""What a pixel becomes when its information is taken away: the baselines of perturbations and of deletion curves."""

from typing import Literal

import torch
from scipy import ndimage
from torch import Tensor

from ..checking.parameters import checked
from ..checking.shapes import Image
from ..errors import unknown_name

Baseline = Literal["zero", "mean", "blur"]
BASELINES: tuple[Baseline, ...] = ("zero", "mean", "blur")


@checked
def baseline_of(image: Image, kind: Baseline) -> Tensor:
    """What a pixel becomes when its information is taken away.

    Args:
        image: (C, H, W) in [0, 1].
        kind: ``"zero"``; ``"mean"``, of each channel of the image; or ``"blur"``, a Gaussian of 11 x 11 pixels with
            sigma = 5 pixels at mirrored borders (Petsiuk et al. 2018, RISE).

    Returns:
        (C, H, W) in [0, 1].

    Raises:
        UnknownNameError: another kind.
    """
    if kind == "zero":
        return torch.zeros_like(image)
    if kind == "mean":
        return image.mean(dim=(1, 2), keepdim=True).expand_as(image).clone()
    if kind == "blur":
        blurred = ndimage.gaussian_filter(image.double().numpy(), (0, 5, 5), mode="mirror", radius=(0, 5, 5))
        return torch.from_numpy(blurred).float().clamp(0, 1)
    raise unknown_name("baseline", kind, BASELINES)
