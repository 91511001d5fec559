"""``abele evaluate``: how good explanations are, measured on images of a data set."""

from pathlib import Path

from jsonargparse import Namespace

from .options import (
    Command,
    Commands,
    Write,
    add_black_box,
    add_out,
    autoencoder_of,
    black_box_of,
    importing_from_here,
    names_in,
    pixels_of,
)
from .results import blaming, check_out


def add_evaluate(commands: Commands) -> None:
    parser = Command(_description)
    parser.add_argument("data", type=str, help="DATASET:SPLIT or DATASET:SPLIT:N, such as mnist:test:100")
    add_black_box(parser)
    add_out(parser)
    parser.add_argument("--oracle", type=str, help="a second black box, trained apart, for figures that need one")
    parser.add_argument("--methods", type=str, help="names with commas between; default: all")
    parser.add_argument("--parts", type=str, help="names with commas between; default: all")
    parser.add_argument("--map-images", type=int, help="images of which every method makes a map; default: all")
    parser.add_argument(
        "--costly-images",
        type=int,
        default=30,
        help="images for stability and sanity, which ask a method many times",
    )
    commands.add_subcommand("evaluate", parser, help="measure how good explanations are")


def _description() -> str:
    from ..evaluation.parts import PARTS

    return (
        "Measure the explanations of random images of a data set: every figure with a bootstrap interval, tables "
        "(Markdown, CSV, JSON) and plots. Interrupted, the same command goes on where it stopped. "
        f"Parts: {', '.join(PARTS)}. Methods: as in abele compare."
    )


def run_evaluate(options: Namespace, write: Write) -> None:
    from ..black_boxes.loading import identity, load_black_box
    from ..evaluation.run import evaluate

    check_out(options.out)
    autoencoder = autoencoder_of(options)
    black_box, _ = black_box_of(options, autoencoder)
    models = {
        "autoencoder": identity(options.autoencoder),
        "black_box": identity(options.black_box, **pixels_of(options)),
    }
    oracle = None
    if options.oracle is not None:
        with importing_from_here():
            loaded = load_black_box(
                options.oracle,
                image_shape=autoencoder.image_shape,
                timeout=options.timeout,
                device=options.device,
            )
        oracle = loaded.classifier
        models["oracle"] = identity(options.oracle)
    with blaming(options.out):
        evaluate(
            options.data,
            black_box,
            autoencoder,
            options.out,
            oracle=oracle,
            methods=names_in(options.methods),
            parts=names_in(options.parts),
            n_maps=options.map_images,
            n_costly=options.costly_images,
            seed=options.seed,
            batch_size=options.batch_size,
            data_dir=options.data_dir,
            download=options.download,
            models=models,
        )
    write((Path(options.out) / "table.md").read_text(encoding="utf-8"))
    for name in ("table.md", "table.csv", "summary.json"):
        write(f"{name}: {Path(options.out) / name}")
