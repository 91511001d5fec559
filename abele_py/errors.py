"""The errors users meet. Each also inherits the fitting builtin; each message says *got, expected, do this*."""

import difflib
from collections.abc import Iterable

LONGEST_NAME = 100  # letters of a name in an error
MOST_NAMES = 50  # in an error; there may be a thousand classes


class AbeleError(Exception):
    """Parent of every error that abele_py raises on purpose."""


class ParameterError(AbeleError, ValueError):
    """An option has a value that it cannot have."""


class ImageError(AbeleError, ValueError):
    """An image has the wrong shape, type, range or size, or cannot be read."""


class BlackBoxError(AbeleError, TypeError):
    """The black box did not answer as a classifier answers."""


class AutoencoderError(AbeleError, TypeError):
    """The autoencoder does not keep the protocol."""


class NeighborhoodError(AbeleError, RuntimeError):
    """No usable neighborhood could be generated."""


class CheckpointError(AbeleError, OSError):
    """A checkpoint is missing, damaged or of another schema."""


class PlaceError(ParameterError, OSError):
    """A place that was chosen for results cannot be written, or holds what must not be replaced."""


class DataError(AbeleError, OSError):
    """A data set is missing, damaged or unusable."""


class MissingExtraError(AbeleError, ImportError):
    """A library that only some commands need is not installed."""


class WorkerError(AbeleError, RuntimeError):
    """Other processes that a run needs cannot be had, or are lost time and again."""


class Interruption(AbeleError):
    """A user has interrupted what was done; what was finished is kept."""


class UnknownNameError(AbeleError, KeyError):
    """A name is not in the table it is looked up in."""

    def __str__(self) -> str:  # KeyError shows the repr of its argument, quotes and all
        return str(self.args[0]) if self.args else ""


class UnknownChoiceError(UnknownNameError, ParameterError):
    """An option is none of the few names that it can be."""


def unknown_name(kind: str, name: object, known: Iterable[object]) -> UnknownNameError:
    """An error that names what is known and, where there is one, the closest name, whatever its case.

    Names are never taken in another case: those of classes and of files may differ in nothing else.
    """
    names, given = [str(k) for k in known], str(name)[:LONGEST_NAME]
    folded = {k.casefold(): k for k in reversed(names)}
    close = difflib.get_close_matches(given.casefold(), folded, n=1)
    hint = f" Did you mean {folded[close[0]]!r}?" if close else ""
    shown = repr(given) + "…" * (len(str(name)) > LONGEST_NAME)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    listed = f"{', '.join(names[:MOST_NAMES]) or 'none'}{more}"
    return UnknownNameError(f"got {kind} {shown}; expected one of: {listed}.{hint}")


def missing_extra(error: ModuleNotFoundError, needed_by: str, extra: str) -> MissingExtraError:
    """The error for a library that belongs to an extra of this package."""
    return MissingExtraError(
        f"got no library {error.name!r}, which {needed_by} needs; expected the extra [{extra}]; install it with: "
        f"pip install 'abele_py[{extra}]'"
    )
