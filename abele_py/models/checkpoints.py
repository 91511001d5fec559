"""Checkpoints: a folder with ``manifest.json``, ``model.safetensors`` and pictures. Verified before parsed.

Nothing read from a file runs code: the manifest is JSON, the weights are safetensors, and a network is built only from
the table ``NETWORKS``, by constructors that check their arguments.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from ..checking.parameters import checked
from ..errors import AbeleError, CheckpointError, PlaceError, unknown_name
from ..provenance import hashes_of, remember
from ..storage.files import sync
from ..storage.places import alone_beside, check_replaceable, objection, remove
from .adversarial import AdversarialAutoencoder
from .autoencoder import Autoencoder
from .classifiers import ConvolutionalClassifier, Forest
from .devices import on_device
from .manifests import (
    CARD,
    CHECKPOINT,
    MANIFEST,
    SCHEMA,
    WEIGHTS,
    Kind,
    Manifest,
    find_checkpoint,
    is_checkpoint,
    list_checkpoints,
    previous_of,
    read_manifest,
    verified,
)

__all__ = [  # with those of manifests.py, which loads no torch
    "CARD",
    "MANIFEST",
    "NETWORKS",
    "SCHEMA",
    "WEIGHTS",
    "Kind",
    "Manifest",
    "find_checkpoint",
    "is_checkpoint",
    "list_checkpoints",
    "load_autoencoder",
    "load_classifier",
    "read_manifest",
    "save_checkpoint",
]

# architecture -> its kind and its class; a network's own ``config`` holds the arguments that rebuild it
NETWORKS: dict[str, tuple[Kind, Callable[..., nn.Module]]] = {
    "AdversarialAutoencoder": ("autoencoder", AdversarialAutoencoder),
    "ConvolutionalClassifier": ("classifier", ConvolutionalClassifier),
    "Forest": ("classifier", Forest),
}
_FEW = 16  # sizes that no tensor has to stand for, such as those of an image


@checked
def load_autoencoder(name_or_folder: str | Path, device: str | None = None) -> Autoencoder:
    """A trained autoencoder: a shipped one by name, or one in a folder. In eval mode, without gradients.

    Args:
        name_or_folder: of the checkpoint.
        device: where it is to be, and where it encodes and decodes: ``"cuda"``, ``"mps"``; the processor if None.

    Raises:
        UnknownNameError: no shipped checkpoint of that name, and no such folder.
        CheckpointError: damaged, incomplete, of a future schema, or not an autoencoder.
        ParameterError: torch has no such device here.
    """
    network: Any = on_device(_load(name_or_folder, "autoencoder"), device)
    return network


@checked
def load_classifier(name_or_folder: str | Path, device: str | None = None) -> nn.Module:
    """A trained classifier: (N, C, H, W) in [0, 1] to (N, K) probabilities; all else as of ``load_autoencoder``."""
    network: nn.Module = on_device(_load(name_or_folder, "classifier"), device)
    return network


@checked
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
        folder: the checkpoint's folder; an earlier one is replaced, and nothing else is.
        network: of a class in ``NETWORKS``.
        manifest: ``files``, ``architecture``, ``kind`` and ``config`` are filled in from the network.
        pictures: file name -> content, such as ``samples.png``.
        card: makes the text of ``MODEL_CARD.md`` from the complete manifest. Not among the hashed ``files``: it says
            nothing that the manifest does not hold, and can be made again.

    Returns:
        The folder.

    Raises:
        UnknownNameError: a network of another class.
        CheckpointError: the folder cannot be written, or is not empty and no checkpoint of ours alone; what is there
            stays as it was.
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
    partial, previous = folder.with_name(f".{folder.name}.partial-{os.getpid()}"), previous_of(folder)
    try:
        with alone_beside(folder, ".saving", wait=60):  # so a partial folder that is there already was left behind
            _put_back(folder)
            check_replaceable(folder, CHECKPOINT)
            remove(previous, CHECKPOINT)
            _sweep(folder)
            try:
                partial.mkdir()
                for name, content in contents.items():
                    (partial / name).write_bytes(content)
                    sync(partial / name)
                sync(partial)
                if folder.exists():
                    folder.rename(previous)
                partial.rename(folder)
                sync(folder.parent)
            finally:
                with suppress(OSError):  # the error that came first is the one to tell
                    _sweep(folder)
                    _put_back(folder)
            with suppress(OSError):
                remove(previous, CHECKPOINT)
    except PlaceError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(
            f"got {error} while writing {folder}; expected a folder that can be written; check its place and the disk"
        ) from error
    return folder


def _put_back(folder: Path) -> None:
    """Undo the first rename of a swap whose second one did not happen."""
    previous = previous_of(folder)
    if not os.path.lexists(folder) and previous.is_dir() and objection(previous, CHECKPOINT) is None:
        previous.rename(folder)


def _sweep(folder: Path) -> None:
    """Remove what was written of checkpoints that did not come to their place."""
    unfinished = CHECKPOINT._replace(made=lambda _: True)
    for path in list(folder.parent.iterdir()):
        if path.name.startswith(f".{folder.name}.partial-") and objection(path, unfinished) is None:
            remove(path, unfinished)


@torch.inference_mode(False)  # tensors made within inference mode could never have a gradient, which `encode` needs
def _load(name_or_folder: str | Path, kind: Kind) -> nn.Module:
    folder = find_checkpoint(name_or_folder)
    manifest = read_manifest(folder)
    if manifest.architecture not in NETWORKS:
        raise unknown_name("architecture", manifest.architecture, NETWORKS)
    real_kind, build = NETWORKS[manifest.architecture]
    if not manifest.kind == real_kind == kind:
        raise CheckpointError(f"got a checkpoint of kind {manifest.kind!r} in {folder}; expected {kind!r}; pass one")
    tensors = _unpack(folder, verified(folder, manifest))
    _check_layers(folder, manifest.config, len(tensors))
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
    files = manifest.files | hashes_of(folder / MANIFEST)
    origin = {"name": manifest.name, "specification": str(name_or_folder), "files": files}
    return remember(network.eval().requires_grad_(False), origin)


def _check_layers(folder: Path, config: Mapping[str, Any], n_tensors: int) -> None:
    """Refuse more layers than the weights could be of: even without memory, each takes time to build."""
    for name, value in config.items():
        n = len(value) if isinstance(value, (list, str)) else value if name == "convolutions" else 0
        if isinstance(n, int) and n > max(n_tensors, _FEW):
            raise CheckpointError(
                f"got {n} layers or sizes in {name} of {folder / MANIFEST}, and {n_tensors} tensors; expected weights "
                "for each; restore the folder"
            )


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
