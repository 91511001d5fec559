"""Stored explanations that hold for another image too: their rule covers its code, and their label is its label.

A run names its models. Only shipped ones and checkpoint folders are loaded by these names, which runs no code and asks
no network; any other black box has to be given again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from ..black_boxes.black_box import BlackBox
from ..checking.parameters import CheckedInside, Count, checked
from ..datasets.images import check_image
from ..errors import DataError, ParameterError
from ..latent.space import LatentSpace
from ..models.autoencoder import Autoencoder
from ..models.checkpoints import is_checkpoint, load_autoencoder, load_classifier
from ..provenance import origin_of
from .run_file import Run, read_run, without_place
from .shards import explanation_path, read_shard, shard_paths
from .tallies import Lowest

_READ = ["index", "name", "true_label", "label", "probability", "verdicts.explanation", "latent", "conditions"]


@dataclass(frozen=True)
class SimilarImage:
    """A stored explanation that holds for the image that was asked about.

    Attributes:
        shard: number of the file that holds its row.
        index, name: of its image, in the run.
        label: predicted for both.
        true_label: of its image; None where it is not known.
        probability: of the label for its image; None of a black box without scores.
        grade: of the explanation.
        distance: between the codes of both images.
    """

    shard: int
    index: int
    name: str
    label: int
    true_label: int | None
    probability: float | None
    grade: str | None
    distance: float


class Similar(NamedTuple):
    """Stored explanations that hold for an image.

    Attributes:
        label: what the black box predicts for the image.
        images: the nearest of those explained.
        n_covering: explanations with this label whose rule covers the image's code.
        n_with_label: all explanations with this label.
        n_unknown: those of them of which code or rule was not kept.
        run: what they are explanations of.
    """

    label: int
    images: tuple[SimilarImage, ...]
    n_covering: int
    n_with_label: int
    n_unknown: int
    run: Run


@checked
def similar(
    image: Annotated[Any, CheckedInside()],
    folder: str | Path,
    *,
    autoencoder: Annotated[Any, CheckedInside()] = None,
    black_box: Annotated[Any, CheckedInside()] = None,
    most: Count = 10,
    device: str | None = None,
) -> Similar:
    """Stored explanations whose rule covers the code of an image and whose label is its label, the nearest first.

    The shards are read one after another.

    Args:
        image: (C, H, W) float in [0, 1], of the run's shape; or a picture of Pillow's, or the path of a file.
        folder: of a run.
        autoencoder, black_box: those of the run; what it names if None.
        most: images that are returned.
        device: where models that are loaded are to be.

    Raises:
        DataError: the folder holds no run, a shard is damaged, or neither codes nor directions were kept.
        ParameterError: the run's models cannot be loaded by what it calls them, or other models were given.
        ImageError: the image cannot be used.
    """
    folder = Path(folder)
    run = read_run(folder)
    network: Autoencoder = _autoencoder(run, device) if autoencoder is None else autoencoder
    classifier = _black_box(run, device) if black_box is None else black_box
    _check(run, autoencoder=network, black_box=classifier)
    x = check_image(image, run.image_shape)
    space = LatentSpace(network, BlackBox(classifier))
    code, label = space.encode(x[None])[0], int(space.query(x[None]).labels[0])
    found, n = Lowest[SimilarImage](most), np.zeros(3, dtype=np.int64)
    for shard, path in enumerate(shard_paths(folder)):
        try:
            n += _look(read_shard(path, _READ), shard, code, label, found)
        except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise DataError(
                f"got {path}, which does not hold what a run writes ({error}); expected a shard of a run; delete this "
                "file, and let abele explain-dataset make it anew"
            ) from error
    n_covering, n_with_label, n_unknown = n.tolist()
    if n_unknown == n_with_label > 0:
        raise DataError(
            f"got the run in {str(folder)!r}, which kept no codes or no directions of rules; expected both; explain "
            "its images with --keep figures or --keep full"
        )
    return Similar(label, tuple(found.of()), n_covering, n_with_label, n_unknown, run)


def _look(table: pa.Table, shard: int, code: Tensor, label: int, found: Lowest[SimilarImage]) -> np.ndarray:
    """Look through a shard for explanations that hold; numbers of those covering, with the label, and unknown."""
    table = table.filter(pc.equal(table["label"], label))
    if not len(table):
        return np.zeros(3, dtype=np.int64)
    covers, known = _covering(table["conditions"].combine_chunks(), code)
    latents = table["latent"].combine_chunks()
    known &= latents.is_valid().to_numpy(zero_copy_only=False)
    holds = covers & known
    distances = np.full(len(table), np.nan)
    if known.any():
        codes = latents.filter(pa.array(known)).flatten().to_numpy(zero_copy_only=False)
        own = torch.from_numpy(codes.reshape(int(known.sum()), len(code)).copy())
        distances[known] = (own.double() - code.double()).norm(dim=1).numpy()

    def make(i: int) -> SimilarImage:
        row = {name: table[name][i].as_py() for name in ("index", "name", "true_label", "probability", "verdicts")}
        return SimilarImage(
            shard, row["index"], row["name"], label, row["true_label"], row["probability"],
            (row["verdicts"] or {}).get("explanation"), float(distances[i]),
        )  # fmt: skip

    found.add(np.where(holds, 0, -1), distances, make)
    return np.array([holds.sum(), len(table), (~known).sum()])


def _covering(conditions: Any, code: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of rules, one a row: does each cover the code, and is that known? As :meth:`Condition.covers` compares."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(conditions), 0))
    rows = np.repeat(np.arange(len(lengths)), lengths)
    inner = conditions.flatten()
    directions, axis = inner.field("direction"), np.asarray(inner.field("axis"))
    along = directions.is_valid().to_numpy(zero_copy_only=False)
    lost = ~along & np.asarray(inner.field("towards").is_valid())  # a direction that was not kept
    coordinates = np.zeros(len(rows), dtype=np.float32)
    coordinates[~along & ~lost] = code.numpy()[axis[~along & ~lost]]
    if along.any():
        kept = directions.filter(pa.array(along)).flatten().to_numpy(zero_copy_only=False)
        coordinates[along] = kept.reshape(int(along.sum()), len(code)).astype(np.float64) @ code.double().numpy()
    below = coordinates.astype(np.float64) <= np.asarray(inner.field("threshold"))
    met = below == (inner.field("operator").to_numpy(zero_copy_only=False) == "<=")
    covers, known = np.ones(len(lengths), dtype=bool), np.ones(len(lengths), dtype=bool)
    covers[rows[~met]] = False
    known[rows[lost]] = False
    known &= conditions.is_valid().to_numpy(zero_copy_only=False)
    return covers, known


def _autoencoder(run: Run, device: str | None) -> Autoencoder:
    return load_autoencoder(_named(run, "autoencoder"), device)


def _black_box(run: Run, device: str | None) -> Any:
    return load_classifier(_named(run, "black_box"), device)


def _named(run: Run, role: str) -> str:
    """What a run calls a model, if it is a checkpoint's name or folder."""
    option = f"--{role.replace('_', '-')}"
    spec = run.named.get(role)
    if not spec or not isinstance(spec, str):
        raise ParameterError(
            f"got a run that does not name its {role.replace('_', ' ')}, as one from Python; expected it to be given; "
            f"pass {role}=, or {option}"
        )
    elsewhere = "://" in spec or spec.startswith(("\\\\", "//"))  # where to look for it could ask another machine
    if elsewhere or not is_checkpoint(spec):
        raise ParameterError(
            f"got a run whose {role.replace('_', ' ')} is {spec!r}; expected a shipped name or a checkpoint folder "
            f"that is there, which alone are loaded because a file names them; give it again: {option} {spec}"
        )
    return spec


def _check(run: Run, **models: Any) -> None:
    """Refuse models that are not those of the run."""
    for role, model in models.items():
        own, given = (without_place(origin) for origin in (run.models.get(role), origin_of(model)))
        if own != given:
            raise ParameterError(
                f"got another {role.replace('_', ' ')} ({_short(given)}) than the run's ({_short(own)}); expected the "
                "same, whose codes and labels its explanations are about; give that one"
            )


def _short(origin: dict[str, Any]) -> str:
    hashes: Iterator[str] = iter(sorted(map(str, origin.get("files", {}).values())))
    name = origin.get("name") or origin.get("type") or "unknown"
    return f"{name}, {next(hashes, str(origin.get('weights_sha256', 'no hash')))[:12]}"


def stored(folder: Path, shard: int, index: int) -> Path | None:
    """The file of a whole explanation of a run; None where it was not kept."""
    path = folder / explanation_path(shard, index)
    return path if path.is_file() else None
