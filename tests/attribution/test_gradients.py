"""Explainers that need gradients: answers known by hand, captum's own answers, and a user's module left as it was."""

import copy

import captum.attr
import pytest
import torch
from support.gradients import METHODS, Linear, X, methods, net
from support.worlds import seeded
from torch import nn

from abele_py.attribution import gradients
from abele_py.black_boxes.black_box import BlackBox


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
