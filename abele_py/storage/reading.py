"""Files of others, read within bounds: only files, of a known size, unpacked and nested only so far.

What is read may come from anybody. What it takes in memory is known before it is taken, and nothing here waits for what
never comes. No library is needed for it.
"""

import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

MOST_TEXT = 64 * 2**20  # bytes of a file of JSON
MOST_CONTENT = 8 * 2**30  # bytes of any other file that is read as a whole
MOST_MEMBERS = 100_000  # of a zip
SMALL = 256 * 2**20  # what any zip may unpack to; more only as far as RATIO allows
RATIO = 100  # arrays of pictures shrink to a tenth, some masks to a fiftieth
DEEPEST = 200  # brackets within brackets in JSON


def open_regular(path: str | Path, most: int = MOST_CONTENT) -> BinaryIO:
    """Open a file for reading, if it is one: a pipe, a device or a socket could block, or never end.

    Args:
        path: the file, or a link to one.
        most: bytes that it may have.

    Raises:
        OSError: there is none, it is something else, or it cannot be read.
        ValueError: it has more bytes.
    """
    check_regular(path, most)
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")


def check_regular(path: str | Path, most: int = MOST_CONTENT) -> None:
    """As :func:`open_regular`, for a library that opens the file itself."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"it is {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not a file")
    if found.st_size > most:
        raise ValueError(f"it has {in_words(found.st_size)}, more than {in_words(most)}")


def read_regular(path: str | Path, most: int = MOST_CONTENT) -> bytes:
    """The bytes of a file; raises as :func:`open_regular`."""
    with open_regular(path, most) as file:
        size = min(os.fstat(file.fileno()).st_size, most)
        content = file.read(size + 1)  # what is asked for is taken from memory at once: no more than the file has
        if len(content) > size:  # it has grown
            content += file.read(most)
    if len(content) > most:
        raise ValueError(f"it has more than {in_words(most)}")
    return content


def read_json(path: str | Path, most: int = MOST_TEXT) -> Any:
    """What a file of JSON holds; raises as :func:`read_regular` and :func:`parse_json`."""
    return parse_json(read_regular(path, most))


def parse_json(text: str | bytes) -> Any:
    """What a text of JSON holds.

    Raises:
        ValueError: it is none, or is nested so deeply that whoever follows it would run out of stack.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [value]
    for _ in range(DEEPEST):
        level = [v for v in level if isinstance(v, (dict, list))]
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """A zip whose members, all together, unpack to no more than its size explains.

    No member gives more bytes than it declares, which :mod:`zipfile` sees to; so the sum of these is what it can take.

    Raises:
        zipfile.BadZipFile, OSError: it is none.
        ValueError: it unpacks to too much, has too many members, or packs them in a way that cannot be bounded.
    """
    on_disk = file.seek(0, os.SEEK_END)
    archive = zipfile.ZipFile(file)
    try:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise ValueError(f"it has {len(members)} parts, more than {MOST_MEMBERS}")
        if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in members):
            raise ValueError("it is packed otherwise than by deflate")
        unpacked = sum(info.file_size for info in members)
        most = min(max(SMALL, RATIO * on_disk), MOST_CONTENT)
        if unpacked > most:
            raise ValueError(
                f"it has {in_words(on_disk)} and unpacks to {in_words(unpacked)}, more than {in_words(most)}"
            )
    except BaseException:
        archive.close()
        raise
    return archive


def in_words(n_bytes: int) -> str:
    """A number of bytes for people."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = min((max(n_bytes, 1).bit_length() - 1) // 10, len(units) - 1)
    return f"{n_bytes / 1024**power:.3g} {units[power]}"


_TOO_DEEP = f"it is nested more than {DEEPEST} deep"
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
