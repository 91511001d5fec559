"""From a specification to a black box: a shipped name, a checkpoint, a file, an HTTP endpoint or a function's name."""

import hashlib
import importlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checking.parameters import Shape, checked
from ..errors import BlackBoxError, ParameterError
from ..models.checkpoints import WEIGHTS, load_classifier, read_manifest
from ..models.devices import on_device
from ..provenance import hashes_of, origin_of, remember
from ..storage.reading import read_regular
from .adapters import PreprocessedFunction
from .exported import ExportedClassifier
from .http import HttpClassifier
from .modules import as_given
from .onnx import OnnxClassifier, external_files
from .outputs import classes_of, names_of
from .preprocessing import Order, Pixels, as_input, numbers

FILES = (".onnx", ".pt2", ".skops")
# Files that can run code when they are read, or that only a framework of their own reads: what to make of them.
_TO_PT2 = 'torch.export.save(torch.export.export(model.eval(), (images,)), "model.pt2")'
_TO_SKOPS = 'skops.io.dump(classifier, "model.skops")'
_TO_ONNX = "python -m tf2onnx.convert --keras model.keras --output model.onnx"
OTHER_FILES = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".torchscript"), _TO_PT2),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".sav"), _TO_SKOPS),
    **dict.fromkeys((".h5", ".hdf5", ".keras", ".tflite", ".pb"), _TO_ONNX),
}


class LoadedBlackBox(NamedTuple):
    """A classifier for ``Abele(classifier, ...)``, and the names of its classes: empty where numbers name them."""

    classifier: Any
    class_names: tuple[str, ...]


@checked
def load_black_box(
    spec: str | Path,
    *,
    image_shape: Shape | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
    channel_order: Order = "rgb",
    channels_last: bool = False,
    timeout: float = 30.0,
    retries: int = 4,
    device: str | None = None,
) -> LoadedBlackBox:
    """The black box that a specification names; docs/black-boxes.md tells of every kind.

    No file that is read runs code; ``package.module:name`` is imported, which does.

    Args:
        spec: name of a shipped classifier; a checkpoint folder; a file ``.onnx``, ``.pt2`` or ``.skops``; ``http://...``
            or ``https://...``; or ``package.module:name`` of a function, torch module or scikit-learn classifier.
        image_shape: (C, H, W) of the images it will be queried with: one that takes others is refused at once.
        mean, std: ``(pixel - mean) / std`` for pixels in [0, 1], one value or one per channel in the order in which
            the black box gets them; a text such as ``"0.485,0.456,0.406"`` too.
        channel_order: ``"bgr"`` for a black box that wants blue first.
        channels_last: for one that takes (N, H, W, C).
        timeout, retries: of an HTTP endpoint: seconds of one attempt, and attempts after the first.
        device: where a torch module is to be, as of :func:`~abele_py.load_autoencoder`; others stay where they are.

    Returns:
        The classifier, and its class names.

    Raises:
        BlackBoxError: no such file or function, or one that cannot be used.
        ParameterError: an option that cannot be, or that a checkpoint, which carries its own, does not take; a device
            that torch does not have here.
        MissingExtraError: onnxruntime or skops is not installed.
        UnknownNameError, CheckpointError: no such checkpoint, or a damaged one.
    """
    spec, pixels = str(spec), Pixels(numbers(mean, "mean"), numbers(std, "std"), channel_order, channels_last)
    if image_shape is not None:
        pixels.check(image_shape[0])
    kind = _kind(spec)
    if kind == "checkpoint":
        loaded, class_names = _checkpoint(spec, pixels, image_shape)
        return LoadedBlackBox(on_device(loaded, device), class_names)
    if kind == "http":
        classifier: Any = HttpClassifier(spec, timeout, retries)
    elif kind == "function":
        classifier = _imported(spec)
    elif kind == ".onnx":
        classifier = OnnxClassifier(spec)
    elif kind == ".pt2":
        classifier = ExportedClassifier(spec)
    else:
        from .skops import load_skops

        classifier, _ = load_skops(spec)
    if isinstance(classifier, (OnnxClassifier, ExportedClassifier)):
        _check_input(classifier, pixels, image_shape)
    loaded = remember(
        with_preprocessing(on_device(classifier, device), pixels), _origin(spec, kind, classifier, pixels)
    )
    return LoadedBlackBox(loaded, names_of(classes_of(classifier)))


def with_preprocessing(classifier: Any, pixels: Pixels) -> Any:
    """The classifier behind the preprocessing of its pixels: a torch module stays one, with gradients."""
    if not pixels:
        return classifier
    if isinstance(classifier, nn.Module):
        return _PreprocessedModule(classifier, pixels)
    return PreprocessedFunction(classifier, pixels)


@checked
def identity(spec: str, **options: Any) -> dict[str, Any]:
    """What a black box is called, and what it is: a hash of its file or weights where it has one, and its options."""
    kind = _kind(spec)
    found: dict[str, Any]
    if kind == "checkpoint":
        manifest = read_manifest(spec)
        found = {"name": manifest.name, "sha256": manifest.files[WEIGHTS]}
    elif kind in FILES:
        try:
            found = {"name": Path(spec).name, "sha256": hashlib.sha256(read_regular(spec)).hexdigest()}
        except (OSError, ValueError) as error:
            raise BlackBoxError(f"got {spec!r}, which cannot be read ({error}); expected a file; check it") from error
    else:
        found = {"name": spec.partition("?")[0] if kind == "http" else spec}
    return found | {key: value for key, value in options.items() if value not in (None, False, "rgb")}


def _origin(spec: str, kind: str, classifier: Any, pixels: Pixels) -> dict[str, Any]:
    """What a black box was read from, with the hashes of all its files; see :func:`~abele_py.provenance.origin_of`."""
    if kind == "function":
        found = origin_of(classifier)
    elif kind == "http":  # a query may hold a key
        spec = spec.partition("?")[0]
        found = {"type": "endpoint", "name": spec}
    else:
        path = Path(spec)
        more = external_files(path) if kind == ".onnx" else []
        found = {"type": kind, "name": path.name, "files": hashes_of(path, *more)}
    given = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(pixels).items()} if pixels else {}
    return found | {"specification": spec} | ({"pixels": given} if given else {})


def _kind(spec: str) -> str:
    """checkpoint, http, function, or a suffix of FILES."""
    if re.match(r"https?://", spec, flags=re.IGNORECASE):
        return "http"
    if "://" in spec:
        raise BlackBoxError(f"got the black box {spec!r}; expected http:// or https://, or the path of a file; use one")
    suffix = Path(spec).suffix.lower()
    if os.path.isdir(spec):  # unlike Path.is_dir no error for a name that is too long
        return "checkpoint"
    if suffix in FILES:
        return suffix
    if suffix in OTHER_FILES:
        raise BlackBoxError(
            f"got the black box {spec!r}, a kind of file that is not read, for it can run code or needs its own "
            f"framework; expected one of: {', '.join(FILES)}; convert it where you trust it: {OTHER_FILES[suffix]}"
        )
    return "function" if ":" in spec else "checkpoint"


def _checkpoint(spec: str, pixels: Pixels, image_shape: tuple[int, int, int] | None) -> LoadedBlackBox:
    manifest = read_manifest(spec)
    if pixels:
        raise ParameterError(
            f"got mean, std or an order of channels for the checkpoint {manifest.name!r}; expected none, for it "
            "carries its own preprocessing; leave these options out"
        )
    shape = tuple(manifest.config["image_shape"])
    if image_shape is not None and shape != tuple(image_shape):
        raise BlackBoxError(
            f"got the black box {manifest.name!r} for images {shape}, and {tuple(image_shape)} of the autoencoder; "
            "expected the same; choose two trained on one data set"
        )
    return LoadedBlackBox(load_classifier(spec), tuple(manifest.class_names))


def _imported(spec: str) -> Any:
    module, _, function = spec.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # the user's module may fail in any way, or end the program
        reason = f"it calls sys.exit({error})" if isinstance(error, SystemExit) else str(error)
        raise BlackBoxError(
            f"got the black box {spec!r}, which cannot be imported ({reason}); expected package.module:function, "
            "importable from here (python -c 'import package.module'); put its folder on PYTHONPATH, and what it does "
            "as a program under if __name__ == '__main__'"
        ) from error


def _check_input(
    network: OnnxClassifier | ExportedClassifier, pixels: Pixels, image_shape: tuple[int, int, int] | None
) -> None:
    if network.dtype == torch.uint8 and pixels.normalised:
        raise ParameterError(
            "got mean or std for a black box that takes 8-bit pixels; expected neither, for it gets pixels from 0 to "
            "255 as they are; leave these options out"
        )
    if image_shape is not None:
        as_input(pixels(torch.zeros(1, *image_shape)), network.input_shape, network.dtype)
        if isinstance(network, OnnxClassifier):
            network.find_classes(pixels(torch.rand(16, *image_shape, generator=torch.Generator().manual_seed(0))))


class _PreprocessedModule(nn.Module):
    image_dtype = torch.float32  # pixels are computed in it, whatever the module takes

    def __init__(self, module: nn.Module, pixels: Pixels) -> None:
        super().__init__()
        self.module = module
        self.pixels = pixels

    @property
    def classes_(self) -> Any:
        return classes_of(self.module)

    def forward(self, images: Tensor) -> Any:
        return self.module(as_given(self.module, self.pixels(images)))

    def logits(self, images: Tensor) -> Any:
        """What gradients are taken of: the logits of the module, where it has such a method."""
        logits = getattr(type(self.module), "logits", None)
        return logits(self.module, as_given(self.module, self.pixels(images))) if callable(logits) else self(images)
