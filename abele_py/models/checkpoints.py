"""Checkpoints: a folder with ``manifest.json``, ``model.safetensors`` and pictures. Verified before parsed.

Nothing read from a file runs code: the manifest is JSON, the weights are safetensors, and a network is built only from
the table ``NETWORKS``, by constructors that check their arguments.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_origin

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from ..errors import AbeleError, CheckpointError, unknown_name
from .adversarial import AdversarialAutoencoder
from .classifiers import ConvolutionalClassifier, Forest

SCHEMA = 1
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
CARD = "MODEL_CARD.md"

Kind = Literal["autoencoder", "classifier"]

# architecture -> its kind and its class; a network's own ``config`` holds the arguments that rebuild it
NETWORKS: dict[str, tuple[Kind, Callable[..., nn.Module]]] = {
    "AdversarialAutoencoder": ("autoencoder", AdversarialAutoencoder),
    "ConvolutionalClassifier": ("classifier", ConvolutionalClassifier),
    "Forest": ("classifier", Forest),
}


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
    seed: int
    versions: dict[str, str]
    hardware: str
    training_seconds: float
    metrics: dict[str, float]
    licence: str
    files: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    test_counts: list[int] = field(default_factory=list)


def load_autoencoder(name_or_folder: str | Path) -> AdversarialAutoencoder:
    """A trained autoencoder: a shipped one by name, or one in a folder. In eval mode, without gradients.

    Raises:
        UnknownNameError: no shipped checkpoint of that name, and no such folder.
        CheckpointError: damaged, incomplete, of a future schema, or not an autoencoder.
    """
    network = _load(name_or_folder, "autoencoder")
    assert isinstance(network, AdversarialAutoencoder)  # noqa: S101 - the only autoencoder in NETWORKS; for the types
    return network


def load_classifier(name_or_folder: str | Path) -> nn.Module:
    """A trained classifier that maps (N, C, H, W) in [0, 1] to (N, K) probabilities; raises as ``load_autoencoder``."""
    return _load(name_or_folder, "classifier")


def read_manifest(name_or_folder: str | Path) -> Manifest:
    """The manifest of a checkpoint; the other files are not looked at."""
    return _read_manifest(find_checkpoint(name_or_folder))


def list_checkpoints() -> list[Manifest]:
    """Manifests of the shipped checkpoints, by name."""
    return [_read_manifest(folder) for _, folder in sorted(_shipped().items())]


def save_checkpoint(
    folder: str | Path,
    network: nn.Module,
    manifest: Manifest,
    pictures: Mapping[str, bytes] | None = None,
    card: Callable[[Manifest], str] | None = None,
) -> Path:
    """Write a checkpoint folder: first completely beside its place, then swapped in.

    A process killed while writing leaves an earlier checkpoint of that folder whole. (Killed just between the two
    renames of the swap, it leaves it whole under the name ``.<folder>.previous``, and the next call puts it back.)

    Args:
        folder: the checkpoint's folder; an earlier one is replaced.
        network: of a class in ``NETWORKS``.
        manifest: ``files``, ``architecture``, ``kind`` and ``config`` are filled in from the network.
        pictures: file name -> content, such as ``samples.png``.
        card: makes the text of ``MODEL_CARD.md`` from the complete manifest. Not among the hashed ``files``: it says
            nothing that the manifest does not hold, and can be made again.

    Returns:
        The folder.

    Raises:
        UnknownNameError: a network of another class.
        CheckpointError: the folder cannot be written; an earlier checkpoint there stays as it was.
    """
    folder = Path(folder).absolute()
    architecture = type(network).__name__
    if architecture not in NETWORKS:
        raise unknown_name("network", architecture, NETWORKS)
    contents = {WEIGHTS: to_safetensors(_packed(network.state_dict())), **(pictures or {})}
    complete = replace(
        manifest,
        architecture=architecture,
        kind=NETWORKS[architecture][0],
        config=dict(network.config),  # type: ignore[arg-type]
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    contents[MANIFEST] = (json.dumps(asdict(complete), indent=2, ensure_ascii=False) + "\n").encode()
    if card is not None:
        contents[CARD] = card(complete).encode()
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    previous = _previous(folder)
    try:
        _put_back(folder)
        for stale in (partial, previous):
            shutil.rmtree(stale, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in contents.items():
            (partial / name).write_bytes(content)
        if folder.exists():
            folder.rename(previous)
        partial.rename(folder)
    except OSError as error:
        raise CheckpointError(
            f"got {error} while writing {folder}; expected a folder that can be written; check its place and the disk"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):  # the error that came first is the one to tell
            _put_back(folder)
    shutil.rmtree(previous, ignore_errors=True)
    return folder


def _previous(folder: Path) -> Path:
    """Where an earlier checkpoint waits while a new one takes its place."""
    return folder.with_name(f".{folder.name}.previous")


def _put_back(folder: Path) -> None:
    """Undo the first rename of a swap whose second one did not happen."""
    if not folder.exists() and _previous(folder).is_dir():
        _previous(folder).rename(folder)


def _shipped() -> dict[str, Path]:
    """Name -> folder: inside an installed wheel, or in the repository that an editable installation points to."""
    package = Path(__file__).resolve().parent.parent
    for root in (package / "_checkpoints", package.parent / "checkpoints"):
        if root.is_dir():
            return {path.parent.name: path.parent for path in root.glob(f"*/{MANIFEST}") if path.parent.name[0] != "."}
    return {}


def find_checkpoint(name_or_folder: str | Path) -> Path:
    """The folder of a checkpoint: a plain name is a shipped one first; everything else is a folder."""
    shipped = _shipped()
    if isinstance(name_or_folder, str) and name_or_folder in shipped:
        return shipped[name_or_folder]
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    if isinstance(name_or_folder, str) and folder.name == name_or_folder:
        raise unknown_name("checkpoint", name_or_folder, sorted(shipped))
    if _previous(folder.absolute()).is_dir():
        raise CheckpointError(
            f"got no folder {folder}; expected a checkpoint there; a process was killed while replacing it: rename "
            f"{_previous(folder.absolute())}, which is whole, to {folder.name}"
        )
    raise CheckpointError(f"got no folder {folder}; expected a checkpoint there; check the path")


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    again = "restore it from where it came, or train it again"
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"got no readable {path}; expected the manifest of a checkpoint; {again}") from error
    except ValueError as error:  # damaged JSON, or bytes that are no text
        raise CheckpointError(f"got {path} that is no JSON ({error}); expected a manifest; {again}") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise CheckpointError(
            f"got schema {schema} in {path}; expected at most {SCHEMA}; it was made by a newer abele_py: upgrade"
        )
    if schema != SCHEMA:
        raise CheckpointError(f"got schema {schema!r} in {path}; expected {SCHEMA}; {again}")
    wanted: dict[str, Any] = {f.name: get_origin(f.type) or f.type for f in fields(Manifest)}
    wanted["kind"], wanted["training_seconds"] = str, (int, float)
    data.setdefault("test_counts", [])  # checkpoints of abele_py 0.1.0 do not have it
    wrong = [name for name, kind in wanted.items() if not isinstance(data.get(name), kind)]
    if wrong or set(data) - set(wanted):
        names = ", ".join([*wrong, *sorted(set(data) - set(wanted))])
        raise CheckpointError(f"got wrong, missing or unknown fields in {path}: {names}; expected a manifest; {again}")
    return Manifest(**data)


@torch.inference_mode(False)  # tensors made within inference mode could never have a gradient, which `encode` needs
def _load(name_or_folder: str | Path, kind: Kind) -> nn.Module:
    folder = find_checkpoint(name_or_folder)
    manifest = _read_manifest(folder)
    if manifest.architecture not in NETWORKS:
        raise unknown_name("architecture", manifest.architecture, NETWORKS)
    real_kind, build = NETWORKS[manifest.architecture]
    if not manifest.kind == real_kind == kind:
        raise CheckpointError(f"got a checkpoint of kind {manifest.kind!r} in {folder}; expected {kind!r}; pass one")
    tensors = _unpack(folder, _verified(folder, manifest))
    try:
        # On the meta device sizes cost nothing: a wrong size in the manifest is found before memory is taken for it.
        # It also leaves the global random state alone, which initial weights would draw from.
        with torch.device("meta"):
            network = build(**manifest.config)
    except (AbeleError, TypeError, ValueError, RuntimeError, IndexError, ArithmeticError) as error:
        raise CheckpointError(
            f"got a config in {folder / MANIFEST} that builds no {manifest.architecture} ({error}); expected the "
            "arguments of its constructor; restore the file"
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != given:
        differing = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
        raise CheckpointError(
            f"got weights in {folder} that do not fit its config, at {', '.join(differing[:3])}; expected the shapes "
            "of its architecture; restore the folder"
        )
    network.to_empty(device="cpu").load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _verified(folder: Path, manifest: Manifest) -> bytes:
    """Compare every file with its hash; the content of the weights, read once, so that what was checked is parsed."""
    if WEIGHTS not in manifest.files:
        raise CheckpointError(f"got no {WEIGHTS} in the files of {folder / MANIFEST}; expected it; restore the file")
    contents = {}
    for name, sha256 in manifest.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise CheckpointError(f"got no file {path}; expected it in the checkpoint; restore the folder")
        contents[name] = path.read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise CheckpointError(
                f"got a damaged file {path}; expected sha256 {sha256}; restore it from where the checkpoint came"
            )
    return contents[WEIGHTS]


def _unpack(folder: Path, content: bytes) -> dict[str, Tensor]:
    try:
        tensors = parse_safetensors(content)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"got {folder / WEIGHTS} that cannot be parsed ({error}); expected safetensors; restore the folder"
        ) from error
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"got NaN or infinity in {name} of {folder}; expected finite weights; train it again")
    return tensors


def _packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state for a file: a float32 tensor whose every value survives half precision takes half the space."""
    packed = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu()
        half = tensor.half() if tensor.dtype == torch.float32 else tensor
        packed[name] = (half if torch.equal(half.to(tensor.dtype), tensor) else tensor).contiguous()
    return packed
