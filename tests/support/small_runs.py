"""Small runs over data sets: images, black boxes that fail, and what a run has written. Other processes import it."""

import os
import time
from pathlib import Path

import psutil
import pyarrow as pa
import torch

from abele_py import Abele
from abele_py.distributed.shards import read_shards

from .worlds import Identity, seeded, soft

IMAGES = torch.rand(40, 1, 1, 2, generator=seeded(3))
SIZE = {"shard_size": 4, "progress": lambda *_: None}
NEVER = 0.123456  # the first pixel of an image that a black box refuses


def tiny(black_box=soft, **options) -> Abele:
    return Abele(black_box, Identity(), n_samples=100, class_names=("dark", "bright"), **options)


class Away:
    """A black box that answers nothing while a file is there."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __call__(self, images):
        if self.flag.exists():
            raise ConnectionError("nobody answers")
        return soft(images)


def refusing(images):
    """A black box that fails on one image, and on those beside it in its batch."""
    if (images[:, 0, 0, 0] == torch.tensor(NEVER)).any():
        raise ValueError("not this one")
    return soft(images)


class Slow:
    """A black box that takes its time, so that all workers of a run have something to do."""

    def __call__(self, images):
        time.sleep(0.01)
        return soft(images)


class Dying:
    """Makes an explainer; but processes other than one die of it, while a file is there."""

    def __init__(self, flag: Path) -> None:
        self.flag, self.survivor = flag, os.getpid()

    def __call__(self) -> Abele:
        if self.flag.exists() and os.getpid() != self.survivor:
            os._exit(1)
        return tiny()


class DyingOf:
    """A black box whose process dies of one image; but one process only refuses it."""

    def __init__(self) -> None:
        self.survivor = os.getpid()

    def __call__(self, images):
        if (images[:, 0, 0, 0] == torch.tensor(NEVER)).any() and os.getpid() != self.survivor:
            os._exit(1)
        return soft(images)


def files_of(out: Path) -> dict[str, bytes]:
    """All that a run has written but its seconds, which are not the same each time."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("seconds.jsonl", ".abele-lock")
    }


def rows_of(out: Path) -> list[dict]:
    return pa.concat_tables(read_shards(out)).to_pylist()


def title_of(process: psutil.Process) -> str:
    """Of a process that may have ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
