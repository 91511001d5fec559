"""Results of commands: written into the folder that was chosen, and told."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AbeleError, ParameterError
from .options import Write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def writing_to(out: str | Path) -> Iterator[None]:
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
