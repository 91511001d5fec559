"""Shards: files of rows, each of fixed images, written whole or not at all, and read one after another."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..checking.parameters import checked
from ..errors import DataError
from .rows import SCHEMA

FOLDER, EXPLANATIONS = "shards", "explanations"
IN_A_FOLDER = 1000  # files: whoever writes one looks through its folder
_RUN, _SHARD = "abele_run", "abele_shard"  # what a file says of itself
# Floats are split into their bytes, of which the first ones are alike; texts that come again are stored once.
_FLOATS = {pa.float32(), pa.float64()}
_WHAT = (OSError, ValueError, pa.ArrowException, KeyError)  # what damaged bytes lead to


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard of a run lies."""
    return folder / FOLDER / f"{number // IN_A_FOLDER:05d}" / f"{number:08d}.parquet"


def explanation_path(number: int, index: int) -> PurePosixPath:
    """Where the whole explanation of an image of a shard lies in the folder of a run that keeps it."""
    return PurePosixPath(EXPLANATIONS, f"{number:08d}", f"{index}.npz")


def shard_bytes(rows: Sequence[dict[str, Any]], run: str, number: int) -> bytes:
    """The file of one shard: the same rows give the same bytes.

    Args:
        rows: in the order of their images.
        run: what tells this run from any other.
        number: of the shard.
    """
    file = io.BytesIO()
    with pq.ParquetWriter(
        file,
        SCHEMA,
        compression="zstd",
        use_dictionary=[path for path, kind in _LEAVES.items() if kind == pa.string()],
        use_byte_stream_split=[path for path, kind in _LEAVES.items() if kind in _FLOATS],
        write_page_checksum=True,
        write_statistics=False,
        store_schema=False,  # Parquet's own types say it, in half the bytes of a shard's end
    ) as writer:
        writer.write_table(pa.Table.from_pylist(list(rows), SCHEMA))
        writer.add_key_value_metadata({_RUN: run, _SHARD: str(number)})
    return file.getvalue()


def is_whole(path: Path, run: str, number: int, n_rows: int) -> bool:
    """Whether a shard is there, of this run, and as long as it says.

    A file that was cut short has lost its end, which says what it holds. Bytes that have changed are told by the
    checksums of its pages when it is read.
    """
    try:
        with pq.ParquetFile(path) as file:
            said = {_RUN.encode(): run.encode(), _SHARD.encode(): str(number).encode()}
            return said.items() <= (file.metadata.metadata or {}).items() and file.metadata.num_rows == n_rows
    except _WHAT:
        return False


def has_failed(path: Path) -> bool:
    """Whether a shard holds an image that could not be explained."""
    errors = read_shard(path, ["error"])["error"]
    return errors.null_count < len(errors)


@checked
def read_shards(folder: str | Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The shards of a run in their order; no more than one is in memory.

    Args:
        folder: of the run.
        columns: their names; None: all.

    Raises:
        DataError: one is damaged.
    """
    for path in shard_paths(folder):
        yield read_shard(path, columns)


def shard_paths(folder: str | Path) -> list[Path]:
    """The shards that a run's folder holds, in their order."""
    return sorted((Path(folder) / FOLDER).glob("*/*.parquet"))


def read_shard(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One shard.

    Args:
        path: of the file.
        columns: their names, or paths such as ``conditions.list.element.towards``; None: all.

    Raises:
        DataError: it is damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=None if columns is None else list(columns), use_threads=False)
    except _WHAT as error:
        raise DataError(
            f"got {path}, which is damaged ({error}); expected a shard of a run; delete this file, and let "
            "abele explain-dataset make it anew"
        ) from error


def _leaves(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Path of each column as Parquet has it -> its type."""
    found: dict[str, pa.DataType] = {}

    def walk(path: str, kind: pa.DataType) -> None:
        if pa.types.is_list(kind):
            walk(f"{path}.list.element", kind.value_type)
        elif pa.types.is_struct(kind):
            for field in kind:
                walk(f"{path}.{field.name}", field.type)
        else:
            found[path] = kind

    for field in schema:
        walk(field.name, field.type)
    return found


_LEAVES = _leaves(SCHEMA)
