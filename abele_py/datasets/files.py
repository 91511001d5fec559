"""The files of a data set: fetched whole or not at all, and checked by size and digest."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ..errors import DataError, PlaceError
from ..storage.places import LOCK, alone


class File(NamedTuple):
    """What a file of a data set must be.

    Attributes:
        digests: accepted contents, such as ``("sha256:5b41...",)``.
        size: in bytes; None where several contents are accepted.
    """

    digests: tuple[str, ...]
    size: int | None = None


def fetch_files(title: str, folder: Path, files: Mapping[str, File], fetch: Callable[[Path], None]) -> None:
    """Download files into a folder of their own, and move them to their places once they are whole.

    So an interrupted download leaves nothing that counts as present, and two processes may fetch at once. What a killed
    one has left is removed. A file that is there already is kept, whatever it holds.

    Args:
        title: of the data set, for errors.
        folder: the data folder; made if it is not there.
        files: path under the folder -> what it must be.
        fetch: downloads the files into the folder that it is given, and compares them with their md5.

    Raises:
        DataError: no connection, another content than expected, or an unwritable folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with TemporaryDirectory(prefix=".download-", dir=folder) as new, alone(Path(new), "download"):
            fetch(Path(new))
            for path in [path for path in files if not os.path.lexists(folder / path)]:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(new) / path, folder / path)
    except (OSError, RuntimeError, HTTPException) as error:  # RuntimeError: torchvision's for a wrong md5
        raise DataError(
            f"got no download of {title} into {folder} ({error}); expected it to be fetched; check the connection and "
            f"the folder, or put there yourself: {', '.join(files)}"
        ) from error


def _sweep(folder: Path) -> None:
    for place in folder.glob(".download-*"):
        if os.path.lexists(place / f".download{LOCK}"):  # made by us, and not ended by us
            with suppress(PlaceError), alone(place, "download"):  # else a living process is loading into it
                shutil.rmtree(place)


def fetch_url(path: str, url: str, md5: str) -> Callable[[Path], None]:
    """A function that downloads one file to its path under a data folder, and compares it with its md5."""

    def fetch(folder: Path) -> None:
        from torchvision.datasets.utils import download_url

        full = folder / path
        download_url(url, str(full.parent), full.name, md5)

    return fetch


def fetch_with_torchvision(name: str) -> Callable[[Path], None]:
    """A function that downloads with torchvision's class of that name, which compares the archives with their md5."""

    def fetch(folder: Path) -> None:
        import torchvision.datasets

        getattr(torchvision.datasets, name)(str(folder), download=True)

    return fetch


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
                f"{Path(path).parts[0]} as data_dir (--data-dir DIR, or the environment variable ABELE_DATA_DIR), "
                f"or {how}"
            )
        stat = full.stat()
        if file.size is not None and stat.st_size != file.size:
            raise DataError(f"got {stat.st_size} bytes in {full}; expected {file.size}; delete it and fetch it again")
        if not any(
            _digest(full, stat.st_size, stat.st_mtime_ns, name) == digest
            for name, _, digest in (given.partition(":") for given in file.digests)
        ):
            raise DataError(
                f"got other content in {full}; expected {' or '.join(file.digests)}; delete it and fetch it again"
            )


@lru_cache(maxsize=256)  # a training asks for every split several times, and EMNIST takes a second
def _digest(path: Path, size: int, modified: int, name: str) -> str:
    """Of a file as it is now: a file of another size or time of modification is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()
