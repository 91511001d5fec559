"""An audit as one HTML page: what each label follows, the pairs that show it, and what cannot be excluded."""

from torch import Tensor

from ..audit.audit import Audit, Example, Suspicion
from ..audit.detection import LIMITS, Effect
from ..audit.places import Place
from . import sentences
from .components import document, section
from .html import Content, Html, tag
from .svg import data_uri, map_uri, pale

_ROOM = 4000  # bytes of a picture
MOST_ROWS = 400  # of the table of all effects
_TWO = 2  # labels
_OPPOSITE = {"lighter": "darker", "darker": "lighter"}


def page_of_audit(audit: Audit, title: str) -> str:
    """The page of an audit.

    Args:
        audit: what was found.
        title: what was audited, in words.
    """
    parts: list[Content] = [_top(audit, title)]
    parts += [_suspicion(audit, suspicion) for suspicion in audit.suspicions]
    parts += [_not_excluded(audit), _effects(audit), _made(audit)]
    return document(f"Audit of {title}", parts, ("page.css", "summary.css", "audit.css"))


def verdict(audit: Audit) -> str:
    """What was found, in one sentence."""
    if not audit.suspicions:
        return "No label was found to follow anything beside the object."
    return " ".join(_said(audit, suspicion) for suspicion in audit.suspicions)


def evidence(audit: Audit, effect: Effect) -> str:
    """What an exchange did, with both rates and their intervals."""
    name, what = audit.name(effect.label), _words(audit, effect)
    return (
        f"Of images with another label, {_rate(effect.added, effect.n_added)} become {name} with {what} of an image "
        f"that is {name}, and {_rate(effect.added_by_others, effect.n_added_by_others)} with that of another. "
        f"Of images that are {name}, {_rate(effect.lost, effect.n_lost)} lose the label with that of another, and "
        f"{_rate(effect.lost_to_own, effect.n_lost_to_own)} with that of their own label."
    )


def place_in_words(place: Place) -> str:
    """Where it lies."""
    rates = (
        f"The window alone gives the label to {sentences.percent(place.rate)} of {place.n} fresh images, a window "
        f"elsewhere to {sentences.percent(place.rate_elsewhere)}."
    )
    if place.kind == "fixed" and place.window is not None:
        top, left, side = place.window
        return f"It lies at one place: {side}x{side} pixels from row {top}, column {left}. {rates}"
    if place.kind == "varies":
        return f"It lies in one window, but at another place in each image. {rates}"
    return "No single window gives the label: what it follows is larger, or spread over the image."


def limits_in_words(audit: Audit) -> list[str]:
    """What the audit could not see."""
    found = [f"What {audit.words[name]} does was not tried: {why}." for name, why in audit.objections.items()]
    rare = [audit.name(y) for y, n in enumerate(audit.counts) if n < 20]
    if rare:
        found.append(f"Too few images are predicted as {sentences.enumeration(rare)} to say anything of these labels.")
    return [
        *found,
        "A mark that no audited image shows cannot be found, nor one that hardly changes the label.",
        "What all labels have alike is not seen, and what belongs to the object itself (its shape, a texture of its "
        "own) is not exchanged, but for what the autoencoder does not draw.",
        "That a label follows something does not say that it should not: that is for you to judge.",
    ]


def _said(audit: Audit, suspicion: Suspicion) -> str:
    """What a label follows. Of two labels, that one follows it is that the other follows its opposite."""
    name, what, how = audit.name(suspicion.label), _words(audit, suspicion.effects[0]), suspicion.direction
    if len(audit.counts) != _TWO:
        return f"The label {name} follows {what}{how and f': it is given to {how} images'}."
    if not how:
        return f"The label {name} follows {what}. Of two labels, the other then follows its absence."
    other, opposite = audit.name(1 - suspicion.label), _OPPOSITE[how]
    return f"The labels {name} and {other} follow {what}: {name} is given to {how} images, {other} to {opposite} ones."


def _top(audit: Audit, title: str) -> Html:
    return tag(
        "header",
        tag("h1", "Does ", tag("strong", title), " look at the wrong thing?"),
        tag("p", tag("strong", verdict(audit))),
        tag(
            "p",
            f"{audit.params['n_images']:,} images exchanged one thing at a time with each other; the black box was "
            f"queried for {audit.black_box_images:,} images.",
            class_="hint",
        ),
    )


def _suspicion(audit: Audit, suspicion: Suspicion) -> Html:
    first = suspicion.effects[0]
    name = audit.name(suspicion.label)
    more = [
        tag("li", f"{_words(audit, effect)} too: {_rate(effect.added, effect.n_added)} become {name}.")
        for effect in suspicion.effects[1:]
    ]
    return section(
        f"label-{suspicion.label}",
        f"{name} follows {_words(audit, first)}{suspicion.direction and f': {suspicion.direction} images'}",
        tag("p", evidence(audit, first)),
        tag("ul", more) if more else None,
        tag(
            "div",
            tag("div", _examples(audit, suspicion), class_="pairs"),
            _where(suspicion),
            class_="audit",
        ),
    )


def _examples(audit: Audit, suspicion: Suspicion) -> list[Html]:
    name = audit.name(suspicion.label)
    return [
        tag(
            "div",
            _figure(example.before, audit.name(example.label_before)),
            tag("span", "+", aria_hidden="true"),
            _figure(example.donor, name),
            tag("span", "=", aria_hidden="true"),
            _figure(example.after, _after(example, name)),
            class_="pair",
        )
        for example in suspicion.examples
    ]


def _after(example: Example, name: str) -> str:
    return name if example.given else "more like it"


def _figure(image: Tensor, words: str) -> Html:
    height, width = image.shape[1:]
    look = "pixels" if max(height, width) <= 100 else None
    address = data_uri(image, _ROOM)
    return tag(
        "figure",
        tag("img", src=address, alt=words, class_=look, width=width, height=height),
        tag("figcaption", words),
    )


def _where(suspicion: Suspicion) -> Html:
    place, example = suspicion.place, suspicion.examples[0]
    look = "pixels" if max(place.evidence.shape) <= 100 else None
    overlay = map_uri(place.evidence / place.evidence.abs().max().clamp(min=1e-6))
    ground = data_uri(pale(example.after), _ROOM)
    return tag(
        "figure",
        tag(
            "div",
            tag("img", src=ground, alt="An image after the exchange, pale", class_=look),
            tag("img", src=overlay, alt="What of the exchange supports the label", class_=f"map {look or ''}"),
            class_="layers",
        ),
        tag("figcaption", "Red: what of the exchange supports the label. ", place_in_words(place)),
        class_="where",
    )


def _not_excluded(audit: Audit) -> Html:
    return section("limits", "What cannot be excluded", tag("ul", (tag("li", text) for text in limits_in_words(audit))))


def _effects(audit: Audit) -> Html:
    head = tag(
        "tr",
        (
            tag("th", words, scope="col")
            for words in (
                "Label",
                "What was exchanged",
                "Become it (with that of others)",
                "Lose it (with that of their own)",
                "Log-odds",
                "Limit",
                "Follows",
            )
        ),
    )
    shown = sorted(audit.effects, key=lambda e: -e.log_odds / LIMITS[e.operator].log_odds)[:MOST_ROWS]
    rows = [
        tag(
            "tr",
            tag("th", audit.name(e.label), scope="row"),
            tag("td", _words(audit, e)),
            tag("td", f"{sentences.percent(e.added)} ({sentences.percent(e.added_by_others)})"),
            tag("td", f"{sentences.percent(e.lost)} ({sentences.percent(e.lost_to_own)})"),
            tag("td", f"{e.log_odds:.2f}"),
            tag("td", f"{LIMITS[e.operator].log_odds:g}"),
            tag("td", "yes" if e.follows else "no"),
        )
        for e in shown
    ]
    kept = None
    if audit.kept:
        worst = sorted((k, y) for y, k in enumerate(audit.kept) if k is not None)[:3]
        listed = sentences.enumeration([f"{audit.name(y)} ({sentences.percent(k)})" for k, y in worst])
        kept = tag("p", f"Least often a label is kept where the autoencoder draws the image: {listed}.")
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="wide")
    return section("effects", "All that was counted", kept, tag("div", table, class_="scroll"))


def _made(audit: Audit) -> Html:
    rows = [tag("tr", tag("th", name, scope="row"), tag("td", str(value))) for name, value in audit.params.items()]
    return section("made", "How this was made", tag("table", rows, class_="facts"))


def _words(audit: Audit, effect: Effect) -> str:
    return audit.words[effect.operator]


def _rate(share: float, n: int) -> str:
    """A share with its 95 % interval (Wilson 1927, Probable inference, the law of succession)."""
    if not n:
        return "none (no images)"
    low, high = wilson(share, n)
    return f"{sentences.percent(share)} ({sentences.percent(low)} to {sentences.percent(high)}, of {n})"


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of n."""
    z = 1.959964
    middle, width = share + z**2 / (2 * n), z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, (middle - width) / (1 + z**2 / n)), min(1.0, (middle + width) / (1 + z**2 / n))
