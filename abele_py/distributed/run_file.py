"""What a run is: models, options, images and versions, kept beside its shards, so that only the same run goes on."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..checking.parameters import checked
from ..errors import DataError
from ..storage.reading import read_json
from .rows import VERSION, Keep

NAME = "run.json"


@dataclass(frozen=True)
class Run:
    """What decides the shards of a run, to the byte.

    Attributes:
        version: of the columns of its shards, see docs/data-set-runs.md.
        data: what was explained: ``source``, such as ``"mnist:test"``, ``n`` images, and their ``digest``.
        image_shape: (C, H, W).
        class_names: of the black box's labels, in their order; numbers, where it has none.
        models: ``black_box`` and ``autoencoder``, see :func:`~abele_py.provenance.origin_of`.
        options: of the explanations, ``target`` among them.
        keep: ``"summary"``, ``"figures"`` or ``"full"``.
        shard_size: images in a shard.
        versions: of this package and those whose arithmetic it uses.
        named: what the command called ``data``, ``autoencoder`` and ``black_box``; nothing from Python.
    """

    version: int
    data: dict[str, Any]
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    models: dict[str, Any]
    options: dict[str, Any]
    keep: Keep
    shard_size: int
    versions: dict[str, str | None]
    named: dict[str, str]

    @property
    def digest(self) -> str:
        """What tells this run from any other, whatever its models are called."""
        return hashlib.sha256(json.dumps(self._decisive(), sort_keys=True).encode()).hexdigest()

    def rows_of(self, number: int) -> int:
        """Number of images in a shard."""
        return min(self.shard_size, self.data["n"] - number * self.shard_size)

    def differences(self, other: "Run") -> list[str]:
        """In what another run is another one."""
        own, others = (json.loads(json.dumps(run._decisive())) for run in (self, other))
        return [name for name, value in own.items() if value != others[name]]

    def as_json(self) -> dict[str, Any]:
        """What ``run.json`` holds."""
        return asdict(self)

    def _decisive(self) -> dict[str, Any]:
        return {name: value for name, value in self.as_json().items() if name != "named"}


def without_place(origin: Any) -> dict[str, Any]:
    """What a model is, wherever it was read from; nothing of what is no origin."""
    return {key: value for key, value in origin.items() if key != "specification"} if isinstance(origin, dict) else {}


@checked
def read_run(folder: str | Path) -> Run:
    """What the run in a folder is.

    Raises:
        DataError: the folder holds none, or its ``run.json`` is damaged.
    """
    path = Path(folder) / NAME
    try:
        found = read_json(path)
        run = Run(**found | {name: tuple(found[name]) for name in ("image_shape", "class_names")})
        _check(run)
        return run
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"got {str(folder)!r}, which holds no readable {NAME} ({error}); expected the folder of a run; make one "
            "with abele explain-dataset"
        ) from error


def _check(run: Run) -> None:
    """Refuse values of other kinds than a run writes, and columns of another version: readers rely on them."""
    if run.version != VERSION:
        raise ValueError(f"its rows are of version {run.version!r}, not {VERSION}")
    records = (run.data, run.models, run.options, run.versions, run.named)
    shape = len(run.image_shape) == 3 and all(isinstance(n, int) and 0 < n < 2**20 for n in run.image_shape)
    if not (shape and all(isinstance(record, dict) for record in records)):
        raise ValueError("its values are of other kinds")
    if not all(isinstance(name, str) for name in run.class_names) or not isinstance(run.data.get("n", 0), int):
        raise ValueError("its values are of other kinds")
