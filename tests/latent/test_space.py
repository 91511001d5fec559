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


class Pale(Identity):
    """Draws four fifths of the light, so that a fifth is missing."""

    def decode(self, latents):
        return 0.8 * super().decode(latents)


def detailed_space(share=1.0, batch_size=256):
    space = LatentSpace(Pale(), BlackBox(hard, batch_size))
    space.reference_latents = torch.tensor([[0.5, 0.5], [0.5, 0.9], [0.1, 0.5], [0.9, 0.9]])
    code = torch.tensor([0.5, 0.5])
    picture = code.reshape(1, 1, 2)
    return space, space.detailed(picture, space.decode(code[None])[0], code, share)


def test_detail_shows_the_image_at_its_code_and_fades_up_to_the_nearest_real_code():
    plain, detailed = detailed_space()
    latents = torch.tensor([[0.5, 0.5], [0.5, 0.7], [0.7, 0.5], [0.5, 0.9], [0.1, 0.5], [0.9, 0.9]])
    added = detailed.decode(latents) - plain.decode(latents)
    expected = torch.tensor([1, 0.5, 0.5, 0, 0, 0])[:, None, None, None] * torch.full((1, 1, 1, 2), 0.1)
    torch.testing.assert_close(added, expected)
    assert torch.equal(detailed.decode(latents[3:]), plain.decode(latents[3:])), "real codes to the bit"
    torch.testing.assert_close(detailed_space(0.5)[1].decode(latents) - plain.decode(latents), expected / 2)


def test_images_with_detail_stay_in_range():
    space = LatentSpace(Identity(), BlackBox(hard))
    code = torch.tensor([0.5, 0.5])
    detailed = space.detailed(torch.ones(1, 1, 2), torch.zeros(1, 1, 2), code, 1.0)
    images = detailed.decode(code + 1e-3 * torch.randn(50, 2, generator=seeded(0)))
    assert 0 <= float(images.min()) <= float(images.max()) <= 1


@pytest.mark.parametrize("batch_size", [1, 7, 256])
@pytest.mark.parametrize("bare", [False, True])
def test_the_black_box_is_queried_for_images_with_detail_and_they_count_as_others(batch_size, bare):
    plain, detailed = detailed_space(batch_size=batch_size)
    latents = torch.rand(40, 2, generator=seeded(1))
    space = detailed.without_images() if bare else detailed
    points = space.classify(latents)
    images = detailed.decode(latents)
    assert torch.equal(points.latents, latents)
    assert torch.equal(points.images, images) or bare
    assert (points.images.shape == (40, 0)) == bare
    assert torch.equal(points.labels, hard(images))
    assert not torch.equal(points.labels, plain.classify(latents).labels), "the detail decides of some"
    assert detailed.queried == plain.queried == 80
    assert len(space.classify(latents[:0])) == 0


def test_without_a_share_of_detail_the_space_is_the_same():
    plain, same = detailed_space(share=0.0)
    assert same is plain
