"""``abele compare``: what several explainers say of the same decisions, on one scale."""

from pathlib import Path

from jsonargparse import ActionYesNo, Namespace

from .options import (
    Command,
    Commands,
    Write,
    add_black_box,
    add_class_names,
    add_images,
    add_out,
    add_resize,
    black_box_of,
    image_of,
    names_in,
)
from .results import write_block, write_figure, writing_to


def add_compare(commands: Commands) -> None:
    parser = Command(_description)
    add_images(parser)
    parser.add_argument("--methods", type=str, help="names from the list above, with commas between; default: all")
    add_black_box(parser)
    add_out(parser)
    add_resize(parser)
    add_class_names(parser)
    parser.add_argument(
        "--overlay",
        action=ActionYesNo(no_prefix="no-"),
        default=True,
        help="draw the maps over a pale copy of the image",
    )
    commands.add_subcommand("compare", parser, help="compare explainers on the same decisions")


def _description() -> str:
    from ..attribution.registry import families

    methods = "; ".join(f"{family}: {', '.join(names)}" for family, names in families().items())
    return (
        "Compare what ABELE and other explainers say of the same decisions: one figure (PNG), and the raw maps (.npz). "
        f"Methods: {methods}."
    )


def run_compare(options: Namespace, write: Write) -> None:
    from ..attribution.comparison import compare
    from ..models.checkpoints import load_autoencoder

    autoencoder = load_autoencoder(options.autoencoder)
    names, images = zip(*(image_of(spec, options, autoencoder.image_shape) for spec in options.images), strict=True)
    black_box, class_names = black_box_of(options, autoencoder)
    comparison = compare(
        images,
        black_box,
        autoencoder,
        methods=names_in(options.methods),
        random_state=options.seed,
        batch_size=options.batch_size,
        class_names=names_in(options.class_names) or class_names,
        progress=True,
    )
    name = names[0] if len(names) == 1 else f"{names[0]}-and-{len(names) - 1}-more"
    paths = [Path(options.out) / f"{name}-comparison{suffix}" for suffix in (".png", ".npz")]
    with writing_to(options.out):
        write_figure(paths[0], comparison.plot(options.overlay))
        comparison.save(paths[1])
    write_block(", ".join(names), str(comparison), {"figure": paths[0], "maps": paths[1]}, write)
