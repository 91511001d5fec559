"""Which networks the methods of gradients take: left as they were, or refused with the reason; before the softmax."""

import sys

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier
from support.gradients import METHODS, Linear, X, methods, net
from support.messages import says_what_to_do
from support.worlds import hard, seeded
from torch import nn

from abele_py import load_classifier
from abele_py.attribution import gradients
from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import BlackBoxError, ImageError, ParameterError


def snapshot(module):
    """All that could be changed in a module."""
    return [
        (
            name,
            m.training,
            sorted(m.__dict__),
            [len(hooks) for key, hooks in vars(m).items() if key.endswith("_hooks")],
            getattr(m, "inplace", None),
            [(k, p.tolist(), p.requires_grad, str(p.grad)) for k, p in m.named_parameters(recurse=False)],
            [(k, b.tolist()) for k, b in m.named_buffers(recurse=False)],
        )
        for name, m in module.named_modules()
    ]


@methods
@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_left_as_it_was(method, fails):
    network = net().train()
    network[1].eval()
    network[0].weight.grad = torch.ones_like(network[0].weight)
    network[2].register_forward_hook(lambda *_: None)
    if fails:
        network[4] = nn.Hardtanh() if method is not gradients.saliency else WithoutGradients()
    before, ids = snapshot(network), [id(m) for m in network.modules()]
    try:
        method(X, BlackBox(network), 1)
    except BlackBoxError:
        assert fails
    assert snapshot(network) == before
    assert [id(m) for m in network.modules()] == ids


class WithoutGradients(nn.Module):
    """Raises when a gradient is asked for."""

    def forward(self, x):
        if torch.is_grad_enabled():
            raise RuntimeError("no gradients today")
        return x


@methods
def test_the_parameters_keep_their_gradients_and_no_graph(method):
    network = net()
    method(X, BlackBox(network), 0)
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


@methods
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_switched_off(method, context):
    expected = method(X, BlackBox(net()), 0)
    with context():
        assert torch.equal(method(X.clone(), BlackBox(net()), 0), expected)


class Labels(nn.Module):
    def forward(self, images):
        return hard(images)


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, images):
        return self.net(images.detach())


def estimator():
    rows = np.random.default_rng(0).random((20, 90))
    return DecisionTreeClassifier(random_state=0).fit(rows, np.arange(20) % 2)


@methods
@pytest.mark.parametrize(
    "make", [lambda: hard, estimator, Labels, Detached], ids=["function", "estimator", "labels", "no gradient"]
)
def test_a_black_box_without_gradients_is_an_error_that_names_what_works(method, make):
    with pytest.raises(BlackBoxError, match="occlusion, rise") as caught:
        method(X, BlackBox(make()), 0)
    assert says_what_to_do(caught.value)


@methods
def test_a_forest_is_a_module_without_gradients(method, digit_images):
    with pytest.raises(BlackBoxError, match="Forest through which no gradient reaches the image") as caught:
        method(digit_images[0], BlackBox(load_classifier("digits-forest")), 0)
    assert says_what_to_do(caught.value)


@methods
@pytest.mark.parametrize("target", [-1, 3])
def test_an_unknown_class_is_an_error(method, target):
    with pytest.raises(ParameterError, match="from 0 to 2"):
        method(X, BlackBox(net()), target)


@pytest.mark.parametrize("image", [X[None], X[0], X * 2, X.numpy().tolist()[0][0]], ids=["4-D", "2-D", "range", "list"])
def test_what_is_no_image_is_an_error(image):
    if isinstance(image, list):
        image = np.array(image)
    with pytest.raises(ImageError):
        gradients.saliency(image, BlackBox(net()), 0)


def test_an_image_on_which_the_network_fails_is_an_error_that_says_so():
    with pytest.raises(BlackBoxError, match=r"RuntimeError: .*; expected a module that") as caught:
        gradients.saliency(torch.rand(2, 6, 5, generator=seeded()), BlackBox(net()), 0)
    assert says_what_to_do(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


class TwiceReLU(nn.Module):
    """One ReLU module at two places."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(90, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.relu = nn.ReLU()
        for i, layer in enumerate((self.first, self.second, self.third)):
            layer.weight.data = torch.randn(layer.weight.shape, generator=seeded(i))
            layer.bias.data = torch.randn(layer.bias.shape, generator=seeded(i + 10))

    def forward(self, images):
        return self.third(self.relu(self.second(self.relu(self.first(images.flatten(1))))))


class FunctionalReLU(TwiceReLU):
    def forward(self, images):
        return self.third(torch.relu(self.second(nn.functional.relu(self.first(images.flatten(1))))))


class FunctionalTanh(TwiceReLU):
    def forward(self, images):
        return self.third(torch.tanh(self.first(images.flatten(1))))


class Residual(TwiceReLU):
    def forward(self, images):
        hidden = self.first(images.flatten(1))
        return self.third(hidden + self.relu(self.second(hidden)))


class TwiceLinear(TwiceReLU):
    def forward(self, images):
        return self.third(self.second(self.relu(self.second(self.first(images.flatten(1))))))


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("deeplift", TwiceReLU, "being used more than once|add up"),
        ("deeplift", FunctionalReLU, "add up"),
        ("deeplift", FunctionalTanh, "add up"),
        ("guided_backprop", FunctionalReLU, "calls relu outside"),
        ("epsilon_lrp", FunctionalTanh, "calls tanh outside"),
        ("epsilon_lrp", Residual, "calls (__add__|add) outside"),
        ("epsilon_lrp", TwiceLinear, "more than once"),
        ("grad_cam", TwiceReLU, "no convolution"),
        ("guided_grad_cam", TwiceReLU, "no convolution"),
        ("guided_grad_cam", FunctionalReLU, "calls relu outside"),
    ],
)
def test_a_network_that_a_method_cannot_handle_is_an_error_with_the_reason(name, kind, reason):
    with pytest.raises(BlackBoxError, match=reason) as caught:
        METHODS[name](X, BlackBox(kind()), 1)
    assert says_what_to_do(caught.value)
    assert caught.value.__cause__ is not None


def test_an_activation_without_a_rule_is_an_error():
    network = nn.Sequential(nn.Flatten(), nn.Linear(90, 5), nn.GELU(), nn.Linear(5, 2))
    with pytest.raises(BlackBoxError, match="has no rule") as caught:
        gradients.epsilon_lrp(X, BlackBox(network), 0)
    assert says_what_to_do(caught.value)


def test_lrp_handles_functions_that_only_route():
    black_box = BlackBox(FunctionalReLU())
    expected = gradients.gradient_x_input(X, black_box, 1)
    assert torch.allclose(gradients.epsilon_lrp(X, black_box, 1), expected, rtol=1e-3, atol=1e-4)


class Saturated(nn.Module):
    """Probabilities of 1.0 in float32, whose gradient is 0; the logits have one."""

    def __init__(self, softmax, has_logits=False):
        super().__init__()
        self.linear, self.softmax = Linear(torch.full((3, 6, 5), 100.0)), softmax
        if not has_logits:
            self.logits = self.linear.layer  # a layer of this name is no method

    def forward(self, images):
        return self.softmax(self.linear(images))


class WithLogits(Saturated):
    def logits(self, images):
        return self.linear(images)

    def forward(self, images):
        return torch.softmax(self.logits(images), dim=1)


@pytest.mark.parametrize(
    "module",
    [
        WithLogits(None, has_logits=True),
        Saturated(nn.Softmax(dim=1)),
        Saturated(nn.LogSoftmax(dim=1)),
        nn.Sequential(Linear(torch.full((3, 6, 5), 100.0)), nn.Sequential(nn.Softmax(dim=1))),
    ],
    ids=["logits", "softmax", "log softmax", "sequential"],
)
def test_the_score_before_the_softmax_is_differentiated(module):
    assert torch.equal(gradients.saliency(X, BlackBox(module), 0), torch.full((6, 5), 100.0))


def test_a_softmax_that_is_called_by_a_function_stays():
    module = Saturated(lambda scores: torch.softmax(scores, dim=1))
    assert torch.equal(gradients.saliency(X, BlackBox(module), 0), torch.zeros(6, 5))


def test_captum_is_imported_only_when_a_method_is_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ModuleNotFoundError):
        gradients.saliency(X, BlackBox(net()), 0)
