"""Are counter-exemplars valid, near, plausible, diverse? Figures on the M counter-exemplars of one image.

Each is the mean over them, nan where there are none (M = 0), so that a method is not praised for finding nothing: read
every figure beside availability, and beside the same figure of real images (``nearest_unlike``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from sklearn.neighbors import LocalOutlierFactor
from torch import Tensor

from ..black_boxes.black_box import BlackBox
from ..checking.parameters import Count, Label, checked
from ..checking.shapes import Image, Images, Rows, Values, Vector
from ..errors import ParameterError
from .base import metric
from .class_autoencoders import ClassAutoencoders

CHANGED = 0.1  # of the range of a pixel: less is hardly seen
EPSILON = 1e-8  # keeps a denominator from 0


@metric("Validity", "higher", 0.0, 1.0, "Guidotti 2022, Counterfactual explanations and how to find them")
@checked
def validity(black_box: BlackBox, counters: Images, labels: Values) -> float:
    """Share of counter-exemplars (M, C, H, W) that the black box, asked again, gives the claimed labels (M,)."""
    return _mean(black_box(counters).labels == labels)


@metric("Oracle agreement", "higher", 0.0, 1.0, "Hvilshøj et al. 2021, arXiv 2111.00177, Oracle score")
@checked
def oracle_agreement(oracle: BlackBox, counters: Images, labels: Values) -> float:
    """Share of counter-exemplars (M, C, H, W) that a second classifier, trained apart, gives the claimed labels (M,).

    Adversarial noise, which changes what one classifier says and nothing a person sees, has validity but not this.
    """
    return _mean(oracle(counters).labels == labels)


@metric("Availability", "higher", 0.0, 1.0, "share of images with at least one counter-exemplar")
@checked
def availability(labels: Values) -> float:
    """1 where there is a counter-exemplar, else 0; from their labels (M,)."""
    return float(len(labels) > 0)


@metric("Availability per class", "higher", 0.0, 1.0, "share of pairs of image and other class with a counter-exemplar")
@checked
def availability_per_class(labels: Values, n_classes: Count) -> float:
    """How many of the K - 1 other classes have a counter-exemplar: from their labels (M,), none of them the image's."""
    return len(labels.unique()) / (n_classes - 1)


@metric("Proximity L1", "lower", 0.0, 1.0, "Wachter, Mittelstadt & Russell 2018, per pixel")
@checked
def proximity_l1(x: Image, counters: Images) -> float:
    """Mean absolute difference per pixel between the image (C, H, W) and counter-exemplars (M, C, H, W)."""
    return _mean((counters - x).abs().flatten(1).mean(dim=1))


@metric("Proximity L2", "lower", 0.0, 1.0, "root mean squared difference per pixel")
@checked
def proximity_l2(x: Image, counters: Images) -> float:
    """Root mean squared difference per pixel between the image (C, H, W) and each of (M, C, H, W), averaged."""
    return _mean((counters - x).square().flatten(1).mean(dim=1).sqrt())


@metric("Latent distance", "lower", 0.0, math.inf, "Euclidean distance between latent codes")
@checked
def latent_distance(latent: Vector, latents: Rows) -> float:
    """Mean Euclidean distance from the image's code (k,) to those of the counter-exemplars (M, k)."""
    return _mean((latents - latent).norm(dim=1))


@metric("Changed pixels", "lower", 0.0, 1.0, "share of pixels changed by more than 0.1 of their range")
@checked
def sparsity(x: Image, counters: Images) -> float:
    """Share of the H * W pixels that differ by more than 0.1 in some channel: (C, H, W) against (M, C, H, W)."""
    return _mean(((counters - x).abs() > CHANGED).any(dim=1).flatten(1).float().mean(dim=1))


@metric("Diversity", "higher", 0.0, 1.0, "Mothilal, Sharma & Tan 2020, as root mean squared difference")
@checked
def diversity(counters: Images) -> float:
    """Mean over pairs of counter-exemplars (M, C, H, W) of their root mean squared difference; nan for M < 2."""
    rows = counters.flatten(1).double()
    a, b = torch.triu_indices(len(rows), len(rows), offset=1)
    return _mean((rows[a] - rows[b]).square().mean(dim=1).sqrt())


@metric("IM1", "lower", 0.0, math.inf, "Van Looveren & Klaise 2019, arXiv 1907.02584")
@checked
def im1(autoencoders: ClassAutoencoders, counters: Images, labels: Values, label: Label) -> float:
    """Is a counter-exemplar x' more like the class t it claims than like the image's own class y? Then it is below 1.

    IM1 = ||x' - AE_t(x')||^2 / (||x' - AE_y(x')||^2 + 1e-8), where AE_c learned to copy images of class c alone.

    Args:
        autoencoders: AE_c.
        counters: (M, C, H, W) in [0, 1].
        labels: (M,) int64, t of each.
        label: y.

    Raises:
        ParameterError: a label that the autoencoders do not know.
    """
    claimed = _squares(counters - _reconstructed(autoencoders, counters, labels))
    own = _squares(counters - autoencoders.reconstruct(counters, label))
    return _mean(claimed / (own + EPSILON))


@metric("IM2", "lower", 0.0, math.inf, "Van Looveren & Klaise 2019, arXiv 1907.02584")
@checked
def im2(autoencoders: ClassAutoencoders, counters: Images, labels: Values) -> float:
    """Do an autoencoder of the claimed class t and one of all classes agree on a counter-exemplar x'? Then it is low.

    IM2 = ||AE_t(x') - AE(x')||^2 / (||x'||_1 + 1e-8). The paper prints ten times this. Arguments as for ``im1``.
    """
    claimed = _reconstructed(autoencoders, counters, labels)
    difference = _squares(claimed - autoencoders.reconstruct(counters, None))
    return _mean(difference / (counters.abs().flatten(1).double().sum(dim=1) + EPSILON))


@dataclass(frozen=True)
class Plausibility:
    """Real images of each class, against which ``plausibility`` judges.

    Attributes:
        detectors: label -> local outlier factor fitted on that class's flattened images.
    """

    detectors: Mapping[int, LocalOutlierFactor]

    @classmethod
    @checked
    def fit(cls, images: Images, labels: Values, per_class: Count = 1000, neighbors: Count = 20) -> "Plausibility":
        """Fit one detector per class.

        Args:
            images: (N, C, H, W) float32 in [0, 1], real ones that no counter-exemplar was made of.
            labels: (N,) int64.
            per_class: the first so many images of each class are used; more only take longer.
            neighbors: of a point, that its density is compared with; fewer in a class of fewer images.

        Raises:
            ParameterError: a class has one image only, or a number is too small.
        """
        if per_class < 2 or neighbors < 1:
            raise ParameterError(
                f"got per_class={per_class}, neighbors={neighbors}; expected at least 2 and 1; 1000 and 20 do well"
            )
        detectors = {}
        for label in labels.unique().tolist():
            rows = images[labels == label][:per_class].flatten(1).numpy()
            if len(rows) < 2:
                raise ParameterError(
                    f"got 1 image of the class {label}; expected at least 2, to know how far apart its images are; "
                    "give more images or leave out that class"
                )
            detector = LocalOutlierFactor(n_neighbors=min(neighbors, len(rows) - 1), novelty=True, algorithm="brute")
            detectors[label] = detector.fit(rows)
        return cls(detectors)

    def outlier_factors(self, images: Tensor, label: int) -> Tensor:
        """Local outlier factors of images (N, C, H, W) among the real images of a class: (N,) float32, above 0.

        Raises:
            ParameterError: no images of that class were given to :meth:`fit`.
        """
        if label not in self.detectors:
            raise ParameterError(
                f"got the label {label}; expected one of {sorted(self.detectors)}; fit on images of every class"
            )
        scores = self.detectors[label].score_samples(images.flatten(1).numpy()) if len(images) else []
        return -torch.as_tensor(scores, dtype=torch.float32)


@metric("Local outlier factor", "lower", 0.0, math.inf, "Breunig et al. 2000, among real images of the claimed class")
@checked
def plausibility(real: Plausibility, counters: Images, labels: Values) -> float:
    """Local outlier factor of counter-exemplars (M, C, H, W) among real images of the classes (M,) they claim.

    About 1 where an image lies as densely among real ones as they do among themselves; larger for an outlier.

    Raises:
        ParameterError: a class of which no real images are known.
    """
    factors = [real.outlier_factors(counters[labels == label], label) for label in labels.unique().tolist()]
    return _mean(torch.cat([torch.zeros(0), *factors]))


@checked
def nearest_unlike(x: Image, labels: Values, images: Images, label: Label) -> Tensor:
    """The nearest unlike neighbors: for each other label the row of the nearest real image that has it.

    What any counter-exemplar competes with: valid, plausible and there to be found, but seldom near.

    Args:
        x: (C, H, W), the image.
        labels: (N,) int64, what the black box says of the real images.
        images: (N, C, H, W).
        label: of x.

    Returns:
        (R,) int64, in the order of the labels; one row for each label other than ``label`` that occurs.
    """
    distances = (images - x).flatten(1).norm(dim=1)
    others = [other for other in labels.unique().tolist() if other != label]
    nearest = [int(distances.where(labels == other, torch.inf).argmin()) for other in others]
    return torch.tensor(nearest, dtype=torch.int64)


def _reconstructed(autoencoders: ClassAutoencoders, images: Tensor, labels: Tensor) -> Tensor:
    """Each image by the autoencoder of its own label."""
    result = torch.empty_like(images)
    for label in labels.unique().tolist():
        result[labels == label] = autoencoders.reconstruct(images[labels == label], label)
    return result


def _squares(images: Tensor) -> Tensor:
    return images.flatten(1).double().square().sum(dim=1)


def _mean(values: Tensor) -> float:
    return float(values.double().mean()) if len(values) else math.nan
