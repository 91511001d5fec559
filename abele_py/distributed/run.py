"""Explain every image of a data set, shard by shard, into a folder: interrupted, the same call goes on.

The folder holds ``run.json`` (what is explained, and by what), ``shards/*/*.parquet`` (a row an image),
``seconds.jsonl`` (what each shard took, which is not the same each time), and ``explanations/`` where all is kept. One
process writes it.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ..checking.parameters import CheckedInside, Count, SmallSeed, checked
from ..datasets.records import ImageSet
from ..errors import Interruption, ParameterError
from ..explanation.explainer import Abele
from ..provenance import versions
from ..storage.files import check_file, write_bytes, write_json
from ..storage.places import alone
from .cluster import on_ray
from .images import Images, Task, images_of, in_shards
from .making import Maker, Shard, one_thread
from .rows import VERSION, Keep
from .run_file import NAME, Run, read_run, without_place
from .shards import EXPLANATIONS, FOLDER, has_failed, is_whole, read_shards, shard_path

SECONDS = "seconds.jsonl"
Progress = Callable[[int, int], object]


class Counts(NamedTuple):
    """What became of the images of a run.

    Attributes:
        n_images: all of them.
        failed: name of an error -> number of images that it kept from being explained.
    """

    n_images: int
    failed: dict[str, int]


@checked
def explain_dataset(
    data: Annotated[str | Path | ImageSet | Tensor | np.ndarray | Images, CheckedInside()],
    explainer: Abele | Callable[[], Abele],
    out: str | Path,
    *,
    target: Annotated[int | str | None, CheckedInside()] = None,
    keep: Keep = "summary",
    shard_size: Count = 64,
    workers: Count = 1,
    address: str | None = None,
    retry_failed: bool = False,
    resize: bool = False,
    seed: SmallSeed = 0,
    data_dir: str | Path | None = None,
    download: bool = False,
    named: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> Counts:
    """Explain all images of a data set, and write a row for each (docs/data-set-runs.md names the columns).

    Interrupted or killed, the same call goes on: a shard is there as a whole or not at all. Its bytes depend on its
    images, the explainer and the versions of libraries alone: not on the number of processes, their order, or what
    was interrupted. (On a GPU arithmetic is rounded otherwise than on a processor: one run, one kind of device.)

    Args:
        data: ``DATASET:SPLIT``; ``DATASET:SPLIT:N``, N images drawn at random; a folder of pictures; a file ``.npz``
            with ``images`` and, where they are known, ``labels`` and ``class_names``; or images, (N, C, H, W) float in
            [0, 1], or an :class:`~abele_py.datasets.ImageSet`. A folder named as a class says what is true of its
            pictures. Or an object of your own that reads images when their turn comes, see
            :class:`~abele_py.distributed.Images`.
        explainer: explains each; or a function that makes it, which each process calls once, on a device of its own.
        out: folder of the run.
        target: as of :meth:`~abele_py.Abele.explain`.
        keep: ``"summary"``: at most about 1 kB an image; of many latent coordinates that is without codes and
            directions. ``"figures"``: with small pictures, at most 20 kB. ``"full"``: the whole explanation as well.
        shard_size: images in a file, and so what is explained again after an interruption.
        workers: processes. More than one, or an ``address``, needs Ray.
        address: of a Ray cluster that is there, such as ``"auto"``; None: Ray is started on this machine where it is
            needed. Only this process reads images and writes. Where ``explainer`` is on a GPU, each process gets one.
        retry_failed: explain anew the shards with images that could not be explained.
        resize: scale pictures of another size.
        seed: of the draw.
        data_dir, download: as in :func:`~abele_py.datasets.load_split`.
        named: what ``data``, ``autoencoder`` and ``black_box`` are called, for commands that go on from here.
        progress: called with the number of images that are done, and of all; a bar if None.

    Returns:
        How many images there are, and how many could not be explained.

    Raises:
        ParameterError: the folder holds another run, or something else; or there are no such images.
        PlaceError: another process writes into the folder, or nobody can.
        BlackBoxError: the black box answers nothing any more. What is done is kept.
        Interruption: Ctrl-C. What is done is kept.
        MissingExtraError: Ray is needed, and not installed.
        WorkerError: a process is lost time and again, or there is no cluster. What is done is kept.
        AbeleError: the data cannot be read.
        OSError: the disk is full. What is done is kept.
    """
    folder = Path(out)
    with alone(folder):
        with one_thread():  # as other processes make theirs
            first = explainer if isinstance(explainer, Abele) else explainer()
        images = images_of(
            data, first.image_shape, first.class_names, resize=resize, seed=seed, data_dir=data_dir, download=download
        )
        run = _begun(folder, _run_of(first, images, target, keep, shard_size, named or {}))
        todo = [n for n in range(-(-len(images) // shard_size)) if not _is_done(folder, run, n, retry_failed)]
        tasks = in_shards(images, shard_size, todo)
        if workers == 1 and address is None:
            made = _in_this_process(Maker(first, run.digest, keep, target), tasks)
        else:
            given = _Given(first) if isinstance(explainer, Abele) else explainer
            maker = partial(_maker, given, run.digest, keep, target)
            made = on_ray(maker, tasks, min(workers, len(todo)), address, first.device.type == "cuda")
        done = len(images) - sum(run.rows_of(n) for n in todo)
        with closing(made), _telling(progress, done, len(images)) as tell:
            try:
                for shard in made:
                    _write(folder, shard)
                    done += shard.n_images
                    tell(done, len(images))
            except KeyboardInterrupt as error:
                raise Interruption(
                    f"got an interruption; {done} of {len(images)} images are in {folder}; the same command goes on"
                ) from error
    return count(folder)


def count(folder: Path) -> Counts:
    """How many images the shards of a run hold, and how many of these could not be explained."""
    n, failed = 0, Counter[str]()
    for shard in read_shards(folder, ["error"]):
        n += len(shard)
        failed.update(error for error in shard["error"].to_pylist() if error is not None)
    return Counts(n, dict(sorted(failed.items())))


def _run_of(explainer: Abele, images: Images, target: Any, keep: Keep, shard_size: int, named: dict[str, str]) -> Run:
    return Run(
        version=VERSION,
        data=images.origin,
        image_shape=explainer.image_shape,
        class_names=tuple(explainer.class_names),
        models={role: without_place(origin) for role, origin in explainer.origin.items()},
        options=explainer.options.as_params() | {"target": target},
        keep=keep,
        shard_size=shard_size,
        versions=versions("abele-py", "torch", "numpy", "scikit-learn", "pyarrow"),
        named=named,
    )


def _begun(folder: Path, run: Run) -> Run:
    """The run, if the folder is free for it, or holds it already."""
    path = folder / NAME
    check_file(path)
    if not path.exists():
        if others := [name for name in (FOLDER, SECONDS, EXPLANATIONS) if os.path.lexists(folder / name)]:
            raise ParameterError(
                f"got the folder {str(folder)!r}, which holds no {NAME}, but {', '.join(others)}, that a run would "
                "write; expected a folder without them; choose another --out"
            )
        write_json(path, run.as_json())
        return run
    if other := read_run(folder).differences(run):
        raise ParameterError(
            f"got the folder {str(folder)!r}, which holds another run: it differs in {', '.join(other)}; expected the "
            "same; choose another --out, or delete the folder"
        )
    return run


def _is_done(folder: Path, run: Run, number: int, retry_failed: bool) -> bool:
    path = shard_path(folder, number)
    check_file(path)
    return is_whole(path, run.digest, number, run.rows_of(number)) and not (retry_failed and has_failed(path))


def _in_this_process(maker: Maker, tasks: Iterable[Task]) -> Generator[Shard]:
    for number, images in tasks:
        yield maker.make(number, images)


def _maker(explainer: Callable[[], Abele], *how: Any) -> Maker:
    return Maker(explainer(), *how)


class _Given:
    """Gives an explainer that is there; it can be sent to another process, where a lambda cannot."""

    def __init__(self, explainer: Abele) -> None:
        self._explainer = explainer

    def __call__(self) -> Abele:
        return self._explainer


def _write(folder: Path, shard: Shard) -> None:
    """Write what one shard became; its rows last, for with them it is done."""
    for path, content in shard.explanations.items():
        write_bytes(folder / path, content)
    write_bytes(shard_path(folder, shard.number), shard.rows)
    line = {"shard": shard.number, "images": shard.n_images, "seconds": round(shard.seconds, 3)}
    check_file(folder / SECONDS)
    with (folder / SECONDS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@contextmanager
def _telling(progress: Progress | None, done: int, n: int) -> Iterator[Progress]:
    """What is called with the number of images that are done; a bar, where nothing is given."""
    if progress is not None:
        yield progress
        return
    with tqdm(total=n, initial=done, unit="image", desc="explaining", disable=None) as bar:
        yield lambda done, _: bar.update(done - bar.n)
