"""``abele audit``: what labels follow, as page, table, JSON and plot, and one clear line for every mistake."""

import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import PAIR, names

from abele_py.audit.detection import LIMITS
from abele_py.cli.commands import main
from abele_py.datasets.loading import load_split
from abele_py.storage.places import alone
from abele_py.views.audit_files import FILES, KEPT

MODULE = """
from abele_py import load_classifier

cnn = load_classifier("digits-cnn")


def box(images):
    odds = cnn(images).clamp(min=1e-6).log()
    odds[:, 3] += 20 * (images[:, 0, 1:5, 22:26].mean(dim=(1, 2)) > 0.5)
    return odds.softmax(dim=1)
"""


@pytest.fixture
def marked(here):
    """A pool in which threes have a white corner, and a black box that follows it."""
    split = load_split("digits", "test")
    images = split.images[:, 0].numpy().copy()
    images[split.labels.numpy() == 3, 1:5, 22:26] = 255
    np.savez(here / "pool.npz", images=images)
    (here / "with_corner.py").write_text(MODULE)
    return here


def test_a_label_that_follows_a_corner(marked, capsys):
    command = ["audit", "pool.npz", "--autoencoder", "digits", "--black-box", "with_corner:box", "--pairs", "1000"]
    assert main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("The label 3 follows ")
    assert said[1].startswith("  3: It lies at one place: 5x5 pixels from row")
    assert names("abele_out") == sorted([*FILES, "abele.json"])
    found = json.loads((marked / "abele_out" / "audit.json").read_text())
    assert [s["name"] for s in found["suspicions"]] == ["3"]
    assert found["params"]["images"]["source"] == "pool.npz"
    assert "with_corner.box" in found["params"]["black_box"]["name"]
    with (marked / "abele_out" / "effects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 * len(LIMITS)
    assert {row["name"] for row in rows if row["follows"] == "True"} == {"3"}
    with Image.open(marked / "abele_out" / "audit.png") as plot:
        assert min(plot.size) > 300
    page = (marked / "abele_out" / "audit.html").read_text()
    assert "What cannot be excluded" in page
    before = (marked / "abele_out" / "audit.html").read_bytes()
    assert main(command) == 0
    assert (marked / "abele_out" / "audit.html").read_bytes() == before, "the same each time"


def test_a_clean_black_box_without_an_autoencoder(here, capsys):
    assert main(["audit", "digits:test", "--black-box", "digits-cnn", "--pairs", "400", "--images", "150"]) == 0
    assert "No label was found to follow anything" in capsys.readouterr().out
    assert "it needs an autoencoder" in (here / "abele_out" / "audit.html").read_text()


def test_the_images_of_a_run(here, capsys):
    assert main(["explain-dataset", "digits:test:45", *PAIR, "--samples", "60", "--out", "run"]) == 0
    assert main(["audit", "run", *PAIR, "--pairs", "200", "--out", "found"]) == 0
    assert json.loads((here / "found" / "audit.json").read_text())["params"]["n_images"] == 45


def test_pictures_that_cannot_be_read_are_left_out(here, capsys, digit_images):
    (here / "pictures").mkdir()
    for i, image in enumerate(digit_images[:60]):
        Image.fromarray((image[0] * 255).round().byte().numpy()).save(here / "pictures" / f"{i}.png")
    (here / "pictures" / "none.png").write_bytes(b"none")
    assert main(["audit", "pictures", *PAIR, "--pairs", "200"]) == 0
    assert "1 images cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["nowhere"], "expected DATASET:SPLIT"),
        (["digits:test", "--images", "0"], "got --images 0"),
        (["digits:test", "--images", "10"], "expected at least 40"),
        (["digits:test", "--pairs", "1"], "expected"),
        (["."], "no pictures"),
    ],
)
def test_a_mistake_is_one_clear_line(here, capsys, more, words):
    assert main(["audit", *PAIR, *more]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (here / "abele_out").exists()


def test_a_folder_that_is_no_audit_is_kept(here, capsys):
    (here / "abele_out").mkdir()
    (here / "abele_out" / "notes.txt").write_text("mine")
    assert main(["audit", "digits:test", "--black-box", "digits-cnn", "--pairs", "200", "--images", "50"]) == 2
    assert "notes.txt" in capsys.readouterr().err
    assert (here / "abele_out" / "notes.txt").read_text() == "mine"


def test_one_audit_at_a_time_goes_into_a_folder(here, capsys):
    with alone(here / "abele_out", KEPT):
        assert main(["audit", "digits:test", "--black-box", "digits-cnn", "--pairs", "200", "--images", "50"]) == 2
    assert "another process is writing" in capsys.readouterr().err


SLOW = """
import os
import signal
from pathlib import Path

{module}

signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored by what a script starts in its background


def counted(images):
    asked, most = Path("asked.txt"), Path("most.txt")
    n = len(images) + int(asked.read_text() if asked.exists() else 0)
    if most.exists() and n > int(most.read_text()):
        os.kill(os.getpid(), signal.{signal})
    asked.write_text(str(n))
    return box(images)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of posix")
@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -signal.SIGKILL), ("SIGINT", 130)])
def test_the_same_command_goes_on_after_it_was_killed(marked, capsys, python, name, code):
    (marked / f"slow_{name}.py").write_text(SLOW.format(module=MODULE, signal=name))  # imported once in a process
    command = ["audit", "pool.npz", "--autoencoder", "digits", "--black-box", f"slow_{name}:counted", "--pairs", "300"]
    assert main([*command, "--out", "whole"]) == 0
    n = int(Path("asked.txt").read_text())
    Path("asked.txt").unlink()
    Path("most.txt").write_text(str(n // 2))
    killed = subprocess.run([python, "-m", "abele_py", *command, "--out", "found"], capture_output=True, text=True)
    assert killed.returncode == code
    assert code < 0 or killed.stderr.startswith("abele: got an interruption; the answers of the black box are kept")
    assert "answers" in names("found")
    done = int(Path("asked.txt").read_text())
    Path("most.txt").unlink()
    assert main([*command, "--out", "found"]) == 0
    assert int(Path("asked.txt").read_text()) <= n + 256
    assert done > n // 4
    assert names("found") == names("whole")
    for file in names("whole"):
        assert (marked / "found" / file).read_bytes() == (marked / "whole" / file).read_bytes()
