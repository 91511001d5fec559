"""One small autoencoder per class, and one for all, by which IM1 and IM2 judge counter-exemplars.

They are trained at once, as one batch of matrices. Their only use is as a yardstick: no explanation is made with them.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..checking.parameters import Count, Positive, Seed, checked
from ..checking.shapes import Images, Values
from ..errors import CheckpointError, ImageError, ParameterError
from ..storage.files import write_bytes
from ..storage.reading import check_regular, parse_json

SCHEMA = "class autoencoders 1"
HIDDEN = (128, 16, 128)


@dataclass(frozen=True)
class ClassAutoencoders:
    """K + 1 multilayer perceptrons, one for each of K classes and, last, one for all: ReLU inside, sigmoid at the end.

    Attributes:
        weights: of the L layers, each (K + 1, d_in, d_out) float32.
        biases: of the L layers, each (K + 1, 1, d_out) float32.
        image_shape: (C, H, W) of the images; C * H * W is the first d_in and the last d_out.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    image_shape: tuple[int, int, int]

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.weights[0]) - 1

    def reconstruct(self, images: Tensor, label: int | None) -> Tensor:
        """Images as the autoencoder of one class gives them back, or, for None, as the one of all classes does.

        Args:
            images: (N, C, H, W) float32 in [0, 1].
            label: 0..K-1, or None.

        Returns:
            (N, C, H, W) float32 in [0, 1].

        Raises:
            ImageError: images of another shape.
            ParameterError: no such class.
        """
        if tuple(images.shape[1:]) != self.image_shape:
            raise ImageError(
                f"got images of shape {tuple(images.shape)}; expected (N, {', '.join(map(str, self.image_shape))}), as "
                "the class autoencoders were fitted on; fit them on images of this kind"
            )
        if label is not None and not 0 <= label < self.n_classes:
            raise ParameterError(
                f"got the label {label}; expected 0..{self.n_classes - 1}, or None for the autoencoder of all classes; "
                "fit the class autoencoders on all classes"
            )
        which = slice(-1, None) if label is None else slice(label, label + 1)
        with torch.no_grad():
            pixels = _forward(
                [w[which] for w in self.weights], [b[which] for b in self.biases], images.flatten(1)[None]
            )
        return pixels[0].reshape(images.shape)

    def save(self, path: str | Path) -> Path:
        """Write them to one safetensors file, whole or not at all."""
        path = Path(path)
        tensors = self._tensors()
        metadata = {
            "schema": SCHEMA,
            "image_shape": json.dumps(self.image_shape),
            "sha256": _digest(tensors),
        }
        write_bytes(path, save(tensors, metadata))
        return path

    @classmethod
    def load(cls, path: str | Path) -> "ClassAutoencoders":
        """Read what :meth:`save` wrote.

        Raises:
            CheckpointError: the file is missing, damaged, or something else.
        """
        try:
            check_regular(path)
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointError(
                f"got {path}, which cannot be read ({error}); expected a file of class autoencoders; fit them again"
            ) from error
        if metadata.get("schema") != SCHEMA or metadata.get("sha256") != _digest(tensors):
            raise CheckpointError(
                f"got {path}, of the schema {metadata.get('schema')!r} or damaged; expected {SCHEMA!r} with weights "
                "that have its sha256; delete the file and fit the class autoencoders again"
            )
        layers = range(len(tensors) // 2)
        channels, height, width = parse_json(metadata["image_shape"])
        return cls(
            tuple(tensors[f"weight_{i}"] for i in layers),
            tuple(tensors[f"bias_{i}"] for i in layers),
            (channels, height, width),
        )

    def _tensors(self) -> dict[str, Tensor]:
        named = [("weight", self.weights), ("bias", self.biases)]
        return {f"{name}_{i}": tensor.contiguous() for name, layers in named for i, tensor in enumerate(layers)}


@checked
def fit_class_autoencoders(
    images: Images,
    labels: Values,
    n_classes: Count,
    *,
    steps: Count = 1000,
    batch_size: Count = 64,
    learning_rate: Positive = 4e-3,
    seed: Seed = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ClassAutoencoders:
    """Fit K + 1 autoencoders d-128-16-128-d by the mean squared error, all at once.

    Every step gives each class's autoencoder ``batch_size`` images of its class, and the last one as many of all, drawn
    with replacement; so all learn for equally long, whatever the sizes of the classes, and the time depends on
    ``steps`` alone. Adam (Kingma & Ba 2015), its learning rate falling to 0 along half a cosine.

    Args:
        images: (N, C, H, W), uint8 in 0..255 or float in [0, 1].
        labels: (N,) int64 in 0..K-1, as the data set or the black box gives them.
        n_classes: K; each class needs at least one image.
        steps: of the optimiser.
        batch_size: images per autoencoder and step.
        learning_rate: at the first step.
        seed: of the initial weights and the batches; no global random state is touched.
        progress: called after each step with its number from 1 on, and ``steps``.

    Raises:
        ParameterError: a class without an image, labels beyond K, or no steps.
    """
    if steps < 1 or batch_size < 1:
        raise ParameterError(
            f"got steps={steps}, batch_size={batch_size}; expected at least 1 each; 1000 and 64 do well"
        )
    pools, counts = _pools(labels, n_classes)
    generator = torch.Generator().manual_seed(seed)
    rows = images.flatten(1)
    pixels = rows.shape[1]
    sizes = (pixels, *HIDDEN, pixels)
    shapes = list(pairwise(sizes))
    weights = [_uniform((n_classes + 1, a, b), a, generator) for a, b in shapes]
    biases = [_uniform((n_classes + 1, 1, b), a, generator) for a, b in shapes]
    optimizer = torch.optim.Adam([*weights, *biases], lr=learning_rate, fused=True)
    scale = 1.0 if images.is_floating_point() else 255.0
    with torch.enable_grad():
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            drawn = (torch.rand(n_classes + 1, batch_size, generator=generator) * counts).long()
            batch = rows[pools.gather(1, drawn)].float() / scale
            loss = (_forward(weights, biases, batch) - batch).square().mean(dim=(1, 2)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if progress is not None:
                progress(step + 1, steps)
    channels, height, width = images.shape[1:]
    return ClassAutoencoders(
        tuple(w.detach() for w in weights), tuple(b.detach() for b in biases), (channels, height, width)
    )


def _pools(labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Rows of each class, and last of all, (K + 1, N) int64, and how many they are, (K + 1, 1); the rest is 0."""
    counts = torch.bincount(labels, minlength=n_classes)
    if len(counts) > n_classes or not bool((counts > 0).all()):
        raise ParameterError(
            f"got {counts.tolist()} images per label; expected some of each of the {n_classes} classes 0.."
            f"{n_classes - 1} and no others; fit on images of all classes"
        )
    pools = torch.zeros(n_classes + 1, len(labels), dtype=torch.int64)
    for label, count in enumerate(counts.tolist()):
        pools[label, :count] = (labels == label).nonzero()[:, 0]
    pools[-1] = torch.arange(len(labels))
    return pools, torch.cat([counts, torch.tensor([len(labels)])])[:, None]


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> Tensor:
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound, generator=generator).requires_grad_()


def _forward(weights: list[Tensor], biases: list[Tensor], rows: Tensor) -> Tensor:
    """(A, N, d) through A autoencoders at once."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        rows = torch.baddbmm(bias, rows, weight).relu()
    return torch.baddbmm(biases[-1], rows, weights[-1]).sigmoid()


def _digest(tensors: dict[str, Tensor]) -> str:
    parts = (f"{name} {tuple(t.shape)}".encode() + t.numpy().tobytes() for name, t in sorted(tensors.items()))
    return hashlib.sha256(b"".join(parts)).hexdigest()
