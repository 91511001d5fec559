"""The page of an audit: what was found in words, with rates and intervals, and nothing that breaks it."""

import dataclasses

import pytest
import torch

from abele_py.audit.audit import Audit, Example, Suspicion
from abele_py.audit.detection import Effect
from abele_py.audit.places import Place
from abele_py.views.audit_page import evidence, limits_in_words, page_of_audit, place_in_words, verdict, wilson
from abele_py.views.audit_plot import plot_of_audit

ODD = '<b>"x" & $y$'


def effect(label=1, operator="residual", **changes):
    values = {
        "added": 0.5, "added_by_others": 0.01, "n_added": 100, "n_added_by_others": 400, "lost": 0.25,
        "lost_to_own": 0.0, "n_lost": 80, "n_lost_to_own": 20, "log_odds": 5.0, "p": 0.001, "follows": True,
    }  # fmt: skip
    return Effect(operator, label, **(values | changes))


def place(kind="fixed", **changes):
    values = {
        "window": (2, 3, 5) if kind == "fixed" else None, "windows": ((2, 3, 5),), "donors": (0,),
        "evidence": torch.eye(12), "rate": 0.9, "rate_elsewhere": 0.0, "n": 100,
    }  # fmt: skip
    return Place(kind, **(values | changes))


def made(n_labels=3, found=(1,), shape=(1, 12, 12), names=("cat", ODD, "owl"), kind="fixed", **changes):
    example = Example(torch.rand(shape), torch.rand(shape), torch.rand(shape), 0, given=True)
    values = {
        "suspicions": tuple(Suspicion((effect(y), effect(y, "ground")), place(kind), (example,)) for y in found),
        "effects": tuple(effect(y, o, follows=y in found) for y in range(n_labels) for o in ("ground", "level")),
        "objections": {"level": "of a reason"}, "kept": (0.9,) * n_labels, "counts": (30, 50, 7)[:n_labels],
        "words": {"ground": "what is around the object", "level": "how light", "residual": "what is not drawn"},
        "class_names": names[:n_labels], "black_box_images": 9400, "seconds": 2.0,
        "params": {"n_images": 87, "n_pairs": 2600, "seed": 0},
    }  # fmt: skip
    return Audit(**(values | changes))


def test_a_page_says_what_follows_what_and_where():
    page = page_of_audit(made(), "a black box")
    assert "follows what is not drawn" in page
    assert "50 % (40 % to 60 %, of 100)" in page
    assert "5x5 pixels from row 2, column 3" in page
    assert page.count("<img") == 3 + 2, "a pair, and the map over an image"
    assert "what is around the object too" in page


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 12, 12), (3, 130, 150)])
@pytest.mark.parametrize("kind", ["fixed", "varies", "none"])
def test_odd_names_do_not_break_it(shape, kind):
    page = page_of_audit(made(shape=shape, kind=kind), ODD)
    assert ODD not in page
    assert "&lt;b&gt;" in page
    assert len(page) < 1_000_000


@pytest.mark.parametrize("n_labels", [2, 3, 200])
def test_nothing_found_is_said_as_plainly(n_labels):
    audit = made(n_labels, (), names=(), counts=(30,) * n_labels)
    assert verdict(audit) == "No label was found to follow anything beside the object."
    assert "What cannot be excluded" in page_of_audit(audit, "it")
    assert plot_of_audit(audit, ODD).axes


def test_of_two_labels_the_other_follows_the_absence():
    assert "its absence" in verdict(made(2, names=("a", "b")))
    assert "its absence" not in verdict(made(3))


@pytest.mark.parametrize(
    ("n_labels", "words"),
    [
        (2, "The labels b and a follow how light: b is given to darker images, a to lighter ones."),
        (3, "The label b follows how light: it is given to darker images."),
    ],
)
def test_a_direction_is_told_of_one_label_and_of_both_where_there_are_two(n_labels, words):
    audit = made(n_labels, names=("a", "b", "c"))
    suspicion = Suspicion((effect(operator="level"),), place(), audit.suspicions[0].examples, "darker")
    audit = dataclasses.replace(audit, suspicions=(suspicion,))
    assert verdict(audit) == words
    assert "b follows how light: darker images" in page_of_audit(audit, "it")


def test_limits_name_what_was_not_tried_and_rare_labels():
    found = " ".join(limits_in_words(made()))
    assert "What how light does was not tried: of a reason." in found
    assert "predicted as owl to say" in found


def test_evidence_has_both_rates_of_both_directions():
    said = evidence(made(), effect())
    assert [words in said for words in ("50 %", "1 %", "25 %", "0 %")] == [True] * 4


@pytest.mark.parametrize(
    ("kind", "words"), [("fixed", "at one place"), ("varies", "another place"), ("none", "spread")]
)
def test_the_place_in_words(kind, words):
    assert words in place_in_words(place(kind))


@pytest.mark.parametrize(
    ("share", "n", "interval"), [(0.5, 100, (0.4038, 0.5962)), (0.0, 20, (0.0, 0.1611)), (1.0, 20, (0.8389, 1.0))]
)
def test_wilson_intervals_are_the_textbook_ones(share, n, interval):
    assert wilson(share, n) == pytest.approx(interval, abs=1e-4)


def test_rates_without_images_say_so():
    audit = dataclasses.replace(
        made(), suspicions=(Suspicion((effect(n_lost=0),), place(), made().suspicions[0].examples),)
    )
    assert "none (no images)" in page_of_audit(audit, "it")
