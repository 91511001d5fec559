"""The teacher: it learns the labels, the same ones for a seed, within bounded time, and before the autoencoder."""

import pytest
import torch

from abele_py.datasets.records import ImageSet, to_unit
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.training import teacher as module
from abele_py.training.modules import AutoencoderModule
from abele_py.training.teacher import teach

SHAPE, CLASSES = (1, 12, 12), 4


def quarters(n):
    """Each class has its own bright quarter, in noise."""
    labels = torch.arange(n) % CLASSES
    images = torch.randint(0, 120, (n, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    for i, y in enumerate(labels.tolist()):
        images[i, 0, 6 * (y // 2) : 6 * (y // 2) + 6, 6 * (y % 2) : 6 * (y % 2) + 6] += 100
    return ImageSet(images, labels, tuple("abcd"))


def teacher(shape=SHAPE):
    torch.manual_seed(0)
    return AdversarialAutoencoder(shape, 3, hidden=(8,), n_labels=CLASSES, teacher_weight=0.01, refinement=5).teacher


def test_it_learns_the_labels_and_is_left_fixed():
    network = teacher()
    teach(network, quarters(400))
    unseen = quarters(200)
    assert float((network(to_unit(unseen.images)).argmax(dim=1) == unseen.labels).float().mean()) > 0.95
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_a_seed_decides_it_and_random_numbers_of_others_are_left_alone():
    networks = [teacher() for _ in range(3)]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        teach(network, quarters(40), seed, steps=2)
    assert torch.equal(torch.rand(1), expected)
    first, again, other = ([*network.state_dict().values()] for network in networks)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


@pytest.mark.parametrize(("n", "values", "steps"), [(3, 10**9, 20), (300, 10**9, 60), (300, 128 * 144 * 7, 7)])
def test_few_and_large_images_take_fewer_steps(n, values, steps, monkeypatch):
    monkeypatch.setattr(module, "_VALUES", values)
    network = teacher()
    teach(network, quarters(n))
    assert int(network[1].num_batches_tracked) == steps


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 9), (2, 5, 3)])
def test_images_of_any_shape(shape):
    images = torch.zeros(5, *shape, dtype=torch.uint8)
    teach(teacher(shape), ImageSet(images, torch.arange(5) % CLASSES, tuple("abcd")), steps=1)


def test_the_training_of_the_autoencoder_leaves_it_alone():
    torch.manual_seed(0)
    trained = AutoencoderModule(SHAPE, CLASSES, 3, hidden=(8,), teacher_weight=0.01)
    teach(trained.network.teacher, quarters(40), steps=1)
    before = {name: value.clone() for name, value in trained.network.teacher.state_dict().items()}
    optimiser, _ = trained.optimizer(10)
    images = quarters(40)
    for _ in range(3):
        loss = trained.losses((to_unit(images.images), images.labels))[0]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in trained.network.teacher.state_dict().items())


@pytest.mark.parametrize("options", [{}, {"teacher_weight": 0.0}, {"teacher_weight": 0.01, "refinement": 0}])
def test_where_nothing_would_ask_it_there_is_none(options):
    assert AutoencoderModule(SHAPE, CLASSES, 3, hidden=(8,), **options).network.teacher is None
