"""``abele explain`` and ``abele demo``: explanations of single decisions, as files and in words."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from ..errors import ParameterError
from .options import (
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
from .results import write_block, write_figure, write_text, writing_to

if TYPE_CHECKING:
    from ..explanation.explanation import Explanation

# Those of latent.neighborhood.STRATEGIES, which loads torch; a test holds them equal.
NEIGHBORHOODS = ("local", "random", "genetic", "genetic-score", "hybrid", "mixture")
_SUFFIXES = {"figure": ".png", "explanation": ".npz", "JSON": ".json"}


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
    parser.add_argument("--target", type=str, help="label or class name: look for counter-exemplars of this one only")
    parser.add_argument("--neighborhood", type=str, help=f"one of: {', '.join(NEIGHBORHOODS)}; default: the preset's")
    parser.add_argument("--preset", type=str, default="default", help="default, or paper: the paper's own definitions")
    parser.add_argument("--samples", type=int, default=1000, help="number of neighbors")
    parser.add_argument(
        "--html", action="store_true", help="write pages for a browser too, of several images also index.html"
    )
    commands.add_subcommand("explain", parser, help="explain one decision of a classifier")


def run_explain(options: Namespace, write: Write) -> None:
    from ..explanation.explainer import Abele
    from ..models.checkpoints import load_autoencoder

    autoencoder = load_autoencoder(options.autoencoder)
    images = [image_of(spec, options, autoencoder.image_shape) for spec in options.images]
    black_box, class_names = black_box_of(options, autoencoder)
    explainer = Abele(
        black_box,
        autoencoder,
        neighborhood=options.neighborhood,
        n_samples=options.samples,
        random_state=options.seed,
        batch_size=options.batch_size,
        class_names=names_in(options.class_names) or class_names,
        preset=options.preset,
    )
    named = zip(_different([name for name, _ in images]), images, strict=True)
    explained = ((name, explainer.explain(image, options.target)) for name, (_, image) in named)
    _report(explained, Path(options.out), options.html, write)


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

    images = load_split("digits", "test")
    if not 1 <= options.images <= len(images):
        raise ParameterError(f"got --images {options.images}; expected 1 to {len(images)}")
    explainer = Abele(load_classifier("digits-cnn"), load_autoencoder("digits"), random_state=options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    chosen = torch.randperm(len(images), generator=generator)[: options.images].tolist()
    explained = ((f"digits-test-{i}", explainer.explain(to_unit(images.images[i]))) for i in chosen)
    _report(explained, Path(options.out), True, write)


def _report(explained: "Iterable[tuple[str, Explanation]]", out: Path, html: bool, write: Write) -> None:
    """Write figures, explanations, JSON and, if asked for, pages; say in words what they hold and where they are."""
    from ..views.index import page_path, write_index

    found: dict[str, Explanation] = {}
    for name, explanation in explained:
        files = {kind: out / f"{name}-explanation{suffix}" for kind, suffix in _SUFFIXES.items()}
        with writing_to(out):
            write_figure(files["figure"], explanation.plot())
            explanation.save(files["explanation"])
            write_text(files["JSON"], explanation.to_json())
            if html:
                files["page"] = explanation.to_html(page_path(out, name), title=name)
        write_block(name, str(explanation), files, write)
        found[name] = explanation
    if html and len(found) > 1:
        with writing_to(out):
            write(f"index: {write_index(found, out)}")


def _different(names: Sequence[str]) -> list[str]:
    """The names, with numbers where results would overwrite each other."""
    taken: set[str] = set()
    found = []
    for name in names:
        tries = (name, *(f"{name}-{i}" for i in range(2, len(names) + len(taken) + 2)))
        found.append(next(n for n in tries if n.casefold() not in taken))
        taken.add(found[-1].casefold())
    return found
