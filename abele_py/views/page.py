"""An explanation as one HTML page: no network, no other file, no script for what matters.

Sliders and buttons are ``page.js``, looks are ``page.css``; both end up in the page.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ..checking.parameters import checked
from ..explanation.explanation import Explanation
from ..explanation.others import other_labels
from ..explanation.trust import ANSWERS
from . import sentences
from .components import (
    badge,
    bars,
    counter_exemplar_card,
    document,
    farther_labels,
    highest,
    legend,
    link,
    parts,
    picture,
    section,
    slider,
    strip,
)
from .html import Content, Html, tag
from .neighborhood_map import neighborhood_map
from .svg import DIVERGING, bytes_of, map_uri, pale


@checked
def page_of(e: Explanation, title: str = "") -> str:
    """The page of one explanation.

    Args:
        e: the explanation.
        title: what the image is called, such as its file name.
    """
    sections = (_trust, _where, _why, _exemplars, _others, _further, neighborhood_map, _made)
    content = [_top(e, title), *(made(e) for made in sections)]
    return document(f"{title}: {sentences.decision(e)}" if title else sentences.decision(e), content)


def _top(e: Explanation, title: str) -> Html:
    name, text = e.name(e.label), sentences.belief(e)[1]
    probabilities = None if e.scores is None else e.probabilities(e.scores)
    size = " x ".join(str(n) for n in reversed(e.image.shape[1:]))
    range_ = "in colour" if len(e.image) == 3 else "from black, 0, to white, 1"
    scale = f"{f'{title}: ' if title else ''}{size} pixels, {range_}"
    answers = [
        (
            "Why?",
            tag(
                "p",
                sentences.reason(e),
                " ",
                link("#why", "See the rule"),
                ". ",
                sentences.evidence(e),
                " ",
                link("#where", "See the map"),
            ),
        ),
        ("What would change it?", tag("p", sentences.change(e), " ", link("#change", "See the ways there"))),
        ("Can I believe this?", tag("p", badge(e), " ", text, " ", link("#trust", "See the checks"))),
    ]
    return tag(
        "header",
        tag(
            "figure",
            picture(e, e.image, f"The explained image, predicted as {name}", 60_000),
            tag("figcaption", scale),
        ),
        tag(
            "div",
            tag("h1", "The black box predicts ", tag("strong", name)),
            tag("p", sentences.certainty(e), class_="certainty"),
            bars(probabilities, highest(probabilities), e.name, "Highest probabilities, from 0 to 1"),
            tag("dl", ([tag("dt", question), tag("dd", answer)] for question, answer in answers)),
        ),
        class_="top",
    )


def _where(e: Explanation) -> Html:
    name, kind = e.name(e.label), e.params.get("saliency")
    median = kind == "median"
    ends = (
        ("may be brighter", "0 does not vary", "may be darker")
        if median
        else ("opposes", "0 neutral", f"supports {name}")
    )
    read = (
        "Red: exemplars are darker there. Blue: they are brighter there. Both may change without changing the label."
        if median
        else f"Red parts of the image support {name}. Blue parts oppose it. White parts make no difference."
    )
    if kind == "mosaic":
        read += (
            f" This was tested: where red parts are replaced by what images with other labels have there, or blurred, "
            f"{name} becomes less likely."
        )
    alt = f"Saliency map of {name} over a pale copy of the image. {sentences.evidence(e)}"
    layers = tag(
        "div",
        picture(e, pale(e.image), "", 60_000),
        tag(
            "img", src=map_uri(e.saliency), alt=alt, class_="map pixels", data_values=bytes_of(e.saliency),
            data_areas=bytes_of(e.saliency_areas), data_colors=" ".join(DIVERGING),
            width=e.saliency.shape[1], height=e.saliency.shape[0],
        ),
        class_="layers",
    )  # fmt: skip
    controls = tag(
        "div",
        slider("opacity", "Opacity of the colours", 0, 100, 100, "%"),
        slider("threshold", "Hide what is weaker than", 0, 100, 0, "% of the scale"),
        tag("label", tag("input", type="checkbox", class_="areas"), " Only contiguous areas"),
        class_="controls scripted",
    )
    copy = f"The autoencoder's copy, predicted as {e.name(e.reconstruction_label)}"
    return section(
        "where",
        "Where the image may change" if median else f"What supports {name} in the image",
        tag("p", read),
        tag(
            "div",
            tag("figure", picture(e, e.image, "The explained image", 60_000), tag("figcaption", "The image")),
            tag(
                "figure",
                layers,
                tag("figcaption", "What may change" if median else "What supports and what opposes it", legend(*ends)),
            ),
            tag("figure", picture(e, e.reconstruction, copy, 60_000), tag("figcaption", copy)),
            class_="saliency row3",
        ),
        controls,
    )


def _why(e: Explanation) -> Html:
    conditions = sentences.nearest_first(e)
    content: list[Content] = [tag("p", sentences.reason(e))]
    if conditions and e.traversals is not None:
        content.append(
            tag(
                "p",
                "Each strip walks through the latent space along one condition of the rule, both ways from the "
                "autoencoder's copy of the image. The upright line is the boundary that the rule draws. Below each "
                "picture is the label that the black box predicts for it, with its score.",
            )
        )
        content.append(_keys(e))
    axes = list(dict.fromkeys(c.axis for c in conditions))
    content += [strip(e, [c for c in conditions if c.axis == axis]) for axis in axes]
    if e.traversals is None and conditions:
        content.append(_no_strips())
    content.append(tag("p", "The whole rule: ", tag("code", e.rule.words(e.name)), class_="whole"))
    return section("why", f"Why {e.name(e.label)}: the rule", content)


def _keys(e: Explanation) -> Html:
    """What the lines under the pictures of a walk mean."""
    same, other = tag("i", class_="key"), tag("i", class_="key else")
    return tag("p", same, f"predicted as {e.name(e.label)} ", other, "predicted as something else", class_="hint")


def _no_strips() -> Html:
    return tag(
        "p",
        "This explanation was saved without pictures of its conditions. Explain the image again to see them.",
        class_="note",
    )


def _further(e: Explanation) -> Html | None:
    """Strips of coordinates that only counterfactual rules use; of the labels that are shown."""
    known = {c.axis for c in e.rule.conditions}
    changes = [c for rule in other_labels(e).rules for c in rule.changes if c.axis not in known]
    if not changes or e.traversals is None:
        return None
    axes = dict.fromkeys(c.axis for c in changes)
    strips = [strip(e, [c for c in dict.fromkeys(changes) if c.axis == axis]) for axis in axes]
    return section(
        "further",
        "Further directions",
        tag(
            "p",
            "Some rules for other labels use boundaries that the rule of this image does not have. They matter once it "
            "has crossed one of its own.",
        ),
        tag("details", tag("summary", f"Show {sentences.counted(len(strips), 'strip')}"), strips),
    )


def _exemplars(e: Explanation) -> Html:
    name, found = e.name(e.label), e.exemplars
    heading = f"Similar images that are predicted as {name} too"
    if len(found) == 0:
        return section("same", heading, tag("p", "None was found inside the rule."))
    frames = [
        tag(
            "figure",
            picture(e, found.images[i], f"Exemplar {i + 1} of {len(found)}: predicted as {name}"),
            _typical(e.exemplar_typicality, i),
        )
        for i in range(len(found))
    ]
    return section(
        "same",
        heading,
        tag(
            "p",
            "The autoencoder made them inside the rule. The black box was queried for each of them: what differs "
            "between them does not change the label.",
        ),
        tag("div", frames, class_="exemplars"),
        None if e.exemplar_typicality is None else tag("p", _TYPICAL, class_="hint"),
    )  # fmt: skip


_TYPICAL = "Below each: how typical it is of real images, from 0 (very unusual) to 1 (usual)."


def _typical(values: Tensor | None, i: int) -> Html | None:
    return None if values is None else tag("figcaption", f"{float(values[i]):.2f}")


def _others(e: Explanation) -> Html:
    others = other_labels(e)
    labels = others.shown
    return section(
        "change",
        "What would change the prediction",
        tag(
            "p",
            sentences.change(e),
            " For each label: the way from this image to a counter-exemplar, which is a near image that the black box "
            "predicts as that label, and what the black box predicts on the way.",
        ),
        tag(
            "p",
            "Go to: ",
            (link(f"#to-{label}", e.name(label)) for label in labels),
            link("#farther", others.more) if others.rest else None,
            class_="jump",
        ),
        tag("div", (counter_exemplar_card(e, label) for label in labels), class_="cards"),
        farther_labels(e, others) if others.rest else None,
    )


def _trust(e: Explanation) -> Html:
    rows = [
        tag(
            "tr",
            tag("th", check.question, scope="row"),
            tag("td", tag("span", ANSWERS[check.grade], class_=f"badge {check.grade}")),
            tag("td", check.answer),
        )
        for check in sentences.checks(e)
    ]
    notes = [tag("li", _capital(note.text), ".") for note in e.notes]
    return section(
        "trust",
        "Can I believe this?",
        parts(e),
        tag("table", tag("caption", "What was checked about the rule"), rows, class_="checks"),
        tag("div", tag("h3", "What else you should know"), tag("ul", notes)) if notes else None,
    )


def _made(e: Explanation) -> Html:
    terms = [
        (
            "Black box",
            "The classifier that is explained. It is queried for its predictions only; nothing inside it is used.",
        ),
        ("Autoencoder", "Networks that turn an image into a few numbers, its code, and a code back into an image."),
        (
            "Latent space",
            "The space of these codes. Near codes give similar images. z0, z1, ... are its axes; d0, d1, ... are "
            "directions in it that lead from one label towards another.",
        ),
        (
            "Rule",
            "The path of a decision tree to this image, learned from the black box's predictions for similar images.",
        ),
        ("Counter-exemplar", "A near image that is predicted as another label, made by the autoencoder."),
    ]
    return section(
        "made",
        "How this was made",
        tag("dl", ([tag("dt", term), tag("dd", text)] for term, text in terms), class_="terms"),
        None if e.provenance is None else _table("What was explained, with hashes of all files", e.provenance),
        _table("Parameters and versions", e.params),
        tag(
            "p",
            "Made by abele_py. Method: Guidotti, Monreale, Matwin, Pedreschi: Black Box Explanation by Learning Image "
            "Exemplars in the Latent Feature Space, ECML PKDD 2019.",
            class_="hint",
        ),
    )


def _table(heading: str, record: dict[str, Any]) -> Html:
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", value)) for key, value in _flat(record)]
    return tag("details", tag("summary", heading), tag("table", rows, class_="params"))


def _flat(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in params.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}", "none" if value is None else str(value)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
