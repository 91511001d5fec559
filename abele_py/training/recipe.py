"""``abele train``: from a recipe to a checkpoint folder; and the table of what the shipped checkpoints reach.

A recipe is a YAML file for Lightning's command line: every option in it can be overridden on the command line. After
the training, the autoencoder is calibrated on ``val``, the network is measured on ``test``, and the checkpoint written.
"""

import difflib
import io
import logging
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, Timer
from pytorch_lightning.callbacks import ProgressBar as AnyProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.plugins import TorchCheckpointIO

from ..checking.parameters import Count, NotEmpty, Number, SmallSeed, checked, fit
from ..datasets.loading import dataset_of
from ..errors import AbeleError, Interruption, ParameterError
from ..models.checkpoints import load_classifier
from ..storage.files import write_atomically
from .callbacks import ImageGrids, SeedSteps, StayStopped
from .data_module import ImageData
from .finishing import finalize, trained_options
from .latent_size import choose_latent_dim
from .modules import ForestModule
from .recipe_file import read_recipe
from .run_folder import (
    BEST,
    LAST,
    backup_of,
    check_name,
    check_options,
    check_place,
    check_state,
    commit,
    create,
    keep_figures,
    owned,
    restore,
)
from .time_left import ProgressBar, TimeLeft


@checked
def main(argv: Sequence[str]) -> Path:
    """``abele train``: everything after these two words.

    Args:
        argv: the recipe's file, then options.

    Returns:
        The folder of the checkpoint.

    Raises:
        AbeleError: a user's mistake.
        SystemExit: with code 0, after ``--help``.
    """
    argv = list(argv)
    for option, value in zip(argv, [*argv[1:], ""], strict=False):
        path = option.partition("=")[2] or value
        if option.partition("=")[0] == "--config" and os.path.exists(path):  # else a text of YAML, or refused below
            read_recipe(path)
    if argv and not argv[0].startswith("-"):
        return _run([f"--config={_recipe(argv[0])}", *argv[1:]])
    if not any(option == "-h" or "help" in option or option.startswith("--config") for option in argv):
        raise ParameterError(
            "got no recipe; expected: abele train RECIPE.yaml [options]; recipes are in the folder training/"
        )
    return _run(argv)


@checked
def check(argv: Annotated[Sequence[str], NotEmpty()]) -> None:
    """Refuse options that do not fit, without training; arguments and errors as of ``main``."""
    with calm():
        parse([f"--config={_recipe(argv[0])}", *argv[1:]])


@checked
def train(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
) -> Path:
    """Train what a recipe describes; the same as ``abele train``.

    Args:
        recipe: YAML file.
        overrides: options as on the command line, such as ``["--model.latent_dim", "8"]``.
        data_dir: folder of the data sets.
        out: folder of the checkpoint; default ``runs/<name>/checkpoint``.
        resume: go on with an interrupted training.

    Returns:
        The folder of the checkpoint.

    Raises:
        AbeleError: an option, the data, or a folder is not as it has to be.
    """
    named = {"--data_dir": data_dir, "--out": out}
    options = [f"{option}={value}" for option, value in named.items() if value is not None]
    return main([str(recipe), *overrides, *options, *(["--resume"] if resume else [])])


# What Lightning's parser takes on trust.
_OWN_OPTIONS = {
    "threads": Count | None, "patience": Number | None, "seed_everything": SmallSeed, "name": str, "runs": str,
    "monitor": str, "out": str | None, "data_dir": str | None, "black_box": str | None,
}  # fmt: skip


class RecipeCli(LightningCLI):
    """Lightning's command line, with the options of a checkpoint, and with everything written into the run folder."""

    def instantiate_classes(self) -> None:
        for name, kind in _OWN_OPTIONS.items():
            fit(f"--{name}", kind, self.config[name])
        self.latent_sizes = choose_latent_dim(self.config, _run_folder(self.config))
        super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config, run = self.config, _run_folder(self.config)
        callbacks: list[pl.Callback] = [
            Timer(self.config_init.trainer.max_time, interval="epoch"),  # what is left is the state of a whole epoch
            SeedSteps(int(config.seed_everything)),
            StayStopped(),
            ImageGrids(run / "images"),
            ModelCheckpoint(
                dirpath=run, filename=Path(BEST).stem, monitor=config.monitor, mode=config.mode,
                enable_version_counter=False,
            ),
            # of every epoch; `save_last` of the one above would write only those that are the best so far
            ModelCheckpoint(
                dirpath=run, filename=Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
            ),
        ]  # fmt: skip
        if config.patience is not None:
            callbacks.append(EarlyStopping(config.monitor, patience=config.patience, mode=config.mode))
        loggers = [TensorBoardLogger(run, name="tensorboard", version=""), CSVLogger(run, name="csv", version="")]
        given = self.config_init.trainer
        own_bar = given.enable_progress_bar is not False and not any(
            isinstance(c, AnyProgressBar) for c in given.callbacks or []
        )
        left = TimeLeft(say=None) if own_bar else TimeLeft()
        callbacks += [left, ProgressBar(left)] if own_bar else [left]
        plugins = given.plugins if isinstance(given.plugins, list) else [given.plugins]
        return super().instantiate_trainer(
            callbacks=[*callbacks, *(given.callbacks or [])],
            logger=loggers if given.logger is None else given.logger,
            max_time=None,  # the timer above has it; the trainer would add none beside that one, and ignore it
            plugins=[_WholeFiles(), *(plugin for plugin in plugins if plugin is not None)],
            # Lightning looks there for states that a cluster's job left: those of another training must not be found
            default_root_dir=given.default_root_dir or run,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--name", type=str, default="run", help="name of the checkpoint and of its run folder")
        parser.add_argument(
            "--black_box", "--black-box", type=str | None, default=None,
            help="autoencoders: classifier checkpoint (name or folder) that judges whether labels are preserved",
        )  # fmt: skip
        parser.add_argument(
            "--half", type=bool, default=True, help="round the weights to half precision: smaller files"
        )
        parser.add_argument("--patience", type=int | None, default=None, help="epochs without gain after which to stop")
        parser.add_argument("--monitor", type=str, default="val/loss", help="figure that decides which epoch was best")
        parser.add_argument(
            "--mode", type=Literal["min", "max"], default="min", help="min or max: what is good for that figure"
        )
        parser.add_argument("--threads", type=int | None, default=None, help="processor threads of torch")
        parser.add_argument("--runs", type=str, default="runs", help="folder of the run folders")
        parser.add_argument("--out", type=str | None, default=None, help="checkpoint folder [RUNS/NAME/checkpoint]")
        parser.add_argument("--data_dir", "--data-dir", type=str | None, default=None, help="folder of the data sets")
        parser.add_argument("--download", action="store_true", help="fetch missing data first")
        parser.add_argument("--resume", action="store_true", help="go on with an interrupted training of this name")
        parser.add_argument(
            "--overwrite", action="store_true", help="replace an earlier run and checkpoint of this name"
        )
        parser.link_arguments("data_dir", "data.data_dir")
        parser.link_arguments("download", "data.download")
        parser.link_arguments("seed_everything", "data.seed")
        shape, classes = (lambda name: dataset_of(name).image_shape), (lambda name: len(dataset_of(name).class_names))
        parser.link_arguments("data.data_set", "model.init_args.image_shape", compute_fn=shape)
        parser.link_arguments("data.data_set", "model.init_args.n_classes", compute_fn=classes)


@contextmanager
def calm() -> Iterator[None]:
    """Without what Lightning says at every run and no user of this command can act on; advertisements included."""
    lightning = logging.getLogger("pytorch_lightning.utilities.rank_zero")

    def useful(record: logging.LogRecord) -> bool:
        return "Tip:" not in record.getMessage()

    lightning.addFilter(useful)
    try:
        with warnings.catch_warnings():
            for message in (
                "LightningCLI's args",
                ".*many workers",
                "The number of training batches",
                "Checkpoint directory",
                ".*LeafSpec",
            ):
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        lightning.removeFilter(useful)


class _WholeFiles(TorchCheckpointIO):
    """Writes a state whole or not at all: Lightning's own way passes through the system's temporary folder, from where
    a file is copied, not renamed, when the run is on another file system; and a kill while copying leaves half of it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()  # the writer of torch tells a full disk as a failed assertion
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), lambda file: file.write(buffer.getbuffer()))


def _run(args: list[str]) -> Path:
    with calm():
        return _train(parse(args))


def _train(cli: RecipeCli) -> Path:
    """Every process of a training comes here; the first one alone creates the run folder, measures and writes."""
    run = _run_folder(cli.config)
    out = Path(cli.config.out) if cli.config.out else run / "checkpoint"
    out = out.resolve() if ".." in out.parts else out  # whose name is its own
    with owned(run, out) if cli.trainer.is_global_zero else nullcontext():
        return _train_into(run, out, cli)


def _train_into(run: Path, out: Path, cli: RecipeCli) -> Path:
    config, trainer, module = cli.config, cli.trainer, cli.model
    if isinstance(module, ForestModule) and trainer.world_size > 1:
        raise ParameterError(
            f"got {trainer.world_size} processes for a forest; expected one; leave --trainer.devices at 1, and use "
            "--model.n_jobs for more cores"
        )
    black_box = None
    if trainer.is_global_zero:
        # whatever can be refused is refused before anything earlier is touched
        check_place(run, out, resume=config.resume, overwrite=config.overwrite)
        black_box = None if config.black_box is None else load_classifier(config.black_box)
        wanted = trained_options(config, dataset_of(config.data.data_set).name)
        if config.resume:
            check_options(run, wanted)
        cli.datamodule.prepare_data()
        if config.resume:
            keep_figures(trainer, check_state(run / LAST, module)["epoch"])
        else:
            create(run, out, wanted)
    if config.threads:
        torch.set_num_threads(config.threads)

    _fit(cli, run)
    if trainer.is_global_zero:
        timer = next(callback for callback in trainer.callbacks if isinstance(callback, Timer))  # type: ignore[attr-defined]
        seconds = timer.time_elapsed("train")  # a resumed training counts its earlier parts too
        if (run / BEST).is_file():
            best = torch.load(run / BEST, map_location=module.device, weights_only=True)
            module.on_load_checkpoint(best)  # a forest takes the size of the best one
            module.load_state_dict(best["state_dict"])
        finalize(module, config, out, black_box, seconds, cli.latent_sizes)
        commit(run)
    try:
        trainer.strategy.barrier()  # what follows in any process finds the checkpoint
    except RuntimeError as error:
        raise AbeleError(
            "got no answer from the first process, which says why; expected a finished training"
        ) from error
    return out


def _fit(cli: RecipeCli, run: Path) -> None:
    trainer, last = cli.trainer, run / LAST
    try:
        trainer.fit(
            cli.model, datamodule=cli.datamodule, ckpt_path=str(last) if cli.config.resume else None, weights_only=True
        )
    except BaseException as error:
        if trainer.strategy.launcher is not None:  # the processes it started would wait for this one
            trainer.strategy.launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))  # type: ignore[attr-defined]
        left = "begin again"
        if last.is_file():
            left = f"the state of the last whole epoch is in {run}: go on with --resume"
            left += f"; the earlier training is in {backup_of(run)} until then" if backup_of(run).exists() else ""
        if trainer.is_global_zero:
            restore(run)
        if isinstance(error, SystemExit):  # Lightning's answer to Ctrl+C, which it then switches off, and to SIGTERM
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise Interruption(f"got an interruption; {left}") from error
        if isinstance(error, MisconfigurationException):  # options that Lightning can only judge while training
            raise ParameterError(f"got options that do not fit: {error}; change the recipe") from error
        if isinstance(error, OSError) and not isinstance(error, AbeleError):
            raise AbeleError(f"got {run}, which cannot be written ({error}); make room; {left}") from error
        if isinstance(error, Exception) and not isinstance(error, AbeleError):
            raise AbeleError(
                f"got {type(error).__name__} while training ({' '.join(str(error).split())[:500]}); expected options "
                f"that fit the data and the machine; change the recipe; {left}"
            ) from error
        raise


def parse(args: list[str]) -> RecipeCli:
    """Trainer, module and data as the options say; nothing is trained, read or written.

    Args:
        args: ``--config=RECIPE.yaml``, then options as of ``abele train``.

    Raises:
        AbeleError: an option does not fit.
        SystemExit: with code 0, after ``--help``.
    """
    description = (
        "abele train RECIPE.yaml [options]: train an autoencoder or a classifier, and write a checkpoint folder. Every "
        "option of the recipe can be given here too, for instance --model.latent_dim 8 --trainer.max_epochs 2. Options "
        "of a model: --model.help abele_py.training.modules.AutoencoderModule (or ClassifierModule, ForestModule)."
    )
    try:
        return RecipeCli(
            pl.LightningModule,
            ImageData,
            subclass_mode_model=True,
            seed_everything_default=0,
            save_config_callback=None,
            parser_kwargs={
                "prog": "abele train",
                "usage": "abele train RECIPE.yaml [options]",
                "description": description,
                "exit_on_error": False,
            },
            auto_configure_optimizers=False,
            trainer_defaults={
                # "auto" would choose Apple's GPUs, which have no float64: our calibrated thresholds do
                "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
                "devices": 1,
                "use_distributed_sampler": False,
            },
            args=args,
            run=False,
        )
    except Exception as error:  # jsonargparse and Lightning raise nearly anything on odd recipes
        if (own := _own(error)) is not None:
            raise own from error
        message = str(error).strip().splitlines()
        raise ParameterError(
            f"got options that do not fit: {' '.join(line.strip() for line in message)[:500]}; expected the options of "
            "the recipe; see abele train --help"
        ) from error


def _own(error: BaseException | None) -> AbeleError | None:
    """The error of this package inside another one, such as of data that jsonargparse asked for while parsing."""
    while error is not None and not isinstance(error, AbeleError):
        error = error.__cause__ or error.__context__
    return error


def _run_folder(config: Namespace) -> Path:
    check_name(config.name, "use --runs or --out for those")
    return Path(config.runs) / config.name


def _recipe(path: str) -> Path:
    if os.path.isfile(path):
        read_recipe(path)
        return Path(path)
    known = [str(p) for p in sorted(Path(path).parent.glob("*.yaml"))]
    close = difflib.get_close_matches(path, known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]}?" if close else "recipes are in the folder training/"
    raise ParameterError(f"got no file {path}; expected a recipe in YAML; {hint}")
