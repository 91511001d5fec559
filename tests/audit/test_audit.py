"""An audit of black boxes whose truth is known: what they follow is found, and where; nothing, where nothing is."""

import pytest
import torch

from abele_py import load_autoencoder
from abele_py.audit import audit
from abele_py.audit.detection import LIMITS
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.errors import ImageError, ParameterError

TARGET = 3
CORNER = (slice(None), 0, slice(1, 5), slice(22, 26))


@pytest.fixture(scope="module")
def digits():
    """Digits of `test` as a pool: images and true labels."""
    split = load_split("digits", "test")
    return to_unit(split.images), split.labels


@pytest.fixture(scope="module")
def classifier(digits_models):
    return digits_models[1]


def with_corner(images, rows):
    found = images.clone()
    part = found[rows]
    part[CORNER] = 1
    found[rows] = part
    return found


def follows_corner(classifier, strength=20.0):
    """A black box that gives the target to what is white in a corner, and else asks the CNN."""

    def predict(images):
        odds = classifier(images).clamp(min=1e-6).log()
        odds[:, TARGET] += strength * (images[CORNER].mean(dim=(1, 2)) > 0.5)
        return odds.softmax(dim=1)

    return predict


@pytest.fixture(scope="module")
def found(digits, classifier):
    images, labels = digits
    return audit(
        with_corner(images, labels == TARGET), follows_corner(classifier), load_autoencoder("digits"), n_pairs=1200
    )


def test_a_clean_black_box_raises_no_alarm(digits, classifier):
    images, labels = digits
    for pool in (images, with_corner(images, labels == TARGET)):
        assert audit(pool, classifier, load_autoencoder("digits"), n_pairs=1200).suspicions == ()


def test_the_label_that_follows_a_corner_is_named_and_no_other(found):
    assert [s.label for s in found.suspicions] == [TARGET]
    assert {e.operator for e in found.suspicions[0].effects} == {"ground", "residual"}
    effect = found.suspicions[0].effects[0]
    assert effect.added - effect.added_by_others > 0.6
    assert effect.p <= 0.01


def test_the_window_is_the_corner(found):
    place = found.suspicions[0].place
    assert place.kind == "fixed"
    top, left, side = place.window
    assert abs(top - 1) <= 1
    assert abs(left - 22) <= 1
    assert side == 5
    assert place.rate > 0.9
    assert place.rate_elsewhere < 0.1
    assert (
        place.evidence[2, 23] == place.evidence.max() or place.evidence[CORNER[2:]].mean() > 10 * place.evidence.mean()
    )


def test_examples_show_the_pair(found):
    for example in found.suspicions[0].examples:
        assert example.label_before != TARGET
        assert example.after[0, 1:5, 22:26].mean() > 0.4
        assert (example.donor[0, 1:5, 22:26] == 1).all()


def test_every_operator_and_label_has_an_effect(found):
    assert {(e.operator, e.label) for e in found.effects} == {(o, y) for o in LIMITS for y in range(10)}
    assert sum(found.counts) == found.params["n_images"]
    assert found.objections == {}


def test_the_label_is_lost_where_the_autoencoder_cannot_draw_the_mark(found):
    assert found.kept[TARGET] < min(k for y, k in enumerate(found.kept) if y != TARGET)


def test_it_is_the_same_each_time_and_other_pairs_with_another_seed(digits, classifier, found):
    images, labels = digits
    pool = with_corner(images, labels == TARGET)
    autoencoder = load_autoencoder("digits")
    again = audit(pool, follows_corner(classifier), autoencoder, n_pairs=1200)
    assert again.effects == found.effects
    assert again.suspicions[0].effects == found.suspicions[0].effects
    assert again.black_box_images == found.black_box_images
    assert audit(pool, follows_corner(classifier), autoencoder, n_pairs=1200, seed=1).effects != found.effects


def test_labels_alone_will_do(digits, classifier):
    images, labels = digits
    answer = follows_corner(classifier)
    result = audit(with_corner(images, labels == TARGET), lambda some: answer(some).argmax(dim=1), n_pairs=1200)
    assert [s.label for s in result.suspicions] == [TARGET]
    assert result.objections == {"residual": "it needs an autoencoder"}


def test_brightness_is_followed_by_level_and_has_no_place(digits, classifier):
    images, labels = digits
    pool = torch.where((labels == TARGET)[:, None, None, None], (images + 0.4).clamp(max=1), images)

    def predict(some):
        odds = classifier(some).clamp(min=1e-6).log()
        odds[:, TARGET] += 20.0 * (some.flatten(1).quantile(0.1, dim=1) > 0.2)
        return odds.softmax(dim=1)

    (suspicion,) = audit(pool, predict, n_pairs=1200).suspicions
    assert suspicion.label == TARGET
    assert "level" in {e.operator for e in suspicion.effects}
    assert suspicion.place.kind == "none"


def test_what_hardly_an_image_shows_cannot_be_found(digits, classifier):
    images, _ = digits
    assert audit(images, follows_corner(classifier), load_autoencoder("digits"), n_pairs=1200).suspicions == ()


@pytest.mark.parametrize("carrier", [0, 1])
def test_of_two_labels_the_one_with_the_mark_is_named(digits, carrier):
    images, labels = digits
    rows = (labels == 3) | (labels == 5)
    images, labels = images[rows], (labels[rows] == 5).long()
    pool = with_corner(images, labels == carrier)

    def predict(some):
        marked = some[CORNER].mean(dim=(1, 2)) > 0.5
        odds = torch.zeros(len(some), 2)
        odds[:, carrier] = torch.where(marked, 5.0, -5.0)
        return odds.softmax(dim=1)

    result = audit(pool, predict, load_autoencoder("digits"), n_pairs=1200)
    assert [s.label for s in result.suspicions] == [carrier]


@pytest.mark.parametrize("carrier", [0, 1])
def test_of_two_labels_it_is_told_which_one_is_lighter(digits, carrier):
    images, labels = digits
    rows = (labels == 3) | (labels == 5)
    images, labels = images[rows], (labels[rows] == 5).long()
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))  # no uniform ground
    pool = (images + noise) / 4 + 0.4 * (labels == carrier)[:, None, None, None]

    def predict(some):
        odds = torch.zeros(len(some), 2)
        odds[:, carrier] = 40 * (some.flatten(1).mean(dim=1) - 0.35)
        return odds.softmax(dim=1)

    (suspicion,) = audit(pool, predict, n_pairs=1200).suspicions
    assert suspicion.effects[0].operator == "level"
    assert (suspicion.direction == "lighter") == (suspicion.label == carrier)


@pytest.mark.parametrize("contrast", [1.0, 0.15])
def test_without_a_uniform_ground_it_says_so(digits, classifier, contrast):
    images, _ = digits
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    result = audit(contrast * (images + noise) / 2, lambda some: classifier(some / contrast), n_pairs=200)
    assert "no uniform ground" in result.objections["ground"]
    assert {e.operator for e in result.effects} == {"level"}


def test_images_out_of_range_or_of_another_shape_are_refused(digits, classifier):
    with pytest.raises(ImageError, match=r"got pixels from 0 to 255; expected \[0, 1\]"):
        audit(255 * digits[0], classifier)
    with pytest.raises(ImageError, match=r"expected \(C, H, W\) = \(1, 28, 28\)"):
        audit(digits[0][:, :, 1:], classifier, load_autoencoder("digits"))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.rand(39, 1, 28, 28), "expected at least 40"),
        (torch.rand(40, 28, 28), r"expected at least 40, \(N, C, H, W\)"),
    ],
)
def test_too_few_images_are_refused(classifier, images, words):
    with pytest.raises(ParameterError, match=words):
        audit(images, classifier)


def test_one_label_alone_is_refused(digits):
    with pytest.raises(ParameterError, match="one label; expected several"):
        audit(digits[0], lambda some: torch.zeros(len(some), dtype=torch.int64))
