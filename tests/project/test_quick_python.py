"""Programs that tests start by a Python that has imported the libraries: to who starts them they are as any other."""

import json
import os
import signal
import subprocess
import sys

import pytest
from support.quick_python import quick_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked on POSIX alone")
TOLD = "import json, os, sys; print(json.dumps([sys.argv, os.getcwd(), os.environ['NAME'], sys.stdin.read()]))"
WAITING = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.fixture(scope="module")
def python():
    with quick_python(["json"]) as executable:
        yield executable


def started(python, *arguments, **options):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([python, *arguments], **pipes, text=True, **options)


def test_arguments_folder_environment_and_streams_are_the_program_s(python, tmp_path):
    (tmp_path / "told.py").write_text(TOLD)
    options = {"cwd": tmp_path, "env": {"NAME": "x"}}
    for given, argv in ((["-c", TOLD], ["-c"]), (["told.py"], ["told.py"]), (["-m", "told"], [f"{tmp_path}/told.py"])):
        process = started(python, *given, "a b", **options)
        assert json.loads(process.communicate("said", timeout=30)[0]) == [[*argv, "a b"], str(tmp_path), "x", "said"]
        assert process.returncode == 0


def test_a_program_that_ends_badly_says_so(python):
    process = started(python, "-c", "import sys; sys.exit(3)")
    assert (process.communicate(timeout=30), process.returncode) == (("", ""), 3)
    process = started(python, "-c", "1 / 0")
    assert "ZeroDivisionError" in process.communicate(timeout=30)[1]
    assert process.returncode == 1
    process = started(python, "-c", "import os; os.kill(os.getpid(), 9)")
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_starter_ends_the_program(python, number):
    process = started(python, "-c", WAITING)
    assert int(process.stdout.readline()) != process.pid
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == "", "the program holds its stream until it ends"
    assert process.returncode == -number


def test_what_a_program_starts_is_as_quick(python):
    code = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'import sys; sys.exit(4)']))"
    process = started(python, "-c", code)
    process.communicate(timeout=30)
    assert process.returncode == 4
    told = started(python, "-c", "import sys; print(sys.executable)").communicate(timeout=30)[0]
    assert told != f"{sys.executable}\n"
