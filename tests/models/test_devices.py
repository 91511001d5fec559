"""Models are moved to a device as they are loaded; a device that is not there is an error with a way out."""

import pytest
import torch

from abele_py import load_autoencoder, load_classifier
from abele_py.black_boxes.loading import load_black_box
from abele_py.errors import ParameterError
from abele_py.models.devices import on_device

NOWHERE = ("cuda:63", "gpu", "", "cuda:x")


@pytest.mark.parametrize(
    "load", [load_autoencoder, load_classifier, lambda *args: load_black_box(args[0], device=args[1])]
)
@pytest.mark.parametrize("device", NOWHERE)
def test_a_device_that_is_not_here_is_refused(load, device):
    name = "digits" if load is load_autoencoder else "digits-cnn"
    with pytest.raises(
        ParameterError, match=f"got the device '{device}'.*expected one that torch can use here; pass cpu"
    ):
        load(name, device)


def test_a_torch_module_is_moved_and_all_else_stays():
    module = torch.nn.Linear(2, 2)
    assert on_device(module, None) is module
    assert on_device(module, "cpu").weight.device.type == "cpu"
    assert on_device(module, "meta").weight.device.type == "meta", "a device that every torch has"
    assert on_device(len, "cuda:63") is len


def test_a_loaded_model_is_where_it_was_wanted():
    for model in (load_autoencoder("digits", "meta"), load_classifier("digits-cnn", "meta")):
        assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert load_classifier("digits-cnn", "cpu").training is False
