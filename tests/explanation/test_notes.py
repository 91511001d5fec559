"""Notes are data: each appears where its figure calls for it, and nowhere else."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from abele_py import Abele
from abele_py.class_names import name_of
from abele_py.explanation.notes import notes_on
from abele_py.explanation.trust import Trust, _explained_variance

FINE = Trust(
    held_out=0.95,
    held_out_unweighted=0.9,
    in_sample=0.97,
    constant=0.7,
    constant_unweighted=0.6,
    hit=True,
    n_held_out=250,
    label_preserved=True,
    reconstruction_error=0.05,
    code_valid=True,
    other_fraction=0.2,
    n_neighbors=1000,
    n_labels=3,
    n_leaves=6,
    counter_exemplar_agreement=1.0,
)
PARAMS = {"n_samples": 1000, "n_exemplars": 16, "min_class_fraction": 0.1}


def notes(n_exemplars=16, n_counter_exemplars=9, target=None, class_names=(), **changes):
    """The notes on an explanation of which only what they look at is there."""
    explanation = SimpleNamespace(
        trust=dataclasses.replace(FINE, **changes),
        params=PARAMS | {"target": target},
        label=7,
        reconstruction_label=1,
        class_names=class_names,
        name=lambda label: name_of(class_names, label),
        exemplars=range(n_exemplars),
        counter_exemplars=range(n_counter_exemplars),
    )
    return list(notes_on(explanation))


def codes(**changes):
    return [note.code for note in notes(**changes)]


def test_nothing_to_note_where_all_is_fine():
    assert codes() == []


@pytest.mark.parametrize("typicality", [None, 0.05, 1.0])
def test_an_image_that_is_typical_or_of_which_that_is_not_known_needs_no_note(typicality):
    assert codes(typicality=typicality) == []


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("label-not-preserved", {"label_preserved": False}),
        ("not-drawn", {"explained_variance": 0.499}),
        ("not-drawn", {"explained_variance": -1.0}),
        ("code-not-valid", {"code_valid": False}),
        ("not-typical", {"typicality": 0.049}),
        ("not-typical", {"typicality": 0.0}),
        ("one-label", {"n_labels": 1, "other_fraction": 0.0, "n_leaves": 1}),
        ("min-class-fraction", {"other_fraction": 0.09}),
        ("no-rule", {"n_leaves": 1}),
        ("few-neighbors", {"n_neighbors": 999}),
        ("below-constant", {"held_out": 0.69}),
        ("below-constant", {"held_out": 0.7}),
        ("own-label-fraction", {"other_fraction": 0.901}),
        ("own-label-fraction", {"other_fraction": 0.999}),
        ("few-exemplars", {"n_exemplars": 15}),
        ("no-counter-exemplars", {"n_counter_exemplars": 0}),
        ("target-not-found", {"n_counter_exemplars": 0, "target": 3}),
    ],
)
def test_each_note_has_its_cause(code, changes):
    assert codes(**changes) == [code]


def test_a_note_names_the_label_that_is_most_frequent():
    (note,) = notes(constant_label=1, held_out=0.605, constant=0.99, class_names=[f"class {y}" for y in range(8)])
    assert note.text.startswith("always answering class 1 is right more often (0.990) than the surrogate (0.605)")


@pytest.mark.parametrize(
    ("held_out", "words"), [(0.699, "is right more often (0.700) than"), (0.7, "is right as often as")]
)
def test_a_constant_answer_that_is_as_good_is_not_called_better(held_out, words):
    (note,) = notes(held_out=held_out)
    assert words in note.text


@pytest.mark.parametrize(("n", "own", "share"), [(1000, 1, 0.0), (1000, 101, 100 / 999), (11, 1, 0.0), (1, 1, 0.0)])
def test_the_image_itself_is_no_neighbor_with_its_label(n, own, share):
    trust = dataclasses.replace(FINE, n_neighbors=n, other_fraction=(n - own) / n)
    assert trust.own_fraction == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(
    ("target", "name"), [(3, "class 3"), ("class 3", "class 3"), ("3", "class 3"), (11, "11"), ("11", "11"), ("0", "0")]
)
def test_a_note_names_the_target_however_it_was_given(target, name):
    (note,) = notes(n_counter_exemplars=0, target=target, class_names=("0", *(f"class {y}" for y in range(1, 10))))
    assert note.text == f"no valid image found that the black box predicts as {name}"


def test_what_can_be_seen_on_the_image_itself_comes_first(digits_models, digit_images):
    autoencoder, classifier = digits_models
    explainer = Abele(classifier, autoencoder, n_samples=100)
    first = {
        name: [note.code for note in explainer.explain(image).notes][:1]
        for name, image in {
            "as it is": digit_images[7],
            "inverted": 1 - digit_images[7],
            "nearly black": digit_images[7] * 16 / 255,
            "white": torch.ones_like(digit_images[7]),
        }.items()
    }
    assert first["inverted"] == ["inverted"]
    assert first["nearly black"] == first["white"] == ["blank"]
    assert not {"blank", "inverted"} & set(first["as it is"])


@pytest.mark.parametrize("share", [None, 0.5, 1.0])
def test_an_image_that_is_drawn_or_has_one_colour_needs_no_note(share):
    assert codes(explained_variance=share) == []


@pytest.mark.parametrize(("drawn", "share"), [("itself", 1.0), ("its mean", 0.0), ("nothing", None)])
def test_what_a_reconstruction_shows_of_an_image(drawn, share):
    image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)) * (0 if drawn == "nothing" else 1)
    mean = image.mean(dim=(1, 2), keepdim=True).expand_as(image)
    found = _explained_variance(image, mean if drawn == "its mean" else image)
    assert found is None if share is None else found == pytest.approx(share, abs=1e-6)
