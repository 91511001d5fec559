"""Mistakes on the page of a run's summary: which, what their explanations say, and what they have in common."""

from collections.abc import Iterable, Mapping

from ..distributed.mistakes import SIGNS
from ..distributed.records import Confusion, Entry, Mistakes, Side
from ..explanation.trust import ANSWERS
from . import sentences
from .components import link, section
from .html import Content, Html, tag
from .summary_parts import Shown, cells, grade_bar, note_words, number, peak_of, share, table

MOST_CARDS, MOST_ROWS, MOST_GROUPS = 24, 200, 12
# What a sign may mean for whoever is responsible for the classifier.
_MEANINGS = {
    "true-nearest": "A close decision: the way to the true class shows what the classifier would have had to see.",
    "true-farther": "The classifier confuses more than two classes here.",
    "true-not-found": "Far from the true class: look whether the true label is right.",
    "copy-right": "Detail that the autoencoder does not draw, such as noise or background, may have led it astray.",
    "label-lost": "The explanation may be about another image: use its map, not its rule.",
    "sure": "Wrong, and no score warns of it: look at these first, and at their true labels.",
    "unsure": "A threshold on the probability would hold these back.",
    "unusual": "Unlike most images: more such images in the training may help.",
    "bad": "The explanation does not tell why.",
}


def mistakes(shown: Shown) -> Html | None:
    """The section; nothing where no true label is known."""
    found = shown.summary.mistakes
    if found is None:
        return None
    title = "Mistakes"
    known = found.wrong.n + found.right.n
    if not found.wrong.n:
        return section("mistakes", title, tag("p", f"None among {known:,} images whose true class is known."))
    cards = found.confusions[:MOST_CARDS]
    kinds = sentences.counted(len(found.confusions), "kind")
    return section(
        "mistakes",
        title,
        tag(
            "p",
            f"{found.wrong.n:,} of {known:,} images whose true class is known are predicted as another one: {kinds} of "
            "mistakes.",
        ),
        _common(found),
        _groups(found.groups, found.wrong.n),
        tag("h3", "Kinds of mistakes, the most frequent first"),
        tag("div", (_card(shown, c) for c in cards), class_="cards"),
        _rest(shown, found),
    )


def _common(found: Mistakes) -> Html:
    """What explanations of mistakes say, beside those of right decisions."""
    wrong, right = found.wrong, found.right
    rows: list[list[Content]] = [
        ["mean probability of the prediction", number(wrong.probability), number(right.probability), None],
        ["mean distance to the nearest other class", number(wrong.distance), number(right.distance), None],
    ]
    alone = ("true-nearest", "true-farther", "true-not-found", "copy-right")
    for name, words in SIGNS.items():
        if wrong.signs[name] or right.signs[name]:
            of_right = "-" if name in alone else share(right.signs[name], right.n)
            rows.append([words, share(wrong.signs[name], wrong.n), of_right, _MEANINGS[name]])
    for grade, words in ANSWERS.items():
        if wrong.grades.get(grade) or right.grades.get(grade):
            both = (share(side.grades.get(grade, 0), side.n) for side in (wrong, right))
            rows.append([f"can the explanation be believed? {words}", *both, None])
    for code in _notes(wrong, right):
        both = (share(side.notes.get(code, 0), side.n) for side in (wrong, right))
        rows.append([f"note: {note_words(code)}", *both, None])
    headings = ("What explanations say", f"Mistakes ({wrong.n:,})", f"Right ({right.n:,})", "What it may mean")
    return table(headings, rows, "Mistakes beside right decisions")


def _notes(wrong: Side, right: Side) -> Iterable[str]:
    return dict.fromkeys([*wrong.notes, *right.notes])


def _groups(groups: Mapping[tuple[str, ...], int], n: int) -> Html:
    rows = [[_together(names), share(count, n)] for names, count in list(groups.items())[:MOST_GROUPS]]
    return table(("What they have in common", "Mistakes"), rows, "Mistakes grouped by what they have in common")


def _together(names: tuple[str, ...]) -> str:
    return "; ".join(SIGNS[name].partition(":")[0] for name in names)


def _card(shown: Shown, c: Confusion) -> Html:
    true, name = shown.name(c.true_label), shown.name(c.label)
    facts = [f"mean probability {number(c.side.probability)}" if c.side.probability is not None else ""]
    facts.append(f"mean distance to {true} {number(c.to_true)}" if c.to_true is not None else f"no way to {true} found")
    text = "; ".join(fact for fact in facts if fact)
    groups = [tag("li", f"{n:,}: {_together(names)}") for names, n in list(c.groups.items())[:4]]
    notes = [f"{note_words(code)} ({n:,})" for code, n in list(c.side.notes.items())[:3]]
    change = None
    if c.change is not None:
        alt = f"Mean change from {name} to {true}"
        caption = f"What changes from {name} to {true}: red brighter, blue darker, at most {peak_of(c.change)}"
        change = tag("figure", cells(c.change, alt), tag("figcaption", caption), class_="change")
    return tag(
        "article",
        tag("h3", tag("strong", true), " taken for ", tag("strong", name), f": {sentences.counted(c.side.n, 'image')}"),
        tag("p", text[:1].upper() + text[1:], "."),
        grade_bar(c.side.grades),
        tag("ul", groups, class_="short"),
        tag("p", f"Notes: {', '.join(notes)}.") if notes else None,
        tag("div", change, [example(shown, e) for e in c.examples], class_="examples"),
        class_="card",
        id=f"mistake-{c.true_label}-{c.label}",
    )


def example(shown: Shown, e: Entry) -> Html | None:
    """One image with what is stored of it, leading to its row in the list; nothing where no picture is."""
    if (image := shown.picture(e)) is None:
        return None
    more = [shown.picture(e, "map"), shown.picture(e, "other")]
    labels = ["image", "map", f"as {shown.name(e.nearest)}" if e.nearest is not None else "other"]
    frames = [
        tag("figure", picture, tag("figcaption", label))
        for picture, label in zip([image, *more], labels, strict=True)
        if picture is not None
    ]
    return tag("a", frames, href=f"#image-{e.index}", class_="example", title=e.name)


def _rest(shown: Shown, found: Mistakes) -> Html | None:
    rest = found.confusions[MOST_CARDS:]
    if not rest and not found.left_out:
        return None
    rows: list[list[Content]] = [
        [
            f"{shown.name(c.true_label)} taken for {shown.name(c.label)}",
            f"{c.side.n:,}",
            number(c.side.probability),
            number(c.to_true),
            [link(f"#image-{c.examples[0].index}", c.examples[0].name)] if c.examples else None,
        ]
        for c in rest[:MOST_ROWS]
    ]
    more = len(rest) - len(rows)
    left = f"{found.left_out:,} mistakes of further kinds were counted only. " if found.left_out else ""
    return tag(
        "details",
        tag("summary", f"{len(rest):,} further kinds"),
        table(("Mistake", "Images", "Probability", "Distance to the true class", "Such as"), rows, "Further kinds"),
        tag("p", f"{left}{more:,} more are in mistakes.csv." if more > 0 else left, class_="hint"),
    )
