"""Pieces of work that run in a thread of their own, tell how far they are, and can be stopped."""

import threading
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(BaseException):
    """The work was stopped. No Exception, so that nothing takes it for a mistake of the black box it passes through."""


class Job(Generic[T]):
    """One piece of work.

    Attributes:
        stage: what is being done, in words.
        queried: images that black boxes were queried for.
    """

    def __init__(self, stage: str) -> None:
        self.stage, self.queried = stage, 0
        self._stopped = threading.Event()
        self._future: Future[T]

    def stop(self) -> None:
        """Let it end at the next call of a black box; or never begin."""
        self._stopped.set()
        self._future.cancel()

    def tell(self, stage: str = "", queried: int = 0) -> None:
        """Say, from within the work, how far it is.

        Raises:
            Stopped: it was stopped.
        """
        if self._stopped.is_set():
            raise Stopped
        self.stage, self.queried = stage or self.stage, self.queried + queried

    def done(self, seconds: float) -> bool:
        """Whether it has ended, after waiting so long for it."""
        try:
            self._future.exception(seconds)
        except (TimeoutError, CancelledError) as waited:
            return isinstance(waited, CancelledError)
        return True

    def result(self) -> T:
        """What it gave, after waiting for it; raises what it raised.

        Raises:
            Stopped: it was stopped.
        """
        try:
            return self._future.result()
        except CancelledError as error:
            raise Stopped from error
