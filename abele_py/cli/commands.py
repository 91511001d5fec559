"""The ``abele`` command, one function per subcommand. A user's mistake is one clear line and exit code 2."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jsonargparse import ArgumentError, Namespace
from torch import Tensor

from ..app.backend import Studio
from ..app.server import serve
from ..attribution.comparison import compare
from ..black_boxes.loading import LoadedBlackBox, identity, load_black_box
from ..datasets.catalog import DATASETS
from ..datasets.loading import load_image, load_split
from ..datasets.records import to_unit
from ..errors import AbeleError, ParameterError
from ..evaluation.run import evaluate
from ..explanation.explainer import Abele
from ..explanation.explanation import Explanation
from ..files import write_atomically
from ..images import read_image
from ..models.adversarial import AdversarialAutoencoder
from ..models.checkpoints import Manifest, list_checkpoints, load_autoencoder, load_classifier, read_manifest
from ..models.verdict import verdict
from ..views.index import page_path, write_index
from .parser import parser

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Write = Callable[[str], Any]
_SUFFIXES = {"figure": ".png", "explanation": ".npz", "JSON": ".json"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the entry point of ``abele``.

    Returns:
        0, or 2 after a user's mistake, said in one line on standard error.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        if arguments[:1] == ["train"]:
            return _train(arguments[1:])
        options = parser().parse_args(arguments)
        command = options.get("command")
        with _importing_from_here():
            _COMMANDS[command](options[command], _say)
    except (AbeleError, ArgumentError) as error:
        sys.stderr.write(f"abele: {' '.join(str(error).split())}\n")
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.stderr.write("abele: interrupted; what was finished is kept\n")
        return 130
    return 0


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """``--black-box mymodule:function`` finds the user's own module beside the images, as ``python -m`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _explain(options: Namespace, write: Write) -> None:
    autoencoder = load_autoencoder(options.autoencoder)
    images = [_image(spec, options, autoencoder.image_shape) for spec in options.images]
    black_box, class_names = _black_box(options, autoencoder)
    explainer = Abele(
        black_box,
        autoencoder,
        neighborhood=options.neighborhood,
        n_samples=options.samples,
        random_state=options.seed,
        batch_size=options.batch_size,
        class_names=_names(options.class_names) or class_names,
        preset=options.preset,
    )
    named = zip(_different([name for name, _ in images]), images, strict=True)
    explained = ((name, explainer.explain(image, options.target)) for name, (_, image) in named)
    _report(explained, Path(options.out), options.html, write)


def _compare(options: Namespace, write: Write) -> None:
    autoencoder = load_autoencoder(options.autoencoder)
    names, images = zip(*(_image(spec, options, autoencoder.image_shape) for spec in options.images), strict=True)
    black_box, class_names = _black_box(options, autoencoder)
    comparison = compare(
        images,
        black_box,
        autoencoder,
        methods=_names(options.methods),
        random_state=options.seed,
        batch_size=options.batch_size,
        class_names=_names(options.class_names) or class_names,
        progress=True,
    )
    name = names[0] if len(names) == 1 else f"{names[0]}-and-{len(names) - 1}-more"
    paths = [Path(options.out) / f"{name}-comparison{suffix}" for suffix in (".png", ".npz")]
    with _writing_to(options.out):
        _write_figure(paths[0], comparison.plot(options.overlay))
        comparison.save(paths[1])
    _write_block(", ".join(names), str(comparison), {"figure": paths[0], "maps": paths[1]}, write)


def _evaluate(options: Namespace, write: Write) -> None:
    autoencoder = load_autoencoder(options.autoencoder)
    black_box, _ = _black_box(options, autoencoder)
    models = {
        "autoencoder": identity(options.autoencoder),
        "black_box": identity(options.black_box, **_pixels(options)),
    }
    oracle = None
    if options.oracle is not None:
        oracle = load_black_box(options.oracle, image_shape=autoencoder.image_shape, timeout=options.timeout).classifier
        models["oracle"] = identity(options.oracle)
    with _writing_to(options.out):
        evaluate(
            options.data,
            black_box,
            autoencoder,
            options.out,
            oracle=oracle,
            methods=_names(options.methods),
            parts=_names(options.parts),
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


def _names(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(name.strip() for name in text.split(","))


def _app(options: Namespace, write: Write) -> None:
    studio = Studio(
        options.autoencoder,
        options.black_box,
        data=options.data,
        data_dir=options.data_dir,
        download=options.download,
        batch_size=options.batch_size,
        random_state=options.seed,
        class_names=_names(options.class_names),
        options={"timeout": options.timeout, **_pixels(options)},
    )
    serve(studio, options.host, options.port, options.browser, write)


def _demo(options: Namespace, write: Write) -> None:
    images = load_split("digits", "test")
    if not 1 <= options.images <= len(images):
        raise ParameterError(f"got --images {options.images}; expected 1 to {len(images)}")
    explainer = Abele(load_classifier("digits-cnn"), load_autoencoder("digits"), random_state=options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    chosen = torch.randperm(len(images), generator=generator)[: options.images].tolist()
    explained = ((f"digits-test-{i}", explainer.explain(to_unit(images.images[i]))) for i in chosen)
    _report(explained, Path(options.out), True, write)


def _models(options: Namespace, write: Write) -> None:
    rows = [("name", "kind", "data set", "metrics on test"), *map(_row, list_checkpoints())]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        write("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))


def _row(manifest: Manifest) -> tuple[str, str, str, str]:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items())
    return manifest.name, manifest.kind, manifest.data_set, metrics


def _train(arguments: list[str]) -> int:
    from pytorch_lightning.utilities import rank_zero_only  # Lightning takes seconds to import

    from ..training.chain import is_chain, train_chain
    from ..training.recipe import main as train

    if not is_chain(arguments):
        rank_zero_only(_say_reached)(train(arguments))
        return 0
    trained = train_chain(arguments, _say)
    for folder in trained.checkpoints:
        _say_reached(folder)
    for line in trained.commands:
        _say(line)
    return 0


def _say_reached(folder: Path) -> None:
    """Where the checkpoint is, and whether it is good enough to explain with."""
    for line in (f"checkpoint: {folder}", *verdict(read_manifest(folder))):
        _say(line)


_COMMANDS: dict[str, Callable[[Namespace, Write], None]] = {
    "explain": _explain,
    "compare": _compare,
    "app": _app,
    "evaluate": _evaluate,
    "demo": _demo,
    "models": _models,
}


def _report(explained: Iterable[tuple[str, Explanation]], out: Path, html: bool, write: Write) -> None:
    """Write figures, explanations, JSON and, if asked for, pages; say in words what they hold and where they are."""
    found: dict[str, Explanation] = {}
    for name, explanation in explained:
        files = {kind: out / f"{name}-explanation{suffix}" for kind, suffix in _SUFFIXES.items()}
        with _writing_to(out):
            _write_figure(files["figure"], explanation.plot())
            explanation.save(files["explanation"])
            _write_text(files["JSON"], explanation.to_json())
            if html:
                files["page"] = explanation.to_html(page_path(out, name), title=name)
        _write_block(name, str(explanation), files, write)
        found[name] = explanation
    if html and len(found) > 1:
        with _writing_to(out):
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


@contextmanager
def _writing_to(out: str | Path) -> Iterator[None]:
    try:
        yield
    except AbeleError:  # some are OSErrors too, and know better what went wrong
        raise
    except OSError as error:
        raise ParameterError(
            f"got --out {str(out)!r}, which cannot be written ({error}); choose another folder"
        ) from error


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def _write_figure(path: Path, figure: "Figure") -> None:
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))


def _write_block(name: str, text: str, files: dict[str, Path], write: Write) -> None:
    write(f"{name}:")
    for line in text.splitlines():
        write(f"  {line}")
    for kind, path in files.items():
        write(f"  {kind}: {path}")


def _image(spec: str, options: Namespace, shape: tuple[int, int, int]) -> tuple[str, Tensor]:
    """The image and a name for its results."""
    path = Path(spec)
    in_data_set = spec.partition(":")[0] in DATASETS or re.fullmatch(r"([\w-]+|.+\.npz):\w+:\d+", spec)
    if in_data_set and not os.path.exists(path):
        return path.name.replace(".npz", "").replace(":", "-"), load_image(spec, options.data_dir, options.download)
    return path.stem, read_image(path, shape, options.resize)


def _black_box(options: Namespace, autoencoder: AdversarialAutoencoder) -> LoadedBlackBox:
    return load_black_box(
        options.black_box, image_shape=autoencoder.image_shape, timeout=options.timeout, **_pixels(options)
    )


def _pixels(options: Namespace) -> dict[str, Any]:
    return {name: options[name] for name in ("mean", "std", "channel_order", "channels_last")}


if __name__ == "__main__":
    sys.exit(main())
