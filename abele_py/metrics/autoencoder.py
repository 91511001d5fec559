"""Is an autoencoder good enough to explain with? Reconstruction, labels kept, codes against the prior.

Every metric is of many images or codes at once, and comes from unseen images: the caller chooses them.
"""

import copy
import math

import torch
from scipy import special
from torch import Tensor, nn

from ..checking.parameters import Count, Positive, checked
from ..checking.shapes import Images, Rows, Values
from ..errors import ParameterError, missing_extra
from .base import metric


@metric(
    "RMSE (of 255)",
    "lower",
    0.0,
    255.0,
    "root mean squared error of a pixel",
    "root of the mean squared error of a pixel of the reconstructions, in 0..255",
)
@checked
def rmse(images: Images, reconstructions: Images) -> float:
    """Root mean squared error of a pixel, in 0..255. Both (N, C, H, W) in [0, 1].

    Raises:
        ParameterError: the shapes differ.
    """
    _same_shape("reconstructions", reconstructions, images)
    return float(255 * (reconstructions - images).square().mean().sqrt())


@metric(
    "Label preservation",
    "higher",
    0.0,
    1.0,
    "Guidotti et al. 2019, ABELE: b(x) against b(G(E(x)))",
    "share of test images for which the black box predicts the same label after encoding and decoding; 1 at best",
)
@checked
def label_preservation(labels: Values, labels_again: Values) -> float:
    """Share of images whose reconstruction gets the image's label. Both (N,) int64, answers of one black box.

    Raises:
        ParameterError: the shapes differ.
    """
    _same_shape("labels_again", labels_again, labels)
    return float((labels == labels_again).float().mean())


@metric(
    "Label preservation, each label alike",
    "higher",
    0.0,
    1.0,
    "balanced accuracy: Brodersen et al. 2010, ICPR",
    "the same share for each label that the black box predicts, then their mean: no frequent label hides a lost one",
)
@checked
def label_preservation_balanced(labels: Values, labels_again: Values) -> float:
    """Mean over the labels of :func:`label_preservation` of the images that have the label. Both (N,) int64.

    Raises:
        ParameterError: the shapes differ.
    """
    _same_shape("labels_again", labels_again, labels)
    return balanced_mean((labels == labels_again).double(), labels)[0]


@checked
def balanced_mean(values: Values, labels: Values) -> tuple[float, float]:
    """Mean over the labels (N,) of the mean of the values (N,) that have the label, and the standard error of that.

    Raises:
        ParameterError: the shapes differ.
    """
    _same_shape("labels", labels, values)
    parts = [values[labels == label].double() for label in labels.unique()]
    variance = sum(float(part.var(correction=0)) / len(part) for part in parts)
    return float(torch.stack([part.mean() for part in parts]).mean()), math.sqrt(variance) / len(parts)


@metric("Discriminator's mean (0.5: balance)", "neither", 0.0, 1.0, "Makhzani et al. 2015, section 2")
@checked
def discriminator_mean(answers: Values) -> float:
    """Mean of the discriminator's answers (N,), each the probability that a point is a sample of the prior.

    0.5 on codes *and* on samples of the prior where it cannot tell them apart; 0 on codes and 1 on the prior where it
    always can.
    """
    return float(answers.mean())


@metric("Discriminator's gap", "lower", 0.0, 1.0, "Makhzani et al. 2015, section 2")
@checked
def discriminator_balance(on_codes: Values, on_prior: Values) -> float:
    """Distance between the discriminator's mean answers on codes (N,) and on samples of the prior (M,).

    0 where it cannot tell them apart (balance), 1 where it always can.
    """
    return abs(discriminator_mean(on_prior) - discriminator_mean(on_codes))


@metric(
    "Valid codes",
    "higher",
    0.0,
    1.0,
    "share of codes at or above the validity threshold",
    "share of test codes at or above the validity threshold, which accepts 95 % of the `val` codes",
)
@checked
def valid_share(answers: Values, threshold: float) -> float:
    """Share of the discriminator's answers (N,) that are at least the validity threshold."""
    return float((answers.double() >= threshold).float().mean())


@metric(
    "Mardia's kurtosis (1: normal)",
    "neither",
    0.0,
    float("inf"),
    "Mardia 1970, Biometrika 57(3)",
    "Mardia's multivariate kurtosis of the codes over k (k + 2); 1 for a normal distribution",
)
@checked
def mardia_kurtosis(latents: Rows) -> float:
    """Mardia's multivariate kurtosis of codes (N, k) over k (k + 2): 1 for a normal distribution, less for light tails.

    The mean of the fourth power of the Mahalanobis distance, of the sample's own mean and covariance.
    """
    k = latents.shape[1]
    return float(_standardised(latents).square().sum(dim=1).square().mean() / (k * (k + 2)))


@metric("Mardia's skewness (0: symmetric)", "lower", 0.0, float("inf"), "Mardia 1970, Biometrika 57(3)")
@checked
def mardia_skewness(latents: Rows) -> float:
    """Mardia's multivariate skewness of codes (N, k): the mean over all pairs of ``(y_i . y_j)^3``, y standardised.

    0 for a symmetric distribution; about k (k + 1) (k + 2) / N on a sample of a normal one. The sum over pairs is the
    squared norm of the third moments, which needs k^3 numbers instead of N^2.
    """
    y = _standardised(latents)
    pairs = (y[:, :, None] * y[:, None, :]).flatten(1)
    return float((pairs.T @ y / len(y)).square().sum())


@checked
def ks_per_axis(latents: Rows) -> Tensor:
    """Kolmogorov-Smirnov statistic of each coordinate of codes (N, k) against N(0, 1): (k,) float64 in [0, 1].

    The largest distance between the two distribution functions (Massey 1951, JASA 46).
    """
    n = len(latents)
    cumulative = torch.from_numpy(special.ndtr(latents.double().sort(dim=0).values.numpy()))
    steps = torch.arange(n + 1, dtype=torch.float64)[:, None] / n
    return torch.maximum(steps[1:] - cumulative, cumulative - steps[:-1]).amax(dim=0)


@metric("Kolmogorov-Smirnov, mean", "lower", 0.0, 1.0, "Massey 1951, JASA 46; mean over coordinates")
@checked
def ks_mean(latents: Rows) -> float:
    """Mean of :func:`ks_per_axis` of codes (N, k)."""
    return float(ks_per_axis(latents).mean())


@metric("Kolmogorov-Smirnov, worst", "lower", 0.0, 1.0, "Massey 1951, JASA 46; largest of all coordinates")
@checked
def ks_max(latents: Rows) -> float:
    """Largest of :func:`ks_per_axis` of codes (N, k): the coordinate that is farthest from N(0, 1)."""
    return float(ks_per_axis(latents).max())


@metric("MMD squared", "lower", -2.0, 2.0, "Gretton et al. 2012, JMLR 13, eq. 3")
@checked
def mmd(latents: Rows, prior: Rows, bandwidth: Positive | None = None, block: Count = 256) -> float:
    """Squared maximum mean discrepancy between codes (N, k) and samples of the prior (M, k), unbiased.

    The kernel is ``exp(-|x - y|^2 / (2 bandwidth^2))``. The expectation is 0 where both have one distribution, so that
    small negative values occur. Memory holds ``block`` x max(N, M) distances, whatever N and M.

    Args:
        latents: codes.
        prior: as many samples of N(0, I), or more.
        bandwidth: None takes the median distance between different points of both samples together (Gretton et al.
            2012, section 8), of their first 1,000 rows each.
        block: rows compared at a time.

    Raises:
        ParameterError: fewer than two points in a sample, another k, or a bandwidth that is not positive.
    """
    if latents.ndim != 2 or min(len(latents), len(prior)) < 2 or latents.shape[1:] != prior.shape[1:]:
        raise ParameterError(
            f"got samples of shapes {tuple(latents.shape)} and {tuple(prior.shape)}; expected (N, k) and (M, k) of at "
            "least two points each; draw the prior with latents.shape"
        )
    x, y = latents.double(), prior.double()
    width = _median_distance(torch.cat([x[:1000], y[:1000]])) if bandwidth is None else bandwidth
    if width <= 0:
        raise ParameterError(f"got bandwidth={width}; expected a positive number; None takes the median distance")

    def kernel_sum(a: Tensor, b: Tensor) -> float:
        blocks = (_distances(part, b).square().div_(-2 * width**2).exp_().sum() for part in a.split(block))
        return float(torch.stack(list(blocks)).sum())

    n, m = len(x), len(y)  # the diagonals, n and m ones, are what the biased estimator has too much
    within = (kernel_sum(x, x) - n) / (n * (n - 1)) + (kernel_sum(y, y) - m) / (m * (m - 1))
    return within - 2 * kernel_sum(x, y) / (n * m)


@metric("FID (features of a stated classifier)", "lower", 0.0, float("inf"), "Heusel et al. 2017, eq. 6")
@checked
def fid(real: Images, generated: Images, classifier: nn.Module) -> float:
    """Frechet distance between the features that a classifier has of real and of generated images.

    NOT THE INCEPTION FID. Values compare only within one classifier: never with published FIDs, never across
    classifiers (state which one). They fall with the number of images (Chong & Forsyth 2020): compare equal numbers.

    Args:
        real: (N, C, H, W) in [0, 1].
        generated: (M, C, H, W) in [0, 1]; samples of the prior, or reconstructions, decoded.
        classifier: see :func:`features`; best one that neither trained nor judged the autoencoder.

    Raises:
        ParameterError: fewer than two images, or a classifier without a linear layer.
        MissingExtraError: torchmetrics is not installed.
    """
    return frechet_distance(features(classifier, real), features(classifier, generated))


@checked
def features(classifier: nn.Module, images: Images, batch_size: Count = 256) -> Tensor:
    """What the last linear layer of a classifier is given for images (N, C, H, W) in [0, 1]: (N, F) float64.

    A copy of the classifier is asked, in evaluation mode: the classifier itself stays as it is.

    Raises:
        ParameterError: it calls no linear layer, or not once for each image.
    """
    network = copy.deepcopy(classifier).eval()
    given: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda _, inputs, __: given.append(inputs[0].detach()))
    parameter = next(network.parameters(), torch.zeros(0))
    found = []
    with torch.no_grad():
        for batch in images.split(batch_size):
            given.clear()
            network(batch.to(parameter.device))
            if not given or given[-1].ndim != 2 or len(given[-1]) != len(batch):
                raise ParameterError(
                    f"got a classifier ({type(classifier).__name__}) whose last linear layer is not given one row of "
                    "features an image; expected a network that ends in nn.Linear; or compute features in another way "
                    "and call frechet_distance"
                )
            found.append(given[-1].double().cpu())
    return torch.cat(found)


@checked
def frechet_distance(real: Rows, generated: Rows) -> float:
    """Squared Frechet distance between normal distributions fitted to features (N, F) and (M, F) (Heusel et al. 2017).

    ``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))``, computed by torchmetrics.

    Raises:
        ParameterError: fewer than two rows, or another F.
        MissingExtraError: torchmetrics is not installed.
    """
    if real.ndim != 2 or real.shape[1:] != generated.shape[1:] or min(len(real), len(generated)) < 2:
        raise ParameterError(
            f"got features of shapes {tuple(real.shape)} and {tuple(generated.shape)}; expected (N, F) and (M, F) of "
            "at least two images each; a covariance of fewer does not exist"
        )
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
    except ModuleNotFoundError as error:
        raise missing_extra(error, "the Frechet distance", "compare") from error
    as_they_are = nn.Identity()
    as_they_are.register_buffer("num_features", torch.tensor(real.shape[1]))
    distance = FrechetInceptionDistance(feature=as_they_are)
    distance.update(real.double(), real=True)
    distance.update(generated.double(), real=False)
    return max(0.0, float(distance.compute()))  # rounding puts equal features just below 0


def _standardised(latents: Tensor) -> Tensor:
    """Codes of mean 0 and covariance I, (N, k) float64; directions in which they do not vary become 0."""
    centred = latents.double() - latents.double().mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    some = values > values.max() * len(values) * torch.finfo(torch.float64).eps
    return centred @ vectors * torch.where(some, values.abs().rsqrt(), 0.0)


def _median_distance(points: Tensor) -> float:
    """Median distance of all pairs of different points; 1 where there are none."""
    distances = torch.pdist(points)
    distances = distances[distances > 0]
    return float(distances.median()) if len(distances) else 1.0


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # The fast way by a matrix product rounds small distances away from 0.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _same_shape(name: str, value: Tensor, other: Tensor) -> None:
    if value.shape != other.shape:
        raise ParameterError(
            f"got {name} of shape {tuple(value.shape)}; expected {tuple(other.shape)}; both must be of the same images"
        )
