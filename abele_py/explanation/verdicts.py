"""Verdicts: can an explanation be believed, and which of its parts can be used? Grades and reasons from its figures.

A part is judged by what was measured of it alone: a rule that is worth nothing can stand beside a useful map.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from .explanation import Explanation
from .notes import NOT_TYPICAL
from .trust import Grade, Part, Verdict

LITTLE = 0.25  # what avoids a smaller share of the errors of a constant answer is hardly better; our choice
MOST = 0.5  # a tree that is right for a smaller share of the counter-exemplars does not hold there; our choice
_WORST: tuple[Grade, ...] = ("bad", "care", "near")
_UNUSUAL = frozenset({"code-not-valid", "not-typical"})
_WRONG = {  # the image itself, before anything is asked of it
    "blank": "nothing can be seen on the image",
    "inverted": "light and dark of the image are likely exchanged",
}


class Finding(NamedTuple):
    """What speaks against a part.

    Attributes:
        grade: that it allows at best.
        worry: what is wrong, in short; empty for ``"good"``.
    """

    grade: Grade
    worry: str = ""


FINE = Finding("good")


def verdicts_on(e: Explanation) -> tuple[Verdict, ...]:
    """The verdict on the whole, then those on its four parts: rule, map, exemplars, counter-exemplars."""
    parts = (_rule(e), _map(e), _exemplars(e), _counter_exemplars(e))
    return _whole(e, parts), *parts


def faithful(e: Explanation) -> Finding:
    """Is the surrogate right more often than a constant answer?"""
    t, always = e.trust, f"always predicting {constant_name(e)}"
    avoided = t.errors_avoided
    if not t.hit:
        return Finding("bad", "the rule does not predict the label of the image")
    if t.n_leaves == 1:
        return Finding("bad", "no rule was found")
    if avoided is None:
        return Finding("care", "the rule could not be tested")
    if avoided < 0:
        return Finding("bad", f"{always} is right more often than the rule")
    if avoided == 0:
        return Finding("bad", f"{always} is right as often as the rule")
    if t.constant_label is None and t.other_fraction > 0.5:
        return Finding("care", "another label than the image's is frequent, with which the rule was not compared")
    return Finding("care", f"the rule is hardly better than {always}") if avoided < LITTLE else FINE


def preserved(e: Explanation) -> Finding:
    """Has the reconstruction the image's label?"""
    if e.trust.label_preserved:
        blur = Finding("care", "the autoencoder's copy shows less than half of what varies within the image")
        return FINE if e.trust.is_drawn else blur
    worry = "the autoencoder loses what the decision rests on, so the explanation may be about another image"
    return Finding("bad", worry)


def familiar(e: Explanation) -> Finding:
    """Is the image like those that the autoencoder knows?"""
    if wrong := [text for code, text in _WRONG.items() if code in _codes(e)]:
        return Finding("bad", enumeration(wrong))
    return Finding("care", "the image is unusual") if _UNUSUAL & _codes(e) else FINE


def enough(e: Explanation) -> Finding:
    """Were there neighbors enough, with the image's label and with others?"""
    if e.trust.n_labels == 1:
        return Finding("bad", "all similar images have one label")
    if "own-label-fraction" in _codes(e):
        return Finding("care", f"hardly any of the similar images is predicted as {e.name(e.label)}")
    few = _codes(e) & {"min-class-fraction", "few-neighbors"}
    return Finding("care", "there was little to learn from") if few else FINE


def far_out(e: Explanation) -> Finding:
    """Is the surrogate right about the counter-exemplars?"""
    agreement = e.trust.counter_exemplar_agreement
    if agreement is None or agreement >= MOST:
        return FINE
    worry = "farther out, where the counter-exemplars lie, the rule is mostly wrong: rely on the pictures there"
    return Finding("near", worry)


def constant_name(e: Explanation) -> str:
    """The name of the label that the better constant answer gives."""
    return e.name(e.label if e.trust.constant_label is None else e.trust.constant_label)


def _whole(e: Explanation, parts: Sequence[Verdict]) -> Verdict:
    """As good as its rule; with care where another part cannot be used."""
    rule, *others = parts
    missing = [verdict for verdict in others if verdict.grade == "bad"]
    grade: Grade = "care" if missing and rule.grade in ("good", "near") else rule.grade
    texts = [rule.text, *(verdict.text for verdict in missing)]
    if grade in _WORST[:2] or {verdict.grade for verdict in others} != {"good"}:
        texts.append(_use(parts))
    return Verdict("explanation", grade, " ".join(texts))


def _use(parts: Sequence[Verdict]) -> str:
    """Which parts can be used."""
    good, care, bad = (
        enumeration([f"the {verdict.part}" for verdict in parts if verdict.grade in grades])
        for grades in (("good", "near"), ("care",), ("bad",))
    )
    ways = [good, f"with care {care}" if care else "", f"not {bad}" if bad else ""]
    return f"Use {'; '.join(way for way in ways if way)}." if good or care else "No part of it can be used."


def _rule(e: Explanation) -> Verdict:
    t = e.trust
    found = (faithful(e), preserved(e), familiar(e), enough(e), far_out(e))
    text = f"Near this image the rule agrees with the black box in {percent(t.held_out, 1)} of the cases. "
    text += f"Always predicting {constant_name(e)} agrees in {percent(t.constant, 1)}."
    return _worst("rule", found, text)


def _map(e: Explanation) -> Verdict:
    t, kind = e.trust, e.params.get("saliency")
    if not bool(e.saliency.any()):
        return Verdict("map", "bad", "The map is empty: nothing in the image stands out.")
    if kind != "mosaic":
        what = "the map compares the image with its exemplars" if kind == "median" else "the map is read from neighbors"
        if not t.label_preserved:
            return _worst("map", [Finding("bad", f"{what}, and the autoencoder loses what the decision rests on")])
        return _worst("map", [Finding("care", f"{what}, and was not tested by changing the image")])
    if t.map_fit is None:
        return Verdict("map", "care", "It was not measured how well the map predicts the black box.")
    tested = f"the map predicts {percent(max(t.map_fit, 0))} of what changes in the black box's answers where areas of"
    tested += " the image are replaced"
    if t.map_fit <= 0:
        return _worst("map", [Finding("bad", "the map does not predict what the black box says where areas change")])
    return _worst("map", [Finding("care", tested)] if t.map_fit < LITTLE else [], sentence(tested))


def _exemplars(e: Explanation) -> Verdict:
    n, wanted, name = len(e.exemplars), e.params.get("n_exemplars", 0), e.name(e.label)
    if n == 0:
        return Verdict("exemplars", "bad", "No exemplar was found inside the rule.")
    found = [
        Finding(familiar(e).grade, "the image is unusual, and images like it are hard to draw"),
        Finding("care" if n < wanted else "good", f"only {n} of {wanted} exemplars were found"),
        Finding(_odd(e.exemplar_typicality), "most exemplars are unusual images"),
    ]
    if not e.trust.label_preserved:
        found.insert(0, Finding("care", "exemplars are similar to the autoencoder's copy, which has another label"))
    every = f"The black box was queried for {counted(n, 'exemplar')}, and predicts {name} for each."
    return _worst("exemplars", found, every)


def _counter_exemplars(e: Explanation) -> Verdict:
    n = len(e.counter_exemplars)
    if n == 0 or e.trust.counter_exemplar_agreement is None:
        return Verdict("counter-exemplars", "bad", "No image with another label was found.")
    found = [Finding(_odd(e.counter_exemplar_typicality), "most counter-exemplars are unusual images")]
    if not e.trust.label_preserved:
        lost = "the ways to the counter-exemplars begin at the autoencoder's copy, which has another label already"
        found.insert(0, Finding("care", lost))
    every = f"The black box was queried for {counted(n, 'counter-exemplar')}, and predicts the label given for each."
    return _worst("counter-exemplars", found, every)


def _worst(part: Part, found: Sequence[Finding], fine: str = "") -> Verdict:
    """The verdict of the worst findings, which give the reasons; ``fine`` stands before what is true near only."""
    for grade in _WORST:
        worries = [finding.worry for finding in found if finding.grade == grade]
        if worries:
            text = " ".join(map(sentence, worries))
            return Verdict(part, grade, f"{fine} {text}" if grade == "near" else text)
    return Verdict(part, "good", fine)


def _odd(typicality: Tensor | None) -> Grade:
    """Of typicalities (N,) or None: are most of them below what is usual?"""
    return "good" if typicality is None or float(typicality.median()) >= NOT_TYPICAL else "care"


def enumeration(names: Sequence[str]) -> str:
    """``a, b and c``; nothing for no names."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def counted(n: int, thing: str) -> str:
    """``1 label``, ``2 labels``."""
    return f"{n} {thing}{'' if n == 1 else 's'}"


def percent(share: float, digits: int = 0) -> str:
    """A share in [0, 1] as ``93.6 %``."""
    return f"{100 * share:.{digits}f} %"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def _codes(e: Explanation) -> set[str]:
    return {note.code for note in e.notes}
