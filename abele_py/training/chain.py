"""A recipe of recipes: import a user's images, train a classifier on them, then an autoencoder judged by it.

Each of the two is an ordinary training, with its own run folder; only the images and the judge are handed on.
"""

import os
import shlex
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from ..checking.parameters import SmallSeed
from ..datasets.importing import import_images
from ..datasets.loading import dataset_of
from ..datasets.prepared_images import check_prepared, read_own_images
from ..errors import AbeleError, ParameterError
from ..models.checkpoints import MANIFEST, read_manifest
from ..storage.places import alone_beside, check_replaceable, remove
from .efforts import SECTION, chosen, efforts_of
from .recipe import check
from .recipe import main as train
from .recipe_file import read_recipe
from .run_folder import LAST, TRAINING, backup_of, check_name, check_place, owned

_STEPS = ("classifier", "autoencoder")
_CHAIN = ("config", "name", "runs", "seed_everything", "resume", "overwrite", *_STEPS)
_ONE_STEP = ("model", "monitor", "mode", "patience", "half")
# what makes the two trainings one: a training that is given another place, judge or images is trained alone
_DECIDED = (
    "config", "name", "runs", "out", "resume", "overwrite", "seed_everything", "data.data_set", "black_box",
)  # fmt: skip
_NOT_OPTIONS: set[str | int] = {"path", "out", "seed"}  # of `import_images`: the chain itself gives these
_DESCRIPTION = (
    "abele train training/folder.yaml --data.path FOLDER [options]: import your own images into RUNS/NAME-data.npz, "
    "train a classifier (RUNS/NAME-classifier/checkpoint), then an autoencoder judged by it (RUNS/NAME/checkpoint). "
    "Options of one training begin with its name, for instance --classifier.model.hidden 64 or "
    "--autoencoder.model.latent_dim 8; all others go to both trainings, for instance --trainer.max_epochs 5. With "
    "--resume, finished parts are left as they are and an interrupted training goes on."
)


@dataclass(frozen=True)
class Trained:
    """What a recipe of recipes leaves.

    Attributes:
        checkpoints: folders of the classifier and of the autoencoder.
        commands: what to type next, one per line.
    """

    checkpoints: tuple[Path, Path]
    commands: tuple[str, ...]


def is_chain(argv: Sequence[str]) -> bool:
    """Whether the first argument is a recipe of recipes: a YAML file that names a classifier's and an autoencoder's."""
    if not argv or not os.path.isfile(argv[0]):
        return False
    try:
        content = yaml.safe_load(read_recipe(argv[0]))
    except (yaml.YAMLError, ValueError, OSError, RecursionError):  # `training.main` says what is wrong with it
        return False
    return isinstance(content, dict) and all(isinstance(content.get(step), str) for step in _STEPS)


def train_chain(argv: Sequence[str], say: Callable[[str], Any]) -> Trained:
    """Import, train the classifier, train the autoencoder.

    Args:
        argv: the recipe's file, then options, see ``abele train training/folder.yaml --help``.
        say: takes a line about what is being done.

    Raises:
        AbeleError: a user's mistake, as far as possible before anything is trained.
        SystemExit: with code 0, after ``--help``.
    """
    recipe = Path(argv[0])
    own, shares = _parse(recipe, argv[1:])
    source = own.data.pop("path")
    name = own.name or (Path(source).resolve().stem if source else "")
    check_name(name, "pass --data.path, and --name for another name")
    runs = Path(own.runs)
    data = runs / f"{name}-data.npz"
    folders = {"classifier": runs / f"{name}-classifier", "autoencoder": runs / name}
    with alone_beside(data.absolute()):
        return _train_both(own, shares, recipe, source, data, folders, say)


def _train_both(
    own: Namespace, shares: dict[str, list[str]], recipe: Path, source: str | None, data: Path,
    folders: dict[str, Path], say: Callable[[str], Any],
) -> Trained:  # fmt: skip
    runs = data.parent
    if not own.resume:
        _check_places(data, tuple(folders.values()), own.overwrite)
    judge = f"--black_box={folders['classifier'] / 'checkpoint'}"
    options = {
        step: [
            str(recipe.parent / own[step]), *shares[step], f"--runs={runs}", f"--name={folder.name}",
            f"--seed_everything={own.seed_everything}", *([judge] if step == "autoencoder" else []),
        ]
        for step, folder in folders.items()
    }  # fmt: skip

    def check_steps(images: Path) -> None:  # both before the first is trained: the second's mistakes are told in time
        for step in _STEPS:
            check([*options[step], f"--data.data_set={images}"])

    if own.resume and data.is_file():
        say(f"images imported before: {data}")
        check_steps(data)
    else:
        _import(own, source, data, tuple(folders.values()), check_steps)
        say(f"images imported into {data}")
    for line in _told(data):
        say(f"  {line}")

    finished = {step: own.resume and _is_finished(folder / "checkpoint", data) for step, folder in folders.items()}
    for step, folder in folders.items():
        if finished[step]:
            say(f"{step} trained before: {folder / 'checkpoint'}")
            continue
        say(f"training the {step}: {folder}")
        resume = ["--resume"] if own.resume and (folder / LAST).is_file() else []
        train([*options[step], f"--data.data_set={data}", *resume])
    checkpoints = (folders["classifier"] / "checkpoint", folders["autoencoder"] / "checkpoint")
    return Trained(checkpoints, _commands(data, source, *checkpoints))


def _import(
    own: Namespace, source: str | None, data: Path, folders: Sequence[Path], check_steps: Callable[[Path], None]
) -> None:
    """Import the images and check all options with them; only then replace what an earlier run has left.

    The earlier images are put aside first, and the new ones come to their place last. So whatever ends this before it
    is done, trainings on earlier images are never beside a file of images: ``--resume`` cannot take them for its own.
    """
    new, earlier = _places_of(data)
    if own.resume and (left := [folder for folder in folders if folder.exists()]):
        raise ParameterError(
            f"got --resume, but no {data} beside {left[0]}; expected the images that it was trained on; begin anew "
            f"with --overwrite{f', or rename {earlier}, the earlier images, to that' if earlier.is_file() else ''}"
        )
    if source is None:
        raise ParameterError("got no --data.path; expected a folder with one folder of pictures per class, or an .npz")
    if own.overwrite:
        for folder in folders:
            check_place(folder, folder / "checkpoint", resume=False, overwrite=True)
        if data.is_file():
            data.replace(earlier)
    try:
        import_images(source, new, seed=own.seed_everything, **own.data)
        check_steps(new)
    except AbeleError:
        new.unlink(missing_ok=True)
        if earlier.is_file():
            earlier.replace(data)
        raise
    if own.overwrite:
        with ExitStack() as held:
            for folder in folders:
                held.enter_context(owned(folder, folder / "checkpoint"))
            for place in [place for folder in folders for place in (folder, backup_of(folder))]:
                remove(place, TRAINING)
    new.replace(data)
    earlier.unlink(missing_ok=True)


def _places_of(data: Path) -> tuple[Path, Path]:
    """Where images that are being imported, and earlier ones, wait."""
    return data.with_name(f".{data.stem}.new.npz"), data.with_name(f"{data.stem}.earlier.npz")


def _told(data: Path) -> list[str]:
    own = read_own_images(data)
    more = any(len(names) > 3 for names in own.notes.values())
    where = f"all names: abele_py.datasets.prepared_images.read_own_images({str(data)!r}).notes, in Python"
    return [*str(own).splitlines(), *([where] if more else [])]


def _is_finished(checkpoint: Path, data: Path) -> bool:
    """Whether a training has left its checkpoint; one that was trained on other images is refused."""
    if not (checkpoint / MANIFEST).is_file():
        return False
    trained_on, images = read_manifest(checkpoint).data_set, dataset_of(str(data)).name
    if trained_on != images:
        raise ParameterError(
            f"got {checkpoint}, trained on {trained_on}, but {images} in {data}; expected a training on these images; "
            "begin anew with --overwrite, or with another --name"
        )
    return True


def _parse(recipe: Path, argv: Sequence[str]) -> tuple[Namespace, dict[str, list[str]]]:
    """The options of the chain itself, and those of each step as arguments."""
    efforts = efforts_of(recipe)
    parser = ArgumentParser(
        prog="abele train", usage="abele train training/folder.yaml --data.path FOLDER [options]",
        description=_DESCRIPTION, exit_on_error=False,
    )  # fmt: skip
    parser.add_argument("--config", action="config", help="the recipe")
    parser.add_argument("--name", type=str | None, default=None, help="of the run folders [name of FOLDER]")
    parser.add_argument("--runs", type=str, default="runs", help="folder of the run folders")
    parser.add_argument("--seed_everything", type=SmallSeed, default=0, help="of splits and trainings")
    parser.add_argument("--resume", action="store_true", help="go on with what was interrupted")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier run of this name left")
    parser.add_argument("--data.path", type=str | None, default=None, help="a folder of pictures per class, or an .npz")
    parser.add_function_arguments(import_images, "data", skip=_NOT_OPTIONS)
    for step in _STEPS:
        parser.add_argument(f"--{step}", type=str, help=f"recipe of the {step}, a file beside this one")
    for name, effort in efforts.items():
        parser.add_argument(f"--{name}", action="store_true", help=effort.says)
    parser.add_argument(f"--{SECTION}", type=dict | None, default=None, help=SUPPRESS)
    imported = {f"data.{name}" for name in signature(import_images).parameters if name not in _NOT_OPTIONS} | {
        "data.path"
    }

    chain: list[str] = [f"--config={recipe}"]
    shares: dict[str, list[str]] = {step: [] for step in _STEPS}
    for option, words in _options(chosen(efforts, argv)):
        step, dot, rest = option.partition(".")
        if option in imported | {*_CHAIN, "h", "help"}:
            chain += [f"{words[0]}=true"] if option in imported and len(words) == 1 and "=" not in words[0] else words
        elif any(name.startswith(rest if dot and step in _STEPS else option) for name in _DECIDED):  # argparse: --ou=x
            raise ParameterError(
                f"got {words[0]} for trainings that belong together; expected options that leave them so: --runs and "
                "--name give the places, --data.path the images, and the classifier is the autoencoder's judge; leave "
                "it out, or train one alone, see docs/own-images.md"
            )
        elif dot and step in _STEPS:
            after = words[0].removeprefix("--")[len(option) :]  # "=1", or nothing
            shares[step] += [f"--{rest}{after}", *words[1:]]
        elif step in _ONE_STEP:
            raise ParameterError(
                f"got {words[0]} for two trainings; expected the one that is meant; pass --autoencoder.{option} or "
                f"--classifier.{option}"
            )
        else:
            for share in shares.values():
                share += words
    try:
        own = parser.parse_args(chain)
    except AbeleError:
        raise
    except Exception as error:  # jsonargparse raises nearly anything on odd recipes
        raise ParameterError(
            f"got options that do not fit: {' '.join(str(error).split())[:500]}; expected those of abele train "
            f"{recipe} --help"
        ) from error
    _check_one_process(shares)
    return own, shares


def _options(argv: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Options with their values: ``--a.b=1`` and ``--a.b 1`` -> ("a.b", [words])."""
    found: list[tuple[str, list[str]]] = []
    for word in argv:
        if word.startswith("--") or word == "-h":
            found.append((word.lstrip("-").partition("=")[0].replace("-", "_"), [word]))
        elif found:
            found[-1][1].append(word)
        else:
            raise ParameterError(f"got {word!r} after the recipe; expected options; pass --data.path {word}")
    return found


def _check_one_process(shares: dict[str, list[str]]) -> None:
    """Lightning starts further processes by repeating the whole command, which here is two trainings."""
    for words in shares.values():
        for option, given in _options(words):
            value = given[-1].partition("=")[2] or given[-1]
            if option in ("trainer.devices", "trainer.num_nodes") and value != "1":
                raise ParameterError(
                    f"got {' '.join(given)} for two trainings; expected 1; train them one after the other with several "
                    "processes: abele train training/folder-classifier.yaml --data.data_set RUNS/NAME-data.npz ..., "
                    "see docs/own-images.md"
                )


def _check_places(data: Path, folders: Sequence[Path], overwrite: bool) -> None:
    """Refuse what is not ours to replace, before anything is read; what is ours too, unless it may be overwritten."""
    for place in (data, *_places_of(data)):
        check_prepared(place)
    for folder in folders:
        for place in (folder, backup_of(folder)):
            check_replaceable(place, TRAINING)
    for place in (data, *folders):
        if place.exists() and not overwrite:
            raise ParameterError(
                f"got {place}, which an earlier run has left; expected a free place; go on with --resume, replace it "
                "with --overwrite, or choose another --name"
            )


def _commands(data: Path, source: str | None, classifier: Path, autoencoder: Path) -> tuple[str, ...]:
    own = read_own_images(data)
    image = f"{data}:test:0"
    if source is not None and Path(source).is_dir():
        image = str(Path(source) / own.names[int(own.rows("test")[0])])
    models = f"--autoencoder {shlex.quote(str(autoencoder))} --black-box {shlex.quote(str(classifier))}"
    return (
        f"explain a picture: abele explain {shlex.quote(image)} {models} --resize",
        f"measure explanations: abele evaluate {shlex.quote(str(data))}:test:20 {models}",
    )
