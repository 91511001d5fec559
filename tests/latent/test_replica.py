"""The fast code equals the paper's definitions, written as slow loops in ``replica.py``."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.tree import DecisionTreeClassifier
from support import replica
from support.worlds import Counting, anchor_of, quarters, seeded, space_of

from abele_py.explanation.saliency import contrast_map, median_map
from abele_py.latent.exemplars import sample_box
from abele_py.latent.genetic import Genetic, _fitness, _mutate, crossover, tournament
from abele_py.latent.neighborhood import Hybrid, Random, generate, kernel_weights
from abele_py.latent.space import Points
from abele_py.surrogate.pruning import prune, pruning_alphas
from abele_py.surrogate.rules import Rule
from abele_py.surrogate.tree import Surrogate, counterfactual_rules, fit_surrogate, rule_of
from abele_py.trees import from_sklearn, leaves

LATENTS = torch.randn(150, 4, generator=seeded(5))


@pytest.mark.parametrize("width", [0.5, 1.5, 0.75 * 2])
def test_kernel_weights(width):
    expected = [replica.kernel_weight(z, LATENTS[0].tolist(), width) for z in LATENTS.tolist()]
    np.testing.assert_allclose(kernel_weights(LATENTS, width), np.maximum(expected, 1e-12), rtol=1e-5)


def test_kernel_weights_are_local():
    """Published code: weights between 0.80 and 1.00, no locality at all."""
    weights = kernel_weights(LATENTS)
    assert float(weights[0]) == 1.0
    assert float(weights.min()) < 0.5
    order = (LATENTS - LATENTS[0]).norm(dim=1).argsort()
    assert torch.equal(weights[order], weights.sort(descending=True).values)


@pytest.mark.parametrize("similarity", ["label", "score"])
@pytest.mark.parametrize("same", [True, False])
def test_genetic_fitness(similarity, same):
    n = 40
    scores = torch.rand(n, 3, generator=seeded(1)).softmax(dim=1)
    points = Points(LATENTS[:n], torch.zeros(n, 1, 1, 2), scores.argmax(dim=1), scores)
    values = _fitness(Genetic(similarity=similarity), points, points[:1], same)
    z, s, y = LATENTS[0].tolist(), scores[0].tolist(), int(points.labels[0])
    expected = [
        replica.fitness(
            LATENTS[i].tolist(),
            z,
            float(int(points.labels[i]) == y) if similarity == "label" else replica.cosine(scores[i].tolist(), s),
            same,
        )
        for i in range(n)
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_tournament_takes_the_fittest_of_those_drawn():
    values = torch.rand(30, generator=seeded(2))
    drawn = torch.randint(30, (30, 3), generator=seeded(3)).tolist()
    assert tournament(values, 3, seeded(3)).tolist() == replica.tournament(values.tolist(), drawn)


def test_crossover_swaps_between_two_cuts_and_keeps_both_children():
    """Published code: crossover on array views lost the first child's genes in every mating."""
    genes = torch.arange(60.0).reshape(12, 5)
    before = genes.clone()
    children = crossover(genes, 1.0, seeded(4))
    cuts = torch.randint(6, (6, 2), generator=seeded(4)).sort(dim=1).values.tolist()
    for pair, (start, stop) in enumerate(cuts):
        one, two = replica.crossover(before[2 * pair].tolist(), before[2 * pair + 1].tolist(), start, stop)
        assert children[2 * pair].tolist() == one
        assert children[2 * pair + 1].tolist() == two
    assert torch.equal(genes, before), "the parents are not touched"
    assert torch.equal(children.sort(dim=0).values, genes), "no gene is lost, none doubled"


@pytest.mark.parametrize(("probability", "share"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_crossover_takes_place_with_its_probability(probability, share):
    genes = torch.arange(20_000.0).reshape(2000, 10)
    changed = (crossover(genes, probability, seeded()) != genes).any(dim=1).reshape(-1, 2).all(dim=1).float().mean()
    empty_cut = 11 / 121  # both cuts equal: nothing between them
    assert float(changed) == pytest.approx(share * (1 - empty_cut), abs=0.04)


def test_an_odd_individual_passes_crossover_unchanged():
    genes = torch.arange(15.0).reshape(3, 5)
    assert torch.equal(crossover(genes, 1.0, seeded())[2], genes[2])


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_mutation_draws_some_coordinates_of_some_individuals_anew_from_the_prior(probability):
    genes = torch.full((4000, 6), 100.0)
    mutated = _mutate(genes, probability, seeded())
    new = mutated != 100.0
    assert float(new.any(dim=1).float().mean()) == pytest.approx(probability, abs=0.03)
    if probability:
        assert stats.kstest(mutated[new].numpy(), "norm").pvalue > 0.001
        assert len(new[new.any(dim=1)].sum(dim=1).unique()) == 6, "any number of coordinates, from one to all"


def test_hybrid_is_half_random_and_half_genetic():
    counting = Counting(quarters)
    space = space_of(counting, "all")
    anchor = anchor_of(space, 0.4, 0.6)
    points = Hybrid().points(space, anchor, 101, 10, seeded())
    generator = seeded()
    genetic = Genetic().points(space, anchor, 51, 10, generator)
    random = Random().points(space, anchor, 50, 5, generator)
    assert torch.equal(points.latents, torch.cat([genetic.latents, random.latents]))


def test_random_neighbors_are_samples_of_the_prior():
    space = space_of(quarters, "all")
    neighbors = generate(Random(), space, anchor_of(space, 0.4, 0.6), 1000, 0.1, seeded())
    for coordinate in neighbors.latents[1:].T:
        assert stats.kstest(coordinate.numpy(), "norm").pvalue > 0.001


def grown_tree(seed):
    labels = torch.randint(4, (150,), generator=seeded(seed))
    model = DecisionTreeClassifier(max_leaf_nodes=25, random_state=0).fit(LATENTS.numpy(), labels.numpy())
    return Surrogate(from_sklearn([model]), torch.from_numpy(model.classes_)), model


@pytest.mark.parametrize("seed", range(3))
def test_the_rule_is_the_path_of_the_tree(seed):
    surrogate, model = grown_tree(seed)
    for z in LATENTS[:20]:
        rule = rule_of(surrogate, z)
        expected = replica.simplified(replica.path_conditions(model.tree_, z.tolist()))
        assert {(c.axis, c.operator, c.threshold) for c in rule.conditions} == expected
        assert len(rule.conditions) == len(expected)
        assert rule.label == model.predict(z[None].numpy())[0]


@pytest.mark.parametrize("seed", range(3))
def test_counterfactual_rules_are_minimal_over_all_leaves(seed):
    surrogate, model = grown_tree(seed)
    leaves = replica.leaf_paths(model.tree_)
    for z in LATENTS[:20]:
        found = counterfactual_rules(surrogate, z)
        assert {c.label: len(c.changes) for c in found} == replica.fewest_changes(model.tree_, z.tolist())
        for c in found:
            conditions = {(x.axis, x.operator, x.threshold) for x in c.rule.conditions}
            assert (conditions, c.label) in leaves
            broken = {x for x in conditions if not replica.holds(x, z.tolist())}
            assert {(x.axis, x.operator, x.threshold) for x in c.changes} == broken
            assert bool(c.rule.covers(c.rule.nearest(z[None]))), "the conditions can be met together"


def test_fidelity_is_the_weighted_share_of_held_out_neighbors_on_which_tree_and_black_box_agree():
    """Published code: fidelity on the tree's own training points."""
    labels = (LATENTS[:, 0] * LATENTS[:, 1] > 0).long()
    labels[torch.randperm(150, generator=seeded(1))[:30]] = 2  # noise, so that nothing is perfect
    weights = kernel_weights(LATENTS)
    surrogate, fidelity = fit_surrogate(LATENTS, labels, weights, seeded(8))
    order = [0, *(1 + torch.randperm(149, generator=seeded(8))).tolist()]
    held_out, known = order[112:], order[:112]
    right = (surrogate.predict(LATENTS) == labels).tolist()

    def share(rows, w=None):
        return replica.weighted_share([right[r] for r in rows], [1.0] * len(rows) if w is None else w[rows].tolist())

    assert fidelity.n_held_out == len(held_out)
    assert fidelity.held_out == pytest.approx(share(held_out, weights))
    assert fidelity.held_out_unweighted == pytest.approx(share(held_out))
    assert fidelity.in_sample == pytest.approx(share(known))
    constant = {  # not in the paper: of every label the share that has it, of which the image's label is one
        y: [int(labels[r]) == y for r in held_out] for y in range(3)
    }
    weighted = {y: replica.weighted_share(same, weights[held_out].tolist()) for y, same in constant.items()}
    assert fidelity.constant == pytest.approx(max(weighted.values()))
    assert weighted[fidelity.constant_label] == max(weighted.values()) > weighted[int(labels[0])]
    assert fidelity.constant_unweighted == pytest.approx(max(sum(same) / len(same) for same in constant.values()))
    assert fidelity.hit == right[0]


@pytest.mark.parametrize(
    ("low", "high", "center", "scale"),
    [(-0.5, 0.2, 0.0, 1.0), (0.0, 9.0, 0.0, 1.0), (1.5, 1.6, 0.0, 1.0), (3.0, 9.0, 0.0, 1.0), (-2.0, 0.1, 0.4, 0.3)],
)
def test_points_in_a_box_follow_the_truncated_normal_distribution(low, high, center, scale):
    rule = Rule.from_box(torch.tensor([low], dtype=torch.float64), torch.tensor([high], dtype=torch.float64), 0)
    points = sample_box(rule, torch.tensor([center]), scale, 4000, seeded())
    expected = stats.truncnorm((low - center) / scale, (high - center) / scale, loc=center, scale=scale)
    assert stats.kstest(points[:, 0].numpy(), expected.cdf).pvalue > 0.001


def test_points_in_no_box_follow_the_normal_distribution():
    points = sample_box(Rule((), 0), torch.tensor([1.0, -2.0]), 0.5, 4000, seeded())
    assert stats.kstest(points[:, 0].numpy(), stats.norm(1.0, 0.5).cdf).pvalue > 0.001
    assert stats.kstest(points[:, 1].numpy(), stats.norm(-2.0, 0.5).cdf).pvalue > 0.001


@pytest.mark.parametrize("n", [1, 2, 9, 10])
def test_median_saliency(n):
    image = torch.rand(1, 5, 4, generator=seeded(1))
    exemplars = (image + 0.3 * torch.randn(n, 1, 5, 4, generator=seeded(2))).clamp(0, 1)
    saliency = median_map(image, exemplars)
    expected = replica.median_saliency(image[0].tolist(), exemplars[:, 0].tolist())
    np.testing.assert_allclose(saliency, expected, atol=1e-6)


def test_contrast_saliency():
    image = torch.rand(1, 5, 4, generator=seeded(1))
    neighbors = torch.rand(30, 1, 5, 4, generator=seeded(2))
    evidence = torch.rand(30, generator=seeded(3))
    same = evidence > 0.5
    saliency = contrast_map(image, neighbors, evidence, same)
    expected = replica.contrast_saliency(image[0].tolist(), neighbors[:, 0].tolist(), evidence.tolist(), same.tolist())
    np.testing.assert_allclose(saliency, expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_every_pruning_of_one_fit_is_the_tree_that_scikit_learn_fits_for_it(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(300, 5)).astype(np.float32)
    labels = (points[:, 0] + rng.normal(size=300) > 0).astype(int) + (points[:, 1] > 1)
    weights = rng.random(300)
    model = DecisionTreeClassifier(random_state=0).fit(points, labels, sample_weight=weights)
    tree, alphas = from_sklearn([model]), pruning_alphas(model)
    path = model.cost_complexity_pruning_path(points, labels, sample_weight=weights).ccp_alphas
    for alpha in np.quantile(path, [0, 0.3, 0.7, 0.9, 1]) * (1 + 1e-9):
        expected = DecisionTreeClassifier(random_state=0, ccp_alpha=alpha).fit(points, labels, sample_weight=weights)
        pruned = prune(tree, alphas, alpha)
        assert int((pruned.axis < 0).sum()) == expected.get_n_leaves()
        found = pruned.value[leaves(pruned, torch.from_numpy(points))[:, 0]].argmax(dim=1)
        assert found.tolist() == expected.predict(points).tolist()
