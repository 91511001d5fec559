"""``abele explain-dataset``: explanations of all images of a data set, as rows of Parquet files."""

from functools import partial

from jsonargparse import ArgumentParser, Namespace

from .options import Commands, Write, add_black_box, add_class_names, add_explainer, add_out, add_resize, explainer_of
from .results import blaming

KEPT = ("summary", "figures", "full")  # those of distributed.rows, which loads pyarrow; a test holds them equal


def add_explain_dataset(commands: Commands) -> None:
    parser = ArgumentParser(
        description="Explain all images of a data set: a row for each in Parquet files. Interrupted, the same command "
        "goes on where it stopped. `abele summary` then tells what the explanations say in sum.",
        exit_on_error=False,
    )
    parser.add_argument(
        "data",
        type=str,
        help="DATASET:SPLIT, or DATASET:SPLIT:N for N images drawn at random, such as mnist:test:500; a folder of "
        "pictures, in which a folder named as a class says what is true; or a file .npz with images and, where they "
        "are known, labels and class_names",
    )
    add_black_box(parser)
    add_out(parser)
    add_resize(parser)
    add_class_names(parser)
    add_explainer(parser)
    parser.add_argument(
        "--keep",
        type=str,
        default="summary",
        choices=KEPT,
        help="summary: about 1 kB an image; figures: with small pictures, at most 20 kB; full: whole explanations too",
    )
    parser.add_argument("--shard-size", type=int, default=64, help="images in a file, written whole or not at all")
    parser.add_argument("--workers", type=int, default=1, help="processes; more than one need Ray")
    parser.add_argument("--address", type=str, help="of a Ray cluster that is running, such as auto")
    parser.add_argument(
        "--retry-failed", action="store_true", help="explain anew where images could not be explained before"
    )
    commands.add_subcommand("explain-dataset", parser, help="explain all images of a data set")


def run_explain_dataset(options: Namespace, write: Write) -> None:
    from ..distributed.run import explain_dataset

    with blaming(options.out):
        counts = explain_dataset(
            options.data,
            partial(explainer_of, options),
            options.out,
            target=options.target,
            keep=options.keep,
            shard_size=options.shard_size,
            workers=options.workers,
            address=options.address,
            retry_failed=options.retry_failed,
            resize=options.resize,
            seed=options.seed,
            data_dir=options.data_dir,
            download=options.download,
            named={name: options[name] for name in ("data", "autoencoder", "black_box")},
        )
    failed = sum(counts.failed.values())
    write(f"{counts.n_images - failed} of {counts.n_images} images explained: {options.out}")
    for error, n in counts.failed.items():
        write(f"{n} not, by {error}: the column reason says why")
