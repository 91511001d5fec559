"""The adversarial autoencoder's networks: shapes, ranges, deterministic answers, calibration."""

import pytest
import torch
from torch import nn

from abele_py.errors import ParameterError
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.autoencoder import Autoencoder
from abele_py.models.checkpoints import load_autoencoder
from abele_py.models.mixture import fit_mixture

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 7, 9)]
ARCHITECTURES = ["mlp", "conv", "conv-mlp", "pca"]
TAUGHT = {"n_labels": 4, "teacher_weight": 0.01}


def network(architecture="mlp", shape=(1, 28, 28), k=5, **options):
    torch.manual_seed(0)
    options |= {"n_features": 20} if architecture == "pca" else {}
    return AdversarialAutoencoder(shape, k, architecture, hidden=(32, 16), channels=(4, 8), **options).eval()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_and_ranges(architecture, shape):
    model = network(architecture, shape)
    assert isinstance(model, Autoencoder)
    images = torch.rand(6, *shape)
    with torch.no_grad():
        latents = model.encode(images)
        decoded = model.decode(latents)
        answers = model.discriminate(latents)
    assert latents.shape == (6, 5)
    assert decoded.shape == images.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    assert answers.shape == (6,)
    assert ((answers >= 0) & (answers <= 1)).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_images_give_no_codes(architecture):
    model = network(architecture)
    with torch.no_grad():
        assert model.encode(torch.zeros(0, 1, 28, 28)).shape == (0, 5)
        assert model.decode(torch.zeros(0, 5)).shape == (0, 1, 28, 28)
        assert model.discriminate(torch.zeros(0, 5)).shape == (0,)


@pytest.mark.parametrize("options", [{}, {"refinement": 3}, {"refinement": 3} | TAUGHT], ids=["", "refined", "taught"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_batch_changes_nothing_for_a_row(architecture, options):
    model = network(architecture, **options)
    images, latents = torch.rand(130, 1, 28, 28), torch.randn(130, 5)
    with torch.no_grad():
        for function, rows in ((model.encode, images), (model.decode, latents), (model.discriminate, latents)):
            whole = function(rows)
            for n in (1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 129):
                assert torch.equal(function(rows[:n]), whole[:n])


@pytest.mark.parametrize("options", [{}, TAUGHT], ids=["", "taught"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_config_rebuilds_the_network(architecture, options):
    model = network(architecture, **options)
    model.calibrate(torch.randn(30, 5), torch.randn(9, 5))
    again = AdversarialAutoencoder(**model.config)
    again.load_state_dict(model.state_dict())
    assert again.config == model.config
    assert torch.equal(again.reference_latents, model.reference_latents)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_refinement_steps_are_those_of_torch_s_adam(architecture):
    model = network(architecture, refinement=12)
    images = torch.rand(16, 1, 28, 28)
    codes = model.encoder(images).detach().requires_grad_()
    optimiser = torch.optim.Adam([codes], lr=0.05)
    for _ in range(12):
        error = (model.decoder(codes) - images).square().sum()
        (codes.grad,) = torch.autograd.grad(error, codes)
        optimiser.step()
    assert torch.equal(model.encode(images), codes.detach())


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion-mnist", "pneumoniamnist", "cifar10-jpeg"])
def test_a_few_rows_are_refined_like_many(name):
    """Of every shipped network, whose rows could come out otherwise in a batch of four than in a larger one."""
    model = load_autoencoder(name)
    images = torch.rand(40, *model.image_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = model.encode(images)
        for n in (1, 3, 4, 5, 8, 16, 17):
            assert torch.equal(model.encode(images[:n]), whole[:n])


def test_refined_codes_decode_to_something_nearer_to_the_image():
    plain, refined = network(), network(refinement=10)
    images = torch.rand(20, 1, 28, 28)

    def errors(model):
        return (model.decode(model.encode(images)) - images).square().mean(dim=(1, 2, 3))

    before, after = errors(plain), errors(refined)
    assert (after < before).all()
    assert not refined.encode(images).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(errors(refined), after)
    assert all(p.grad is None for p in refined.parameters())


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1, 1), (2, 3, 5)])
def test_any_image_shape_has_a_teacher(shape):
    model = network("mlp", shape, refinement=2, **TAUGHT)
    assert model.teacher(torch.rand(2, *shape)).shape == (2, 4)
    assert model.encode(torch.rand(2, *shape)).shape == (2, 5)


def test_all_but_the_teacher_is_as_it_is_without_one():
    plain, taught = network(refinement=5), network(refinement=5, n_labels=4, teacher_weight=0.0)
    after = torch.rand(1)
    network(refinement=5)
    assert torch.equal(after, torch.rand(1)), "the random numbers that follow are the same too"
    assert all(torch.equal(value, taught.state_dict()[name]) for name, value in plain.state_dict().items())
    images = torch.rand(6, 1, 28, 28)
    assert torch.equal(plain.encode(images), taught.encode(images))
    assert not {"n_labels", "teacher_weight"} & set(plain.config), "checkpoints without one look as they did"


def test_refinement_with_a_teacher_follows_both_errors():
    model = network(refinement=12, **TAUGHT)
    images = torch.rand(8, 1, 28, 28)
    with torch.no_grad():
        answers = model.teacher(images).softmax(dim=1)
    codes = model.encoder(images).detach().requires_grad_()
    optimiser = torch.optim.Adam([codes], lr=0.05)
    for step in range(12):
        decoded = model.decoder(codes)
        divergence = -(answers * model.teacher(decoded).log_softmax(dim=1)).sum(dim=1)
        error = ((decoded - images).square().mean(dim=(1, 2, 3)) + 0.01 * (step >= 9) * divergence).sum()
        (codes.grad,) = torch.autograd.grad(error, codes)
        optimiser.step()
    torch.testing.assert_close(model.encode(images), codes.detach(), atol=1e-3, rtol=1e-3)


def test_a_teacher_keeps_what_pixels_would_lose():
    """One pixel decides the label; the coordinate draws either it, or the area that has nearly all of the error."""
    model = AdversarialAutoencoder((1, 4, 4), 1, hidden=(4,), discriminator_hidden=(4,), refinement=200, **TAUGHT)
    decider, area = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    decider[0, 0, 0], area[0, 0, 0] = 1, 0

    class Decoder(nn.Module):
        def forward(self, codes):
            share = codes.sigmoid()[:, :, None, None]
            return share * area + (1 - share) * decider

    class Teacher(nn.Module):
        def forward(self, images):
            score = 20 * (images[:, 0, 0, 0] - 0.5)
            return torch.stack([score, -score], dim=1)

    model.decoder, model.teacher = Decoder(), Teacher()
    model.eval()
    image = (decider + 0.6 * area)[None]
    kept = []
    for weight in (0.0, 1.0):
        model.config["teacher_weight"] = weight
        kept.append(bool(model.decode(model.encode(image))[0, 0, 0, 0] > 0.5))
    assert kept == [False, True]


def test_codes_are_standardised_while_training():
    model = network().train()
    latents = model.encoder(torch.rand(200, 1, 28, 28))
    torch.testing.assert_close(latents.mean(dim=0), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(latents.var(dim=0, correction=0), torch.ones(5), rtol=0, atol=0.05)


@pytest.mark.parametrize("quantile", [0.05, 0.2])
def test_threshold_accepts_all_but_the_quantile(quantile):
    model = network()
    latents = torch.randn(1000, 5)
    model.calibrate(latents, latents[:10], quantile)
    with torch.no_grad():
        rejected = (model.discriminate(latents).double() < model.validity_threshold).float().mean()
    assert rejected == pytest.approx(quantile, abs=0.002)


def test_reference_latents_are_a_copy():
    model, latents = network(), torch.randn(10, 5)
    model.calibrate(latents, latents)
    latents.zero_()
    assert model.reference_latents.abs().sum() > 0


def test_a_network_without_a_mixture_has_no_place_for_one():
    """Checkpoints written before there were mixtures have the same state, and load."""
    model = network()
    model.calibrate(torch.randn(30, 5), torch.randn(9, 5))
    assert model.mixture is None
    assert model.config["n_components"] == 0
    assert not [name for name in model.state_dict() if "mixture" in name]


def test_a_mixture_is_kept_as_a_copy_and_rebuilt_from_config_and_state():
    model, latents = network(), torch.randn(300, 5)
    given = fit_mixture(latents, latents, components=(3,))
    model.calibrate(latents, latents[:9], mixture=given)
    expected = given.log_density(latents)
    again = AdversarialAutoencoder(**model.config)
    again.load_state_dict(model.state_dict())
    given.means.zero_()
    for one in (model, again):
        assert torch.equal(one.mixture.log_density(latents), expected)
    with torch.no_grad():
        assert torch.equal(model.discriminate(latents), network().discriminate(latents))


def test_calibrating_without_a_mixture_removes_it():
    model, latents = network(), torch.randn(300, 5)
    model.calibrate(latents, latents[:9], mixture=fit_mixture(latents, latents, components=(2,)))
    model.calibrate(latents, latents[:9])
    assert model.mixture is None
    AdversarialAutoencoder(**model.config).load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    "options",
    [{"latent_dim": 0}, {"image_shape": (28, 28)}, {"architecture": "vae"}, {"hidden": ()}, {"hidden": (0,)},
     {"image_shape": (1, 0, 28)}, {"discriminator_hidden": ()}, {"n_references": -1},
     {"n_components": -1},     {"architecture": "conv", "channels": ()}],
)  # fmt: skip
def test_impossible_options_are_refused(options):
    with pytest.raises(ParameterError, match="expected"):
        AdversarialAutoencoder(**options)


@pytest.mark.parametrize("n_features", [4, 7 * 9 + 1])
def test_an_encoder_is_given_as_many_components_as_can_be(n_features):
    with pytest.raises(ParameterError, match=f"got n_features={n_features} and latent_dim=5 for 63 pixels"):
        AdversarialAutoencoder((1, 7, 9), 5, "pca", n_features=n_features)


@pytest.mark.parametrize("architecture", ["mlp", "conv", "conv-mlp"])
def test_only_one_architecture_starts_from_principal_components(architecture):
    with pytest.raises(ParameterError, match="expected 'pca'"):
        network(architecture).without_residuals()
