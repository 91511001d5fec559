"""Shards on more processes, here or on the machines of a cluster: Ray's actors, each with models of its own."""

from collections.abc import Callable, Generator, Iterator

from .images import Task
from .making import Maker, Shard


def on_ray(maker: Callable[[], Maker], tasks: Iterator[Task], workers: int, address: str | None) -> Generator[Shard]:
    raise NotImplementedError
    yield
