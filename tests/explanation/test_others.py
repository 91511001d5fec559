"""Of many other labels the nearest are shown, whoever asks, and the one that was asked for; none is lost."""

import dataclasses

import pytest
import torch
from support.pages import explained

from abele_py.explanation.others import MOST_SHOWN, other_labels
from abele_py.surrogate.rules import CounterfactualRule, Rule


def stripes(n):
    """A black box of n classes: stripes of the first pixel."""
    return lambda images: (images[:, 0, 0, 0] * (n - 0.01)).long()


def many(n=30):
    return explained(stripes(n), class_names=[f"class {i}" for i in range(n)])


@pytest.fixture(scope="module")
def thirty():
    return many()


def without_images(e, **params):
    """The same as if no counter-exemplar had been found; rules alone lead to 29 labels, with 1 to 29 changes each."""
    change, others = e.counterfactual_rules[0].changes, [y for y in range(30) if y != e.label]
    rules = [CounterfactualRule(Rule(change, y), change * (7 * i % 29 + 1)) for i, y in enumerate(others)]
    return dataclasses.replace(
        e, counter_exemplars=e.counter_exemplars[:0], counterfactual_rules=tuple(rules), params=e.params | params
    )


@pytest.mark.parametrize("n", [2, 10, MOST_SHOWN + 1, MOST_SHOWN + 2, 30])
def test_every_label_is_shown_or_among_the_rest_and_few_are_all_shown(n):
    e = many(n)
    found, ruled = e.counter_exemplars.labels.tolist(), [rule.label for rule in e.counterfactual_rules]
    others = other_labels(e)
    assert sorted([*others.shown, *others.rest]) == sorted({*found, *ruled})
    assert len(others.shown) == min(MOST_SHOWN, len({*found, *ruled}))
    assert [y for y in found if y in others.shown] == found[:MOST_SHOWN], "nearest first"
    assert others.rules == [rule for rule in e.counterfactual_rules if rule.label in others.shown]
    assert bool(others.more) == bool(others.hint) == bool(others.rest)


def test_what_is_shown_is_nearer_than_the_rest(thirty):
    c, others = thirty.counter_exemplars, other_labels(thirty)
    distances = dict(zip(c.labels.tolist(), c.distances.tolist(), strict=True))
    assert others.rest
    assert max(distances[y] for y in others.shown) <= min(distances.get(y, float("inf")) for y in others.rest)


def test_of_labels_that_rules_alone_lead_to_the_fewest_changes_are_nearest(thirty):
    """A label with an image comes before all of them, however many changes its rule has."""
    e = without_images(thirty)
    changes, others = {rule.label: len(rule.changes) for rule in e.counterfactual_rules}, other_labels(e)
    found = thirty.counter_exemplars
    assert {changes[y] for y in others.shown} == set(range(1, MOST_SHOWN + 1))
    assert others.shown == sorted(others.shown), "in the order of the rules"
    most = torch.tensor(sorted(changes, key=changes.__getitem__)[-MOST_SHOWN:])
    with_images = dataclasses.replace(e, counter_exemplars=found[torch.isin(found.labels, most)])
    assert sorted(other_labels(with_images).shown) == sorted(most.tolist())


def test_the_target_is_always_shown_however_it_was_given(thirty):
    farther = other_labels(without_images(thirty)).rest
    assert len(farther) == 29 - MOST_SHOWN
    for label in farther:
        for target in (label, str(label), thirty.name(label)):
            others = other_labels(without_images(thirty, target=target))
            assert label in others.shown
            assert len(others.shown) == MOST_SHOWN


def test_one_label_and_several():
    assert other_labels(many(MOST_SHOWN + 2)).more == "1 more label"
    assert other_labels(many(MOST_SHOWN + 3)).more == "2 more labels"


def test_words_hold_what_is_shown_and_say_how_many_more_there_are(thirty):
    others, lines = other_labels(thirty), str(thirty).splitlines()
    (found,) = (line for line in lines if "counter-exemplars: class" in line)
    assert found.partition("counter-exemplars: ")[2].split(", ") == [
        thirty.name(y) for y in thirty.counter_exemplars.labels.tolist() if y in others.shown
    ]
    assert sum(line.startswith("counterfactual rule: ") for line in lines) == len(others.rules)
    assert lines.count(others.hint) == 1
    assert others.hint.startswith(f"{len(others.rest)} more labels")


def test_words_of_few_labels_have_no_such_line(explanation):
    assert "more label" not in str(explanation)
    assert other_labels(explanation).rest == []
