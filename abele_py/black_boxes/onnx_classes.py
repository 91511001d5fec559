"""Which classes an ONNX file names: lists of numbers or words in it, of which one belongs to the columns of its scores.

onnxruntime shows no attributes, and a library that does is no dependency. What is read here are fields of protocol
buffers: https://protobuf.dev/programming-guides/encoding, with the numbers of onnx.proto.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_MOST = 100_000  # classes; longer lists are weights
_GRAPH, _NODE, _INITIALIZER, _ATTRIBUTE = 7, 1, 5, 5  # of a model, a graph, a graph, a node
_NAME, _TENSOR, _INTEGERS, _TEXTS = 1, 5, 8, 9  # of an attribute
_TYPE, _INT32, _STRINGS, _INT64, _RAW = 2, 5, 6, 7, 9  # of a tensor
_RAW_TYPES = {6: "<i4", 7: "<i8"}


class Listed(NamedTuple):
    """A list in a file: whether the file calls it class labels, and what it holds."""

    named: bool
    classes: tuple[int | str, ...]


def lists_in(path: str | Path) -> list[Listed]:
    """All lists of different whole numbers or texts in a file that may be classes; nothing where it cannot be read."""
    try:
        model = memoryview(Path(path).read_bytes())
        found = [entry for graph in _parts(model, _GRAPH) for entry in _lists(graph)]
    except (OSError, ValueError, IndexError):
        return []
    return [entry for entry in dict.fromkeys(found) if 1 < len(entry.classes) == len(set(entry.classes))]


def columns_named_by(lists: Sequence[Listed], labels: Sequence[int | str], scores: np.ndarray) -> tuple | None:  # type: ignore[type-arg]
    """The list that names the columns of scores (N, K), as the labels beside them have it; None if none does.

    It holds every label. Of several, that which names the largest column of the most images.
    """
    known = [entry.classes for entry in lists if len(entry.classes) == scores.shape[1]]
    fitting = [classes for classes in known if set(labels) <= set(classes)]
    if not fitting:
        return None
    largest = scores.argmax(axis=1).tolist()
    return max(fitting, key=lambda c: sum(c[i] == y for i, y in zip(largest, labels, strict=True)))


def only_list(lists: Sequence[Listed], words: bool) -> tuple[int | str, ...] | None:
    """The classes of labels that stand alone: the one list that the file calls so, else of words the only one in it."""
    fitting = [entry for entry in lists if isinstance(entry.classes[0], str) == words]
    found = {entry.classes for entry in fitting if entry.named} or {entry.classes for entry in fitting if words}
    return found.pop() if len(found) == 1 else None


def _lists(graph: memoryview) -> Iterator[Listed]:
    for node in _parts(graph, _NODE):
        for attribute in _parts(node, _ATTRIBUTE):
            name = b"".join(map(bytes, _parts(attribute, _NAME)))
            named = name.startswith(b"classlabels")
            yield Listed(named, tuple(_integers(attribute, _INTEGERS)))
            yield Listed(named, tuple(_texts(attribute, _TEXTS)))
            for tensor in _parts(attribute, _TENSOR):
                yield Listed(False, _tensor(tensor))
    for tensor in _parts(graph, _INITIALIZER):
        yield Listed(False, _tensor(tensor))


def _tensor(tensor: memoryview) -> tuple[int | str, ...]:
    kind = next((value for number, value in _fields(tensor) if number == _TYPE), None)
    if kind in _RAW_TYPES:
        raw = b"".join(bytes(part) for part in _parts(tensor, _RAW) if len(part) <= 8 * _MOST)
        values = np.frombuffer(raw, _RAW_TYPES[int(kind)]).tolist()  # type: ignore[arg-type]
        return tuple(values or _integers(tensor, _INT32 if kind == 6 else _INT64))
    return tuple(_texts(tensor, _STRINGS)) if kind == 8 else ()


def _integers(message: memoryview, number: int) -> list[int]:
    found: list[int] = []
    for at, value in _fields(message):
        if at == number and isinstance(value, int):
            found.append(value)
        elif at == number and len(value) <= 10 * _MOST:  # type: ignore[arg-type]
            place = 0
            while place < len(value):  # type: ignore[arg-type]
                one, place = _varint(value, place)  # type: ignore[arg-type]
                found.append(one)
    return [value - 2**64 if value >= 2**63 else value for value in found]


def _texts(message: memoryview, number: int) -> list[str]:
    return [bytes(part).decode("utf-8", "replace") for part in _parts(message, number)]


def _parts(message: memoryview, number: int) -> Iterator[memoryview]:
    """The messages, texts or bytes of one field."""
    return (value for at, value in _fields(message) if at == number and isinstance(value, memoryview))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an integer, or bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
        elif kind == 2:
            size, place = _varint(message, place)
            yield number, message[place : place + size]
            place += size
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
