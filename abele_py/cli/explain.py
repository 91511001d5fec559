"""``abele explain`` and ``abele demo``: explanations of single decisions, as files and in words."""

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from ..errors import ParameterError
from .options import (
    Commands,
    Write,
    add_black_box,
    add_class_names,
    add_explainer,
    add_images,
    add_out,
    add_resize,
    autoencoder_of,
    explainer_of,
    image_of,
)
from .results import (
    check_out,
    free_name,
    has_array,
    of_command,
    renamed,
    write_block,
    write_figure,
    write_text,
    writing_to,
)

if TYPE_CHECKING:
    from ..explanation.explanation import Explanation

_SUFFIXES = {"figure": ".png", "explanation": ".npz", "JSON": ".json", "page": ".html"}


def add_explain(commands: Commands) -> None:
    parser = ArgumentParser(
        description="Explain decisions, one for each image: figure (PNG), explanation (.npz), JSON, and a page (HTML) "
        "if asked for.",
        exit_on_error=False,
    )
    add_images(parser)
    add_black_box(parser)
    add_out(parser)
    add_resize(parser)
    add_class_names(parser)
    add_explainer(parser)
    parser.add_argument(
        "--html", action="store_true", help="write pages for a browser too, of several images also index.html"
    )
    parser.add_argument(
        "--json",
        type=str,
        default="full",
        choices=("full", "summary"),
        help="full: all arrays too, some MB; summary: what the explanation says, some kB",
    )
    commands.add_subcommand("explain", parser, help="explain one decision of a classifier")


def run_explain(options: Namespace, write: Write) -> None:
    check_out(options.out)
    autoencoder = autoencoder_of(options)
    given = [image_of(spec, options, autoencoder.image_shape) for spec in options.images]
    explainer = explainer_of(options, autoencoder)
    found = explainer.explain_many([one.image for one in given], options.target)
    explained = (
        (one.name, explanation.with_provenance(image=one.origin)) for one, explanation in zip(given, found, strict=True)
    )
    _report(explained, options, options.html, write)


def add_demo(commands: Commands) -> None:
    parser = ArgumentParser(
        description="Explain a few of scikit-learn's digits with the shipped models.", exit_on_error=False
    )
    add_out(parser)
    parser.add_argument("--images", type=int, default=3, help="number of digits, drawn at random from the test split")
    parser.add_argument("--seed", type=int, default=0, help="of the draw and of the explanations")
    commands.add_subcommand("demo", parser, help="explain a few digits, nothing needed")


def run_demo(options: Namespace, write: Write) -> None:
    import torch

    from ..datasets.loading import load_split
    from ..datasets.records import to_unit
    from ..explanation.explainer import Abele
    from ..models.checkpoints import load_autoencoder, load_classifier

    check_out(options.out)
    images = load_split("digits", "test")
    if not 1 <= options.images <= len(images):
        raise ParameterError(f"got --images {options.images}; expected 1 to {len(images)}")
    explainer = Abele(load_classifier("digits-cnn"), load_autoencoder("digits"), random_state=options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    chosen = torch.randperm(len(images), generator=generator)[: options.images].tolist()
    explained = (
        (f"digits-test-{i}", explanation.with_provenance(image={"specification": f"digits:test:{i}"}))
        for i, explanation in zip(chosen, explainer.explain_many(to_unit(images.images[chosen])), strict=True)
    )
    _report(explained, options, True, write)


def _report(explained: "Iterable[tuple[str, Explanation]]", options: Namespace, html: bool, write: Write) -> None:
    """Write figures, explanations, JSON and, if asked for, pages; say in words what they hold and where they are.

    Results of another image, or of the same one explained otherwise, are kept: the new ones get a number.
    """
    from ..explanation.explanation import Explanation
    from ..views.index import write_index

    out, in_short = Path(options.out), options.get("json") == "summary"
    found: dict[str, Explanation] = {}
    for wanted, told in explained:
        explanation = told.with_provenance(**of_command(options))
        with writing_to(out):
            endings = [f"-explanation{_SUFFIXES[kind]}" for kind in ("explanation", "figure", "JSON", "page")]
            name = free_name(out, wanted, endings, partial(_holds, explanation), tuple(found))
            files = {kind: out / f"{name}-explanation{suffix}" for kind, suffix in _SUFFIXES.items()}
            explanation.save(files["explanation"])  # first: by this one the others are known as its own
            write_figure(files["figure"], explanation.plot())
            text = json.dumps(explanation.summary(), indent=1) if in_short else explanation.to_json()
            write_text(files["JSON"], text)
            if html:
                explanation.to_html(files["page"], title=name)
            else:
                del files["page"]
        write_block(name, "\n".join([str(explanation), *renamed(wanted, name, out, tuple(found))]), files, write)
        found[name] = explanation
    if html and len(found) > 1:
        with writing_to(out):
            write(f"index: {write_index(found, out)}")


def _holds(explanation: "Explanation", path: Path) -> bool:
    """Whether a file holds an explanation that was asked for and answered as this one was."""
    from ..errors import DataError
    from ..explanation.explanation import Explanation

    try:
        return has_array(path, "image", explanation.image) and Explanation.load(path).repeats(explanation)
    except DataError:
        return False
