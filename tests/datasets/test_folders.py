"""Every file of a folder that is imported is taken, or left with a reason that is told."""

import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shapes import draw_shapes, imported, shape

from abele_py.datasets.folders import AGAIN, HIDDEN, ODD, OTHER, Left, is_hidden, pictures_in
from abele_py.datasets.sources import read_folder

NAMES = st.sampled_from(
    ["a.png", "b.PNG", "c.jpg", "notes.txt", ".hidden.png", "._a.jpg", "__x.png", "Thumbs.db", ".DS_Store",
     "desktop.ini", "fifo", "broken.png"]
)  # fmt: skip
FOLDERS = st.sampled_from(["inner", "deep", "@eaDir", "__MACOSX", ".thumbnails", ".git", "lost+found", "link", "loop"])
FILES = st.dictionaries(NAMES, st.none(), max_size=4)
TREES = st.recursive(
    FILES, lambda inner: st.builds(dict.__or__, FILES, st.dictionaries(FOLDERS, inner, max_size=3)), max_leaves=8
)


def make(folder, tree, elsewhere):
    """The tree on disk; what is called after a link is one, to ``elsewhere`` or to the folder itself."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, inner in tree.items():
        path = folder / name
        if inner is not None and name == "link":
            path.symlink_to(elsewhere)
        elif inner is not None and name == "loop":
            path.symlink_to(folder)
        elif inner is not None:
            make(path, inner, elsewhere)
        elif name == "fifo":
            os.mkfifo(path)
        elif name == "broken.png":
            path.symlink_to("nowhere")
        else:
            path.write_bytes(b"x")


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_what_is_taken_and_what_is_left_is_all_there_is(tree):
    with TemporaryDirectory() as place:
        root = Path(place) / "root"
        make(root.parent / "elsewhere", {"e.png": None, "e.txt": None}, None)
        make(root / "class", tree, root.parent / "elsewhere")
        left = Left(root)
        taken = [path.relative_to(root).as_posix() for path in pictures_in(root / "class", left)]
        found = Counter([*taken, *(name for names in left.names.values() for name in names)])
        assert not found or max(found.values()) == 1
        below = {
            os.path.relpath(os.path.join(folder, name), root)
            for folder, folders, files in os.walk(root)
            for name in [*files, *(f for f in folders if os.path.islink(os.path.join(folder, f)))]
        }
        linked = {name for name in below if os.path.isdir(root / name)}
        assert below - linked <= set(found)
        for name in linked - set(found):
            assert any(other.startswith(f"{name}/") for other in found), "a link to a folder is followed or left"
        assert not any(is_hidden(part) for name in taken for part in name.split("/"))


def test_reasons(tmp_path):
    folder = tmp_path / "class"
    tree = {"a.png": None, "notes.txt": None, "@eaDir": {"a.png": None}, "Thumbs.db": None, "fifo": None}
    make(folder, {**tree, "broken.png": None, "loop": {}, "link": {}}, tmp_path / "elsewhere")
    make(tmp_path / "elsewhere", {"e.png": None}, None)
    left = Left(tmp_path)
    assert [path.relative_to(folder).as_posix() for path in pictures_in(folder, left)] == ["a.png", "link/e.png"]
    assert left.names == {
        HIDDEN: ["class/@eaDir/a.png", "class/Thumbs.db"],
        ODD: ["class/broken.png", "class/fifo"],
        AGAIN: ["class/loop"],
        OTHER: ["class/notes.txt"],
    }


def test_links_that_multiply_end(tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02d}").mkdir()
    for i in range(29):
        for name in "ab":
            (tmp_path / f"{i:02d}" / name).symlink_to(tmp_path / f"{i + 1:02d}")
    (tmp_path / "29" / "x.png").write_bytes(b"x")
    left = Left(tmp_path)
    assert len(pictures_in(tmp_path / "00", left)) == 1
    assert len(left.names[AGAIN]) == 29


def test_a_linked_folder_is_read_and_thumbnails_are_told(pictures, tmp_path):
    elsewhere = draw_shapes(tmp_path / "elsewhere", 5, seed=9)
    (pictures / "disc" / "more").symlink_to(elsewhere / "disc")
    for place in ("@eaDir", "disc/@eaDir"):
        (pictures / place).mkdir()
        shape("disc", np.random.default_rng(77)).save(pictures / place / "thumb.png")
    own = imported(pictures)
    assert len(own.images) == 35
    assert sum(name.startswith("disc/more/") for name in own.names) == 5
    (note,) = [note for note in own.notes if HIDDEN in note]
    assert own.notes[note] == ("@eaDir/thumb.png", "disc/@eaDir/thumb.png")
    assert f"note: left out 2 files (@eaDir/thumb.png, disc/@eaDir/thumb.png): {HIDDEN}" in str(own)


def test_all_files_of_an_import_are_accounted_for(pictures):
    (pictures / "disc" / "x.png").write_bytes(b"no picture")
    (pictures / "notes.txt").write_text("x")
    found = read_folder(pictures, None, None, skip_unreadable=True)
    told = [name for names in found.notes.values() for name in names]
    there = [path.relative_to(pictures).as_posix() for path in pictures.rglob("*") if path.is_file()]
    assert sorted([*found.names, *told]) == sorted(there)


@pytest.mark.parametrize("name", ["class", "a__b.png", "Icon.png", "eaDir"])
def test_names_of_users_are_not_hidden(name):
    assert not is_hidden(name)
