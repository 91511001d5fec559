"""The run folder of a training: created with its options, its predecessor kept until another one has replaced it."""

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger

from ..errors import CheckpointError, ParameterError
from ..files import write_bytes
from ..reading import read_json

LAST, BEST, OPTIONS = "last.ckpt", "best.ckpt", "options.json"
# What may differ when a training goes on: it decides where the training runs and what it shows, not what it computes.
_MAY_DIFFER = {
    "accelerator", "strategy", "devices", "num_nodes", "plugins", "callbacks", "logger", "default_root_dir", "profiler",
    "max_time", "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps",
}  # fmt: skip


def check_place(run: Path, out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse before the training, not after it, to replace what an earlier one left; nothing is removed here.

    Raises:
        ParameterError: there is nothing to resume, an earlier training to keep, or something that is no training.
    """
    restore(run)
    if resume:
        if not (run / LAST).is_file():
            raise ParameterError(
                f"got --resume, but there is no {run / LAST}; expected an interrupted training; leave it out"
            )
        return
    for earlier in (out, run / LAST):  # a run that ended before its first epoch leaves nothing worth keeping
        if earlier.exists() and not overwrite:
            raise ParameterError(
                f"got an earlier training in {run}: {earlier.name}; expected a free place; go on with --resume, choose "
                "another --name or --out, or replace it with --overwrite"
            )
    ours = (run / "csv").is_dir() or (run / OPTIONS).is_file()
    if run.is_file() or (
        run.exists() and any(run.iterdir()) and not ours
    ):  # whatever it is, no training has written it
        raise ParameterError(f"got {run}, which is no earlier training, to overwrite; expected one; use another --name")


def create(run: Path, out: Path, options: Mapping[str, Any]) -> None:
    """Put an earlier training aside, and begin a folder with the options of this one.

    Raises:
        ParameterError: a folder cannot be made.
    """
    if (run / "checkpoint").exists() or (_begun(run) and not backup_of(run).exists()):
        shutil.rmtree(backup_of(run), ignore_errors=True)
        run.rename(backup_of(run))
    shutil.rmtree(run, ignore_errors=True)
    for folder in (run, out.absolute().parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(f"got the folder {folder}, which cannot be made ({error}); choose another") from error
    text = json.dumps(options, indent=2, sort_keys=True, default=str)
    write_bytes(run / OPTIONS, text.encode())


def backup_of(run: Path) -> Path:
    """Where an earlier training is while another one replaces it."""
    return run.with_name(f".{run.name}.replaced")


def restore(run: Path) -> None:
    """Bring an earlier training back, where the one to replace it has left no state to go on with."""
    if backup_of(run).exists() and not _begun(run):
        shutil.rmtree(run, ignore_errors=True)
        backup_of(run).rename(run)


def commit(run: Path) -> None:
    """The checkpoint of a training is written: remove the earlier one that it replaces."""
    shutil.rmtree(backup_of(run), ignore_errors=True)


def check_options(run: Path, options: Mapping[str, Any]) -> None:
    """Refuse to go on with other options than those that the training was begun with.

    Raises:
        CheckpointError: the file that holds them is damaged.
        ParameterError: what is computed would be another training; the differences are named.
    """
    try:
        earlier = read_json(run / OPTIONS)
    except FileNotFoundError:  # begun by an earlier version
        return
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"got a damaged {run / OPTIONS}; expected the options of the training; begin again with --overwrite"
        ) from error
    old, new = _flat(earlier), _flat(json.loads(json.dumps(options, default=str)))
    differing = [
        f"{name} {new.get(name, 'none')} instead of {old.get(name, 'none')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if differing:
        raise ParameterError(
            f"got --resume with other options than the training in {run} was begun with: {', '.join(differing)[:500]}; "
            "expected the same; repeat those, or begin again with --overwrite or another --name"
        )


def keep_figures(trainer: pl.Trainer, epoch: int) -> None:
    """Hand the CSV logger the rows up to an epoch: it begins with an empty file, also where a training goes on."""
    for logger in trainer.loggers:
        if not isinstance(logger, CSVLogger) or not (file := Path(logger.log_dir, "metrics.csv")).is_file():
            continue
        with file.open(newline="", encoding="utf-8") as stream:
            rows: list[dict[str, Any]] = [row for row in csv.DictReader(stream) if None not in row]
        logger.experiment.metrics = [
            row for row in rows if (number := row.get("epoch") or "").isdigit() and int(number) <= epoch
        ]
        logger.save()


def _begun(run: Path) -> bool:
    return (run / LAST).is_file() or (run / "checkpoint").exists()


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options -> {"model.init_args.hidden": value}, without those that may differ."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if prefix == "trainer." and name in _MAY_DIFFER:
            continue
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
