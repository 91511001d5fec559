"""The latent space: what the discriminator says of a point, and which points are valid by it."""

import pytest
import torch
from support.worlds import IN_THE_SQUARE, Identity, IdentityModule, hard, seeded, space_of

from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import AutoencoderError, ParameterError
from abele_py.latent.space import LatentSpace
from abele_py.models.mixture import fit_mixture

POINTS = torch.randn(9, 2, generator=seeded())


class Sloped(Identity):
    """As realistic as the first coordinate says."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def discriminate(self, latents):
        self.asked.append(len(latents))
        return latents[:, 0].double().sigmoid()


def test_realism_is_what_the_discriminator_says_in_float32_batch_by_batch():
    autoencoder = Sloped()
    realism = LatentSpace(autoencoder, BlackBox(hard, batch_size=4)).realism(POINTS)
    assert autoencoder.asked == [4, 4, 1]
    assert realism.dtype == torch.float32
    torch.testing.assert_close(realism, POINTS[:, 0].sigmoid())


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_points_are_valid_from_the_threshold_on(threshold):
    space = LatentSpace(Sloped(), BlackBox(hard), threshold)
    assert torch.equal(space.valid(POINTS), space.realism(POINTS).double() >= threshold)
    edge = float(space.realism(POINTS[:1]))
    assert bool(LatentSpace(Sloped(), BlackBox(hard), edge).valid(POINTS[:1]))


def test_no_points_have_no_realism():
    assert space_of().realism(POINTS[:0]).shape == (0,)
    assert space_of().valid(POINTS[:0]).shape == (0,)


def test_a_module_is_asked_in_evaluation_mode_and_left_as_it_was():
    class Modal(IdentityModule):
        def discriminate(self, latents):
            return torch.full((len(latents),), float(self.training))

    autoencoder = Modal().train()
    assert LatentSpace(autoencoder, BlackBox(hard)).realism(POINTS).tolist() == [0] * 9
    assert autoencoder.training


def test_a_discriminator_of_another_form_is_named():
    class Column(Identity):
        def discriminate(self, latents):
            return super().discriminate(latents)[:, None]

    with pytest.raises(AutoencoderError, match="discriminate"):
        LatentSpace(Column(), BlackBox(hard)).realism(POINTS)


def test_typicality_is_what_the_mixture_says_batch_by_batch():
    whole = space_of().typicality(POINTS)
    assert torch.equal(whole, IN_THE_SQUARE.typicality(POINTS))
    assert torch.equal(whole, space_of(batch_size=4).typicality(POINTS))
    assert space_of().typicality(POINTS[:0]).shape == (0,)


def test_an_autoencoder_without_a_mixture_has_no_typicality_and_no_samples():
    space = LatentSpace(IdentityModule(), BlackBox(hard))
    assert space.mixture is space.typicality(POINTS) is None
    with pytest.raises(ParameterError, match="IdentityModule without a mixture of its codes; expected one"):
        space.sample(9, seeded())


def test_samples_are_those_of_the_mixture():
    assert torch.equal(space_of().sample(9, seeded()), IN_THE_SQUARE.sample(9, seeded()))


def test_the_mixture_is_the_one_that_the_autoencoder_has_now():
    autoencoder = Identity()
    space = LatentSpace(autoencoder, BlackBox(hard))
    autoencoder.mixture = fit_mixture(POINTS, POINTS, components=(1,))
    assert torch.equal(space.typicality(POINTS), autoencoder.mixture.typicality(POINTS))
    assert torch.equal(space.sample(9, seeded()), autoencoder.mixture.sample(9, seeded()))
    autoencoder.mixture = None
    assert space.typicality(POINTS) is None


def test_points_go_to_the_device_of_the_mixture():
    """A device that computes nothing tells where the points were: there is no second one to test on."""
    given = []

    class Elsewhere:
        means = torch.empty(2, 2, device="meta")

        def typicality(self, latents):
            given.append(latents.device.type)
            return torch.zeros(len(latents))

    autoencoder = Identity()
    autoencoder.mixture = Elsewhere()
    LatentSpace(autoencoder, BlackBox(hard)).typicality(POINTS)
    assert given == ["meta"]


def test_a_mixture_of_other_codes_is_named():
    autoencoder = Identity()
    autoencoder.mixture = fit_mixture(torch.rand(9, 3), torch.rand(9, 3))
    with pytest.raises(AutoencoderError, match="typicality of the autoencoder"):
        LatentSpace(autoencoder, BlackBox(hard)).typicality(POINTS)
