"""Neighborhoods: row 0 is the image, rows are valid, unique and labelled, calls are few, every loop ends."""

import math

import numpy as np
import pytest
import torch
from support.worlds import (
    IN_THE_SQUARE,
    Counting,
    Identity,
    IdentityModule,
    always_one,
    anchor_of,
    hard,
    quarters,
    seeded,
    soft,
    space_of,
)

from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import NeighborhoodError, ParameterError, UnknownNameError
from abele_py.latent.genetic import Genetic
from abele_py.latent.neighborhood import (
    STRATEGIES,
    Between,
    FromMixture,
    Hybrid,
    Local,
    Random,
    _composed,
    generate,
    kernel_weights,
    strategy,
)
from abele_py.latent.space import LatentSpace, local_radius

ALL = list(STRATEGIES)


def neighbors_of(name, black_box=soft, pixels=(0.6, 0.5), n=200, fraction=0.1, accepts="square", batch_size=256):
    space = space_of(black_box, accepts, batch_size)
    anchor = anchor_of(space, *pixels)
    return space, anchor, generate(strategy(name), space, anchor, n, fraction, seeded())


@pytest.mark.parametrize("name", ALL)
def test_row_0_is_the_image_with_its_own_code_and_label(name):
    _, anchor, points = neighbors_of(name)
    assert torch.equal(points.latents[0], anchor.latents[0])
    assert torch.equal(points.images[0], anchor.images[0])
    assert points.labels[0] == anchor.labels[0]
    assert torch.equal(points.scores[0], anchor.scores[0])


@pytest.mark.parametrize("name", ALL)
def test_row_0_keeps_the_label_of_the_image_where_its_reconstruction_has_another(name):
    black_box = BlackBox(lambda x: (x[:, 0, 0, 0] > 0.6).long())  # the decoder below darkens every image
    autoencoder = Identity()
    autoencoder.decode = lambda z: (z.clamp(0, 1) * 0.9).reshape(-1, 1, 1, 2)
    space = LatentSpace(autoencoder, black_box)
    anchor = anchor_of(space, 0.62, 0.5)
    points = generate(strategy(name) if name != "genetic-score" else Genetic(), space, anchor, 100, 0.1, seeded())
    assert int(points.labels[0]) == 1
    assert int(space.classify(anchor.latents).labels) == 0
    assert torch.equal(points.labels[1:], space.classify(points.latents[1:]).labels)


@pytest.mark.parametrize("name", ALL)
def test_rows_are_unique_valid_and_of_one_length(name):
    """Published code: after rebalancing, latents and labels had different lengths."""
    space, _, points = neighbors_of(name)
    assert len(points.latents) == len(points.labels) == len(points.images) == len(points.scores) <= 200
    assert len(np.unique(points.latents.numpy(), axis=0)) == len(points)
    assert bool(space.valid(points.latents[1:]).all())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("black_box", [soft, lambda x: torch.nn.functional.one_hot(quarters(x), 4).float()])
def test_labels_images_and_scores_belong_to_their_points(name, black_box):
    space, _, points = neighbors_of(name, black_box)
    again = space.classify(points.latents)
    assert torch.equal(points.labels, again.labels)
    assert torch.equal(points.images, again.images)
    assert torch.equal(points.scores, again.scores)


@pytest.mark.parametrize("name", ["local", "random", "genetic", "hybrid", "mixture"])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.14])
def test_the_least_share_of_other_labels_is_kept_where_they_are_reachable(name, fraction):
    _, anchor, points = neighbors_of(name, hard, (0.6, 0.5), 200, fraction)
    other = int((points.labels != anchor.labels[0]).sum())
    assert other >= fraction * len(points)


@pytest.mark.parametrize("name", ["local", "random", "genetic", "hybrid", "mixture"])
def test_as_many_neighbors_as_asked_for_where_all_are_valid(name):
    points = neighbors_of(name, hard, accepts="all")[2]
    assert len(points) == 200


@pytest.mark.parametrize("name", ["local", "random", "genetic", "hybrid", "mixture"])
def test_one_label_everywhere_ends_with_one_label(name):
    points = neighbors_of(name, always_one)[2]
    assert points.labels.unique().tolist() == [1]
    assert len(points) > 100


@pytest.mark.parametrize("name", ALL)
def test_two_classes_work_with_every_neighborhood(name):
    """Published code: with two classes every genetic mode crashed."""
    points = neighbors_of(name, soft)[2]
    assert points.labels.unique().tolist() == [0, 1]


@pytest.mark.parametrize("name", ALL)
def test_a_discriminator_that_refuses_everything_ends_in_a_clear_error(name):
    """Published code: unbounded search until the discriminator accepts."""
    counting = Counting(soft)
    with pytest.raises(NeighborhoodError, match="lower validity_threshold") as caught:
        neighbors_of(name, counting, accepts="none")
    assert isinstance(caught.value, RuntimeError)
    assert sum(counting.batches) < 30 * 200


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_bytes_for_every_batch_size(name):
    first = neighbors_of(name, batch_size=256)[2]
    for batch_size in (1, 7):
        again = neighbors_of(name, batch_size=batch_size)[2]
        assert all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(again).values(), strict=True))


def test_another_seed_gives_other_points():
    space = space_of(soft)
    anchor = anchor_of(space, 0.6, 0.5)
    for name in ALL:
        a, b = (generate(strategy(name), space, anchor, 100, 0.1, seeded(s)).latents[1:] for s in (0, 1))
        assert not torch.equal(a, b)


@pytest.mark.parametrize("name", ALL)
def test_no_image_is_bigger_than_a_batch_allows(name):
    counting = Counting(soft)
    neighbors_of(name, counting, batch_size=16)
    assert max(counting.batches) <= 16


@pytest.mark.parametrize("similarity", ["label", "score"])
@pytest.mark.parametrize("generations", [1, 4, 10])
def test_a_generation_costs_one_decode_and_one_call(similarity, generations):
    """Published code: one decode and one call per candidate."""
    counting = Counting(soft)
    space = space_of(counting, "all", batch_size=1000)
    anchor = anchor_of(space, 0.4, 0.6)
    space.autoencoder.decoded.clear()
    counting.batches.clear()
    Genetic(similarity=similarity, generations=generations).points(space, anchor, 199, 20, seeded())
    assert len(counting.batches) == generations
    assert len(space.autoencoder.decoded) == generations


def test_unchanged_individuals_are_not_evaluated_twice():
    counting = Counting(quarters)
    space = space_of(counting, "all")
    anchor = anchor_of(space, 0.4, 0.6)
    evaluated = []
    decode = space.autoencoder.decode

    def remembering(latents):
        evaluated.append(latents.clone())
        return decode(latents)

    space.autoencoder.decode = remembering
    Genetic().points(space, anchor, 199, 20, seeded())
    everything = torch.cat([anchor.latents, *evaluated]).numpy()
    assert len(np.unique(everything, axis=0)) == len(everything)
    assert len(everything) < 10 * 199, "crossover and mutation leave some individuals as they are"


@pytest.mark.parametrize("name", ALL)
def test_the_black_box_budget_is_bounded(name):
    counting = Counting(always_one)  # the worst case: another label is never found
    neighbors_of(name, counting, n=200, batch_size=1000)
    assert sum(counting.batches) <= 1 + 11 * 200
    assert len(counting.batches) <= 1 + 11 + 11


def test_genetic_populations_stay_close_and_know_both_sides():
    """The first keeps the label, the second changes it, both nearer to the code than samples of the prior."""
    _, anchor, points = neighbors_of("genetic", hard, (0.6, 0.5), 300, accepts="all")
    other = points.labels != anchor.labels[0]
    assert 0.3 < float(other.float().mean()) < 0.7
    random = neighbors_of("random", hard, (0.6, 0.5), 300, accepts="all")[2]

    def typical(p):
        return float((p.latents - anchor.latents[0]).norm(dim=1)[1:].median())

    assert typical(points) < 0.8 * typical(random)


def test_genetic_by_scores_needs_scores():
    with pytest.raises(ParameterError, match="labels only; expected scores"):
        neighbors_of("genetic-score", hard)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_local_neighbors_stay_within_the_radius_where_labels_are_mixed_there(scale):
    space, anchor, points = neighbors_of(Local(scale=scale), soft, (0.3, 0.5), 300)
    radius = scale * local_radius(space, anchor.latents[0])
    distances = (points.latents - anchor.latents[0]).norm(dim=1)
    assert float(distances.max()) <= radius * 1.0001
    assert float(distances.max()) > radius * 0.9


def test_local_neighborhood_grows_until_it_reaches_another_label():
    _, anchor, points = neighbors_of(Local(scale=0.5), hard, (0.95, 0.5), 200, 0.1)
    distances = (points.latents - anchor.latents[0]).norm(dim=1)
    assert float(distances.max()) > 0.65, "the edge is 0.65 away"
    assert bool((points.labels != anchor.labels[0]).any())


def test_neighbors_from_the_mixture_are_its_samples_where_all_are_valid():
    space = space_of(hard, "all")
    points = FromMixture().points(space, anchor_of(space, 0.6, 0.5), 200, 0, seeded())
    assert torch.equal(points.latents, IN_THE_SQUARE.sample(200, seeded()))


def test_an_autoencoder_without_a_mixture_has_no_such_neighborhood():
    space = LatentSpace(IdentityModule(), BlackBox(soft))
    with pytest.raises(ParameterError, match="without a mixture of its codes; expected one"):
        generate(strategy("mixture"), space, anchor_of(space, 0.6, 0.5), 100, 0.1, seeded())


@pytest.mark.parametrize("n", [9, 0, -5])
def test_too_few_neighbors_are_refused(n):
    with pytest.raises(ParameterError, match="expected at least 10"):
        neighbors_of("local", n=n)


@pytest.mark.parametrize("n", [10, 11, 12, 13])
@pytest.mark.parametrize("name", ALL)
def test_the_smallest_neighborhoods_work(name, n):
    assert len(neighbors_of(name, n=n, accepts="all")[2]) == n


@pytest.mark.parametrize("fraction", [-0.1, 0.51, 1.0, math.nan])
def test_an_impossible_share_is_refused(fraction):
    with pytest.raises(ParameterError, match="min_class_fraction"):
        neighbors_of("local", fraction=fraction)


def test_an_unknown_strategy_is_refused_and_the_nearest_name_offered():
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        strategy("randm")


@pytest.mark.parametrize("own", [Random(rounds=3), FromMixture(rounds=3), Local(2.0), Genetic(generations=2), Hybrid()])
def test_a_strategy_may_have_options_of_its_own(own):
    assert strategy(own) is own
    assert len(neighbors_of(own)[2]) >= 10


@pytest.mark.parametrize(
    ("other", "n", "n_other", "kept"),
    [
        ("0000", 3, 0, [0, 1, 2]),
        ("0011", 3, 1, [0, 1, 2]),
        ("0001", 3, 1, [0, 1, 3]),
        ("000011", 3, 2, [0, 4, 5]),
        ("000111", 4, 3, [0, 3, 4, 5]),  # row 0 always stays
        ("010001", 4, 2, [0, 1, 2, 5]),
        ("00", 5, 3, [0, 1]),
    ],
)
def test_the_last_rows_of_the_same_label_make_room_for_others(other, n, n_other, kept):
    rows = _composed(torch.tensor([c == "1" for c in other]), n, n_other)
    assert rows.tolist() == kept


def test_weights_are_positive_even_for_points_far_away_and_equal_ones():
    latents = torch.tensor([[0.0, 0.0], [1e6, 0.0], [0.0, 0.0]])
    for width in (None, 0.1):
        weights = kernel_weights(latents, width)
        assert bool((weights > 0).all())
        assert bool((weights <= 1).all())
    assert bool(torch.isfinite(kernel_weights(torch.zeros(5, 2))).all())


def test_the_default_kernel_has_the_same_weights_at_every_scale():
    latents = torch.randn(50, 3, generator=seeded())
    torch.testing.assert_close(kernel_weights(latents * 64), kernel_weights(latents))


def test_points_lie_between_the_code_and_the_nearest_real_codes():
    space = space_of(soft)
    anchor = anchor_of(space, 0.6, 0.5)
    center = anchor.latents[0]
    points = Between(nearest=3).points(space, anchor, 200, 20, seeded()).latents
    ends = space.reference_latents[(space.reference_latents - center).norm(dim=1).argsort()[:3]] - center
    steps = points - center
    share = steps @ ends.T / ends.square().sum(dim=1)
    off = (steps[:, None] - share[:, :, None] * ends).norm(dim=2)
    on = off.argmin(dim=1)
    assert float(off.amin(dim=1).max()) < 1e-6
    assert on.unique().tolist() == [0, 1, 2]
    lengths = share[torch.arange(len(share)), on]
    assert 0 <= float(lengths.min()) < 0.1
    assert 0.9 < float(lengths.max()) <= 1


def test_where_all_real_codes_are_the_image_itself_there_is_nothing_between():
    space = space_of(soft)
    anchor = anchor_of(space, 0.6, 0.5)
    space.reference_latents = anchor.latents.expand(5, 2)
    with pytest.raises(NeighborhoodError, match="got 0 valid neighbors"):
        generate(Between(), space, anchor, 100, 0.1, seeded())
