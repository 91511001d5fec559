"""The parts of the interactive page that show something, as HTML; every text in them is escaped."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ..attribution.comparison import Comparison
from ..black_boxes.outputs import Answer, probabilities
from ..latent.space import Points
from ..views import sentences
from ..views.components import badge, bars, highest, legend, parts
from ..views.html import Content, Html, tag
from ..views.svg import data_uri, map_uri, pale
from .backend import Chosen, Explained
from .jobs import Job

MOST_BARS = 12


def told(*content: Content) -> Html:
    """A sentence on what goes on, which a screen reader reads out."""
    return tag("p", *content, role="status", class_="told")


def progress(job: Job[Any]) -> Html:
    """How far a piece of work has got."""
    queried = f": the black box was queried for {sentences.counted(job.queried, 'image')}" if job.queried else ""
    return told(f"{job.stage or 'Waiting for other work'}{queried} …")


def refusal(error: Exception) -> Html:
    """Why something cannot be done: got, expected, do this."""
    return tag("p", tag("strong", "That does not work: "), f"{error}.", role="alert", class_="refusal")


def preview(chosen: Chosen, answer: Answer, names: Sequence[str]) -> Html:
    """The picture that will be explained, as the black box gets it, and what it predicts for it."""
    size = " x ".join(str(n) for n in reversed(chosen.image.shape[1:]))
    known = None if answer.scores is None else probabilities(answer.scores, answer.scale)[0]
    return tag(
        "div",
        _figure(
            chosen.image,
            f"The chosen picture: {chosen.name}",
            f"{chosen.name}, {size} pixels, as the black box gets it",
        ),
        _prediction(int(answer.labels), known, highest(known), _namer(names)),
        class_="beside",
    )


def summary(explained: Explained) -> Html:
    """The explanation in a few sentences; the report below has all of it."""
    e = explained.explanation
    return tag(
        "div",
        tag("h2", sentences.decision(e), f" for {explained.name}"),
        tag("p", sentences.certainty(e), " ", sentences.change(e)),
        tag("p", "Can I believe the explanation? ", badge(e), " ", sentences.belief(e)[1]),
        parts(e),
        tag("p", f"Black box: {explained.black_box}.", class_="hint"),
    )


def report(page: str, name: str) -> Html:
    """An explanation's own page, in a frame whose scripts can reach nothing of the page around it."""
    # Links within the page would lead to the page around it, whose address a frame takes for its own.
    page = page.replace("<head>", '<head><base href="about:srcdoc">', 1)
    return tag("iframe", srcdoc=page, sandbox="allow-scripts", title=f"Explanation of {name}", class_="report")


def moved(explained: Explained, points: Points, realistic: bool, names: Sequence[str]) -> Html:
    """The image of the sliders' code beside the one they began with, and what the black box predicts for it."""
    e = explained.explanation
    known = None if points.scores is None else e.probabilities(points.scores[0])
    shown = range(len(known)) if known is not None and len(known) <= MOST_BARS else highest(known, MOST_BARS)
    believed = "The autoencoder finds it like the images it was trained on."
    doubted = "The autoencoder finds it unlike the images it was trained on: the prediction may mean little."
    before, now = e.name(e.label), _namer(names)(int(points.labels))
    return tag(
        "div",
        _figure(e.image, f"The image, predicted as {before}", f"The image: {before}"),
        _figure(points.images[0], f"The sliders' image, predicted as {now}", "Now"),
        tag(
            "div",
            _prediction(int(points.labels), known, shown, _namer(names)),
            tag("p", believed if realistic else doubted, class_="hint"),
        ),
        class_="beside moving",
    )


def compared(comparison: Comparison) -> Html:
    """The maps of several methods on one scale, with what a reader must know of them."""
    c = comparison
    ground = data_uri(pale(c.images[0]))
    figures = [
        tag(
            "figure",
            tag(
                "div",
                tag("img", src=ground, alt="", class_="pixels"),
                tag("img", src=map_uri(c.scaled(name)[0]), alt=f"Map of {c.titles[name]}", class_="map pixels"),
                class_="layers",
            ),
            tag("figcaption", tag("strong", c.titles[name]), f" {float(c.seconds[name][0]):.2f} s"),
        )
        for name in c.maps
    ]
    return tag(
        "div",
        tag("p", f"Red parts of the image support {c.predicted(0)}; blue parts oppose it."),
        tag("p", legend("opposes", "0 neutral", "supports")),
        tag("div", figures, class_="maps"),
        tag("ul", (tag("li", line) for line in c.caption()), class_="hint"),
    )


def _figure(image: Tensor, alt: str, caption: str) -> Html:
    small = max(image.shape[1:]) <= 100  # enlarged pixel by pixel, as in the report
    picture = tag("img", src=data_uri(image), alt=alt, class_="pixels" if small else None)
    return tag("figure", picture, tag("figcaption", caption))


def _prediction(label: int, known: Tensor | None, shown: Sequence[int], name: Callable[[int], str]) -> Html:
    probability = "" if known is None else f", probability {sentences.score(known[label])}"
    return tag(
        "div",
        tag("p", "The black box predicts ", tag("strong", name(label)), probability, class_="predicted"),
        bars(known, shown, name, "Probabilities, from 0 to 1"),
    )


def _namer(names: Sequence[str]) -> Callable[[int], str]:
    return lambda label: names[label] if label < len(names) else str(label)
