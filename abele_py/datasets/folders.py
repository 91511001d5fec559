"""What lies in a folder of pictures: every file of it is a picture of a class, or is left with a reason.

Links to folders are followed, each folder once for a class: a link to a folder around it would have no end.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"))
# Made by systems and programs beside the pictures of their users, often copies of these; all hidden ones too.
MADE = frozenset(
    ("@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found",
     "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini")
)  # fmt: skip
OTHER = "no picture in the folder of a class"
HIDDEN = "hidden, or made by a system beside the pictures, as thumbnails are"
ODD = "neither a file nor a folder that can be opened, such as a link that leads nowhere"
AGAIN = "a link to a folder that was read already, or lies around it"


@dataclass
class Left:
    """What is no picture of a class: reason -> names under the root."""

    root: Path
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: Path) -> None:
        """Leave a file, or a folder as a whole."""
        self.names.setdefault(reason, []).append(path.relative_to(self.root).as_posix())


def visible_folders(folder: Path) -> list[Path]:
    """The folders in a folder, but for hidden ones; links to folders are some."""
    return [path for path in _inside(folder) if path.is_dir() and not is_hidden(path.name)]


def pictures_in(folder: Path, left: Left) -> list[Path]:
    """All pictures below the folder of a class, in the order of their names; all else is left."""
    found = []
    for path in _below(folder, {_identity(folder)}, left):
        if path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            left.add(OTHER, path)
    return found


def leave_beside(folder: Path, left: Left) -> None:
    """Leave what lies beside the folders of the classes, or of the splits, and in hidden folders there."""
    for path in _inside(folder):
        if is_hidden(path.name):
            _leave(path, HIDDEN, left)
        elif not path.is_dir():
            left.add(OTHER if path.is_file() else ODD, path)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's own pictures."""
    return name.startswith((".", "__")) or name.lower() in MADE


def _below(folder: Path, seen: set[tuple[int, int]], left: Left) -> Iterator[Path]:
    """The files below a folder that are not hidden; what is neither file nor folder is left."""
    try:
        inside = _inside(folder)
    except OSError:
        left.add(ODD, folder)
        return
    for path in inside:
        if is_hidden(path.name):
            _leave(path, HIDDEN, left)
        elif path.is_dir():
            identity = _identity(path)
            if identity in seen:
                left.add(AGAIN, path)
                continue
            seen.add(identity)
            yield from _below(path, seen, left)
        elif path.is_file():
            yield path
        else:
            left.add(ODD, path)


def _leave(path: Path, reason: str, left: Left) -> None:
    """Leave a file, or all that a folder holds; what a link leads to is not looked at."""
    if path.is_symlink() or not path.is_dir():
        left.add(reason, path)
        return
    for folder, folders, files in os.walk(path):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*files, *links]):
            left.add(reason, Path(folder, name))


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
