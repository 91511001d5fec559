"""An image, maps of it, and black boxes whose score is known, to measure maps with."""

import torch

from abele_py.black_boxes.black_box import BlackBox
from abele_py.metrics import saliency as ms

from .worlds import seeded

SHAPE = (2, 6, 5)
X = torch.rand(SHAPE, generator=seeded(1))
MAPS = torch.randn(4, 6, 5, generator=seeded(2))
ZERO = torch.zeros(SHAPE)
# Weights of one sign that sum to 1: the score of an image in [0, 1] lies in [0, 1] without a cut, so it is linear.
WEIGHTS = torch.rand(SHAPE, generator=seeded(3))
WEIGHTS /= WEIGHTS.sum()


def linear(images):
    score = (images * WEIGHTS).flatten(1).sum(dim=1)
    return torch.stack([1 - score, score], dim=1)


def one_pixel(images):
    """The score is the pixel in row 0, column 1 of the first channel."""
    return torch.stack([1 - images[:, 0, 0, 1], images[:, 0, 0, 1]], dim=1)


def labels(images):
    return (images.flatten(1).mean(dim=1) > 0.25).long()


def rough(images):
    """Neither linear nor monotone."""
    score = torch.sin(7 * images).flatten(1).mean(dim=1) / 2 + 0.5
    return torch.stack([1 - score, score], dim=1)


def measured(maps=MAPS, black_box=rough, x=X, baseline=ZERO, batch_size=256):
    """All metrics that ask the black box, by name."""
    box = BlackBox(black_box, batch_size)
    return {
        "deletion": ms.deletion(x, box, 1, maps, baseline),
        "insertion": ms.insertion(x, box, 1, maps, baseline),
        "faithfulness": ms.faithfulness_correlation(x, box, 1, maps, baseline, seeded(), 40, 0.3),
        "infidelity": ms.infidelity(x, box, 1, maps, seeded(), 40, baseline),
    }
