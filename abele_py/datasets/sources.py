"""Where a user's images come from: a folder of pictures per class, or arrays in an ``.npz`` file.

Both are checked and read into the same record. Pictures are decoded, arrays are loaded without pickle: nothing that is
read here can run code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import DataError, ImageError
from ..storage.files import ObjectsError
from ..storage.files import read_arrays as read_members
from .folders import SUFFIXES, Left, is_hidden, leave_beside, pictures_in, visible_folders
from .images import range_hint, read_picture, scaled, white_of
from .prepared_images import TEST, TRAIN, VAL

LARGEST_KEPT = 128  # pixels a side that are kept without being asked for: the recipes are made for small images
SIZES = (4, 256)
OPEN = -1  # the split of an image that is in none yet
_SPLIT_FOLDERS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}


@dataclass(frozen=True)
class Found:
    """What a source holds: images of one size, each (1 or 3, H, W) uint8, and what the source says of each.

    ``notes`` say what was left out or changed: a sentence, and the names of all files that it concerns.
    """

    images: Sequence[np.ndarray]
    labels: np.ndarray
    splits: np.ndarray
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    notes: dict[str, tuple[str, ...]]


# A folder of pictures


def read_folder(root: Path, size: int | None, channels: int | None, skip_unreadable: bool) -> Found:
    """Pictures in a folder per class, or below ``train``, ``val`` and ``test``; raises as ``import_images``.

    Args:
        root: the folder.
        size: pixels a side to scale to.
        channels: 1 or 3, or None: as each file is stored.
        skip_unreadable: leave out what cannot be read.
    """
    folders, left = visible_folders(root), Left(root)
    given = {folder.name.lower() for folder in folders}
    has_splits = "train" in given and given <= set(_SPLIT_FOLDERS)
    if not has_splits:
        _check_no_splits(folders)
    parts = [(_SPLIT_FOLDERS[f.name.lower()], f) for f in folders] if has_splits else [(OPEN, root)]
    classes = [(split, folder) for split, part in parts for folder in visible_folders(part)]
    if not classes:
        raise DataError(
            f"got no folders in {' and '.join(str(part) for _, part in parts)}; expected one folder of pictures per "
            "class; sort the pictures into folders named as their classes"
        )
    class_names = tuple(sorted({folder.name for _, folder in classes}))
    pictures = [
        (file, split, class_names.index(folder.name)) for split, folder in classes for file in pictures_in(folder, left)
    ]
    if not pictures:
        raise DataError(
            f"got no pictures in {root}, in the folders {', '.join(class_names[:5])}; expected files that end in "
            f"{', '.join(sorted(SUFFIXES))}; check the path"
        )
    for part in {part for _, part in parts} | {root}:
        leave_beside(part, left)

    kept, images, unreadable = [], [], {}
    on_black, on_white, moving = [], [], []
    first: tuple[str, tuple[int, ...]] | None = None
    for entry in tqdm(pictures, desc="reading pictures", unit="picture", disable=None, leave=False):
        name = entry[0].relative_to(root).as_posix()
        try:
            picture = read_picture(entry[0], channels)
        except ImageError as error:
            unreadable[name] = str(error)
            continue
        first = first or (name, picture.pixels.shape[1:])
        if size is None:
            _check_size(name, picture.pixels.shape[1:], *first)
        images.append(_scaled(picture.pixels, size))
        kept.append((name, *entry[1:]))
        on_black += [name] if picture.ground == "black" else []
        on_white += [name] if picture.ground == "white" else []
        moving += [name] if picture.n_frames > 1 else []
    if unreadable and not skip_unreadable:
        raise DataError(
            f"got {some(list(unreadable))} that cannot be read as pictures (the first: "
            f"{next(iter(unreadable.values()))}); repair or remove them, or pass --data.skip_unreadable=true"
        )
    concerned = {
        **{f"left out {some(sorted(names))}: {reason}": sorted(names) for reason, names in left.names.items()},
        f"skipped {some(unreadable)}: cannot be read as pictures": unreadable,
        f"put {some(on_black)} on black: parts are transparent": on_black,
        f"put {some(on_white)} on white: parts are transparent, and what is drawn could not be seen on black": on_white,
        f"took the first frame of {some(moving)}": moving,
    }
    notes = {sentence: tuple(files) for sentence, files in concerned.items() if files}
    names, splits, labels = zip(*kept, strict=True) if kept else ((), (), ())
    return Found(images, np.array(labels, int), np.array(splits, int), class_names, names, notes)


def _check_no_splits(folders: Sequence[Path]) -> None:
    """Refuse a ``train`` that holds classes beside folders that are no splits: all of these would become classes."""
    for folder in folders:
        inner = visible_folders(folder)
        pictures = [f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not is_hidden(f.name)]
        if folder.name.lower() == "train" and len(inner) > 1 and not pictures:
            beside = [f.name for f in folders if f.name.lower() not in _SPLIT_FOLDERS]
            raise DataError(
                f"got the folder {folder.name}, which holds folders ({', '.join(f.name for f in inner[:5])}), beside "
                f"{', '.join(beside[:5])}; expected train, val and test alone, or a folder of pictures per class; "
                f"move {', '.join(beside[:5])} elsewhere, or, if {folder.name} is a class, put its pictures into it "
                "without folders"
            )


def _check_size(name: str, shape: Sequence[int], first_name: str, first_shape: Sequence[int]) -> None:
    """Without a stated size, all pictures have one, and a small one."""
    h, w = shape
    if tuple(shape) != tuple(first_shape):
        raise DataError(
            f"got pictures of different sizes: {first_name} has {first_shape[1]}x{first_shape[0]} pixels, {name} "
            f"{w}x{h}; expected one size; pass --data.size 28 to scale them all"
        )
    if not (SIZES[0] <= min(h, w) and max(h, w) <= LARGEST_KEPT):
        raise DataError(
            f"got pictures of {w}x{h} pixels ({name}); expected {SIZES[0]} to {LARGEST_KEPT} a side; pass "
            "--data.size 28 to scale them (or another size)"
        )


def _scaled(pixels: np.ndarray, size: int | None) -> np.ndarray:
    if size is None or pixels.shape[1:] == (size, size):
        return pixels
    return (255 * scaled(pixels, (size, size))).round().byte().numpy()


# An array file


def arrays_in(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file of a user's.

    Raises:
        DataError: it is none, it is damaged, or it holds Python objects.
    """
    if path.suffix != ".npz":
        raise DataError(f"got {path}; expected a folder, or a file .npz with images and labels; pass one of these")
    try:
        return read_members(path)
    except ObjectsError as error:
        raise DataError(
            f"got {error}; expected numbers or text: objects can hold code and are never loaded; save it with a plain "
            "type, such as np.array(values, dtype=...)"
        ) from error
    except Exception as error:  # whatever a damaged file leads to, also MemoryError
        raise DataError(f"got {path.name!r}, which is no readable .npz ({error}); save it with numpy.savez") from error


def read_arrays(path: Path, size: int | None) -> Found:
    """The arrays of an ``.npz`` file; raises as ``import_images``."""
    arrays = arrays_in(path)
    parts = [(split, f"{name}_") for name, split in _SPLIT_FOLDERS.items() if f"{name}_images" in arrays]
    parts = [(OPEN, "")] if "images" in arrays else parts
    if not any(split in (OPEN, TRAIN) for split, _ in parts):
        raise DataError(
            f"got the arrays {', '.join(arrays) or 'none'} in {path.name}; expected images and labels, or "
            "train_images, train_labels and so on; name them so"
        )
    images, labels, splits, names = [], [], [], []
    white = white_in([arrays[f"{prefix}images"] for _, prefix in parts], path)
    for split, prefix in parts:
        part = as_images(arrays[f"{prefix}images"], f"{prefix}images", white)
        images += [_scaled(image, size) for image in part]
        labels.append(as_labels(arrays.get(f"{prefix}labels"), f"{prefix}labels", len(part)))
        splits += [split] * len(part)
        names += [f"{prefix}images[{i}]" for i in range(len(part))]
        shape = part.shape[2:]
        if size is None:
            _check_size(names[-1], shape, names[0], images[0].shape[1:])
    if len({image.shape[0] for image in images}) > 1:
        raise DataError(f"got images with 1 and with 3 channels in {path.name}; expected one kind; convert them")
    together = np.concatenate(labels)
    class_names = as_class_names(arrays.get("class_names"), together)
    return Found(images, together, np.array(splits), class_names, tuple(names), {})


def white_in(arrays: Sequence[np.ndarray], path: Path) -> int:
    """What is white in the 8-bit numbers and truths among these arrays, all together: 1 or 255."""
    try:
        return white_of(max((int(a.max()) for a in arrays if a.dtype in (np.uint8, np.bool_) and a.size), default=255))
    except ValueError as error:
        raise DataError(
            f"got {error}, in all images of {path.name}; expected to know what is white; save them as floats in "
            "[0, 1], divided by that"
        ) from None


def as_images(value: np.ndarray, name: str, white: int) -> np.ndarray:
    """An array as (N, 1 or 3, H, W) uint8; ``white`` is that of 8-bit numbers and truths."""
    if value.ndim == 3:
        value = value[:, None]
    if value.ndim == 4 and value.shape[1] not in (1, 3) and value.shape[3] in (1, 3):
        value = value.transpose(0, 3, 1, 2)
    if value.ndim != 4 or value.shape[1] not in (1, 3) or value.size == 0:
        raise DataError(
            f"got {name} of shape {value.shape}; expected (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 "
            "channels; reshape it"
        )
    if value.dtype in (np.uint8, np.bool_):
        return value.astype(np.uint8) * np.uint8(255 // white) if white != 255 else value
    if value.dtype.kind != "f":
        raise DataError(f"got {name} of {value.dtype}; expected uint8, or floats in [0, 1]; convert it")
    if not np.isfinite(value).all():
        raise DataError(f"got NaN or infinite pixels in {name}; expected values in [0, 1]; repair the images")
    if value.min() < 0 or value.max() > 1:
        raise DataError(
            f"got pixels from {value.min():.4g} to {value.max():.4g} in {name}; expected floats in [0, 1], or uint8; "
            f"{range_hint(float(value.min()), float(value.max()))}"
        )
    return (255 * value).round().astype(np.uint8)


def as_labels(value: np.ndarray | None, name: str, n: int) -> np.ndarray:
    if value is None:
        raise DataError(f"got no array {name}; expected the {n} labels of the images; add it to the file")
    if value.ndim == 2 and value.shape[1] == 1:  # as MedMNIST stores them
        value = value[:, 0]
    if value.shape != (n,):
        raise DataError(f"got {name} of shape {value.shape} for {n} images; expected one label each; repair the file")
    if value.dtype.kind not in "iub":
        raise DataError(
            f"got {name} of {value.dtype}; expected whole numbers from 0; convert them, and give the classes names in "
            "class_names"
        )
    return value.astype(np.int64)


def as_class_names(value: np.ndarray | None, labels: np.ndarray) -> tuple[str, ...]:
    low, high = int(labels.min()), int(labels.max())
    if value is None:
        n = high + 1
        if low < 0 or n > len(labels):  # a number per class has to be possible; far off, it is no label
            raise DataError(f"got labels from {low} to {high}; expected whole numbers from 0; count the classes from 0")
        return tuple(str(label) for label in range(n))
    if value.ndim != 1 or value.dtype.kind != "U" or len(set(value.tolist())) < len(value):
        raise DataError(
            f"got class_names of {value.dtype} and shape {value.shape}; expected different texts, one per class; save "
            "them with np.array(names)"
        )
    if low < 0 or high >= len(value):
        raise DataError(
            f"got labels from {low} to {high} for {len(value)} class_names; expected 0 to {len(value) - 1}; repair them"
        )
    return tuple(value.tolist())


def some(names: Iterable[str]) -> str:
    """How many, and the first few by name."""
    names = list(names)
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} file{'s' if len(names) > 1 else ''} ({shown})"
