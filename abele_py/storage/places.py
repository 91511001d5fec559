"""Who may write where: a living process owns what it writes, and only what is empty or provably ours is replaced."""

import errno
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..errors import PlaceError

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open: this is what holds it there
    fcntl = None  # type: ignore[assignment]

MARK = "abele.json"  # what a folder that we made says of itself
LOCK, TEMPORARY = ".abele-lock", ".abele-tmp"  # endings of hidden files that a living process holds
# What this process holds: on network file systems its locks do not exclude each other, and closing a file ends them.
_HELD: set[tuple[int, int]] = set()
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}
_HIDDEN = re.compile(r"(\..*)?\.abele-lock|\..*\.[0-9a-f]{16}\.abele-tmp", re.DOTALL)


# What may be replaced


class Kind(NamedTuple):
    """A kind of folder that we write, and by what it is known again.

    Attributes:
        name: in words, such as "checkpoint".
        files: patterns of all paths that we write into such a folder, such as ``csv/*.csv``; ``*`` is within one name.
        made: whether it was made by us, from what stands in a file whose content nobody else writes.
    """

    name: str
    files: Callable[[Path], Iterable[str]]
    made: Callable[[Path], bool]


def objection(place: Path, kind: Kind) -> str | None:
    """Why a place must not be replaced, or None where it is free, an empty folder, or a folder of this kind alone.

    Such a folder is real, made by us, and holds nothing but what we write. A link, a mount point, a file, a device, the
    home or current folder and all that hold them are never replaced.

    Returns:
        What follows "which": ``"holds notes.txt, which no checkpoint has"``.
    """
    try:
        if not os.path.lexists(place):
            return None
        if place.is_symlink():
            return "is a link"
        if not place.is_dir():
            return "is no folder"
        if os.path.ismount(place):
            return "is a mount point"
        if any(place.samefile(other) for other in _protected()):
            return "is or holds the current folder or the home folder"
        paths = list(_ours(place, kind))
        if any(not _is_leftover(path) for path in paths) and not kind.made(place):
            return f"is no earlier {kind.name}"
    except _Foreign as found:
        return f"is no earlier {kind.name} alone: it holds {found}"
    except (OSError, ValueError) as error:
        return f"cannot be looked at ({error})"
    return None


def check_replaceable(place: Path, kind: Kind) -> None:
    """Refuse what :func:`objection` objects to.

    Raises:
        PlaceError: the place is neither free, nor empty, nor ours.
    """
    if (why := objection(place, kind)) is not None:
        raise PlaceError(
            f"got {place}, which {why}; expected a free place, an empty folder or an earlier {kind.name}, which alone "
            "are replaced; choose another place, or move away what is there"
        )


def remove(place: Path, kind: Kind) -> None:
    """Remove a folder of this kind: file by file, of those that we write. What comes into it meanwhile stays.

    Raises:
        PlaceError: the place is neither free, nor empty, nor ours.
        OSError: a file cannot be removed.
    """
    check_replaceable(place, kind)
    if os.path.lexists(place):
        for path in reversed([place, *_ours(place, kind)]):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def signature(folder: Path) -> dict[str, Any]:
    """What a folder's mark says; nothing where there is none, or none that we write."""
    with suppress(OSError, ValueError):
        if (folder / MARK).is_file() and isinstance(found := json.loads((folder / MARK).read_bytes()), dict):
            return found
    return {}


class _Foreign(Exception):
    """A path that is not ours."""


def _ours(folder: Path, kind: Kind) -> Iterator[Path]:
    """All paths in a folder, each before those in it; the first that is not ours ends it."""
    patterns = [tuple(pattern.split("/")) for pattern in {*kind.files(folder), MARK}]
    device = folder.lstat().st_dev
    inside = sorted(folder.iterdir())
    for path in inside:
        found, parts = path.lstat(), path.relative_to(folder).parts
        if stat.S_ISDIR(found.st_mode):
            known = any(_match(parts, pattern[: len(parts)]) for pattern in patterns if len(pattern) > len(parts))
            known = known and found.st_dev == device
            inside += sorted(path.iterdir()) if known else []  # the loop comes to them
        else:
            known = any(_match(parts, pattern) for pattern in patterns) or _is_leftover(path)
            known = known and stat.S_ISREG(found.st_mode)
        if not known:
            raise _Foreign(path.relative_to(folder))
        yield path


def _match(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))


def _is_leftover(path: Path) -> bool:
    """Whether a path is a lock or a temporary file of ours, dead or alive; locks are empty."""
    found = path.lstat()
    named = _HIDDEN.fullmatch(path.name) is not None and stat.S_ISREG(found.st_mode)
    return named and (found.st_size == 0 or not path.name.endswith(LOCK))


def _protected() -> set[Path]:
    """The home folder, the current one, and all that these lie in."""
    places = set()
    for where in (Path.home, Path.cwd):
        with suppress(OSError, RuntimeError):  # a user without a home, a folder that was removed
            place = where().resolve()
            places |= {place, *place.parents}
    return places


# Who writes


@contextmanager
def alone(folder: Path, purpose: str = "", wait: float = 0.0) -> Iterator[None]:
    """Own a folder while this lasts: no second process or thread does. The system takes it back from a killed process.

    The folder is made if need be, and removed again where nothing was written into it. So it also tells beforehand
    whether something can be written there.

    Args:
        folder: the folder.
        purpose: the beginning of the lock's name: two purposes do not exclude each other.
        wait: most seconds for another owner to end.

    Raises:
        PlaceError: another one owns it, or it cannot be written.
    """
    with _held(folder, folder / f"{purpose and '.'}{purpose}{LOCK}", wait):
        yield


@contextmanager
def alone_beside(place: Path, purpose: str = "", wait: float = 0.0) -> Iterator[None]:
    """:func:`alone` for a folder or file that is replaced as a whole: the lock lies beside it, ``.NAME.abele-lock``."""
    with _held(place, place.parent / f".{short(place.name)}{purpose}{LOCK}", wait):
        yield


@contextmanager
def _held(place: Path, lock: Path, wait: float) -> Iterator[None]:
    made: list[Path] = []
    handle = None
    try:
        try:
            if "\0" in str(place):
                raise ValueError("a NUL byte in a name")
            if os.path.lexists(lock) and not _is_leftover(lock):
                raise FileExistsError(f"{lock} is no lock of ours")
            with suppress(FileNotFoundError):
                place.lstat()  # tells of a name that is too long
            end = time.monotonic() + wait
            while handle is None:
                made += _make(lock.parent)
                with suppress(FileNotFoundError):  # whoever made the folder has just removed it
                    if (handle := _claim(lock)) is None and time.monotonic() >= end:
                        raise PlaceError(
                            f"got {place}, where another process is writing; expected one at a time; wait until it has "
                            "ended, or choose another place"
                        )
                if handle is None:
                    time.sleep(0.02)
        except (OSError, ValueError) as error:
            if isinstance(error, PlaceError):
                raise
            raise PlaceError(
                f"got {str(place)!r}, which cannot be written ({error}); expected a place where files can be made; "
                "choose another"
            ) from error
        yield
    finally:
        if handle is not None:
            _let_go(lock, handle)
        for folder in reversed(made):
            with suppress(OSError):  # something was written
                folder.rmdir()


def _make(folder: Path) -> list[Path]:
    """Make a folder and those it lies in; the ones that were made. Where one cannot be, none is left."""
    made: list[Path] = []
    try:
        for place in reversed([place for place in (folder, *folder.parents) if not place.is_dir()]):
            try:
                place.mkdir()
            except FileExistsError:
                if not place.is_dir():  # else somebody was faster
                    raise
            else:
                made.append(place)
    except OSError:
        for place in reversed(made):
            with suppress(OSError):
                place.rmdir()
        raise
    return made


def _claim(path: Path, *flags: int, surely: bool = False) -> int | None:
    """Hold a file, made if need be, until it is closed or the process ends; None where another one holds it.

    The file may be removed by whoever holds it: what is held is compared with what has the name.

    Args:
        path: the file.
        flags: of ``os.open``.
        surely: None also where the file system has no locks, so that nobody knows.
    """
    while True:
        with suppress(FileNotFoundError):
            if _identity(path.lstat()) in _HELD:
                return None
        if fcntl is None:
            try:
                path.unlink(missing_ok=True)
            except PermissionError:
                return None
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | sum(flags), 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held, known = _is_same(path, handle), True
        except OSError as error:
            held, known = error.errno not in _BUSY, False
        if held and (known or not surely):
            _HELD.add(_identity(os.fstat(handle)))
            return handle
        os.close(handle)
        if not known:
            return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _is_same(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _let_go(path: Path, handle: int) -> None:
    """Remove a file that is held, and let go of it: children of this process may still have it open."""
    _HELD.discard(_identity(os.fstat(handle)))
    if fcntl is not None:
        with suppress(OSError):
            path.unlink()
            fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
    if fcntl is None:
        with suppress(OSError):
            path.unlink()


# Temporary files, which say by being held that they are not yet left behind


def short(name: str, most: int = 160) -> str:
    """The beginning of a name, at most this many bytes: what is added to it must fit a file system's 255."""
    content = os.fsencode(name)
    return name if len(content) <= most else content[:most].decode("utf-8", "ignore")


@contextmanager
def temporary(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new hidden file beside another one, held while this lasts, and then gone, if it has not got another name.

    Raises:
        OSError: none can be made.
    """
    handle = None
    while handle is None:  # else it was taken for one that was left behind
        place = path.with_name(f".{short(path.name)}.{os.urandom(8).hex()}{TEMPORARY}")
        with suppress(FileExistsError):
            handle = _claim(place, os.O_EXCL)
    found = _identity(os.fstat(handle))
    try:
        with os.fdopen(handle, "wb") as file:
            yield place, file
    finally:
        _HELD.discard(found)
        place.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the hidden files that killed processes have left in a folder: those of ours that nobody holds."""
    with suppress(OSError):
        for path in [folder / name for name in os.listdir(folder) if name.endswith((TEMPORARY, LOCK))]:
            with suppress(OSError):
                if _is_leftover(path) and (handle := _claim(path, surely=True)) is not None:
                    _let_go(path, handle)
