"""The file formats of the data sets: files checked against their digests, fetched, and read into arrays.

What is read is data only: no format here can hold code (npz files are read without pickle, CIFAR-10 from its binary
version). Where only an archive has a published digest, the archive is what is kept, checked and read.
"""

import gzip
import tarfile
import zipfile
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

Split = Literal["train", "val", "test"]
Arrays = tuple[np.ndarray, np.ndarray]


def read_digits(split: Split, folder: Path) -> Arrays:
    """Scikit-learn's digits, enlarged; the folder is not needed."""
    images, labels, rows = _digits()
    return images[rows[split]], labels[rows[split]]


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """All of them, 1.4 MB, and which belong to each split."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(np.arange(len(labels)), test_size=300, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=300, stratify=labels[rest], random_state=0)
    rows = {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}
    return enlarge_digits(images.astype(np.int64).reshape(-1, 8, 8)), labels, rows


def enlarge_digits(images: np.ndarray) -> np.ndarray:
    """(N, 8, 8) in 0..16 -> (N, 1, 28, 28) in 0..255, bilinear, in whole numbers: the same bytes on every machine.

    Pixel i of 28 lies at (i + 1/2) * 8/28 - 1/2 = (4 i - 5) / 14 on the axis of 8, so each weight is n/14.
    """
    positions = np.clip(4 * np.arange(28) - 5, 0, 14 * 7)  # clipped: beyond its border the image goes on unchanged
    weights = np.maximum(14 - np.abs(positions[:, None] - 14 * np.arange(8)), 0)
    total = 16 * 14 * 14
    enlarged = (2 * 255 * (weights @ images @ weights.T) + total) // (2 * total)
    return enlarged.astype(np.uint8)[:, None]


def idx_reader(
    train: str, test: str, n_val: int, content: Callable[[Path], bytes] = Path.read_bytes
) -> Callable[[Split, Path], Arrays]:
    """A reader of the idx format of MNIST, 28 x 28 pixels.

    Args:
        train, test: paths up to ``-images-idx3-ubyte`` and ``-labels-idx1-ubyte``.
        n_val: number of training images set apart for ``val``.
        content: path of an unpacked file -> its bytes, which may lie in an archive.
    """

    def read(split: Split, folder: Path) -> Arrays:
        stem = folder / (test if split == "test" else train)
        images = np.frombuffer(content(Path(f"{stem}-images-idx3-ubyte")), np.uint8, offset=16)
        labels = np.frombuffer(content(Path(f"{stem}-labels-idx1-ubyte")), np.uint8, offset=8)
        return set_apart(images.reshape(-1, 1, 28, 28), labels, split, n_val)

    return read


def gzipped(path: Path) -> bytes:
    """Content of a file from its ``.gz`` copy beside it."""
    return gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes())


def read_emnist_letters(split: Split, folder: Path) -> Arrays:
    """Letters from the archive of all of EMNIST: rows and columns set right, labels 1..26 as 0..25."""
    read = idx_reader("EMNIST/raw/emnist-letters-train", "EMNIST/raw/emnist-letters-test", 5000, _from_emnist)
    images, labels = read(split, folder)
    return np.ascontiguousarray(images.swapaxes(2, 3)), labels - 1


def _from_emnist(path: Path) -> bytes:
    with zipfile.ZipFile(path.parent / "gzip.zip") as archive:
        return gzip.decompress(archive.read(f"gzip/{path.name}.gz"))


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


def medmnist_reader(path: str) -> Callable[[Split, Path], Arrays]:
    """A reader of a MedMNIST file, grey (N, H, W) or colour (N, H, W, 3), in its own splits and its own order.

    Args:
        path: of the npz file under the data folder.
    """

    def read(split: Split, folder: Path) -> Arrays:
        with np.load(folder / path, allow_pickle=False) as file:
            images, labels = file[f"{split}_images"], file[f"{split}_labels"].ravel()
        return channels_first(images) if images.ndim == 4 else images[:, None], labels

    return read


def channels_first(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) -> (N, C, H, W) in the same memory, which is overwritten: a split of PathMNIST has a gigabyte."""
    n, h, w, c = images.shape
    moved = images.reshape(n, c, h, w)
    for start in range(0, n, 1000):
        some = slice(start, start + 1000)
        moved[some] = images[some].transpose(0, 3, 1, 2).copy()  # a copy: it is written to where it is read from
    return moved


def read_cifar10(split: Split, folder: Path) -> Arrays:
    """CIFAR-10's binary version: records of one label and 3 x 32 x 32 pixels, channel after channel."""
    every = _cifar10_records(folder / "cifar-10-binary.tar.gz", split == "test")
    records, labels = set_apart(every, every[:, 0], split, 5000)
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


@lru_cache(maxsize=2)  # unpacking takes seconds
def _cifar10_records(path: Path, test: bool) -> np.ndarray:
    names = ["test_batch"] if test else [f"data_batch_{i}" for i in range(1, 6)]
    with tarfile.open(path) as archive:
        members = {Path(member.name).name: member for member in archive if member.isfile()}
        contents = [archive.extractfile(members[f"{name}.bin"]).read() for name in names]  # type: ignore[union-attr]
    return np.frombuffer(b"".join(contents), np.uint8).reshape(-1, 3073)


def read_cifar10_jpeg(split: Split, folder: Path) -> Arrays:
    """A copy of CIFAR-10 as JPEG files (quality 75), all in one npz file."""
    path = folder / "cifar10" / "cifar10_jpeg.npz"
    return set_apart(*_decoded(path, "test" if split == "test" else "train"), split, 5000)


@lru_cache(maxsize=2)  # decoding takes seconds
def _decoded(path: Path, split: str) -> Arrays:
    import torch
    from torchvision.io import decode_jpeg  # the pixels of Pillow in half its time

    with np.load(path, allow_pickle=False) as file:
        content, offsets, labels = (file[f"{split}_{name}"] for name in ("jpeg", "offsets", "labels"))
    files, images = torch.from_numpy(content), np.empty((len(labels), 3, 32, 32), np.uint8)
    for image, (start, end) in zip(images, pairwise(offsets.tolist()), strict=True):
        image[:] = decode_jpeg(files[start:end]).numpy()
    images.setflags(write=False)  # kept for the next split
    return images, labels


def set_apart(images: np.ndarray, labels: np.ndarray, split: Split, n_val: int) -> Arrays:
    """``test`` as it is; of the training images ``n_val``, drawn at random with seed 0, for ``val``; order is kept."""
    if split == "test":
        return images, labels
    # RandomState: the only generator whose numbers numpy promises never to change (NEP 19).
    order = np.random.RandomState(0).permutation(len(labels))
    rows = np.sort(order[:n_val] if split == "val" else order[n_val:])
    return images[rows], labels[rows]
