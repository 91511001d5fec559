"""What a result was made of is told with the right hashes, and never the same for different things."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier
from support.worlds import soft

from abele_py.provenance import hash_of_array, hashes_of, merged, now, origin_of, remember, versions


def test_a_network_is_told_by_its_weights():
    network, same = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    same.load_state_dict(network.state_dict())
    assert origin_of(network) == origin_of(same)
    assert origin_of(network)["type"] == "torch.nn.modules.linear.Linear"
    with torch.no_grad():
        same.bias[0] += 1e-6
    assert origin_of(network)["weights_sha256"] != origin_of(same)["weights_sha256"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.bool])
def test_weights_of_any_type_are_hashed(dtype):
    network = torch.nn.Module()
    network.register_buffer("values", torch.tensor([0, 1]).to(dtype))
    network.register_buffer("none", torch.zeros(0, dtype=dtype))
    network.register_buffer("one", torch.ones((), dtype=dtype))
    assert len(origin_of(network)["weights_sha256"]) == 64


def test_a_function_is_told_by_its_name_and_the_file_that_holds_it():
    found = origin_of(soft)
    assert (found["type"], found["name"]) == ("function", "support.worlds.soft")
    with open(soft.__code__.co_filename, "rb") as file:
        assert found["files"] == {"worlds.py": hashlib.sha256(file.read()).hexdigest()}


@pytest.mark.parametrize("model", [DecisionTreeClassifier(), max, lambda x: x, np.argmax, "text", 3])
def test_anything_is_told_somehow(model):
    assert origin_of(model)["type"]
    assert remember(model, {"name": "mine"}) is model


def test_what_a_loader_remembered_is_told_of_that_model_alone():
    one, other = torch.nn.Identity(), torch.nn.Identity()
    remember(one, {"name": "one"})
    assert origin_of(one) == {"name": "one"}
    assert "name" not in origin_of(other)


def test_hashes_tell_shape_type_and_content():
    values = torch.arange(6, dtype=torch.float32)
    different = [values, values.reshape(2, 3), values.double(), values.flip(0)]
    assert len({hash_of_array(v) for v in different}) == len(different)
    assert hash_of_array(values.reshape(2, 3).T) == hash_of_array(values.reshape(2, 3).T.contiguous())


def test_files_that_cannot_be_read_are_left_out(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert hashes_of(tmp_path / "a", tmp_path / "b", tmp_path) == {"a": hashlib.sha256(b"abc").hexdigest()}


def test_time_and_versions():
    assert now().endswith("+00:00")
    assert versions("torch", "no-such-package") == {
        "torch": torch.__version__.partition("+")[0],
        "no-such-package": None,
    }


def test_more_is_told_part_by_part():
    known = {"a": 1, "images": [{"x": 1}, {"x": 2}], "box": {"name": "b"}}
    told = merged(known, {"a": 3, "images": [{"y": 4}, {"x": 5}], "box": {"files": {}}, "time": "t"})
    images = [{"x": 1, "y": 4}, {"x": 5}]
    assert told == {"a": 3, "images": images, "box": {"name": "b", "files": {}}, "time": "t"}
    assert known == {"a": 1, "images": [{"x": 1}, {"x": 2}], "box": {"name": "b"}}
    assert merged({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}
