"""Labels in the latent space: which part each loss teaches, and that decoded images take the labels asked for."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from abele_py.errors import ParameterError
from abele_py.training.losses import LatentLabels
from abele_py.training.modules import AutoencoderModule

SHAPE, K, CLASSES = (1, 8, 8), 3, 4


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(32) % CLASSES
    images = torch.zeros(32, *SHAPE)
    for i, y in enumerate(labels.tolist()):  # each class has its own bright quarter
        images[i, 0, 4 * (y // 2) : 4 * (y // 2) + 4, 4 * (y % 2) : 4 * (y % 2) + 4] = 1
    return images, labels, torch.randn(32, K, generator=generator)


def decoder_of(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(K, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid(), nn.Unflatten(1, SHAPE))


def touched(module):
    return [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters()]


def test_each_loss_reaches_its_own_part_alone(batch):
    images, labels, latents = batch
    for number, (teaches_decoder, teaches_labels) in enumerate([(True, False), (False, True)]):
        decoder, learner = decoder_of(), LatentLabels(SHAPE, K, CLASSES, consistent=True)
        z = latents.clone().requires_grad_()
        learner.consistency(decoder, z, images, decoder(z), labels)[number].backward()
        assert touched(decoder) == [teaches_decoder] * 4
        assert touched(learner.head) == [teaches_labels] * 2
        assert touched(learner.judge) == [teaches_labels] * 6
        assert z.grad is None, "the encoder is not asked to move its codes"


@pytest.mark.slow
def test_a_decoder_learns_to_give_images_the_labels_of_the_linear_classifier(batch):
    images, labels, latents = batch
    decoder, learner = decoder_of(), LatentLabels(SHAPE, K, CLASSES, consistent=True)
    optimiser = torch.optim.Adam([*decoder.parameters(), *learner.parameters()], lr=0.01)
    points = torch.randn(500, K, generator=torch.Generator().manual_seed(1))

    def agreement():
        with torch.no_grad():
            seen, said = learner.judge(decoder(points)).argmax(dim=1), learner.head(points).argmax(dim=1)
        return float((seen == said).float().mean())

    before = agreement()
    for _ in range(150):
        parts = learner.consistency(decoder, latents, images, decoder(latents), labels)
        loss = functional.mse_loss(decoder(latents), images) + sum(parts)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert before < 0.6
    assert agreement() > 0.8


def test_consistency_needs_labels():
    with pytest.raises(ParameterError, match="label_weight"):
        AutoencoderModule(SHAPE, CLASSES, consistency_weight=0.1)
    with pytest.raises(RuntimeError, match="consistent=True"):
        LatentLabels(SHAPE, K, CLASSES).consistency(decoder_of(), *[torch.zeros(2, 1)] * 4)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 7), (1, 5, 6)])
def test_any_image_shape_has_a_judge(shape):
    assert LatentLabels(shape, K, CLASSES, consistent=True).judge(torch.rand(2, *shape)).shape == (2, CLASSES)
