"""Superpixels, and the model-agnostic explainers that work on them: LIME, KernelSHAP, ANCHOR, LORE.

A superpixel is present, or replaced by a baseline. Every map has one value for all pixels of a superpixel.
"""

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..black_boxes.black_box import BlackBox
from ..black_boxes.outputs import Answer
from ..checking.parameters import SmallSeed, between, checked
from ..checking.shapes import Image
from ..errors import ParameterError
from .anchor import find_anchor
from .baselines import Baseline, baseline_of
from .lore import effects, find_rule
from .perturbation import evidence

Segments = Annotated[int, between(2, 10**6)]


@checked
def segments(image: Image, n_segments: Segments = 40) -> Tensor:
    """Superpixels by SLIC (Achanta et al. 2012), about ``n_segments``.

    SLIC weighs likeness against compactness, and joins what is small: alike pixels in a small grey image may leave a
    single superpixel. So the compactness grows until there are at least half of those wanted, at last to a plain grid.

    Args:
        image: (C, H, W) in [0, 1].
        n_segments: number wanted; with no more pixels than that, each is a superpixel.

    Returns:
        (H, W) int64, the numbers 0 to S - 1, all of them present.
    """
    from skimage.segmentation import slic

    height, width = image.shape[1:]
    if height * width <= n_segments:
        return torch.arange(height * width).reshape(height, width)
    for compactness in (0.2, 0.4, 0.8, 1.6, 3.2):
        labels = slic(image.numpy(), n_segments, compactness, channel_axis=0, convert2lab=False, start_label=0)
        numbers, found = np.unique(labels, return_inverse=True)
        if len(numbers) >= max(2, n_segments / 2):
            return torch.from_numpy(found.reshape(height, width))
    down = min(height, max(math.ceil(n_segments**0.5), math.ceil(n_segments / width)))
    across = min(width, math.ceil(n_segments / down))
    return (torch.arange(height) * down // height)[:, None] * across + torch.arange(width) * across // width


class Pieces(NamedTuple):
    """An image in superpixels: what the black box predicts when only some of them are present."""

    image: Tensor
    away: Tensor
    cells: Tensor
    black_box: BlackBox

    @property
    def n(self) -> int:
        return int(self.cells.max()) + 1

    def answer(self, present: Tensor) -> Answer:
        """(N, S) of 1 for a present superpixel -> N answers; never more images at once than a batch."""
        answers = [
            self.black_box(torch.where(rows.bool()[:, self.cells][:, None], self.image, self.away))
            for rows in present.split(self.black_box.batch_size)
        ]
        scores = [answer.scores for answer in answers if answer.scores is not None]
        labels = torch.cat([answer.labels for answer in answers])
        return Answer(labels, torch.cat(scores) if scores else None, self.black_box.scale)

    def evidence(self, present: Tensor, target: int) -> Tensor:
        """(N, S) of 1 for a present superpixel -> (N,): the target's score, or 1 and 0 for labels."""
        return evidence(self.black_box, self.answer(present), target)

    def map(self, values: Tensor) -> Tensor:
        """(S,) -> (H, W) float32: a superpixel's value on all of its pixels."""
        return values.float()[self.cells]


class Values(Protocol):
    """What a method on superpixels computes: a value for each superpixel, (S,)."""

    __name__: str

    def __call__(self, pieces: Pieces, target: int, n_samples: int, seed: int) -> Tensor: ...


def on_superpixels(n_samples: int) -> Callable[[Values], Callable[..., Tensor]]:
    """Make a method that values superpixels one that explains images; its default number of samples is given here.

    The method is then called with:

    Args:
        image: (C, H, W) in [0, 1].
        black_box: scores, or labels, for which the score is 1 or 0.
        target: the label explained.
        n_samples: images that the black box is queried for, at least 100.
        n_segments: about this many superpixels, at least 2.
        baseline: what stands in for an absent superpixel, see :func:`.baselines.baseline_of`. Not 0, the usual choice:
            on a black background that hides nothing, and the background's superpixels would get no say. On digits the
            mean gave LIME and KernelSHAP the best insertion minus deletion over all three baselines, and was about as
            good as 0 for ANCHOR and LORE.
        seed: of all randomness.

    Returns:
        (H, W) float32, the value of each pixel's superpixel.

    Raises:
        ParameterError: an option is out of range, or the image has a single pixel.
        UnknownNameError: no such baseline.
    """
    usual = n_samples

    def of_images(values: Values) -> Callable[..., Tensor]:
        @checked
        def explained(
            image: Image,
            black_box: BlackBox,
            target: int,
            *,
            n_samples: Annotated[int, between(100, 10**6)] = usual,
            n_segments: Segments = 40,
            baseline: Baseline = "mean",
            seed: SmallSeed = 0,
        ) -> Tensor:
            if image[0].numel() < 2:
                raise ParameterError(
                    "got an image of a single pixel; expected several; nothing can be left out of this one"
                )
            pieces = Pieces(image, baseline_of(image, baseline), segments(image, n_segments), black_box)
            return pieces.map(values(pieces, target, n_samples, seed))

        explained.__name__, explained.__doc__ = values.__name__, values.__doc__
        return explained

    return of_images


@on_superpixels(n_samples=500)
def lime(pieces: Pieces, target: int, n_samples: int, seed: int) -> Tensor:
    """LIME (Ribeiro, Singh & Guestrin 2016, arXiv 1602.04938, section 3.4), by captum's ``Lime``.

    Ridge regression (alpha 1) of the target's score on which superpixels are present, each with probability 1/2;
    samples weighted by ``exp(-D^2 / (2 * 0.25^2))``, D the cosine distance of the presences to all ones.

    Returns:
        The superpixels' coefficients: above 0 where its presence raises the score.
    """
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime
    from captum.attr._core.lime import get_exp_kernel_similarity_function

    generator = torch.Generator().manual_seed(seed)

    def coalitions(*_: Any, **__: Any) -> Iterator[Tensor]:
        yield torch.ones(1, pieces.n)
        while True:
            yield (torch.rand(1, pieces.n, generator=generator) < 0.5).float()

    kernel = get_exp_kernel_similarity_function("cosine", kernel_width=0.25)
    explainer = Lime(lambda present: pieces.evidence(present, target), SkLearnRidge(alpha=1.0), kernel, coalitions)
    return _attributed(explainer, pieces, n_samples, seed)


@on_superpixels(n_samples=500)
def kernel_shap(pieces: Pieces, target: int, n_samples: int, seed: int) -> Tensor:
    """KernelSHAP (Lundberg & Lee 2017, arXiv 1705.07874, section 4.1), by captum's ``KernelShap``.

    Returns:
        The superpixels' Shapley values, estimated. They sum up to the target's score of the image minus that of its
        baseline.
    """
    from captum.attr import KernelShap

    explainer = KernelShap(lambda present: pieces.evidence(present, target))
    return _attributed(explainer, pieces, n_samples, seed)


@on_superpixels(n_samples=3000)
def anchor(pieces: Pieces, target: int, n_samples: int, seed: int) -> Tensor:
    """ANCHOR (Ribeiro, Singh & Guestrin 2018, AAAI): superpixels that suffice for the answer; see :mod:`.anchor`.

    An anchor is a set; for an order of the pixels its superpixels are graded by when the search took them. Where the
    black box gives the image another label, its anchor is one of "not the target", and the map is negative. At most
    ``n_samples`` images are queried.

    Returns:
        ``1 - i / m`` for the superpixel that was taken i-th (from 0) of m, 0 outside of the anchor; all 0 where the
        answer never changes.
    """
    answer = pieces.black_box(pieces.image[None])
    evidence(pieces.black_box, answer, target)
    own = int(answer.labels) == target
    found = find_anchor(
        lambda present: (pieces.answer(present).labels == target) == own, pieces.n, budget=n_samples, seed=seed
    )
    values, m = torch.zeros(pieces.n), len(found.features)
    values[list(found.features)] = torch.linspace(1, 1 / max(m, 1), m) * (1 if own else -1)
    return values


@on_superpixels(n_samples=1000)
def lore(pieces: Pieces, target: int, n_samples: int, seed: int) -> Tensor:
    """LORE (Guidotti et al. 2018, arXiv 1805.10820) on superpixels, with our surrogate; see :mod:`.lore`.

    LORE answers with rules, and draws no map. Ours is how much a superpixel's presence raises the surrogate's share of
    the target, on average over the neighborhood (:func:`.lore.effects`): not 0 exactly for the superpixels in any of
    the tree's conditions that matter for the target, those of the rule and of the counterfactual rules among them.

    Returns:
        Values in [-1, 1]; all 0 where no neighbor has another label.
    """
    evidence(pieces.black_box, pieces.black_box(pieces.image[None]), target)
    found = find_rule(lambda present: pieces.answer(present).labels, pieces.n, n_samples=n_samples, seed=seed)
    return effects(found, target)


def _attributed(explainer: Any, pieces: Pieces, n_samples: int, seed: int) -> Tensor:
    """(S,) of one of captum's explainers on presences. It draws from torch's global generator, which gets a seed
    inside and is afterwards as it was before."""
    batch = min(pieces.black_box.batch_size, n_samples)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        values = explainer.attribute(torch.ones(1, pieces.n), n_samples=n_samples, perturbations_per_eval=batch)
    return values[0]
