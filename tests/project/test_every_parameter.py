"""Every parameter of every public function, given every odd value: it is taken, or refused in one line, and early."""

import importlib
import inspect
import math
from functools import cache, partial

import numpy as np
import pytest
import torch
from support.marks import slow_if
from support.worlds import Identity, image, soft
from torch import nn

import abele_py
from abele_py.attribution.registry import METHODS
from abele_py.checking.parameters import checked
from abele_py.errors import AbeleError

ROOMS = (
    "attribution", "audit", "black_boxes", "datasets", "distributed", "evaluation", "explanation", "latent", "metrics",
    "models", "surrogate", "training", "views", "app",
)  # fmt: skip
# Documented beside them, in modules of their own.
MODULES = (
    "attribution.anchor", "attribution.baselines", "attribution.lore", "attribution.superpixels",
    "metrics.autoencoder", "metrics.class_autoencoders", "metrics.counter_exemplars", "metrics.exemplars",
    "metrics.prototypes", "metrics.saliency", "metrics.sanity_checks", "metrics.surrogate", "training.modules",
    "training.data_module", "training.callbacks", "datasets.images", "explanation.options",
)  # fmt: skip
# Results, which the package makes, and protocols, which users write: nobody gives these odd options.
RECORDS = {
    "Answer", "Anchor", "Autoencoder", "AutoencoderError", "ClassAutoencoders", "Comparison", "Condition", "Dataset",
    "CounterExemplars", "CounterfactualRule", "Explanation", "Fidelity", "ImageSet", "LoadedBlackBox", "Lore",
    "Manifest", "Method", "Metric", "Mixture", "Neighborhood", "Note", "OwnImages", "Pieces", "Plausibility", "Points",
    "Rule", "Run", "Counts", "Images", "Listed", "Strategy", "Subject", "Surrogate", "Traversals", "Trust", "Values",
    "Audit", "Effect", "Place", "Suspicion", "AbeleError",
}  # fmt: skip
# They take what other parts of the package hand them, and no option.
INNER = {
    "check_image", "read_picture", "resized", "metric", "metric_of", "as_function", "on_superpixels", "strategy",
    "to_unit", "nowhere_below_constant", "is_blank", "range_hint", "white_of", "scaled", "probabilities",
}  # fmt: skip


def _public(module):
    return getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


@cache
def subjects():
    """Name -> callable."""
    found = {}
    for room in ("", *ROOMS, *MODULES):
        module = importlib.import_module(f"abele_py.{room}".rstrip("."))
        for name in _public(module):
            value = getattr(module, name)
            if callable(value) and not isinstance(value, type(list[int])) and name not in RECORDS | INNER:
                found[name] = value
    found |= {f"method {name}": method.function for name, method in METHODS.items()}
    found["explain"] = abele_py.Abele.explain
    return {
        name: value
        for name, value in found.items()
        if not isinstance(value, type) or value.__init__ is not object.__init__
    }


def parameters_of(subject):
    function = subject.__init__ if isinstance(subject, type) else subject
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in inspect.signature(function).parameters.values() if p.name != "self" and p.kind not in kinds]


ODD = [
    None, True, -1, 0, 0.5, 10.7, math.nan, math.inf, 10**400, 10**20, "5", "", b"", [], [None], {}, object(),
    "LIME", "x" * 300, "a\0b", "\ud800", np.int64(3), np.float32(0.5), np.array(3), np.array([1, 2]), torch.tensor(3),
    torch.tensor([[0.5, 0.5]]), np.random.RandomState(0), np.random.default_rng(0), 1j, lambda: None,
]  # fmt: skip


class Counted:
    """A black box that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        return soft(images)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 8 * 8, 3))

    def forward(self, images):
        return self.layers(images)


@cache
def made():
    """What functions are given in place of the parameter that is odd, by its name."""
    generator = torch.Generator().manual_seed(0)
    box = abele_py.BlackBox(soft)
    space = importlib.import_module("abele_py.latent").LatentSpace(Identity(), box)
    explanation = abele_py.Abele(soft, Identity(), n_samples=100).explain(image(0.6, 0.5))
    latents = explanation.neighborhood.latents
    comparison = abele_py.compare(image(0.6, 0.5), soft, Identity(), methods=["edge-detector"])
    anchor = space.classify(latents[:1])
    return {
        "autoencoder": Identity(), "space": space, "anchor": anchor, "generator": generator, "latents": latents,
        "labels": explanation.neighborhood.labels, "weights": explanation.neighborhood.weights, "latent": latents[0],
        "surrogate": explanation.surrogate, "conditions": list(explanation.rule.conditions), "reach": 0.5,
        "explanation": explanation, "explanations": {"a": explanation}, "e": explanation, "a": explanation,
        "b": explanation, "comparison": comparison, "classifier": soft, "black_box": soft, "n": 20, "n_frames": 3,
        "min_class_fraction": 0.1, "image": image(0.6, 0.5), "images": image(0.6, 0.5), "train_codes": latents,
        "val_codes": latents, "scores": torch.rand(3, 2), "codes": latents, "points": latents, "x": latents[0],
        "known": latents, "strategy": importlib.import_module("abele_py.latent").Random(), "target": 1, "label": 1,
        "preset": "default", "latent_dim": 2, "shape": (1, 8, 8), "image_shape": (1, 8, 8), "n_classes": 2,
        "n_trees": 2, "n_nodes": 2, "path": "nowhere", "out": "out", "spec": "nowhere", "name": "nowhere",
        "name_or_folder": "nowhere", "split": "test", "data": "digits:test:0", "recipe": "nowhere.yaml",
        "argv": ["nowhere.yaml"], "folder": "nowhere", "url": "http://127.0.0.1:9/", "seed": 0, "values": [0.0, 1.0],
        "draw": lambda generator: anchor, "radius": 0.5, "kind": "mean", "d": 3, "network": Network(),
        "manifest": None, "module": Network(), "studio": None, "reconstructions": image(0.6, 0.5),
        "surrogate_labels": explanation.neighborhood.labels, "labels_again": explanation.neighborhood.labels,
    }  # fmt: skip


def good(name, parameter):
    """A value that fits, for a parameter that has none."""
    if name.startswith(("method", "integrated", "smooth")) or name in ("segments", "baseline_of"):
        own = {"image": torch.rand(1, 8, 8), "black_box": abele_py.BlackBox(Network())}
        if parameter.name in own:
            return own[parameter.name]
    if name in ("LatentSpace", "infidelity", "deletion", "insertion") and parameter.name == "black_box":
        return abele_py.BlackBox(soft)
    if name in ("same", "find_anchor") and parameter.name == "same":
        return lambda rows: rows.all(dim=1)
    if name == "find_rule" and parameter.name == "label_of":
        return lambda rows: rows.all(dim=1).long()
    return made().get(parameter.name)


def concerns(parameter, value):
    """Whether the value is odd for the parameter: shapes that do not fit together are the functions' own to tell."""
    text = str(parameter.annotation)
    if isinstance(value, torch.Tensor) and value.ndim and "Tensor" in text:
        return False
    if callable(value) and "Callable" in text:
        return False
    return not (value == "x" * 300 and parameter.name == "folder") if isinstance(value, str) else True


@pytest.mark.parametrize("name", sorted(subjects()))
def test_every_parameter_is_declared_in_the_signature(name):
    subject = subjects()[name]
    function = subject.__init__ if isinstance(subject, type) else getattr(subject, "func", subject)
    if parameters_of(subject):
        assert hasattr(function, "checks"), f"{name} has no @checked"
        assert all(p.annotation is not p.empty for p in parameters_of(subject)), name


# What takes long with its default, while another parameter is odd.
FEW = {"n_samples": 50, "n_steps": 5, "n_masks": 50, "budget": 100, "methods": ["edge-detector"]}
SLOW = {"compare", "evaluate", "load_skops", "AutoencoderModule", "Abele", "Studio", "ClassifierModule"}


@pytest.mark.parametrize("name", slow_if(SLOW.__contains__, sorted(subjects())))
def test_odd_values_are_taken_or_refused_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subject = subjects()[name]
    if name in ("serve", "features"):  # to take a value is to listen, or to compute
        pytest.skip("its values are tested by what calls it")
    others = {p.name: good(name, p) for p in parameters_of(subject) if p.default is p.empty}
    others |= {p.name: FEW[p.name] for p in parameters_of(subject) if p.name in FEW and p.default is not p.empty}
    if name == "Studio":
        monkeypatch.setattr("abele_py.app.backend.Abele", partial(abele_py.Abele, n_landmarks=20))
    given = {"self": abele_py.Abele(soft, Identity(), n_samples=20)} if name == "explain" else {}
    for parameter in parameters_of(subject):
        for value in ODD:
            if not concerns(parameter, value):
                continue
            try:
                subject(**given, **{**others, parameter.name: value})
            except AbeleError as error:
                text = str(error)
                assert "\n" not in text, (parameter.name, value)
                assert "got" in text or "raised" in text, text
            except Exception as error:
                raise AssertionError(f"{name}({parameter.name}={value!r}): {type(error).__name__}: {error}") from error


def test_an_odd_value_is_refused_before_the_black_box_is_queried():
    box = Counted()
    for parameter in parameters_of(abele_py.Abele)[2:]:
        with pytest.raises(AbeleError):
            abele_py.Abele(box, Identity(), **{parameter.name: object()})
    assert box.calls == 0


def test_a_function_without_a_declaration_is_found():
    assert not hasattr(lambda x: x, "checks")
    assert hasattr(checked(lambda x: x), "checks")
