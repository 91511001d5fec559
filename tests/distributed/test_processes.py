"""Ray as a run starts it: on this machine alone, with the user's own module, and gone with the run, however it ends."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from support.paths import ROOT
from support.small_runs import files_of, rows_of, title_of

pytest.importorskip("ray", reason="the extra [cluster] is not installed")
pytestmark = pytest.mark.slow

MODULE = """
import time

def answer(images):  # as a user writes it, in the current folder
    time.sleep(0.01)
    return (images[:, 0, 0, 0] > 0.3).long()
"""
PROGRAM = """
import os, sys
sys.path.insert(0, os.getcwd())  # as the command does; workers find the folder through Ray
from abele_py import Abele, load_black_box
from abele_py.distributed import explain_dataset
from abele_py.errors import Interruption
from support.small_runs import IMAGES, Identity

def explainer():
    return Abele(load_black_box("own_module:answer").classifier, Identity(), n_samples=100)

def tell(done, n):
    print(done, flush=True)

try:
    explain_dataset(IMAGES, explainer, "run", shard_size=2, workers=2, progress=tell)
except Interruption as error:
    sys.exit(str(error))
"""


@pytest.fixture
def started(tmp_path):
    """The program, whose first shard is done, in a folder of its own, and its processes."""
    (tmp_path / "own_module.py").write_text(MODULE)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "program.py").write_text(PROGRAM)
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    with subprocess.Popen(
        [sys.executable, "bin/program.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "2\n", process.communicate()[1]
        yield process, psutil.Process(process.pid).children(recursive=True)
        process.kill()


def test_it_listens_to_this_machine_alone(started, tmp_path):
    process, others = started
    ends = [
        c for p in [psutil.Process(process.pid), *others] for c in p.net_connections("inet") if c.status == "LISTEN"
    ]
    assert ends
    assert {re.sub("^::ffff:", "", end.laddr.ip) for end in ends} == {"127.0.0.1"}
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert out.splitlines()[-1] == "40"
    assert [row["index"] for row in rows_of(tmp_path / "run")] == [*range(40)]
    assert not psutil.wait_procs(others, timeout=20)[1]


def test_ctrl_c_is_one_sentence_and_no_process_is_left(started):
    process, others = started
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.fullmatch(r"got an interruption; \d+ of 40 images are in run; the same command goes on\n", error)
    assert not psutil.wait_procs(others, timeout=20)[1]


def test_kill_9_leaves_no_process_and_nobody_who_writes(started, tmp_path):
    process, others = started
    process.kill()
    process.wait()
    left = files_of(tmp_path / "run")
    at_work = [other for other in others if "Agent" not in title_of(other)]  # Ray's agents take a minute to notice
    assert not psutil.wait_procs(at_work, timeout=20)[1]
    time.sleep(0.5)
    assert files_of(tmp_path / "run") == left
