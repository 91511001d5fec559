"""The records of data sets: what a data set is, and the images of one split."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from torch import Tensor

from .files import File
from .readers import Arrays, Split

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class ImageSet:
    """The images of one split.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, each in 0..K-1.
        class_names: K names.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """One data set.

    Attributes:
        name: its key in ``DATASETS``.
        title: its name in print.
        image_shape: (C, H, W).
        class_names: K names, in the order of the labels.
        licence: of the images.
        source: who made it, and where it is described.
        sizes: number of images in each split.
        splitting: how the splits were made, in words.
        read: (split, data folder) -> images (N, C, H, W) uint8 and labels (N,) of one split.
        files: path under the data folder -> what it must be; empty where the data come with a library.
        fetch: downloads the files into a data folder; None where nothing can be downloaded.
        preparation: how pictures became pixels, in words; empty where the data set gives them so.
        advice: what else must be known to get the files, as the end of an error.
        drawn: where the images can be drawn by hand, how to make a drawing like them: ``box`` and ``detail`` of
            ``sketches.as_drawn``.
    """

    name: str
    title: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    licence: str
    source: str
    sizes: Mapping[Split, int]
    splitting: str
    read: Callable[[Split, Path], Arrays]
    files: Mapping[str, File] = field(default_factory=dict)
    fetch: Callable[[Path], None] | None = None
    preparation: str = ""
    advice: str = ""
    drawn: tuple[int, int] | None = None


def to_unit(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [0, 1], the one pixel range of this package."""
    return images.float() / 255


def unit_batches(images: Tensor, size: int = 1000) -> Iterator[Tensor]:
    """Images (N, C, H, W) uint8 as float32 in [0, 1], at most ``size`` at a time: a whole split as floats is large."""
    return map(to_unit, images.split(size))
