"""A recipe of recipes: import a user's images, train a classifier on them, then an autoencoder judged by it.

Each of the two is an ordinary training, with its own run folder; only the images and the judge are handed on.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from .checkpoints import MANIFEST
from .errors import AbeleError, ParameterError
from .own_images import import_images
from .prepared import read_own_images
from .runs import LAST
from .training import check
from .training import main as train

_STEPS = ("classifier", "autoencoder")
_CHAIN = ("config", "name", "runs", "seed_everything", "resume", "overwrite", *_STEPS)
_ONE_STEP = ("model", "black_box", "out", "monitor", "mode", "patience", "half")
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
    if not argv or not Path(argv[0]).is_file():
        return False
    try:
        content = yaml.safe_load(Path(argv[0]).read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError):  # `training.main` says what is wrong with it
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
    if not name or Path(name).name != name:
        raise ParameterError(
            f"got name {name!r}; expected a name without folders; pass --data.path, and --name for another name"
        )
    runs = Path(own.runs)
    data = runs / f"{name}-data.npz"
    folders = {"classifier": runs / f"{name}-classifier", "autoencoder": runs / name}
    if not own.resume and not own.overwrite:
        _check_free(data, *folders.values())

    if own.resume and data.is_file():
        say(f"images imported before: {data}")
    else:
        if source is None:
            raise ParameterError(
                "got no --data.path; expected a folder with one folder of pictures per class, or an .npz"
            )
        import_images(source, data, seed=own.seed_everything, **own.data)
        say(f"images imported into {data}")
    for line in str(read_own_images(data)).splitlines():
        say(f"  {line}")

    common = [f"--runs={runs}", f"--seed_everything={own.seed_everything}", f"--data.data_set={data}"]
    judge = f"--black_box={folders['classifier'] / 'checkpoint'}"
    options = {
        step: [
            str(recipe.parent / own[step]), *common, f"--name={folder.name}",
            *([judge] if step == "autoencoder" else []), *(["--overwrite"] if own.overwrite else []), *shares[step],
        ]
        for step, folder in folders.items()
    }  # fmt: skip
    for step in _STEPS:  # both before the first is trained: a mistake in the second would be told late
        check(options[step])
    for step, folder in folders.items():
        if own.resume and (folder / "checkpoint" / MANIFEST).is_file():
            say(f"{step} trained before: {folder / 'checkpoint'}")
            continue
        say(f"training the {step}: {folder}")
        train([*options[step], *(["--resume"] if own.resume and (folder / LAST).is_file() else [])])
    checkpoints = (folders["classifier"] / "checkpoint", folders["autoencoder"] / "checkpoint")
    return Trained(checkpoints, _commands(data, source, *checkpoints))


def _parse(recipe: Path, argv: Sequence[str]) -> tuple[Namespace, dict[str, list[str]]]:
    """The options of the chain itself, and those of each step as arguments."""
    parser = ArgumentParser(
        prog="abele train", usage="abele train training/folder.yaml --data.path FOLDER [options]",
        description=_DESCRIPTION, exit_on_error=False,
    )  # fmt: skip
    parser.add_argument("--config", action="config", help="the recipe")
    parser.add_argument("--name", type=str | None, default=None, help="of the run folders [name of FOLDER]")
    parser.add_argument("--runs", type=str, default="runs", help="folder of the run folders")
    parser.add_argument("--seed_everything", type=int, default=0, help="of splits and trainings")
    parser.add_argument("--resume", action="store_true", help="go on with what was interrupted")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier run of this name left")
    parser.add_argument("--data.path", type=str | None, default=None, help="a folder of pictures per class, or an .npz")
    parser.add_function_arguments(import_images, "data", skip={"path", "out", "seed"})
    for step in _STEPS:
        parser.add_argument(f"--{step}", type=str, help=f"recipe of the {step}, a file beside this one")
    imported = {action.dest for action in parser._actions if action.dest.startswith("data.")}

    chain: list[str] = [f"--config={recipe}"]
    shares: dict[str, list[str]] = {step: [] for step in _STEPS}
    for option, words in _options(argv):
        step, dot, rest = option.partition(".")
        if option in imported | {*_CHAIN, "h", "help"}:
            chain += [f"{words[0]}=true"] if option in imported and len(words) == 1 and "=" not in words[0] else words
        elif dot and step in _STEPS:
            shares[step] += [f"--{rest}" + words[0].removeprefix(f"--{option}"), *words[1:]]
        elif step in _ONE_STEP or option == "data.data_set":
            raise ParameterError(
                f"got {words[0]} for two trainings; expected the one that is meant; pass --autoencoder.{option} or "
                f"--classifier.{option}"
            )
        else:
            for share in shares.values():
                share += words
    try:
        own = parser.parse_args(chain)
    except (ArgumentError, TypeError, ValueError) as error:
        if isinstance(error, AbeleError):
            raise
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


def _check_free(*places: Path) -> None:
    for place in places:
        if place.exists():
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
