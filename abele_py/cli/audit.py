"""``abele audit``: does the classifier look at the wrong thing?"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from ..errors import ImageError, Interruption, ParameterError
from .options import (
    Commands,
    Shaped,
    Write,
    add_black_box,
    add_class_names,
    add_out,
    add_resize,
    autoencoder_of,
    black_box_of,
    names_in,
)
from .results import blaming, check_out

if TYPE_CHECKING:
    from torch import Tensor

    from ..audit.audit import Progress
    from ..distributed.images import Images


def add_audit(commands: Commands) -> None:
    parser = ArgumentParser(
        description="Look for what the labels of a classifier follow beside the object itself: a mark, the ground, how "
        "light an image is. Pairs of images exchange one thing at a time; maps then say where it lies. Page (HTML), "
        "table (CSV), JSON and plot.",
        exit_on_error=False,
    )
    parser.add_argument(
        "data",
        type=str,
        help="DATASET:SPLIT such as mnist:test, a folder of pictures, a file .npz with images, or the folder of a run "
        "of abele explain-dataset: images as the classifier will get them, with the marks that they have",
    )
    add_black_box(parser, autoencoder=None)
    add_out(parser)
    add_resize(parser)
    add_class_names(parser)
    parser.add_argument("--images", type=int, default=800, help="number of images, drawn at random")
    parser.add_argument("--pairs", type=int, default=2600, help="number of pairs for each thing that is exchanged")
    commands.add_subcommand("audit", parser, help="does a classifier look at the wrong thing?")


def run_audit(options: Namespace, write: Write) -> None:
    from ..audit.audit import audit
    from ..provenance import origin_of, versions
    from ..views.audit_files import answers_kept, write_audit
    from ..views.audit_page import place_in_words, verdict

    check_out(options.out)
    autoencoder = None if options.autoencoder is None else autoencoder_of(options)
    images = _images(options, None if autoencoder is None else autoencoder.image_shape)
    pool, unread = _drawn(images, options)
    c, h, w = pool.shape[1:]
    shaped: Any = autoencoder or Shaped((c, h, w))
    black_box, class_names = black_box_of(options, shaped)
    models = {"black_box": origin_of(black_box), "autoencoder": autoencoder and origin_of(autoencoder)}
    of = {"black_box": models["black_box"], "versions": versions("abele-py", "torch", "numpy", "scikit-learn")}
    with blaming(options.out), answers_kept(options.out, of) as answers, _telling() as tell:
        try:
            found = audit(
                pool,
                black_box,
                autoencoder,
                n_images=len(pool),
                n_pairs=options.pairs,
                seed=options.seed,
                batch_size=options.batch_size,
                class_names=names_in(options.class_names) or class_names,
                answers=answers,
                progress=tell,
            )
        except KeyboardInterrupt as error:
            raise Interruption(
                f"got an interruption; the answers of the black box are kept in {options.out}; the same command goes on"
            ) from error
        found.params.update(images=images.origin, **models)
        paths = write_audit(found, options.out, options.black_box)
    if unread:
        write(f"{unread} images cannot be read, and are left out")
    write(verdict(found))
    for suspicion in found.suspicions:
        write(f"  {found.name(suspicion.label)}: {place_in_words(suspicion.place)}")
    for path in paths:
        write(f"{path.name}: {path}")


@contextmanager
def _telling() -> "Iterator[Progress]":
    """A line on a terminal: what is being done, and how many images the black box has answered."""
    from tqdm import tqdm

    with tqdm(unit="image", disable=None) as bar:

        def tell(step: str, images: int) -> None:
            bar.set_description(step, refresh=False)
            bar.update(images - bar.n)

        yield tell


def _images(options: Namespace, shape: tuple[int, int, int] | None) -> "Images":
    from ..distributed.images import images_of
    from ..distributed.run_file import NAME, read_run

    data, seed = options.data, options.seed
    if (Path(data) / NAME).is_file():
        run = read_run(data)
        if "data" not in run.named:
            raise ParameterError(f"got the run in {data!r}, which was made in Python; expected its images; name these")
        data, seed, shape = run.named["data"], int(run.options["random_state"]), run.image_shape
    return images_of(
        data, shape, (), resize=options.resize, seed=seed, data_dir=options.data_dir, download=options.download
    )


def _drawn(images: "Images", options: Namespace) -> "tuple[Tensor, int]":
    """As many images as are wanted, and how many more could not be read."""
    import numpy as np
    import torch

    if options.images < 1:
        raise ParameterError(f"got --images {options.images}; expected at least 1")
    n = min(options.images, len(images))
    chosen = np.sort(np.random.default_rng(options.seed).choice(len(images), n, replace=False))
    read = [images.read(int(index)).image for index in chosen]
    good = [image for image in read if not isinstance(image, ImageError)]
    if not good:
        raise next(image for image in read if isinstance(image, ImageError))
    return torch.stack(good), n - len(good)
