"""Verdicts: each part is judged by its own figures; nothing is called good that a constant answer reaches."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.worlds import Identity, hard, image

from abele_py import Abele, Explanation
from abele_py.explanation.notes import notes_on
from abele_py.explanation.trust import ANSWERS, HEADLINES, Note
from abele_py.explanation.verdicts import verdicts_on

GOOD = {
    "hit": True, "n_leaves": 3, "n_labels": 2, "label_preserved": True, "constant": 0.8, "held_out": 0.96,
    "constant_label": 1, "counter_exemplar_agreement": 1.0, "map_fit": 0.6,
}  # fmt: skip
WORLD_OF_COPIES = {"n_samples": 300, "class_names": ("circle", "square")}


class Forgetful(Identity):
    """Copies are moved to the right: an image just left of the edge comes back on its other side."""

    def encode(self, images):
        codes = super().encode(images)
        codes[:, 0] = (codes[:, 0] + 0.35).clamp(max=0.95)
        return codes


@pytest.fixture(scope="module")
def good(explanation):
    """All figures are good."""
    typical = torch.ones(len(explanation.exemplars)), torch.ones(len(explanation.counter_exemplars))
    e = dataclasses.replace(explanation, exemplar_typicality=typical[0], counter_exemplar_typicality=typical[1])
    return dataclasses.replace(with_trust(e, **GOOD), notes=())


def with_trust(e, **changes):
    return dataclasses.replace(e, trust=dataclasses.replace(e.trust, **changes))


def grades(e):
    return {verdict.part: verdict.grade for verdict in verdicts_on(e)}


def text(e, part):
    return next(verdict.text for verdict in verdicts_on(e) if verdict.part == part)


def test_where_all_is_fine_every_part_is_good(good):
    assert grades(good) == dict.fromkeys(("explanation", "rule", "map", "exemplars", "counter-exemplars"), "good")


@pytest.mark.parametrize(
    ("changes", "part", "grade", "word"),
    [
        ({"held_out": 0.8}, "rule", "bad", "as often as the rule"),
        ({"held_out": 0.79}, "rule", "bad", "more often than the rule"),
        ({"held_out": 0.849}, "rule", "care", "hardly better"),
        ({"held_out": 0.851}, "rule", "good", "80.0 %"),
        ({"constant": 1.0, "held_out": 1.0}, "rule", "care", "could not be tested"),
        ({"hit": False}, "rule", "bad", "does not predict the label of the image"),
        ({"n_leaves": 1}, "rule", "bad", "no rule was found"),
        ({"counter_exemplar_agreement": 0.2}, "rule", "near", "rely on the pictures"),
        ({"map_fit": 0.0}, "map", "bad", "does not predict"),
        ({"map_fit": -0.4}, "map", "bad", "does not predict"),
        ({"map_fit": 0.24}, "map", "care", "24 %"),
        ({"map_fit": 0.25}, "map", "good", "25 %"),
        ({"map_fit": None}, "map", "care", "not measured"),
    ],
    ids=str,
)
def test_a_figure_of_one_part_says_nothing_of_the_others(good, changes, part, grade, word):
    e = with_trust(good, **changes)
    assert grades(e)[part] == grade
    assert word.lower() in text(e, part).lower()
    others = {other: found for other, found in grades(e).items() if other not in (part, "explanation")}
    assert set(others.values()) == {"good"}


def test_a_constant_rule_beside_useful_parts_is_said(good):
    e = with_trust(good, held_out=0.8)
    assert grades(e)["explanation"] == "bad"
    assert text(e, "explanation").endswith("Use the map, the exemplars and the counter-exemplars; not the rule.")
    nothing = dataclasses.replace(
        with_trust(e, map_fit=0.0, counter_exemplar_agreement=None), exemplars=good.exemplars[:0]
    )
    assert text(nothing, "explanation").endswith("No part of it can be used.")


def test_an_empty_map_shows_nothing(good):
    assert grades(dataclasses.replace(good, saliency=0 * good.saliency))["map"] == "bad"


@pytest.mark.parametrize("kind", ["contrast", "median"])
def test_a_map_that_nothing_tested_is_used_with_care(good, kind):
    e = dataclasses.replace(good, params=good.params | {"saliency": kind})
    assert grades(e)["map"] == "care"
    assert grades(e)["explanation"] == "good"
    assert "with care the map" in text(e, "explanation")
    assert grades(with_trust(e, label_preserved=False))["map"] == "bad"


def test_exemplars_are_judged_by_their_number_their_kind_and_their_image(good):
    assert grades(dataclasses.replace(good, exemplars=good.exemplars[:0]))["exemplars"] == "bad"
    few = dataclasses.replace(good, exemplars=good.exemplars[:2])
    assert "only 2 of" in text(few, "exemplars").lower()
    odd = dataclasses.replace(good, exemplar_typicality=torch.full((len(good.exemplars),), 0.01))
    unusual = dataclasses.replace(good, notes=(Note("not-typical", "why"),))
    lost = with_trust(good, label_preserved=False)
    assert {grades(e)["exemplars"] for e in (few, odd, unusual, lost)} == {"care"}
    assert grades(dataclasses.replace(good, exemplar_typicality=None))["exemplars"] == "good"


def test_counter_exemplars_are_judged_by_their_number_and_kind(good):
    none = with_trust(good, counter_exemplar_agreement=None)
    assert grades(none)["counter-exemplars"] == "bad"
    assert grades(none)["explanation"] == "care"
    odd = dataclasses.replace(good, counter_exemplar_typicality=torch.full((len(good.counter_exemplars),), 0.01))
    assert {grades(e)["counter-exemplars"] for e in (odd, with_trust(good, label_preserved=False))} == {"care"}


@pytest.mark.parametrize("code", ["min-class-fraction", "own-label-fraction", "few-neighbors", "not-typical"])
def test_a_rule_learned_from_little_is_read_with_care(good, code):
    e = dataclasses.replace(good, notes=(Note(code, "why"),))
    assert grades(e)["rule"] == grades(e)["explanation"] == "care"


def test_a_file_of_a_time_that_knew_the_image_s_label_alone_is_not_called_good_where_others_are_more_frequent(good):
    assert grades(with_trust(good, constant_label=None, other_fraction=0.2))["rule"] == "good"
    assert grades(with_trust(good, constant_label=None, other_fraction=0.9))["rule"] == "care"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, 0, 1]))
def test_what_does_not_exceed_the_constant_answer_is_never_good(explanation, held_out, constant, other, label):
    changes = GOOD | {"held_out": min(held_out, constant), "constant": constant, "other_fraction": other}
    e = with_trust(explanation, **changes | {"constant_label": label})
    found = grades(dataclasses.replace(e, notes=tuple(notes_on(e))))
    assert found["rule"] in ("bad", "care")
    assert found["explanation"] in ("bad", "care")
    assert constant == 1 or found["rule"] == "bad"


def test_a_copy_of_another_label_is_no_success_of_always_the_image_s_label():
    """A circle whose copy is a square: among the neighbors, hardly one is a circle."""
    e = Abele(hard, Forgetful(), **WORLD_OF_COPIES, neighborhood="local").explain(image(0.28, 0.5))
    assert (e.name(e.label), e.name(e.reconstruction_label)) == ("circle", "square")
    assert e.trust.constant_label == 1
    assert e.trust.constant > 0.5
    assert grades(e)["explanation"] == "bad"
    assert "label-not-preserved" in {note.code for note in e.notes}
    assert "always answering square" in str(e)


def test_where_no_neighbor_has_the_label_nothing_was_learned_about_it():
    """The circle itself is the only one."""

    class Alone:
        """A circle is only what is the image exactly; all that the autoencoder draws are squares."""

        def __call__(self, images):
            return (images[:, 0, 0, 0] != 0.125).long()

    e = Abele(Alone(), Forgetful(), **WORLD_OF_COPIES).explain(image(0.125, 0.5))
    t = e.trust
    assert (t.own_fraction, t.constant, t.constant_label) == (0.0, 1.0, 1)
    assert t.held_out <= t.constant
    assert "own-label-fraction" in {note.code for note in e.notes}
    assert grades(e)["rule"] == "bad"


@pytest.mark.slow
def test_the_tutorial_s_failure_is_no_success(digits_models, digit_images):
    """The rule is right about the neighbors, and its image is one that the autoencoder draws as another label."""
    e = Abele(digits_models[1], digits_models[0], random_state=0, class_names="0123456789").explain(digit_images[143])
    t = e.trust
    assert (e.label, e.reconstruction_label, t.constant_label) == (8, 6, 8)
    assert t.held_out == pytest.approx(0.885, abs=0.03)
    assert t.constant == pytest.approx(0.507, abs=0.03)
    found = grades(e)
    assert (found["explanation"], found["rule"], found["map"]) == ("bad", "bad", "good")
    assert found["exemplars"] == found["counter-exemplars"] == "care"


def test_verdicts_are_data_that_files_keep(good, tmp_path):
    e = dataclasses.replace(good, verdicts=verdicts_on(good))
    assert [verdict.part for verdict in e.verdicts] == [
        "explanation", "rule", "map", "exemplars", "counter-exemplars"
    ]  # fmt: skip
    assert Explanation.load(e.save(tmp_path / "e.npz")).verdicts == e.verdicts
    assert Explanation.from_json(e.to_json()).verdicts == e.verdicts
    told = str(e)
    assert f"can I believe this? {HEADLINES['good']}" in told
    for verdict in e.verdicts[1:]:
        assert f"{verdict.part}: {ANSWERS[verdict.grade]}. {verdict.text}" in told


def test_an_explanation_is_made_with_its_verdicts(explanation):
    assert explanation.verdicts == verdicts_on(explanation)
    assert 0 < explanation.trust.map_fit <= 1
