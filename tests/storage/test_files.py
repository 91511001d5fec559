"""Files are written whole, synced, under a name that was free or a regular file's, and nothing is left behind."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from abele_py.errors import AbeleError, PlaceError
from abele_py.storage.files import write_atomically, write_bytes, write_json, write_npz

# what write_atomically does first; the module of files would load torch
HALF = """
import sys
from pathlib import Path
from abele_py.storage.places import temporary

with temporary(Path(sys.argv[1])) as (place, file):
    file.write(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def half(tmp_path):
    """A process in the middle of writing ``slow``."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HALF, str(tmp_path / "slow")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(half, tmp_path):
    write_bytes(tmp_path / "mine", b"1")
    (hidden,) = (path.name for path in tmp_path.glob(".*"))
    assert hidden.startswith(".slow.")
    half.kill()
    half.wait()
    similar = tmp_path / ".letter.abele-tmp.txt"
    similar.write_bytes(b"the user's")
    write_bytes(tmp_path / "mine", b"2")
    assert sorted(path.name for path in tmp_path.iterdir()) == [similar.name, "mine"]
    assert (tmp_path / "mine").read_bytes() == b"2"


def test_an_error_while_writing_leaves_the_earlier_file_and_nothing_else(tmp_path):
    write_bytes(tmp_path / "file", b"earlier")

    def fail(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", fail)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_the_call_returns(tmp_path, monkeypatch):
    happened, fsync, replace = [], os.fsync, os.replace

    def synced(handle):
        happened.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else os.fstat(handle).st_size)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *paths: (happened.append("named"), replace(*paths)))
    write_bytes(tmp_path / "file", b"12345")
    assert happened == [5, "named", "folder"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_new_file_follows_the_umask_and_a_replaced_one_keeps_its_mode(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"1")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        (tmp_path / "file").chmod(0o666)
        write_bytes(tmp_path / "file", b"2")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
@pytest.mark.parametrize("kind", ["a link", "a link that leads nowhere", "a folder", "a pipe", "a protected file"])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_bytes(path, b"new"),
        lambda path: write_json(path, {}),
        lambda path: write_npz(path, {"x": np.zeros(1)}, {}),
    ],
    ids=["bytes", "JSON", "arrays"],
)
def test_only_a_regular_file_that_may_be_written_is_replaced(write, kind, tmp_path):
    other, place = tmp_path / "other", tmp_path / "place"
    other.write_bytes(b"the user's")
    {
        "a link": lambda: place.symlink_to(other),
        "a link that leads nowhere": lambda: place.symlink_to(tmp_path / "nowhere"),
        "a folder": place.mkdir,
        "a pipe": lambda: os.mkfifo(place),
        "a protected file": lambda: (place.write_bytes(b"the user's"), place.chmod(0o444)),
    }[kind]()
    before = place.lstat()
    with pytest.raises(PlaceError, match=r"^got .*place, which is a .*; expected .*; choose another$"):
        write(place)
    assert place.lstat().st_ino == before.st_ino
    assert other.read_bytes() == b"the user's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "place"]


def test_names_that_no_file_can_have_are_told_and_the_longest_can_be_written(tmp_path):
    write_bytes(tmp_path / ("é" * 127), b"254 bytes")
    for name in ("x" * 256, "a/" * 3000 + "b"):
        with pytest.raises(OSError, match="too long"):
            write_bytes(tmp_path / name, b"")
    with pytest.raises(AbeleError, match="NUL"):
        write_bytes(tmp_path / "a\0b", b"")
    with pytest.raises(OSError, match="é"):
        write_bytes(Path(tmp_path, "é" * 127, "b"), b"")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"254 bytes"]
