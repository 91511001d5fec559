"""Shards on more processes, here or on the machines of a cluster: Ray's actors, each with models of its own.

Only the process that asks reads images and writes: a shard's images go to an actor with the task, and its bytes come
back. Ray starts actors again that are lost, and asks them once more.
"""

import logging
import os
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from ..errors import AbeleError, ParameterError, WorkerError, missing_extra
from .images import Listed, Task
from .making import Maker, Shard, one_thread

RETRIES = 4  # of a shard whose worker is lost; more often it is the shard that kills it
PATIENCE = 60.0  # seconds without an answer, at least, after which a shard is given to another actor too
_AHEAD = 2  # shards that an actor has at a time: one at work, and one whose images are there
# While Ray is imported and started here: it listens to this machine alone (by default only on a Mac), and tells nobody.
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


def on_ray(
    maker: Callable[[], Maker], tasks: Iterator[Task], workers: int, address: str | None, on_gpu: bool = False
) -> Generator[Shard]:
    """What the shards become, in the order in which they are done.

    Args:
        maker: called once in each actor.
        tasks: read as far as actors are free.
        workers: number of actors; fewer, where there is no room for all.
        address: of a cluster; None: the one that this process has joined already, or else one on this machine, which
            lasts as long as the run.
        on_gpu: each actor has a GPU of its own.

    Raises:
        WorkerError: a worker is lost time and again, or cannot be had.
        MissingExtraError: Ray is not installed.
        AbeleError: what an actor raised.
    """
    if not workers:
        return
    with _joined(address, workers) as ray:
        if on_gpu and not ray.cluster_resources().get("GPU"):
            raise WorkerError(
                "got models on a GPU, and a Ray cluster without one; expected a GPU for each worker; start Ray where "
                "there are some, or make an explainer on the processor"
            )
        actor_of = ray.remote(num_cpus=1, num_gpus=int(on_gpu), max_restarts=-1, max_task_retries=RETRIES)(_Worker)
        given = [_sent(ray, maker)]
        actors = [actor_of.remote() for _ in range(workers)]
        try:
            yield from _made(ray, actors, given, tasks)
        finally:
            for actor in actors:
                ray.kill(actor)


def _made(ray: Any, actors: Sequence[Any], given: list[Any], tasks: Iterator[Task]) -> Generator[Shard]:
    """Hand out the tasks to actors that are ready: where there is no room for all of them, some never are.

    An actor whose node is lost has to wait for room on another one, and with it the shards that it was at. Where
    nothing is answered for long, others make them too: it is the same shard, whoever makes it.
    """
    asked: dict[Any, tuple[int, int | None]] = {
        actor.ready.remote(given): (place, None) for place, actor in enumerate(actors)
    }
    ready, open_, longest = set[int](), dict[int, list[Listed]](), 0.0

    def ask(place: int, number: int) -> None:
        asked[actors[place].make.remote(given, number, open_[number])] = place, number

    while True:
        answered, _ = ray.wait([*asked], num_returns=1, timeout=max(PATIENCE, 3 * longest))
        if not answered:
            for idle, oldest in zip(ready - {place for place, _ in asked.values()}, [*open_], strict=False):
                ask(idle, oldest)
            continue
        place, number = asked.pop(answered[0])
        # whichever killed a worker, all that it had are lost with it
        at = sorted(n for other, n in [(place, number), *asked.values()] if other == place and n is not None)
        found = _answer(ray, answered[0], at) if number is None or number in open_ else None
        ready.add(place)
        for new, images in islice(tasks, _AHEAD if number is None else 1):
            open_[new] = _apart(images)
            ask(place, new)
        if found is not None:
            del open_[found.number]
            longest = max(longest, found.seconds)
            yield found
        if not open_:
            return


def _answer(ray: Any, asked: Any, at: Sequence[int]) -> Shard | None:
    """What an actor answers that was at these shards; nothing where it was asked whether it is ready."""
    try:
        return ray.get(asked)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception) and not isinstance(error.cause, ray.exceptions.RayError):
            raise error.cause from error
        raise WorkerError(
            f"got a worker that cannot read what it is sent ({error.cause}); expected the modules and files of the "
            "explainer on each machine; install there what is missing"
        ) from error
    except ray.exceptions.RayError as error:
        what = f"at shard {' or '.join(map(str, at))}" if at else "while it loaded the models"
        raise WorkerError(
            f"got a worker that was lost {RETRIES + 1} times {what} ({_first_line(error)}); expected it to last; see "
            "whether its memory suffices: fewer workers take less, and so does a smaller batch_size. What is done is "
            "kept, and the same call goes on"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(". ")


class _Worker:
    """An actor. It loads the models when it is first asked, so that what fails then is an answer."""

    def __init__(self) -> None:
        self._maker: Maker | None = None

    def ready(self, given: list[Any]) -> None:
        self._made(given)

    def make(self, given: list[Any], number: int, images: Sequence[Listed]) -> Shard:
        return self._made(given).make(number, images)

    def _made(self, given: list[Any]) -> Maker:
        """The maker: of ``given``, a reference to a function that makes it, in a list, in which it is read here."""
        if self._maker is None:
            import ray

            with one_thread():
                self._maker = ray.get(given[0])()
        return self._maker


def _apart(images: Sequence[Listed]) -> list[Listed]:
    """Images with memory of their own: with a part of a tensor all of it would be sent."""
    return [one if isinstance(one.image, AbeleError) else one._replace(image=one.image.clone()) for one in images]


def _sent(ray: Any, maker: Callable[[], Maker]) -> Any:
    try:
        return ray.put(maker)
    except Exception as error:  # whatever an object raises that cannot be pickled
        raise ParameterError(
            f"got an explainer that cannot be sent to other processes ({_first_line(error)}); expected one that can be "
            "pickled; give a function that makes it"
        ) from error


@contextmanager
def _joined(address: str | None, workers: int) -> Iterator[Any]:
    """Ray: as this process has joined it already, at an address, or started here for as long as it is needed."""
    here = address is None and not getattr(sys.modules.get("ray"), "is_initialized", bool)()
    with environment(ALONE if here else {}):
        try:
            import ray
        except ModuleNotFoundError as error:
            raise missing_extra(error, "a run in more than one process", "cluster") from error
        if ray.is_initialized():
            yield ray
            return
        calm: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if here:  # twice the processors that are asked for: with none to spare Ray's own tasks would wait for ever
                ray.init("local", num_cpus=2 * workers, include_dashboard=False, _node_ip_address="127.0.0.1", **calm)
            else:
                _call(address)
                ray.init(address, **calm)
        except (OSError, ValueError, RuntimeError) as error:
            raise WorkerError(
                f"got no Ray cluster at {address or 'this machine'} ({_first_line(error)}); expected one that runs; "
                "start it with: ray start --head"
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _call(address: str | None) -> None:
    """See whether anybody listens there: Ray itself would try for a quarter of an hour."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            pass


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """These variables inside, and outside what was there before."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
