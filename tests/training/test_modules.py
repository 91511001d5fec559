"""The two parts of the autoencoder take turns cleanly; each loss is that of its definition and reaches its part."""

import copy
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional

from abele_py.errors import ParameterError
from abele_py.models.checkpoints import load_classifier
from abele_py.training.data_module import ImageData
from abele_py.training.losses import edge_loss, mmd_loss
from abele_py.training.modules import AutoencoderModule, ClassifierModule


@pytest.fixture
def module():
    torch.manual_seed(0)
    return AutoencoderModule((1, 8, 8), latent_dim=3, hidden=(16, 16), discriminator_hidden=(8, 8))


@pytest.fixture
def images():
    return torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def parameters(*parts):
    return [parameter for part in parts for parameter in part.parameters()]


def test_autoencoder_loss_reaches_all_of_encoder_and_decoder(module, images):
    network = module.network
    loss, *_ = module.autoencoder_loss(images)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters(network.encoder, network.decoder))
    assert all(p.grad is None for p in parameters(network.discriminator))


def test_adversarial_term_alone_reaches_the_encoder(module, images):
    loss, error, *_ = module.autoencoder_loss(images)
    ((loss - error) / module.adversarial_weight).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters(module.network.encoder))


def test_discriminator_loss_reaches_all_of_the_discriminator_and_nothing_else(module, images):
    network = module.network
    _, _, latents, _ = module.autoencoder_loss(images)
    module.discriminator_loss(latents).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters(network.discriminator))
    assert all(p.grad is None for p in parameters(network.encoder, network.decoder))


@pytest.mark.parametrize("frozen", ["autoencoder", "discriminator"])
def test_each_optimiser_changes_its_own_part_only(frozen):
    """With the learning rate of one part at 0, two real training steps leave that part alone and change the other."""
    torch.manual_seed(0)
    rates = {"learning_rate": 1e-3, "discriminator_learning_rate": 1e-3}
    rates["learning_rate" if frozen == "autoencoder" else "discriminator_learning_rate"] = 0.0
    module = AutoencoderModule(latent_dim=3, hidden=(16,), discriminator_hidden=(8,), **rates)
    network = module.network
    parts = {
        "autoencoder": parameters(network.encoder, network.decoder),
        "discriminator": parameters(network.discriminator),
    }
    before = copy.deepcopy(parts)
    trainer = pl.Trainer(
        max_epochs=1, limit_train_batches=2, limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(module, ImageData("digits", 30, limit=60))
    for name, part in parts.items():
        same = [torch.equal(old, new) for old, new in zip(before[name], part, strict=True)]
        assert all(same) if name == frozen else not any(same)
    assert all(p.requires_grad for part in parts.values() for p in part)


def test_losses_are_those_of_the_paper(module, images):
    """Written with probabilities instead of logits."""
    network = module.network
    with torch.no_grad():
        loss, error, latents, _ = module.autoencoder_loss(images)
        on_codes = torch.sigmoid(network.discriminator_logits(latents))
        torch.testing.assert_close(loss, error - module.adversarial_weight * on_codes.log().mean())
        torch.manual_seed(5)
        found = module.discriminator_loss(latents)
        torch.manual_seed(5)
        on_prior = torch.sigmoid(network.discriminator_logits(torch.randn_like(latents)))
        torch.testing.assert_close(found, -(1 - on_codes).log().mean() - on_prior.log().mean())


def test_edge_loss_counts_differences_between_neighbors():
    flat, step = torch.zeros(1, 1, 2, 3), torch.tensor([[[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]])
    assert float(edge_loss(flat, flat + 0.5)) == 0  # a shade is no edge
    assert float(edge_loss(flat, step)) == 0.5  # across: two of four pairs differ by 1; down: none
    assert float(edge_loss(flat.mT, step.mT)) == 0.5


def test_edges_count_as_much_as_asked(module, images):
    with torch.no_grad():
        without, _, latents, _ = module.autoencoder_loss(images)
        module.edge_weight = 3.0
        loss, *_ = module.autoencoder_loss(images)
        edges = edge_loss(module.network.decoder(latents), images)
    torch.testing.assert_close(loss - without, 3 * edges)


def test_labels_are_seen_with_a_weight_only(images):
    labels = torch.arange(len(images)) % 3

    def gradients(weight):
        torch.manual_seed(0)
        sizes = {"latent_dim": 3, "hidden": (16, 16), "discriminator_hidden": (8, 8)}
        module = AutoencoderModule((1, 8, 8), 3, label_weight=weight, **sizes)
        module.trainer = SimpleNamespace(log_every_n_steps=0, is_last_batch=False, global_step=0)
        torch.manual_seed(1)
        module.training_step((images, labels), 0).backward()
        return module, [p.grad for p in parameters(module.network.encoder)]

    without, plain = gradients(0.0)
    assert without.labels is None
    with_labels, pulled = gradients(0.5)
    expected = torch.autograd.grad(
        0.5 * functional.cross_entropy(with_labels.labels.head(with_labels.network.encoder(images)), labels),
        parameters(with_labels.network.encoder),
    )
    for a, b, step in zip(plain, pulled, expected, strict=True):
        torch.testing.assert_close(b - a, step, atol=1e-5, rtol=1e-3)
    assert not any("head" in name or "labels" in name for name in with_labels.network.state_dict()), "it is thrown away"


@pytest.mark.parametrize("sample", [torch.randn, torch.rand])
def test_mmd_is_that_of_its_definition_and_zero_for_one_distribution(sample):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, generator=generator), sample(30, 3, generator=generator)

    def kernel(a, b):
        distance = float(((a - b) ** 2).sum())
        return sum(6 * scale / (6 * scale + distance) for scale in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    def mean(pairs):
        values = [kernel(a, b) for a, b in pairs]
        return sum(values) / len(values)

    within = sum(mean((s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j) for s in (x, y))
    expected = within - 2 * mean((a, b) for a in x for b in y)
    assert float(mmd_loss(x, y)) == pytest.approx(expected, abs=1e-4)
    assert (expected > 0.3) == (sample is torch.rand)


def test_a_training_can_start_from_the_weights_of_a_checkpoint():
    sizes = {"channels": (8, 16, 32), "hidden": 64}
    module = ClassifierModule((1, 28, 28), 10, start="digits-cnn", **sizes)
    shipped = load_classifier("digits-cnn").state_dict()
    assert all(torch.equal(weights, shipped[name]) for name, weights in module.network.state_dict().items())
    with pytest.raises(ParameterError, match="other sizes"):
        ClassifierModule((1, 28, 28), 10, start="digits-cnn", channels=(8, 16, 32), hidden=32)
