"""The file formats of the data sets: files checked against their digests, fetched, and read into arrays.

What is read is data only: no format here can hold code (npz files are read without pickle, CIFAR-10 from its binary
version).
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from .errors import DataError

Split = Literal["train", "val", "test"]
Arrays = tuple[np.ndarray, np.ndarray]


class File(NamedTuple):
    """What a file of a data set must be.

    Attributes:
        digests: accepted contents, such as ``("sha256:5b41...",)``.
        size: in bytes; None where several contents are accepted.
    """

    digests: tuple[str, ...]
    size: int | None = None


def check_files(title: str, folder: Path, files: Mapping[str, File], how: str) -> None:
    """Compare every file with its size and its digests, before anything of it is parsed.

    Args:
        title: of the data set, for errors.
        folder: the data folder.
        files: path under the folder -> what it must be.
        how: how to get the files, as the end of an error.

    Raises:
        DataError: a file is missing, or is another one.
    """
    for path, file in files.items():
        full = folder / path
        if not full.is_file():
            raise DataError(
                f"got no file {full}; expected the files of {title} there; pass the folder that holds "
                f"{Path(path).parts[0]} as data_dir (--data-dir, or the environment variable ABELE_DATA_DIR), or {how}"
            )
        size = full.stat().st_size
        if file.size is not None and size != file.size:
            raise DataError(f"got {size} bytes in {full}; expected {file.size}; delete the file and fetch it again")
        content = full.read_bytes()
        if not any(
            hashlib.new(name, content, usedforsecurity=False).hexdigest() == digest
            for name, _, digest in (given.partition(":") for given in file.digests)
        ):
            raise DataError(
                f"got other content in {full}; expected {' or '.join(file.digests)}; delete it and fetch it again"
            )


def read_digits(split: Split, folder: Path) -> Arrays:
    """Scikit-learn's digits, enlarged; the folder is not needed."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(np.arange(len(labels)), test_size=300, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=300, stratify=labels[rest], random_state=0)
    rows = np.sort({"train": train, "val": val, "test": test}[split])
    return enlarge_digits(images[rows].astype(np.int64).reshape(-1, 8, 8)), labels[rows]


def enlarge_digits(images: np.ndarray) -> np.ndarray:
    """(N, 8, 8) in 0..16 -> (N, 1, 28, 28) in 0..255, bilinear, in whole numbers: the same bytes on every machine.

    Pixel i of 28 lies at (i + 1/2) * 8/28 - 1/2 = (4 i - 5) / 14 on the axis of 8, so each weight is n/14.
    """
    positions = np.clip(4 * np.arange(28) - 5, 0, 14 * 7)  # clipped: beyond its border the image goes on unchanged
    weights = np.maximum(14 - np.abs(positions[:, None] - 14 * np.arange(8)), 0)
    total = 16 * 14 * 14
    enlarged = (2 * 255 * (weights @ images @ weights.T) + total) // (2 * total)
    return enlarged.astype(np.uint8)[:, None]


def idx_reader(train: str, test: str, n_val: int) -> Callable[[Split, Path], Arrays]:
    """A reader of the idx format of MNIST, 28 x 28 pixels.

    Args:
        train, test: paths up to ``-images-idx3-ubyte`` and ``-labels-idx1-ubyte``.
        n_val: number of training images set apart for ``val``.
    """

    def read(split: Split, folder: Path) -> Arrays:
        stem = folder / (test if split == "test" else train)
        images = np.fromfile(f"{stem}-images-idx3-ubyte", np.uint8, offset=16).reshape(-1, 1, 28, 28)
        labels = np.fromfile(f"{stem}-labels-idx1-ubyte", np.uint8, offset=8)
        return set_apart(images, labels, split, n_val)

    return read


def read_pneumonia(split: Split, folder: Path) -> Arrays:
    """A MedMNIST file in its own splits, without the training images that occur in another split too.

    Sorted by content: copies of the data set in another order give the same bytes.
    """
    with np.load(folder / "medmnist" / "pneumoniamnist.npz", allow_pickle=False) as file:
        images, labels = file[f"{split}_images"], file[f"{split}_labels"].ravel()
        others = {image.tobytes() for other in ("val", "test") for image in file[f"{other}_images"]}
    if split == "train":
        keep = np.array([image.tobytes() not in others for image in images])
        images, labels = images[keep], labels[keep]
    order = np.lexsort(images.reshape(len(images), -1).T)
    return images[order][:, None], labels[order]


def read_cifar10(split: Split, folder: Path) -> Arrays:
    """CIFAR-10's binary version: records of one label and 3 x 32 x 32 pixels."""
    names = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    paths = [folder / "cifar-10-batches-bin" / f"{name}.bin" for name in names]
    records = np.concatenate([np.fromfile(path, np.uint8).reshape(-1, 3073) for path in paths])
    return set_apart(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0], split, 5000)


@lru_cache(maxsize=2)  # decoding takes ten seconds, and a training asks for every split several times
def _decoded(path: Path, split: str) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        content, offsets, labels = (file[f"{split}_{name}"] for name in ("jpeg", "offsets", "labels"))
    images = [np.asarray(Image.open(io.BytesIO(content[start:end].tobytes()))) for start, end in pairwise(offsets)]
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)), labels


def read_cifar10_jpeg(split: Split, folder: Path) -> Arrays:
    """A copy of CIFAR-10 as JPEG files (quality 75), all in one npz file."""
    path = folder / "cifar10" / "cifar10_jpeg.npz"
    return set_apart(*_decoded(path, "test" if split == "test" else "train"), split, 5000)


def set_apart(images: np.ndarray, labels: np.ndarray, split: Split, n_val: int) -> Arrays:
    """``test`` as it is; of the training images ``n_val``, drawn at random with seed 0, for ``val``; order is kept."""
    if split == "test":
        return images, labels
    # RandomState: the only generator whose numbers numpy promises never to change (NEP 19).
    order = np.random.RandomState(0).permutation(len(labels))
    rows = np.sort(order[:n_val] if split == "val" else order[n_val:])
    return images[rows], labels[rows]
