"""METHODS: every explainer that answers with a map, under one signature; ours and two controls among them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, Literal, get_args

import torch
from scipy import ndimage
from torch import Tensor

from ..black_boxes.black_box import BlackBox
from ..checking.parameters import Seed, SmallSeed, checked
from ..checking.shapes import Image
from ..errors import BlackBoxError, ParameterError, missing_extra, unknown_name
from ..explanation.explainer import Abele
from ..explanation.explanation import Explanation
from ..explanation.saliency import median_map
from ..models.autoencoder import Autoencoder
from . import gradients, perturbation, superpixels

Family = Literal["latent", "gradient", "perturbation", "superpixel", "control"]
MapFunction = Callable[..., Tensor]
EXTRA = ("captum", "skimage", "torchmetrics")


@dataclass(frozen=True)
class Method:
    """One explainer. Calling it with an image (C, H, W), a black box and a label gives a raw map (H, W) float32.

    Attributes:
        name: its key in ``METHODS``.
        title: its name in print.
        family: what it works with.
        source: where it is described.
        function: ``(image, black_box, target) -> map``, the same map each time; takes ``seed=`` where it draws.
        read: of ABELE's own methods, how the map is read from an explanation: who has one need not explain again.
    """

    name: str
    title: str
    family: Family
    source: str
    function: MapFunction
    read: Callable[[Explanation], Tensor] | None = None

    def __call__(self, image: Tensor, black_box: BlackBox, target: int) -> Tensor:
        """The raw map: higher for pixels that speak more for the target; negative ones speak against it.

        Raises:
            BlackBoxError: the method cannot be used with this black box; the message says why.
            MissingExtraError: the libraries of the extra ``[compare]`` are not installed.
        """
        try:
            values = self.function(image, black_box, target)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in EXTRA:
                raise
            raise missing_extra(error, f"the method {self.name!r}", "compare") from error
        if not bool(torch.isfinite(values).all()):
            raise BlackBoxError(
                f"got NaN or infinite values from the method {self.name!r}; expected finite ones; look whether the "
                "black box's scores or gradients overflow near this image"
            )
        return values

    def seeded(self, seed: int) -> "Method":
        """The same method drawing from another seed; itself where it draws nothing."""
        draws = "seed" in inspect.signature(self.function).parameters
        return replace(self, function=partial(self.function, seed=seed)) if draws else self


class AbeleMaps:
    """ABELE's saliency map as a map function; one explainer is kept for the black box that was queried last.

    Args:
        autoencoder: for images of the black box's kind.
        options: of :class:`~abele_py.explanation.explainer.Abele`.
    """

    @checked
    def __init__(self, autoencoder: Autoencoder, **options: Any) -> None:
        self._autoencoder, self._options = autoencoder, options
        self._asked: BlackBox | None = None
        self._explainer: Abele | None = None

    def explainer(self, black_box: BlackBox) -> Abele:
        """The explainer of this black box, labelled landmarks and all."""
        if self._explainer is None or self._asked is not black_box:
            options = {"batch_size": black_box.batch_size, **self._options}
            self._explainer = Abele(black_box.classifier, self._autoencoder, **options)
            self._asked = black_box
        return self._explainer

    def __call__(
        self,
        image: Tensor,
        black_box: BlackBox,
        target: int,
        read: Callable[[Explanation], Tensor] = attrgetter("saliency"),
    ) -> Tensor:
        """The map of the label that the black box gives, read from an explanation; its target cannot be chosen."""
        return read(self.explainer(black_box).explain(image))


@checked
def random_order(image: Image, black_box: Any, target: int, *, seed: Seed = 0) -> Tensor:
    """A control that knows nothing: noise in [0, 1], the same for images of one shape."""
    return torch.rand(image.shape[1:], generator=torch.Generator().manual_seed(seed))


@checked
def edge_detector(image: Image, black_box: Any, target: int) -> Tensor:
    """A control that knows only the image (Adebayo et al. 2018): the magnitude of Sobel's gradient, >= 0."""
    grey = image.mean(dim=0).numpy()
    return torch.from_numpy(ndimage.generic_gradient_magnitude(grey, ndimage.sobel))


@checked
def methods_of(
    autoencoder: Autoencoder, names: str | Sequence[str] = (), random_state: SmallSeed = 0
) -> dict[str, Method]:
    """The methods of these names in their order, ABELE's among them; all where none is named.

    Args:
        autoencoder: ABELE's.
        names: keys of ``METHODS``, ``"abele"`` or ``"abele-median"``; a single one may stand alone.
        random_state: seed of every method that draws, in [0, 2**32).

    Raises:
        UnknownNameError: a name is not in the table; says the closest one.
        ParameterError: a name comes twice, or an impossible seed.
    """
    if not 0 <= random_state < 2**32:
        raise ParameterError(f"got random_state={random_state}; expected a whole number from 0 to 2**32 - 1")
    names = (names,) if isinstance(names, str) else tuple(names)
    known = {**_abele(autoencoder, random_state), **METHODS}
    for name in names:
        if name not in known:
            raise unknown_name("method", name, known)
    if len(set(names)) < len(names):
        raise ParameterError(f"got the methods {', '.join(names)}; expected each once")
    return {name: known[name].seeded(random_state) for name in names or known}


def families() -> dict[Family, list[str]]:
    """The names of all methods, family by family."""
    rest = {f: [m.name for m in METHODS.values() if m.family == f] for f in get_args(Family)}
    return {**rest, "latent": list(LATENT)}


def grouped(reasons: Mapping[str, str], titles: Mapping[str, str]) -> dict[str, str]:
    """Why methods were left out: what they say, under the titles of all that say the same."""
    groups: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        title = titles[name]
        own = next((n for n in (title, name) if reason.lower().startswith(n.lower())), "")
        groups.setdefault(reason[len(own) :].strip(), []).append(title)
    return {", ".join(titles): reason for reason, titles in groups.items()}


def _abele(autoencoder: Autoencoder, random_state: int) -> dict[str, Method]:
    maps = AbeleMaps(autoencoder, random_state=random_state)
    return {
        name: Method(name, title, "latent", source, partial(maps, read=read), read)
        for name, (title, source, read) in LATENT.items()
    }


def _median(explanation: Explanation) -> Tensor:
    return median_map(explanation.image, explanation.exemplars.images)


# ABELE's own methods, which need an autoencoder: title, source, and how the map is read from a default explanation.
LATENT: dict[str, tuple[str, str, Callable[[Explanation], Tensor]]] = {
    "abele": ("ABELE", "Guidotti et al. 2019, arXiv 2002.03746, with our mosaic map", attrgetter("saliency")),
    "abele-median": ("ABELE, median", "Guidotti et al. 2019, arXiv 2002.03746, section 4.3", _median),
}

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("saliency", "Gradient", "gradient", "Simonyan et al. 2014, arXiv 1312.6034", gradients.saliency),
        Method(
            "gradient-x-input",
            "Gradient x input",
            "gradient",
            "Shrikumar et al. 2016, arXiv 1605.01713",
            gradients.gradient_x_input,
        ),
        Method(
            "integrated-gradients",
            "Integrated gradients",
            "gradient",
            "Sundararajan et al. 2017, arXiv 1703.01365",
            gradients.integrated_gradients,
        ),
        Method("smoothgrad", "SmoothGrad", "gradient", "Smilkov et al. 2017, arXiv 1706.03825", gradients.smoothgrad),
        Method(
            "guided-backprop",
            "Guided backprop",
            "gradient",
            "Springenberg et al. 2015, arXiv 1412.6806",
            gradients.guided_backprop,
        ),
        Method("lrp", "Epsilon-LRP", "gradient", "Bach et al. 2015, PLoS ONE 10(7)", gradients.epsilon_lrp),
        Method("deeplift", "DeepLIFT", "gradient", "Shrikumar et al. 2017, arXiv 1704.02685", gradients.deeplift),
        Method("grad-cam", "Grad-CAM", "gradient", "Selvaraju et al. 2017, arXiv 1610.02391", gradients.grad_cam),
        Method(
            "guided-grad-cam",
            "Guided Grad-CAM",
            "gradient",
            "Selvaraju et al. 2017, arXiv 1610.02391",
            gradients.guided_grad_cam,
        ),
        Method(
            "occlusion",
            "Occlusion",
            "perturbation",
            "Zeiler & Fergus 2014, arXiv 1311.2901",
            perturbation.occlusion,
        ),
        Method(
            "meaningful-perturbation",
            "Meaningful perturbation",
            "perturbation",
            "Fong & Vedaldi 2017, arXiv 1704.03296",
            perturbation.meaningful_perturbation,
        ),
        Method("rise", "RISE", "perturbation", "Petsiuk et al. 2018, arXiv 1806.07421", perturbation.rise),
        Method("lime", "LIME", "superpixel", "Ribeiro et al. 2016, arXiv 1602.04938", superpixels.lime),
        Method(
            "kernel-shap",
            "KernelSHAP",
            "superpixel",
            "Lundberg & Lee 2017, arXiv 1705.07874",
            superpixels.kernel_shap,
        ),
        Method("anchor", "ANCHOR", "superpixel", "Ribeiro et al. 2018, AAAI", superpixels.anchor),
        Method("lore", "LORE", "superpixel", "Guidotti et al. 2018, arXiv 1805.10820", superpixels.lore),
        Method("random-order", "Random order", "control", "a control", random_order),
        Method("edge-detector", "Edge detector", "control", "a control: Adebayo et al. 2018", edge_detector),
    )
}
