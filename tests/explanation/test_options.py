"""Options: presets, conversions and refusals in one place, the same whatever type a number comes in."""

import dataclasses
import json
import math

import numpy as np
import pytest
from support.worlds import Identity, hard, image

from abele_py import Abele
from abele_py.errors import ParameterError, UnknownNameError
from abele_py.explanation.options import PRESETS, Options, options_of
from abele_py.latent.neighborhood import Between, Hybrid, Local, Random


def test_the_defaults_are_the_default_preset_and_none_takes_the_presets_value():
    assert Options() == PRESETS["default"] == options_of("default", 4, n_samples=None, saliency=None)
    assert Abele(hard, Identity()).options == options_of("default", 2, validity_threshold=0.5)
    given = {field.name: None for field in dataclasses.fields(Options) if field.name != "preset"}
    assert options_of("paper", 4, **given) == options_of("paper", 4)


@pytest.mark.parametrize(("k", "expected"), [(2, Local()), (32, Local()), (33, Between()), (256, Between())])
def test_of_many_coordinates_the_neighborhood_lies_between_images(k, expected):
    assert options_of("default", k).neighborhood == expected
    assert options_of("default", k, neighborhood="random").neighborhood == Random()
    assert options_of("paper", k).neighborhood == Hybrid()


def test_the_papers_preset_is_the_papers_definitions():
    paper = options_of("paper", 16)
    assert (paper.neighborhood, paper.saliency, paper.splits) == (Hybrid(), "median", "axis")
    assert (paper.n_landmarks, paper.counter_depth, paper.real_codes) == (0, None, False)
    assert paper.kernel_width == 0.75 * math.sqrt(16)
    assert options_of("paper", 16, kernel_width=2).kernel_width == 2.0
    assert options_of("default", 16).kernel_width is None


@pytest.mark.parametrize("whole", [np.int64, np.float32, float, np.uint8])
@pytest.mark.parametrize("name", ["n_samples", "random_state", "n_exemplars", "n_frames", "n_landmarks"])
def test_whole_numbers_of_any_type_become_ints(name, whole):
    options = Options(**{name: whole(50)})
    assert options == Options(**{name: 50})
    assert type(getattr(options, name)) is int


@pytest.mark.parametrize("number", [np.float32, np.float64, float, np.array])
@pytest.mark.parametrize("name", ["min_class_fraction", "counter_depth", "kernel_width", "validity_threshold"])
def test_numbers_of_any_type_become_floats(name, number):
    options = Options(**{name: number(0.25)})
    assert options == Options(**{name: 0.25})
    assert type(getattr(options, name)) is float


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_samples": 10.5}, {"n_samples": "many"}, {"n_samples": True}, {"n_samples": float("nan")},
        {"n_samples": [1000, 2000]}, {"n_frames": float("inf")}, {"random_state": 0.5}, {"random_state": 2**63},
        {"min_class_fraction": "0.1"}, {"min_class_fraction": 0.51}, {"counter_depth": -0.01},
        {"kernel_width": float("inf")}, {"kernel_width": 0}, {"validity_threshold": float("-inf")},
        {"neighborhood": 5},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_came_and_what_was_expected(wrong):
    with pytest.raises(ParameterError, match=rf"got {next(iter(wrong))}.*expected"):
        Options(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"saliency": "lime"}, {"splits": "any"}, {"neighborhood": "nearby"}],
    ids=str,
)
def test_names_that_are_not_known_are_refused(wrong):
    with pytest.raises(UnknownNameError, match=rf"got {next(iter(wrong))}.*expected one of"):
        Options(**wrong)
    with pytest.raises(UnknownNameError, match="got preset"):
        options_of("fast", 2)


def test_the_edges_are_allowed():
    Options(n_samples=10, n_exemplars=1, n_frames=2, n_landmarks=0, min_class_fraction=0.5, counter_depth=1)
    Options(min_class_fraction=0, counter_depth=0, random_state=-(2**63))


def test_the_params_of_an_explanation_hold_every_option_as_json():
    options = Options(neighborhood=Random(rounds=np.int64(3).item()), n_samples=np.int64(200))
    params = options.as_params()
    assert params["neighborhood"] == {"strategy": "Random", "rounds": 3}
    assert set(params) == {field.name for field in dataclasses.fields(Options)}
    assert json.loads(json.dumps(params)) == params
    explanation = Abele(hard, Identity(), n_samples=np.int64(100), class_names={0: "dark"}).explain(image(0.6, 0.5))
    assert params.keys() <= explanation.params.keys()
    assert explanation.params["n_samples"] == 100


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().n_samples = 5
    assert Options().neighborhood == Local()
