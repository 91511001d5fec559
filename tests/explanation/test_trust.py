"""Notes are data: each appears where its figure calls for it, and nowhere else."""

import dataclasses

import pytest

from abele_py.explanation.trust import Trust, notes_on

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


def codes(n_exemplars=16, n_counter_exemplars=9, wanted=None, **changes):
    trust = dataclasses.replace(FINE, **changes)
    return [note.code for note in notes_on(trust, str, 7, 1, n_exemplars, n_counter_exemplars, wanted, PARAMS)]


def test_nothing_to_note_where_all_is_fine():
    assert codes() == []


@pytest.mark.parametrize("typicality", [None, 0.05, 1.0])
def test_an_image_that_is_typical_or_of_which_that_is_not_known_needs_no_note(typicality):
    assert codes(typicality=typicality) == []


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("label-not-preserved", {"label_preserved": False}),
        ("code-not-valid", {"code_valid": False}),
        ("not-typical", {"typicality": 0.049}),
        ("not-typical", {"typicality": 0.0}),
        ("one-label", {"n_labels": 1, "other_fraction": 0.0, "n_leaves": 1}),
        ("min-class-fraction", {"other_fraction": 0.09}),
        ("no-rule", {"n_leaves": 1}),
        ("few-neighbors", {"n_neighbors": 999}),
        ("below-constant", {"held_out": 0.69}),
        ("few-exemplars", {"n_exemplars": 15}),
        ("no-counter-exemplars", {"n_counter_exemplars": 0}),
        ("target-not-found", {"n_counter_exemplars": 0, "wanted": 3}),
    ],
)
def test_each_note_has_its_cause(code, changes):
    assert codes(**changes) == [code]


def test_a_note_names_the_labels():
    texts = [note.text for note in notes_on(FINE, lambda y: f"class {y}", 7, 1, 16, 0, 3, PARAMS)]
    assert texts == ["no valid image found that the black box calls class 3"]
