"""Pictures of an explanation, drawn with matplotlib's object interface: no window, no global state."""

import io
import textwrap
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from ..attribution.comparison import Comparison
from ..checking.parameters import between, checked
from ..explanation.explanation import Explanation
from ..explanation.others import other_labels
from ..explanation.trust import ANSWERS, HEADLINES
from .sentences import belief, parts, percent

COLUMNS = 10
MARGIN = 0.25  # inches
# Diverging, neutral at 0, and told apart by people who confuse red and green.
COLORS = "RdBu_r"
SIGNED = Normalize(-1, 1)


class Page(Figure):
    """A figure that notebooks show without pyplot."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=80)
        return file.getvalue()


@checked
def plot_explanation(explanation: Explanation) -> Page:
    """The whole explanation on one page: decision and trust, saliency, exemplars, counter-exemplars, rules in words."""
    e = explanation
    lines = [(line, "black") for line in _rule_lines(e)]
    lines += [(line, "#9c1c00") for note in e.notes for line in textwrap.wrap(f"Note: {note.text}.", 150)]
    counters = (2.9, 1.6) if len(e.counter_exemplars) else (0.4, 0.1)
    heights = [3.1, 0.25 * len(lines) + 0.2, 1.5 if len(e.exemplars) else 0.4, *counters]
    figure = Page(figsize=(13, sum(heights)), layout="constrained")
    decision, words, same, other, way = np.asarray(figure.subfigures(5, 1, height_ratios=heights))
    _draw_decision(decision, e)
    for i, (line, color) in enumerate(lines):
        words.text(0.01, 1 - (i + 0.5) / len(lines), line, fontsize=10.5, va="center", color=color, parse_math=False)
    _draw_exemplars(same, e)
    _draw_counter_exemplars(other, e)
    if len(e.counter_exemplars):
        _draw_path(way, e)
    return figure


@checked
def plot_comparison(comparison: Comparison, overlay: bool = True, columns: Annotated[int, between(1, 100)] = 7) -> Page:
    """Many methods' maps of one or several images on one scale: rows are images, columns methods, continued below.

    Args:
        comparison: the maps.
        overlay: draw them over a pale copy of the image instead of on white.
        columns: most methods side by side.
    """
    c = comparison
    names = list(c.maps)
    strips = -(-len(names) // columns)
    columns = -(-len(names) // strips)  # as equal as they can be
    ratio = min(max(c.images.shape[2] / c.images.shape[3], 0.5), 2.0)
    side, gap, head, label, apart = 1.25, 0.1, 0.2, 0.25, 0.2  # inches
    width = max(7.0, (columns + 1) * (side + gap) + 2 * MARGIN)
    wide = int(width * 14)  # letters in a line
    lines = [part for line in c.caption() for part in textwrap.wrap(line, wide, break_on_hyphens=False)]
    strip = head + len(c) * (side * ratio + label)
    bar = MARGIN + 0.4 + strips * (strip + apart) + 0.1
    height = bar + 0.5 + 0.17 * len(lines) + MARGIN
    figure = Page(figsize=(width, height))

    def axes_at(x: float, y: float, w: float, h: float) -> Axes:
        """Axes with this left upper corner and size, in inches from the page's left upper corner."""
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / width, 1 - y / height, text, parse_math=False, **style)

    write(
        MARGIN,
        MARGIN,
        "What supports and what opposes the black box's prediction",
        va="top",
        fontsize=12,
        weight="bold",
    )
    scaled = {name: c.scaled(name) for name in names}
    for s in range(strips):
        top = MARGIN + 0.4 + s * (strip + apart) + head
        write(MARGIN + side / 2, top + 0.05, "Predicted as", va="bottom", ha="center", fontsize=9)
        for i, image in enumerate(c.images):
            y = top + i * (side * ratio + label)
            show_image(axes_at(MARGIN, y + label, side, side * ratio), image)
            write(
                MARGIN + side / 2,
                y + label - 0.03,
                c.predicted(i, 12),
                va="bottom",
                ha="center",
                fontsize=9,
                weight="bold",
            )
            for j, name in enumerate(names[s * columns : (s + 1) * columns]):
                x = MARGIN + (j + 1) * (side + gap)
                axes = axes_at(x, y + label, side, side * ratio)
                show_saliency(axes, image if overlay else image * 0, scaled[name][i])
                if not bool(scaled[name][i].any()):
                    axes.text(0.5, 0.5, "0 everywhere", transform=axes.transAxes, ha="center", va="center", fontsize=8)
                if i == 0:
                    title = textwrap.fill(c.titles[name], 16)
                    write(x + side / 2, y + label - 0.05, title, va="bottom", ha="center", fontsize=9.5)
    legend = axes_at(MARGIN + 0.25, bar, 3.0, 0.12)
    figure.colorbar(ScalarMappable(SIGNED, COLORS), cax=legend, orientation="horizontal", ticks=[-1, 0, 1])
    legend.set_xticklabels(["opposes", "neutral", "supports"], fontsize=9)
    for i, line in enumerate(lines):
        write(MARGIN, bar + 0.5 + 0.17 * i, line, va="top", fontsize=8.5)
    return figure


def show_image(axes: Axes, image: Tensor, title: str = "") -> None:
    """One image (C, H, W) in [0, 1] without axes, grey where C is 1."""
    pixels = image.permute(1, 2, 0).numpy()
    axes.imshow(pixels if pixels.shape[2] == 3 else pixels.mean(axis=2), cmap="gray", vmin=0, vmax=1)
    axes.set_title(title, fontsize=9.5, parse_math=False)
    axes.set_axis_off()


def show_saliency(axes: Axes, image: Tensor, saliency: Tensor, title: str = "") -> None:
    """A signed map (H, W) over a pale copy of the image: red supports, blue opposes, white is neutral."""
    values = saliency.numpy()
    pale = 1 - 0.3 * image.mean(dim=0).numpy()
    axes.imshow(pale, cmap="gray", vmin=0, vmax=1)
    axes.imshow(values, cmap=COLORS, norm=SIGNED, alpha=np.abs(values).clip(0, 1) ** 0.5)
    axes.set_title(title, fontsize=9.5, parse_math=False)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_decision(figure: SubFigure, e: Explanation) -> None:
    t = e.trust
    grid = figure.add_gridspec(3, 5, width_ratios=[1, 1, 1, 1, 1.7], height_ratios=[20, 1, 2])
    image, code, map_, areas = (figure.add_subplot(grid[0, i]) for i in range(4))
    score = "" if e.scores is None else f" (p = {float(e.probabilities(e.scores)[e.label]):.2f})"
    show_image(image, e.image, f"The black box predicts\n{_short(e.name(e.label))}{score}")
    show_image(code, e.reconstruction, f"Reconstruction:\npredicted as {_short(e.name(e.reconstruction_label))}")
    show_saliency(map_, e.image, e.saliency, _saliency_title(e))
    show_saliency(areas, e.image, e.saliency_areas, "Its contiguous areas\nalone")
    bar = figure.colorbar(
        ScalarMappable(SIGNED, COLORS), cax=figure.add_subplot(grid[1, 2:4]), orientation="horizontal", ticks=[-1, 0, 1]
    )
    bar.ax.set_xticklabels(_legend(e), fontsize=9, parse_math=False)
    lines = [
        ("fidelity on held-out neighbors", f"{t.held_out:.3f}"),
        (f"  always predicting {_short(_always(e, t.constant_label))}", f"{t.constant:.3f}"),
        ("fidelity, neighbors unweighted", f"{t.held_out_unweighted:.3f}"),
        (f"  always predicting {_short(_always(e, t.constant_label_unweighted))}", f"{t.constant_unweighted:.3f}"),
        ("tree predicts the image's label", "yes" if t.hit else "NO"),
        ("reconstruction keeps the label", "yes" if t.label_preserved else "NO"),
        ("error of reconstruction, 0 to 1", f"{t.reconstruction_error:.3f}"),
        ("image like those trained on", "yes" if t.code_valid else "NO"),
        ("neighbors, with other labels", f"{t.n_neighbors}, {percent(t.other_fraction)}"),
        ("labels among them, tree leaves", f"{t.n_labels}, {t.n_leaves}"),
    ]
    words = figure.add_subplot(grid[:, 4])
    words.set_axis_off()
    words.text(0, 1, f"Can I believe this? {HEADLINES[belief(e)[0]]}", va="top", fontsize=11, fontweight="bold")
    lines += [(f"use the {verdict.part}?", ANSWERS[verdict.grade]) for verdict in parts(e)]
    table = "\n".join(f"{name:33}{value:>8}" for name, value in lines)
    words.text(0, 0.88, table, va="top", fontsize=9, family="monospace", linespacing=1.3, parse_math=False)


def _always(e: Explanation, label: int | None) -> str:
    """The name of the label of a constant answer; the image's in files of a time that knew no other."""
    return e.name(e.label if label is None else label)


def _draw_path(figure: SubFigure, e: Explanation) -> None:
    c = e.counter_exemplars
    label = int(c.labels[0])
    below = "" if c.path_scores is None else f"; below, the probability of {_short(e.name(label), 60)}"
    _heading(
        figure, f"From the image to the nearest counter-exemplar, and what the black box predicts on the way{below}"
    )
    frames = len(c.paths[0])
    shown = np.linspace(0, frames - 1, min(frames, COLUMNS)).round().astype(int).tolist()
    for axes, i in zip(_row(figure, 1)[0], shown, strict=False):
        predicted = int(c.path_labels[0, i])
        score = "" if c.path_scores is None else f"\n{float(e.probabilities(c.path_scores)[0, i, label]):.2f}"
        show_image(axes, c.paths[0, i], f"{_short(e.name(predicted))}{score}")


def _heading(figure: SubFigure, text: str) -> None:
    figure.suptitle(text, fontsize=11, ha="left", x=0.01, fontweight="bold", parse_math=False)


def _saliency_title(e: Explanation) -> str:
    if e.params.get("saliency") == "median":
        return "Saliency: image minus\nits exemplars (median)"
    return f"Saliency: what supports\nand opposes {_short(e.name(e.label))}"


def _legend(e: Explanation) -> list[str]:
    if e.params.get("saliency") == "median":
        return ["may be brighter", "does not vary", "may be darker"]
    return ["opposes", "neutral", f"supports {_short(e.name(e.label))}"]


def _draw_exemplars(figure: SubFigure, e: Explanation) -> None:
    name = _short(e.name(e.label), 60)
    if len(e.exemplars) == 0:
        return _heading(figure, f"No exemplars found: no valid image inside the rule is predicted as {name}")
    _heading(figure, f"Exemplars: similar images that are also predicted as {name}")
    for axes, image in zip(_row(figure, 1)[0], e.exemplars.images, strict=False):
        show_image(axes, image)


def _draw_counter_exemplars(figure: SubFigure, e: Explanation) -> None:
    c, shown = e.counter_exemplars, other_labels(e).shown
    if len(c) == 0:
        return _heading(figure, "No counter-exemplars found")
    rows = [(i, label) for i, label in enumerate(c.labels.tolist()) if label in shown]
    some = f", the nearest {len(rows)} of {len(c)}" if len(rows) < len(c) else ""
    found = f"Counter-exemplars: near images that are predicted as another label{some}"
    _heading(figure, f"{found}; below, what gets brighter (red) or darker (blue)")
    for images, maps, (i, label) in zip(*_row(figure, 2), rows, strict=False):
        score = "" if c.scores is None else f" ({float(e.probabilities(c.scores)[i, label]):.2f})"
        show_image(images, c.images[i], f"{_short(e.name(label))}{score}")
        show_saliency(maps, e.image, c.saliency[i])


def _short(name: str, width: int = 13) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def _row(figure: SubFigure, rows: int) -> np.ndarray:
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for a in axes.flat:
        a.set_axis_off()
    return axes


def _rule_lines(e: Explanation) -> list[str]:
    others = other_labels(e)
    lines = [f"Rule: {e.rule.words(e.name)}"]
    lines += [f"It would be {c.words(e.name)}" for c in others.rules]
    lines += [others.hint] if others.hint else []
    return [part for line in lines for part in textwrap.wrap(line, 140, subsequent_indent="      ")]
