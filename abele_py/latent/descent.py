"""Nearer counter-exemplars: descent in the latent space towards the image, held where the label is another one.

The decoder is ours, so that its gradients may be followed; the black box is queried about the ends alone.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..batching import padded
from ..models.adam import Adam
from ..surrogate.logistic import fit_logistic
from .space import LatentSpace, Points

MARGINS = (1.0, 2.0, 3.0)  # in units of the one from which the linear classifier is right
_RIGHT = 0.99  # of the real codes beyond that margin
_LEAST, _DEEP = 1.25, 0.33  # that margin, at least; and as a share of what clear cases have, which codes far apart need
_STEPS, _RATE = 16, 0.25
_HOLD, _LIGHT = 0.1, 8.0  # what a missing unit of log-odds, and of lightness, costs: shares of the first distance
_REALISTIC = 0.3  # of log-odds above the least that is valid
_USUAL = 0.02  # the share of images of a label that are darker than its range, and that are lighter
_UNCHANGED = 0.1  # of the range of a pixel: where so much changes, a third of the image's own detail is left
_MOST_LABELS = 10  # that are descended to: the nearest


@dataclass(frozen=True, eq=False)
class Descent:
    """What real codes tell of the labels around them, and the descent that follows it.

    Attributes:
        labels: (K,) int64, two or more, ascending.
        unit: (k,) float32, how much each coordinate varies: steps are measured in it.
        slopes, offsets: (K, k) and (K,) float32, a linear classifier of codes: the logits of the labels.
        sure: the least margin between a label's logit and the next at which the black box agrees with it nearly always.
        darkest, lightest: (K,) float32, what the mean of an image of the label is at least and at most.
    """

    labels: Tensor
    unit: Tensor
    slopes: Tensor
    offsets: Tensor
    sure: float
    darkest: Tensor
    lightest: Tensor

    @classmethod
    def of(cls, real: Points, goals: Tensor, lightness: Tensor) -> "Descent | None":
        """From N labelled real codes; None where the goals have one label.

        Args:
            real: the codes.
            goals: (N,) bool, those that the classifier and the ranges are learned from.
            lightness: (N,) the means of their images.
        """
        labels, numbers = real.labels[goals].unique(return_inverse=True)
        if len(labels) < 2:
            return None
        known, light = real.latents[goals], lightness[goals]
        center, unit = known.mean(dim=0), known.std(dim=0).clamp(min=1e-6)
        points = ((known - center) / unit).double().numpy()
        found = fit_logistic(points, numbers.numpy(), np.ones(len(points)), c=1.0)
        slopes, offsets = (torch.from_numpy(part).float() for part in found)
        slopes = slopes / unit
        offsets = offsets - slopes @ center
        ranges = [light[numbers == i].quantile(torch.tensor([_USUAL, 1 - _USUAL])) for i in range(len(labels))]
        sure = _sure(real, goals, labels, slopes, offsets)
        return cls(labels, unit, slopes, offsets, sure, *torch.stack(ranges).T)

    def __call__(self, space: LatentSpace, rows: Tensor) -> Tensor:
        """The end (N, k) of each descent.

        Adam on the mean absolute difference to the image, as a share of that at the start, and on what a point lacks:
        of its margin, of the discriminator's answer, of the range of lightness of its label. Without the last, near
        means dark (on a dark ground), and networks take near-black pictures for whatever is wanted.

        Args:
            space: where.
            rows: (N, k + 2 + C H W): a start, the number of its label, its margin, the image.
        """
        k = space.k
        latents, numbers, margins = rows[:, :k], rows[:, k].long(), rows[:, k + 1]
        images = rows[:, k + 2 :].unflatten(1, space.image_shape)
        first = (space.decode(latents) - images).abs().flatten(1).mean(dim=1).clamp(min=1e-3)
        least = math.log(max(space.validity_threshold, 1e-6)) + _REALISTIC
        shared = [part.to(space.device) for part in (self.slopes, self.offsets, self.darkest, self.lightest)]

        def loss(points: Tensor, drawn: Tensor, realism: Tensor, *of_rows: Tensor) -> Tensor:
            slopes, offsets, darkest, lightest = shared
            image, start, number, margin = of_rows
            logits = padded(lambda some: functional.linear(some, slopes, offsets), points)
            own = logits.gather(1, number[:, None])[:, 0]
            other = logits.scatter(1, number[:, None], -torch.inf).amax(dim=1)
            light = drawn.flatten(1).mean(dim=1)
            lacking = functional.relu(margin - (own - other)) + functional.relu(least - realism.clamp(min=1e-6).log())
            outside = functional.relu(darkest[number] - light) + functional.relu(light - lightest[number])
            return (drawn - image).abs().flatten(1).mean(dim=1) / start + _HOLD * lacking + _LIGHT * outside

        scaled = latents / self.unit
        adam = Adam(scaled, lr=_RATE, betas=(0.9, 0.99))
        for step in range(_STEPS):
            adam.lr = _RATE * (1 + math.cos(math.pi * step / _STEPS)) / 2
            adam.step(self.unit * space.gradients(loss, scaled * self.unit, images, first, numbers, margins))
        return scaled * self.unit

    def starts(self, real: Points, goals: Tensor, latent: Tensor, differences: Tensor, label: int) -> Points:
        """Of each of the nearest other labels the goal whose code is nearest, and the one whose image is.

        Args:
            real: N labelled real codes.
            goals: (N,) bool, those that may be taken.
            latent: (k,) the code of the image.
            differences: (N,) of their images to the image.
            label: the image's label.
        """
        allowed = goals & (real.labels != label) & (real.labels == self.labels[:, None])  # (K, N)
        nearest = [
            distances.where(allowed, torch.inf).min(dim=1)
            for distances in (differences, (real.latents - latent).norm(dim=1))
        ]
        order = nearest[0].values.argsort(stable=True)
        order = order[nearest[0].values[order].isfinite()][:_MOST_LABELS]
        rows = torch.stack([found.indices[order] for found in nearest], dim=1)
        return real[rows.flatten().unique_consecutive()]


def nearer_counter_exemplars(
    space: LatentSpace, descent: Descent, starts: Points, image: Tensor, reconstruction: Tensor, detail: float
) -> Points:
    """Near valid points with images that the black box gives the labels of the starts.

    From every start there are four descents, which keep another margin each. The black box is queried about all ends.
    Taken is that of the margin after the first from which on the label holds for all higher ones: just where the label
    begins to hold, hardly any other classifier confirms it. Of the starts of a label the nearest end counts, by the
    mean absolute difference of its image. Images keep what the autoencoder does not draw of the image where the
    counter-exemplar leaves it as it was.

    Args:
        space: that is asked, without detail.
        descent: from the real codes.
        starts: labelled codes, as of :meth:`Descent.starts`.
        image, reconstruction: (C, H, W), the image and its code decoded.
        detail: share of the difference between the two that is kept.

    Returns:
        At most one for each label of the starts; none for labels that do not hold at the highest margin.
    """
    n, m = len(starts), len(MARGINS)
    wanted = starts.labels.repeat_interleave(m)
    rows = [
        starts.latents.repeat_interleave(m, dim=0),
        torch.searchsorted(descent.labels, wanted)[:, None].float(),
        descent.sure * torch.tensor(MARGINS).repeat(n)[:, None],
        image.flatten().expand(n * m, -1),
    ]
    ends = space.ask(descent, torch.cat(rows, dim=1))
    images = keeping_unchanged(space.decode(ends), reconstruction, detail * (image - reconstruction))
    points = Points(ends, images, *space.query(images))
    holds = ((points.labels == wanted) & space.valid(ends)).unflatten(0, (n, m))
    first = m - holds.flip(1).long().cumprod(dim=1).sum(dim=1)  # from here on all hold
    found = points[(torch.arange(n) * m + (first + 1).clamp(max=m - 1))[first < m]]
    nearest = found[(found.images - image).abs().flatten(1).mean(dim=1).argsort(stable=True)]
    again = (nearest.labels[:, None] == nearest.labels).tril(-1).any(dim=1)  # of a label that has come before
    return nearest[~again]


def _sure(real: Points, goals: Tensor, labels: Tensor, slopes: Tensor, offsets: Tensor) -> float:
    """The least margin beyond which the classifier is nearly always right about real codes, the largest where there is
    none; but at least a share of the goals' own."""
    best = functional.linear(real.latents, slopes, offsets).topk(2, dim=1)
    margins = best.values[:, 0] - best.values[:, 1]
    order = margins.argsort(descending=True, stable=True)
    right = (labels[best.indices[:, 0]] == real.labels)[order].double().cumsum(dim=0)
    enough = (right >= _RIGHT * torch.arange(1, len(right) + 1)).nonzero()
    margin = float(margins[order[enough[-1] if len(enough) else 0]])
    return max(_LEAST, _DEEP * float(margins[goals].median()), margin)


def keeping_unchanged(images: Tensor, reconstruction: Tensor, missing: Tensor) -> Tensor:
    """Images (N, C, H, W) with what the reconstruction misses of its image, where they look like the reconstruction.

    Args:
        reconstruction: (C, H, W).
        missing: (C, H, W).
    """
    change = functional.avg_pool2d((images - reconstruction).abs().mean(dim=1, keepdim=True), 3, 1, 1)
    return (images + torch.exp(-((change / _UNCHANGED) ** 2)) * missing).clamp(0, 1)
