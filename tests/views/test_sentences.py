"""An explanation in sentences: they say what the figures say, and warn where these do."""

import dataclasses

import pytest
import torch
from support.worlds import Identity, always_one, hard, image, quarters

from abele_py import Abele
from abele_py.explanation.trust import Note
from abele_py.views import sentences as words


def explained(black_box=quarters, pixels=(0.6, 0.8), **options):
    return Abele(black_box, Identity(), n_samples=150, **options).explain(image(*pixels))


def with_trust(e, **changes):
    return dataclasses.replace(e, trust=dataclasses.replace(e.trust, **changes))


GOOD = {
    "hit": True, "n_leaves": 3, "n_labels": 2, "label_preserved": True, "constant": 0.8, "held_out": 0.96,
    "counter_exemplar_agreement": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def good(explanation):
    return dataclasses.replace(with_trust(explanation, **GOOD), notes=())


def test_what_holds_everywhere_is_believed(good):
    grade, text = words.belief(good)
    assert grade == "good"
    assert "96.0%" in text
    assert "80.0%" in text, "the constant answer stands beside the rule"
    assert {check.grade for check in words.checks(good)} == {"good"}


@pytest.mark.parametrize(
    ("changes", "grade", "word"),
    [
        ({"held_out": 0.79}, "bad", "more often than the rule"),
        ({"held_out": 0.83}, "care", "hardly better"),
        ({"held_out": 0.8}, "care", "hardly better"),
        ({"held_out": 1.0, "constant": 1.0}, "care", "not be put to the test"),
        ({"hit": False}, "bad", "misses the image"),
        ({"n_leaves": 1}, "bad", "no rule"),
        ({"n_labels": 1}, "bad", "one label"),
        ({"label_preserved": False}, "bad", "loses what decides"),
        ({"counter_exemplar_agreement": 0.2}, "near", "go by the pictures"),
        ({"counter_exemplar_agreement": None}, "care", "no image with another label"),
    ],
    ids=str,
)
def test_what_speaks_against_it_is_said(good, changes, grade, word):
    found, text = words.belief(with_trust(good, **changes))
    assert found == grade
    assert word.lower() in text.lower()


def test_two_judges_of_the_image_may_differ(good):
    """The discriminator and the mixture of codes: each speaks for itself, so that no sentence contradicts a figure."""
    for code, says in (("code-not-valid", "discriminator"), ("not-typical", "unlikely a code")):
        e = with_trust(dataclasses.replace(good, notes=(Note(code, "why"),)), typicality=0.72)
        check = next(c for c in words.checks(e) if c.question == "Does the autoencoder know such images?")
        assert check.grade == "care"
        assert says in check.answer
        assert "0.72" in check.answer


def test_every_note_that_lowers_trust_does_so(explanation):
    for pixels, black_box in [((0.01, 0.99), hard), ((0.6, 0.5), always_one)]:
        e = explained(black_box, pixels)
        assert e.notes
        assert words.belief(e)[0] in ("care", "bad")


def test_the_reason_names_the_boundaries_the_nearest_first():
    e = explained(splits="oblique", class_names=("a", "b", "c", "d"))
    conditions = words.nearest_first(e)
    distances = [abs(float(c.coordinate(e.latent[None])) - c.threshold) for c in conditions]
    assert distances == sorted(distances)
    assert len(conditions) == len(e.rule.conditions)
    axis = explained(splits="axis")
    assert words.nearest_first(axis)[0].words(axis.name) in words.reason(axis)
    assert "No rule" in words.reason(explained(always_one))


@pytest.mark.parametrize(
    ("pixel", "place"),
    [
        ((0, 0), "at the upper left"),
        ((4, 4), "in the centre"),
        ((8, 4), "at the lower centre"),
        ((3, 8), "at the middle right"),
    ],
)
def test_the_strongest_evidence_is_placed(good, pixel, place):
    saliency = torch.full((9, 9), -0.5)
    assert words.evidence(dataclasses.replace(good, saliency=saliency)) == "No part of the image stands out."
    saliency[pixel] = 0.3
    assert words.evidence(dataclasses.replace(good, saliency=saliency)) == f"What speaks most for bright lies {place}."


def test_change_and_certainty(good):
    assert words.change(good) == "The nearest image that was found with another label is seen as dark."
    assert words.certainty(good) == "Its score is 0.80. Next comes dark, 0.20."
    assert words.certainty(explained(hard)) == "It gives labels only, no scores."
    assert "No similar image" in words.change(explained(always_one))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.50"), (1.0, "1.00"), (0.0, "0.00"), (0.9999, "above 0.99"), (1e-6, "below 0.01"), (-3.2, "-3.20")],
)
def test_scores_are_not_rounded_to_certainty(value, text):
    assert words.score(torch.tensor(value, dtype=torch.float64)) == text


def test_enumerations():
    assert [words.enumeration("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert [words.counted(n, "label") for n in (0, 1, 2)] == ["0 labels", "1 label", "2 labels"]
