"""The backgrounds of mosaics, from real images of other labels; what is kept of these for all explanations."""

import math
from dataclasses import dataclass
from functools import reduce

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ..latent.space import LatentSpace, Points, concatenate

N_NEAREST = 50  # images in the mean that is a background of mosaics
_BLUR = 0.18  # standard deviation and reach of the Gaussian, as a share of the shorter side: 5 of 28 pixels
_SIDE = 64  # pixels of a side by which larger images are compared
_PART = 64  # images worked on at a time, where all at once would take much memory


def backgrounds_of(image: Tensor, others: Tensor, n_nearest: int = N_NEAREST) -> Tensor:
    """(3, C, H, W): the darkest value of each pixel in others (N, C, H, W), the mean of those nearest to the image, and
    the image :func:`blurred`.

    The image itself where there are no others.
    """
    if len(others) == 0:
        return image.expand(3, *image.shape)
    return torch.stack([others.amin(dim=0), mean_of_nearest(image, others, n_nearest), blurred(image)])


def blurred(image: Tensor) -> Tensor:
    """(C, H, W), a Gaussian of about a third of the image's shorter side: light stays about where it is, and its form
    goes."""
    reach = round(_BLUR * min(image.shape[1:]))
    soft = ndimage.gaussian_filter(image.double().numpy(), (0, reach, reach), mode="mirror", radius=(0, reach, reach))
    return torch.from_numpy(soft).float().clamp(0, 1)


def mean_of_nearest(image: Tensor, others: Tensor, n: int = N_NEAREST) -> Tensor:
    """(C, H, W), the mean of those n of others (N, C, H, W) whose pixels differ least from the image's, in squares."""
    nearest = (others - image).square().flatten(1).sum(dim=1).argsort(stable=True)[:n]
    return others[nearest].mean(dim=0)


@dataclass(frozen=True)
class Backdrop:
    """What N labelled images are to the backgrounds of mosaics, whatever the label of the image; not the images.

    Attributes:
        labels: (N,) int64.
        pixels: parts of (N, P) uint8, the images in steps of 1 / 255, of at most 64 pixels a side: enough to tell which
            are near.
        sizes: (N,) float32, the squared distance of each of these to a dark image, in these steps.
        darkest: (C, H, W), the lowest value of each pixel.
        darkest_labels: (C, H, W) int64, the label of the image that has it.
        next_darkest: (C, H, W), the lowest value of each pixel in images of other labels than that; infinite without.
    """

    labels: Tensor
    pixels: tuple[Tensor, ...]
    sizes: Tensor
    darkest: Tensor
    darkest_labels: Tensor
    next_darkest: Tensor

    @classmethod
    def of(cls, images: Tensor, labels: Tensor) -> "Backdrop":
        """Of images (N, C, H, W) with labels (N,)."""
        dark = torch.full(images.shape[1:], torch.inf)
        none = cls(labels[:0], (), images.new_zeros(0), dark, torch.zeros_like(dark, dtype=torch.int64), dark)
        parts = zip(images.split(_PART), labels.split(_PART), strict=True)
        return reduce(cls.with_more, (cls._of_part(*part) for part in parts if len(part[0])), none)

    @classmethod
    def _of_part(cls, images: Tensor, labels: Tensor) -> "Backdrop":
        darkest, rows = images.min(dim=0)
        other = labels[:, None, None, None] != labels[rows]
        pixels = (255 * _small(images).flatten(1)).round_().byte()
        sizes = pixels.float().square().sum(dim=1)
        return cls(labels, (pixels,), sizes, darkest, labels[rows], images.where(other, torch.inf).amin(dim=0))

    def with_more(self, more: "Backdrop") -> "Backdrop":
        """Of these images and then those of another."""
        labels = torch.where(self.darkest <= more.darkest, self.darkest_labels, more.darkest_labels)
        own, others = (
            torch.where(labels == part.darkest_labels, part.next_darkest, part.darkest) for part in (self, more)
        )
        return Backdrop(
            torch.cat([self.labels, more.labels]),
            self.pixels + more.pixels,
            torch.cat([self.sizes, more.sizes]),
            torch.minimum(self.darkest, more.darkest),
            labels,
            torch.minimum(own, others),
        )

    def has_others(self, label: int) -> bool:
        """Whether some image has another label."""
        return bool((self.labels != label).any())

    def darkest_of_others(self, label: int) -> Tensor:
        """(C, H, W), the lowest value of each pixel in images with other labels than this, of which there is one."""
        return torch.where(self.darkest_labels == label, self.next_darkest, self.darkest)

    def near_others(self, image: Tensor, label: int, n: int = 2 * N_NEAREST) -> Tensor:
        """At most n numbers of images with other labels than this: about those nearest to an image (C, H, W).

        So many that the very nearest are among them, in spite of the steps of the pixels (of images of up to 64 pixels
        a side; of larger ones nearly all of them are).
        """
        rows = (self.labels != label).nonzero()[:, 0]
        return rows[self.differences(image)[rows].argsort(stable=True)[:n]].sort().values

    def differences(self, image: Tensor) -> Tensor:
        """(N,) how far each is from an image (C, H, W): the squared distance less a number that all share."""
        seen = 255 * _small(image[None]).flatten()
        return self.sizes - 2 * torch.cat([part.float() @ seen for part in self.pixels])

    @property
    def lightness(self) -> Tensor:
        """(N,) the mean of each image, in [0, 1], to a step of its pixels."""
        return torch.cat([torch.zeros(0), *(part.float().mean(dim=1) / 255 for part in self.pixels)])


def _small(images: Tensor) -> Tensor:
    """Images (N, C, H, W) with means of blocks in place of pixels, where they have more than 64 a side."""
    block = math.ceil(max(images.shape[2:]) / _SIDE)
    return functional.avg_pool2d(images, block, ceil_mode=True) if block > 1 else images


def labelled(space: LatentSpace, latents: Tensor) -> tuple[Points, Backdrop]:
    """Points labelled by the black box, and their images as a backdrop, batch by batch."""
    parts, backdrop = [], Backdrop.of(torch.zeros(0, *space.image_shape), torch.zeros(0, dtype=torch.int64))
    for batch in latents.split(space.batch_size):
        points = space.classify(batch)
        parts.append(points.without_images())
        backdrop = backdrop.with_more(Backdrop.of(points.images, points.labels))
    return concatenate(parts), backdrop
