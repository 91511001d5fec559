"""Files are written whole or not at all, and read within bounds.

Arrays and JSON go into one ``.npz`` format, which runs no code when it is read.
"""

import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import PlaceError
from .places import sweep, temporary
from .reading import in_words, open_regular, open_zip, parse_json


def write_atomically(path: Path, write: Callable[[Any], Any]) -> None:
    """Write a whole file or none: into a hidden file beside it, which takes its name once it is safely on the disk.

    A regular file is replaced, and keeps its mode; a new one gets the mode that the user's umask leaves. What killed
    processes have left of this in the folder is removed.

    Raises:
        PlaceError: a link, a folder, a device or a write-protected file has the name.
        OSError: the file cannot be written.
    """
    path = Path(path)
    check_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    with temporary(path) as (place, file):
        write(file)
        file.flush()
        with suppress(FileNotFoundError):
            os.chmod(place, stat.S_IMODE(path.stat().st_mode))
        os.fsync(file.fileno())
        if os.name != "posix":  # where an open file cannot be renamed
            file.close()
        os.replace(place, path)
    sync(path.parent)


def check_file(path: Path) -> None:
    """Refuse a name that is none of a new file, nor of one that can be replaced.

    Raises:
        PlaceError: a link, a folder, a device or a write-protected file has it.
        OSError: no file can have it.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except ValueError as error:
        raise PlaceError(f"got {str(path)!r}; expected a name without a NUL byte; choose another") from error
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a write-protected file"}
    if not stat.S_ISREG(mode) or not mode & 0o222:
        raise PlaceError(
            f"got {path}, which is {kinds.get(stat.S_IFMT(mode), 'a device or pipe')}; expected a free name or a file "
            "to replace; choose another"
        )


def sync(folder: Path) -> None:
    """See to it that the names in a folder outlive a power cut, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """:func:`write_atomically` of what is there already."""
    write_atomically(path, lambda file: file.write(content))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically, indented for people; NaN and infinity are refused."""
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def write_npz(
    path: Path, arrays: Mapping[str, Tensor | np.ndarray], records: Mapping[str, Any], compressed: bool = True
) -> None:
    """Write arrays under their own names, and all else as JSON under others, to an ``.npz`` (atomically).

    Args:
        path: the file.
        arrays: name -> array.
        records: name -> what JSON can say; stored as a text.
        compressed: smaller, and slower to write.
    """
    write_atomically(path, lambda file: _save(file, arrays, records, compressed))


def npz_bytes(arrays: Mapping[str, Tensor | np.ndarray], records: Mapping[str, Any]) -> bytes:
    """The content of the file that :func:`write_npz` writes: the same for the same arrays and records."""
    file = io.BytesIO()
    _save(file, arrays, records, True)
    return file.getvalue()


def _save(file: Any, arrays: Mapping[str, Tensor | np.ndarray], records: Mapping[str, Any], compressed: bool) -> None:
    texts = {name: np.array(json.dumps(record, allow_nan=False)) for name, record in records.items()}
    members: dict[str, Any] = texts | {name: np.asarray(array) for name, array in arrays.items()}
    (np.savez_compressed if compressed else np.savez)(file, **members)


def read_npz(path: str | Path, *records: str) -> tuple[dict[str, np.ndarray], list[Any]]:
    """The arrays of an ``.npz`` of :func:`write_npz`, and the records of these names, in their order.

    Raises:
        Exception: whatever missing, damaged, oversized or foreign bytes lead to in zip, zlib, numpy and JSON. The
            caller knows what the file should be, and says so.
    """
    found = read_arrays(path)
    return {name: found[name] for name in found if name not in records}, [
        parse_json(str(found[name])) for name in records
    ]


def same_arrays(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two sets of named arrays are equal in every name, type, shape and bit."""
    return first.keys() == second.keys() and all(
        (a.dtype, a.shape) == (b.dtype, b.shape) and a.numpy().tobytes() == b.numpy().tobytes()
        for a, b in ((first[name], second[name]) for name in first)
    )


# Arrays, read within bounds


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, by their names, if it takes no more memory than its size on disk explains.

    Raises:
        OSError, ValueError, Exception: it is no such file, it is damaged or too large, or it holds Python objects.
    """
    with open_regular(path) as file, open_zip(file) as archive:
        return {info.filename.removesuffix(".npy"): _member(archive, info) for info in archive.infolist()}


def read_array(path: str | Path) -> np.ndarray:
    """The array of an ``.npy``; raises as :func:`read_arrays`."""
    with open_regular(path) as file:
        return _array(file, os.fstat(file.fileno()).st_size)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(info) as member:
            return _array(member, info.file_size)
    except ObjectsError as error:
        raise ObjectsError(f"{error} in the array {info.filename.removesuffix('.npy')}") from None


class ObjectsError(ValueError):
    """An array holds Python objects, which could hold code."""


def _array(file: Any, size: int) -> np.ndarray:
    """An array of numbers or text, if as many bytes follow its header as it declares.

    Args:
        file: at its beginning.
        size: bytes of the file.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"its format of arrays is {version}")
    shape, fortran_order, dtype = _HEADERS[version](file)  # numpy bounds the header itself: 10,000 characters
    if dtype.hasobject:
        raise ObjectsError("Python objects")
    declared, given = math.prod(shape) * dtype.itemsize, size - file.tell()
    if declared > given:
        raise ValueError(f"it declares {in_words(declared)} of {dtype} {shape}, and {in_words(given)} follow")
    content = np.empty(declared, np.uint8)
    rest = content.data
    while rest:
        n = file.readinto(rest[:_AT_ONCE])
        if not n:
            raise ValueError("it ends too early")
        rest = rest[n:]
    flat = content.view(dtype) if dtype.itemsize else content[: math.prod(shape)].astype(dtype)  # texts of no letters
    return flat.reshape(shape[::-1]).T if fortran_order else flat.reshape(shape)


_HEADERS: dict[tuple[int, int], Callable[[Any], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_AT_ONCE = 2**24  # bytes: a zip is unpacked in pieces
