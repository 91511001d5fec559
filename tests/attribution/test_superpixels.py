"""Superpixels that follow the strokes, and four explainers on them whose answers are known by hand."""

import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from support.fuzz import examples
from support.marks import slow_if
from support.real_data import data_dir_of

from abele_py import load_classifier
from abele_py.attribution.baselines import baseline_of
from abele_py.attribution.superpixels import anchor, kernel_shap, lime, lore, segments
from abele_py.black_boxes.black_box import BlackBox
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.errors import ParameterError, UnknownNameError

METHODS = [lime, kernel_shap, anchor, lore]
FAST = {"lime": 200, "kernel_shap": 200, "anchor": 600, "lore": 300}


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def quilt(channels=1):
    """A 12 x 12 image of nine squares; with 9 segments each is a superpixel."""
    values = torch.tensor([0.1, 0.9, 0.4, 0.8, 0.2, 1.0, 0.3, 0.7, 0.0]).reshape(3, 3)
    return values.repeat_interleave(4, 0).repeat_interleave(4, 1)[None].repeat(channels, 1, 1)


def bright_square(images):
    """Class 1 is how bright the square in the middle right is; 1.0 in the quilt, 0.49 where it is absent."""
    score = images[:, :, 4:8, 8:12].mean(dim=(1, 2, 3))
    return torch.stack([1 - score, score], dim=1)


def is_bright(images):
    return (bright_square(images)[:, 1] > 0.9).long()


def explained(method, image, black_box, target, **options):
    options = {"n_samples": FAST[method.__name__], **options}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return method(image, black_box, target, **options)


def numbers_are_complete(found):
    return torch.equal(found.unique(), torch.arange(int(found.max()) + 1))


def test_every_digit_has_enough_superpixels(digit_images):
    found = [segments(image) for image in digit_images]
    assert all(f.shape == (28, 28) and f.dtype == torch.int64 for f in found)
    assert all(map(numbers_are_complete, found))
    assert min(int(f.max()) + 1 for f in found) >= 20
    assert max(int(f.max()) + 1 for f in found) <= 60


def test_every_mnist_image_has_enough_superpixels():
    images = to_unit(load_split("mnist", "test", data_dir=data_dir_of("mnist")).images[:200])
    assert min(int(segments(image).max()) + 1 for image in images) >= 20


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_and_constant_images_have_enough_too(channels):
    images = [noise(channels, 28, 28, seed=seed) for seed in range(10)]
    images += [torch.full((channels, 28, 28), value) for value in (0.0, 0.5, 1.0)]
    for image in images:
        found = segments(image)
        assert numbers_are_complete(found)
        assert 20 <= int(found.max()) + 1 <= 60


@examples(40)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(2, 60), st.integers(0, 9))
def test_any_size_is_divided(height, width, channels, n, seed):
    found = segments(noise(channels, height, width, seed=seed), n)
    assert found.shape == (height, width)
    assert numbers_are_complete(found)
    assert min(height * width, max(2, n / 2)) <= int(found.max()) + 1 <= max(4, 3 * n)


def test_superpixels_follow_strokes(digit_images):
    """In most superpixels most pixels are all ink or all background: more so than in a grid of 49 squares."""

    def purity(ink, cells):
        share = torch.stack([ink[cells == i].float().mean() for i in range(int(cells.max()) + 1)])
        size = torch.bincount(cells.flatten()).float()
        return float((torch.maximum(share, 1 - share) * size).sum() / size.sum())

    grid = segments(torch.zeros(1, 28, 28))
    inks = [image[0] > 0.5 for image in digit_images[:40]]
    ours = [purity(ink, segments(image)) for ink, image in zip(inks, digit_images[:40], strict=True)]
    squares = [purity(ink, grid) for ink in inks]
    assert sum(ours) / 40 > 0.94 > 0.92 > sum(squares) / 40


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_the_one_superpixel_that_counts_is_found(method, channels):
    image = quilt(channels)
    values = explained(method, image, BlackBox(bright_square), 1, n_segments=9)
    if method in (anchor, lore):  # these look at labels, of which the superpixel's absence must change one
        values = explained(method, image, BlackBox(is_bright), 1, n_segments=9)
    assert values.shape == (12, 12)
    assert values.dtype == torch.float32
    counts = torch.zeros(12, 12, dtype=torch.bool)
    counts[4:8, 8:12] = True
    assert values[counts].min() > 0
    assert values[counts].min() > 5 * values[~counts].abs().max()


@pytest.mark.parametrize("method", METHODS)
def test_labels_alone_are_enough_and_one_value_fills_a_superpixel(method):
    image = quilt()
    values = explained(method, image, BlackBox(is_bright), 1, n_segments=9)
    cells = segments(image, 9)
    assert all(len(values[cells == i].unique()) == 1 for i in range(9))
    assert bool((values[4:8, 8:12] == values.max()).all())
    assert values.max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_what_speaks_against_the_target_is_negative(method):
    values = explained(method, quilt(), BlackBox(is_bright), 0, n_segments=9)
    assert bool((values[4:8, 8:12] == values.min()).all())
    assert values.min() < 0


@pytest.mark.parametrize("method", METHODS)
def test_a_black_box_that_never_changes_its_mind_has_an_empty_map(method):
    constant = BlackBox(lambda images: torch.tensor([[0.25, 0.75]]).repeat(len(images), 1))
    values = explained(method, quilt(), constant, 1, n_segments=9)
    assert values.abs().max() < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_size_changes_a_map_and_none_is_exceeded(method, digits_models, digit_images):
    maps = []
    for size in (1, 7, 256):
        sizes = []

        def asked(images, sizes=sizes):
            sizes.append(len(images))
            return bright_square(images)

        maps.append(explained(method, quilt(), BlackBox(asked, size), 1, n_segments=9))
        assert max(sizes) <= size
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])
    cnn, image = digits_models[1], digit_images[3]
    seven, many = (explained(method, image, BlackBox(cnn, size), 1) for size in (7, 256))
    assert torch.equal(seven, many)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_and_the_global_generator_stays(method, digits_models, digit_images):
    black_box, image = BlackBox(digits_models[1]), digit_images[5]
    label = int(black_box(image[None]).labels)
    state = torch.get_rng_state()
    first = explained(method, image, black_box, label, seed=1)
    torch.rand(3)
    moved = torch.get_rng_state()
    second = explained(method, image, black_box, label, seed=1)
    assert torch.equal(torch.get_rng_state(), moved)
    assert not torch.equal(state, moved)
    assert torch.equal(first, second)
    assert not torch.equal(first, explained(method, image, black_box, label, seed=2))


@pytest.mark.parametrize("method", METHODS)
def test_the_global_generator_stays_after_an_error(method):
    def broken(images):
        raise RuntimeError("no")

    state = torch.get_rng_state()
    with pytest.raises(Exception, match="no"):
        method(quilt(), BlackBox(broken), 1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", METHODS)
def test_a_forest_can_be_explained(method, digit_images):
    black_box = BlackBox(load_classifier("digits-forest"))
    label = int(black_box(digit_images[:1]).labels)
    values = explained(method, digit_images[0], black_box, label)
    assert bool(values.isfinite().all())
    assert values.max() > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("option", [{"n_samples": 99}, {"n_segments": 1}])
def test_an_option_out_of_range_is_named(method, option):
    with pytest.raises(ParameterError, match=f"got {next(iter(option))}="):
        method(quilt(), BlackBox(is_bright), 1, **option)


@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_nobody_knows_and_an_image_of_one_pixel_are_refused(method):
    with pytest.raises(UnknownNameError, match="blur"):
        method(quilt(), BlackBox(is_bright), 1, baseline="blurr")
    with pytest.raises(ParameterError, match="single pixel"):
        method(torch.ones(1, 1, 1), BlackBox(is_bright), 1)


def tiny(images):
    """Four pixels, the score is no sum of theirs."""
    a, b, c, d = images.flatten(1).T
    score = 0.5 * a * b + 0.3 * c - 0.2 * a * d + 0.2
    return torch.stack([1 - score, score], dim=1)


def shapley(function, n):
    """By definition, over all orders (Shapley 1953)."""
    values = torch.zeros(n, dtype=torch.float64)
    for order in itertools.permutations(range(n)):
        present = torch.zeros(n)
        for i in order:
            before = function(present)
            present[i] = 1
            values[i] += function(present) - before
    return values / math.factorial(n)


def test_kernel_shap_gives_shapley_values():
    image = torch.tensor([[[0.9, 0.8], [0.6, 0.5]]])
    found = kernel_shap(image, BlackBox(tiny), 1, baseline="zero", n_samples=2000)
    exact = shapley(lambda present: float(tiny(image[None] * present.reshape(1, 1, 2, 2))[0, 1]), 4)
    assert torch.allclose(found.flatten().double(), exact, atol=0.015)


@pytest.mark.parametrize("baseline", ["zero", "mean", "blur"])
def test_kernel_shap_of_a_sum_is_exact_and_adds_up(baseline):
    weights = noise(12, 12) / 144
    black_box = BlackBox(
        lambda x: torch.stack([x[:, 0].mul(-weights).sum((1, 2)), x[:, 0].mul(weights).sum((1, 2))], 1)
    )
    image = quilt()
    found = explained(kernel_shap, image, black_box, 1, n_segments=9, baseline=baseline)
    gain = weights * (image - baseline_of(image, baseline))[0]
    cells = segments(image, 9)
    exact = torch.stack([gain[cells == i].sum() for i in range(9)])
    assert torch.allclose(found, exact[cells], atol=1e-5)
    total = sum(float(found[cells == i][0]) for i in range(9))
    assert total == pytest.approx(float(gain.sum()), abs=1e-5)


def test_lime_of_a_sum_is_what_sklearn_finds():
    """Against weighted ridge regression on all 16 coalitions of four pixels: the expectation of LIME's samples."""
    image, weights = torch.tensor([[[0.9, 0.8], [0.6, 0.5]]]), torch.tensor([0.4, -0.3, 0.2, 0.1])
    black_box = BlackBox(lambda x: torch.stack([0 * x.flatten(1)[:, 0], x.flatten(1) @ weights], 1))
    found = lime(image, black_box, 1, baseline="zero", n_samples=3000)
    rows = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
    distance = 1 - torch.cosine_similarity(rows, torch.ones(1, 4))
    kernel = torch.exp(-(distance**2) / (2 * 0.25**2)) * 3000 / 16
    model = Ridge(alpha=1.0).fit(rows.numpy(), (rows * image.flatten() @ weights).numpy(), kernel.numpy())
    assert found.flatten().tolist() == pytest.approx(model.coef_.tolist(), abs=0.005)


def test_an_anchor_is_graded_by_order_and_lies_in_few_superpixels(digits_models, digit_images):
    black_box, image = BlackBox(digits_models[1]), digit_images[7]
    values = anchor(image, black_box, int(black_box(image[None]).labels))
    grades = values.unique().flip(0)[:-1]
    m = len(grades)
    assert m >= 1
    assert grades.tolist() == pytest.approx([1 - i / m for i in range(m)])
    kept = values > 0
    cells = segments(image)
    assert len(cells[kept].unique()) == m
    assert not set(cells[kept].tolist()) & set(cells[~kept].tolist())


@pytest.mark.parametrize("method", slow_if(lambda method: method is not lime, METHODS))
def test_what_a_map_calls_evidence_is_evidence(method, digits_models, digit_images):
    """Deleting what a map calls evidence lowers the score more than deleting what it does not."""
    black_box = BlackBox(digits_models[1])
    drops = []
    for image in digit_images[:4]:
        label = int(black_box(image[None]).labels)
        values = method(image, black_box, label)
        order = values.flatten().argsort(descending=True, stable=True)
        best, worst = torch.zeros(784, dtype=torch.bool), torch.zeros(784, dtype=torch.bool)
        best[order[:150]] = True
        worst[order[-150:]] = True
        copies = torch.stack([torch.where(mask.reshape(28, 28), image.mean(), image) for mask in (best, worst)])
        scores = black_box(copies).evidence(label)
        drops.append(float(scores[1] - scores[0]))
    assert sum(drops) / 4 > 0.1
