"""Descents end nearer to the image than they began, where the label holds; what cannot be followed is not followed."""

import pytest
import torch
from support.worlds import EDGE, Identity, anchor_of, hard, quarters, seeded, soft, space_of

from abele_py import Abele
from abele_py.black_boxes.black_box import BlackBox
from abele_py.latent.descent import Descent, keeping_unchanged, nearer_counter_exemplars
from abele_py.latent.space import LatentSpace, Points


def known_of(space, n=300):
    """Real codes with their labels, all of them goals, and the descent that is learned from them."""
    real = space.classify(torch.rand(n, 2, generator=seeded(1)))
    goals = torch.ones(n, dtype=torch.bool)
    return real, goals, Descent.of(real, goals, real.images.flatten(1).mean(dim=1))


@pytest.mark.parametrize("black_box", [hard, soft])
@pytest.mark.parametrize("start", [(0.6, 0.5), (0.9, 0.1)])
def test_the_end_is_near_and_has_the_label(black_box, start):
    space = space_of(black_box)
    anchor = anchor_of(space, *start)
    _, _, descent = known_of(space)
    far = space.classify(torch.tensor([[0.05, 0.95], [0.1, 0.8]]))
    found = nearer_counter_exemplars(space, descent, far, anchor.images[0], anchor.images[0], 1.0)
    assert found.labels.tolist() == [0]
    assert torch.equal(space.black_box(found.images).labels, found.labels)
    assert bool(space.valid(found.latents).all())
    assert float(found.latents[0, 0]) < EDGE
    before, after = ((images - anchor.images).abs().mean(dim=(1, 2, 3)).min() for images in (far.images, found.images))
    assert float(after) < 0.9 * float(before)
    assert abs(float(found.latents[0, 1]) - start[1]) < 0.15, "what decides nothing goes back to the image"


def test_each_label_has_one_end_and_labels_that_never_hold_have_none():
    space = space_of(quarters)
    anchor = anchor_of(space, 0.9, 0.9)
    real, _, descent = known_of(space)
    starts = torch.cat([real.latents[real.labels == y][:2] for y in (0, 1, 2)])
    labelled = Points(starts, space.decode(starts), torch.tensor([0, 0, 1, 1, 2, 2]), None)
    assert sorted(
        nearer_counter_exemplars(space, descent, labelled, *([anchor.images[0]] * 2), 1.0).labels.tolist()
    ) == [
        0,
        1,
        2,
    ]
    never = space_of(lambda images: torch.full((len(images),), 3))
    assert len(nearer_counter_exemplars(never, descent, labelled, *([anchor.images[0]] * 2), 1.0)) == 0


def test_starts_are_the_nearest_goals_by_code_and_by_image():
    latents = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.5, 0.0], [0.9, 0.0], [0.2, 0.0]])
    real = Points(latents, torch.zeros(5, 0), torch.tensor([0, 1, 1, 1, 2]), None)
    goals = torch.tensor([True, False, True, True, True])
    descent = Descent.of(real, goals, torch.zeros(5))
    found = descent.starts(real, goals, latents[0], torch.tensor([0.0, 1.0, 7.0, 2.0, 3.0]), 0)
    assert found.latents[:, 0].tolist() == pytest.approx([0.9, 0.5, 0.2]), "images nearer first; the second label once"
    assert len(descent.starts(real, goals & (real.labels == 0), latents[0], torch.zeros(5), 0)) == 0


def test_of_many_labels_the_nearest_ten_are_descended_to():
    latents = torch.arange(30.0)[:, None].expand(-1, 2)
    real = Points(latents, torch.zeros(30, 0), torch.arange(30), None)
    goals = torch.ones(30, dtype=torch.bool)
    found = Descent.of(real, goals, torch.zeros(30)).starts(real, goals, latents[0], torch.arange(30.0), 0)
    assert found.labels.tolist() == list(range(1, 11))


def test_one_label_leaves_nothing_to_descend_by():
    space = space_of(lambda images: torch.zeros(len(images), dtype=torch.int64))
    assert known_of(space)[2] is None


def test_an_end_is_about_as_light_as_images_of_its_label():
    """Dark pictures are near to any image on a dark ground; here the label is 0 along a whole edge."""
    space = space_of(hard)
    real = space.classify(torch.rand(300, 2, generator=seeded(1)) * torch.tensor([1.0, 0.2]) + torch.tensor([0.0, 0.8]))
    descent = Descent.of(real, torch.ones(300, dtype=torch.bool), real.images.flatten(1).mean(dim=1))
    anchor = anchor_of(space, 0.5, 0.1)  # darker than all that is known
    far = space.classify(torch.tensor([[0.1, 0.9]]))
    end = nearer_counter_exemplars(space, descent, far, anchor.images[0], anchor.images[0], 1.0)
    assert float(end.images.mean()) > float(descent.darkest.min()) - 0.03
    assert float(end.images.mean()) > float(anchor.images.mean()) + 0.05


def test_detail_stays_where_nothing_changed_and_nowhere_else():
    reconstruction, missing = torch.full((1, 9, 9), 0.5), torch.full((1, 9, 9), 0.2)
    images = torch.stack([reconstruction, reconstruction.clone()])
    images[1, :, :, 5:] = 1.0
    kept = keeping_unchanged(images, reconstruction, missing)
    torch.testing.assert_close(kept[0, :, :, 1:8], torch.full((1, 9, 7), 0.7))
    torch.testing.assert_close(kept[1, :, :, :3], torch.full((1, 9, 3), 0.7))
    torch.testing.assert_close(kept[1, :, :, 6:], torch.ones(1, 9, 3))


class Detached(Identity):
    """An autoencoder whose images cannot be followed back to their codes."""

    def decode(self, latents):
        return super().decode(latents.detach())


class Numpy(Identity):
    def decode(self, latents):
        return torch.from_numpy(latents.numpy()).clamp(0, 1).reshape(-1, 1, 1, 2)


@pytest.mark.parametrize("autoencoder", [Detached(), Numpy()])
def test_without_gradients_counter_exemplars_are_found_on_lines(autoencoder):
    image = torch.tensor([[[0.9, 0.5]]])
    assert not LatentSpace(autoencoder, BlackBox(soft)).has_gradients
    found, on_line = (
        Abele(soft, model, n_samples=200, **options).explain(image).counter_exemplars
        for model, options in ((autoencoder, {}), (Identity(), {"counter_search": "line"}))
    )
    assert torch.equal(found.latents, on_line.latents)


def test_gradients_are_those_of_autograd_and_leave_the_model_as_it_was():
    space = space_of(soft)
    points, target = torch.rand(5, 2, generator=seeded(2)), torch.rand(5, 2, generator=seeded(3))

    def loss(_, images, realism, goal):
        return (images.flatten(1) - goal).square().sum(dim=1)

    torch.testing.assert_close(space.gradients(loss, points, target), 2 * (points - target))
    with torch.inference_mode():
        torch.testing.assert_close(space.gradients(loss, points, target), 2 * (points - target))


def test_counter_exemplars_of_digits_are_nearer_than_the_real_codes_that_they_begin_at(digits_models, digit_images):
    autoencoder, classifier = digits_models
    explainer = Abele(classifier, autoencoder, n_samples=200)
    before, after = [], []
    for image in digit_images[:3]:
        e = explainer.explain(image)
        known = explainer._searches
        near = known.backdrop.differences(image)
        starts = known.descent.starts(known.landmarks, known.convincing, e.latent, near, e.label)
        drawn, found = explainer._space.decode(starts.latents), e.counter_exemplars
        assert set(found.labels.tolist()) == set(starts.labels.tolist())
        assert torch.equal(found.paths[:, -1], found.images)
        for label, counter in zip(found.labels, found.images, strict=True):
            before.append(float((drawn[starts.labels == label] - image).abs().flatten(1).mean(dim=1).min()))
            after.append(float((counter - image).abs().mean()))
    assert sum(after) < 0.9 * sum(before)
