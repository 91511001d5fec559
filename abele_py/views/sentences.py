"""An explanation in plain sentences: the decision, why, what would change it, and whether to believe all that."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..explanation import verdicts
from ..explanation.explanation import Explanation
from ..explanation.others import other_labels
from ..explanation.trust import ANSWERS, Grade, Verdict
from ..explanation.trust import HEADLINES as HEADLINES
from ..explanation.verdicts import counted as counted
from ..explanation.verdicts import enumeration as enumeration
from ..explanation.verdicts import percent as percent
from ..surrogate.rules import Condition


class Check(NamedTuple):
    """One question that decides how far to trust an explanation.

    Attributes:
        grade: ``"good"``; ``"near"``, true near the image only; ``"care"``; or ``"bad"``.
        worry: what is wrong, in short; empty for ``"good"``.
        question: the question.
        answer: in words, with the numbers.
    """

    grade: Grade
    worry: str
    question: str
    answer: str


def decision(e: Explanation) -> str:
    """What the black box predicts for the image."""
    return f"The black box predicts {e.name(e.label)}"


def certainty(e: Explanation) -> str:
    """How sure the black box is, as far as its scores tell: a probability, and the score where that is another."""
    if e.scores is None:
        return "It returns labels only, no scores."
    second = next(y for y in e.scores.argsort(descending=True, stable=True).tolist() if y != e.label)
    p = e.probabilities(e.scores)
    own, raw = score(p[e.label]), score(e.scores[e.label])
    beside = "" if own == raw else f" (its score is {raw})"
    return f"Its probability is {own}{beside}. Next comes {e.name(second)}, {score(p[second])}."


def reason(e: Explanation) -> str:
    """Why this label, as the rule has it."""
    name, conditions = e.name(e.label), nearest_first(e)
    if not e.trust.hit:
        return (
            f"The learned rule predicts {e.name(e.rule.label)}: it does not explain why the black box predicts {name}."
        )
    if not conditions:
        return f"No rule was found: among the similar images, nothing separates {name} from other labels."
    boundaries = [c.towards for c in conditions if c.away_from is None and c.towards is not None]
    if len(boundaries) == len(conditions):
        names = [e.name(label) for label in boundaries]
        nearest = "" if len(names) == 1 else f" The nearest boundary is the one to {names[0]}."
        return f"It lies on {name}'s side of the {_boundaries(names)}.{nearest}"
    return (
        f"It meets {counted(len(conditions), 'condition')} under which similar images are predicted as {name}. "
        f"Nearest to being broken: {conditions[0].words(e.name)}."
    )


def evidence(e: Explanation) -> str:
    """Where the saliency map is strongest."""
    strongest = float(e.saliency.max())
    if strongest <= 0:
        return "No part of the image stands out."
    height, width = e.saliency.shape
    y, x = divmod(int(e.saliency.argmax()), width)
    vertical, horizontal = min(2, 3 * y // height), min(2, 3 * x // width)
    place = f"{('upper', 'middle', 'lower')[vertical]} {('left', 'centre', 'right')[horizontal]}"
    what = "What may change most" if e.params.get("saliency") == "median" else f"What supports {e.name(e.label)} most"
    return f"{what} lies {'in the centre' if place == 'middle centre' else f'at the {place}'}."


def change(e: Explanation) -> str:
    """What would change the prediction: the labels of the nearest counter-exemplars."""
    found, shown = e.counter_exemplars.labels.tolist(), other_labels(e).shown
    names = [e.name(y) for y in found if y in shown]
    if not names:
        return "No similar image with another label was found."
    names += [f"{len(found) - len(names)} more"] if len(names) < len(found) else []
    more = f" Farther away: {enumeration(names[1:])}." if names[1:] else ""
    return f"The nearest image found with another label is predicted as {names[0]}.{more}"


def belief(e: Explanation) -> tuple[Grade, str]:
    """Whether to believe it, and why, as sentences: the verdict on the whole."""
    whole, *_ = verdicts.verdicts_on(e)
    return whole.grade, whole.text


def parts(e: Explanation) -> list[Verdict]:
    """The verdicts on rule, map, exemplars and counter-exemplars."""
    return list(verdicts.verdicts_on(e)[1:])


def usable(e: Explanation) -> str:
    """Which parts can be used, in one line."""
    answers = (f"{verdict.part} {ANSWERS[verdict.grade]}" for verdict in parts(e))
    return f"Can be used: {', '.join(answers)}."


_DOUBTS = {
    "blank": "Nothing can be seen on it.",
    "inverted": "Its light and dark are likely exchanged.",
    "code-not-valid": "Its discriminator finds the image unlike those it was trained on.",
    "not-typical": "Hardly any of the images it was checked with has a code this unlikely.",
}


def checks(e: Explanation) -> Iterator[Check]:
    """The questions that decide about the rule, the weightiest first."""
    yield Check(*verdicts.faithful(e), "Does the rule predict what the black box predicts?", _faithful(e))
    yield Check(*verdicts.preserved(e), "Does the autoencoder keep what the decision rests on?", _preserved(e))
    yield Check(*verdicts.familiar(e), "Does the autoencoder know such images?", _familiar(e))
    yield Check(*verdicts.enough(e), "Was there enough to learn from?", _enough(e))
    untested = verdicts.Finding("care", "no image with another label was found")
    found = untested if e.trust.counter_exemplar_agreement is None else verdicts.far_out(e)
    yield Check(*found, "Does the rule hold as far out as the counter-exemplars?", _far_out(e))


def _faithful(e: Explanation) -> str:
    t, always = e.trust, f"always predicting {verdicts.constant_name(e)}"
    if t.n_leaves == 1:
        return f"No rule does better than {always}."
    near = percent(t.held_out, 1), percent(t.constant, 1)
    alike = percent(t.held_out_unweighted, 1), percent(t.constant_unweighted, 1)
    other = t.constant_label_unweighted
    named = "" if other in (None, t.constant_label) else f", which is always predicting {e.name(other)}"
    reached = (
        f"It was tested on {t.n_held_out} similar images that it was not learned from; near ones count more. It "
        f"predicts the black box's label in {near[0]} of the cases. {always[:1].upper()}{always[1:]} is right in "
        f"{near[1]}"
    )
    avoided = t.errors_avoided
    if not t.hit:
        reached = f"It predicts another label for the image. {reached}."
    elif avoided is None:
        return f"{reached}: none has another label."
    elif avoided <= 0:
        reached += ". The rule explains nothing."
    elif avoided < verdicts.LITTLE:
        reached += f". The rule is hardly better: it avoids {percent(avoided)} of the errors that this makes."
    else:
        reached += f". The rule avoids {percent(avoided)} of the errors that this makes."
    return f"{reached} If all count alike: {alike[0]} against {alike[1]}{named}."


def _preserved(e: Explanation) -> str:
    copy = f"Its copy of the image is predicted as {e.name(e.reconstruction_label)}"
    error = f"Pixels differ by {percent(e.trust.reconstruction_error, 1)} of the range (root mean square)."
    lost = " too." if e.trust.label_preserved else ": the explanation may be about another image."
    return f"{copy}{lost} {error}"


def _familiar(e: Explanation) -> str:
    t, codes = e.trust, {note.code for note in e.notes}
    doubts = [text for code, text in _DOUBTS.items() if code in codes]  # two judges, who may differ
    typical = "" if t.typicality is None else f" Typicality {t.typicality:.2f}, from 0 (very unusual) to 1 (usual)."
    return (" ".join(doubts) or "The image looks like those it was trained on.") + typical


def _enough(e: Explanation) -> str:
    t = e.trust
    return (
        f"The black box was queried for {t.n_neighbors} images around this one. {percent(t.own_fraction)} of them are "
        f"predicted as {e.name(e.label)} too, {percent(t.other_fraction)} have another label; there are "
        f"{counted(t.n_labels, 'label')} in all."
    )


def _far_out(e: Explanation) -> str:
    n, agreement = len(e.counter_exemplars), e.trust.counter_exemplar_agreement
    if agreement is None:
        return "No counter-exemplar was found."
    right = f"It predicts the black box's label for {round(agreement * n)} of {counted(n, 'counter-exemplar')}."
    if agreement >= verdicts.MOST:
        return right
    return (
        f"{right} They lie farther out than most images it was learned from. To see what would change the label, rely "
        "on the counter-exemplars rather than on the numbers in the rules: the black box was queried for each of them."
    )


def nearest_first(e: Explanation) -> list[Condition]:
    """The rule's conditions; the one that the image is nearest to breaking comes first."""
    return sorted(e.rule.conditions, key=lambda c: abs(float(c.coordinate(e.latent[None])) - c.threshold))


def score(value: object) -> str:
    """A probability or score in short. It is rounded to 1 or 0 only where it is 1 or 0."""
    v = float(value)  # type: ignore[arg-type]
    if 0.995 <= v < 1:
        return "above 0.99"
    return "below 0.01" if 0 < v < 0.005 else f"{v:.2f}"


def _boundaries(names: Sequence[str]) -> str:
    return f"boundary to {names[0]}" if len(names) == 1 else f"boundaries to {enumeration(names)}"
