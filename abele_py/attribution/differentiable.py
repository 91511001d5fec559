"""A user's network as one that can be differentiated: a copy in which nothing works in place."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..black_boxes.black_box import BlackBox
from ..black_boxes.modules import as_given
from ..black_boxes.outputs import main_output
from ..datasets.images import check_image
from ..errors import BlackBoxError, ParameterError


@torch.inference_mode(False)
@torch.enable_grad()
def differentiable(image: Tensor, black_box: BlackBox, target: int, method: str) -> tuple[nn.Module, Tensor]:
    """A copy of the black box's module to differentiate, and the image as a batch on its device; for ``method``.

    The copy is in evaluation mode, without gradients of parameters; nothing in it works in place. It answers what the
    method ``logits`` of the module answers, where it has one, for probabilities saturate: where one is 1 in float32
    its gradient is 0. A softmax module that comes last is left out for the same reason.

    Returns:
        The network from (N, C, H, W) to (N, K) scores, and the image (1, C, H, W).

    Raises:
        BlackBoxError: it is no module, answers no scores, or no gradient reaches the image.
        ImageError: the image is not (C, H, W) in [0, 1].
        ParameterError: there is no such class.
    """
    module = black_box.classifier
    if not isinstance(module, nn.Module):
        raise _needs_gradients(method, f"a black box of type {type(module).__name__}")
    c, h, w = (1, 1, 1, *getattr(image, "shape", ()))[-3:]
    image = check_image(image, (c, h, w)).clone()
    try:
        network = _Scores(copy.deepcopy(module)).requires_grad_(False).eval()
        x = as_given(network.module, image[None])
        for layer in network.modules():
            if getattr(layer, "inplace", False) is True:
                setattr(layer, "inplace", False)  # noqa: B010 - ReLU, Dropout, ... have it, Module has not
        _drop_last_softmax(network, x)
        scores = network(x.requires_grad_())
    except (Exception, SystemExit) as error:
        raise BlackBoxError(
            f"{method} runs a copy of the network and got {type(error).__name__}: {error}; expected a module that can "
            f"be copied and answers an image of shape {(c, h, w)}; try copy.deepcopy, and such an image"
        ) from error
    if not isinstance(scores, Tensor) or scores.ndim != 2 or not scores.is_floating_point():
        raise _needs_gradients(method, f"a {type(module).__name__} that answers no scores (N, K)")
    if not 0 <= target < scores.shape[1]:
        raise ParameterError(f"got target {target}; expected a class from 0 to {scores.shape[1] - 1}; choose one")
    score = scores[0, target]
    if not score.requires_grad or torch.autograd.grad(score, x, allow_unused=True)[0] is None:
        raise _needs_gradients(method, f"a {type(module).__name__} through which no gradient reaches the image")
    return network, x.detach()


class _Scores(nn.Module):
    """A module that answers the logits of another, where it has such a method, else its output."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Any:
        logits = getattr(type(self.module), "logits", None)  # of the class: not a layer that is called so
        found = logits(self.module, images) if callable(logits) else self.module(images)
        return found if isinstance(found, Tensor) else main_output(found, len(images)).values


@torch.inference_mode(False)
@torch.enable_grad()
def map_of(image: Tensor, black_box: BlackBox, target: int, method: str, attribute: Callable[..., Tensor]) -> Tensor:
    """The sum over channels of what the method attributes to the image (1, C, H, W), or an error that says why not."""
    network, x = differentiable(image, black_box, target, method)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum tells of its hooks, which only our copy sees
            values = attribute(network, x)
    except Exception as error:  # captum raises AssertionError, RuntimeError, TypeError, ... on what it does not know
        reason = str(error) if isinstance(error, BlackBoxError) else f"{type(error).__name__}: {error}"
        raise BlackBoxError(
            f"got a {type(black_box.classifier).__name__} that {method} cannot handle: {reason}; expected layers that "
            "it knows; use another method, as integrated gradients, which needs gradients only, or occlusion"
        ) from error
    return values.detach().sum(dim=1)[0].float().cpu()


def _needs_gradients(method: str, got: str) -> BlackBoxError:
    return BlackBoxError(
        f"{method} needs gradients and got {got}; expected an nn.Module from images to scores that autograd follows; "
        "pass the module itself, or use a method that only asks: occlusion, rise, lime, kernel-shap, anchor or lore"
    )


def _calls(network: nn.Module, x: Tensor) -> list[tuple[str, nn.Module, Any]]:
    """Name, module and output of every call of a module, in the order in which they end."""
    calls: list[tuple[str, nn.Module, Any]] = []
    handles = [
        module.register_forward_hook(lambda module, _, output, name=name: calls.append((name, module, output)))
        for name, module in network.named_modules()
    ]
    network(x)
    for handle in handles:
        handle.remove()
    return calls


def _drop_last_softmax(network: nn.Module, x: Tensor) -> None:
    """Replace the softmax module whose output is the network's, if it is not used elsewhere too."""
    calls = _calls(network, x)
    modules, scores = [module for _, module, _ in calls], calls[-1][2]
    for name, module, output in calls:
        if isinstance(module, (nn.Softmax, nn.LogSoftmax)) and output is scores and modules.count(module) == 1:
            network.set_submodule(name, nn.Identity())


def last_feature_maps(network: nn.Module, x: Tensor) -> nn.Module:
    """The last module that ends with feature maps of the last convolution's shape: its activation, where it has one."""
    calls = _calls(network, x)
    modules = [module for _, module, _ in calls]
    convolutions = [i for i, module in enumerate(modules) if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise BlackBoxError("it has no convolution nn.Conv2d")
    last = [(m, getattr(output, "shape", None)) for _, m, output in calls[convolutions[-1] :]]
    found = [m for m, shape in last if shape == last[0][1] and modules.count(m) == 1]
    if not found:
        raise BlackBoxError("its last convolution is used more than once")
    return found[-1]


# What gets the epsilon rule: linear layers, and those that only move, keep or drop values.
LINEAR = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    *(nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Unflatten, nn.Identity, nn.ZeroPad2d, nn.Dropout2d),
)
RELUS = {"relu", "relu_"}
# Relevance may flow through these outside of modules too.
ROUTING = RELUS | {"__get__", "size", "dim", "flatten", "view", "reshape", "clone", "dropout", "max_pool2d"}


class MaxPoolOfPairs(nn.Module):
    """Max pooling of a batch whose second half are the references; DeepLIFT's multipliers as its gradient.

    A window's change is laid where the larger of the two maxima is. captum 0.9 mixes in the references' multipliers.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.options = (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)

    def forward(self, pairs: Tensor) -> Tensor:
        values, places = nn.functional.max_pool2d(pairs.detach(), *self.options, return_indices=True)
        return _MaxOfPairs.apply(pairs, values, places)


class _MaxOfPairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pairs: Tensor, values: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(pairs, values, places)
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        tensors = (gradient, *ctx.saved_tensors)
        (own, _), (x, reference), (y, y_reference), (place, its_place) = (t.flatten(2).chunk(2) for t in tensors)
        larger, nothing, difference = torch.maximum(y, y_reference), torch.zeros_like(x), x - reference
        change = nothing.scatter_add(2, place, own * (larger - y_reference))
        change = change.scatter_add(2, its_place, own * (y - larger))
        plain = nothing.scatter_add(2, place, own)
        multiplier = torch.where(difference.abs() < 1e-10, plain, change / difference)
        return torch.cat([multiplier, multiplier]).reshape(ctx.saved_tensors[0].shape), None, None


class _Outside(TorchFunctionMode):
    """Records the names of torch functions that are called while no layer of torch.nn is at work."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.inside = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.inside:
            self.names.add(func.__name__)
        return func(*args, **(kwargs or {}))

    def enter(self, *_: Any) -> None:
        self.inside = True

    def leave(self, *_: Any) -> None:
        self.inside = False


def refuse_functions(network: nn.Module, x: Tensor, refused: Callable[[str], bool]) -> None:
    """An error where the network calls such functions itself, instead of layers of torch.nn."""
    outside = _Outside()
    layers = [m for m in network.modules() if type(m).__module__.startswith("torch.nn.") and not [*m.children()]]
    handles = [m.register_forward_pre_hook(outside.enter) for m in layers]
    handles += [m.register_forward_hook(outside.leave) for m in layers]
    with torch.no_grad(), outside:
        network(x)
    for handle in handles:
        handle.remove()
    if names := sorted(filter(refused, outside.names)):
        raise BlackBoxError(f"its forward calls {', '.join(names)} outside of layers, where the rules do not reach")
