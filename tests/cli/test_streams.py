"""What a command says reaches whoever reads it: any terminal, a pipe that closes, an interruption in one line."""

import io
import subprocess
import sys

import pytest

from abele_py.cli import commands


@pytest.fixture
def command(monkeypatch):
    """Put a function in place of `abele models`."""
    return lambda function: monkeypatch.setitem(commands._COMMANDS, "models", lambda options, write: function(write))


def test_a_terminal_without_a_letter_shows_its_number_and_all_lines(command, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    command(lambda write: [write(name) for name in ("Katze", "Bär", "猫", "last")])
    assert commands.main(["models"]) == 0
    assert terminal.buffer.getvalue().decode("ascii").split() == ["Katze", "B\\xe4r", "\\u732b", "last"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (commands.Interruption("got an interruption; go on with --resume"), 130, "--resume"),
        (commands.AbeleError("got a\nb; expected c"), 2, "got a b; expected c"),
        (OSError(28, "No space left on device"), 2, "No space left"),
        (RecursionError("maximum recursion depth exceeded"), 2, "RecursionError"),
    ],
    ids=str,
)
def test_what_ends_a_command_is_one_line(command, capsys, error, code, words):
    def fail(write):
        raise error

    command(fail)
    assert commands.main(["models"]) == code
    said = capsys.readouterr().err
    assert said.startswith("abele: ")
    assert said.count("\n") == 1
    assert words in said


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["models", "--help", "explain --help"])
def test_a_pipe_that_closes_ends_the_command_quietly(arguments):
    reader = f"{sys.executable} -m abele_py {arguments} | {sys.executable} -c 'pass'; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", reader], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
