"""An explanation in sentences: they agree with the numbers, and warn where these do."""

import dataclasses

import pytest
import torch
from support.worlds import Identity, always_one, hard, image, quarters

from abele_py import Abele
from abele_py.explanation.trust import Note
from abele_py.views import sentences


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
    grade, text = sentences.belief(good)
    assert grade == "good"
    assert "96.0 %" in text
    assert "80.0 %" in text, "the constant answer stands beside the rule"
    assert {check.grade for check in sentences.checks(good)} == {"good"}


@pytest.mark.parametrize(
    ("changes", "grade", "word"),
    [
        ({"held_out": 0.79}, "bad", "more often than the rule"),
        ({"held_out": 0.83}, "care", "hardly better"),
        ({"held_out": 0.8}, "bad", "right as often as the rule"),
        ({"held_out": 0.84}, "care", "hardly better"),
        ({"held_out": 0.851}, "good", "85.1 %"),
        (
            {"held_out": 0.96, "constant": 0.99, "constant_label": 0},
            "bad",
            "always predicting dark is right more often",
        ),
        ({"held_out": 1.0, "constant": 1.0}, "care", "could not be tested"),
        ({"hit": False}, "bad", "does not predict the label of the image"),
        ({"n_leaves": 1}, "bad", "no rule"),
        ({"n_labels": 1}, "bad", "one label"),
        ({"label_preserved": False}, "bad", "loses what the decision rests on"),
        ({"counter_exemplar_agreement": 0.2}, "near", "rely on the pictures"),
        ({"counter_exemplar_agreement": None}, "care", "no image with another label"),
    ],
    ids=str,
)
def test_what_lowers_trust_is_said(good, changes, grade, word):
    found, text = sentences.belief(with_trust(good, **changes))
    assert found == grade
    assert word.lower() in text.lower()


def test_two_judges_of_the_image_may_differ(good):
    """The discriminator and the mixture of codes: each has its own sentence, so that none contradicts a number."""
    for code, part in (("code-not-valid", "discriminator"), ("not-typical", "code this unlikely")):
        e = with_trust(dataclasses.replace(good, notes=(Note(code, "why"),)), typicality=0.72)
        check = next(c for c in sentences.checks(e) if c.question == "Does the autoencoder know such images?")
        assert check.grade == "care"
        assert part in check.answer
        assert "0.72" in check.answer


def test_every_note_that_lowers_trust_does_so(explanation):
    for pixels, black_box in [((0.01, 0.99), hard), ((0.6, 0.5), always_one)]:
        e = explained(black_box, pixels)
        assert e.notes
        assert sentences.belief(e)[0] in ("care", "bad")


def test_the_reason_names_the_boundaries_the_nearest_first():
    e = explained(splits="oblique", class_names=("a", "b", "c", "d"))
    conditions = sentences.nearest_first(e)
    distances = [abs(float(c.coordinate(e.latent[None])) - c.threshold) for c in conditions]
    assert distances == sorted(distances)
    assert len(conditions) == len(e.rule.conditions)
    axis = explained(splits="axis")
    assert sentences.nearest_first(axis)[0].words(axis.name) in sentences.reason(axis)
    assert "No rule" in sentences.reason(explained(always_one))


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
    assert sentences.evidence(dataclasses.replace(good, saliency=saliency)) == "No part of the image stands out."
    saliency[pixel] = 0.3
    assert (
        sentences.evidence(dataclasses.replace(good, saliency=saliency)) == f"What supports bright most lies {place}."
    )


def test_change_and_certainty(good):
    assert sentences.change(good) == "The nearest image found with another label is predicted as dark."
    assert sentences.certainty(good) == "Its probability is 0.80. Next comes dark, 0.20."
    assert sentences.certainty(explained(hard)) == "It returns labels only, no scores."
    assert "No similar image" in sentences.change(explained(always_one))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.50"), (1.0, "1.00"), (0.0, "0.00"), (0.9999, "above 0.99"), (1e-6, "below 0.01"), (-3.2, "-3.20")],
)
def test_scores_are_not_rounded_to_certainty(value, text):
    assert sentences.score(torch.tensor(value, dtype=torch.float64)) == text


@pytest.mark.parametrize(("share", "digits", "text"), [(0.936, 1, "93.6 %"), (1, 0, "100 %"), (0.125, 1, "12.5 %")])
def test_shares_are_shown_in_per_cent(share, digits, text):
    assert sentences.percent(share, digits) == text


def test_enumerations():
    assert [sentences.enumeration("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert [sentences.counted(n, "label") for n in (0, 1, 2)] == ["0 labels", "1 label", "2 labels"]
