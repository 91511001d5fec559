"""How long a training will still take, told while it runs: in its progress bar, or as a line after an epoch."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_info  # type: ignore[attr-defined]
from pytorch_lightning.callbacks import TQDMProgressBar

SHORT = 10.0  # seconds of a training that nobody needs to be told about


def seconds_left(elapsed: float, done: int, to_do: float) -> float:
    """What ``to_do`` more epochs take if they are like those ``done`` in ``elapsed`` seconds."""
    return elapsed / done * max(0.0, to_do)


def in_words(seconds: float) -> str:
    """'40 s', '3 min', '2 h 10 min': as exactly as an estimate deserves."""
    if seconds <= 50:
        return f"{10 * max(1, math.ceil(seconds / 10))} s"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class TimeLeft(pl.Callback):
    """Estimates from the epochs of this process alone, those before a resumption aside.

    Args:
        say: takes a line after each epoch; None keeps the estimate for ``ProgressBar``.
        clock: seconds that pass.
    """

    def __init__(
        self, say: Callable[[str], Any] | None = rank_zero_info, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.say, self.clock = say, clock
        self.words = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began, self.first = self.clock(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning calls this when the epoch has been validated."""
        epochs, epoch, elapsed = trainer.max_epochs, trainer.current_epoch + 1, self.clock() - self.began
        if epochs is None or epochs < 0:  # a training without an end, or one whose steps are counted
            return
        left = seconds_left(elapsed, epoch - self.first, epochs - epoch)
        most = "at most" if trainer.early_stopping_callbacks else "about"
        self.words = f"{most} {in_words(left)}" if left else ""
        if self.say is not None and left and elapsed + left >= SHORT:
            self.say(f"epoch {epoch} of {epochs}: {self.words} of training left")


class ProgressBar(TQDMProgressBar):
    """Lightning's, with the time that is left of the whole training."""

    def __init__(self, left: TimeLeft) -> None:
        super().__init__(refresh_rate=10)  # drawn after every step, it costs a few per cent
        self.left = left

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Any:
        items = super().get_metrics(trainer, pl_module)
        return {"left": self.left.words, **items} if self.left.words else items
