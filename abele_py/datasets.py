"""The data sets: one record each, read into uint8 tensors in three fixed splits.

Autoencoders and black boxes learn from ``train``, choices and calibration use ``val``, explanations and figures use
``test``. No other file asks which data set it is: what differs between data sets is in this table.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from .errors import DataError, ParameterError, unknown_name

Split = Literal["train", "val", "test"]
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


class File(NamedTuple):
    """Size in bytes and sha256 that a file of a data set must have."""

    size: int
    sha256: str


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
        read: (split, data_dir, download) -> images (N, C, H, W) uint8 and labels (N,) of one split.
        files: path under the data folder -> size and hash; empty where the data come with a library.
    """

    name: str
    title: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    licence: str
    source: str
    sizes: Mapping[Split, int]
    splitting: str
    read: Callable[[Split, Path, bool], tuple[np.ndarray, np.ndarray]]
    files: Mapping[str, File] = field(default_factory=dict)


def load_split(name: str, split: str, data_dir: str | Path | None = None, download: bool = False) -> ImageSet:
    """Read one split of a data set.

    Args:
        name: a key of ``DATASETS``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        data_dir: folder that holds the data sets; default: the environment variable ABELE_DATA_DIR, else
            ``~/.cache/abele_py``.
        download: fetch missing files into ``data_dir`` first.

    Raises:
        UnknownNameError: no such data set or split.
        DataError: files are missing, damaged or cannot be downloaded.
    """
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    dataset = DATASETS[name]
    images, labels = dataset.read(split, data_folder(data_dir), download)
    return ImageSet(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)), dataset.class_names)


def load_image(spec: str, data_dir: str | Path | None = None, download: bool = False) -> Tensor:
    """One image of a data set, (C, H, W) float32 in [0, 1].

    Args:
        spec: ``DATASET:SPLIT:INDEX``, such as ``"digits:test:7"``.
        data_dir, download: as in ``load_split``.

    Raises:
        ParameterError: the specification is of another form, or the index out of range.
        UnknownNameError, DataError: as in ``load_split``.
    """
    name, split, index = spec.split(":") if spec.count(":") == 2 else (spec, "", "")
    if not index.isdecimal():
        raise ParameterError(f"got {spec!r}; expected DATASET:SPLIT:INDEX, such as digits:test:7")
    images = load_split(name, split, data_dir, download)
    if int(index) >= len(images):
        raise ParameterError(f"got index {index}; expected 0 to {len(images) - 1} in {name}:{split}")
    return to_unit(images.images[int(index)])


def data_folder(data_dir: str | Path | None = None) -> Path:
    """The folder of the data sets: the argument, else ABELE_DATA_DIR, else ``~/.cache/abele_py``."""
    return Path(data_dir or os.environ.get("ABELE_DATA_DIR") or "~/.cache/abele_py").expanduser()


def to_unit(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [0, 1], the one pixel range of this package."""
    return images.float() / 255


def _read_digits(split: Split, data_dir: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(np.arange(len(labels)), test_size=300, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=300, stratify=labels[rest], random_state=0)
    rows = np.sort({"train": train, "val": val, "test": test}[split])
    return _enlarge_digits(images[rows].astype(np.int64).reshape(-1, 8, 8)), labels[rows]


def _enlarge_digits(images: np.ndarray) -> np.ndarray:
    """(N, 8, 8) in 0..16 -> (N, 1, 28, 28) in 0..255, bilinear, in whole numbers: the same bytes on every machine.

    Pixel i of 28 lies at (i + 1/2) * 8/28 - 1/2 = (4 i - 5) / 14 on the axis of 8, so each weight is n/14.
    """
    positions = np.clip(4 * np.arange(28) - 5, 0, 14 * 7)  # clipped: beyond its border the image goes on unchanged
    weights = np.maximum(14 - np.abs(positions[:, None] - 14 * np.arange(8)), 0)
    total = 16 * 14 * 14
    enlarged = (2 * 255 * (weights @ images @ weights.T) + total) // (2 * total)
    return enlarged.astype(np.uint8)[:, None]


def _read_mnist(split: Split, data_dir: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    from torchvision.datasets import MNIST

    if download and any(not (data_dir / path).is_file() for path in _MNIST_FILES):
        try:
            MNIST(str(data_dir), download=True)
        except (OSError, RuntimeError) as error:  # torchvision: no connection, a wrong md5, an unwritable folder
            raise DataError(
                f"got no download of MNIST into {data_dir} ({error}); expected torchvision to fetch it; check the "
                f"connection and the folder, or put the unpacked files into {data_dir / 'MNIST' / 'raw'}"
            ) from error
    _check_files("MNIST", data_dir, _MNIST_FILES)
    mnist = MNIST(str(data_dir), train=split != "test", download=False)
    images, labels = mnist.data.numpy()[:, None], mnist.targets.numpy()
    if split == "test":
        return images, labels
    # RandomState: the only generator whose numbers numpy promises never to change (NEP 19).
    order = np.random.RandomState(0).permutation(len(labels))
    rows = np.sort(order[:5000] if split == "val" else order[5000:])
    return images[rows], labels[rows]


def _check_files(title: str, data_dir: Path, files: Mapping[str, File]) -> None:
    for path, file in files.items():
        full = data_dir / path
        if not full.is_file():
            raise DataError(
                f"got no file {full}; expected the files of {title} there; pass the folder that holds "
                f"{Path(path).parts[0]} as data_dir (--data-dir, or the environment variable ABELE_DATA_DIR), or pass "
                "download=True (--download)"
            )
        size = full.stat().st_size
        if size != file.size:
            raise DataError(f"got {size} bytes in {full}; expected {file.size}; delete the file and fetch it again")
        if hashlib.sha256(full.read_bytes()).hexdigest() != file.sha256:
            raise DataError(f"got other content in {full}; expected sha256 {file.sha256}; delete it and fetch it again")


_MNIST_FILES = {
    "MNIST/raw/train-images-idx3-ubyte": File(
        47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "MNIST/raw/train-labels-idx1-ubyte": File(
        60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "MNIST/raw/t10k-images-idx3-ubyte": File(
        7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "MNIST/raw/t10k-labels-idx1-ubyte": File(10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
_TEN_DIGITS = tuple("0123456789")

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="digits",
            title="Digits (8x8, enlarged to 28x28)",
            image_shape=(1, 28, 28),
            class_names=_TEN_DIGITS,
            licence="CC BY 4.0",
            source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning "
            "Repository, 1998, doi 10.24432/C50P49; the copy embedded in scikit-learn",
            sizes={"train": 1197, "val": 300, "test": 300},
            splitting="stratified by class with scikit-learn's train_test_split, random_state 0: 300 test, 300 val",
            read=_read_digits,
        ),
        Dataset(
            name="mnist",
            title="MNIST",
            image_shape=(1, 28, 28),
            class_names=_TEN_DIGITS,
            licence="CC BY-SA 3.0",
            source="Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits; LeCun, Bottou, "
            "Bengio, Haffner: Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998",
            sizes={"train": 55000, "val": 5000, "test": 10000},
            splitting="test: the official one; val: 5,000 of the official training images, the first of "
            "numpy.random.RandomState(0).permutation(60000); train: the other 55,000",
            read=_read_mnist,
            files=_MNIST_FILES,
        ),
    )
}
