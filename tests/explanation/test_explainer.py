"""Abele from end to end: worlds with a known answer, the contracts of every result, bounded work, the same bytes."""

import json
import random
from itertools import product

import numpy as np
import pytest
import torch
from support.marks import slow_if
from support.worlds import (
    EDGE,
    IN_THE_SQUARE,
    Counting,
    Identity,
    IdentityModule,
    always_one,
    hard,
    image,
    quarters,
    soft,
)

from abele_py import Abele
from abele_py.errors import NeighborhoodError, ParameterError, UnknownNameError

NEIGHBORHOODS = ["local", "random", "genetic", "genetic-score", "hybrid", "mixture"]
QUICK = ["local", "mixture"]


def explain(black_box=soft, pixels=(0.6, 0.5), target=None, accepts="square", **options):
    options = {"n_samples": 200, **options}
    return Abele(black_box, Identity(accepts), **options).explain(image(*pixels), target)


def codes(explanation):
    return {note.code for note in explanation.notes}


@pytest.mark.parametrize("black_box", slow_if(lambda black_box: black_box is soft, [hard, soft]))
@pytest.mark.parametrize(
    ("neighborhood", "splits"),
    [(n, "axis") for n in ("local", "random", "genetic", "hybrid", "mixture")]
    + [(n, "oblique") for n in ("local", "random", "mixture")],
)
@pytest.mark.parametrize("pixels", [(0.6, 0.5), (0.1, 0.9), (0.35, 0.0)])
def test_the_known_answer_is_found(black_box, neighborhood, pixels, splits):
    """The label is 1 where the first pixel is above 0.3: one condition, its edge at 0.3, the way out just across."""
    e = explain(black_box, pixels, neighborhood=neighborhood, n_samples=400, splits=splits, counter_depth=0)
    label = int(pixels[0] > EDGE)
    assert e.label == e.reconstruction_label == e.rule.label == label
    (condition,) = e.rule.conditions
    assert condition.axis == 0
    # The edge lies along an axis: with oblique splits too the axis itself may be the better split.
    assert condition.towards in ((None,) if splits == "axis" else (None, 1 - label))
    assert condition.operator == (">" if label and condition.towards is None else "<=")
    edge = torch.tensor([[EDGE, pixels[1]]])
    assert float(condition.coordinate(edge)) == pytest.approx(condition.threshold, abs=0.03)
    (counterfactual,) = e.counterfactual_rules
    assert counterfactual.label == 1 - label
    assert [c.threshold for c in counterfactual.changes] == [condition.threshold]
    assert e.fidelity > 0.95
    assert e.trust.hit
    assert e.counter_exemplars.labels.tolist() == [1 - label]
    assert float(e.counter_exemplars.latents[0, 0]) == pytest.approx(EDGE, abs=0.01)
    assert len(e.exemplars) == 16


@pytest.mark.parametrize("black_box", [hard, soft])
@pytest.mark.parametrize("neighborhood", ["genetic", "hybrid"])
@pytest.mark.parametrize("pixels", [(0.6, 0.5), (0.1, 0.9), (0.35, 0.0)])
def test_clustered_neighbors_leave_the_direction_open_and_the_label_known(black_box, neighborhood, pixels):
    """The points of a genetic search stand in clusters: several directions part them, each of which is right there."""
    e = explain(black_box, pixels, neighborhood=neighborhood, n_samples=400, splits="oblique", counter_depth=0)
    label = int(pixels[0] > EDGE)
    assert e.label == e.rule.label == label
    assert e.trust.hit
    assert e.fidelity > 0.95
    assert {c.label for c in e.counterfactual_rules} == {1 - label}
    assert float(e.counter_exemplars.latents[0, 0]) == pytest.approx(EDGE, abs=0.01)


def test_the_saliency_of_the_known_answer_marks_the_pixel_that_decides():
    saliency = explain(soft, (0.9, 0.5), n_samples=500).saliency[0]
    assert float(saliency[0]) == 1.0
    assert abs(float(saliency[1])) < 0.2
    change = explain(soft, (0.9, 0.5)).counter_exemplars.saliency[0, 0]
    assert float(change[0]) < -0.55, "the first pixel must become darker"


@pytest.mark.parametrize("black_box", [hard, soft])
def test_counter_exemplars_stand_beyond_the_boundary_and_the_path_shows_where_it_is(black_box):
    depths = {"counter_search": "line"}, {"counter_depth": 0}
    e, near = (explain(black_box, (0.9, 0.5), n_frames=20, **depth) for depth in depths)
    assert float(e.counter_exemplars.latents[0, 0]) < 0.9 * EDGE < float(near.counter_exemplars.latents[0, 0])
    labels = e.counter_exemplars.path_labels[0].tolist()
    assert labels == sorted(labels, reverse=True)
    assert labels[0] == 1
    assert labels[-2:] == [0, 0], "beyond the boundary, not at it"
    assert e.params["counter_depth"] == 0.35
    assert explain(black_box, preset="paper").params["counter_depth"] is None


def check(e, space):
    """Every contract of an explanation that holds whatever was explained."""
    space = e.seen_in(space)
    answer = space.black_box(e.image[None])
    assert e.label == int(answer.labels)
    assert torch.equal(e.latent, space.encode(e.image[None])[0])
    n = e.neighborhood
    assert len(n.latents) == len(n.labels) == len(n.weights) == e.trust.n_neighbors
    assert torch.equal(n.latents[0], e.latent)
    assert int(n.labels[0]) == e.label
    assert len(np.unique(n.latents.numpy(), axis=0)) == len(n)
    assert bool(((n.weights > 0) & (n.weights <= 1)).all())
    assert torch.equal(space.classify(n.latents[1:]).labels, n.labels[1:])
    assert bool(e.rule.covers(e.latent[None]))
    assert e.trust.hit == (e.rule.label == e.label)
    again = space.classify(e.exemplars.latents)
    assert torch.equal(again.labels, e.exemplars.labels)
    assert torch.equal(again.images, e.exemplars.images)
    for exemplars in (e.exemplars, e.counter_exemplars):
        assert torch.equal(space.black_box(exemplars.images).labels, exemplars.labels), "it says so when asked again"
        assert bool(space.valid(exemplars.latents).all())
        assert float(exemplars.images.min() if len(exemplars) else 0) >= 0
        assert float(exemplars.images.max() if len(exemplars) else 0) <= 1
    assert bool(e.rule.covers(e.exemplars.latents).all())
    assert bool((e.exemplars.labels == e.label).all())
    c = e.counter_exemplars
    assert bool((c.labels != e.label).all())
    assert len(c.labels.unique()) == len(c)
    torch.testing.assert_close(c.distances, (c.latents - e.latent).norm(dim=1))
    assert torch.equal(c.distances, c.distances.sort().values)
    assert torch.equal(c.paths[:, 0], e.image.expand(c.paths[:, 0].shape))
    assert torch.equal(c.paths[:, -1], c.images)
    assert torch.equal(space.black_box(c.paths.flatten(0, 1)).labels, c.path_labels.flatten())
    assert torch.equal(c.path_labels[:, -1], c.labels)
    assert e.saliency.shape == e.saliency_areas.shape == e.image.shape[1:]
    assert float(e.saliency.abs().max()) <= 1
    assert bool(((e.saliency_areas == e.saliency) | (e.saliency_areas == 0)).all())
    assert c.saliency.shape == (len(c), *e.image.shape[1:])
    assert torch.equal(space.black_box(e.traversals.images.flatten(0, 1)).labels, e.traversals.labels.flatten())
    other = float((n.labels != e.label).double().mean())
    assert e.trust.other_fraction == other
    assert (other < e.params["min_class_fraction"]) == bool(codes(e) & {"one-label", "min-class-fraction"})
    assert (len(e.exemplars) < e.params["n_exemplars"]) == ("few-exemplars" in codes(e))
    assert (len(n) < e.params["n_samples"]) == ("few-neighbors" in codes(e))
    assert (e.reconstruction_label != e.label) == ("label-not-preserved" in codes(e))
    assert {counterfactual.label for counterfactual in e.counterfactual_rules}.isdisjoint({e.rule.label})


@pytest.mark.parametrize(
    ("neighborhood", "preset", "name"),
    slow_if(
        lambda case: case[0] not in QUICK and case[1:] != ("default", "quarters"),
        product(NEIGHBORHOODS, ["default", "paper"], ["soft", "quarters", "one label"]),
    ),
)
def test_every_contract_holds(neighborhood, preset, name):
    black_box = {
        "soft": soft,
        "quarters": lambda x: torch.nn.functional.one_hot(quarters(x), 4).float(),
        "one label": always_one,
    }[name]
    explainer = Abele(black_box, Identity(), neighborhood, n_samples=150, preset=preset)
    everywhere = [(0.6, 0.5), (0.0, 0.0), (0.51, 0.49), (0.3, 1.0)]
    for pixels in everywhere[:1] if name == "one label" else everywhere:
        check(explainer.explain(image(*pixels)), explainer._space)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.35, 0.5])
@pytest.mark.parametrize("neighborhood", ["local", "random", "genetic", "hybrid", "mixture"])
def test_the_least_share_of_other_labels_is_kept_or_noted(fraction, neighborhood):
    e = explain(hard, neighborhood=neighborhood, min_class_fraction=fraction, n_samples=100)
    other = int((e.neighborhood.labels != e.label).sum())
    assert (other / len(e.neighborhood) < fraction) == ("min-class-fraction" in codes(e))


def test_an_image_that_its_reconstruction_does_not_keep_is_explained_with_a_note():
    """Published code: with a misclassified reconstruction the search for exemplars ran for minutes."""
    autoencoder = Identity()
    autoencoder.decode = lambda z: (z.clamp(0, 1) * 0.9).reshape(-1, 1, 1, 2)
    explainer = Abele(hard, autoencoder, n_samples=150)
    e = explainer.explain(image(0.32, 0.5))
    assert (e.label, e.reconstruction_label) == (1, 0)
    assert not e.trust.label_preserved
    assert "label-not-preserved" in codes(e)
    check(e, explainer._space)


def test_one_label_everywhere_is_said_so():
    e = explain(always_one)
    assert str(e.rule) == "{always} -> 1"
    assert codes(e) >= {"one-label", "no-counter-exemplars"}
    assert len(e.counter_exemplars) == 0
    assert e.counter_exemplars.paths.shape[1:] == (8, 1, 1, 2)
    assert torch.equal(e.saliency, torch.zeros(1, 2))


def test_a_discriminator_that_refuses_everything_is_a_clear_error():
    for neighborhood in NEIGHBORHOODS:
        with pytest.raises(NeighborhoodError, match="validity_threshold"):
            explain(soft, accepts="none", neighborhood=neighborhood)
    assert len(explain(soft, accepts="none", validity_threshold=0.0).neighborhood) == 200


def test_an_image_that_the_discriminator_refuses_is_explained_with_a_note():
    autoencoder = Identity()
    autoencoder.discriminate = lambda z: (z[:, 1] < 0.9).float()
    e = Abele(soft, autoencoder, n_samples=100).explain(image(0.6, 0.95))
    assert not e.trust.code_valid
    assert "code-not-valid" in codes(e)


def test_points_are_as_typical_as_the_mixture_says():
    e = explain(quarters)
    assert e.trust.typicality == float(IN_THE_SQUARE.typicality(e.latent[None]))
    assert torch.equal(e.exemplar_typicality, IN_THE_SQUARE.typicality(e.exemplars.latents))
    assert torch.equal(e.counter_exemplar_typicality, IN_THE_SQUARE.typicality(e.counter_exemplars.latents))
    assert len(e.counter_exemplar_typicality) == len(e.counter_exemplars) == 3


def test_an_image_far_from_all_codes_is_explained_with_a_note():
    e = explain(soft, (0.01, 0.99))
    assert e.trust.typicality < 0.05
    assert "not-typical" in codes(e)
    assert "not-typical" not in codes(explain(soft, (0.5, 0.5)))


def test_an_autoencoder_without_a_mixture_explains_without_typicality():
    e = Abele(soft, IdentityModule(), n_samples=100).explain(image(0.01, 0.99))
    assert e.trust.typicality is e.exemplar_typicality is e.counter_exemplar_typicality is None
    assert "not-typical" not in codes(e)
    with pytest.raises(ParameterError, match="without a mixture"):
        Abele(soft, IdentityModule(), "mixture", n_samples=100).explain(image(0.5, 0.5))


NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize("target", [0, "0", "a"])
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_target_is_a_number_or_a_name(target, preset):
    e = explain(quarters, (0.6, 0.8), target, class_names=NAMES, preset=preset)
    assert set(e.counter_exemplars.labels.tolist()) <= {0}
    assert len(e.counter_exemplars) == 1 or "target-not-found" in codes(e)
    assert e.params["target"] == target


def test_no_target_gives_every_other_label():
    assert sorted(explain(quarters, (0.6, 0.8)).counter_exemplars.labels.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("target", ["cat", "e", 4, -1, "-1", "", "0.5", "²"])
def test_an_unknown_target_is_refused(target):
    with pytest.raises(UnknownNameError, match="expected one of: a, b, c, d"):
        explain(quarters, (0.6, 0.8), target, class_names=NAMES)
    with pytest.raises(UnknownNameError):
        explain(soft, (0.6, 0.8), 2)


@pytest.mark.parametrize("target", [3, "d", "3"])
def test_the_own_label_is_no_target(target):
    with pytest.raises(ParameterError, match="expected another label"):
        explain(quarters, (0.6, 0.8), target, class_names=NAMES)


@pytest.mark.parametrize("target", [1.5, 0.0, [0], True])
def test_a_target_that_is_neither_label_nor_name_is_refused(target):
    with pytest.raises((ParameterError, UnknownNameError)):
        explain(quarters, (0.6, 0.8), target, class_names=NAMES)


@pytest.mark.parametrize("black_box", [always_one, lambda x: always_one(x).argmax(dim=1)], ids=["scores", "labels"])
def test_a_target_that_cannot_be_reached_is_noted(black_box):
    counting = Counting(black_box)
    e = explain(counting, target=0)
    assert len(e.counter_exemplars) == 0
    assert "target-not-found" in codes(e)
    assert sum(counting.batches) < 5000


@pytest.mark.parametrize("number", [np.int64, np.int32])
def test_numbers_of_numpy_are_numbers(number):
    e = explain(quarters, (0.6, 0.8), number(0), n_samples=number(100), random_state=number(1), class_names=NAMES)
    assert json.loads(e.to_json())["params"]["target"] == 0
    assert e.counter_exemplars.labels.tolist() == [0]


@pytest.mark.parametrize("neighborhood", NEIGHBORHOODS)
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_the_black_box_budget(neighborhood, preset):
    """Images: neighbors, exemplars, candidates, refinement and morphs; calls: a few, whatever the number of images."""
    n, counting = 300, Counting(soft)
    explainer = Abele(counting, Identity(), neighborhood, n_samples=n, preset=preset, batch_size=10_000)
    counting.batches.clear()
    e = explainer.explain(image(0.6, 0.5))
    assert sum(counting.batches) == e.params["black_box_images"]
    assert sum(counting.batches) <= 11 * n + 2000
    assert len(counting.batches) <= 50


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_memory_is_bounded_by_the_batch_size(batch_size):
    counting, autoencoder = Counting(soft), Identity()
    Abele(counting, autoencoder, n_samples=100, batch_size=batch_size).explain(image(0.6, 0.5))
    assert max(counting.batches) <= batch_size
    assert max(autoencoder.decoded + autoencoder.encoded) <= batch_size


@pytest.mark.parametrize("neighborhood", slow_if(lambda n: n not in QUICK, NEIGHBORHOODS))
def test_the_same_seed_gives_the_same_bytes_whatever_was_explained_before_and_for_every_batch_size(neighborhood):
    few = {"neighborhood": neighborhood, "n_samples": 100}
    expected = explain(**few).to_json()
    explainer = Abele(soft, Identity(), **few)
    explainer.explain(image(0.1, 0.1))
    torch.manual_seed(5)
    assert explainer.explain(image(0.6, 0.5)).to_json() == expected
    assert explainer.explain(image(0.6, 0.5)).to_json() == expected
    for batch_size in (1, 7):
        assert explain(**few, batch_size=batch_size).to_json() == expected
    assert explain(**few, random_state=1).to_json() != expected


@pytest.mark.slow
def test_the_digits_give_the_same_bytes_for_every_batch_size_and_order(digits_models, digit_images):
    autoencoder, classifier = digits_models

    def explained(batch_size, *rows):
        explainer = Abele(classifier, autoencoder, n_samples=100, n_landmarks=50, batch_size=batch_size)
        return [explainer.explain(digit_images[row]).to_json() for row in rows]

    first, second = explained(256, 3, 8)
    assert explained(256, 8, 3) == [second, first]
    assert explained(7, 3) == [first]
    assert explained(1, 3) == [first]


@pytest.mark.parametrize("neighborhood", NEIGHBORHOODS)
def test_no_global_random_state_is_read_or_written(neighborhood):
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    explain(neighborhood=neighborhood)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_the_image_may_be_an_array_and_is_not_kept_by_reference():
    pixels = np.array([[[0.6, 0.5]]])
    e = Abele(soft, Identity(), n_samples=100).explain(pixels)
    pixels[:] = 0
    assert e.image.tolist() == image(0.6, 0.5).tolist()


def test_the_encoder_is_called_once_for_an_image():
    """Published code called a stochastic encoder twice: rule and exemplars spoke of different points."""
    autoencoder = Identity()
    explainer = Abele(soft, autoencoder, n_samples=100)
    autoencoder.encoded.clear()
    explainer.explain(image(0.6, 0.5))
    assert autoencoder.encoded == [1]


def test_the_paper_s_preset_takes_its_definitions():
    e = explain(soft, preset="paper")
    assert e.params["neighborhood"]["strategy"] == "Hybrid"
    assert e.params["kernel_width"] == pytest.approx(0.75 * 2**0.5)
    assert e.params["saliency"] == "median"


def test_options_of_the_caller_come_before_the_preset():
    e = explain(soft, preset="paper", neighborhood="random", kernel_width=0.3, saliency="contrast")
    assert e.params["neighborhood"]["strategy"] == "Random"
    assert e.params["kernel_width"] == 0.3
    assert e.params["saliency"] == "contrast"


def test_a_digit_is_explained_with_every_contract_kept(digits_models, digit_images, digit_explanation):
    autoencoder, classifier = digits_models
    explainer = Abele(classifier, autoencoder, n_samples=400, class_names="0123456789")
    check(digit_explanation, explainer._space)
    assert digit_explanation.to_json() == explainer.explain(digit_images[7]).to_json()
    assert len(digit_explanation.exemplars) > 0
