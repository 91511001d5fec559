"""Networks as files, and specifications that are refused."""

import os
import warnings

import pytest
import torch

from abele_py import load_black_box
from abele_py.errors import BlackBoxError

from .messages import says_what_to_do
from .worlds import seeded

COLOURS = torch.rand(7, 3, 4, 5, generator=seeded())


def refused(spec, kind=BlackBoxError, **options) -> str:
    with pytest.raises(kind) as caught:
        load_black_box(spec, **options)
    assert says_what_to_do(caught.value), caught.value
    return str(caught.value)


def write_onnx(network, images, path, dynamic=True):
    axes = {"images": {0: "n"}, "scores": {0: "n"}} if dynamic else None
    names = {"input_names": ["images"], "output_names": ["scores"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it needs no library but onnx, and says that a newer way does
        torch.onnx.export(network, (images,), str(path), dynamo=False, dynamic_axes=axes, **names)


def write_pt2(network, images, path, batch=None):
    shapes = None if batch is None else ({0: batch},)
    torch.export.save(torch.export.export(network, (images,), dynamic_shapes=shapes), path)


class Trap:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)
