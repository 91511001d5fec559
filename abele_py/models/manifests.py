"""Manifests of checkpoints: which are shipped, where a checkpoint is, what it says of itself, whether it is whole.

Nothing here loads a network, nor torch: a list of checkpoints costs next to nothing.
"""

import hashlib
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..checking.parameters import NotNegative, Number, Seed, Shape, checked, fit
from ..errors import CheckpointError, ParameterError, unknown_name
from ..storage.places import Kind as Folder
from ..storage.reading import read_json, read_regular

SCHEMA = 1
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
CARD = "MODEL_CARD.md"
MOST_BYTES = 4 * 2**20  # of a manifest

Kind = Literal["autoencoder", "classifier"]


@checked
@dataclass(frozen=True)
class Manifest:
    """What travels with the weights.

    Attributes:
        name: of the checkpoint.
        kind: ``"autoencoder"`` or ``"classifier"``.
        architecture: a key of ``NETWORKS``.
        config: the arguments of its constructor.
        data_set: key in ``DATASETS``, or a folder's name for own images.
        split: what it learned from.
        preprocessing: in words.
        class_names: K names, in the order of the labels.
        recipe: ``{"name": ..., "options": {...}}``, options as they were after all overrides.
        seed: of the training.
        versions: package -> version.
        hardware: in words.
        training_seconds: time of the training, without measuring.
        metrics: name -> value, on the test split; the first one matters most.
        licence: of the images it learned from.
        files: file name -> sha256; filled in by ``save_checkpoint``.
        schema: version of this record.
        test_counts: number of test images of each class, in the order of the labels; empty where it was not recorded.
        floor: of an autoencoder that has started from principal components: ``metrics`` of these alone.
        latent_sizes: number of principal components, as text -> balanced share of the labels that they keep of ``val``;
            empty where no number was chosen by them.
    """

    name: str
    kind: Kind
    architecture: str
    config: dict[str, Any]
    data_set: str
    split: str
    preprocessing: str
    class_names: list[str]
    recipe: dict[str, Any]
    seed: Seed
    versions: dict[str, str]
    hardware: str
    training_seconds: NotNegative
    metrics: dict[str, float]
    licence: str
    files: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    test_counts: list[Number] = field(default_factory=list)
    floor: dict[str, float] = field(default_factory=dict)
    latent_sizes: dict[str, float] = field(default_factory=dict)


def _files(folder: Path) -> set[str]:
    """What a checkpoint holds, by its own manifest too."""
    known = {MANIFEST, WEIGHTS, CARD, "samples.png", "traversals.png"}
    return (
        known | {name for name in _read_manifest(folder).files if Path(name).name == name} if _made(folder) else known
    )


def _made(folder: Path) -> bool:
    try:
        return (folder / MANIFEST).is_file() and bool(_read_manifest(folder))
    except CheckpointError:
        return False


CHECKPOINT = Folder("checkpoint", _files, _made)


@checked
def read_manifest(name_or_folder: str | Path) -> Manifest:
    """The manifest of a checkpoint; the other files are not looked at."""
    return _read_manifest(find_checkpoint(name_or_folder))


def list_checkpoints() -> list[Manifest]:
    """Manifests of the shipped checkpoints, by name."""
    return [_read_manifest(folder) for _, folder in sorted(_shipped().items())]


def is_checkpoint(name_or_folder: str | Path) -> bool:
    """Whether there is a checkpoint of that name, or in that folder."""
    return name_or_folder in _shipped() or os.path.isfile(os.path.join(name_or_folder, MANIFEST))


def find_checkpoint(name_or_folder: str | Path) -> Path:
    """The folder of a checkpoint: a plain name is a shipped one first; everything else is a folder."""
    shipped = _shipped()
    if isinstance(name_or_folder, str) and name_or_folder in shipped:
        return shipped[name_or_folder]
    folder = Path(name_or_folder)
    if os.path.isdir(folder):  # unlike Path.is_dir no error for a name that is too long
        return folder
    if isinstance(name_or_folder, str) and folder.name == name_or_folder:
        raise unknown_name("checkpoint", name_or_folder, sorted(shipped))
    if os.path.isdir(previous_of(folder.absolute())):
        raise CheckpointError(
            f"got no folder {folder}; expected a checkpoint there; a process was killed while replacing it: rename "
            f"{previous_of(folder.absolute())}, which is whole, to {folder.name}"
        )
    raise CheckpointError(f"got no folder {folder}; expected a checkpoint there; check the path")


def verified(folder: Path, manifest: Manifest) -> bytes:
    """Compare every file with its hash; the content of the weights, read once, so that what was checked is parsed."""
    if WEIGHTS not in manifest.files:
        raise CheckpointError(f"got no {WEIGHTS} in the files of {folder / MANIFEST}; expected it; restore the file")
    contents = {}
    for name, sha256 in manifest.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise CheckpointError(f"got no file {path}; expected it in the checkpoint; restore the folder")
        contents[name] = _content(path)
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise CheckpointError(
                f"got a damaged file {path}; expected sha256 {sha256}; restore it from where the checkpoint came"
            )
    return contents[WEIGHTS]


def _content(path: Path) -> bytes:
    try:
        return read_regular(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"got {path}, which cannot be read ({error}); expected a file of the checkpoint; restore the folder"
        ) from error


def previous_of(folder: Path) -> Path:
    """Where an earlier checkpoint waits while a new one takes its place."""
    return folder.with_name(f".{folder.name}.previous")


def _shipped() -> dict[str, Path]:
    """Name -> folder: inside an installed wheel, or in the repository that an editable installation points to."""
    package = Path(__file__).resolve().parent.parent
    for root in (package / "_checkpoints", package.parent / "checkpoints"):
        if root.is_dir():
            return {path.parent.name: path.parent for path in root.glob(f"*/{MANIFEST}") if path.parent.name[0] != "."}
    return {}


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    again = "restore it from where it came, or train it again"
    try:
        data = read_json(path, MOST_BYTES)
    except OSError as error:
        raise CheckpointError(
            f"got no readable {path} ({error}); expected the manifest of a checkpoint; {again}"
        ) from error
    except ValueError as error:  # damaged JSON, or bytes that are no text
        raise CheckpointError(f"got {path} that is no JSON ({error}); expected a manifest; {again}") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise CheckpointError(
            f"got schema {schema} in {path}; expected at most {SCHEMA}; it was made by a newer abele_py: upgrade"
        )
    if schema != SCHEMA:
        raise CheckpointError(f"got schema {schema!r} in {path}; expected {SCHEMA}; {again}")
    for name, nothing in (("test_counts", []), ("floor", {}), ("latent_sizes", {})):
        data.setdefault(name, nothing)  # checkpoints of earlier versions do not have it
    names = {f.name for f in fields(Manifest)}
    if differing := sorted(names ^ set(data)):
        raise CheckpointError(
            f"got missing or unknown fields in {path}: {', '.join(differing)[:200]}; expected a manifest; {again}"
        )
    try:
        manifest = Manifest(**data)
        if "image_shape" in manifest.config:
            fit("image_shape", Shape, manifest.config["image_shape"])
    except ParameterError as error:
        raise CheckpointError(f"got wrong fields in {path}: {error}; {again}") from error
    if manifest.test_counts and len(manifest.test_counts) != len(manifest.class_names):
        raise CheckpointError(
            f"got {len(manifest.test_counts)} test_counts for {len(manifest.class_names)} classes in {path}; expected "
            f"one each; {again}"
        )
    return manifest
