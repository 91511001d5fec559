"""Callbacks that tests give to a training by their path, in this process or another: they watch it, or end it early."""

import errno
import json
import os
from pathlib import Path

import torch
from pytorch_lightning.callbacks import Callback


class Probe(Callback):
    """Writes down, process by process, what each step has left and drawn."""

    def __init__(self, folder):
        self.folder, self.steps = Path(folder), []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        state = torch.get_rng_state()
        self.noise = torch.randn(3).tolist()
        torch.set_rng_state(state)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        parameters = torch.cat([p.detach().flatten() for p in module.parameters()])
        self.steps.append({"parameters": parameters.tolist()[::97], "noise": self.noise, "images": len(batch[0])})

    def on_train_end(self, trainer, module):
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(self.steps))


class Signal(Callback):
    """Sends its own process a signal in the middle of the second epoch."""

    def __init__(self, number):
        self.number = number

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 1):
            os.kill(os.getpid(), self.number)


class Stop(Callback):
    """Stops a training after its first epoch, before its last."""

    def on_train_epoch_end(self, trainer, module):
        trainer.should_stop = True


class Fail(Callback):
    """An error that only the first process meets."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_rank == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Killed(BaseException):
    """As of a killed process."""


class Kill(Callback):
    """Ends a training after the second step of an epoch."""

    def __init__(self, epoch: int):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, 1):
            raise Killed
