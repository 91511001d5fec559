"""The parts that pages are made of: the document itself, pictures, small controls, and walks in the latent space."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..explanation.explanation import Explanation
from ..explanation.others import OtherLabels, other_labels
from ..explanation.trust import ANSWERS
from ..surrogate.rules import Condition
from . import sentences
from .html import Content, Html, tag
from .svg import chart, data_uri, map_uri, pale

FULL = 1_600_000  # bytes of pictures in a page at most, before base64 makes them a third longer
_FILES = Path(__file__).parent


def document(title: str, content: Content, looks: Sequence[str] = ("page.css",), script_file: str = "page.js") -> str:
    """A whole HTML document that may load nothing and run no script but its own.

    Args:
        title: of the document.
        content: of its body.
        looks, script_file: names of style sheets and of the script, which lie beside this module.
    """
    script = (_FILES / script_file).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html("".join((_FILES / look).read_text(encoding="utf-8") for look in looks))),
    ]
    body = [tag("main", content), tag("script", Html(script))]
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def section(name: str, title: str, *content: Content) -> Html:
    """A part of a page with a heading; links lead to it by its name."""
    return tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")


def link(address: str, content: Content) -> Html:
    """A link, within the page where the address begins with ``#``."""
    return tag("a", content, href=address)


def slider(name: str, label: str, low: int, high: int, value: int, unit: str) -> Html:
    """A slider of whole numbers under its label and value."""
    return tag(
        "label",
        tag("span", label, ": ", tag("output", value), unit),
        tag("input", type="range", min=low, max=high, value=value, class_=name),
    )


def legend(low: str, middle: str, high: str) -> Html:
    """The scale of a signed map."""
    ends = [tag("span", text) for text in (f"-1 {low}", middle, f"{high} +1")]
    return tag("span", tag("span", class_="ramp"), tag("span", ends, class_="ends"), class_="legend")


def picture(e: Explanation, image: Tensor, alt: str, room: int | None = None, **attributes: Any) -> Html:
    """An image of the page; small ones are enlarged pixel by pixel."""
    height, width = image.shape[1:]
    look = "pixels" if max(height, width) <= 100 else None
    address = data_uri(image, room or _room(e))
    return tag("img", src=address, alt=alt, class_=look, width=width, height=height, **attributes)


def badge(e: Explanation) -> Html:
    """How far to trust an explanation, as a word; its colour adds nothing to the word."""
    grade = sentences.belief(e)[0]
    return tag("span", sentences.HEADLINES[grade], class_=f"badge {grade}")


def parts(e: Explanation) -> Html:
    """Which parts of an explanation can be used, and why, as a table."""
    rows = [
        tag(
            "tr",
            tag("th", f"{verdict.part[:1].upper()}{verdict.part[1:]}", scope="row"),
            tag("td", tag("span", ANSWERS[verdict.grade], class_=f"badge {verdict.grade}")),
            tag("td", verdict.text),
        )
        for verdict in sentences.parts(e)
    ]
    return tag("table", tag("caption", "Which parts can be used?"), rows, class_="checks parts")


def bars(probabilities: Tensor | None, shown: Iterable[int], name: Callable[[int], str], caption: str) -> Html | None:
    """Probabilities (K,) of the labels to be shown as bars; None of a black box without scores."""
    if probabilities is None:
        return None
    rows = [
        tag(
            "tr",
            tag("th", name(y), scope="row"),
            tag("td", tag("i", style=f"width:{100 * float(probabilities[y]):.1f}%"), class_="bar", aria_hidden="true"),
            tag("td", sentences.score(probabilities[y])),
        )
        for y in shown
    ]
    return tag("table", tag("caption", caption), rows, class_="bars")


def highest(scores: Tensor | None, n: int = 4) -> list[int]:
    """The labels of the highest scores (K,), the best first."""
    return [] if scores is None else scores.argsort(descending=True, stable=True)[:n].tolist()


def strip(e: Explanation, conditions: Sequence[Condition]) -> Html:
    """A walk along one coordinate, with the thresholds on it."""
    axis, own = conditions[0].axis, float(conditions[0].coordinate(e.latent[None]))
    head = [
        tag("h3", _heading(e, conditions[0]), tag("code", ", ".join(c.words(e.name) for c in conditions))),
        tag("p", _place(own, conditions)),
    ]
    rows = [] if e.traversals is None else (e.traversals.axes == axis).nonzero()[:, 0].tolist()
    if e.traversals is None or not rows:
        return tag("div", head, class_="strip", id=f"c{axis}")
    t, row = e.traversals, rows[0]
    positions = t.positions[row].tolist()
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    low, span = positions[0] - step / 2, step * len(positions)

    def at(value: float) -> str:
        return f"left:{100 * (value - low) / span:.2f}%"

    places = [f"{position:z.2f}" for position in positions]
    frames = _frames(e, t.images[row], t.labels[row], t.scores, row, "coordinate {}", places)
    lines = [
        tag("span", tag("b", f"{c.threshold:z.2f}"), style=at(c.threshold), class_="bound")
        for c in {c.threshold: c for c in conditions}.values()
    ]
    scale = tag(
        "div",
        tag("span", f"{positions[0]:z.2f}", style=at(positions[0]), class_="end"),
        tag("span", f"{positions[-1]:z.2f}", style=at(positions[-1]), class_="end"),
        tag("span", "this image", style=at(own), class_="own"),
        class_="scale",
    )
    walk = tag("div", tag("div", frames, class_="frames"), lines, scale, class_="walk")
    return tag("div", head, walk, class_="strip", id=f"c{axis}")


def counter_exemplar_card(e: Explanation, label: int) -> Html:
    """What would change the prediction to one other label: the rule for it, and the way to its counter-exemplar."""
    c, name = e.counter_exemplars, e.name(label)
    heading = tag("h3", "To be predicted as ", tag("strong", name))
    rows = (c.labels == label).nonzero()[:, 0].tolist()
    if not rows:
        none = tag("p", "No image with this label was found.")
        return tag("article", heading, _if(e, label), none, class_="card", id=f"to-{label}")
    i, n = rows[0], c.path_labels.shape[1]
    since = n - int((c.path_labels[i] == label).flip(0).long().cumprod(0).sum())
    end = picture(e, c.images[i], f"Counter-exemplar: predicted as {name}")
    return tag(
        "article",
        heading,
        tag("p", _facts(e, i, label), f". Predicted as {name} from step {since} of {n - 1} on."),
        _if(e, label),
        tag(
            "div",
            tag("figure", end, tag("figcaption", tag("b", name), class_="predicted"), class_="viewer"),
            _change(e, i, name),
            _scores(e, i, label),
            class_="views",
        ),
        tag(
            "div", _frames(e, c.paths[i], c.path_labels[i], c.path_scores, i, "step {}", range(n)), class_="frames path"
        ),
        tag(
            "div",
            tag("button", "Play", type="button", class_="play", aria_label=f"Play the way to {name}"),
            slider("step", f"Step on the way to {name}", 0, n - 1, n - 1, f" of {n - 1}"),
            class_="controls scripted",
        ),
        class_="card",
        id=f"to-{label}",
    )


def farther_labels(e: Explanation, others: OtherLabels) -> Html:
    """The labels that have no card, folded away: of each a picture and the rule, without the way, which takes room."""
    c, room = e.counter_exemplars, _room(e)
    found = {label: i for i, label in enumerate(c.labels.tolist())}
    rows = []
    for label in others.rest:
        name, i = e.name(label), found.get(label)
        end = None if i is None else picture(e, c.images[i], f"Counter-exemplar: predicted as {name}", room)
        facts = "No image with this label was found" if i is None else _facts(e, i, label)
        rows.append(
            tag(
                "tr",
                tag("th", name, scope="row"),
                tag("td", end, style="min-width:5rem;max-width:5rem"),
                tag("td", tag("p", facts, "."), _if(e, label)),
            )
        )
    held = "The explanation holds the ways to these counter-exemplars too (counter_exemplars.paths)."
    return tag(
        "details",
        tag("summary", f"Show {others.more}, farther away"),
        tag("p", held, class_="hint"),
        tag("table", rows, class_="checks"),
        id="farther",
    )


def _facts(e: Explanation, i: int, label: int) -> str:
    """How far a counter-exemplar is, and how much it is one."""
    c = e.counter_exemplars
    facts = [f"Distance {float(c.distances[i]):.2f} in the latent space"]
    facts += [] if c.scores is None else [f"probability {sentences.score(e.probabilities(c.scores[i])[label])}"]
    facts += [] if (t := e.counter_exemplar_typicality) is None else [f"typicality {float(t[i]):.2f}"]
    return ", ".join(facts)


def _frames(
    e: Explanation,
    images: Tensor,
    labels: Tensor,
    scores: Tensor | None,
    row: int,
    place: str,
    places: Iterable[object],
) -> list[Html]:
    """The pictures of a walk, each with the label that the black box predicts; ``scores`` are those of all walks."""
    frames = []
    probabilities = None if scores is None else e.probabilities(scores[row])
    for f, (image, label, where) in enumerate(zip(images, labels.tolist(), places, strict=True)):
        number = None if probabilities is None else tag("small", f"{float(probabilities[f, label]):.2f}")
        frames.append(
            tag(
                "figure",
                picture(e, image, f"{place.format(where)}: predicted as {e.name(label)}"),
                tag("figcaption", tag("b", e.name(label)), number),
                class_="frame" if label == e.label else "frame otherwise",
            )
        )
    return frames


def _heading(e: Explanation, c: Condition) -> str:
    if c.towards is None:
        return f"Coordinate {'z' if c.direction is None else 'd'}{c.axis}"
    way = f"towards {e.name(c.towards)}"
    return f"T{way[1:]}" if c.away_from is None else f"From {e.name(c.away_from)} {way}"


def _place(own: float, conditions: Sequence[Condition]) -> str:
    thresholds = dict.fromkeys(c.threshold for c in conditions)
    bounds = [f"{threshold:z.2f}, {abs(own - threshold):.2f} away" for threshold in thresholds]
    return f"This image is at {own:z.2f}; the boundary is at {sentences.enumeration(bounds)}."


def _if(e: Explanation, label: int) -> Html | None:
    """The counterfactual rule of a label, its conditions leading to their strips."""
    rule = next((rule for rule in e.counterfactual_rules if rule.label == label), None)
    if rule is None:
        n, of = int((e.neighborhood.labels == label).sum()), len(e.neighborhood)
        told = f"No rule leads to it: of the {of} images the rules were learned from, {n}"
        return tag("p", f"{told} {'has' if n == 1 else 'have'} this label.")
    shown = {c.axis for c in e.rule.conditions} if e.traversals is None else _walked(e)
    conditions: list[Content] = []
    for c in rule.changes:
        text = tag("code", c.words(e.name))
        conditions += [" and ", link(f"#c{c.axis}", text) if c.axis in shown else text]
    return tag("p", f"By the rules it would be {e.name(label)} if ", conditions[1:])


def _change(e: Explanation, i: int, name: str) -> Html:
    """What gets brighter and darker on the way to a counter-exemplar."""
    alt = f"What changes from {e.name(e.label)} to {name}"
    layers = [
        picture(e, pale(e.image), ""),
        tag("img", src=map_uri(e.counter_exemplars.saliency[i]), alt=alt, class_="map pixels"),
    ]
    scale = legend("darker", "0", "brighter")
    return tag("figure", tag("div", layers, class_="layers"), tag("figcaption", "What changes", scale))


def _scores(e: Explanation, i: int, label: int) -> Html | None:
    """The probabilities of both labels on the way to a counter-exemplar."""
    if e.counter_exemplars.path_scores is None:
        return None
    probabilities = e.probabilities(e.counter_exemplars.path_scores[i])
    lines = [(e.name(y), probabilities[:, y].tolist()) for y in (e.label, label)]
    told = ", ".join(f"{name} from {line[0]:.2f} to {line[-1]:.2f}" for name, line in lines)
    keys = [tag("span", tag("i", class_=f"key{' else' * number}"), name) for number, (name, _) in enumerate(lines)]
    drawing = chart([line for _, line in lines], f"Probabilities on the way: {told}")
    return tag("figure", drawing, tag("figcaption", "Probability of ", keys, class_="keys"))


def _room(e: Explanation) -> int:
    """Bytes for each picture, so that all together stay below :data:`FULL`."""
    c, t, others = e.counter_exemplars, e.traversals, other_labels(e)
    shown = sum(label in others.shown for label in c.labels.tolist())
    frames = shown * c.path_labels.shape[1] + (0 if t is None else len(_walked(e)) * t.labels.shape[1])
    return min(40_000, FULL // (frames + len(e.exemplars) + 3 * shown + len(c) - shown + 20))


def _walked(e: Explanation) -> set[int]:
    """The coordinates with a strip on the page: those of the rule, and of rules for the labels that are shown."""
    conditions = [*e.rule.conditions, *(c for rule in other_labels(e).rules for c in rule.changes)]
    return {c.axis for c in conditions}
