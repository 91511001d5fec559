"""The shipped kinds of black box, as modules from images to class probabilities: a small CNN and a random forest."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from ..batching import ROWS
from ..checking.parameters import NotEmpty, Shape, Share, Size, between, checked
from ..errors import ParameterError
from ..trees import Trees, from_sklearn, leaves

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier


_NUMBERS = 2**21  # at most between two layers, on a processor: 8 MB, which are taken from what was used before


class ConvolutionalClassifier(nn.Module):
    """Convolutions with batch normalisation and pooling, then one hidden layer. Answers probabilities.

    Args:
        image_shape: (C, H, W).
        n_classes: K.
        channels: channels of each stage: a 3x3 convolution, then 2x2 max pooling.
        hidden: width of the hidden layer.
        dropout: before each linear layer, in training only.
        convolutions: 3x3 convolutions of each stage; those after the first follow the pooling.

    Attributes:
        rows_on_processor: number of images in one call from which on each takes longer on a processor.
    """

    @checked
    def __init__(
        self,
        image_shape: Shape = (1, 28, 28),
        n_classes: Size = 10,
        channels: Annotated[Sequence[Size], NotEmpty()] = (16, 32),
        hidden: Size = 128,
        dropout: Share = 0.25,
        convolutions: Annotated[int, between(1, 100)] = 1,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "image_shape": list(image_shape),
            "n_classes": n_classes,
            "channels": list(channels),
            "hidden": hidden,
            "dropout": dropout,
            "convolutions": convolutions,
        }
        c, h, w = image_shape
        blocks: list[nn.Module] = []
        largest = max(o * h * w // 4**stage for stage, o in enumerate(channels))  # what one image is between two layers
        self.rows_on_processor = max(1, _NUMBERS // largest // ROWS) * ROWS
        for i, o in zip([c, *channels], channels, strict=False):
            blocks += [*_convolution(i, o), nn.MaxPool2d(2)]
            for _ in range(convolutions - 1):
                blocks += _convolution(o, o)
            h, w = h // 2, w // 2
        if h * w == 0:
            raise ParameterError(f"got {len(channels)} poolings for images {tuple(image_shape)}; use fewer channels")
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(math.prod((channels[-1], h, w)), hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_classes),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster: memory_format.py in benchmarks/

    def logits(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, K), for the loss."""
        return self.head(self.features(images))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, K) probabilities."""
        return torch.softmax(self.logits(images), dim=1)


def _convolution(i: int, o: int) -> list[nn.Module]:
    return [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]


class Forest(nn.Module):
    """A fitted random forest as arrays: the same answers as scikit-learn's ``predict_proba``, stored without pickle.

    Args:
        image_shape: (C, H, W).
        n_classes: K.
        n_trees: T.
        n_nodes: M, nodes of all trees together.
    """

    @checked
    def __init__(
        self,
        image_shape: Shape,
        n_classes: Size,
        n_trees: Annotated[int, between(1, 10**5)],
        n_nodes: Annotated[int, between(1, 10**9)],
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "image_shape": list(image_shape),
            "n_classes": n_classes,
            "n_trees": n_trees,
            "n_nodes": n_nodes,
        }
        for name in ("axis", "left", "right"):
            self.register_buffer(name, torch.zeros(n_nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(n_nodes, dtype=torch.float64))
        self.register_buffer("value", torch.zeros(n_nodes, n_classes))
        self.register_buffer("roots", torch.zeros(n_trees, dtype=torch.int64))

    @classmethod
    def from_sklearn(cls, forest: "RandomForestClassifier", image_shape: Shape) -> "Forest":
        """Read a fitted forest whose classes are 0..K-1."""
        trees = from_sklearn(forest.estimators_)
        if list(forest.classes_) != list(range(len(forest.classes_))):
            raise ParameterError(f"got classes {list(forest.classes_)}; expected 0..K-1; encode the labels before fit")
        module = cls(image_shape, trees.value.shape[1], len(trees.roots), len(trees.axis))
        module.load_state_dict(trees._asdict())
        return module.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, K) probabilities: the mean of the trees' class shares."""
        trees = Trees(*(getattr(self, name) for name in Trees._fields))
        return trees.value[leaves(trees, images.flatten(1))].mean(dim=1)
