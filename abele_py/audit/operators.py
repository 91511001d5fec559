"""What is exchanged between two images, so that one keeps its object and gets something else of the other.

Each operator knows all images of a pool. It gives recipients the donors' share of what it exchanges, and says where it
cannot be used.
"""

from typing import Any, Protocol

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..latent.space import LatentSpace

_BINS = 64  # of the histogram in which the object is told from the ground
_LEAST = 0.05  # difference from the ground, of [0, 1], that an object has
_LIKE_GROUND = 0.1  # difference of pixels that have one level, of the image's own contrast: dark pictures have little
_UNIFORM = 0.7  # share of the border that has one level, in half of the images at least
_LOW, _HIGH = 0.1, 0.95  # quantiles of the pixels that say how light an image is, and how much contrast it has
_MOST_STRETCHED = 5.0


class Operator(Protocol):
    """Exchanges one thing between images of a pool.

    Attributes:
        name: of it, for programs.
        words: what it exchanges, as "the label follows ..." goes on.
        objection: why it cannot be used on this pool; empty where it can.
    """

    name: str
    words: str
    objection: str

    def exchanged(self, recipients: Tensor, donors: Tensor) -> Tensor:
        """Recipients with what the donors have: numbers (M,) of images, twice, to images (M, C, H, W) in [0, 1]."""

    def direction(self, chosen: Tensor) -> str:
        """How images (N,) bool differ from the others in what is exchanged, in a word; empty where there is none."""


class Ground:
    """All but the largest object: the donor's surroundings, its own object taken out, around the recipient's object.

    The ground's level is the median of an image's border. What differs from it, by more than Otsu's threshold (1979, A
    threshold selection method from gray-level histograms), is an object; the largest, with what it encloses, is kept.

    Args:
        images: (N, C, H, W) in [0, 1].
    """

    name, words = "ground", "what is around the object"

    def __init__(self, images: Tensor) -> None:
        border = torch.cat([images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]], dim=2)
        level = border.median(dim=2).values[..., None]
        low, high = levels_of(images)
        same = ((border - level).abs().mean(dim=1) <= _LIKE_GROUND * (high - low)[:, None]).float().mean(dim=1)
        self.objection = ""
        if float(same.median()) < _UNIFORM:
            self.objection = "the images have no uniform ground from which an object could be told"
            return
        self._images = images
        self._objects = torch.from_numpy(_objects((images - level[..., None]).abs().mean(dim=1).numpy()))
        self._grounds = torch.where(self._objects[:, None], level[..., None], images)

    def exchanged(self, recipients: Tensor, donors: Tensor) -> Tensor:
        return torch.where(self._objects[recipients, None], self._images[recipients], self._grounds[donors])

    def direction(self, chosen: Tensor) -> str:
        return ""


class Level:
    """How light an image is: its dark and its light pixels get the donor's levels, and all between them likewise.

    Args:
        images: (N, C, H, W) in [0, 1].
    """

    name, words, objection = "level", "how light the image is", ""

    def __init__(self, images: Tensor) -> None:
        self._images = images
        low, high = levels_of(images)
        self._low, self._range = low[:, None, None, None], (high - low)[:, None, None, None]

    def exchanged(self, recipients: Tensor, donors: Tensor) -> Tensor:
        stretch = self._range[donors] / self._range[recipients].clamp(min=_LEAST)
        stretch = stretch.clamp(1 / _MOST_STRETCHED, _MOST_STRETCHED)
        return ((self._images[recipients] - self._low[recipients]) * stretch + self._low[donors]).clamp(0, 1)

    def direction(self, chosen: Tensor) -> str:
        light = (self._low + self._range / 2).flatten()
        return "lighter" if float(light[chosen].mean()) > float(light[~chosen].mean()) else "darker"


class Residual:
    """What the autoencoder does not draw: the donor's ``x - decode(encode(x))`` on the recipient's reconstruction.

    An autoencoder that has never seen a mark cannot draw it, wherever it lies.

    Args:
        images: (N, C, H, W) in [0, 1].
        space: of the autoencoder.
    """

    name, words, objection = "residual", "what the autoencoder does not draw of the image", ""

    def __init__(self, images: Tensor, space: LatentSpace) -> None:
        self.drawn = space.decode(space.encode(images))
        self._left = images - self.drawn

    def exchanged(self, recipients: Tensor, donors: Tensor) -> Tensor:
        return (self.drawn[recipients] + self._left[donors]).clamp(0, 1)

    def direction(self, chosen: Tensor) -> str:
        return ""


def levels_of(images: Tensor) -> tuple[Tensor, Tensor]:
    """How light the dark and the light pixels of images (N, C, H, W) are, (N,) each."""
    low, high = torch.quantile(images.flatten(1), torch.tensor([_LOW, _HIGH]), dim=1)
    return low, high


def _objects(differences: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """(N, H, W) differences from the ground to (N, H, W): where the largest object is, and one pixel around it."""
    found = np.zeros(differences.shape, bool)
    around = np.ones((3, 3))
    for difference, place in zip(differences, found, strict=True):
        areas, n = ndimage.label(difference > _threshold(difference), around)
        if n:
            sizes = np.bincount(areas.ravel(), weights=difference.ravel())
            sizes[0] = 0
            place[:] = ndimage.binary_dilation(ndimage.binary_fill_holes(areas == sizes.argmax()), around)
    return found


def _threshold(values: "np.ndarray[Any, Any]") -> float:
    """Otsu's: what separates two groups with the largest variance between them."""
    counts, edges = np.histogram(values, _BINS, (0, 1))
    shares = counts / counts.sum()
    below, mean = shares.cumsum(), (shares * edges[:-1]).cumsum()
    between = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-9)
    return max(float(edges[between.argmax() + 1]), _LEAST)
