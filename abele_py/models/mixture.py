"""A Gaussian mixture of an autoencoder's codes: where in the latent space the codes of real images lie.

Fitted after training ("ex-post density estimation": Ghosh et al. 2020, From variational to deterministic autoencoders,
arXiv 1903.12436). The prior is what the codes should look like, the mixture what they do look like: a source of
plausible points, and a second plausibility score beside the discriminator.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from ..batching import padded
from ..checking.parameters import Axes, Count, SmallSeed, checked
from ..errors import ParameterError

# Chosen on codes of MNIST (k = 16): with a tenth of the tolerance it takes twice as long, with half the codes the
# validation codes are less likely.
N_CODES = 20_000
COMPONENTS = (1, 5, 10, 20, 40, 80)
TOLERANCE = 1e-2
REGULARISATION = 1e-3  # of the variances; codes have variance 1
N_QUANTILES = 101


@dataclass(frozen=True)
class Mixture:
    """A mixture of M normal distributions on k latent coordinates, and how dense it is at the codes of unseen images.

    Attributes:
        weights: (M,) float64, positive, of sum 1.
        means: (M, k) float64.
        factors: (M, k, k) float64, lower Cholesky factors of the covariances.
        quantiles: (Q,) float64, ascending: the quantiles at 0, 1 / (Q - 1), ... 1 of the log densities of validation
            codes; the scale of ``typicality``.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor
    quantiles: Tensor

    def log_density(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) float64. A row's result does not depend on the other rows."""
        return padded(self._log_density, latents)

    def typicality(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) float32 in [0, 1]: share of the validation codes that are no more likely than the point.

        Uniform on [0, 1] for codes of images like those of validation; near 0 where hardly a real image lies.
        """
        densities, q = self.log_density(latents), self.quantiles
        upper = torch.searchsorted(q, densities, right=True).clamp(1, len(q) - 1)
        lower = upper - 1
        # right=True finds q[lower] < q[upper] but at the upper end, where equal quantiles mean a share of 1
        width = torch.where(q[upper] > q[lower], q[upper] - q[lower], 1.0)
        share = ((densities - q[lower]) / width).clamp(0, 1)
        share = torch.where(densities >= q[-1], 1.0, share)
        return ((lower + share) / (len(q) - 1)).float()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent samples, (n, k) float32, on the generator's device."""
        weights, means, factors = (t.to(generator.device) for t in (self.weights, self.means, self.factors))
        bounds = weights.cumsum(0)
        uniform = torch.rand(n, dtype=torch.float64, device=generator.device, generator=generator) * bounds[-1]
        component = torch.searchsorted(bounds, uniform, right=True).clamp(max=len(bounds) - 1)
        noise = torch.randn(n, means.shape[1], dtype=torch.float64, device=generator.device, generator=generator)
        return (means[component] + (factors[component] * noise[:, None]).sum(dim=2)).float()

    def _log_density(self, latents: Tensor) -> Tensor:
        # Coordinate by coordinate, component by component: sums whose order no kernel chooses.
        rest = latents.double().T[:, :, None] - self.means.T[:, None]  # (k, N, M)
        k, columns = len(rest), self.factors.permute(2, 1, 0)[:, :, None]  # (k, k, 1, M)
        squares = torch.zeros_like(rest[0])
        for i in range(k):  # forward substitution: what coordinate i explains is taken off all later ones
            whitened = rest[i] / columns[i, i]
            squares = squares + whitened * whitened
            rest[i + 1 :] -= columns[i, i + 1 :] * whitened
        scale = self.factors.diagonal(dim1=1, dim2=2).log().sum(dim=1) + 0.5 * k * math.log(2 * math.pi)
        logs = self.weights.log() - scale - 0.5 * squares  # (N, M)
        top = logs.amax(dim=1)
        total = torch.zeros_like(top)
        for part in (logs - top[:, None]).exp().unbind(dim=1):
            total = total + part
        return top + total.log()


@checked
def fit_mixture(
    train_codes: Annotated[Tensor, Axes("N k")],
    val_codes: Annotated[Tensor, Axes("V k")],
    seed: SmallSeed = 0,
    components: Sequence[Count] = COMPONENTS,
) -> Mixture:
    """Fit mixtures of more and more components, until the validation codes become less likely; the likeliest is taken.

    Expectation maximisation with full covariances, by scikit-learn. A component needs codes to be fitted to: a size
    for which there are no k + 1 each is left out, but for one component.

    Args:
        train_codes: (N, k); a random sample of N_CODES of them is used where there are more.
        val_codes: (V, k) codes of images that were not trained on; as ``train_codes``.
        seed: of the samples and of the fit.
        components: numbers of components to try.

    Raises:
        ParameterError: fewer than two codes, another k, values that are not finite, or no size to try.
    """
    from sklearn.exceptions import ConvergenceWarning  # takes seconds to import
    from sklearn.mixture import GaussianMixture

    shapes = tuple(train_codes.shape), tuple(val_codes.shape)
    if not (train_codes.ndim == val_codes.ndim == 2 and shapes[0][1] == shapes[1][1] >= 1 and min(shapes)[0] >= 2):
        raise ParameterError(f"got codes of shapes {shapes[0]} and {shapes[1]}; expected (N >= 2, k) and (V >= 2, k)")
    train, val = (_some(codes, seed).double().cpu() for codes in (train_codes, val_codes))
    if not bool(train.isfinite().all() and val.isfinite().all()):
        raise ParameterError("got codes with NaN or infinity; expected finite values; check the autoencoder")
    most = max(1, len(train) // (train.shape[1] + 1))
    sizes = [n for n in components if 1 <= n <= most]
    if not sizes or min(components) < 1:
        raise ParameterError(
            f"got components={components} for {len(train)} codes; expected whole numbers of at least 1, some of at "
            f"most {most}"
        )
    fits: list[tuple[float, GaussianMixture]] = []
    for n in sorted(sizes):
        found = GaussianMixture(n, reg_covar=REGULARISATION, tol=TOLERANCE, random_state=seed)
        with warnings.catch_warnings():
            # an early end of the fit, or fewer different codes than components, only makes a size lose
            warnings.simplefilter("ignore", ConvergenceWarning)
            found.fit(train.numpy())
        fits.append((float(found.score(val.numpy())), found))
        if len(fits) > 1 and fits[-1][0] < fits[-2][0]:
            break  # more would be fitted more closely to the training codes alone, and take longer each
    _, best = max(fits, key=lambda fit: fit[0])
    parts = (best.weights_, best.means_, best.covariances_)
    weights, means, covariances = (torch.from_numpy(part).double() for part in parts)
    mixture = Mixture(weights, means, torch.linalg.cholesky(covariances), torch.zeros(2, dtype=torch.float64))
    shares = torch.linspace(0, 1, N_QUANTILES, dtype=torch.float64)
    return replace(mixture, quantiles=torch.quantile(mixture.log_density(val), shares))


def _some(codes: Tensor, seed: int) -> Tensor:
    """At most N_CODES of the rows, chosen at random."""
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    return codes.detach()[order[:N_CODES].to(codes.device)]
