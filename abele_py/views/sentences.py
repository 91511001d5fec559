"""An explanation in plain sentences: the decision, why, what would change it, and whether to believe all that."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from ..explanation.explanation import Explanation
from ..surrogate.rules import Condition

Grade = Literal["good", "near", "care", "bad"]
LITTLE = 0.25  # a rule that avoids a smaller share of the constant answer's errors is hardly better; our choice
MOST = 0.5  # a tree that is right for a smaller share of the counter-exemplars does not hold there; our choice


class Check(NamedTuple):
    """One question that decides how far to trust an explanation.

    Attributes:
        grade: ``"good"``; ``"near"``, true near the image only; ``"care"``; or ``"bad"``.
        question: the question.
        answer: in words, with the numbers.
        worry: what is wrong, in short; empty for ``"good"``.
    """

    grade: Grade
    question: str
    answer: str
    worry: str = ""


HEADLINES: dict[Grade, str] = {
    "good": "Yes",
    "near": "Yes, near this image",
    "care": "With care",
    "bad": "Do not rely on it",
}


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
    """What would change the prediction: the labels of the counter-exemplars."""
    names = [e.name(y) for y in e.counter_exemplars.labels.tolist()]
    if not names:
        return "No similar image with another label was found."
    more = f" Farther away: {enumeration(names[1:])}." if names[1:] else ""
    return f"The nearest image found with another label is predicted as {names[0]}.{more}"


def belief(e: Explanation) -> tuple[Grade, str]:
    """Whether to believe it: the worst grade, and why, as sentences."""
    found = list(checks(e))
    for grade in ("bad", "care"):
        worries = [check.worry for check in found if check.grade == grade]
        if worries:
            return grade, _sentence(enumeration(worries))
    t = e.trust
    text = f"Near this image the rule agrees with the black box in {percent(t.held_out, 1)} of the cases. "
    text += f"Always predicting {e.name(e.label)} agrees in {percent(t.constant, 1)}."
    far = [check.worry for check in found if check.grade == "near"]
    return ("near", f"{text} {_sentence(enumeration(far))}") if far else ("good", text)


_DOUBTS = {
    "code-not-valid": "Its discriminator finds the image unlike those it was trained on.",
    "not-typical": "Hardly any of the images it was checked with has a code this unlikely.",
}


def checks(e: Explanation) -> Iterator[Check]:
    """The questions that decide, the weightiest first."""
    t, codes = e.trust, {note.code for note in e.notes}
    yield _faithful(e)
    yield _preserved(e)
    doubts = [text for code, text in _DOUBTS.items() if code in codes]  # two judges, who may differ
    typical = "" if t.typicality is None else f" Typicality {t.typicality:.2f}, from 0 (very unusual) to 1 (usual)."
    yield Check(
        "care" if doubts else "good",
        "Does the autoencoder know such images?",
        (" ".join(doubts) or "The image looks like those it was trained on.") + typical,
        "the image is unusual" if doubts else "",
    )
    few = codes & {"min-class-fraction", "few-neighbors"}
    yield Check(
        "bad" if t.n_labels == 1 else "care" if few else "good",
        "Was there enough to learn from?",
        f"The black box was queried for {t.n_neighbors} images around this one. {percent(t.other_fraction)} of them "
        f"have another label; there are {counted(t.n_labels, 'label')} in all.",
        "all similar images have one label" if t.n_labels == 1 else "there was little to learn from" if few else "",
    )
    yield _far_out(e)


def _faithful(e: Explanation) -> Check:
    t, name, question = e.trust, e.name(e.label), "Does the rule predict what the black box predicts?"
    reached = (
        f"It was tested on {t.n_held_out} similar images that it was not learned from; near ones count more. It "
        f"predicts the black box's label in {percent(t.held_out, 1)} of the cases. Always predicting {name} is right "
        f"in {percent(t.constant, 1)}"
    )
    unweighted = (percent(share, 1) for share in (t.held_out_unweighted, t.constant_unweighted))
    alike = f" If all count alike: {' against '.join(unweighted)}."
    if not t.hit:
        worry = "the rule does not predict the label of the image"
        return Check("bad", question, f"It predicts another label for the image. {reached}.{alike}", worry)
    if t.n_leaves == 1:
        return Check("bad", question, f"No rule does better than always predicting {name}.", "no rule was found")
    if t.held_out < t.constant:
        worry = f"always predicting {name} is right more often than the rule"
        return Check("bad", question, f"{reached}. The rule explains nothing.{alike}", worry)
    if t.constant == 1:
        return Check("care", question, f"{reached}: none has another label.", "the rule could not be tested")
    avoided = (t.held_out - t.constant) / (1 - t.constant)
    if avoided < LITTLE:
        worry = f"the rule is hardly better than always predicting {name}"
        return Check("care", question, f"{reached}. The rule is hardly better.{alike}", worry)
    return Check(
        "good", question, f"{reached}. The rule avoids {percent(avoided)} of the errors that this makes.{alike}"
    )


def _preserved(e: Explanation) -> Check:
    question, kept = "Does the autoencoder keep what the decision rests on?", e.trust.label_preserved
    copy = f"Its copy of the image, from which all others are made, is predicted as {e.name(e.reconstruction_label)}"
    error = f"Pixels differ by {percent(e.trust.reconstruction_error, 1)} of the range (root mean square)."
    if kept:
        return Check("good", question, f"{copy} too. {error}")
    return Check(
        "bad",
        question,
        f"{copy}: the explanation may be about another image. {error}",
        "the autoencoder loses what the decision rests on, so the explanation may be about another image",
    )


def _far_out(e: Explanation) -> Check:
    question, n = "Does the rule hold as far out as the counter-exemplars?", len(e.counter_exemplars)
    agreement = e.trust.counter_exemplar_agreement
    if agreement is None:
        return Check("care", question, "No counter-exemplar was found.", "no image with another label was found")
    right = f"It predicts the black box's label for {round(agreement * n)} of {counted(n, 'counter-exemplar')}."
    if agreement >= MOST:
        return Check("good", question, right)
    return Check(
        "near",
        question,
        f"{right} They lie farther out than most images it was learned from. To see what would change the label, rely "
        "on the counter-exemplars rather than on the numbers in the rules: the black box was queried for each of them.",
        "farther out, where the counter-exemplars lie, the rule is mostly wrong: rely on the pictures there",
    )


def nearest_first(e: Explanation) -> list[Condition]:
    """The rule's conditions; the one that the image is nearest to breaking comes first."""
    return sorted(e.rule.conditions, key=lambda c: abs(float(c.coordinate(e.latent[None])) - c.threshold))


def enumeration(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(n: int, thing: str) -> str:
    """``1 label``, ``2 labels``."""
    return f"{n} {thing}{'' if n == 1 else 's'}"


def percent(share: float, digits: int = 0) -> str:
    """A share in [0, 1] as ``93.6 %``."""
    return f"{100 * share:.{digits}f} %"


def score(value: object) -> str:
    """A probability or score in short. It is rounded to 1 or 0 only where it is 1 or 0."""
    v = float(value)  # type: ignore[arg-type]
    if 0.995 <= v < 1:
        return "above 0.99"
    return "below 0.01" if 0 < v < 0.005 else f"{v:.2f}"


def _boundaries(names: Sequence[str]) -> str:
    return f"boundary to {names[0]}" if len(names) == 1 else f"boundaries to {enumeration(names)}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
