"""Saliency: signed maps in [-1, 1] whose 0 is neutral, and contiguous areas that are parts of the map."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.fuzz import examples
from support.worlds import Identity, hard, image, seeded, soft

from abele_py import Abele
from abele_py.explanation.backdrop import Backdrop, backgrounds_of, blurred, mean_of_nearest
from abele_py.explanation.saliency import (
    _areas,
    areas_of_seed,
    change_map,
    contiguous_areas,
    contrast_map,
    map_of_mosaics,
    median_map,
    mosaic_map,
    on_one_scale,
)

OF_NEIGHBORS = ("contrast", "median")
KINDS = (*OF_NEIGHBORS, "mosaic")
IMAGE = torch.rand(3, 6, 5, generator=seeded(1))
MAPS = arrays(np.float32, (7, 6), elements=st.floats(-1, 1, width=32))


def bright(images):
    """A black box that finds its label in light."""
    return torch.sigmoid(2 * images.flatten(1).mean(dim=1) - 1)


def map_of(kind, image, images, evidence=None, same=None):
    evidence = torch.rand(len(images), generator=seeded(2)) if evidence is None else evidence
    same = evidence > 0.5 if same is None else same
    if kind == "median":
        return median_map(image, images[same])
    if kind == "mosaic":  # without an image of the label there is no label to explain
        return mosaic_map(image, images[~same & same.any()], bright, seeded(4)).values
    return contrast_map(image, images, evidence, same)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_have_the_size_of_the_image_and_lie_in_minus_1_to_1(kind):
    images = torch.rand(20, 3, 6, 5, generator=seeded(3))
    saliency = map_of(kind, IMAGE, images)
    assert saliency.shape == (6, 5)
    assert saliency.dtype == torch.float32
    assert float(saliency.abs().max()) <= 1


def test_a_mosaic_map_is_0_where_backgrounds_equal_the_image():
    backgrounds = torch.rand(2, 3, 6, 5, generator=seeded(3))
    backgrounds[..., :2] = IMAGE[..., :2]
    found = map_of_mosaics(IMAGE, backgrounds, _areas(80, 6, 5, seeded(4)), bright, 40).values
    assert float(found[:, :2].abs().max()) == 0
    assert float(found[:, 2:].abs().max()) == 1
    same = map_of_mosaics(IMAGE, IMAGE.expand(2, -1, -1, -1), _areas(80, 6, 5, seeded(4)), bright, 40)
    assert same.fit is None
    assert float(same.values.abs().max()) == 0


@pytest.mark.parametrize("kind", OF_NEIGHBORS)
def test_a_map_is_0_where_all_neighbors_equal_the_image(kind):
    """Published code: min-max scaling per exemplar moved "no change" away from neutral."""
    images = torch.rand(20, 3, 6, 5, generator=seeded(3))
    images[:, :, :, :2] = IMAGE[:, :, :2]
    saliency = map_of(kind, IMAGE, images)
    assert float(saliency[:, :2].abs().max()) < 1e-6
    assert float(saliency[:, 2:].abs().max()) > 0.01


@pytest.mark.parametrize("kind", OF_NEIGHBORS)
def test_a_map_is_0_where_every_neighbor_is_the_image(kind):
    images = IMAGE.expand(8, *IMAGE.shape).clone()
    assert float(map_of(kind, IMAGE, images).abs().max()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_exemplars_give_a_neutral_map(kind):
    images = torch.rand(4, 3, 6, 5, generator=seeded(3))
    nothing = map_of(kind, IMAGE, images, same=torch.zeros(4, dtype=torch.bool))
    assert torch.equal(nothing, torch.zeros(6, 5))


def test_median_is_positive_where_the_image_is_brighter_than_its_exemplars():
    image = torch.tensor([[[0.8, 0.2, 0.5, 0.52]]])
    images = torch.tensor([0.3, 0.7, 0.5, 0.5]).expand(5, 1, 1, 4)
    saliency = map_of("median", image, images, same=torch.ones(5, dtype=torch.bool))
    torch.testing.assert_close(saliency, torch.tensor([[0.5, -0.5, 0.0, 0.0]]))


def test_one_strange_exemplar_does_not_move_the_median():
    image = torch.full((1, 1, 1), 0.5)
    images = torch.tensor([0.5, 0.5, 0.5, 1.0, 0.5]).reshape(5, 1, 1, 1)
    assert float(map_of("median", image, images, same=torch.ones(5, dtype=torch.bool))) == 0


def test_contrast_is_positive_for_evidence_and_negative_against_it():
    """Pixel 0 bright and pixel 1 dark make the label. The image has both as they should be; pixel 2 speaks against."""
    bright = torch.rand(400, 4, generator=seeded(1))
    evidence = (bright[:, 0] - bright[:, 1] + bright[:, 2] + 1) / 3
    image = torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(1, 1, 4)
    saliency = map_of("contrast", image, bright.reshape(400, 1, 1, 4), evidence)[0]
    assert float(saliency[0]) > 0.5
    assert float(saliency[1]) > 0.5
    assert float(saliency[2]) < -0.5
    assert abs(float(saliency[3])) < 0.25, "a pixel that decides nothing stays near neutral"


def test_contrast_is_neutral_where_every_neighbor_has_the_label():
    images = torch.rand(5, 3, 6, 5, generator=seeded(3))
    everyone = torch.ones(5, dtype=torch.bool)
    assert torch.equal(map_of("contrast", IMAGE, images, same=everyone), torch.zeros(6, 5))


def strokes(*columns):
    """A dark image (1, 20, 20) with bright columns, two pixels wide, in its middle rows."""
    image = torch.zeros(1, 20, 20)
    for column in columns:
        image[:, 4:16, column : column + 2] = 1
    return image


def needs_left_without_middle(images):
    """The label: light in column 3, none in 9; light in 15 speaks against it."""
    at = images[:, 0, 4:16].mean(dim=1)
    return torch.sigmoid(4 * at[:, 3] - 4 * at[:, 9] - 2 * at[:, 15])


@pytest.mark.parametrize("answers", ["scores", "labels"])
def test_mosaic_shows_strokes_gaps_and_what_speaks_against_the_label(answers):
    def probability(images):
        scores = needs_left_without_middle(images)
        return scores if answers == "scores" else (scores > 0.5).float()

    others = torch.stack([strokes(9, 15), strokes(9), strokes(3, 9), strokes(15)])
    saliency = mosaic_map(strokes(3, 15), others, probability, seeded(1)).values
    stroke, gap, against = (float(saliency[4:16, column].mean()) for column in (3, 9, 15))
    assert stroke > 0.3
    assert gap > 0.1, "a gap that stays empty is evidence, where other labels have light"
    assert against < 0 if answers == "labels" else against < -0.1
    assert float(saliency[:3].abs().max()) < 0.05, "where all are dark little can change"


def test_mosaics_of_another_label_give_another_map():
    others = torch.stack([strokes(9, 15), strokes(9), strokes(3, 9), strokes(15)])
    image = strokes(3, 15)
    one = mosaic_map(image, others, needs_left_without_middle, seeded(1))
    other = mosaic_map(image, others, lambda images: 1 - needs_left_without_middle(images), seeded(1))
    torch.testing.assert_close(one.values, -other.values)


def test_mosaic_asks_as_often_as_it_says_and_draws_from_its_generator_alone():
    asked = []

    def probability(images):
        asked.append(len(images))
        return bright(images)

    others = torch.rand(9, 3, 6, 5, generator=seeded(3))
    maps = [mosaic_map(IMAGE, others, probability, seeded(seed), n_mosaics=50).values for seed in (1, 1, 2)]
    assert asked == [50, 50, 50]
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])


def test_mosaic_is_neutral_where_the_black_box_always_says_the_same():
    others = torch.rand(9, 3, 6, 5, generator=seeded(3))
    saliency = mosaic_map(IMAGE, others, lambda images: torch.full((len(images),), 0.7), seeded(1)).values
    assert torch.equal(saliency, torch.zeros(6, 5))


@pytest.mark.parametrize("n_landmarks", [0, 500])
@pytest.mark.parametrize("black_box", [hard, soft])
def test_abele_draws_a_mosaic_map_with_scores_and_labels_with_and_without_landmarks(black_box, n_landmarks):
    e = Abele(black_box, Identity("square"), n_samples=200, n_landmarks=n_landmarks).explain(image(0.9, 0.5))
    assert e.params["saliency"] == "mosaic"
    decides, decides_nothing = e.saliency.flatten().tolist()
    assert decides == 1
    assert abs(decides_nothing) < 0.2


def test_mosaic_takes_the_mean_of_the_nearest_images():
    """Far images, however many, do not fill the gap that the nearest leaves empty."""
    others = torch.cat([strokes(3)[None], strokes(3, 9)[None].expand(60, -1, -1, -1), strokes()[None]])
    near = mosaic_map(strokes(3, 15), others, needs_left_without_middle, seeded(1), n_nearest=1).values
    wide = mosaic_map(strokes(3, 15), others, needs_left_without_middle, seeded(1), n_nearest=62).values
    assert float(near[4:16, 9].abs().max()) < 0.05
    assert float(wide[4:16, 9].mean()) > 0.1


@pytest.mark.parametrize("size", [(28, 28), (9, 31), (3, 2), (1, 1)])
def test_areas_cover_10_to_90_percent_of_images_of_all_sizes(size):
    areas = _areas(200, *size, seeded(1))
    assert areas.shape == (200, *size)
    share = areas.float().mean(dim=(1, 2))
    pixels = size[0] * size[1]
    assert 0.1 <= float(share.min()) <= float(share.max()) <= 0.9 + 1 / pixels or pixels < 10
    if pixels > 100:  # random pixels of these shares would differ from their neighbor more often than not: 0.37
        assert float((areas[:, :, 1:] != areas[:, :, :-1]).float().mean()) < 0.15


def test_the_areas_of_a_seed_are_drawn_once_and_are_those_of_its_generator():
    assert torch.equal(areas_of_seed(3, 9, 7, 200), _areas(200, 9, 7, seeded(3)))
    assert areas_of_seed(3, 9, 7, 200) is areas_of_seed(3, 9, 7, 200)
    assert not torch.equal(areas_of_seed(3, 9, 7, 200), areas_of_seed(4, 9, 7, 200))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 300])
@pytest.mark.parametrize("n_labels", [2, 3, 9])
def test_a_backdrop_knows_of_each_label_what_the_images_of_the_others_show(n, n_labels):
    images, labels = torch.rand(n, 2, 5, 4, generator=seeded(n)), torch.randint(n_labels, (n,), generator=seeded(n))
    for backdrop in (
        Backdrop.of(images, labels),
        Backdrop.of(images[: n // 3], labels[: n // 3]).with_more(Backdrop.of(images[n // 3 :], labels[n // 3 :])),
    ):
        for label in range(n_labels + 1):
            others = images[labels != label]
            assert backdrop.has_others(label) == bool(len(others))
            if len(others):
                near = images[backdrop.near_others(images[0], label, 14)]
                nearest = mean_of_nearest(images[0], near, 7)
                found = torch.stack([backdrop.darkest_of_others(label), nearest, blurred(images[0])])
                assert torch.equal(found, backgrounds_of(images[0], others, 7))


@pytest.mark.parametrize("shape", [(1, 128, 96), (3, 65, 20)])
def test_large_images_are_compared_by_means_and_take_little_memory(shape):
    share = torch.linspace(0, 1, 200)[torch.randperm(200, generator=seeded(2))][:, None, None, None]
    images = share * torch.rand(1, *shape, generator=seeded(3))
    backdrop = Backdrop.of(images, torch.ones(200, dtype=torch.int64))
    assert sum(part.numel() for part in backdrop.pixels) <= images.numel() / 3
    found = backdrop.near_others(images[5], 0, 20)
    exact = (images - images[5]).square().flatten(1).sum(dim=1).argsort()[:20]
    assert 5 in found
    assert torch.isin(exact[:15], found).all()


def test_a_backdrop_of_no_images_has_no_others():
    backdrop = Backdrop.of(torch.zeros(0, 1, 2, 2), torch.zeros(0, dtype=torch.int64))
    assert not backdrop.has_others(0)


def test_the_fit_of_a_map_is_high_where_it_predicts_the_black_box_and_none_where_answers_are_noise():
    others = torch.stack([strokes(9, 15), strokes(9), strokes(3, 9), strokes(15)])
    noise = torch.rand(1600, generator=seeded(7))
    image = strokes(3, 15)
    good = mosaic_map(image, others, needs_left_without_middle, seeded(1))
    bad = mosaic_map(image, others, lambda images: noise, seeded(1))
    same = mosaic_map(image, others, lambda images: torch.full((len(images),), 0.7), seeded(1))
    assert 0.8 < good.fit <= 1
    assert bad.fit < 0.1
    assert same.fit is None
    assert mosaic_map(image, others[:0], needs_left_without_middle, seeded(1)).fit is None


def test_change_is_positive_where_pixels_must_become_brighter():
    before = torch.tensor([[[0.2, 0.8, 0.5]]])
    after = torch.tensor([[[[0.9, 0.8, 0.0]]], [[[0.2, 0.8, 0.5]]]])
    torch.testing.assert_close(change_map(before, after), torch.tensor([[[0.7, 0.0, -0.5]], [[0.0, 0.0, 0.0]]]))


def test_change_of_no_counter_exemplars_is_an_empty_map():
    assert change_map(IMAGE, torch.zeros(0, 3, 6, 5)).shape == (0, 6, 5)


def test_contiguous_areas_of_a_map_made_by_hand():
    """Kept: connected pixels of one sign above `low` with one above `high`; diagonals connect."""
    saliency = torch.tensor(
        [
            [1.0, 0.3, 0.0, 0.0, 0.0, 0.9],  # a large area; a lone strong pixel
            [0.3, 0.3, 0.0, 0.0, 0.0, 0.0],
            [0.1, 0.0, 0.3, 0.0, -0.3, -0.3],  # connected by its corner; a negative area without a peak
            [0.0, 0.0, 0.0, 0.0, -0.3, -0.3],
            [-0.6, -0.6, 0.0, 0.3, 0.3, 0.0],  # a negative area with a peak; a positive one without
            [-0.3, -0.3, 0.0, 0.3, 0.3, 0.0],
        ]
    )
    expected = torch.zeros(6, 6)
    for row, column in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (4, 0), (4, 1), (5, 0), (5, 1)]:
        expected[row, column] = saliency[row, column]
    assert torch.equal(contiguous_areas(saliency, low=0.15, high=0.4, min_pixels=4), expected)


def test_touching_areas_of_opposite_sign_are_two():
    saliency = torch.tensor([[1.0, 1.0, -1.0, -1.0]] * 2)
    assert torch.equal(contiguous_areas(saliency, min_pixels=4), saliency)
    assert torch.equal(contiguous_areas(saliency, min_pixels=5), torch.zeros(2, 4))


@examples(200)
@given(MAPS)
def test_areas_are_parts_of_the_map(values):
    saliency = torch.from_numpy(values)
    areas = contiguous_areas(saliency)
    assert areas.dtype == torch.float32
    assert bool(((areas == saliency) | (areas == 0)).all())
    assert torch.equal(contiguous_areas(-saliency), -areas), "both signs are treated alike"


@examples(200)
@given(MAPS, st.sampled_from([0.25, 0.5]))
def test_areas_do_not_depend_on_the_scale_of_the_map(values, factor):
    saliency = torch.from_numpy(np.where(np.abs(values) < 1e-3, 0, values))
    assert torch.equal(contiguous_areas(saliency * factor), contiguous_areas(saliency) * factor)


def test_an_empty_map_has_no_areas():
    assert torch.equal(contiguous_areas(torch.zeros(5, 5)), torch.zeros(5, 5))


def test_on_one_scale_is_signed_robust_and_keeps_zero():
    values = torch.zeros(10, 10)
    values[0, :5], values[1, 0], values[2, 0] = 2.0, -2.0, 1000.0
    scaled = on_one_scale(values, quantile=0.98)
    assert torch.equal(scaled[0, :5], torch.ones(5))
    assert (scaled[1, 0], scaled[2, 0], scaled[5, 5]) == (-1.0, 1.0, 0.0)
    assert torch.equal(on_one_scale(7 * values, quantile=0.98), scaled)


def test_on_one_scale_of_one_pixel_and_of_nothing():
    single = torch.zeros(2, 20, 20)
    single[0, 3, 3] = -0.25
    scaled = on_one_scale(single)
    assert scaled[0, 3, 3] == -1.0
    assert torch.equal(scaled[1], torch.zeros(20, 20))
