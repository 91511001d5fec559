"""Augmentation of training batches: images jittered, cropped and blurred on the device they are on."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def jitter(images: Tensor, shift: float, rotation: float, scale: float, flip: bool = False) -> Tensor:
    """Move, turn, scale and mirror each image of a batch by its own random amounts; what comes in from outside goes on
    as the border is: black there would be drawn by an autoencoder and looked at by a classifier, as frames.

    Args:
        images: (N, C, H, W).
        shift: at most this share of the image's size, in each direction.
        rotation: at most this many degrees, either way.
        scale: larger or smaller by at most this share.
        flip: mirror every second image, on average, left to right.
    """
    n = len(images)

    def uniform(limit: float) -> Tensor:
        return (2 * torch.rand(n, device=images.device) - 1) * limit

    angle, factor = uniform(math.radians(rotation)), 1 + uniform(scale)
    rows = [factor * angle.cos(), -factor * angle.sin(), uniform(2 * shift)]
    rows += [factor * angle.sin(), factor * angle.cos(), uniform(2 * shift)]
    if flip:
        side = uniform(1).sign()
        rows[0], rows[3] = rows[0] * side, rows[3] * side
    grid = functional.affine_grid(torch.stack(rows, dim=1).view(n, 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def crop(images: Tensor, margin: int, generator: torch.Generator | None = None) -> Tensor:
    """Move each image of a batch by random whole pixels, at most ``margin`` each way; what comes in is mirrored."""
    n, c, h, w = images.shape
    padded = functional.pad(images, (margin,) * 4, mode="reflect")
    top, left = torch.randint(2 * margin + 1, (2, n, 1), device=images.device, generator=generator)
    rows, columns = (start + torch.arange(size, device=images.device) for start, size in ((top, h), (left, w)))
    image, channel = torch.arange(n, device=images.device), torch.arange(c, device=images.device)
    return padded[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def blur(images: Tensor, most: float) -> Tensor:
    """Mix each image of a batch with a blurred copy (Gaussian, 1.5 pixels), by its own random share, at most ``most``.

    What a classifier then learns depends less on how sharp a picture is.
    """
    c, place = images.shape[1], torch.arange(-4.0, 5.0, device=images.device)
    bell = torch.exp(-((place / 1.5) ** 2) / 2)
    bell = (bell / bell.sum()).to(images).expand(c, 1, 1, -1)
    blurred = functional.pad(images, (4, 4, 4, 4), mode="replicate")
    blurred = functional.conv2d(functional.conv2d(blurred, bell, groups=c), bell.transpose(2, 3), groups=c)
    return torch.lerp(images, blurred, most * torch.rand(len(images), 1, 1, 1, device=images.device).to(images))
