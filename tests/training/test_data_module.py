"""Batches: the same after an interruption and for any number of processes; and what is done to training images."""

import pytest
import torch

from abele_py.errors import ParameterError
from abele_py.training.augmentation import blur, crop, jitter
from abele_py.training.data_module import EpochBatches, ImageData


@pytest.fixture
def images():
    return torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def rows_of(batches):
    return [batch.tolist() for batch in batches]


def test_processes_share_every_batch():
    whole = rows_of(EpochBatches(100, 30, seed=1))
    shares = [rows_of(EpochBatches(100, 30, seed=1, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(batch) for batch in whole]
    assert all(len(a) == len(b) or len(a) == len(b) + 1 for a, b in zip(*shares, strict=True))


def test_batches_depend_on_seed_and_epoch_only():
    batches = EpochBatches(100, 30, seed=1)
    first = rows_of(batches)
    assert rows_of(batches) == first
    assert [len(batch) for batch in first] == [34, 33, 33]
    assert sorted(row for batch in first for row in batch) == list(range(100))
    batches.set_epoch(1)
    assert rows_of(batches) != first
    assert [row for batch in rows_of(EpochBatches(100, 30, seed=None)) for row in batch] == list(range(100))
    assert [len(batch) for batch in EpochBatches(10, 30, seed=1)] == [10]


def test_small_data_sets_pass_often_enough_in_an_epoch():
    batches = EpochBatches(10, 4, seed=1, min_steps=5)
    found = rows_of(batches)
    passes = [sorted(found[i] + found[i + 1]) for i in (0, 2, 4)]
    assert len(batches) == len(found) == 6, "whole passes, at least 5 batches"
    assert passes == 3 * [list(range(10))]
    assert found[:2] == rows_of(EpochBatches(10, 4, seed=1)), "the first pass is what it is without the others"
    assert found[:2] != found[2:4]
    assert rows_of(batches) == found
    data = ImageData("digits", 64, limit=100, min_steps=4)
    data.setup("fit")
    assert (len(data.train_dataloader()), len(data.val_dataloader())) == (4, 1)


def test_large_data_sets_end_an_epoch_early_and_see_other_images_in_the_next():
    whole, part = (EpochBatches(100, 10, seed=1, max_steps=most) for most in (None, 3))
    found = rows_of(part)
    assert len(part) == len(found) == 3
    assert found == rows_of(whole)[:3], "shuffled as it is without a bound"
    assert rows_of(part) == found, "by seed and epoch alone"
    part.set_epoch(1)
    whole.set_epoch(1)
    assert rows_of(part) == rows_of(whole)[:3] != found
    assert len(EpochBatches(100, 10, seed=1, max_steps=10)) == len(EpochBatches(100, 10, seed=1, max_steps=99)) == 10
    assert len(EpochBatches(10, 4, seed=1, min_steps=5, max_steps=5)) == 5, "in the middle of a pass"


@pytest.mark.parametrize(("values", "steps"), [(None, 20), (4 * 50 * 28 * 28, 4), (5 * 50 * 28 * 28 - 1, 4), (1, 3)])
def test_an_epoch_is_bounded_by_the_values_of_its_images(values, steps):
    data = ImageData("digits", 50, min_steps=3, max_values=values, limit=1000)
    data.setup("fit")
    assert len(data.train_dataloader()) == steps


@pytest.mark.parametrize(
    ("n", "size", "seed", "processes", "needed"),
    [(1, 8, 0, 1, 2), (8, 1, 0, 1, 2), (7, 3, 0, 2, 4), (1, 8, None, 2, 2)],
)
def test_batches_too_small_to_be_shared_are_refused(n, size, seed, processes, needed):
    with pytest.raises(ParameterError, match=f"{processes} process.*expected at least {needed} in a batch"):
        EpochBatches(n, size, seed, 0, processes)
    EpochBatches(4 * n, 4 * size, seed, 0, processes)


def test_data_module_gives_unit_floats_on_the_device():
    data = ImageData("digits", 50, limit=100)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch[0].dtype == torch.uint8
    images, labels = data.on_after_batch_transfer(batch, 0)
    assert images.dtype == torch.float32
    assert images.shape == (50, 1, 28, 28)
    assert 0 <= images.min() < images.max() <= 1
    assert labels.dtype == torch.int64


def test_jitter_of_nothing_is_the_image(images):
    torch.testing.assert_close(jitter(images, 0, 0, 0), images, atol=1e-5, rtol=0)
    moved = jitter(images, 0.1, 10, 0.1)
    assert moved.shape == images.shape
    assert not torch.allclose(moved, images, atol=0.05)


def test_jitter_brings_no_black_frame_in():
    flat = torch.full((20, 3, 8, 8), 0.7)
    torch.testing.assert_close(jitter(flat, 0.3, 40, 0.3, True), flat)


def test_blur_of_nothing_is_the_image_and_of_one_colour_changes_nothing(images):
    assert torch.equal(blur(images, 0.0), images)
    flat = torch.full((3, 2, 8, 8), 0.3)
    torch.testing.assert_close(blur(flat, 1.0), flat)
    blurred = blur(images, 1.0)
    assert ((blurred >= 0) & (blurred <= 1)).all()
    assert (blurred.var(dim=(1, 2, 3)) < images.var(dim=(1, 2, 3))).all()


def test_crop_moves_each_image_by_whole_pixels(images):
    torch.manual_seed(0)
    colour = torch.cat([images, 1 - images], dim=1)
    moved = crop(colour, 2)
    bordered = torch.nn.functional.pad(colour, (2, 2, 2, 2), mode="reflect")
    windows = bordered.unfold(2, 8, 1).unfold(3, 8, 1).flatten(2, 3)  # (N, C, 25, 8, 8)
    equal = (windows == moved[:, :, None]).flatten(3).all(dim=3).all(dim=1)
    assert (equal.sum(dim=1) == 1).all()
    assert equal.any(dim=0).sum() > 10, "32 images, 25 places: far from one place for all"
    assert torch.equal(crop(colour, 0), colour)
