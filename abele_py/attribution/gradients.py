"""Explainers that need gradients, on captum: thin adapters from (image, black_box, target) to a map (H, W).

They work on a copy of the user's module, and differentiate the class score before the softmax where it can be had.
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from ..black_boxes.black_box import BlackBox
from ..checking.parameters import NotNegative, Picture, Positive, Seed, between, checked
from ..errors import BlackBoxError
from .differentiable import LINEAR, RELUS, ROUTING, MaxPoolOfPairs, last_feature_maps, map_of, refuse_functions


@checked
def saliency(image: Picture, black_box: BlackBox, target: int) -> Tensor:
    """How much the target's score changes with each pixel: ``max over channels of |gradient|``.

    Source: Simonyan, Vedaldi & Zisserman 2014, arXiv 1312.6034, section 3.1.

    Args:
        image: (C, H, W) in [0, 1].
        black_box: made of an ``nn.Module`` from images to scores, through which gradients flow.
        target: the class to explain.

    Returns:
        (H, W) float32, >= 0.

    Raises:
        BlackBoxError: the black box is no such module, or the method cannot handle its layers.
        ParameterError: there is no such class.
    """
    from captum.attr import Saliency

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        return Saliency(network).attribute(x, target=target, abs=True).amax(dim=1, keepdim=True)

    return map_of(image, black_box, target, "saliency", attribute)


@checked
def gradient_x_input(image: Picture, black_box: BlackBox, target: int) -> Tensor:
    """The gradient times the pixel, summed over channels; pixels that are 0 get 0.

    Source: Shrikumar et al. 2016, arXiv 1605.01713. Arguments and errors as in :func:`saliency`.

    Returns:
        (H, W) float32, in units of the score; negative where a pixel opposes the target.
    """
    from captum.attr import InputXGradient

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        return InputXGradient(network).attribute(x, target=target)

    return map_of(image, black_box, target, "gradient x input", attribute)


@checked
def integrated_gradients(
    image: Picture, black_box: BlackBox, target: int, n_steps: Annotated[int, between(1, 10**4)] = 128
) -> Tensor:
    """Pixel times the mean gradient on the straight way from the black image; summed over channels.

    Source: Sundararajan, Taly & Yan 2017, arXiv 1703.01365, equation 1; the integral by Gauss-Legendre quadrature.
    Arguments and errors as in :func:`saliency`.

    Args:
        n_steps: points of the quadrature.

    Returns:
        (H, W) float32 whose sum is ``f(image) - f(black image)`` up to the error of the quadrature.
    """
    from captum.attr import IntegratedGradients

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        return IntegratedGradients(network).attribute(
            x, baselines=0, target=target, n_steps=n_steps, internal_batch_size=black_box.batch_size
        )

    return map_of(image, black_box, target, "integrated gradients", attribute)


@checked
def smoothgrad(
    image: Picture,
    black_box: BlackBox,
    target: int,
    n_samples: Annotated[int, between(1, 10**5)] = 64,
    noise: NotNegative = 0.15,
    seed: Seed = 0,
) -> Tensor:
    """The mean gradient over noisy copies of the image, summed over channels.

    Source: Smilkov et al. 2017, arXiv 1706.03825, section 3.1. Signed, as there for MNIST. Not captum's NoiseTunnel,
    whose noise comes from the global generator of the device. Result and errors as in :func:`gradient_x_input`.

    Args:
        n_samples: noisy copies.
        noise: the standard deviation of the Gaussian noise, as a share of the image's range of values.
        seed: of the noise.
    """
    from captum.attr import Saliency

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        normal = torch.randn(n_samples, *x.shape[1:], generator=torch.Generator().manual_seed(seed)).to(x.device)
        copies = x + noise * (x.max() - x.min()) * normal
        parts = [Saliency(network).attribute(c, target=target, abs=False) for c in copies.split(black_box.batch_size)]
        return torch.cat(parts).mean(dim=0, keepdim=True)

    return map_of(image, black_box, target, "SmoothGrad", attribute)


@checked
def guided_backprop(image: Picture, black_box: BlackBox, target: int) -> Tensor:
    """The gradient, of which every ReLU passes back only what is positive; summed over channels.

    Source: Springenberg et al. 2015, arXiv 1412.6806, section 3.4. ReLUs must be ``nn.ReLU`` modules; other
    activations keep their gradient. Arguments, result and errors as in :func:`gradient_x_input`.
    """
    from captum.attr import GuidedBackprop

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        refuse_functions(network, x, lambda name: name in RELUS)
        return GuidedBackprop(network).attribute(x, target=target)

    return map_of(image, black_box, target, "guided backprop", attribute)


@checked
def epsilon_lrp(image: Picture, black_box: BlackBox, target: int, epsilon: Positive = 1e-6) -> Tensor:
    """Layer-wise relevance propagation with the epsilon rule in every layer, summed over channels.

    Source: Bach et al. 2015, PLoS ONE 10(7), equation 58. Batch normalisation in evaluation mode is a linear layer and
    gets the same rule: where epsilon is small that is the same as folding it into its convolution. For networks
    of linear layers, ReLU and max pooling the map is then gradient x input (Ancona et al. 2018, arXiv 1711.06104,
    proposition 1). Relevance is conserved but for what biases and epsilon absorb. Other activations than ReLU and
    Tanh, branches that are added, and layers used twice are refused. Result and errors as in
    :func:`gradient_x_input`.

    Args:
        epsilon: the stabiliser, in units of a neuron's input.
    """
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        refuse_functions(network, x, lambda name: name not in ROUTING)
        for layer in network.modules():
            if isinstance(layer, LINEAR):
                layer.rule = EpsilonRule(epsilon)
        return LRP(network).attribute(x, target=target)

    return map_of(image, black_box, target, "epsilon-LRP", attribute)


@checked
def deeplift(image: Picture, black_box: BlackBox, target: int) -> Tensor:
    """The difference of the score from that of the black image, by the rescale rule, summed over channels.

    Source: Shrikumar, Greenside & Kundaje 2017, arXiv 1704.02685, section 3.5.1. Activations must be modules that
    captum knows, each used once; whether they were shows in the sum, which is checked. Max pooling has a rule of our
    own, for with captum's the sum is missed. Arguments and errors as in :func:`saliency`.

    Returns:
        (H, W) float32 whose sum is ``f(image) - f(black image)``.
    """
    from captum.attr import DeepLift

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        for name, pool in [*network.named_modules()]:
            if isinstance(pool, nn.MaxPool2d):
                network.set_submodule(name, MaxPoolOfPairs(pool))
        values, delta = DeepLift(network).attribute(x, baselines=0, target=target, return_convergence_delta=True)
        if not float(delta.abs()) <= 1e-4 * float(1 + values.abs().sum()):
            raise BlackBoxError("contributions do not add up: an activation is used twice, is no module, or is unknown")
        return values

    return map_of(image, black_box, target, "DeepLIFT", attribute)


@checked
def grad_cam(image: Picture, black_box: BlackBox, target: int) -> Tensor:
    """The last convolution's feature maps, weighted with their mean gradients, then ReLU; bilinear to (H, W).

    Source: Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2. The feature maps are taken after the
    normalisation and activation that follow the last ``nn.Conv2d`` as modules, as the authors do. Arguments and
    errors as in :func:`saliency`.

    Returns:
        (H, W) float32, >= 0; all 0 where no feature map supports the target.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        explainer = LayerGradCam(network, last_feature_maps(network, x))
        values = explainer.attribute(x, target=target, relu_attributions=True)
        return LayerAttribution.interpolate(values, x.shape[2:], "bilinear")

    return map_of(image, black_box, target, "Grad-CAM", attribute)


@checked
def guided_grad_cam(image: Picture, black_box: BlackBox, target: int) -> Tensor:
    """Grad-CAM times guided backprop, summed over channels.

    Source: Selvaraju et al. 2017, arXiv 1610.02391, section 3.2. Result and errors as in :func:`gradient_x_input`.
    """
    from captum.attr import GuidedGradCam

    def attribute(network: nn.Module, x: Tensor) -> Tensor:
        refuse_functions(network, x, lambda name: name in RELUS)
        explainer = GuidedGradCam(network, last_feature_maps(network, x))
        return explainer.attribute(x, target=target, interpolate_mode="bilinear")

    return map_of(image, black_box, target, "guided Grad-CAM", attribute)
