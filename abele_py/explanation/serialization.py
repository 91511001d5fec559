"""Frozen records as JSON and arrays, and back: exactly, and without running code."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..trees import Trees

SCHEMA = 1
_AS_IT_IS = ("params", "provenance")  # JSON of any form, in which no records are looked for


def encode(value: Any, put: Callable[[str, Tensor], Any], path: str = "") -> Any:
    """The record as JSON; ``put`` is given each array with its path, such as ``exemplars.images``."""
    if isinstance(value, Tensor):
        return {"@array": put(path, value)}
    if is_dataclass(value) or isinstance(value, Trees):
        parts = value._asdict() if isinstance(value, Trees) else {f.name: getattr(value, f.name) for f in fields(value)}
        inner = {name: encode(v, put, f"{path}.{name}" if path else name) for name, v in parts.items()}
        return {"@": type(value).__name__, **inner}
    if isinstance(value, tuple):
        return [encode(v, put, f"{path}.{i}") for i, v in enumerate(value)]
    return value


def decode(value: Any, get: Callable[[Any], Tensor], records: Mapping[str, type]) -> Any:
    """What :func:`encode` was given. ``get`` gives an array back; no classes but ``records`` can be named."""
    if isinstance(value, list):
        return tuple(decode(v, get, records) for v in value)
    if not isinstance(value, dict):
        return value
    if "@array" in value:
        return get(value["@array"])
    if "@" not in value:
        return value
    if value.get("@schema", SCHEMA) != SCHEMA:
        raise ValueError(f"schema {value['@schema']}, this version reads {SCHEMA}; update abele_py")
    content = {k: (v if k in _AS_IT_IS else decode(v, get, records)) for k, v in value.items() if not k.startswith("@")}
    return records[value["@"]](**content)


def lists(_: str, tensor: Tensor) -> Any:
    """An array as nested lists, with its type and shape."""
    # The shortest decimal text of each float32, which reads back as the same float32.
    array = tensor.numpy()
    values = array.astype("U").astype(np.float64) if array.dtype == np.float32 else array
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "values": values.tolist()}


def with_schema(tree: dict[str, Any]) -> dict[str, Any]:
    """The encoded record, which says of which schema it is."""
    return {"@schema": SCHEMA, **tree}
