"""Metrics of counter-exemplars: answers known by hand, and scikit-learn's local outlier factor."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import LocalOutlierFactor
from support.worlds import Counting, hard, image, seeded, soft

from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import ParameterError
from abele_py.metrics.base import metric_of
from abele_py.metrics.class_autoencoders import ClassAutoencoders
from abele_py.metrics.counter_exemplars import (
    Plausibility,
    availability,
    availability_per_class,
    diversity,
    im1,
    im2,
    latent_distance,
    nearest_unlike,
    oracle_agreement,
    plausibility,
    proximity_l1,
    proximity_l2,
    sparsity,
    validity,
)

X = image(0.2, 0.5)
COUNTERS = torch.stack([image(0.2, 0.5), image(0.5, 0.9)])
NONE = COUNTERS[:0]
NO_LABELS = torch.zeros(0, dtype=torch.int64)


def constant(*values: float) -> ClassAutoencoders:
    """Autoencoders of two pixels that answer one brightness each, whatever they see: classes 0, 1, ..., last all."""
    logits = torch.tensor(values).logit()[:, None, None].expand(-1, 1, 2)
    return ClassAutoencoders((torch.zeros(len(values), 2, 2),), (logits,), (1, 1, 2))


# -- what the classifiers say


def test_validity_asks_the_black_box_again():
    assert validity(BlackBox(hard), COUNTERS, torch.tensor([1, 1])) == 0.5
    assert validity(BlackBox(soft), COUNTERS, torch.tensor([0, 1])) == 1.0
    counting = Counting()
    validity(BlackBox(counting, batch_size=8), COUNTERS.repeat(10, 1, 1, 1), torch.ones(20, dtype=torch.int64))
    assert counting.batches == [8, 8, 4]


def test_oracle_agreement_is_what_the_second_classifier_says():
    by_second_pixel = BlackBox(lambda images: (images[:, 0, 0, 1] > 0.95).long())
    assert oracle_agreement(by_second_pixel, COUNTERS, torch.tensor([0, 1])) == 0.5


# -- how many


def test_availability():
    assert (availability(NO_LABELS), availability(torch.tensor([3]))) == (0.0, 1.0)
    assert availability_per_class(NO_LABELS, 5) == 0.0
    assert availability_per_class(torch.tensor([1, 3, 3]), 5) == 0.5
    assert availability_per_class(torch.tensor([0, 1, 3, 4]), 5) == 1.0


# -- how near


def test_distances_by_hand():
    assert proximity_l1(X, COUNTERS) == pytest.approx((0 + 0.35) / 2)
    assert proximity_l2(X, COUNTERS) == pytest.approx((0 + math.sqrt((0.09 + 0.16) / 2)) / 2)
    assert sparsity(X, COUNTERS) == pytest.approx(0.5)
    assert latent_distance(torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0], [4.0, 4.0]])) == pytest.approx(2.5)


@pytest.mark.parametrize("distance", [proximity_l1, proximity_l2, sparsity])
def test_the_image_itself_is_at_distance_0_and_its_negative_at_1(distance):
    assert distance(X, X[None]) == 0.0
    white = torch.ones(3, 4, 4)
    assert distance(white, torch.zeros(2, 3, 4, 4)) == 1.0


def test_a_pixel_is_changed_where_a_channel_changes_by_more_than_a_tenth():
    x = torch.zeros(3, 2, 2)
    counter = x.clone()
    counter[1, 0, 0] = counter[2, 0, 0] = 0.2
    counter[:, 1, 1] = 0.09
    assert sparsity(x, counter[None]) == 0.25


def test_distances_grow_along_a_line():
    start, end = torch.rand(2, 1, 6, 6, generator=seeded())
    line = [(start + share * (end - start))[None] for share in (0.2, 0.5, 1.0)]
    for distance in (proximity_l1, proximity_l2):
        near, middle, far = (distance(start, step) for step in line)
        assert near == pytest.approx(0.2 * far, rel=1e-5)
        assert middle == pytest.approx(0.5 * far, rel=1e-5)
        assert proximity_l1(start, line[0]) <= proximity_l2(start, line[0])


def test_diversity_is_the_mean_over_pairs():
    three = torch.stack([image(0.0, 0.0), image(1.0, 1.0), image(0.0, 1.0)])
    assert diversity(three) == pytest.approx((1 + 2 * math.sqrt(0.5)) / 3)
    assert diversity(X.repeat(4, 1, 1, 1)) == 0.0
    assert math.isnan(diversity(X[None]))


# -- IM1 and IM2


def test_im1_and_im2_by_hand():
    autoencoders = constant(0.2, 0.6, 0.5)
    x = image(0.7, 0.7)[None]
    claimed, own = 2 * 0.1**2, 2 * 0.5**2
    assert im1(autoencoders, x, torch.tensor([1]), 0) == pytest.approx(claimed / own, rel=1e-4)
    assert im2(autoencoders, x, torch.tensor([1])) == pytest.approx(2 * 0.1**2 / 1.4, rel=1e-4)


def test_each_counter_exemplar_is_judged_by_the_class_that_it_claims():
    autoencoders = constant(0.1, 0.5, 0.9, 0.4)
    counters, labels = torch.stack([image(0.9, 0.8), image(0.4, 0.6)]), torch.tensor([2, 1])
    apart = [im1(autoencoders, c[None], t[None], 0) for c, t in zip(counters, labels, strict=True)]
    assert im1(autoencoders, counters, labels, 0) == pytest.approx(sum(apart) / 2, rel=1e-6)
    assert im1(autoencoders, counters, labels, 0) < 1 < im1(autoencoders, counters, torch.tensor([1, 2]), 1)
    apart = [im2(autoencoders, c[None], t[None]) for c, t in zip(counters, labels, strict=True)]
    assert im2(autoencoders, counters, labels) == pytest.approx(sum(apart) / 2, rel=1e-6)


def test_im1_is_1_for_the_own_class_and_im2_0_where_both_autoencoders_agree():
    assert im1(constant(0.2, 0.6, 0.6), COUNTERS, torch.tensor([0, 0]), 0) == pytest.approx(1)
    assert im2(constant(0.2, 0.6, 0.6), COUNTERS, torch.tensor([1, 1])) == 0.0


def test_im1_and_im2_of_a_black_image_reconstructed_perfectly_are_finite():
    black = constant(1e-12, 1e-12, 1e-12)
    assert im1(black, torch.zeros(1, 1, 1, 2), torch.tensor([1]), 0) == pytest.approx(0, abs=1e-6)
    assert im2(black, torch.zeros(1, 1, 1, 2), torch.tensor([1])) == pytest.approx(0, abs=1e-6)


def test_a_class_without_an_autoencoder_is_refused():
    with pytest.raises(ParameterError, match="got the label 2"):
        im1(constant(0.2, 0.6, 0.6), COUNTERS, torch.tensor([2, 1]), 0)


# -- plausibility


@pytest.fixture(scope="module")
def clouds():
    """Images of class 0 about dark grey, of class 1 about light grey."""
    labels = torch.arange(120) % 2
    noise = 0.05 * torch.randn(120, 1, 2, 2, generator=seeded())
    return torch.where(labels == 0, 0.3, 0.7).reshape(-1, 1, 1, 1) + noise, labels


def test_plausibility_is_the_local_outlier_factor_of_scikit_learn(clouds):
    images, labels = clouds
    real = Plausibility.fit(images, labels, per_class=50)
    asked, claimed = torch.rand(9, 1, 2, 2, generator=seeded(1)), torch.arange(9) % 2
    expected = []
    for query, label in zip(asked, claimed, strict=True):
        known = images[labels == label][:50].flatten(1).numpy()
        theirs = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(known)
        expected.append(-theirs.score_samples(query.reshape(1, -1).numpy())[0])
    assert plausibility(real, asked, claimed) == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_real_image_is_an_inlier_of_its_class_and_an_outlier_of_the_other(clouds):
    images, labels = clouds
    real = Plausibility.fit(images[:100], labels[:100])
    unseen, own = images[100:], labels[100:]
    assert plausibility(real, unseen, own) == pytest.approx(1, abs=0.3)
    assert plausibility(real, unseen, 1 - own) > 3


def test_small_classes_and_unknown_ones(clouds):
    images, labels = clouds
    few = Plausibility.fit(images[:4], labels[:4])
    assert plausibility(few, images[:2], labels[:2]) > 0
    with pytest.raises(ParameterError, match="got the label 5"):
        plausibility(few, images[:1], torch.tensor([5]))
    with pytest.raises(ParameterError, match="got 1 image of the class 1"):
        Plausibility.fit(images[:3], labels[:3])
    with pytest.raises(ParameterError, match="per_class=1"):
        Plausibility.fit(images, labels, per_class=1)


# -- nothing found


def test_without_counter_exemplars_means_are_nan():
    no_codes = torch.zeros(0, 2)
    real = Plausibility.fit(torch.rand(4, 1, 1, 2, generator=seeded()), torch.tensor([0, 0, 1, 1]))
    networks = constant(0.2, 0.6, 0.6)
    values = [
        validity(BlackBox(hard), NONE, NO_LABELS),
        oracle_agreement(BlackBox(soft), NONE, NO_LABELS),
        proximity_l1(X, NONE),
        proximity_l2(X, NONE),
        sparsity(X, NONE),
        latent_distance(no_codes.sum(dim=0), no_codes),
        diversity(NONE),
        im1(networks, NONE, NO_LABELS, 0),
        im2(networks, NONE, NO_LABELS),
        plausibility(real, NONE, NO_LABELS),
    ]
    assert [math.isnan(value) for value in values] == [True] * 10


# -- beside them


def test_nearest_unlike_neighbors_are_found_by_brute_force():
    images, labels = torch.rand(60, 1, 3, 3, generator=seeded()), torch.arange(60) % 4
    x = torch.rand(1, 3, 3, generator=seeded(1))
    distances = [float(((i - x) ** 2).sum()) for i in images]
    expected = [min((r for r in range(60) if labels[r] == t), key=lambda r: distances[r]) for t in (0, 1, 3)]
    assert nearest_unlike(x, labels, images, 2).tolist() == expected
    assert nearest_unlike(x, labels[:1], images[:1], 0).tolist() == []


def test_a_real_image_of_the_other_class_is_a_good_counter_exemplar(digits_models, digit_images):
    _, classifier = digits_models
    black_box = BlackBox(classifier)
    labels = black_box(digit_images).labels
    label = int(labels[0])
    rows = nearest_unlike(digit_images[0], labels, digit_images, label)
    assert labels[rows].tolist() == [t for t in range(10) if t != label]
    assert validity(black_box, digit_images[rows], labels[rows]) == 1.0
    assert availability_per_class(labels[rows], 10) == 1.0
    farther = [int((labels == t).nonzero()[-1]) for t in range(10) if t != label]
    assert proximity_l2(digit_images[0], digit_images[rows]) < proximity_l2(digit_images[0], digit_images[farther])


def test_every_metric_says_which_direction_is_better():
    higher = [validity, oracle_agreement, availability, availability_per_class, diversity]
    lower = [proximity_l1, proximity_l2, latent_distance, sparsity, im1, im2, plausibility]
    assert {metric_of(f).better for f in higher} == {"higher"}
    assert {metric_of(f).better for f in lower} == {"lower"}
    assert len({metric_of(f).title for f in [*higher, *lower]}) == 12
