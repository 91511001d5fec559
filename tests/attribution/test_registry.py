"""Every method of the table keeps one contract, whatever it is made of; names, seeds and missing libraries."""

import random
import sys
from functools import partial

import numpy as np
import pytest
import torch
from support.marks import slow_if
from support.worlds import Identity, image, soft

from abele_py import Abele
from abele_py.attribution import registry
from abele_py.attribution.registry import (
    LATENT,
    METHODS,
    AbeleMaps,
    Method,
    edge_detector,
    families,
    methods_of,
    random_order,
)
from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import BlackBoxError, MissingExtraError, ParameterError, UnknownNameError

TARGET = 1  # what the shipped CNN sees in test image 7
NAMES = [*LATENT, *METHODS]
LONG = {
    "abele",
    "abele-median",
    "anchor",
    "meaningful-perturbation",
    "rise",
}  # seconds each


def of_few_neighbors(*options):
    """The same as ``methods_of``, ABELE's being quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "AbeleMaps", partial(AbeleMaps, n_samples=100))
        return methods_of(*options)


@pytest.fixture(scope="module")
def methods(digits_models):
    return of_few_neighbors(digits_models[0])


def look_of(module):
    """All that a method could change of a module."""
    parts = list(module.modules())
    return (
        {name: value.numpy().tobytes() for name, value in module.state_dict().items()},
        [(p.requires_grad, p.grad) for p in module.parameters()],
        [(m.training, sorted(vars(m)), len(m._forward_hooks), len(m._backward_hooks)) for m in parts],
        [(len(m._forward_pre_hooks), len(m._backward_pre_hooks)) for m in parts],
    )


def states():
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()


@pytest.mark.parametrize("name", slow_if(LONG.__contains__, NAMES))
def test_every_method_keeps_the_contract(name, methods, digits_models, digit_images):
    classifier, x = digits_models[1], digit_images[7].clone()
    torch.manual_seed(3)
    before = look_of(classifier), states()
    first = methods[name](x, BlackBox(classifier), TARGET)
    assert (look_of(classifier), states()) == before
    assert x.equal(digit_images[7])
    assert torch.is_grad_enabled()
    assert first.shape == x.shape[1:]
    assert first.dtype == torch.float32
    assert not first.requires_grad
    assert bool(torch.isfinite(first).all())
    assert float(first.max()) > float(first.min())
    torch.manual_seed(4)
    again = methods[name](x, BlackBox(classifier), TARGET)
    assert again.numpy().tobytes() == first.numpy().tobytes()
    batched = methods[name](x, BlackBox(classifier, batch_size=33), TARGET)
    assert torch.allclose(batched, first, rtol=0, atol=1e-5 * float(first.abs().max()))  # sums in another order


def test_names_titles_and_sources_are_complete():
    found = methods_of(Identity())
    assert list(found) == NAMES
    assert [m.name for m in found.values()] == NAMES
    assert len({m.title for m in found.values()}) == len(NAMES)
    assert all(m.source for m in found.values())
    assert sorted(name for names in families().values() for name in names) == sorted(NAMES)
    assert all(found[name].family == family for family, names in families().items() for name in names)


def test_named_methods_come_in_their_order():
    assert list(methods_of(Identity(), ["rise", "abele", "lime"])) == ["rise", "abele", "lime"]
    assert list(methods_of(Identity(), "rise")) == ["rise"]


@pytest.mark.parametrize(
    ("typo", "close"), [("smoothgard", "smoothgrad"), ("abel", "abele"), ("kernelshap", "kernel-shap")]
)
def test_a_typo_is_answered_with_the_closest_name(typo, close):
    with pytest.raises(UnknownNameError, match=f"expected one of: abele, .*Did you mean '{close}'"):
        methods_of(Identity(), ["rise", typo])


def test_a_method_named_twice_and_an_impossible_seed_are_refused():
    with pytest.raises(ParameterError, match="each once"):
        methods_of(Identity(), ["rise", "rise"])
    for seed in (-1, 2**32):
        with pytest.raises(ParameterError, match="random_state"):
            methods_of(Identity(), random_state=seed)


@pytest.mark.slow
def test_the_seed_reaches_every_method_that_draws(digits_models, digit_images):
    autoencoder, classifier = digits_models
    box = BlackBox(classifier)
    drawing = ["abele", "smoothgrad", "rise", "lime", "random-order"]
    still = ["saliency", "occlusion", "edge-detector"]
    zero, one = (of_few_neighbors(autoencoder, drawing + still, seed) for seed in (0, 1))
    differs = {name: not zero[name](digit_images[7], box, 1).equal(one[name](digit_images[7], box, 1)) for name in zero}
    assert differs == {name: name in drawing for name in zero}


def test_abele_is_the_map_of_its_explainer_and_is_kept_for_one_black_box():
    maps, box = AbeleMaps(Identity(), n_samples=100, random_state=5), BlackBox(soft)
    x = image(0.6, 0.5)
    expected = Abele(soft, Identity(), n_samples=100, random_state=5).explain(x).saliency
    assert maps(x, box, 1).equal(expected)
    assert maps.explainer(box) is maps.explainer(box)
    assert maps.explainer(BlackBox(soft)) is not maps.explainer(box)


def test_controls_know_nothing_of_the_black_box():
    step = torch.zeros(3, 4, 6)
    step[:, :, 3:] = 0.5
    expected = torch.tensor([0.0, 0, 2, 2, 0, 0]).expand(4, 6)  # Sobel: (1 + 2 + 1) times the step
    assert torch.allclose(edge_detector(step, BlackBox(soft), 0), expected)
    noise = random_order(step, BlackBox(soft), 0)
    assert noise.equal(random_order(1 - step, BlackBox(soft), 1))
    assert noise.shape == (4, 6)
    assert float(noise.min()) >= 0


def without(monkeypatch, library):
    """As if the library were not installed."""
    for name in [m for m in sys.modules if m.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)


@pytest.mark.parametrize(("library", "name"), [("captum", "smoothgrad"), ("skimage", "lime"), ("captum", "lime")])
def test_a_missing_extra_says_how_to_install_it(library, name, monkeypatch, digits_models, digit_images):
    without(monkeypatch, library)
    with pytest.raises(MissingExtraError, match=r"pip install 'abele_py\[compare\]'") as caught:
        METHODS[name](digit_images[7], BlackBox(digits_models[1]), TARGET)
    assert isinstance(caught.value, ImportError)
    assert library in str(caught.value)
    assert name in str(caught.value)


def method_of(function):
    return Method("mine", "Mine", "control", "a test", function)


def test_any_other_missing_library_is_a_mistake_of_the_method():
    def needs(image, black_box, target):
        import no_such_library  # noqa: F401

    with pytest.raises(ModuleNotFoundError) as caught:
        method_of(needs)(image(0.6, 0.5), BlackBox(soft), 1)
    assert not isinstance(caught.value, MissingExtraError)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_a_map_with_values_that_are_no_numbers_is_refused(wrong):
    with pytest.raises(BlackBoxError, match=r"NaN or infinite.*'mine'"):
        method_of(lambda image, black_box, target: image[0] + wrong)(image(0.6, 0.5), BlackBox(soft), 1)
