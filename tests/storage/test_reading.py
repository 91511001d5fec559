"""Files of others: what is no file does not block, and what would take too much memory or stack is refused before."""

import io
import json
import os
import socket
import time
import tracemalloc
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abele_py import Explanation, read_image
from abele_py.attribution.comparison import Comparison
from abele_py.black_boxes.loading import identity, load_black_box
from abele_py.datasets.importing import import_images
from abele_py.datasets.prepared_images import read_own_images
from abele_py.errors import AbeleError
from abele_py.metrics.class_autoencoders import ClassAutoencoders
from abele_py.models.checkpoints import load_autoencoder
from abele_py.storage.files import ObjectsError, read_array, read_arrays, read_npz, write_npz
from abele_py.storage.reading import DEEPEST, check_regular, in_words, open_zip, parse_json, read_json, read_regular
from abele_py.training.recipe import train
from abele_py.training.recipe_file import read_recipe

READERS = {
    "image.png": lambda path: read_image(path, (1, 28, 28)),
    "image.npy": lambda path: read_image(path, (1, 28, 28)),
    "explanation.npz": Explanation.load,
    "comparison.npz": Comparison.load,
    "prepared.npz": read_own_images,
    "arrays.npz": lambda path: import_images(path, path.with_name("out.npz")),
    "model.onnx": load_black_box,
    "model.pt2": load_black_box,
    "model.skops": load_black_box,
    "hashed.onnx": lambda path: identity(str(path)),
    "class-autoencoders.safetensors": ClassAutoencoders.load,
    "recipe.yaml": read_recipe,
    "trained.yaml": train,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "socket", "device", "folder", "nothing"])
def test_what_is_no_file_is_refused_and_does_not_block(tmp_path, monkeypatch, name, kind):
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # the names of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    started = time.monotonic()
    with pytest.raises(AbeleError, match=r"got .*; expected"):
        READERS[name](path)
    assert time.monotonic() - started < 30


def test_a_pipe_in_a_checkpoint_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(AbeleError, match="a pipe, not a file"):
        load_autoencoder(tmp_path)


def test_a_small_file_takes_little_memory(tmp_path):
    """Not the 8 GB that it might have: where there are fewer, every file was refused."""
    (tmp_path / "x").write_bytes(b"abc")
    tracemalloc.start()
    assert read_regular(tmp_path / "x") == b"abc"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def test_a_file_that_grows_is_read_up_to_the_size(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"abc")
    before = SimpleNamespace(st_size=1, st_mode=os.stat(tmp_path / "x").st_mode)
    monkeypatch.setattr("abele_py.storage.reading.check_regular", lambda path, most: None)
    monkeypatch.setattr(os, "fstat", lambda descriptor: before)
    assert read_regular(tmp_path / "x") == b"abc"
    with pytest.raises(ValueError, match="it has more than 2 bytes"):
        read_regular(tmp_path / "x", 2)


def test_files_are_read_up_to_a_size(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert read_regular(path, 3) == b"abc"
    with pytest.raises(ValueError, match="it has 3 bytes, more than 2 bytes"):
        read_regular(path, 2)
    with open(path, "wb") as file:
        file.truncate(2**40)  # takes no place
    with pytest.raises(ValueError, match="it has 1 TB, more than 8 GB"):
        check_regular(path)


@pytest.mark.parametrize(("n", "words"), [(0, "0 bytes"), (1000, "1e+03 bytes"), (2**20, "1 MB"), (5 * 2**40, "5 TB")])
def test_sizes_in_words(n, words):
    assert in_words(n) == words


@pytest.mark.parametrize(
    "text", ["[" * 10**6, "[" * 900 + "]" * 900, '{"a":' * 5000 + "1" + "}" * 5000, '[{"a":' * 150]
)
def test_json_that_is_nested_too_deeply_is_refused(tmp_path, text):
    with pytest.raises(ValueError):  # noqa: PT011 - in the words of whatever library found it
        parse_json(text)
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - in the words of whatever library found it
        read_json(tmp_path / "x.json")
    with pytest.raises(AbeleError):
        Explanation.from_json(text)


def test_json_is_followed_as_deep_as_it_says():
    assert parse_json("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        parse_json("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))


VALUES = st.recursive(st.none() | st.booleans() | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v))


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_other_json_is_read_as_python_reads_it(value):
    assert parse_json(json.dumps(value)) == value


# Zips and arrays


def zipped(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def header(shape, descr="|u1"):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_a_zip_that_unpacks_to_too_much_is_refused_before_it_is(tmp_path):
    path = tmp_path / "bomb.npz"
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("a.npy", "w", force_zip64=True) as file:
        file.write(header((300, 2**20)))
        for _ in range(300):
            file.write(bytes(2**20))
    assert path.stat().st_size < 2 * 10**6
    with pytest.raises(ValueError, match="B and unpacks to 300 MB, more than 256 MB"):
        read_arrays(path)
    for read in (Explanation.load, Comparison.load, read_own_images, READERS["arrays.npz"]):
        with pytest.raises(AbeleError, match="unpacks to 300 MB"):
            read(path)
    for name in ("model.pt2", "model.skops"):
        path.rename(path := tmp_path / name)
        with pytest.raises(AbeleError, match="unpacks to 300 MB"):
            load_black_box(path)


def test_other_ways_to_pack_and_many_parts_are_refused(tmp_path, monkeypatch):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(ValueError, match="otherwise than by deflate"):
            read_arrays(zipped(tmp_path / "x.npz", {"a.npy": header((1,)) + b"a"}, method))
    monkeypatch.setattr("abele_py.storage.reading.MOST_MEMBERS", 2)
    content = io.BytesIO()
    zipped(content, {f"{i}.npy": b"" for i in range(3)})
    with pytest.raises(ValueError, match="it has 3 parts, more than 2"):
        open_zip(content)


@pytest.mark.parametrize(
    ("shape", "descr"),
    [((10**12,), "|u1"), ((2, 10**9, 10**9), "<f8"), ((1,), "<U1000000000"), ((-1,), "|u1"), ((-2, -3), "|u1"),
     ((10**9,), "<U0"), ((1,), "|O"), ((0, 10**30), "<f4"), ((1,) * 100, "|u1")],
)  # fmt: skip
def test_an_array_that_declares_more_than_follows_takes_no_memory(tmp_path, shape, descr):
    content = header(shape, descr) + b"abcdefgh"
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises((ValueError, OverflowError)):
        read_array(tmp_path / "x.npy")
    with pytest.raises((ValueError, OverflowError)):
        read_arrays(zipped(tmp_path / "x.npz", {"x.npy": content}))
    with pytest.raises(AbeleError):
        read_image(tmp_path / "x.npy", (1, 2, 4))


def test_a_long_header_is_refused(tmp_path):
    text = b"{" + b" " * 60_000 + b"}"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(ValueError):  # noqa: PT011 - in the words of whatever library found it
        read_array(tmp_path / "x.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f8", "<i8", "?", "<U3", "<f2"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_arrays_are_read_as_numpy_reads_them(tmp_path, order, dtype, shape):
    array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype), order=order)
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", x=array)
    for found in (read_array(tmp_path / "x.npy"), read_arrays(tmp_path / "x.npz")["x"]):
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert np.array_equal(found, array)
        assert found.flags.writeable


def test_objects_in_arrays_are_told_and_never_loaded(tmp_path):
    np.savez(tmp_path / "x.npz", fine=np.zeros(2), bad=np.array([None]))
    with pytest.raises(ObjectsError, match="Python objects in the array bad"):
        read_arrays(tmp_path / "x.npz")


def test_what_was_written_is_read(tmp_path):
    write_npz(tmp_path / "x.npz", {"a": np.eye(3)}, {"record": {"b": [1, None]}})
    arrays, records = read_npz(tmp_path / "x.npz", "record")
    assert list(arrays) == ["a"]
    assert np.array_equal(arrays["a"], np.eye(3))
    assert records == [{"b": [1, None]}]


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_zips_end_in_an_error_of_ours(tmp_path_factory, noise, at):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    write_npz(path, {"a": np.arange(20)}, {"explanation": {}})
    content = bytearray(path.read_bytes())
    content[at : at + len(noise)] = noise
    path.write_bytes(content)
    with pytest.raises(AbeleError):
        Explanation.load(path)


# Recipes


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (LAUGHS, "stands for more than 20000 keys and values"),
        ("a: &a [1, *a]", "what it is part of"),
        ("a: *b", "stands for nothing"),
        ("[" * 1000, "nested more than 50 deep"),
        ("a: &a " + "x" * 10**5 + "\nb: [" + ", ".join(["*a"] * 1000) + "]", "stands for more than"),
        ("a: [", "expected"),
        ("x" * 2**21, "more than 1 MB"),
        ("\x00", "."),
    ],
)
def test_a_recipe_that_would_multiply_is_refused(tmp_path, text, match):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(AbeleError, match=match):
        read_recipe(tmp_path / "x.yaml")
    with pytest.raises(AbeleError, match=match):
        train(tmp_path / "x.yaml")


def test_aliases_may_be_used(tmp_path):
    text = "a: &a [1, 2]\nb: *a\nc: {<<: {d: *a}}\n"
    (tmp_path / "x.yaml").write_text(text)
    assert read_recipe(tmp_path / "x.yaml") == text
