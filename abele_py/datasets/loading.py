"""The data sets: one record each, read into uint8 tensors in three fixed splits.

Autoencoders and black boxes learn from ``train``, choices and calibration use ``val``, explanations and figures use
``test``. No other file asks which data set it is: what differs between data sets is in this table.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checking.parameters import checked
from ..errors import ParameterError, unknown_name
from .catalog import DATASETS
from .files import check_files, fetch_files
from .prepared_images import own_record
from .records import SPLITS, Dataset, ImageSet, to_unit


@checked
def dataset_of(name: str) -> Dataset:
    """The record of a data set.

    Args:
        name: a key of ``DATASETS``, or the path of a user's prepared images, which ends in ``.npz``.

    Raises:
        UnknownNameError: no such data set.
        DataError: the file is missing, or not what ``own_images.import_images`` writes.
    """
    if name.endswith(".npz"):
        return Dataset(**own_record(name))
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    return DATASETS[name]


@checked
def prepare(name: str, data_dir: str | Path | None = None, download: bool = False) -> None:
    """Fetch what is missing, if ``download``, and check the files; arguments and errors as of ``load_split``."""
    dataset, folder = dataset_of(name), data_folder(data_dir)
    if download and dataset.fetch and not all((folder / path).is_file() for path in dataset.files):
        fetch_files(dataset.title, folder, dataset.files, dataset.fetch)
    check_files(dataset.title, folder, dataset.files, how_to_get(dataset))


def how_to_get(dataset: Dataset) -> str:
    """How to get the files of a data set, in words."""
    fetched = "let them be fetched: the same command with --download (in Python: download=True)"
    return "; ".join(filter(None, (fetched if dataset.fetch else "", dataset.advice)))


@checked
def load_split(name: str, split: str, data_dir: str | Path | None = None, download: bool = False) -> ImageSet:
    """Read one split of a data set.

    Args:
        name: a key of ``DATASETS``, or the path of prepared images, see ``dataset_of``.
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
    images = np.require(images, requirements=["C", "W"])  # a tensor of its own; no copy where it is already
    return ImageSet(torch.from_numpy(images), torch.from_numpy(labels.astype("int64")), dataset.class_names)


@checked
def load_image(spec: str, data_dir: str | Path | None = None, download: bool = False) -> Tensor:
    """One image of a data set, (C, H, W) float32 in [0, 1].

    Args:
        spec: ``DATASET:SPLIT:INDEX``, such as ``"digits:test:7"`` or ``"runs/shapes-data.npz:test:7"``.
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
