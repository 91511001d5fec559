"""The list of images on the page of a run's summary, to be filtered and sorted."""

from collections.abc import Iterable

from ..distributed.columns import GRADES
from ..distributed.records import Entry
from ..explanation.trust import ANSWERS
from .components import section
from .html import Content, Html, tag
from .summary_parts import Shown, note_words, number

_ORDERS = {
    "index": "number", "margin": "least trustworthy first", "probability": "least probable first",
    "distance": "nearest to another class first",
}  # fmt: skip


def images(shown: Shown) -> Html | None:
    """The section; nothing where nothing was explained."""
    s = shown.summary
    if not s.listed:
        return None
    what = f"{len(s.listed):,} of {s.trust.n:,} explained images"
    how = ": those with the least trustworthy explanations, mistakes of all kinds, and a random sample"
    how = "" if len(s.listed) == s.trust.n else how
    stored = (
        "Read a stored one with Explanation.load(file), and write its page with to_html. "
        if s.run.keep == "full"
        else ""
    )
    return section(
        "images",
        "Images",
        tag("p", f"{what}{how}. Each leads to its explanation. {stored}"),
        _controls(shown),
        tag(
            "div",
            tag(
                "table",
                tag(
                    "thead",
                    tag("tr", [tag("th", heading, scope="col") for heading in _HEADINGS]),
                ),
                tag("tbody", (_row(shown, e) for e in s.listed)),
                class_="images",
            ),
        ),
    )


_HEADINGS = (
    "Image",
    "Predicted",
    "True",
    "Can it be believed?",
    "Rule, constant",
    "Nearest other",
    "Explanation",
)


def _controls(shown: Shown) -> Html:
    entries = shown.summary.listed
    predicted = sorted({e.label for e in entries})
    true = sorted({e.true_label for e in entries if e.true_label is not None})
    notes = sorted({note for e in entries for note in e.notes}, key=note_words)
    choices = [
        _choice("label", "Predicted", ((str(label), shown.name(label)) for label in predicted)),
        _choice("true", "True", ((str(label), shown.name(label)) for label in true)) if true else None,
        _choice("right", "Right or wrong", (("yes", "right"), ("no", "wrong"))) if true else None,
        _choice("grade", "Can it be believed?", ((str(i), ANSWERS[grade]) for i, grade in enumerate(GRADES))),
        _choice("notes", "Note", ((note, note_words(note)) for note in notes)) if notes else None,
        tag(
            "label",
            tag("span", "Order"),
            tag("select", (tag("option", words, value=name) for name, words in _ORDERS.items()), class_="order"),
        ),
    ]
    count = tag("output", f"{len(entries):,}", class_="count")
    return tag("div", choices, tag("p", count, f" of {len(entries):,}"), class_="controls scripted")


def _choice(name: str, words: str, options: Iterable[tuple[str, str]]) -> Html:
    listed = [tag("option", "all", value=""), *(tag("option", text, value=value) for value, text in options)]
    return tag("label", tag("span", words), tag("select", listed, class_="filter", data_by=name))


def _row(shown: Shown, e: Entry) -> Html:
    grade = e.grades.get("explanation")
    badge = tag("span", ANSWERS[grade], class_=f"badge {grade}") if grade in ANSWERS else "-"  # type: ignore[index]
    known = e.true_label is not None
    true = tag("span", shown.name(e.true_label), class_=None if e.is_right else "wrong") if known else "-"  # type: ignore[arg-type]
    notes: Content = [tag("small", note_words(code), class_="said") for code in e.notes]
    nearest = "-" if e.nearest is None else f"{shown.name(e.nearest)}, {number(e.distance)}"
    rule = f"{number(e.held_out)}, {number(e.constant)}"
    score = "" if e.probability is None else f", {number(e.probability)}"
    better = (e.held_out or 0.0) - (e.constant or 0.0)
    rank = GRADES.index(grade) if grade in GRADES else 0
    return tag(
        "tr",
        tag("th", shown.picture(e), tag("span", e.name), scope="row"),
        tag("td", f"{shown.name(e.label)}{score}"),
        tag("td", true),
        tag("td", badge, notes),
        tag("td", rule),
        tag("td", nearest),
        tag("td", shown.way(e)),
        id=f"image-{e.index}",
        data_label=e.label,
        data_true=e.true_label,
        data_right=None if e.is_right is None else ("yes" if e.is_right else "no"),
        data_grade=rank,
        data_notes=" ".join(e.notes) or None,
        data_index=e.index,
        data_margin=f"{better - 10 * rank:.4f}",
        data_probability=None if e.probability is None else f"{e.probability:.4f}",
        data_distance=None if e.distance is None else f"{e.distance:.4f}",
    )
