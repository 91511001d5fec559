"""Saliency: from an image and its many exemplars of both kinds to a signed map and its contiguous areas.

Maps are (H, W) in [-1, 1]; 0 is neutral: where all exemplars equal the image, every map is 0.
"""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def contrast_map(image: Tensor, images: Tensor, evidence: Tensor, same: Tensor) -> Tensor:
    """Positive where the image's pixel is evidence for its label.

    For each pixel the covariance, over the neighbors, of its value with the evidence for the label, times the image's
    own distance from the neighbors of other labels: ``cov(p, evidence) (x(p) - mean of the others)``. Where more light
    goes with more evidence and the image is brighter than the others, or both the other way round, the pixel speaks
    for the label: strokes that are there, and gaps that stay empty.

    Args:
        image: (C, H, W) in [0, 1].
        images: (N, C, H, W), its neighbors, exemplars of its label and of others.
        evidence: (N,) for the image's label: its score, or 1 where the label is the same and else 0.
        same: (N,) bool, the neighbors with the image's label.

    Returns:
        (H, W) float32 in [-1, 1], the mean over channels; all 0 where the neighbors have one label.
    """
    if bool(same.all()) or not bool(same.any()):
        return torch.zeros(image.shape[1:])
    pixels = images.flatten(1)
    covariance = (evidence - evidence.mean()) @ (pixels - pixels.mean(dim=0)) / len(images)
    contrast = covariance * (image.flatten() - pixels[~same].mean(dim=0))
    return _scaled(contrast.reshape(image.shape).mean(dim=0))


def median_map(image: Tensor, exemplars: Tensor, neutral: float = 0.05) -> Tensor:
    """The paper's map (Guidotti et al. 2019, section 4.3): ``median over the exemplars of (x - exemplar)``.

    What differs can vary while the label stays. Unlike the published code it is not rescaled, which would move 0.

    Args:
        image: (C, H, W) in [0, 1].
        exemplars: (N, C, H, W), images with its label.
        neutral: smaller differences, in units of the pixel range, become 0.

    Returns:
        (H, W) float32 in [-1, 1], the mean over channels; all 0 without exemplars.
    """
    if len(exemplars) == 0:
        return torch.zeros(image.shape[1:])
    difference = (image - exemplars).median(dim=0).values.mean(dim=0)
    return torch.where(difference.abs() < neutral, 0.0, difference)


def change_map(reconstruction: Tensor, counter_exemplars: Tensor) -> Tensor:
    """What must change for another label: positive where it must become brighter, negative where darker.

    Args:
        reconstruction: (C, H, W), the decoded code of the image, so that errors of reconstruction do not count.
        counter_exemplars: (M, C, H, W).

    Returns:
        (M, H, W) float32 in [-1, 1], in units of the pixel range; the mean over channels.
    """
    return (counter_exemplars - reconstruction).mean(dim=1)


def contiguous_areas(saliency: Tensor, low: float = 0.15, high: float = 0.4, min_pixels: int = 4) -> Tensor:
    """The map with everything but its marked areas set to 0.

    Areas are connected pixels (8 neighbors) of one sign above ``low`` times the largest absolute value, that contain a
    pixel above ``high`` times it (hysteresis, Canny 1986) and have at least ``min_pixels`` pixels.

    Args:
        saliency: (H, W) in [-1, 1].

    Returns:
        (H, W) float32: the map inside the areas, 0 outside.
    """
    values = saliency.numpy()
    top = np.abs(values).max()
    keep = np.zeros(values.shape, dtype=bool)
    if top > 0:
        for sign in (1, -1):
            areas, n = ndimage.label(sign * values > low * top, structure=np.ones((3, 3)))
            numbers = np.arange(1, n + 1)
            peak = ndimage.maximum(sign * values, areas, numbers)
            size = ndimage.sum_labels(np.ones_like(values), areas, numbers)
            keep |= np.isin(areas, numbers[(np.asarray(peak) > high * top) & (size >= min_pixels)])
    return torch.from_numpy(np.where(keep, values, 0).astype(np.float32))


def on_one_scale(values: Tensor, quantile: float = 0.99) -> Tensor:
    """Any method's raw map on the scale on which maps are drawn side by side.

    Divided by the quantile of its absolute values, so that a single pixel does not hide the rest, and cut to [-1, 1];
    signs and 0 stay. Where the quantile is 0, as in a map of few pixels, the largest absolute value divides.

    Args:
        values: (..., H, W).

    Returns:
        The same shape, in [-1, 1].
    """
    size = values.abs().flatten(-2)
    top = torch.quantile(size, quantile, dim=-1)
    top = torch.where(top > 0, top, size.amax(dim=-1)).clamp(min=torch.finfo(values.dtype).tiny)
    return (values / top[..., None, None]).clamp(-1, 1)


def _scaled(values: Tensor) -> Tensor:
    """Divided by the largest absolute value, so that signs and 0 stay."""
    top = values.abs().max()
    return values / top if top > 0 else values
