"""The ``abele`` command: its arguments lead to one command. A user's mistake is one clear line and exit code 2."""

import io
import os
import sys
from collections.abc import Callable, Sequence

from jsonargparse import ArgumentError, Namespace

from ..errors import AbeleError, Interruption
from .app import run_app
from .audit import run_audit
from .compare import run_compare
from .evaluate import run_evaluate
from .explain import run_demo, run_explain
from .explain_dataset import run_explain_dataset
from .models import run_models
from .options import Write
from .parser import parser
from .summary import run_similar, run_summary
from .train import run_train

_COMMANDS: dict[str, Callable[[Namespace, Write], None]] = {
    "explain": run_explain,
    "explain-dataset": run_explain_dataset,
    "audit": run_audit,
    "compare": run_compare,
    "app": run_app,
    "evaluate": run_evaluate,
    "summary": run_summary,
    "similar": run_similar,
    "models": run_models,
    "demo": run_demo,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the entry point of ``abele``.

    Returns:
        0; 2 after a user's mistake and 130 after Ctrl+C, said in one line on standard error.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows its number instead
            stream.reconfigure(errors="backslashreplace")
    try:
        return _finished(arguments)
    except Interruption as error:
        return _failed(error, 130)
    except (AbeleError, ArgumentError) as error:
        return _failed(error, 2)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError, RecursionError) as error:  # of the machine, wherever it is met
        return _failed(
            f"got {type(error).__name__}: {error}; expected files, memory and rights that do",
            2,
        )
    except KeyboardInterrupt:
        return _failed("interrupted; what was finished is kept", 130)


def _finished(arguments: list[str]) -> int:
    """Run the command, and see that all of what it says has arrived."""
    try:
        if arguments[:1] == ["train"] and arguments[1:] not in (["-h"], ["--help"]):
            run_train(arguments[1:], _say)  # parses them itself: which options there are depends on the recipe
        else:
            options = parser().parse_args(arguments)
            command = options.get("command")
            options[command].arguments = arguments  # as they were given, for the provenance of results
            _COMMANDS[command](options[command], _say)
    finally:  # also of a help, which ends the process
        sys.stdout.flush()
    return 0


def _failed(error: object, code: int) -> int:
    """Say in one line what went wrong."""
    sys.stderr.write(f"abele: {' '.join(str(error).split())}\n")
    return code


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
