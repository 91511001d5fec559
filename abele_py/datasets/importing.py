"""The user's own images: read from where they are, checked, split, and written as one prepared file.

Everything that training and explaining read afterwards is the prepared file.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np

from ..checking.parameters import CheckedInside, Share, SmallSeed, checked, fit, shown
from ..errors import DataError, ParameterError
from .images import DIM
from .prepared_images import TEST, TRAIN, VAL, OwnImages, check_prepared, write_own_images
from .sources import OPEN, SIZES, Found, read_arrays, read_folder, some

FEWEST = 5  # images of a class, to have some in each split
OWN_LICENCE = "the user's own images"
Colour = Literal["auto", "grey", "rgb"]
_CHANNELS: dict[Colour, int | None] = {"auto": None, "grey": 1, "rgb": 3}
DRAWN = (
    "splits are drawn picture by picture; where several pictures show one patient, object or video, give train, val "
    "and test yourself, or the figures on unseen images are too good"
)
_NAMES = {TRAIN: "train", VAL: "val", TEST: "test"}


@checked
def import_images(
    path: str | Path,
    out: str | Path,
    size: int | None = None,
    colour: Colour = "auto",
    splits: Annotated[tuple[float, float, float], CheckedInside()] = (0.7, 0.15, 0.15),
    seed: SmallSeed = 0,
    skip_unreadable: bool = False,
    licence: str = OWN_LICENCE,
) -> Path:
    """Read a folder of pictures or an array file once, and write it as one prepared file.

    A folder holds one folder of pictures per class, named as the class; classes are in alphabetical order, as in
    torchvision's ``ImageFolder``. Or it holds ``train``, ``val`` and ``test``, each with the folders of the classes.
    An ``.npz`` file holds ``images``, (N, H, W) or with the channels second or last, uint8 or floats in [0, 1], and
    ``labels``, N whole numbers from 0; or ``train_images``, ``train_labels``, ``val_images`` and so on; and, if wanted,
    ``class_names``. Splits that are given are kept, and a missing ``val`` or ``test`` is drawn from ``train``.

    Of exact copies one is kept, so that no image is in two splits; copies under different classes are all left out.
    The prepared images are in a random order.

    Args:
        path: the folder or file.
        out: the prepared file, ``.npz``; an earlier one is replaced, and nothing else is.
        size: pixels a side of the prepared images, 4 to 256: bilinear, antialiased, stretched to a square, which is
            what ``abele explain --resize`` does too. None keeps the size, if it is one for all and at most 128.
        colour: "grey", "rgb", or "auto": grey where no picture has colours, colour where no picture is stored in grey.
        splits: shares of train, val and test, drawn class by class.
        seed: of the draw.
        skip_unreadable: leave pictures out that cannot be read, instead of refusing them.
        licence: of the images, in words; it travels with what is trained on them.

    Returns:
        The path of the prepared file.

    Raises:
        DataError: the source cannot be used: no pictures, one class, too few of a class, unreadable pictures, sizes or
            channels that differ, arrays that do not fit; or ``out`` cannot be written.
        ParameterError: an option has a value that it cannot have.
        PlaceError: ``out`` is there, and no prepared file.
    """
    path, out = Path(path), Path(out)
    _check_options(size, colour, splits, out)
    check_prepared(out)
    if path.is_dir():
        found = read_folder(path, size, _CHANNELS[colour], skip_unreadable)
    elif path.is_file():
        found = read_arrays(path, size)
    else:
        raise DataError(f"got {str(path)!r}; expected a folder with one folder per class, or an .npz; check the path")
    if len(found.class_names) < 2:
        raise DataError(
            f"got one class in {path}: {', '.join(found.class_names)}; expected two or more; make one folder of "
            "pictures per class"
        )
    found, colours = _in_one_colour(found, colour)
    found = _without_copies(found)
    given = set(found.splits.tolist()) >= {TRAIN, VAL, TEST}
    splitting = "splits as given" if given else _splitting(found.splits, splits, seed)
    found = _shuffled(replace(found, splits=_split(found, splits, seed)), seed)
    scaling = "sizes as they were" if size is None else f"stretched to {size}x{size} pixels (bilinear, antialiased)"
    _check_contrast(found, path)
    own = OwnImages(
        images=np.stack(found.images),
        labels=found.labels.astype(np.int64),
        splits=found.splits.astype(np.int8),
        class_names=found.class_names,
        names=found.names,
        title=path.resolve().name,
        licence=licence,
        preparation=f"{scaling}, {colours}",
        splitting=splitting,
        notes=found.notes if given else found.notes | {DRAWN: ()},
    )
    write_own_images(own, out)
    return out


def _shuffled(found: Found, seed: int) -> Found:
    """In a random order: whoever takes the first images then has some of every class."""
    rows = np.random.RandomState([seed, 1]).permutation(len(found.images))
    return replace(
        found,
        images=[found.images[row] for row in rows],
        labels=found.labels[rows],
        splits=found.splits[rows],
        names=tuple(found.names[row] for row in rows),
    )


def _check_options(size: int | None, colour: str, splits: Sequence[float], out: Path) -> None:
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise ParameterError(f"got size {size}; expected {SIZES[0]} to {SIZES[1]} pixels a side; pass --data.size 28")
    if colour not in get_args(Colour):
        raise ParameterError(f"got colour {colour!r}; expected one of: {', '.join(get_args(Colour))}")
    try:
        shares = fit("splits", tuple[Share, Share, Share], splits)
    except ParameterError:
        shares = ()
    if not shares or min(shares) == 0 or abs(sum(shares) - 1) > 1e-6:
        raise ParameterError(
            f"got {shown('splits', splits)}; expected shares of train, val and test above 0 that sum to 1; pass "
            "--data.splits [0.7,0.15,0.15]"
        )
    if out.suffix != ".npz":
        raise ParameterError(f"got the prepared file {out}; expected a name that ends in .npz; add it")


def _in_one_colour(found: Found, colour: Colour) -> tuple[Found, str]:
    """All images with one number of channels, and how, in words."""
    grey = [len(image) == 1 for image in found.images]
    coloured = [not g and bool((image[:1] != image).any()) for g, image in zip(grey, found.images, strict=True)]
    if colour == "auto" and any(grey) and any(coloured):
        examples = found.names[grey.index(True)], found.names[coloured.index(True)]
        raise DataError(
            f"got pictures in grey and in colour, such as {examples[0]} and {examples[1]}; expected one kind; pass "
            "--data.colour grey or --data.colour rgb to convert them"
        )
    if colour == "grey" or (colour == "auto" and not any(coloured)):
        return replace(found, images=[_in_grey(image) for image in found.images]), "grey"
    return replace(found, images=[np.broadcast_to(image, (3, *image.shape[1:])) for image in found.images]), "colour"


def _in_grey(image: np.ndarray) -> np.ndarray:
    """Luma of ITU-R 601-2 in whole numbers: exactly what Pillow's conversion to grey gives."""
    if len(image) == 1:
        return image
    r, g, b = image.astype(np.int32)
    return ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).astype(np.uint8)[None]


def _without_copies(found: Found) -> Found:
    """Of exact copies one is kept: the one in ``test``, else in ``val``, else the first."""
    groups: dict[bytes, list[int]] = {}
    for row, image in enumerate(found.images):
        groups.setdefault(hashlib.sha256(image.tobytes()).digest(), []).append(row)
    kept, copies, disputed = [], [], []
    for rows in groups.values():
        best = max(rows, key=lambda row: int(found.splits[row]))  # the first of equals
        if len(set(found.labels[rows].tolist())) > 1:
            disputed += [found.names[row] for row in rows]
            continue
        kept.append(best)
        copies += [found.names[row] for row in rows if row != best]
    concerned = {
        f"left out {some(copies)}: exact copies of other images, which would be in two splits": copies,
        f"left out {some(disputed)}: the same image under different classes": disputed,
    }
    kept.sort()
    return replace(
        found,
        images=[found.images[row] for row in kept],
        labels=found.labels[kept],
        splits=found.splits[kept],
        names=tuple(found.names[row] for row in kept),
        notes=found.notes | {sentence: tuple(names) for sentence, names in concerned.items() if names},
    )


def _check_contrast(found: Found, path: Path) -> None:
    """Refuse images that all look the same: of another white than 255, most likely."""
    low, high = min(image.min() for image in found.images), max(image.max() for image in found.images)
    if high - low <= DIM:
        raise DataError(
            f"got pixels from {low} to {high} of 255 in all images of {path}, where nothing can be seen; expected "
            "light and dark; scale them so that white is 255, or 1 in an array of floats"
        )


def _splitting(given: np.ndarray, shares: Sequence[float], seed: int) -> str:
    missing = [_NAMES[code] for code in (VAL, TEST) if code not in given]
    drawn = "splits drawn" if len(missing) == 2 else f"splits as given, {missing[0]} drawn from train"
    ratio = "/".join(f"{100 * share:g}" for share in shares)
    return f"{drawn}, class by class, {ratio} % for train/val/test, seed {seed}"


def _split(found: Found, shares: Sequence[float], seed: int) -> np.ndarray:
    """The split of every image: as given, and what is missing drawn from ``train`` or from all."""
    counts = np.bincount(found.labels, minlength=len(found.class_names))
    if counts.min() < FEWEST:
        name = found.class_names[int(counts.argmin())]
        raise DataError(
            f"got {counts.min()} different images of the class {name!r}; expected at least {FEWEST} of each class; add "
            "some, or remove the class"
        )
    missing = [code for code in (VAL, TEST) if code not in found.splits]
    total = shares[TRAIN] + sum(shares[code] for code in missing)
    splits = np.where(found.splits == OPEN, TRAIN, found.splits)
    random = np.random.RandomState(seed)  # the only generator whose numbers numpy promises never to change (NEP 19)
    for label, _ in enumerate(found.class_names):
        rows = random.permutation(np.flatnonzero((found.labels == label) & (splits == TRAIN)))
        numbers = [max(1, round(len(rows) * shares[code] / total)) for code in missing]
        for code, n in zip(missing, numbers, strict=True):
            splits[rows[:n]], rows = code, rows[n:]
    for code, split in _NAMES.items():
        empty = set(range(len(found.class_names))) - set(found.labels[splits == code].tolist())
        if empty:
            raise DataError(
                f"got no image of the class {found.class_names[min(empty)]!r} in {split}; expected some of every class "
                "in every split; add some, or remove the class"
            )
    return splits
