"""A whole evaluation: random images of a split, measured part by part into a folder, resumed where it stopped.

The folder holds ``run.json`` (what is measured), one ``<part>.jsonl`` per part with one line per image, and, when all
is measured, ``summary.json``, tables and plots. The same settings and seed give the same values, interrupted or not.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..attribution.registry import methods_of
from ..black_boxes.black_box import BlackBox
from ..checking.parameters import Count, SmallSeed, checked
from ..datasets.loading import dataset_of, load_split
from ..datasets.records import to_unit
from ..errors import (
    AbeleError,
    BlackBoxError,
    DataError,
    MissingExtraError,
    NeighborhoodError,
    ParameterError,
    unknown_name,
)
from ..metrics.registry import METRICS
from ..models.autoencoder import Autoencoder
from ..provenance import versions
from ..storage.files import check_file, write_json
from ..storage.places import alone
from ..storage.reading import read_json
from .parts import PARTS
from .plots import DRAWN
from .report import write_report
from .subject import Subject
from .summary import as_json, lines_of, mean_curves, summarise

SCHEMA = 2  # 1: the constant answer was the image's label, also where another one was more frequent
# All that is written beside run.json, which says whose it is.
_NAMES = (
    "summary.json", "table.md", "table.csv", "curves.json", "explanations", "maps", "curves",
    "class_autoencoders.safetensors", *(f"{part}.jsonl" for part in PARTS), *(f"{name}.png" for name in DRAWN),
)  # fmt: skip


@checked
def evaluate(
    data: str,
    black_box: Any,
    autoencoder: Autoencoder,
    out: str | Path,
    *,
    oracle: Any = None,
    methods: str | Sequence[str] = (),
    parts: str | Sequence[str] = (),
    n_maps: Count | None = None,
    n_costly: Count = 30,
    seed: SmallSeed = 0,
    batch_size: Count = 256,
    data_dir: str | Path | None = None,
    download: bool = False,
    models: Mapping[str, Mapping[str, str]] | None = None,
    progress: Callable[[Iterable[int], str], Iterable[int]] | None = None,
) -> dict[str, Any]:
    """Measure the explanations of random images, and write every metric with a bootstrap interval.

    Interrupted, the same call goes on where it stopped, with the same values.

    Yardsticks, such as autoencoders per class, are fitted on ``train``; rivals choose from the images of ``val``.

    Args:
        data: ``DATASET:SPLIT`` or ``DATASET:SPLIT:N``; N images are drawn at random, 100 if N is not given.
        black_box: as for :class:`~abele_py.explanation.explainer.Abele`.
        autoencoder: the same.
        out: folder of the measurements; made if need be. The explanations are kept in it too, 0.6 MB for each image of
            28 x 28 pixels.
        oracle: a second classifier, trained apart, for the metrics that need one.
        methods: names of explainers to compare, see ``abele_py.attribution``; all if none is named.
        parts: names of ``PARTS``; all if none is named. More can be added to a folder later.
        n_maps: the first n_maps of the images serve for the parts that need a map by every method; None: all of them.
        n_costly: the first n_costly of the images serve for the parts that need many maps of an image by every method.
        seed: of the draw and of all else.
        batch_size: most images in one call of a model.
        data_dir, download: as in :func:`~abele_py.datasets.load_split`.
        models: what identifies ``autoencoder``, ``black_box`` and ``oracle``: their ``name`` for the report, and
            whatever else must be the same to go on, such as the hash of the weights. By default: their types' names.
        progress: wraps the images still to be measured, given the name of the part; a bar if None.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        ParameterError: N is larger than the split, the split is ``train``, or the folder holds something else.
        PlaceError: another evaluation writes into the folder, or nobody can.
        UnknownNameError: no such data set, split, method or part.
        BlackBoxError, AutoencoderError, DataError: a model or the data cannot be used.
    """
    with alone(Path(out)):  # first of all: whether it can be written is known before anything is computed
        parts = (parts,) if isinstance(parts, str) else tuple(parts)
        for part in parts:
            if part not in PARTS:
                raise unknown_name("part", part, PARTS)
        for option, value in (("n_maps", n_maps), ("n_costly", n_costly)):
            if value is not None and value < 1:
                raise ParameterError(f"got {option}={value}; expected at least 1")
        name, split, n = _specification(data)
        found = methods_of(autoencoder, methods, seed)
        test = load_split(name, split, data_dir, download)
        if split == "train":
            raise ParameterError(
                f"got {data!r}; expected val or test: of images that models were trained on, metrics flatter"
            )
        if not 1 <= n <= len(test):
            raise ParameterError(f"got {n} images of {name}:{split}; expected 1 to {len(test)}; ask for fewer")
        train = load_split(name, "train", data_dir, download)
        rivals = load_split(name, "val", data_dir, download) if split == "test" else train
        chosen = tuple(np.random.default_rng(seed).choice(len(test), n, replace=False).tolist())
        box, judge = BlackBox(black_box, batch_size), None if oracle is None else BlackBox(oracle, batch_size)
        # On the same images whenever the run goes on: whether scores are probabilities is decided at the first call.
        for model in (box, judge):
            if model is not None:
                model.probe(to_unit(test.images[:16]))
        folder, n_maps = Path(out), min(n_maps or n, n)
        subject = Subject(autoencoder, box, judge, train, rivals, test, chosen, n_maps, n_costly, found, seed, folder)
        left_out = _left_out(subject)
        settings = {
            "schema": SCHEMA,
            "data": f"{name}:{split}",
            "data_title": dataset_of(name).title,
            "n_images": n,
            "n_maps": n_maps,
            "n_costly": min(n_costly, n),
            "seed": seed,
            "models": {
                role: {"name": type(model).__name__, **(models or {}).get(role, {})}
                for role, model in (("autoencoder", autoencoder), ("black_box", black_box), ("oracle", oracle))
                if model is not None
            },
            "methods": list(found),
            "images": list(chosen),
            "labels": [subject.label(index) for index in chosen],
        }
        run = _begun(folder, settings) or settings | {
            "left_out": {"methods": left_out, "parts": {}},
            "threads": torch.get_num_threads(),
            "versions": versions("abele-py", "torch", "numpy", "scikit-learn"),
        }
        write_json(folder / "run.json", run)
        subject = replace(subject, methods={key: method for key, method in found.items() if key not in left_out})
        for part in parts or PARTS:
            _measure(subject, part, run, progress or _bar)
        if curves := mean_curves(folder, chosen):  # none where all was measured elsewhere, as in a fresh clone
            write_json(folder / "curves.json", curves)
        summary = summarise(folder)
        write_report(folder, summary, METRICS)
        return summary


def _measure(subject: Subject, part: str, run: dict[str, Any], progress: Callable[..., Iterable[int]]) -> None:
    """Measure what is missing of one part, one line per image."""
    path = subject.folder / f"{part}.jsonl"
    check_file(path)
    done = {line["image"] for line in lines_of(path, mend=True)}
    missing = [index for index in PARTS[part].images(subject) if index not in done]
    if not missing or part in run["left_out"]["parts"]:
        return
    try:
        prepared = PARTS[part].part.prepare(subject)
    except (BlackBoxError, ParameterError) as error:  # needs weights, or a label for every class, that are not there
        run["left_out"]["parts"][part] = str(error)
        write_json(subject.folder / "run.json", run)
        return
    with path.open("a", encoding="utf-8") as file:
        for index in progress(missing, part):
            try:
                line = {"image": index, "rows": [as_json(row) for row in prepared.measure(index)]}
            except NeighborhoodError as error:  # of this image alone: the summary counts the images of each metric
                line = {"image": index, "rows": [], "failed": str(error)}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _begun(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The run that the folder holds already, if it is this one."""
    path = folder / "run.json"
    check_file(path)
    if not path.exists():
        if others := [name for name in _NAMES if os.path.lexists(folder / name)]:
            raise ParameterError(
                f"got the folder {str(folder)!r}, which holds no run.json, but {', '.join(others)}, that an evaluation "
                "would write; expected a folder without them; choose another --out"
            )
        return None
    try:
        run = read_json(path)
        other = [key for key, value in settings.items() if run[key] != value]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"got a damaged {path} ({error}); expected a run; choose another folder") from error
    if other:
        raise ParameterError(
            f"got the folder {str(folder)!r}, which holds an evaluation with another {', '.join(other)}; expected the "
            "same settings; choose another --out, or delete the folder"
        )
    return run


def _left_out(subject: Subject) -> dict[str, str]:
    """Methods that cannot be used here, and why. Each is tried once, so that no later time holds what it sets up."""
    image, label = subject.image(subject.chosen[0]), subject.label(subject.chosen[0])
    errors: dict[str, AbeleError] = {}
    explain = cache(lambda: subject.explainer.explain(image))  # not kept: its time holds what is set up
    for name, method in subject.methods.items():
        try:
            with suppress(NeighborhoodError):  # of this image alone
                explain() if method.read else method(image, subject.black_box, label)
        except (BlackBoxError, MissingExtraError) as error:
            errors[name] = error
    if len(errors) == len(subject.methods):
        raise next(iter(errors.values()))
    return {name: str(error) for name, error in errors.items()}


def _specification(data: str) -> tuple[str, str, int]:
    """Data set, split and number of images."""
    match = re.fullmatch(r"([^:]+):([^:]+)(?::(\d+))?", data)
    if match is None:
        raise ParameterError(f"got {data!r}; expected DATASET:SPLIT or DATASET:SPLIT:N, such as mnist:test:100")
    return match[1], match[2], int(match[3] or 100)


def _bar(images: Iterable[int], part: str) -> Iterable[int]:
    return tqdm(images, desc=part, unit="image", disable=None)
