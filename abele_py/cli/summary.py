"""``abele summary`` and ``abele similar``: what a run over a data set says in sum, and of an image like its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from .options import Commands, Shaped, Write, add_black_box, add_resize, autoencoder_of, black_box_of, image_of
from .results import blaming

if TYPE_CHECKING:
    from ..distributed.records import Summary


def add_summary(commands: Commands) -> None:
    parser = ArgumentParser(
        description="Sum up a run of abele explain-dataset, finished or not: one page (HTML) that needs no network, "
        "tables (Parquet and CSV), and plots (PNG). How far explanations can be trusted, where the black box is wrong, "
        "which classes border which, and what is typical of each.",
        exit_on_error=False,
    )
    parser.add_argument("run", type=str, metavar="dir", help="folder of the run")
    parser.add_argument("--out", type=str, help="folder for page, tables and plots; default: summary, in the run's")
    commands.add_subcommand("summary", parser, help="sum up a run: page, tables and plots")


def run_summary(options: Namespace, write: Write) -> None:
    out = options.run if options.out is None else options.out
    with blaming(out):
        from ..distributed.summary import summarize
        from ..views.summary_files import write_files

        summary = summarize(options.run)
        paths = write_files(summary, options.out)
    for line in _in_words(summary):
        write(line)
    for path in paths:
        write(f"{path.name}: {path}")


def _in_words(s: "Summary") -> Iterator[str]:
    from ..explanation.trust import ANSWERS

    whole = s.run.data.get("n", s.n)
    yield f"{s.n} of {whole} images are there, {s.n_failed} of them could not be explained"
    grades = s.trust.grades["explanation"]
    yield f"can they be believed? {', '.join(f'{ANSWERS[grade]}: {grades[grade]}' for grade in ANSWERS)}"
    if s.mistakes is not None:
        wrong = s.mistakes.wrong.n
        yield f"mistakes: {wrong} of {wrong + s.mistakes.right.n} whose true class is known"
        for c in s.mistakes.confusions[:3]:
            yield f"  {s.name(c.true_label)} taken for {s.name(c.label)}: {c.side.n}"


def add_similar(commands: Commands) -> None:
    parser = ArgumentParser(
        description="Explanations of a run of abele explain-dataset that hold for another image: their rule covers its "
        "code, and their label is its label. The nearest codes come first.",
        exit_on_error=False,
    )
    parser.add_argument("image", type=str, help="picture file, .npy array, or DATASET:SPLIT:INDEX such as mnist:test:7")
    parser.add_argument("run", type=str, metavar="dir", help="folder of the run")
    parser.add_argument("--most", type=int, default=10, help="images that are named")
    add_black_box(parser, autoencoder=None, black_box=None)
    add_resize(parser)
    commands.add_subcommand("similar", parser, help="explanations of a run that hold for another image")


def run_similar(options: Namespace, write: Write) -> None:
    from ..distributed.run_file import read_run
    from ..distributed.similar import similar, stored
    from ..views.summary_parts import command_for

    run = read_run(options.run)
    autoencoder: Any = None if options.autoencoder is None else autoencoder_of(options)
    black_box: Any = None
    if options.black_box is not None:
        shaped: Any = Shaped(run.image_shape)
        black_box, _ = black_box_of(options, shaped)
    given = image_of(options.image, options, run.image_shape)
    found = similar(
        given.image, options.run, autoencoder=autoencoder, black_box=black_box, most=options.most,
        device=options.device,
    )  # fmt: skip
    name = run.class_names[found.label] if found.label < len(run.class_names) else str(found.label)
    write(f"{given.name}: {name}")
    write(f"{found.n_covering} of {found.n_with_label} explanations with this label hold for it too")
    if found.n_unknown:
        write(f"of {found.n_unknown} of them code or rule was not kept")
    for one in found.images:
        write(f"{one.name}: distance {one.distance:.3f}")
        path = stored(Path(options.run), one.shard, one.index)
        command = command_for(run, one.name)
        if path is not None:
            write(f"  explanation: {path}")
        if command is not None:
            write(f"  {command}")
