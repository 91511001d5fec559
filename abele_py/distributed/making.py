"""Making a shard: images to rows, in one process. What it makes depends on nothing but the images and the explainer."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from threadpoolctl import threadpool_limits

from ..errors import AbeleError, BlackBoxError
from ..explanation.explainer import Abele
from ..explanation.explanation import Explanation
from .images import Listed
from .rows import Keep, row_of
from .shards import explanation_path, shard_bytes

Found = Explanation | AbeleError


class Shard(NamedTuple):
    """What one shard becomes.

    Attributes:
        number: of the shard.
        n_images: of its images.
        rows: the file of its rows.
        explanations: path below the run's folder -> a whole explanation; none, unless all is kept.
        seconds: how long it took.
    """

    number: int
    n_images: int
    rows: bytes
    explanations: dict[str, bytes]
    seconds: float


class Maker:
    """Makes shards; one in each process.

    Args:
        explainer: explains each image.
        run: what tells this run from any other.
        keep: how much of each explanation.
        target: as of :meth:`Abele.explain`.
    """

    def __init__(self, explainer: Abele, run: str, keep: Keep, target: int | str | None) -> None:
        self._explainer, self._run, self._keep, self._target = explainer, run, keep, target

    def make(self, number: int, images: Sequence[Listed]) -> Shard:
        """Explain the images of one shard. What cannot be explained becomes a row with its reason.

        Raises:
            BlackBoxError: the black box answers nothing any more, not even what it has answered before.
        """
        start = time.perf_counter()
        with one_thread():
            found = self._found(images)
        rows = [row_of(listed, one, self._keep) for listed, one in zip(images, found, strict=True)]
        whole = {}
        if self._keep == "full":
            for listed, one in zip(images, found, strict=True):
                if isinstance(one, Explanation):
                    path = str(explanation_path(number, listed.number))
                    whole[path] = one.with_provenance(image={"name": listed.name}).to_bytes()
        return Shard(number, len(images), shard_bytes(rows, self._run, number), whole, time.perf_counter() - start)

    def _found(self, images: Sequence[Listed]) -> list[Found]:
        """An explanation of each image, or what it failed by."""
        found: list[Found] = [one.image if isinstance(one.image, AbeleError) else _OPEN for one in images]
        self._explain(images, found)
        if any(isinstance(one, BlackBoxError) for one in found):
            self._explainer.probe()  # raises where the black box is away
            found = [_OPEN if isinstance(one, BlackBoxError) else one for one in found]
            self._explain(images, found)  # once more: it may have been away for a while
            if any(isinstance(one, BlackBoxError) for one in found):
                self._explainer.probe()
        return found

    def _explain(self, images: Sequence[Listed], found: list[Found]) -> None:
        """Put an explanation, or an error, where one is open."""
        rows = [row for row, one in enumerate(found) if one is _OPEN]
        given = [images[row].image for row in rows]
        for row, one in zip(rows, self._explainer.explain_many(given, self._target, errors="yield"), strict=True):
            found[row] = one


_OPEN = AbeleError("not yet explained")


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for all arithmetic: sums of several threads are rounded otherwise, and processes use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
