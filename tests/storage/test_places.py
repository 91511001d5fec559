"""Only what is empty or provably ours is replaced, and one process owns a folder until it ends."""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.manifests import manifest

from abele_py.errors import PlaceError
from abele_py.models.manifests import CHECKPOINT
from abele_py.storage.places import LOCK, MARK, alone, alone_beside, check_replaceable, objection, remove, short
from abele_py.training.run_folder import TRAINING, backup_of, check_place, commit, create, restore

MANIFEST = json.dumps(asdict(manifest(files={"model.safetensors": "0", "extra.png": "0"}))).encode()
MARKED = json.dumps({"abele_py": "training"}).encode()


def content_of(folder):
    """All that is in a folder: the content of files, where links lead, and which folders there are."""

    def what(path):
        if path.is_symlink():
            return os.readlink(path)
        return None if path.is_dir() else path.read_bytes()

    return {path.relative_to(folder).as_posix(): what(path) for path in sorted(folder.rglob("*"))}


def _files(content):
    return sorted(value for value in content.values() if isinstance(value, bytes))


def fill(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


# What may be replaced

TRAINED = {
    MARK: MARKED,
    "options.json": b"{}",
    "last.ckpt": b"1",
    "csv/metrics.csv": b"1",
    "images/epoch-000.png": b"1",
}
STORED = {"manifest.json": MANIFEST, "model.safetensors": b"1", "MODEL_CARD.md": b"1", "extra.png": b"1"}
INSIDE = {f"checkpoint/{name}": content for name, content in STORED.items()}


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        (CHECKPOINT, STORED),
        (TRAINING, TRAINED),
        (TRAINING, TRAINED | INSIDE),
        (TRAINING, {"last.ckpt": b"1"} | INSIDE),
        (CHECKPOINT, {".model.safetensors.0123456789abcdef.abele-tmp": b"half"}),
        (CHECKPOINT, {}),
    ],
)
def test_what_is_ours_is_replaced_and_removed(kind, files, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    fill(place, files)
    assert objection(place, kind) is None
    remove(place, kind)
    assert list(tmp_path.iterdir()) == []
    remove(place, kind)


@pytest.mark.parametrize("foreign", ["notes.txt", "csv/mine.csv", "checkpoint/letter.txt", ".hidden", "images/a/b.png"])
def test_what_is_not_ours_is_named_and_stays(foreign, tmp_path):
    fill(tmp_path / "x", TRAINED | INSIDE | {foreign: b"the user's"})
    before = content_of(tmp_path)
    first = foreign.removesuffix("/b.png")  # a folder that is not ours is not looked into
    with pytest.raises(PlaceError, match=f"alone: it holds {first}; expected"):
        check_place(tmp_path / "x", tmp_path / "x" / "checkpoint", resume=False, overwrite=True)
    with pytest.raises(PlaceError):
        remove(tmp_path / "x", TRAINING)
    assert content_of(tmp_path) == before


@pytest.mark.parametrize(
    "files",
    [
        {"options.json": b"{}"},
        {"options.json": b'{"model": "T"}', "csv/metrics.csv": b"1"},
        {"last.ckpt": b"1", "csv/metrics.csv": b"1", "csv/hparams.yaml": b"1"},
        {"last.ckpt": b"1", "abele.json": b"[]"},
        {"manifest.json": b"{}", "model.safetensors": b"1"},
        {"manifest.json": MANIFEST[:-9], "model.safetensors": b"1"},
        {"samples.png": b"1"},
    ],
)
def test_names_alone_prove_nothing(files, tmp_path):
    fill(tmp_path / "x", files)
    for kind in (TRAINING, CHECKPOINT):
        assert objection(tmp_path / "x", kind) is not None


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_no_link_file_pipe_or_folder_that_somebody_is_in_is_replaced(tmp_path, monkeypatch):
    real, home = tmp_path / "real", tmp_path / "homes" / "me"
    fill(real, STORED)
    home.mkdir(parents=True)
    for name in ("link", "dangling"):
        (tmp_path / name).symlink_to(real if name == "link" else tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "here" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "deep")
    monkeypatch.setenv("HOME", str(home))
    places = [
        tmp_path / name for name in ("link", "dangling", "file", "pipe", "here", "here/deep", "homes", "homes/me")
    ]
    for place in [*places, Path("."), Path(".."), Path("/"), Path(os.devnull), Path("/proc")]:
        assert objection(place, CHECKPOINT) is not None, place
    assert objection(real, CHECKPOINT) is None
    (real / "samples.png").symlink_to(tmp_path / "file")
    assert "samples.png" in objection(real, CHECKPOINT)


def test_a_mount_point_in_a_folder_of_ours_is_not_looked_into(tmp_path, monkeypatch):
    fill(tmp_path / "x", TRAINED)
    assert objection(tmp_path / "x", TRAINING) is None
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda path: Path(path).name == "x")
        assert objection(tmp_path / "x", TRAINING) == "is a mount point"


def test_a_file_that_comes_while_a_folder_is_removed_stays(tmp_path, monkeypatch):
    fill(tmp_path / "x", TRAINED)
    unlink = Path.unlink

    def and_somebody_writes(path, **options):
        (tmp_path / "x" / "csv").mkdir(exist_ok=True)
        (tmp_path / "x" / "csv" / "notes.txt").write_bytes(b"the user's")
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", and_somebody_writes)
    with pytest.raises(OSError, match="not empty"):
        remove(tmp_path / "x", TRAINING)
    assert (tmp_path / "x" / "csv" / "notes.txt").read_bytes() == b"the user's"


OURS = TRAINED | INSIDE | {"best.ckpt": b"1", "tensorboard/events.out.tfevents.1": b"1", "reconstructions.png": b"1"}
FOREIGN = [
    "notes.txt", "last.ckpt.txt", "csv/mine.csv", "csv/metrics/a", "checkpoint/photo.png", "images/holiday.png", ".x",
    "checkpoint/checkpoint/manifest.json", "tensorboard/a/events.out.tfevents.1", "options.json/a", "Last.ckpt",
]  # fmt: skip
TREES = st.tuples(st.sets(st.sampled_from(sorted(OURS))), st.sets(st.sampled_from(FOREIGN), max_size=2))


@settings(max_examples=40, deadline=None)
@given(run=TREES, backup=TREES, out=TREES, state=st.sampled_from(["alone", "linked"]))
def test_whatever_lies_there_overwriting_costs_nothing_that_is_not_ours(run, backup, out, state):
    """Folders of any mixture of our files and others' at all places that a training replaces."""
    with TemporaryDirectory() as name:
        top = Path(name)
        places = {top / "x": run, backup_of(top / "x"): backup, top / "out": out}
        foreign = {}
        for place, (ours, others) in places.items():
            where = {o: OURS[o] for o in ours} if place.name != "out" else {Path(o).name: OURS[o] for o in ours}
            for other in others:
                where = {path: content for path, content in where.items() if not other.startswith(f"{path}/")}
            foreign |= {f"{place.name}/{other}": b"the user's" for other in others}
            fill(place, where | dict.fromkeys(others, b"the user's"))
        if state == "linked" and (top / "x").exists():
            (top / "x").rename(top / "elsewhere")
            (top / "x").symlink_to(top / "elsewhere")
        before = content_of(top)
        with suppress(PlaceError):
            check_place(top / "x", top / "out", resume=False, overwrite=True)
            create(top / "x", top / "out", {})
            restore(top / "x")
            commit(top / "x")
            remove(top / "out", CHECKPOINT)
        after = content_of(top)
        for path, content in before.items():
            if path in foreign or path.startswith("elsewhere"):
                assert after.get(path) == content, path
        if foreign:  # an earlier training may have come back from where it was put aside
            assert _files(after) == _files(before)


# Who writes

HOLD = (
    "import sys; from pathlib import Path; from abele_py.storage.places import alone\nwith alone(Path(sys.argv[1])):\n"
)
HOLD += "    print('held', flush=True); sys.stdin.read()"


def test_a_folder_has_one_owner_until_its_process_ends_however_it_ends(tmp_path):
    folder = tmp_path / "a" / "b"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        process.stdout.readline()
        with pytest.raises(PlaceError, match="another process is writing; expected one at a time"), alone(folder):
            pass
        with alone(folder, "other"):
            pass
        process.kill()
    assert [path.name for path in folder.iterdir()] == [LOCK], "left by the killed process"
    with alone(folder):
        (folder / "result").touch()
    assert [path.name for path in folder.iterdir()] == ["result"]


def test_threads_exclude_each_other_and_wait_if_asked(tmp_path):
    inside, most, end = 0, 0, threading.Barrier(4)

    def work():
        nonlocal inside, most
        end.wait()
        for _ in range(20):
            with alone_beside(tmp_path / "x", wait=30):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_folder_that_cannot_be_made_or_was_not_written(tmp_path):
    (tmp_path / "file").write_bytes(b"the user's")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / LOCK).write_bytes(b"the user's")
    before = content_of(tmp_path)
    for place in ("file", "file/a", "new/" + "x" * 300, "new/a\0b", "theirs"):
        with pytest.raises(PlaceError, match=r"^got .*; expected .*; choose another"), alone(tmp_path / place):
            pytest.fail("it cannot be written")
        assert content_of(tmp_path) == before
    with alone(tmp_path / "new" / "deep"):
        assert (tmp_path / "new" / "deep").is_dir()
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_a_place_without_permission_is_told(error, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise error

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PlaceError, match=error.strerror), alone(tmp_path / "new"):
        pytest.fail("it cannot be written")
    assert list(tmp_path.iterdir()) == []


def test_without_locks_in_the_file_system_nothing_is_taken_for_dead(tmp_path, monkeypatch):
    from abele_py.storage import places

    if places.fcntl is None:
        pytest.skip("locks of POSIX")

    def missing(handle, what):
        raise OSError(37, "No locks available")

    living = tmp_path / ".file.0123456789abcdef.abele-tmp"
    living.write_bytes(b"half")
    with monkeypatch.context() as patch:
        patch.setattr(places.fcntl, "flock", missing)
        places.sweep(tmp_path)
        with alone(tmp_path):
            pass
    assert living.exists()
    places.sweep(tmp_path)
    assert not living.exists()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0/"), max_size=400))
def test_a_short_name_fits_and_is_the_beginning_of_the_long_one(name):
    found = short(name)
    assert len(os.fsencode(found)) <= 160
    assert name.startswith(found)
    assert found == name or len(os.fsencode(found)) > 156


def test_an_unmarked_place_is_replaceable_where_it_is_free(tmp_path):
    check_replaceable(tmp_path / "free", CHECKPOINT)
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty", TRAINING)


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_a_process_does_not_take_what_it_holds_itself_for_dead_where_locks_are_those_of_a_process(
    tmp_path, monkeypatch
):
    """As on network file systems: any second lock of the same process succeeds."""
    from abele_py.storage import places

    monkeypatch.setattr(places.fcntl, "flock", lambda handle, what: None)
    with alone(tmp_path), places.temporary(tmp_path / "file") as (place, _):
        places.sweep(tmp_path)
        assert place.exists()
        assert (tmp_path / LOCK).exists()
        with pytest.raises(PlaceError), alone(tmp_path):
            pass
    with alone(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    assert not places._HELD
