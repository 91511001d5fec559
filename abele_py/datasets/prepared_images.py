"""Prepared images of a user: one ``.npz`` file that holds images, labels, splits and how they were made.

``importing`` makes it; ``loading.dataset_of`` takes its path as the name of a data set. Loaded without pickle.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..checking.parameters import checked
from ..errors import DataError, PlaceError
from ..storage.files import check_file, read_npz, write_npz

SCHEMA = 2
_SPLITS = ("train", "val", "test")
_ARRAYS = ("images", "labels", "splits", "class_names", "names")
TRAIN, VAL, TEST = range(3)  # the codes of the splits in the file


@dataclass(frozen=True)
class OwnImages:
    """Images that a user brought, prepared.

    Attributes:
        images: (N, C, H, W) uint8, C is 1 or 3.
        labels: (N,) int64, each in 0..K-1.
        splits: (N,) int8: 0 train, 1 val, 2 test.
        class_names: K names, in the order of the labels.
        names: N names: the picture's path under the folder, or its place in the array file.
        title: name of the folder or file.
        licence: of the images, in words.
        preparation: how a picture became its pixels, in words.
        splitting: how the splits were made, in words.
        notes: what was left out or changed: a sentence, which names a few, and the names of all files it concerns.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    title: str
    licence: str
    preparation: str
    splitting: str
    notes: dict[str, tuple[str, ...]]

    def rows(self, split: str) -> np.ndarray:
        """Numbers of the images of a split."""
        return np.flatnonzero(self.splits == _SPLITS.index(split))

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that tell these images, labels and splits from any others."""
        content = hashlib.sha256(json.dumps([self.images.shape, self.class_names]).encode())
        for array in (self.images, self.labels, self.splits):
            content.update(np.ascontiguousarray(array).data)
        return content.hexdigest()[:12]

    def __str__(self) -> str:
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        each = [f"{name} {count}" for name, count in zip(self.class_names, counts, strict=True)]
        more = [f"{len(each) - 10} more"] if len(each) > 10 else []
        c, h, w = self.images.shape[1:]
        kind = "grey" if c == 1 else "colour"
        splits = ", ".join(f"{split} {len(self.rows(split))}" for split in _SPLITS)
        return "\n".join(
            [
                f"{self.title}: {len(self.labels)} images, {kind}, {w}x{h} pixels; {self.preparation}",
                f"classes: {', '.join(each[:10] + more)}",
                f"splits: {splits} ({self.splitting})",
                *(f"note: {note}" for note in self.notes),
            ]
        )


@checked
def read_own_images(path: str | Path) -> OwnImages:
    """Read a prepared file.

    Raises:
        DataError: there is none, or it is not what ``import_images`` writes.
    """
    path = Path(path)
    again = "make it with: abele train training/folder.yaml --data.path FOLDER"
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"got no file {path}; expected prepared images; {again}") from error
    try:
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except Exception as error:  # whatever a damaged or foreign file leads to
        raise DataError(
            f"got {path}, which holds no prepared images ({error}); expected such a file; {again}"
        ) from error


def own_record(path: str | Path) -> dict[str, Any]:
    """The fields of a ``datasets.Dataset``.

    Name and title hold no path: they travel with what is trained on it. The name ends in the images' digest, so that a
    training belongs to these images alone, whatever stands at this path later.
    """
    own = read_own_images(path)
    title = f"{own.title} (own images)"

    def read(split: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        rows = own.rows(split)
        return own.images[rows], own.labels[rows]

    return {
        "name": f"{own.title} (own images {own.digest})",
        "title": title,
        "image_shape": own.images.shape[1:],
        "class_names": own.class_names,
        "licence": own.licence,
        "source": title,
        "sizes": {split: len(own.rows(split)) for split in _SPLITS},
        "splitting": own.splitting,
        "preparation": own.preparation,
        "read": read,
    }


@lru_cache(maxsize=1)  # a training asks for every split several times, of one file
def _read(path: Path, changed: int, size: int) -> OwnImages:
    del changed, size  # the file's identity in the cache
    arrays, (record,) = read_npz(path, "record")
    images, labels, splits = arrays["images"], arrays["labels"], arrays["splits"]
    class_names, names = (tuple(arrays[name].tolist()) for name in ("class_names", "names"))
    if record.pop("schema") != SCHEMA:
        raise ValueError("of another version of abele_py")
    fits = (
        images.ndim == 4 and images.shape[1] in (1, 3) and images.dtype == np.uint8 and images.size > 0
        and labels.shape == splits.shape == images.shape[:1] == (len(names),)
        and labels.dtype == np.int64 and splits.dtype == np.int8
        and set(splits.tolist()) == {TRAIN, VAL, TEST}
        and labels.min() >= 0 and labels.max() < len(class_names)
    )  # fmt: skip
    if not fits:
        raise ValueError("arrays do not fit together")
    record["notes"] = {sentence: tuple(concerned) for sentence, concerned in record["notes"].items()}
    own = OwnImages(images, labels, splits, class_names, names, **record)
    for array in (images, labels, splits):
        array.setflags(write=False)  # shared by all who ask
    return own


def check_prepared(out: Path) -> None:
    """Refuse to replace what is no prepared file; a free name is fine.

    Raises:
        PlaceError: something else has the name.
    """
    check_file(out)
    if os.path.lexists(out):
        try:
            read_own_images(out)
        except DataError as error:
            raise PlaceError(
                f"got {out}, which is there and holds no prepared images; expected a free name, or such a file to "
                "replace; choose another name, or move it away"
            ) from error


def write_own_images(own: OwnImages, out: Path) -> None:
    """Write a prepared file atomically; an earlier one is replaced.

    Raises:
        DataError: it cannot be written.
        PlaceError: something else has the name.
    """
    check_prepared(out)
    record = {name: getattr(own, name) for name in ("title", "licence", "preparation", "splitting", "notes")}
    arrays = {name: np.asarray(getattr(own, name)) for name in _ARRAYS}
    try:
        write_npz(out, arrays, {"record": record | {"schema": SCHEMA}}, compressed=False)
    except OSError as error:
        raise DataError(
            f"got {error} while writing {out}; expected a place that can be written; check the folder and the disk"
        ) from error
