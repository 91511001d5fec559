"""Explainers that need gradients: answers known by hand, captum's own answers, and a user's module left as it was."""

import copy
import sys

import captum.attr
import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier
from support.messages import says_what_to_do
from support.worlds import hard, seeded
from torch import nn

from abele_py import load_classifier
from abele_py.attribution import gradients
from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import BlackBoxError, ImageError, ParameterError

METHODS = {
    name: getattr(gradients, name)
    for name in (
        "saliency",
        "gradient_x_input",
        "integrated_gradients",
        "smoothgrad",
        "guided_backprop",
        "epsilon_lrp",
        "deeplift",
        "grad_cam",
        "guided_grad_cam",
    )
}
WITHOUT_CAM = {name: method for name, method in METHODS.items() if "cam" not in name}
X = torch.rand(3, 6, 5, generator=seeded(1))
methods = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


class Linear(nn.Module):
    """Two classes, scores w.x and 0; no bias."""

    def __init__(self, weight):
        super().__init__()
        self.layer = nn.Linear(weight.numel(), 2, bias=False)
        self.layer.weight.data = torch.stack([weight.flatten(), torch.zeros(weight.numel())])

    def forward(self, images):
        return self.layer(images.flatten(1))


def net(seed=0, channels=3, batch_norm=True, pool=True):
    """A small convolutional network for 6 x 5 images, with fixed weights."""
    layers = [nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1)]
    layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6 * 3 * 2, 3)]
    if not batch_norm:
        del layers[1]
    if not pool:
        layers[-4:] = [nn.Flatten(), nn.Linear(6 * 6 * 5, 3)]
    network, noise = nn.Sequential(*layers), seeded(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=noise) - 0.4)
    if batch_norm:
        network[1].running_var.fill_(0.7)
    return network.eval()


def difference(network, image, target):
    """The score of the image less that of the black image."""
    with torch.no_grad():
        return float(network(image[None])[0, target] - network(0 * image[None])[0, target])


@pytest.mark.parametrize("name", ["gradient_x_input", "integrated_gradients", "deeplift", "epsilon_lrp"])
def test_a_linear_model_gives_weight_times_pixel(name):
    weight = torch.randn(3, 6, 5, generator=seeded())
    saliency = METHODS[name](X, BlackBox(Linear(weight)), 0)
    assert torch.allclose(saliency, (weight * X).sum(dim=0), atol=1e-5)


def test_the_gradient_of_a_linear_model_is_its_weight():
    weight = torch.randn(3, 6, 5, generator=seeded())
    black_box = BlackBox(Linear(weight))
    assert torch.equal(gradients.saliency(X, black_box, 0), weight.abs().amax(dim=0))
    assert torch.equal(gradients.saliency(X, black_box, 1), torch.zeros(6, 5))
    assert torch.allclose(gradients.smoothgrad(X, black_box, 0), weight.sum(dim=0), atol=1e-5)


def test_smoothgrad_is_the_expected_gradient():
    """The mean of 2 x under noise is 2 x: it falls short of it by what n samples of that noise allow."""

    class Square(nn.Module):
        def forward(self, images):
            return torch.stack([images.square().sum(dim=(1, 2, 3)), images.sum(dim=(1, 2, 3))], dim=1)

    image = torch.tensor([[[0.0, 0.25, 1.0]]])
    smooth = gradients.smoothgrad(image, BlackBox(Square()), 0, n_samples=4000, noise=0.1)
    assert torch.allclose(smooth, 2 * image[0], atol=5 * 2 * 0.1 / 4000**0.5)
    assert not torch.equal(
        smooth, gradients.smoothgrad(image, BlackBox(Square()), 0, n_samples=4000, noise=0.1, seed=1)
    )


def test_guided_backprop_by_hand():
    """Hidden h = ReLU(W x) with x = (1, 1): h = (3, 0, 1); output weights (1, 1, -1).

    Active are rows 0 and 2; the negative weight to row 2 is not passed back, so row 0 = (1, 2) is left.
    """
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    network[1].weight.data = torch.tensor([[1.0, 2.0], [-1.0, 0.0], [2.0, -1.0]])
    network[3].weight.data = torch.tensor([[1.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    image = torch.ones(1, 1, 2)
    assert gradients.guided_backprop(image, BlackBox(network), 0).tolist() == [[1.0, 2.0]]
    assert gradients.gradient_x_input(image, BlackBox(network), 0).tolist() == [[-1.0, 3.0]]


def cam_world():
    """Two 1 x 1 convolutions of one channel copy the image and its negative; the classes weigh their means 2 and 3."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(2, 2, bias=False))
    network[0].weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    network[3].weight.data = torch.tensor([[32.0, 0.0], [0.0, 48.0]])
    return network


def test_grad_cam_by_hand():
    """Mean gradients are 32 / 16 and 48 / 16; class 1 looks at -x, of which ReLU leaves nothing."""
    image = torch.rand(1, 4, 4, generator=seeded(3))
    black_box = BlackBox(cam_world())
    assert torch.allclose(gradients.grad_cam(image, black_box, 0), 2 * image[0])
    assert torch.equal(gradients.grad_cam(image, black_box, 1), torch.zeros(4, 4))
    assert torch.allclose(gradients.guided_grad_cam(image, black_box, 0), 2 * image[0] * 2)


def test_grad_cam_takes_the_activation_after_the_last_convolution_and_is_bilinear():
    network = net(pool=False)
    network.insert(2, nn.AvgPool2d(2, stride=1))
    network[-1] = nn.Linear(6 * 5 * 4, 3)
    network[-1].weight.data = torch.rand(3, 6 * 5 * 4, generator=seeded(4))
    plain = copy.deepcopy(network)
    plain[5].inplace = False
    layer = captum.attr.LayerGradCam(plain, plain[5]).attribute(X[None], target=1, relu_attributions=True)
    expected = nn.functional.interpolate(layer, (6, 5), mode="bilinear")[0, 0].detach()
    assert float(expected.max()) > 0
    assert torch.allclose(gradients.grad_cam(X, BlackBox(network), 1), expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("gradient_x_input", "InputXGradient", {}),
        ("integrated_gradients", "IntegratedGradients", {"n_steps": 128}),
        ("guided_backprop", "GuidedBackprop", {}),
        ("deeplift", "DeepLift", {}),
    ],
)
def test_equal_to_captum_called_by_hand(name, theirs, options):
    network = net(pool=False)
    plain = copy.deepcopy(network)
    plain[4].inplace = False
    expected = getattr(captum.attr, theirs)(plain).attribute(X[None], target=2, **options).sum(dim=1)[0].detach()
    assert float(expected.abs().max()) > 0.01
    assert torch.allclose(METHODS[name](X, BlackBox(network), 2), expected, atol=1e-6)


@pytest.mark.parametrize("kernel", [{"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1}])
@pytest.mark.parametrize("seed", range(5))
def test_deeplift_adds_up_also_after_pooling(seed, kernel):
    """captum's own rule does not, where pooling is followed by an activation or windows overlap."""
    network = net(seed)
    network[5] = nn.Sequential(nn.MaxPool2d(**kernel), nn.Conv2d(6, 6, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((3, 2)))
    network[5][1].weight.data = torch.randn(6, 6, 1, 1, generator=seeded(seed))
    network[5][1].bias.data = torch.randn(6, generator=seeded(seed + 1))
    saliency = gradients.deeplift(X, BlackBox(network), 0)
    assert float(saliency.abs().max()) > 1e-4
    assert float(saliency.sum()) == pytest.approx(difference(network, X, 0), abs=1e-4)


def test_deeplift_of_a_maximum_by_hand():
    """f = max(x) on (0.2, 0.9): the change of 0.9 from black is laid where the maximum is."""
    network = nn.Sequential(nn.MaxPool2d((1, 2)), nn.Flatten(), nn.Linear(1, 2, bias=False))
    network[2].weight.data = torch.tensor([[1.0], [0.0]])
    saliency = gradients.deeplift(torch.tensor([[[0.2, 0.9]]]), BlackBox(network), 0)
    assert torch.allclose(saliency, torch.tensor([[0.0, 0.9]]))


@pytest.mark.parametrize("name", ["integrated_gradients", "deeplift"])
def test_contributions_add_up_to_the_difference_of_the_score(name, digits_models, digit_images):
    classifier = digits_models[1]

    for image in digit_images[:4]:
        target = int(classifier(image[None]).argmax())
        with torch.no_grad():
            expected = float((classifier.logits(image[None]) - classifier.logits(0 * image[None]))[0, target])
        total = float(METHODS[name](image, BlackBox(classifier), target).sum())
        assert total == pytest.approx(expected, rel=0.02 if name == "integrated_gradients" else 1e-4)


def test_lrp_conserves_relevance_where_nothing_absorbs_it():
    network = net(batch_norm=False)
    for layer in network:
        if getattr(layer, "bias", None) is not None:
            layer.bias.data.zero_()
    with torch.no_grad():
        score = float(network(X[None])[0, 2])
    assert abs(score) > 0.01
    assert float(gradients.epsilon_lrp(X, BlackBox(network), 2).sum()) == pytest.approx(score, rel=1e-3)


def test_lrp_of_a_relu_network_is_gradient_x_input(digits_models, digit_images):
    """Ancona et al. 2018, proposition 1; so batch normalisation, pooling, dropout and flatten have fitting rules."""
    black_box = BlackBox(digits_models[1])
    image, target = digit_images[0], int(digits_models[1](digit_images[:1]).argmax())
    expected = gradients.gradient_x_input(image, black_box, target)
    assert torch.allclose(gradients.epsilon_lrp(image, black_box, target, epsilon=1e-9), expected, atol=1e-3)
    damped = gradients.epsilon_lrp(image, black_box, target, epsilon=1.0)
    assert float(damped.abs().sum()) < 0.9 * float(expected.abs().sum())


@methods
def test_maps_of_a_real_network_are_finite_vary_and_come_again(method, digits_models, digit_images):
    classifier = digits_models[1]
    image, target = digit_images[3], int(classifier(digit_images[3:4]).argmax())
    before = torch.get_rng_state()
    saliency = method(image, BlackBox(classifier), target)
    assert torch.equal(torch.get_rng_state(), before)
    assert saliency.shape == (28, 28)
    assert saliency.dtype == torch.float32
    assert bool(torch.isfinite(saliency).all())
    assert float(saliency.std()) > 0
    assert torch.equal(saliency, method(image, BlackBox(classifier), target))
    small = method(image, BlackBox(classifier, batch_size=7), target)
    assert torch.allclose(saliency, small, atol=1e-4 * float(saliency.abs().max()))


@methods
def test_images_of_three_channels_give_one_map(method):
    saliency = method(X, BlackBox(net()), 1)
    assert saliency.shape == (6, 5)
    assert not saliency.requires_grad


@methods
def test_another_target_has_another_map(method):
    black_box = BlackBox(net(2))
    maps = [method(X, black_box, target) for target in range(3)]
    assert not torch.equal(maps[0], maps[1]) or not torch.equal(maps[1], maps[2])


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
