"""Options that several commands have in common, and what is made of them."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from torch import Tensor

    from ..black_boxes.loading import LoadedBlackBox
    from ..explanation.explainer import Abele
    from ..models.autoencoder import Autoencoder

Write = Callable[[str], Any]
Commands = Any  # where a command's parser is added; jsonargparse has no public name for it
# Those of latent.neighborhood.STRATEGIES, which loads torch; a test holds them equal.
NEIGHBORHOODS = ("local", "random", "genetic", "genetic-score", "hybrid", "mixture", "between")
ORDERS = ("rgb", "bgr")  # those of black_boxes.preprocessing, which loads torch; a test holds them equal


class Command(ArgumentParser):
    """The parser of one command.

    Args:
        describe: makes its description when its help is shown, so that it may name what takes seconds to import.
    """

    def __init__(self, describe: Callable[[], str]) -> None:
        super().__init__(exit_on_error=False)
        self._describe = describe

    def format_help(self, *args: Any, **options: Any) -> str:  # the libraries' versions differ in what it takes
        self.description = self._describe()
        return super().format_help(*args, **options)


def add_images(parser: ArgumentParser) -> None:
    parser.add_argument(
        "images",
        type=str,
        nargs="+",
        metavar="image",
        help="picture file, .npy array, or DATASET:SPLIT:INDEX such as mnist:test:7",
    )


def add_out(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=str, default="abele_out", help="folder for the results")


def add_resize(parser: ArgumentParser) -> None:
    parser.add_argument("--resize", action="store_true", help="scale a picture of another size")


def add_class_names(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--class-names",
        type=str,
        help="of the classes in their order, with commas between; default: what the black box calls them, else numbers",
    )


def add_black_box(parser: ArgumentParser, **defaults: str | None) -> None:
    """What all that explains has in common; a model without a default must be named."""
    parser.add_argument(
        "--autoencoder",
        type=str,
        required="autoencoder" not in defaults,
        default=defaults.get("autoencoder"),
        help="name of a shipped autoencoder, or a checkpoint folder",
    )
    parser.add_argument(
        "--black-box",
        type=str,
        required="black_box" not in defaults,
        default=defaults.get("black_box"),
        help="name of a shipped classifier, a checkpoint folder, a file .onnx, .pt2 or .skops, http://... of an "
        "endpoint, or package.module:name of a function, torch module or scikit-learn classifier",
    )
    parser.add_argument(
        "--mean", type=str, help="of pixels in [0, 1], as the black box wants them: 0.5, or one a channel"
    )
    parser.add_argument(
        "--std", type=str, help="the same; --std 0.229,0.224,0.225: divided by it after --mean is taken off"
    )
    parser.add_argument("--channel-order", type=str, default="rgb", help=f"of the black box: {' or '.join(ORDERS)}")
    parser.add_argument("--channels-last", action="store_true", help="the black box takes (N, H, W, C)")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds of one attempt at an HTTP endpoint")
    parser.add_argument(
        "--data-dir", type=str, help="folder of the data sets; else ABELE_DATA_DIR, else ~/.cache/abele_py"
    )
    parser.add_argument("--download", action="store_true", help="fetch a missing data set into the data folder")
    parser.add_argument("--batch-size", type=int, default=256, help="most images in one call of the black box")
    parser.add_argument("--device", type=str, help="where torch models run: cpu (the default), cuda, cuda:1, mps")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same result")


def add_explainer(parser: ArgumentParser) -> None:
    """What decides an explanation, beside the models."""
    parser.add_argument("--target", type=str, help="label or class name: look for counter-exemplars of this one only")
    parser.add_argument("--neighborhood", type=str, help=f"one of: {', '.join(NEIGHBORHOODS)}; default: the preset's")
    parser.add_argument("--preset", type=str, default="default", help="default, or paper: the paper's own definitions")
    parser.add_argument("--samples", type=int, default=1000, help="number of neighbors")


def names_in(text: str | None) -> tuple[str, ...]:
    """Names with commas between."""
    return () if text is None else tuple(name.strip() for name in text.split(","))


def autoencoder_of(options: Namespace) -> "Autoencoder":
    from ..models.checkpoints import load_autoencoder

    return load_autoencoder(options.autoencoder, options.device)


def pixels_of(options: Namespace) -> dict[str, Any]:
    """How the black box wants its pixels, as options of ``load_black_box``."""
    return {name: options[name] for name in ("mean", "std", "channel_order", "channels_last")}


def black_box_of(options: Namespace, autoencoder: "Autoencoder") -> "LoadedBlackBox":
    from ..black_boxes.loading import load_black_box

    with importing_from_here():
        return load_black_box(
            options.black_box,
            image_shape=autoencoder.image_shape,
            timeout=options.timeout,
            device=options.device,
            **pixels_of(options),
        )


class Shaped:
    """What stands for an autoencoder where only the shape of its images is asked for."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        self.image_shape = image_shape


def explainer_of(options: Namespace, autoencoder: "Autoencoder | None" = None) -> "Abele":
    """The explainer that the options describe; an autoencoder that is loaded already is used."""
    from ..explanation.explainer import Abele

    autoencoder = autoencoder or autoencoder_of(options)
    black_box, class_names = black_box_of(options, autoencoder)
    return Abele(
        black_box,
        autoencoder,
        neighborhood=options.neighborhood,
        n_samples=options.samples,
        random_state=options.seed,
        batch_size=options.batch_size,
        class_names=names_in(options.class_names) or class_names,
        preset=options.preset,
    )


@contextmanager
def importing_from_here() -> Iterator[None]:
    """``--black-box mymodule:function`` finds the user's own module beside the images, as ``python -m`` does.

    Around no more than the loading: files there could take the names of libraries that are imported later.
    """
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


class Given(NamedTuple):
    """An image that a command was given.

    Attributes:
        name: that its results get.
        image: (C, H, W) float32 in [0, 1].
        origin: where it comes from, for the provenance of what is made of it.
    """

    name: str
    image: "Tensor"
    origin: dict[str, Any]


def image_of(spec: str, options: Namespace, shape: tuple[int, int, int]) -> Given:
    """The image of a picture file, an array file, or a data set."""
    from ..datasets.catalog import DATASETS
    from ..datasets.images import read_image_file
    from ..datasets.loading import load_image
    from ..provenance import hashes_of
    from ..storage.places import short

    path = Path(spec)
    in_data_set = spec.partition(":")[0] in DATASETS or re.fullmatch(r"([\w-]+|.+\.npz):\w+:\d+", spec)
    if in_data_set and not os.path.exists(path):
        name = short(path.name.replace(".npz", "").replace(":", "-"))
        return Given(name, load_image(spec, options.data_dir, options.download), {"specification": spec})
    found = read_image_file(path, shape, options.resize)
    for note in found.notes:  # in one line, without the place in our code
        sys.stderr.write(f"abele: note: {path.name}: {note}\n")
    origin = {
        "specification": spec,
        "files": hashes_of(path),
        "size": [found.width, found.height],
        "resized": (found.height, found.width) != shape[1:],
        "notes": list(found.notes),
    }
    return Given(short(path.stem), found.image, origin)
