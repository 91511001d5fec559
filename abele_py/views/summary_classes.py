"""Classes and their borders on the page of a run's summary."""

from ..distributed.records import Border, ClassOver, Reason
from . import sentences
from .components import link, section
from .html import Content, Html, tag
from .summary_graph import MOST_LINES, MOST_NODES, border_graph
from .summary_parts import Shown, cells, grade_bar, number, peak_of, share, table

MOST_BORDERS, MOST_CARDS = 60, 60


def borders(shown: Shown) -> Html:
    """Which classes border which: a graph, and a table of the nearest with what changes on the way."""
    s = shown.summary
    title = "Which classes border which"
    if not s.borders:
        return section("borders", title, tag("p", "No way from one class to another was found."))
    sizes = {c.label: c.trust.n for c in s.classes}
    chosen = sorted(s.borders, key=lambda b: (-b.n_nearest / max(1, sizes.get(b.label, 0)), b.median, b.label, b.other))
    rows = [_border_row(shown, b, sizes.get(b.label, 0)) for b in chosen[:MOST_BORDERS]]
    n, left = len(s.borders), s.borders_left_out
    few = f"The {len(rows)} most frequent of {n:,}; borders.csv has all. " if n > len(rows) else ""
    few += f"{left:,} counter-exemplars of further pairs are not in it. " if left else ""
    most = ""
    if len(s.classes) > MOST_NODES:
        most = f" Drawn are the {MOST_NODES} classes with the widest lines, and at most {MOST_LINES} lines."
    return section(
        "borders",
        title,
        tag(
            "p",
            "For each image the nearest images with other labels were looked for. A line is the wider, the more "
            f"often the two classes are nearest to each other.{most}",
        ),
        border_graph(s),
        table(
            (
                "From, to",
                "Nearest class for",
                "Distance: median",
                "mean",
                "least",
                "Change: red brighter, blue darker",
            ),
            rows,
            "Borders, the most frequent first",
        ),
        tag("p", few, class_="hint") if few else None,
    )


def _border_row(shown: Shown, b: Border, n: int) -> list[Content]:
    name, other = shown.name(b.label), shown.name(b.other)
    change: Content = "-"
    if b.change is not None:
        alt = f"Mean change from {name} to {other}"
        change = tag("span", cells(b.change, alt), tag("small", f" at most {peak_of(b.change)}"), class_="with-cells")
    near = share(b.n_nearest, n)
    return [f"{name} to {other}", near, number(b.median), number(b.mean), number(b.lowest), change]


def classes(shown: Shown) -> Html:
    """Each class: its typical images, mean map, and what decides."""
    s = shown.summary
    found = sorted(s.classes, key=lambda c: (-c.trust.n, c.label))[:MOST_CARDS]
    cards = [_card(shown, c) for c in sorted(found, key=lambda c: c.label)]
    some = None
    if len(s.classes) > len(cards):
        some = tag("p", f"The {len(cards)} most frequent of {len(s.classes):,}; classes.csv has all.", class_="hint")
    return section(
        "classes",
        "Each class",
        tag("p", "What images look like that are predicted as a class, where it is decided, and by what."),
        some,
        tag("div", cards, class_="cards") if cards else tag("p", "Nothing was explained."),
    )


def _card(shown: Shown, c: ClassOver) -> Html:
    name = shown.name(c.label)
    known = (
        f" Of {c.n_known:,} whose true class is known, {share(c.n_right, c.n_known)} are right." if c.n_known else ""
    )
    missed = f" {c.n_true:,} images are known to be {name}." if c.n_true else ""
    return tag(
        "article",
        tag("h3", tag("strong", name)),
        tag("p", f"{sentences.counted(c.trust.n, 'image')} predicted.{known}{missed}"),
        grade_bar(c.trust.grades["explanation"]),
        _typical(shown, c),
        _maps(shown, c),
        _reasons(shown, c),
        class_="card",
        id=f"class-{c.label}",
    )


def _typical(shown: Shown, c: ClassOver) -> Html:
    if not c.typical:
        return tag("p", "Codes were not kept: typical images are not known.", class_="hint")
    pictures = [(e, shown.picture(e)) for e in c.typical]
    if not any(picture for _, picture in pictures):
        words: list[Content] = [
            [" " if i else None, link(f"#image-{e.index}", e.name)] for i, e in enumerate(c.typical)
        ]
        return tag("p", "Typical images: ", words)
    frames = [
        tag("a", tag("figure", picture, tag("figcaption", e.name)), href=f"#image-{e.index}", title=e.name)
        for e, picture in pictures
        if picture is not None
    ]
    return tag("div", tag("small", "Typical images, the most typical first"), tag("div", frames, class_="typical"))


def _maps(shown: Shown, c: ClassOver) -> Html | None:
    if c.map is None or c.spread is None:
        return None
    name = shown.name(c.label)
    median = shown.summary.run.options.get("saliency") == "median"
    read = "where it may vary" if median else f"red supports {name}, blue opposes"
    return tag(
        "div",
        tag(
            "figure",
            cells(c.map, f"Mean map of {name}"),
            tag("figcaption", f"Mean map: {read}, at most {peak_of(c.map)}"),
        ),
        tag(
            "figure",
            cells(c.spread, f"Spread of the maps of {name}"),
            tag("figcaption", f"How much maps differ: standard deviation, at most {peak_of(c.spread)}"),
        ),
        class_="maps",
    )


def _reasons(shown: Shown, c: ClassOver) -> Html | None:
    if not c.reasons:
        return None
    rows = [
        tag(
            "tr",
            tag("th", _reason(shown, r), scope="row"),
            tag("td", tag("i", style=f"width:{100 * r.n / c.trust.n:.1f}%"), class_="bar", aria_hidden="true"),
            tag("td", share(r.n, c.trust.n)),
        )
        for r in c.reasons
    ]
    return tag("table", tag("caption", "What rules are about: a boundary towards"), rows, class_="bars")


def _reason(shown: Shown, r: Reason) -> str:
    if r.towards is None:
        return f"coordinate z{r.axis}, {'low' if r.below else 'high'}"
    return shown.name(r.towards) + ("" if r.away_from is None else f" from {shown.name(r.away_from)}")
