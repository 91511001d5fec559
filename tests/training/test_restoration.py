"""The restoration: it learns from images that the components have not seen, the same for a seed, in bounded time."""

import pytest
import torch

from abele_py.datasets.records import to_unit
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.principal import principal_components
from abele_py.training import restoration as module
from abele_py.training.restoration import _folds, restored

SHAPE, K = (1, 16, 16), 20


def discs(n, seed=0):
    """Bright discs of any place and size on darker grounds: no few components draw a new one."""
    generator = torch.Generator().manual_seed(seed)
    x, y, r, ground = torch.rand(4, n, 1, 1, generator=generator)
    across = torch.arange(16.0)
    inside = (across - 5 - 6 * x) ** 2 + (across[:, None] - 5 - 6 * y) ** 2 < (2 + 2 * r) ** 2
    return (100 * ground + 120 * inside).round().to(torch.uint8)[:, None]


def network(images):
    torch.manual_seed(0)
    found = AdversarialAutoencoder(SHAPE, K, "pca", hidden=(8,), n_features=K, refinement=3).eval()
    found.start_from(principal_components(images, K))
    return found


def error(autoencoder, images):
    with torch.no_grad():
        return float((autoencoder.decode(autoencoder.encode(images)) - images).square().mean().sqrt())


def test_unseen_images_are_drawn_better_than_by_components():
    images, unseen = discs(60), to_unit(discs(50, seed=1))
    plain = network(images)
    found = restored(plain, images, 16, steps=400)
    assert error(found, unseen) < 0.93 * error(plain.without_residuals(), unseen)
    assert plain.decoder.restoration is None, "itself is left as it was"
    assert not found.decoder.restoration.training
    assert not any(p.requires_grad for p in found.decoder.restoration.parameters())
    again = AdversarialAutoencoder(**found.config).eval()
    again.load_state_dict(found.state_dict())
    assert error(again, unseen) == error(found, unseen)


def test_a_seed_decides_it_and_random_numbers_of_others_are_left_alone():
    images = discs(40)
    plain = network(images)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (restored(plain, images, 4, seed, steps=3).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(("n", "parts"), [(1, 1), (9, 1), (10, 5), (61, 5), (99, 5), (100, 1)])
def test_few_images_are_drawn_by_components_of_others(n, parts, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "principal_components", lambda images, k, seed: seen.append(images.flatten().tolist()))
    images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1)
    folds = _folds(images, 5, 0, torch.Generator().manual_seed(0))
    assert sorted(torch.cat([rows for _, rows in folds]).tolist()) == list(range(n))
    assert len(folds) == parts
    for (_, rows), others in zip(folds, seen, strict=True):
        assert parts == 1 or sorted([*others, *rows.tolist()]) == list(range(n))


@pytest.mark.parametrize(("values", "size"), [(10**9, 32), (256 * 7, 7), (1, 4)])
def test_of_large_images_fewer_are_looked_at(values, size, monkeypatch):
    sizes = []

    def spy(images):
        sizes.append(len(images))
        return to_unit(images)

    monkeypatch.setattr(module, "to_unit", spy)
    monkeypatch.setattr(module, "_VALUES", values)
    images = discs(50)
    restored(network(images), images, 4, steps=2)
    assert sizes == [size, size]


@pytest.mark.parametrize("images", [discs(1), discs(12)[:1].repeat(12, 1, 1, 1)], ids=["one", "all alike"])
def test_without_anything_to_learn_it_still_draws(images):
    found = restored(network(images), images, 4, steps=2)
    assert bool(found.decode(torch.zeros(2, K)).isfinite().all())
