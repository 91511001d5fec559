"""Sanity checks: does an explanation change when the weights of the black box are randomised?

After Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv 1810.03292. Whoever explains again with each
module of :func:`cascade` compares old and new here; what stays alike does not depend on what the black box learned.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from ..black_boxes.modules import as_given, evaluating
from ..checking.parameters import CheckedInside, Seed, checked
from ..checking.shapes import Image
from ..errors import BlackBoxError, ImageError, missing_extra
from ..explanation.explanation import Explanation
from ..explanation.saliency import on_one_scale
from .base import metric


@checked
def cascade(module: Annotated[nn.Module, CheckedInside()], image: Image, seed: Seed) -> Iterator[tuple[str, nn.Module]]:
    """Copies of a network with its last layer randomised, then its last two, and so on down to all.

    A layer is a module with parameters of its own; those of modules that are never called themselves count to the
    nearest module around them. Layers come in the order in which a forward pass calls them, from the output to the
    input. Each parameter, and running mean and variance of a normalisation, gets a random cyclic permutation of
    its own values: unlike the paper's fresh initial weights it keeps their distribution, so that a network neither dies
    nor saturates, and it is defined for every kind of layer. A tensor of equal values stays as it is.

    Args:
        module: left as it is; everything happens in copies.
        image: (C, H, W) in [0, 1], any image of the network's kind, for the forward pass.
        seed: of the permutations.

    Returns:
        An iterator of pairs: the name of the layer that was randomised last (as in ``module.named_modules()``, "" for
        the module itself), and a copy of the module of its own.

    Raises:
        BlackBoxError: not a torch module, or one without parameters, or that cannot be copied, or raises with this
            image.
    """
    if not isinstance(module, nn.Module) or next(module.parameters(), None) is None:
        raise BlackBoxError(
            f"got a black box of type {type(module).__name__} that has no weights to randomise; expected an nn.Module "
            "with parameters; leave the sanity check out for this black box"
        )
    return _randomised(module, _layers(module, image), torch.Generator().manual_seed(seed))


@metric("Rank correlation after randomisation", "lower", -1.0, 1.0, "Adebayo et al. 2018, section 3, arXiv 1810.03292")
@checked
def rank_correlation(a: Tensor, b: Tensor, absolute: bool = False) -> float:
    """Spearman's rank correlation of two maps (H, W), in [-1, 1].

    Equal maps give 1, also constant ones, which did not change; one constant map beside another map gives 0.

    Args:
        a, b: (H, W), of any units.
        absolute: of the maps' absolute values, as the paper reports beside it.

    Raises:
        ImageError: maps of different shapes.
    """
    x, y = _pair(a, b)
    if absolute:
        x, y = np.abs(x), np.abs(y)
    if np.array_equal(x, y):
        return 1.0
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x.ravel(), y.ravel()).statistic)


@metric("SSIM after randomisation", "lower", -1.0, 1.0, "Wang et al. 2004; Adebayo et al. 2018, section 3")
@checked
def structural_similarity(a: Tensor, b: Tensor) -> float:
    """Structural similarity of two maps (H, W), each brought to [-1, 1] by ``on_one_scale``, in [-1, 1].

    Windows of 7 x 7 pixels, or the largest odd size that fits; range of the data 2. SSIM multiplies the likeness of
    means with that of patterns, so a map and its negative can come out alike: read it beside the rank correlation.

    Raises:
        ImageError: maps of different shapes, or of fewer than 3 rows or columns.
        MissingExtraError: scikit-image, of the extra [compare], is not installed.
    """
    try:
        from skimage import metrics
    except ModuleNotFoundError as error:
        raise missing_extra(error, "structural_similarity", "compare") from error
    x, y = _pair(on_one_scale(a), on_one_scale(b))
    side = min(7, *x.shape)
    if side < 3:
        raise ImageError(f"got maps of {x.shape[0]} x {x.shape[1]} pixels; expected at least 3 x 3 for SSIM's windows")
    return float(metrics.structural_similarity(x, y, data_range=2.0, win_size=side - 1 + side % 2))


@metric("Rule overlap after randomisation", "lower", 0.0, 1.0, "Jaccard index of the neighbors inside both rules")
@checked
def rule_overlap(a: Explanation, b: Explanation) -> float:
    """Do two explanations of one image have the same rule? Points inside both boxes per points inside one of them.

    Over the neighbors of both explanations together, so that a box counts by the points in it, not by its volume, which
    is often infinite; the labels of the rules are not compared. 0 where no point is inside.
    """
    latents = torch.cat([a.neighborhood.latents, b.neighborhood.latents])
    one, other = a.rule.covers(latents), b.rule.covers(latents)
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 0.0


@metric(
    "Exemplar overlap after randomisation", "lower", 0.0, 1.0, "share of exemplars inside the other explanation's rule"
)
@checked
def exemplar_overlap(a: Explanation, b: Explanation) -> float:
    """Would the exemplars of one explanation of an image be exemplars of the other? Share of them inside its rule.

    The mean of both sides' shares, so that their numbers do not matter. The places of the exemplars themselves say
    little: they are chosen to be diverse, in whatever box.

    Returns:
        In [0, 1]; NaN where a side has no exemplars.
    """
    if not len(a.exemplars) or not len(b.exemplars):
        return float("nan")
    shares = (one.rule.covers(other.exemplars.latents).double().mean() for one, other in ((a, b), (b, a)))
    return float(sum(shares) / 2)


def _randomised(
    module: nn.Module, layers: list[tuple[str, list[str]]], generator: torch.Generator
) -> Iterator[tuple[str, nn.Module]]:
    current = module
    for layer, owners in layers:
        current = _copy(current)  # whoever keeps the last one keeps it as it is
        for owner in owners:
            for tensor in _learned(current.get_submodule(owner)):
                places = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
                values = tensor.flatten().clone()  # flattened, a tensor may share its memory in another order
                values[places] = values[places.roll(1)]  # one cycle: no value keeps its place, not even in a short bias
                tensor.copy_(values.view_as(tensor))
        yield layer, current


def _copy(module: nn.Module) -> nn.Module:
    try:
        return deepcopy(module)
    except Exception as error:  # whatever a part of it raises that cannot be copied
        raise BlackBoxError(
            f"got a black box of type {type(module).__name__} that cannot be copied ({type(error).__name__}: {error}); "
            "expected copy.deepcopy(module) to work; remove what it cannot copy, such as the old weight_norm"
        ) from error


def _layers(module: nn.Module, image: Tensor) -> list[tuple[str, list[str]]]:
    """Layers from the output to the input, each with the names of the modules whose parameters are its own."""
    copy = _copy(module)
    called: dict[str, None] = {"": None}

    def note(name: str) -> Any:
        def hook(*_: Any) -> None:
            called.pop(name, None)  # a module called twice has its place where it is called last
            called[name] = None

        return hook

    for name, part in copy.named_modules():
        # Before, not after its forward: what a container owns itself (tokens, positions) enters before its parts.
        part.register_forward_pre_hook(note(name))
    try:
        with evaluating(copy), torch.no_grad():
            copy(as_given(copy, image[None]))
    except Exception as error:
        raise BlackBoxError(
            f"the black box raised {type(error).__name__}: {error}; it was given a float32 tensor of shape "
            f"{(1, *image.shape)} in [0, 1]; try it on such a batch"
        ) from error
    owned: dict[str, list[str]] = {name: [] for name in called}
    for name, part in copy.named_modules():
        if _learned(part):
            owned[_nearest(name, called)].append(name)
    return [(name, owners) for name, owners in reversed(owned.items()) if owners]


def _nearest(name: str, called: dict[str, None]) -> str:
    """The module of this name if it was called, else the nearest one around it that was."""
    while name not in called:
        name = name.rpartition(".")[0]
    return name


def _learned(part: nn.Module) -> list[Tensor]:
    """What a module itself has learned, apart from its submodules."""
    tensors = [p.data for p in part.parameters(recurse=False)]
    statistics = (getattr(part, name, None) for name in ("running_mean", "running_var"))
    return tensors + [t for t in statistics if isinstance(t, Tensor)]


def _pair(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape or a.ndim != 2:
        raise ImageError(
            f"got maps {tuple(a.shape)} and {tuple(b.shape)}; expected two of one shape (H, W), of one image"
        )
    return a.double().numpy(), b.double().numpy()
