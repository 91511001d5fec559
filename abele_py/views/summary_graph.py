"""Which classes border which, drawn: classes on a circle, and lines between those that are near each other."""

import math
from collections.abc import Sequence

from ..distributed.records import Border, Summary
from .html import Html, tag
from .svg import short

MOST_NODES, MOST_LINES = 24, 60
_SIZE, _RADIUS, _MARGIN = 640.0, 235.0, 120  # the last one for names at both sides


def border_graph(summary: Summary) -> Html | None:
    """Classes on a circle; a line is the wider, the more explanations of the two have the other as the nearest class.

    The most frequent borders and their classes, if there are many. None without any.
    """
    sizes = {c.label: c.trust.n for c in summary.classes}
    lines = _lines(summary.borders, sizes)
    if not lines:
        return None
    if len(sizes) > MOST_NODES:
        chosen = list(dict.fromkeys(label for pair, _ in most_bordering(summary) for label in pair))[:MOST_NODES]
        sizes = {label: sizes[label] for label in sorted(chosen)}
        lines = _lines(summary.borders, sizes)
    places = _places(list(sizes), lines)
    most, largest = max(lines.values()), max(sizes.values())
    drawn = []
    for (a, b), weight in sorted(lines.items(), key=lambda item: item[1])[-MOST_LINES:]:
        (xa, ya), (xb, yb) = places[a], places[b]
        middle = tuple(0.55 * (p + q) / 2 + 0.45 * _SIZE / 2 for p, q in ((xa, xb), (ya, yb)))
        words = f"{summary.name(a)} and {summary.name(b)}: nearest to each other in {100 * weight:.0f} %"
        d = f"M{xa:.1f} {ya:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {xb:.1f} {yb:.1f}"
        style = f"stroke-width:{1 + 9 * weight / most:.1f};opacity:{0.25 + 0.65 * weight / most:.2f}"
        drawn.append(tag("path", tag("title", words), d=d, style=style, class_="edge"))
    for label, (x, y) in places.items():
        name, n = summary.name(label), sizes[label]
        radius = 6 + 8 * math.sqrt(n / largest)
        drawn.append(
            tag("circle", tag("title", f"{name}: {n:,} images"), cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{radius:.1f}")
        )
        out = (_RADIUS + 24) / _RADIUS
        tx, ty = (_SIZE / 2 + out * (v - _SIZE / 2) for v in (x, y))
        anchor = "middle" if abs(x - _SIZE / 2) < 40 else "start" if x > _SIZE / 2 else "end"
        drawn.append(tag("text", short(name, 18), x=f"{tx:.1f}", y=f"{ty + 5:.1f}", text_anchor=anchor))
    return tag(
        "svg", drawn, viewBox=f"{-_MARGIN} 0 {_SIZE + 2 * _MARGIN:.0f} {_SIZE:.0f}", role="img", class_="graph",
        aria_label="Which classes border which; the table says the same",
    )  # fmt: skip


def most_bordering(summary: Summary) -> list[tuple[tuple[int, int], float]]:
    """Pairs of labels, and the share of the images of both that have the other as the nearest class: highest first."""
    lines = _lines(summary.borders, {c.label: c.trust.n for c in summary.classes})
    return sorted(lines.items(), key=lambda item: (-item[1], item[0]))


def _lines(borders: Sequence[Border], sizes: dict[int, int]) -> dict[tuple[int, int], float]:
    """Pair of labels, the smaller first -> share of the images of both that have the other as the nearest class."""
    found: dict[tuple[int, int], int] = {}
    for border in borders:
        if border.n_nearest and border.label in sizes and border.other in sizes:
            pair = (min(border.label, border.other), max(border.label, border.other))
            found[pair] = found.get(pair, 0) + border.n_nearest
    return {(a, b): n / (sizes[a] + sizes[b]) for (a, b), n in found.items()}


def _places(labels: list[int], lines: dict[tuple[int, int], float]) -> dict[int, tuple[float, float]]:
    """Places on a circle, on which each class is followed by the one that borders it most of those left."""

    def near(a: int, b: int) -> float:
        return lines.get((min(a, b), max(a, b)), 0.0)

    left = sorted(labels)
    order = [left.pop(0)]
    while left:
        following = max(left, key=lambda label: (near(order[-1], label), -label))
        left.remove(following)
        order.append(following)
    angles = {label: 2 * math.pi * i / len(order) - math.pi / 2 for i, label in enumerate(order)}
    return {
        label: (_SIZE / 2 + _RADIUS * math.cos(angle), _SIZE / 2 + _RADIUS * math.sin(angle))
        for label, angle in angles.items()
    }
