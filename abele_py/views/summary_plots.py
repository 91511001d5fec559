"""The plots of a run's summary: trust by class, mistakes, distances between classes, mean maps. They need no screen."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ..distributed.columns import GRADES
from ..distributed.records import ClassOver, Summary
from ..explanation.trust import ANSWERS
from .plots import SIGNED, Page
from .svg import short

PLOTS = ("trust", "mistakes", "borders", "classes")
MOST_CLASSES = 30  # in one plot, the most frequent ones
_COLORS = {"good": "#009E73", "near": "#56B4E9", "care": "#E69F00", "bad": "#D55E00"}


def plots_of_summary(summary: Summary) -> dict[str, Page]:
    """Name, of ``PLOTS`` -> figure, of those for which there is something to draw."""
    frequent = sorted(summary.classes, key=lambda c: (-c.trust.n, c.label))[:MOST_CLASSES]
    classes = sorted(frequent, key=lambda c: c.label)
    if not classes:
        return {}
    drawn = {
        name: draw(summary, classes) for name, draw in zip(PLOTS, (_trust, _mistakes, _borders, _maps), strict=True)
    }
    return {name: page for name, page in drawn.items() if page is not None}


def _trust(summary: Summary, classes: list[ClassOver]) -> Page:
    page = _page(summary, (10, 1.6 + 0.3 * len(classes)), "Can the explanations be believed?")
    axes: Any = page.subplots()
    left = np.zeros(len(classes))
    for grade in GRADES:
        values = np.array([c.trust.grades["explanation"][grade] / c.trust.n for c in classes])
        axes.barh(range(len(classes)), values, left=left, color=_COLORS[grade], label=ANSWERS[grade], height=0.75)
        left += values
    axes.plot([c.trust.held_out or np.nan for c in classes], range(len(classes)), "ko", ms=4, label="rule agrees")
    axes.plot([c.trust.constant or np.nan for c in classes], range(len(classes)), "kx", ms=5, label="constant answer")
    _names(axes.yaxis, summary, classes, counted=True)
    axes.set(
        xlim=(0, 1), ylim=(len(classes) - 0.4, -0.6), xlabel="share of the explanations; dots and crosses: of cases"
    )
    axes.spines[["top", "right"]].set_visible(False)
    page.legend(loc="outside right upper", fontsize=8.5, frameon=False)
    return page


def _mistakes(summary: Summary, classes: list[ClassOver]) -> Page | None:
    if summary.mistakes is None or not summary.mistakes.confusions:
        return None
    at = {c.label: i for i, c in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)))
    for confusion in summary.mistakes.confusions:
        if confusion.true_label in at and confusion.label in at:
            counts[at[confusion.true_label], at[confusion.label]] = confusion.side.n
    return _matrix(summary, classes, counts, "Mistakes", "true class", "predicted class", "{:.0f}", "Reds")


def _borders(summary: Summary, classes: list[ClassOver]) -> Page | None:
    at = {c.label: i for i, c in enumerate(classes)}
    distances = np.full((len(classes), len(classes)), np.nan)
    for border in summary.borders:
        if border.label in at and border.other in at:
            distances[at[border.label], at[border.other]] = border.median
    if np.isnan(distances).all():
        return None
    title = "How far the counter-exemplars are: median distance"
    return _matrix(
        summary, classes, distances, title, "predicted class", "class of the counter-exemplar", "{:.1f}", "Blues_r"
    )


def _matrix(
    summary: Summary, classes: list[ClassOver], values: np.ndarray,
    title: str, rows: str, columns: str, form: str, look: str,
) -> Page:  # fmt: skip
    side = 2.6 + 0.42 * len(classes)
    page = _page(summary, (side + 1, side), title)
    axes: Any = page.subplots()
    shown = axes.imshow(np.where(values == 0, np.nan, values) if look == "Reds" else values, cmap=look)
    if len(classes) <= 20:
        low, high = np.nanmin(values), np.nanmax(values)
        for i, j in zip(*np.nonzero(np.nan_to_num(values)), strict=True):
            dark = (values[i, j] - low) / max(high - low, 1e-9)
            color = "white" if (dark > 0.6 if look == "Reds" else dark < 0.4) else "black"
            axes.text(j, i, form.format(values[i, j]), ha="center", va="center", fontsize=8, color=color)
    _names(axes.yaxis, summary, classes)
    _names(axes.xaxis, summary, classes)
    axes.tick_params(axis="x", rotation=90)
    axes.set(ylabel=rows, xlabel=columns)
    page.colorbar(shown, ax=axes, shrink=0.7)
    return page


def _maps(summary: Summary, classes: list[ClassOver]) -> Page | None:
    found = [c for c in classes if c.map is not None]
    if not found:
        return None
    columns = min(6, len(found))
    lines = -(-len(found) // columns)
    page = _page(summary, (1.2 + 1.7 * columns, 1.1 + 2.0 * lines), "Mean map of each class, each to its largest value")
    grid = page.subplots(lines, columns, squeeze=False).ravel()
    for axes, c in zip(grid, found, strict=False):
        peak = max(float(np.abs(c.map).max()), 1e-9)  # type: ignore[arg-type]
        axes.imshow(c.map / peak, cmap="RdBu_r", norm=SIGNED)  # type: ignore[operator]
        axes.set_title(f"{short(summary.name(c.label))}\n{peak:.2f}", fontsize=9, parse_math=False)
    for axes in grid:
        axes.set_axis_off()
    return page


def _page(summary: Summary, size: tuple[float, float], title: str) -> Page:
    page = Page(figsize=size, layout="constrained")
    FigureCanvasAgg(page)
    source = short(str(summary.run.data.get("source", "images")), 40)
    page.suptitle(f"{title}\n{source}, {summary.trust.n:,} explanations", fontsize=11, parse_math=False)
    return page


def _names(axis: Any, summary: Summary, classes: list[ClassOver], counted: bool = False) -> None:
    words = [short(summary.name(c.label), 20) + (f" ({c.trust.n:,})" if counted else "") for c in classes]
    axis.set_ticks(range(len(classes)), words, fontsize=8.5, parse_math=False)
