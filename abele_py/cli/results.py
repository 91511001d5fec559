"""Results of commands: written into the folder that was chosen, beside those of other runs, and told."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from ..errors import AbeleError, ParameterError, PlaceError
from ..storage.places import alone
from .options import Write

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


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
    from ..storage.files import check_file

    others = {n.casefold() for n in taken}
    tries = chain([name], (f"{name}-{i}" for i in count(2)))

    def is_free(tried: str) -> bool:
        there = [file for ending in endings if os.path.lexists(file := out / f"{tried}{ending}")]
        if tried.casefold() in others:
            return False
        if not there:
            return True
        try:
            for file in there:
                check_file(file)
        except PlaceError:
            return False
        return there[0].name == f"{tried}{endings[0]}" and same(there[0])

    return next(filter(is_free, tries))


def has_array(path: Path, name: str, array: "Tensor") -> bool:
    """Whether an ``.npz`` has this array; only that one is read, so that many results are soon looked through."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return np.array_equal(file[name], array.numpy())
    except Exception:  # noqa: BLE001 - whatever foreign bytes lead to in zip, zlib and numpy: another file
        return False


def of_command(options: Namespace) -> dict[str, Any]:
    """What the provenance of a result says of the command that made it: when, which, by which versions."""
    from ..provenance import command_of, now, versions

    packages = versions("abele-py", "python", "torch", "numpy", "scipy", "scikit-learn", "pillow")
    return {"time": now(), "command": command_of(options.arguments), "versions": packages}


def renamed(name: str, found: str, out: Path, taken: Sequence[str] = ()) -> list[str]:
    """What to say of a name that got a number because another run has left results under it."""
    return [] if found == name or name in taken else [f"{name} in {out} is another result, which is kept"]


def write_figure(path: Path, figure: "Figure") -> None:
    from ..storage.files import write_atomically

    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))


def write_text(path: Path, text: str) -> None:
    from ..storage.files import write_atomically

    write_atomically(path, lambda file: file.write(text.encode()))


def write_block(name: str, text: str, files: dict[str, Path], write: Write) -> None:
    """Tell a result: its name, what it says, and which files hold it."""
    write(f"{name}:")
    for line in text.splitlines():
        write(f"  {line}")
    for kind, path in files.items():
        write(f"  {kind}: {path}")
