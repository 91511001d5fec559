"""Methods that ask for gradients, and networks that they are asked about."""

import pytest
import torch
from torch import nn

from abele_py.attribution import gradients

from .worlds import seeded

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
