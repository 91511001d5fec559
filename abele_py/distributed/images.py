"""Images of a data set in a fixed order, each read when its turn comes: of a split, a folder of pictures, or arrays."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..datasets.folders import Left, pictures_in
from ..datasets.images import check_image, read_image_file
from ..datasets.loading import dataset_of, load_split
from ..datasets.records import ImageSet, to_unit
from ..datasets.sources import arrays_in, as_class_names, as_images, as_labels, white_in
from ..errors import DataError, ImageError, ParameterError
from ..provenance import hash_of_array

Shape = tuple[int, int, int]
_SPLIT = re.compile(r"(?P<name>[\w-]+|.+\.npz):(?P<split>\w+)(:(?P<n>\d+))?")


class Listed(NamedTuple):
    """One image of a data set.

    Attributes:
        number: its place in the data set, from 0.
        name: what it is called, such as ``"mnist:test:7"``, or its path under the folder.
        image: (C, H, W) float32 in [0, 1], or why it cannot be used.
        true_label: what is known of it, as a label of the black box; None where nothing is.
    """

    number: int
    name: str
    image: Tensor | ImageError
    true_label: int | None


@runtime_checkable
class Images(Protocol):
    """Images of a data set, which need not be in memory."""

    @property
    def origin(self) -> dict[str, Any]:
        """What tells them from any others, as JSON.

        ``source`` is what they are called, ``n`` how many there are, and ``digest`` another one for other images.
        """

    def __len__(self) -> int: ...

    def read(self, index: int) -> Listed:
        """One of them; a picture that cannot be used comes with the error in its place."""


def images_of(
    data: str | Path | ImageSet | Tensor | np.ndarray | Images, shape: Shape | None, class_names: Sequence[str], *,
    resize: bool = False, seed: int = 0, data_dir: str | Path | None = None, download: bool = False,
) -> Images:  # fmt: skip
    """The images of a data set.

    Args:
        data: ``DATASET:SPLIT`` or, for N images drawn at random, ``DATASET:SPLIT:N``; a folder of pictures, in which
            folders named as classes say what is true; a file ``.npz`` with ``images`` and, where they are known,
            ``labels`` and ``class_names``; or images themselves, (N, C, H, W) float in [0, 1]; or what is an
            :class:`Images` already.
        shape: (C, H, W) of each; None: that which all have, of a data set or arrays.
        class_names: of the black box, in which true labels are told.
        resize: scale pictures of another size.
        seed: of the draw.
        data_dir, download: as in :func:`~abele_py.datasets.load_split`.

    Raises:
        ParameterError: there are no images, or fewer than N.
        ImageError: all images have another shape.
        DataError, UnknownNameError: they cannot be read.
    """
    if isinstance(data, ImageSet):
        arrays = _Arrays(data.images, data.labels, "images", range(len(data)), hash_of_array(data.images))
        return _of_shape(arrays, shape, data.class_names, class_names)
    if isinstance(data, Images):
        return data
    if not isinstance(data, str | Path):
        values = torch.as_tensor(data)
        return _of_shape(_Arrays(values, None, "images", range(len(values)), hash_of_array(values)), shape)
    path, split = Path(data), _SPLIT.fullmatch(str(data))
    if split and not path.exists():
        return _of_split(split, shape, class_names, seed, data_dir, download)
    if path.is_dir():
        if shape is None:
            raise ParameterError(
                f"got the folder {str(path)!r}, whose pictures may have any size; expected to know (C, H, W); name an "
                "autoencoder, or prepare the images (docs/own-images.md)"
            )
        return _Folder(path, shape, tuple(class_names), resize)
    return _of_file(path, shape, class_names)


@dataclass(frozen=True)
class _Arrays:
    """Images in memory, uint8 or float, and their labels as the black box has them, -1 where it has none."""

    images: Tensor
    labels: Tensor | None
    source: str
    numbers: Sequence[int]  # by which they are called
    digest: str

    @property
    def origin(self) -> dict[str, Any]:
        return {"source": self.source, "n": len(self), "digest": self.digest}

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> Listed:
        image = self.images[index]
        label = -1 if self.labels is None else int(self.labels[index])
        try:
            found: Tensor | ImageError = check_image(
                image if image.is_floating_point() else to_unit(image), _shape_of(image)
            )
        except ImageError as error:
            found = error
        return Listed(index, f"{self.source}:{self.numbers[index]}", found, label if label >= 0 else None)


class _Folder:
    """Pictures below a folder, in the order of their paths."""

    def __init__(self, root: Path, shape: Shape, class_names: tuple[str, ...], resize: bool) -> None:
        self._root, self._shape, self._class_names, self._resize = root, shape, class_names, resize
        self._paths = pictures_in(root, Left(root))
        if not self._paths:
            raise DataError(f"got no pictures in {root}; expected files such as 1.png, in folders or not; check it")

    @property
    def origin(self) -> dict[str, Any]:
        digest = hashlib.sha256(str(self._resize).encode())
        for path in self._paths:  # their pixels are hashed when they are read
            digest.update(f"{path.relative_to(self._root).as_posix()} {path.stat().st_size}\n".encode())
        return {"source": self._root.resolve().name, "n": len(self), "digest": digest.hexdigest()}

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: int) -> Listed:
        name = self._paths[index].relative_to(self._root)
        known = [self._class_names.index(part) for part in name.parts[:-1] if part in self._class_names]
        try:
            image: Tensor | ImageError = read_image_file(self._paths[index], self._shape, self._resize).image
        except ImageError as error:
            image = error
        return Listed(index, name.as_posix(), image, known[0] if known else None)


def _of_split(
    found: "re.Match[str]", shape: Shape | None, class_names: Sequence[str], seed: int, data_dir: Any, download: bool
) -> Images:
    name, split = found["name"], found["split"]
    whole = load_split(name, split, data_dir, download)
    n = len(whole) if found["n"] is None else int(found["n"])
    if not 1 <= n <= len(whole):
        raise ParameterError(f"got {n} images of {name}:{split}; expected 1 to {len(whole)}; ask for fewer")
    rows = np.sort(np.random.default_rng(seed).choice(len(whole), n, replace=False)).tolist()
    digest = hashlib.sha256(f"{dataset_of(name).name} {split} {rows}".encode()).hexdigest()
    images, labels = (whole.images, whole.labels) if n == len(whole) else (whole.images[rows], whole.labels[rows])
    arrays = _Arrays(images, labels, f"{Path(name).name}:{split}", rows, digest)
    return _of_shape(arrays, shape, whole.class_names, class_names)


def _of_file(path: Path, shape: Shape | None, class_names: Sequence[str]) -> Images:
    if not path.exists():
        raise DataError(
            f"got {str(path)!r}; expected DATASET:SPLIT such as mnist:test, a folder of pictures, or a file .npz with "
            "images; check the path"
        )
    arrays = arrays_in(path)
    if "images" not in arrays or "record" in arrays:
        raise DataError(
            f"got {path.name} with the arrays {', '.join(arrays) or 'none'}; expected images; of prepared images name "
            f"a split: {path.name}:test"
        )
    images = as_images(arrays["images"], "images", white_in([arrays["images"]], path))
    labels, names = None, tuple[str, ...]()
    if "labels" in arrays:
        labels = as_labels(arrays["labels"], "labels", len(images))
        names = as_class_names(arrays.get("class_names"), labels)
    found = _Arrays(
        torch.from_numpy(np.require(images, requirements=["C", "W"])),
        None if labels is None else torch.from_numpy(labels), path.name, range(len(images)), hash_of_array(images),
    )  # fmt: skip
    return _of_shape(found, shape, names, class_names)


def _of_shape(arrays: _Arrays, shape: Shape | None, own: Sequence[str] = (), known: Sequence[str] = ()) -> _Arrays:
    """The arrays, if each can be an image, with labels that are those of the black box, by name or else by number.

    Args:
        arrays: with labels of their own.
        shape: (C, H, W); None: any.
        own: names of their labels.
        known: names of the black box's labels; none, where it has none.
    """
    wanted = "" if shape is None else f" with (C, H, W) = {tuple(shape)}"
    if arrays.images.ndim != 4 or not len(arrays):
        raise ParameterError(
            f"got images of shape {tuple(arrays.images.shape)}; expected at least one, (N, C, H, W){wanted}"
        )
    if shape is not None and _shape_of(arrays.images[0]) != tuple(shape):
        raise ImageError(
            f"got images of shape {_shape_of(arrays.images[0])}; expected (C, H, W) = {tuple(shape)}, as the "
            "autoencoder was trained; scale them, or train an autoencoder on these"
        )
    if arrays.labels is None or not known or not set(own) & set(known):
        return arrays
    places = torch.tensor([known.index(name) if name in known else -1 for name in own])
    return _Arrays(arrays.images, places[arrays.labels], arrays.source, arrays.numbers, arrays.digest)


def _shape_of(image: Tensor) -> Shape:
    c, h, w = image.shape
    return c, h, w


Task = tuple[int, list[Listed]]  # number of a shard, and its images


def in_shards(images: Images, size: int, numbers: Iterable[int]) -> Iterator[Task]:
    """The shards of these numbers, ``size`` images each; images are read when their turn comes."""
    for number in numbers:
        rows = range(number * size, min((number + 1) * size, len(images)))
        yield number, [images.read(index) for index in rows]
