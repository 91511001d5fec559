"""``abele compare``: what several explainers say of the same decisions, on one scale."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
    autoencoder_of,
    black_box_of,
    image_of,
    names_in,
)
from .results import check_out, free_name, has_array, of_command, renamed, write_block, write_figure, writing_to

if TYPE_CHECKING:
    from ..attribution.comparison import Comparison


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

    check_out(options.out)
    autoencoder = autoencoder_of(options)
    given = [image_of(spec, options, autoencoder.image_shape) for spec in options.images]
    names, images = [one.name for one in given], [one.image for one in given]
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
    ).with_provenance(images=[one.origin for one in given], **of_command(options))
    wanted = names[0] if len(names) == 1 else f"{names[0]}-and-{len(names) - 1}-more"
    out = Path(options.out)
    with writing_to(out):
        name = free_name(out, wanted, ["-comparison.npz", "-comparison.png"], partial(_holds, comparison))
        figure, maps = (out / f"{name}-comparison{suffix}" for suffix in (".png", ".npz"))
        comparison.save(maps)
        write_figure(figure, comparison.plot(options.overlay))
    lines = [str(comparison), *renamed(wanted, name, out)]
    write_block(", ".join(names), "\n".join(lines), {"figure": figure, "maps": maps}, write)


def _holds(comparison: "Comparison", path: Path) -> bool:
    """Whether a file holds a comparison that was asked for and answered as this one was."""
    from ..attribution.comparison import Comparison
    from ..errors import DataError

    try:
        return has_array(path, "images", comparison.images) and Comparison.load(path).repeats(comparison)
    except DataError:
        return False
