"""The data sets: one record each, read into uint8 tensors in three fixed splits.

Autoencoders and black boxes learn from ``train``, choices and calibration use ``val``, explanations and figures use
``test``. No other file asks which data set it is: what differs between data sets is in this table.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from .errors import DataError, ParameterError, unknown_name
from .readers import (
    Arrays,
    File,
    Split,
    check_files,
    idx_reader,
    read_cifar10_jpeg,
    read_digits,
    read_pneumonia,
)

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


def dataset_of(name: str) -> Dataset:
    """The record of a data set; raises UnknownNameError."""
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    return DATASETS[name]


def prepare(name: str, data_dir: str | Path | None = None, download: bool = False) -> None:
    """Fetch what is missing, if ``download``, and check the files; arguments and errors as of ``load_split``."""
    dataset, folder = dataset_of(name), data_folder(data_dir)
    if download and dataset.fetch and not all((folder / path).is_file() for path in dataset.files):
        try:
            dataset.fetch(folder)
        except (OSError, RuntimeError) as error:  # torchvision: no connection, a wrong md5, an unwritable folder
            raise DataError(
                f"got no download of {dataset.title} into {folder} ({error}); expected it to be fetched; check the "
                f"connection and the folder, or put there yourself: {', '.join(dataset.files)}"
            ) from error
    how = "pass download=True (--download)" if dataset.fetch else f"get them from where they are: {dataset.source}"
    check_files(dataset.title, folder, dataset.files, how)


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
    dataset = dataset_of(name)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    prepare(name, data_dir, download)
    images, labels = dataset.read(split, data_folder(data_dir))
    return ImageSet(torch.from_numpy(images), torch.from_numpy(labels.astype("int64")), dataset.class_names)


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


def _through_torchvision(name: str, **options: str) -> Callable[[Path], None]:
    """Downloads a data set with torchvision's class of that name, which compares the archives with their md5."""

    def fetch(folder: Path) -> None:
        import torchvision.datasets

        getattr(torchvision.datasets, name)(str(folder), download=True, **options)

    return fetch


_MNIST_FILES = {
    "MNIST/raw/train-images-idx3-ubyte": File(
        ("sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",), 47040016
    ),
    "MNIST/raw/train-labels-idx1-ubyte": File(
        ("sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",), 60008
    ),
    "MNIST/raw/t10k-images-idx3-ubyte": File(
        ("sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",), 7840016
    ),
    "MNIST/raw/t10k-labels-idx1-ubyte": File(
        ("sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",), 10008
    ),
}
_FASHION_FILES = {
    "FashionMNIST/raw/train-images-idx3-ubyte": File(
        ("sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",), 47040016
    ),
    "FashionMNIST/raw/train-labels-idx1-ubyte": File(
        ("sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",), 60008
    ),
    "FashionMNIST/raw/t10k-images-idx3-ubyte": File(
        ("sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",), 7840016
    ),
    "FashionMNIST/raw/t10k-labels-idx1-ubyte": File(
        ("sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",), 10008
    ),
}
_FIRST_5000 = (
    "test: the official one; val: 5,000 of the official training images, the first of "
    "numpy.random.RandomState(0).permutation({}); train: the other {}"
)
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
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
            read=read_digits,
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
            splitting=_FIRST_5000.format(60000, "55,000"),
            read=idx_reader("MNIST/raw/train", "MNIST/raw/t10k", 5000),
            files=_MNIST_FILES,
            fetch=_through_torchvision("MNIST"),
        ),
        Dataset(
            name="fashion-mnist",
            title="Fashion-MNIST",
            image_shape=(1, 28, 28),
            class_names=(
                *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
                *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
            ),
            licence="MIT, copyright 2017 Zalando SE",
            source="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine "
            "learning algorithms, arXiv 1708.07747",
            sizes={"train": 55000, "val": 5000, "test": 10000},
            splitting=_FIRST_5000.format(60000, "55,000"),
            read=idx_reader("FashionMNIST/raw/train", "FashionMNIST/raw/t10k", 5000),
            files=_FASHION_FILES,
            fetch=_through_torchvision("FashionMNIST"),
        ),
        Dataset(
            name="pneumoniamnist",
            title="PneumoniaMNIST",
            image_shape=(1, 28, 28),
            class_names=("normal", "pneumonia"),
            licence="CC BY 4.0; not for clinical use",
            source="J. Yang, R. Shi, D. Wei, Z. Liu, L. Zhao, B. Ke, H. Pfister, B. Ni: MedMNIST v2, Scientific Data "
            "10, 41, 2023, https://zenodo.org/records/10519652; X-rays of D. S. Kermany et al., Cell 172(5), 2018",
            sizes={"train": 4698, "val": 524, "test": 624},
            splitting="MedMNIST's own; without the 10 training images that occur in val too",
            read=read_pneumonia,
            files={
                "medmnist/pneumoniamnist.npz": File(
                    (
                        "md5:28209eda62fecd6e6a2d98b1501bb15f",  # the official file
                        # the same images, the training images in another order
                        "sha256:194a7199bf9cbb2dd7f140ebd73fc4c2fa71f44049d84a8b5269dbbcf648ad48",
                    )
                )
            },
        ),
        Dataset(
            name="cifar10-jpeg",
            title="CIFAR-10 (JPEG quality 75)",
            image_shape=(3, 32, 32),
            class_names=_CIFAR_CLASSES,
            licence="none stated; public for research, the technical report is to be cited",
            source="A. Krizhevsky: Learning multiple layers of features from tiny images, technical report, University "
            "of Toronto, 2009; a lossy copy as JPEG files, not to be set beside figures of the original",
            sizes={"train": 45000, "val": 5000, "test": 10000},
            splitting=_FIRST_5000.format(50000, "45,000"),
            read=read_cifar10_jpeg,
            files={
                "cifar10/cifar10_jpeg.npz": File(
                    ("sha256:b0532683caa71fd63b490d4479baa49a19a9998bea779b41d4a75d8bc3dda007",), 18542313
                )
            },
        ),
    )
}
