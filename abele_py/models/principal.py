"""Principal components of images: the best linear autoencoder, where training begins, and which is its floor."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..checking.parameters import Count, SmallSeed, checked
from ..datasets.records import to_unit

_VALUES = 2 * 10**8  # of all images that are looked at: 0.8 GB
_IMAGES = 5000
_LEAST = 1e-6  # of the largest variance: directions with less are rounding


@dataclass(frozen=True)
class PrincipalComponents:
    """The directions in which images vary most (Pearson 1901; Hotelling 1933).

    Attributes:
        mean: (D,) float32, of the flattened images in [0, 1].
        directions: (Q, D) float32, orthonormal rows, the one of the largest variance first.
        variances: (Q,) float32, positive, descending.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor

    def __len__(self) -> int:
        return len(self.variances)

    def coordinates(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, Q)."""
        return (images.flatten(1) - self.mean) @ self.directions.T

    def images(self, coordinates: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """(N, k <= Q) coordinates -> (N, C, H, W) in [0, 1]: what the first k components draw."""
        drawn = self.mean + coordinates @ self.directions[: coordinates.shape[1]]
        return drawn.clamp(0, 1).unflatten(1, shape)


@checked
def principal_components(images: Tensor, n: Count, seed: SmallSeed = 0) -> PrincipalComponents:
    """At most n components of images, uint8 (N, C, H, W): fewer of few or plain images.

    Found by scikit-learn, for many pixels by its randomised method (Halko et al. 2011). Of many or large images a
    random part is looked at, so that memory is bounded.
    """
    from sklearn.decomposition import PCA  # takes a second to import

    most = max(2, min(_IMAGES, _VALUES // images[0].numel()))
    rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:most]
    flat = to_unit(images[rows.to(images.device)]).flatten(1).cpu().numpy()
    largest = min(n, len(flat) - 1, flat.shape[1])
    if largest < 1:
        return PrincipalComponents(torch.from_numpy(flat.mean(axis=0)), torch.zeros(0, flat.shape[1]), torch.zeros(0))
    solver = "randomized" if 4 * largest < min(flat.shape) else "full"
    found = PCA(largest, svd_solver=solver, iterated_power=4, random_state=seed).fit(flat)
    variances = torch.from_numpy(found.explained_variance_).float()
    some = variances > _LEAST * variances[:1].clamp(min=_LEAST)
    mean, directions = (torch.from_numpy(part).float() for part in (found.mean_, found.components_))
    return PrincipalComponents(mean, directions[some], variances[some])
