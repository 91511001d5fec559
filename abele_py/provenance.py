"""What a result was made of: names and hashes of models, files and images, so that it can be audited.

Loaders remember what they have read. A model of the user's own is told by its type and its weights or source.
"""

import hashlib
import inspect
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

Model = TypeVar("Model")
_READ: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def remember(model: Model, origin: Mapping[str, Any]) -> Model:
    """Note where a model was read from, for :func:`origin_of`; returns the model."""
    with suppress(TypeError):  # a kind of object that cannot be remembered, such as a builtin: its type is told
        _READ[model] = dict(origin)
    return model


def origin_of(model: Any) -> dict[str, Any]:
    """What a model is, as JSON.

    Returns:
        What was remembered of it, such as its ``name``, ``specification`` and the sha256 of its ``files``. Of another
        model: its ``type``; of a torch module ``weights_sha256``, over names, types and bytes of its state; of a
        function its ``name`` and the sha256 of the file that holds it.
    """
    try:
        known = _READ.get(model)
    except TypeError:
        known = None
    if known is not None:
        return dict(known)
    if inspect.isroutine(model):
        return {"type": "function", "name": _name_of(model), "files": hashes_of(*_source_of(model))}
    found = {"type": _name_of(type(model))}
    if callable(getattr(model, "state_dict", None)):
        return found | {"weights_sha256": _hash_of_state(model.state_dict())}
    return found | {"files": hashes_of(*_source_of(type(model)))}


def origin_of_image(image: Any) -> dict[str, Any]:
    """What an image is, as JSON: ``shape`` and ``sha256`` of the tensor."""
    return {"shape": list(image.shape), "sha256": hash_of_array(image)}


def merged(known: Any, more: Any) -> Any:
    """What is known with what more is told: dictionaries and lists of one length part by part, all else replaced."""
    if isinstance(known, Mapping) and isinstance(more, Mapping):
        return {**known, **{name: merged(known.get(name), value) for name, value in more.items()}}
    if isinstance(known, list) and isinstance(more, list) and len(known) == len(more):
        return [merged(*both) for both in zip(known, more, strict=True)]
    return more


def hash_of_array(values: Any) -> str:
    """The sha256 of an array's or tensor's shape, type and bytes, row by row."""
    array = values.detach().cpu().contiguous() if hasattr(values, "detach") else values
    digest = hashlib.sha256(f"{array.dtype} {tuple(array.shape)} ".encode())
    digest.update(_bytes_of(array))
    return digest.hexdigest()


def hashes_of(*paths: Path) -> dict[str, str]:
    """File name -> sha256 of its content, for files that can be read."""
    found = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            continue
    return found


def command_of(arguments: Sequence[str]) -> str:
    """The ``abele`` command with these arguments, for a shell. Queries of addresses, which may hold keys, go."""
    return re.sub(r"(https?://[^\s?]*)\?[^\s']*", r"\1", shlex.join(["abele", *arguments]))


def now() -> str:
    """The time in UTC, as ISO 8601 writes it, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(*packages: str) -> dict[str, str | None]:
    """Package -> its version; None for one that is not installed."""
    return {package: _version(package) for package in packages}


@cache  # to look the versions up takes a tenth of a small explanation's time
def _version(package: str) -> str | None:
    if package == "python":
        return platform.python_version()
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _name_of(thing: Any) -> str:
    return f"{getattr(thing, '__module__', None)}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _source_of(thing: Any) -> list[Path]:
    try:
        source = inspect.getsourcefile(thing)
    except TypeError:  # of a builtin
        return []
    return [Path(source)] if source else []


def _hash_of_state(state: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        digest.update(f"{name} {hash_of_array(value) if hasattr(value, 'shape') else value!r}\n".encode())
    return digest.hexdigest()


def _bytes_of(array: Any) -> bytes:
    """The bytes of a tensor of any type, numpy's or not, such as bfloat16."""
    if hasattr(array, "detach"):
        import torch

        array = array.reshape(-1).view(torch.uint8).numpy() if array.numel() else array.float().numpy()
    return bytes(array.tobytes())
