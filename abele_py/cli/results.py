"""Results of commands: written into the folder that was chosen, beside those of other runs, and told."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AbeleError, ParameterError
from ..places import alone
from .options import Write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def blaming(out: str | Path) -> Iterator[None]:
    """What cannot be written within this is a mistake in ``--out``.

    Raises:
        ParameterError: the folder cannot be written.
    """
    try:
        yield
    except AbeleError:  # some are OSErrors too, and know better what went wrong
        raise
    except OSError as error:
        raise ParameterError(
            f"got --out {str(out)!r}, which cannot be written ({error}); choose another folder"
        ) from error


@contextmanager
def writing_to(out: str | Path) -> Iterator[None]:
    """Own a folder of results, among commands that run side by side: they write one after the other.

    Raises:
        ParameterError: the folder cannot be written.
    """
    with blaming(out), alone(Path(out), "results", wait=60):
        yield


def check_out(out: str | Path) -> None:
    """Refuse a folder that cannot be written before anything is computed; it is not left behind.

    Raises:
        ParameterError: the folder cannot be written.
    """
    with writing_to(out):
        pass


def free_name(
    out: Path, name: str, endings: Sequence[str], same: Callable[[Path], bool], taken: Sequence[str] = ()
) -> str:
    """A name for results that replace none of another run: with a number where the name is in use.

    Args:
        out: the folder.
        name: the name to begin with.
        endings: of the files that belong to one result, first the one that ``same`` can compare.
        same: whether a file holds the result that is about to be written, so that it may be replaced.
        taken: names of other results of this run.
    """
    others = {n.casefold() for n in taken}
    tries = chain([name], (f"{name}-{i}" for i in count(2)))

    def is_free(tried: str) -> bool:
        files = [out / f"{tried}{ending}" for ending in endings]
        return tried.casefold() not in others and (not any(map(os.path.lexists, files)) or same(files[0]))

    return next(filter(is_free, tries))


def told(name: str, found: str, out: Path, taken: Sequence[str] = ()) -> list[str]:
    """What to say of a name that got a number because another run has left results under it."""
    return [] if found == name or name in taken else [f"{name} in {out} is another result, which is kept"]


def write_figure(path: Path, figure: "Figure") -> None:
    from ..files import write_atomically

    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))


def write_text(path: Path, text: str) -> None:
    from ..files import write_atomically

    write_atomically(path, lambda file: file.write(text.encode()))


def write_block(name: str, text: str, files: dict[str, Path], write: Write) -> None:
    """Tell a result: its name, what it says, and which files hold it."""
    write(f"{name}:")
    for line in text.splitlines():
        write(f"  {line}")
    for kind, path in files.items():
        write(f"  {kind}: {path}")
