"""Pictures of squares, discs and crosses: a user's own images, drawn; and what tests of their import share."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from abele_py.datasets.importing import import_images
from abele_py.datasets.prepared_images import read_own_images
from abele_py.errors import DataError

NAMES = ("cross", "disc", "square")


def shape(kind: str, random: np.random.Generator, side: int = 16, mode: str = "L") -> Image.Image:
    """A square, disc or cross, somewhere near the middle, of a random size and brightness."""
    x, y = random.uniform(0.4, 0.6, 2) * side
    r = random.uniform(0.2, 0.35) * side
    fill = tuple(random.integers(120, 256, len(mode)).tolist()) if len(mode) > 1 else int(random.integers(120, 256))
    picture = Image.new(mode, (side, side))
    draw = ImageDraw.Draw(picture)
    if kind == "square":
        draw.rectangle([x - r, y - r, x + r, y + r], fill=fill)
    elif kind == "disc":
        draw.ellipse([x - r, y - r, x + r, y + r], fill=fill)
    else:
        draw.rectangle([x - r, y - r / 3, x + r, y + r / 3], fill=fill)
        draw.rectangle([x - r / 3, y - r, x + r / 3, y + r], fill=fill)
    return picture


def draw_shapes(root: Path, n: int = 10, side: int = 16, mode: str = "L", seed: int = 0) -> Path:
    """A folder of ``n`` pictures per class, all different."""
    random, seen = np.random.default_rng(seed), set()
    for kind in NAMES:
        (root / kind).mkdir(parents=True)
        while len(list((root / kind).iterdir())) < n:
            picture = shape(kind, random, side, mode)
            if picture.tobytes() not in seen:
                seen.add(picture.tobytes())
                picture.save(root / kind / f"{len(seen):04d}.png")
    return root


def imported(source, **options):
    return read_own_images(import_images(source, source.parent / "x-data.npz", **options))


def in_source_order(own, split=None):
    """Rows of the prepared images in the order of the array file that they came from."""
    rows = range(len(own.names)) if split is None else own.rows(split)
    return sorted(rows, key=lambda row: int(re.search(r"\d+", own.names[row]).group()))


def arrays(path, **changes):
    """An array file of ten random images in two classes, with some arrays changed; None leaves one out."""
    random = np.random.default_rng(0)
    content = {"images": random.integers(0, 256, (10, 8, 8), dtype=np.uint8), "labels": np.arange(10) % 2} | changes
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return path


def refused(source, match, error=DataError, **options):
    with pytest.raises(error, match=match) as found:
        import_images(source, source.parent / "x-data.npz", **options)
    assert re.match(r"got .*; ", str(found.value))
    assert not list(source.parent.glob("*x-data*")), "nothing half-written is left"
