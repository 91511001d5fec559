"""Files are written whole or not at all; arrays and JSON go into one ``.npz`` format, which runs no code when read."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


def write_atomically(path: Path, write: Callable[[Any], Any]) -> None:
    """Write a whole file or none: into a temporary file beside it, which then takes its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
    texts = {name: np.array(json.dumps(record, allow_nan=False)) for name, record in records.items()}
    members: dict[str, Any] = texts | {name: np.asarray(array) for name, array in arrays.items()}
    save = np.savez_compressed if compressed else np.savez
    write_atomically(path, lambda file: save(file, **members))


def read_npz(path: str | Path, *records: str) -> tuple[dict[str, np.ndarray], list[Any]]:
    """The arrays of an ``.npz`` of :func:`write_npz`, and the records of these names, in their order.

    Raises:
        Exception: whatever missing, damaged or foreign bytes lead to in zip, zlib, numpy and JSON. The caller knows
            what the file should be, and says so.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name not in records}
        return arrays, [json.loads(str(file[name])) for name in records]
