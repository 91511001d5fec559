"""The run folder of a training: created with its options, its predecessor kept until another one has replaced it."""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from ..errors import CheckpointError, ParameterError
from ..models.manifests import CHECKPOINT, previous_of
from ..storage.files import write_bytes, write_json
from ..storage.places import MARK, Kind, alone_beside, check_replaceable, objection, remove, signature, sweep
from ..storage.reading import read_json

LAST, BEST, OPTIONS = "last.ckpt", "best.ckpt", "options.json"
# What may differ when a training goes on: it decides where the training runs and what it shows, not what it computes.
_MAY_DIFFER = {
    "accelerator", "strategy", "devices", "num_nodes", "plugins", "callbacks", "logger", "default_root_dir", "profiler",
    "max_time", "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps",
}  # fmt: skip


_MOST_BYTES = 200  # of a name, to which endings are added


def _files(run: Path) -> set[str]:
    of_checkpoint = {f"checkpoint/{name}" for name in CHECKPOINT.files(run / "checkpoint")}
    loggers = {"csv/metrics.csv", "csv/hparams.yaml", "tensorboard/events.out.tfevents.*", "tensorboard/hparams.yaml"}
    half = {f".{state}.????????" for state in (LAST, BEST)}  # of a killed process, in earlier versions
    return {LAST, BEST, OPTIONS, "images/epoch-*.png", "reconstructions.png"} | loggers | half | of_checkpoint


def _made(run: Path) -> bool:
    """Marked by us; or, of earlier versions, with our options or with a checkpoint of ours."""
    if signature(run).get("abele_py") == "training" or CHECKPOINT.made(run / "checkpoint"):
        return True
    with suppress(OSError, ValueError):
        options = json.loads((run / OPTIONS).read_bytes()) if (run / OPTIONS).is_file() else None
        return isinstance(options, dict) and {"name", "data", "model", "trainer", "seed_everything"} <= options.keys()
    return False


TRAINING = Kind("training", _files, _made)


def check_name(name: str, otherwise: str) -> None:
    """Refuse a name that is none of a folder of its own.

    Raises:
        ParameterError: it is empty, too long, or leads elsewhere.
    """
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        size = 0
    if name in ("", ".", "..") or Path(name).name != name or "\0" in name or not 0 < size <= _MOST_BYTES:
        raise ParameterError(
            f"got name {name[:80]!r}; expected a name without folders, of at most {_MOST_BYTES} bytes; {otherwise}"
        )


@contextmanager
def owned(run: Path, out: Path) -> Iterator[None]:
    """Own the places of a training while it lasts; both can be written.

    Raises:
        PlaceError: another training writes there, nobody can, or there is something that must not be replaced.
    """
    with ExitStack() as held:
        if _outside(run, out):
            _check_out(run, out)
        held.enter_context(alone_beside(run.absolute()))
        if _outside(run, out):
            held.enter_context(alone_beside(out.absolute()))
        yield


def check_place(run: Path, out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse before the training, not after it, to replace what an earlier one left; nothing is removed here.

    Raises:
        ParameterError: there is nothing to resume, or an earlier training to keep.
        PlaceError: what would be replaced is no training, or no checkpoint, of ours alone.
    """
    outside = _outside(run, out)
    if outside:
        _check_out(run, out)
    restore(run)
    if resume:
        if not (run / LAST).is_file():
            raise ParameterError(
                f"got --resume, but there is no {run / LAST}; expected an interrupted training; leave it out"
            )
        check_replaceable(run / "checkpoint", CHECKPOINT)
        if outside and _holds(out) and not overwrite and signature(run).get("out") != str(out.absolute()):
            raise ParameterError(
                f"got --resume into {out}, which holds a checkpoint that this training was not begun to replace; "
                "expected the place it was begun with; repeat that, or replace this one with --overwrite"
            )
        return
    for place in (run, backup_of(run)):
        check_replaceable(place, TRAINING)
    for earlier in (out, run / LAST):  # a run that ended before its first epoch leaves nothing worth keeping
        if _holds(earlier) and not overwrite:
            raise ParameterError(
                f"got an earlier training in {run}: {earlier.name}; expected a free place; go on with --resume, choose "
                "another --name or --out, or replace it with --overwrite"
            )


def _check_out(run: Path, out: Path) -> None:
    """Refuse a place for the checkpoint that is not ours to replace, or that is mixed up with the run folder's."""
    check_replaceable(out, CHECKPOINT)
    check_name(out.absolute().name, "choose another --out")
    check_replaceable(previous_of(out.absolute()), CHECKPOINT)
    real, inside = out.resolve(), run.resolve()
    if real.is_relative_to(inside) or inside.is_relative_to(real) or real == backup_of(inside):
        raise ParameterError(
            f"got --out {out}, and {run} for the state of the training; expected neither in the other; leave --out "
            f"out for {run / 'checkpoint'}, or choose another"
        )


def create(run: Path, out: Path, options: Mapping[str, Any]) -> None:
    """Put an earlier training aside, and begin a folder with the options of this one.

    Raises:
        ParameterError: a folder cannot be made.
        PlaceError: what would be replaced is no training of ours alone.
    """
    if _holds(run / "checkpoint") or (_begun(run) and not backup_of(run).exists()):
        check_replaceable(run, TRAINING)
        remove(backup_of(run), TRAINING)
        run.rename(backup_of(run))
    remove(run, TRAINING)
    for folder in (run, out.absolute().parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(f"got the folder {folder}, which cannot be made ({error}); choose another") from error
    # what this training may replace at its end, also when it is resumed
    place = {"out": str(out.absolute())} if _outside(run, out) else {}
    write_json(run / MARK, {"abele_py": TRAINING.name, **place})
    text = json.dumps(options, indent=2, sort_keys=True, default=str)
    write_bytes(run / OPTIONS, text.encode())


def backup_of(run: Path) -> Path:
    """Where an earlier training is while another one replaces it."""
    return run.with_name(f".{run.name}.replaced")


def restore(run: Path) -> None:
    """Bring an earlier training back, where the one to replace it has left no state to go on with."""
    backup = backup_of(run)
    replaceable = objection(run, TRAINING) is None
    if _holds(backup) and objection(backup, TRAINING) is None and not _begun(run) and replaceable:
        remove(run, TRAINING)
        backup.rename(run)


def commit(run: Path) -> None:
    """The checkpoint of a training is written: remove the earlier one that it replaces."""
    with suppress(OSError):  # what has come into it meanwhile stays
        remove(backup_of(run), TRAINING)


def _holds(place: Path) -> bool:
    """Whether there is something to lose: all but an empty folder."""
    return any(place.iterdir()) if place.is_dir() else os.path.lexists(place)


def _outside(run: Path, out: Path) -> bool:
    return out.absolute() != (run / "checkpoint").absolute()


def latent_dim_of(run: Path) -> int | None:
    """The number of latent coordinates that a training was begun with; None where its options cannot be read."""
    try:
        found = read_json(run / OPTIONS)["model"]["init_args"]["latent_dim"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, int) else None


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


def check_state(last: Path, module: pl.LightningModule) -> dict[str, Any]:
    """A state; one that cannot be gone on with is refused before Lightning fails on it."""
    sweep(last.parent)  # a killed process was about to write a state
    try:
        state: dict[str, Any] = torch.load(last, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"got a damaged {last} ({type(error).__name__}); expected a state of a training; copy best.ckpt, the state "
            "of the best epoch, over it, or begin again with --overwrite"
        ) from error
    try:
        module.on_load_checkpoint(state)
        module.load_state_dict(state["state_dict"])
    except (KeyError, RuntimeError) as error:
        raise ParameterError(
            f"got --resume, but the network in {last} is another one; expected the options of the interrupted "
            "training; repeat those, or begin again with --overwrite"
        ) from error
    return state


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
