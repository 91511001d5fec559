"""The teacher of an autoencoder: a small classifier, trained before it, that keeps labels where codes are refined."""

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_info  # type: ignore[attr-defined]
from torch import nn
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from ..checking.parameters import Count, SmallSeed, checked
from ..datasets.records import ImageSet, to_unit
from .augmentation import crop

STEPS = 1600  # four passes over 50,000 images
_BATCH = 128
_VALUES = 400_000_000  # of all images of all steps: time is bounded, of large ones too
_PASSES = 20  # over few images


@checked
def teach(teacher: nn.Module, images: ImageSet, seed: SmallSeed = 0, steps: Count = STEPS) -> None:
    """Train it on images and their labels, in place; no global random state is touched.

    It learns from the labels of the data set, not from a black box, which may be any function and is not asked: on
    ``val`` of Fashion-MNIST a teacher of the black box's labels kept no more of them.

    Args:
        teacher: (N, C, H, W) in [0, 1] -> (N, K) logits; it is left fixed, without gradients, ready to be asked.
        images: N images and labels, on any device.
        seed: decides the order of the images, and how they move by up to one pixel.
        steps: batches, at most; fewer of few images and of large ones.
    """
    n, device, shape = len(images), images.images.device, images.images.shape
    steps = max(1, min(steps, _PASSES * -(-n // _BATCH), _VALUES // (_BATCH * shape[1:].numel())))
    teacher.to(device).train().requires_grad_(True)
    optimizer = AdamW(teacher.parameters(), lr=2e-3)
    schedule = OneCycleLR(optimizer, 2e-3, total_steps=steps)
    generator = torch.Generator(device).manual_seed(seed)
    passes = -(-steps * _BATCH // n)
    order = torch.cat([torch.randperm(n, generator=generator, device=device) for _ in range(passes)])
    with torch.enable_grad():
        for rows in order.split(_BATCH)[:steps]:
            batch = crop(to_unit(images.images[rows]), min(1, *(side - 1 for side in shape[2:])), generator)
            loss = functional.cross_entropy(teacher(batch), images.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    teacher.eval().requires_grad_(False)
    rank_zero_info(f"a teacher has learned from {n} images and their labels, in {steps} steps")
