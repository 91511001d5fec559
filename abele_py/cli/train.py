"""``abele train``: from a recipe to a checkpoint, or from a folder of pictures to two."""

from pathlib import Path

from jsonargparse import ArgumentParser

from ..models.manifests import read_manifest
from .options import Commands, Write


def add_train(commands: Commands) -> None:
    """The help that needs no recipe; the options of a training are Lightning's to parse, see :func:`run_train`."""
    parser = ArgumentParser(
        usage="abele train RECIPE.yaml [options]",
        description="Train an autoencoder or a classifier, and write a checkpoint folder. Every option of the recipe "
        "can be given here too, for instance --model.latent_dim 8 --trainer.max_epochs 2. abele train RECIPE.yaml "
        "--help lists all of them, abele train RECIPE.yaml --print_config shows their values; both load Lightning, "
        "which takes seconds.",
        exit_on_error=False,
    )
    parser.add_argument(
        "recipe",
        type=str,
        metavar="RECIPE.yaml",
        help="a YAML file; recipes are in the project's folder training/. training/folder.yaml trains on your own "
        "images, a classifier and an autoencoder",
    )
    commands.add_subcommand(
        "train", parser, help="train an autoencoder or a classifier: abele train RECIPE.yaml [options]"
    )


def run_train(arguments: list[str], write: Write) -> None:
    """Everything after ``abele train``: a recipe of recipes, or an ordinary one."""
    from pytorch_lightning.utilities import rank_zero_only

    from ..training.chain import is_chain, train_chain
    from ..training.recipe import main as train

    if not is_chain(arguments):
        rank_zero_only(tell_reached)(train(arguments), write)
        return
    trained = train_chain(arguments, write)
    for folder in trained.checkpoints:
        tell_reached(folder, write)
    for line in trained.commands:
        write(line)


def tell_reached(folder: Path, write: Write) -> None:
    """Where the checkpoint is, and whether it is good enough to explain with."""
    from ..models.verdict import verdict

    for line in (f"checkpoint: {folder}", *verdict(read_manifest(folder))):
        write(line)
