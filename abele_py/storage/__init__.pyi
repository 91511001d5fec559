from .files import read_npz, write_atomically, write_bytes, write_json, write_npz
from .places import alone, check_replaceable, objection, remove
from .reading import parse_json, read_json, read_regular

__all__ = [
    "alone",
    "check_replaceable",
    "objection",
    "parse_json",
    "read_json",
    "read_npz",
    "read_regular",
    "remove",
    "write_atomically",
    "write_bytes",
    "write_json",
    "write_npz",
]
