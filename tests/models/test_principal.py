"""Principal components: those that scikit-learn finds, in bounded memory, as many as there are."""

import pytest
import torch
from sklearn.decomposition import PCA

from abele_py.errors import ParameterError
from abele_py.models import principal
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.principal import principal_components


@pytest.fixture(scope="module")
def images():
    """uint8 (300, 1, 8, 9) that vary along seven directions, unequally, and in noise."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(7, 72, generator=generator)
    amounts = torch.randn(300, 7, generator=generator) * torch.tensor([9.0, 7, 5, 4, 3, 2.5, 2])
    noise = 0.3 * torch.randn(300, 72, generator=generator)
    return (128 + amounts @ patterns + noise).clamp(0, 255).to(torch.uint8).view(300, 1, 8, 9)


def test_they_are_those_of_scikit_learn(images):
    found = principal_components(images, 7)
    exact = PCA(7, svd_solver="full").fit(images.flatten(1).double().numpy() / 255)
    assert len(found) == 7
    assert found.variances.tolist() == pytest.approx(exact.explained_variance_.tolist(), rel=0.01)
    torch.testing.assert_close(found.directions @ found.directions.T, torch.eye(7), atol=1e-5, rtol=0)
    alike = (found.directions @ torch.from_numpy(exact.components_).float().T).abs()
    assert bool((alike.diagonal() > 0.99).all())


@pytest.mark.parametrize(("n", "images_left", "most"), [(50, 20, 19), (100, 300, 72), (5, 300, 5)])
def test_there_are_no_more_than_images_and_pixels_allow(images, n, images_left, most):
    assert len(principal_components(images[:images_left], n)) == most


def test_plain_images_have_none():
    found = principal_components(torch.full((20, 3, 4, 4), 7, dtype=torch.uint8), 5)
    assert len(found) == 0
    assert found.images(torch.zeros(2, 0), (3, 4, 4)).unique().tolist() == pytest.approx([7 / 255])


def test_memory_is_bounded_by_looking_at_fewer_images(images, monkeypatch):
    monkeypatch.setattr(principal, "_VALUES", 30 * 72)
    assert len(principal_components(images, 100)) == 29


def test_coordinates_and_images_lead_back(images):
    found = principal_components(images, 72)
    x = images.float() / 255
    torch.testing.assert_close(found.images(found.coordinates(x), (1, 8, 9)), x, atol=1e-3, rtol=0)


def started(images, k=5, **options):
    torch.manual_seed(0)
    network = AdversarialAutoencoder((1, 8, 9), k, "pca", hidden=(16, 12), n_features=20, **options).eval()
    found = principal_components(images, 20)
    network.start_from(found)
    return network, found


def test_an_autoencoder_starts_as_principal_component_analysis(images):
    network, found = started(images)
    x = images.float() / 255
    with torch.no_grad():
        latents = network.encode(x)
        torch.testing.assert_close(network.decode(latents), found.images(found.coordinates(x)[:, :5], (1, 8, 9)))
    torch.testing.assert_close(torch.cov(latents.T), torch.eye(5), atol=0.02, rtol=0)
    torch.testing.assert_close(latents.mean(dim=0), torch.zeros(5), atol=0.01, rtol=0)


def test_what_it_has_learned_can_be_taken_away(images):
    network, _ = started(images, refinement=2, n_labels=3, teacher_weight=0.01)
    x = images[:20].float() / 255
    with torch.no_grad():
        before = network.encoder(x), network.decoder(torch.ones(2, 5))
        for parameter in (*network.encoder.residual.parameters(), *network.decoder.residual.parameters()):
            parameter.add_(0.1)
        assert not torch.allclose(network.encoder(x), before[0])
        linear = network.without_residuals()
        torch.testing.assert_close(linear.encode(x), before[0])  # without refinement either
        torch.testing.assert_close(linear.decode(torch.ones(2, 5)), before[1])
        assert network.config["refinement"] == 2, "itself is left as it was"
        assert network.teacher is not None
        assert linear.teacher is None
        again = AdversarialAutoencoder(**linear.config)
        again.load_state_dict(linear.state_dict())


def busy(network):
    """Its restoration adds something, as if it had learned."""
    torch.manual_seed(1)
    for parameter in network.decoder.restoration.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network


def test_a_restoration_adds_nothing_at_first(images):
    network, _ = started(images)
    other = network.with_restoration(6)
    z = torch.randn(7, 5)
    with torch.no_grad():
        assert torch.equal(other.decode(z), network.decode(z))
        assert not torch.equal(busy(other).decode(z), network.decode(z))
    assert network.decoder.restoration is None, "itself is left as it was"
    assert "restoration" not in network.config


def test_a_restoration_is_rebuilt_from_config_and_state_and_can_be_taken_away(images):
    network, _ = started(images)
    other = busy(network.with_restoration(6))
    again = AdversarialAutoencoder(**other.config).eval()
    again.load_state_dict(other.state_dict())
    z = torch.randn(7, 5)
    with torch.no_grad():
        assert torch.equal(again.decode(z), other.decode(z))
        assert torch.equal(other.without_residuals().decode(z), network.decode(z))
    assert other.without_residuals().config == network.without_residuals().config


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 9), (2, 5, 3), (3, 8, 12)])
def test_images_of_any_shape_are_restored(shape):
    torch.manual_seed(0)
    network = busy(AdversarialAutoencoder(shape, 1, "pca", hidden=(8,), n_features=1, restoration=6)).eval()
    with torch.no_grad():
        for n in (0, 3):
            images = network.decode(9 * torch.randn(n, 1))
            assert images.shape == (n, *shape)
            assert bool(((images >= 0) & (images <= 1)).all())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 7, 9), (3, 64, 64)])
def test_the_batch_changes_nothing_for_a_restored_row(shape):
    torch.manual_seed(0)
    network = busy(AdversarialAutoencoder(shape, 5, "pca", hidden=(8,), n_features=5, restoration=24)).eval()
    z = torch.randn(130, 5)
    with torch.no_grad():
        whole = network.decode(z)
        for n in (1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 129):
            assert torch.equal(network.decode(z[:n]), whole[:n])


def test_what_is_restored_depends_on_a_square_of_14_pixels_alone():
    restoration = busy(AdversarialAutoencoder((1, 40, 40), 5, "pca", n_features=5, restoration=6)).decoder.restoration
    image = torch.full((1, 1, 40, 40), 0.5)
    other = image.clone()
    other[0, 0, 20, 20] += 0.2
    with torch.no_grad():
        rows, columns = (restoration(image) != restoration(other))[0, 0].nonzero().T
    for place in (rows, columns):
        assert int(place.min()) >= 14
        assert int(place.max()) <= 27


def test_only_principal_components_are_restored():
    with pytest.raises(ParameterError, match="expected 'pca'"):
        AdversarialAutoencoder((1, 8, 9), 5, "mlp", restoration=6)


def test_only_what_is_added_is_trained(images):
    network, _ = started(images)
    (network.decode(network.encoder(images[:32].float() / 255)) - 0.2).square().sum().backward()
    for part in (network.encoder, network.decoder):
        assert all(p.grad is None for p in part.components.parameters())
        assert bool(part.residual[-1].weight.grad.abs().sum() > 0)


def test_a_pixel_out_of_range_can_be_called_back(images):
    network, _ = started(images)
    with torch.no_grad():
        network.decoder.residual[-1].bias.fill_(5.0)
    drawn = network.decoder(torch.zeros(1, 5))
    assert drawn.detach().unique().tolist() == [1.0]
    drawn.square().sum().backward()
    assert bool((network.decoder.residual[-1].bias.grad > 0).all())


def test_coordinates_without_a_component_are_0(images):
    torch.manual_seed(0)
    network = AdversarialAutoencoder((1, 8, 9), 30, "pca", hidden=(8,), n_features=40).eval()
    network.start_from(principal_components(images[:10], 40))
    with torch.no_grad():
        latents = network.encode(images.float() / 255)
    assert bool((latents[:, 9:] == 0).all())
    assert bool((latents[:, :9].std(dim=0) > 0.1).all())


def test_of_plain_images_all_is_the_mean():
    network = AdversarialAutoencoder((1, 4, 4), 3, "pca", hidden=(8,), n_features=5).eval()
    plain = torch.full((20, 1, 4, 4), 51, dtype=torch.uint8)
    network.start_from(principal_components(plain, 5))
    with torch.no_grad():
        assert bool((network.encode(torch.rand(4, 1, 4, 4)) == 0).all())
        torch.testing.assert_close(network.decode(torch.randn(4, 3)), torch.full((4, 1, 4, 4), 0.2))
