"""The plots of an evaluation: curves, spread of the metrics, sanity, exemplars, surrogate. Colours for every eye."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..attribution.registry import METHODS
from .tables import Metrics, Summary, SummaryRow, label, ordered, rank, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..views.plots import Page
# Okabe & Ito 2008: told apart by people who confuse colours. A family has its hue, a method its shade and dash.
_HUES = {
    "latent": ("#D55E00",),
    "gradient": ("#0072B2", "#56B4E9"),
    "perturbation": ("#009E73",),
    "superpixel": ("#AA4499",),
    "control": ("#777777",),
    "prototypes": ("#0072B2", "#009E73", "#AA4499"),
}
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (9, 1.5)))
_BASELINES = {"zero": "zero", "mean": "the mean", "blur": "a blurred copy"}
_SPREAD = ("deletion_zero", "insertion_blur", "faithfulness_correlation", "infidelity", "stability", "sparseness")
DRAWN = ("curves", "spread", "sanity", "exemplars", "surrogate")


def plots(summary: Summary, metrics: Metrics) -> dict[str, "Page"]:
    """What can be drawn of a run.

    Args:
        summary: content of ``summary.json``.
        metrics: what is known of each metric.

    Returns:
        Name -> figure, of ``curves``, ``spread``, ``sanity``, ``exemplars`` and ``surrogate`` those that were measured.
    """
    drawing = (_curves, _spread, _sanity, _exemplars, _surrogate)
    pages = {name: draw(summary, metrics) for name, draw in zip(DRAWN, drawing, strict=True)}
    return {name: page for name, page in pages.items() if page is not None}


def _curves(summary: Summary, metrics: Metrics) -> "Page | None":
    """Mean deletion and insertion curves, one panel for each baseline."""
    curves = summary["curves"]
    kinds = [
        [f"{way}_{baseline}" for baseline in _BASELINES if any(f"{way}_{baseline}" in of for of in curves.values())]
        for way in ("deletion", "insertion")
    ]
    kinds = [row for row in kinds if row]
    if not kinds:
        return None
    rows = [row for row in rows_of(summary) if row["figure"] in (*kinds[0], *kinds[-1])]
    page = _page(summary, rows, (12, 0.6 + 3.4 * len(kinds)), "What the black box says as pixels go and come")
    grid = page.subplots(len(kinds), max(map(len, kinds)), sharey=True, sharex=True, squeeze=False)
    looks = _looks(curves)
    for i, row in enumerate(kinds):
        for axes, kind in zip(grid[i], row, strict=False):
            way, _, baseline = kind.partition("_")
            for of, look in looks.items():
                values = _as_array(curves[of].get(kind, ()))
                axes.plot(np.linspace(0, 1, len(values)), values, label=label(metrics, "of", of), **look)
            how = "ending at" if way == "deletion" else "starting from"
            axes.set_title(f"{way.capitalize()}, {how} {_BASELINES[baseline]}", fontsize=10)
            _quiet(axes)
            axes.set(xlim=(0, 1), ylim=(0, 1.02))
        grid[i][0].set_ylabel(
            "score of the class (lower is better)" if i == 0 else "score of the class (higher is better)"
        )
    page.supxlabel("share of the pixels, the most salient first", fontsize=10)
    return _with_legend(page, grid[0][0])


def _spread(summary: Summary, metrics: Metrics) -> "Page | None":
    """Box plots of the main metrics of saliency: median, quartiles, 5 % and 95 %, and the mean."""
    rows = [row for row in rows_of(summary) if row["part"] == "saliency" and row["mean"] is not None]
    shown = [metric for metric in _SPREAD if any(row["figure"] == metric for row in rows)]
    if not shown:
        return None
    names = ordered(row["of"] for row in rows)
    looks = _looks(names)
    lines = -(-len(shown) // 3)
    page = _page(summary, rows, (12, 0.7 + lines * (0.9 + 0.21 * len(names))), "How the figures spread over the images")
    grid = page.subplots(lines, min(3, len(shown)), sharey=True, squeeze=False)
    for axes, metric in zip(grid.flat, shown, strict=False):
        found = [row for row in rows if row["figure"] == metric]
        y = np.array([names.index(row["of"]) for row in found])
        colors = [looks[row["of"]]["color"] for row in found]
        _, low, q25, q50, q75, high, _ = np.array([row["quantiles"] for row in found], dtype=np.float64).T
        axes.hlines(y, low, high, colors=colors, linewidth=1.4)
        axes.barh(y, q75 - q25, 0.62, q25, color="white")  # so that no whisker shines through a box
        axes.barh(y, q75 - q25, 0.62, q25, color=colors, alpha=0.5)
        axes.vlines(q50, y - 0.31, y + 0.31, colors="black", linewidth=1.6)
        axes.plot([row["mean"] for row in found], y, "D", ms=3.5, mfc="white", mec="black")
        axes.use_sticky_edges = False
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(label(metrics, "figure", metric), fontsize=10, parse_math=False)
        _quiet(axes, "x")
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(names)), [label(metrics, "of", of) for of in names], fontsize=9)
        axes.set_ylim(len(names) - 0.4, -0.6)
    page.supxlabel("box: quartiles; whiskers: 5 % and 95 %; line: median; diamond: mean", fontsize=9)
    return page


def _sanity(summary: Summary, metrics: Metrics) -> "Page | None":
    """How similar explanations stay while the black box's weights are randomised from the top."""
    rows = [row for row in rows_of(summary) if row["part"] == "sanity" and row["mean"] is not None]
    rows = [row for row in rows if row["figure"] != "label_kept"]  # of the networks, not of an explanation
    if not rows:
        return None
    layers, looks = ordered(row["at"] for row in rows), _looks(row["of"] for row in rows)
    panels: dict[str, list[SummaryRow]] = {}  # metrics of one thing each, such as of the rule, share a panel
    for row in rows:
        alone = len({other["of"] for other in rows if other["figure"] == row["figure"]}) == 1
        panels.setdefault("What else ABELE shows" if alone else row["figure"], []).append(row)
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    size = (3 + 4.2 * columns, 1 + 4 * lines)
    page = _page(summary, rows, size, "Explanations while the black box loses its weights")
    for axes, (metric, found) in zip(_panels(page, lines, columns), panels.items(), strict=False):
        for line in dict.fromkeys((row["of"], row["figure"]) for row in found):
            values = {row["at"]: row["mean"] for row in found if (row["of"], row["figure"]) == line}
            x = [layers.index(at) for at in values]
            axes.plot(x, [*values.values()], label=label(metrics, "of", line[0]), **looks[line[0]])
        names = [str(at).partition(" ")[2] or str(at) for at in layers]
        axes.set_xticks(range(len(layers)), names, rotation=35, ha="right", rotation_mode="anchor")
        title = label(metrics, "figure", metric) if metric in metrics else metric
        axes.set_title(textwrap.fill(title, 40), fontsize=10, parse_math=False)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_ylim(top=1.02)
        _quiet(axes)
    page.supxlabel("layers randomised so far, from the top: this one and all to its left", fontsize=10)
    return _with_legend(page, *page.axes)


def _exemplars(summary: Summary, metrics: Metrics) -> "Page | None":
    """How well 1-NN on k exemplars and k others repeats the black box, over k, with intervals."""
    rows = [row for row in rows_of(summary) if row["part"] == "exemplars" and row["mean"] is not None]
    if not rows:
        return None
    page = _page(summary, rows, (10, 4.8), "Exemplars as a classifier")
    axes = page.subplots()
    for of, look in _looks(row["of"] for row in rows).items():
        found = sorted((row for row in rows if row["of"] == of), key=lambda row: row["at"])
        k = [row["at"] for row in found]
        axes.plot(k, [row["mean"] for row in found], marker="o", ms=4, label=label(metrics, "of", of), **look)
        low, high = ([row[end] for row in found] for end in ("low", "high"))
        axes.fill_between(k, _as_array(low), _as_array(high), color=look["color"], alpha=0.13, linewidth=0)
    ticks = ordered(row["at"] for row in rows)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.set_xlabel("k: as many images of the class, and as many of others")
    axes.set_ylabel(label(metrics, "figure", rows[0]["figure"]), parse_math=False)
    _quiet(axes)
    return _with_legend(page, axes)


def _surrogate(summary: Summary, metrics: Metrics) -> "Page | None":
    """How often the surrogate agrees with the black box, place by place, beside the better constant answer."""
    rows = [row for row in rows_of(summary) if row["part"] == "surrogate" and row["at"] and row["mean"] is not None]
    if not rows:
        return None
    places = ordered(row["at"] for row in rows)
    page = _page(summary, rows, (11, 4.8), "Where the surrogate tree says what the black box says")
    axes = page.subplots()
    bars = {"agreement": (-0.2, "#D55E00"), "balanced_agreement": (0.2, "#0072B2")}
    for row in rows:
        x = places.index(row["at"])
        if row["figure"] in bars:
            shift, color = bars[row["figure"]]
            ends = _as_array((row["low"], row["high"]))
            axes.bar(x + shift, row["mean"], 0.36, color=color, alpha=0.85)
            if row["figure"] == "balanced_agreement":  # of a constant answer it is one half by definition
                axes.hlines(0.5, x + 0.01, x + 0.39, color="black", linewidth=2.4)
            axes.vlines(x + shift, ends[0], ends[1], color="black", linewidth=1.2)
            axes.text(
                x + shift, 0.02, f"{row['mean']:.2f}", ha="center", fontsize=8.5, color="white", fontweight="bold"
            )
        elif row["figure"] == "constant":
            axes.hlines(row["mean"], x - 0.39, x - 0.01, color="black", linewidth=2.4)
    for metric, (_, color) in bars.items():
        axes.plot([], [], "s", ms=11, color=color, alpha=0.85, label=label(metrics, "figure", metric))
    if any(row["figure"] == "constant" for row in rows):  # in runs of schema 1 it is not, see summary.py
        axes.plot([], [], color="black", linewidth=2.4, label=label(metrics, "figure", "constant"))
    axes.set_xticks(range(len(places)), [textwrap.fill(str(at), 11) for at in places], fontsize=9)
    axes.set(ylim=(0, 1.03), ylabel="share of the points")
    _quiet(axes, "y")
    return _with_legend(page, axes)


def _page(summary: Summary, rows: Sequence[SummaryRow], size: tuple[float, float], title: str) -> "Page":
    from ..views.plots import Page

    run = summary["run"]
    page = Page(figsize=size, layout="constrained")
    n = max((row["n"] for row in rows), default=run["n_images"])
    about = f"{run['data_title']}, black box {run['models']['black_box']['name']}, {n} images"
    page.suptitle(f"{title}\n{about}", fontsize=11, parse_math=False)
    return page


def _looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Name -> colour, dash and width of its line; ABELE thick and on top, controls dashed and grey."""
    looks: dict[str, dict[str, Any]] = {}
    seen: Counter[str] = Counter()
    for of in ordered(names):
        family = "latent" if rank(of) < 2 else METHODS[of].family if of in METHODS else "prototypes"
        i, hues = seen[family], _HUES[family]
        seen[family] += 1
        dash = _DASHES[(i + (family == "control")) % len(_DASHES)] if len(hues) < 3 else "-"
        width = {0: 3.2, 1: 2.0}.get(rank(of), 1.3)
        looks[of] = {"color": hues[i % len(hues)], "linestyle": dash, "linewidth": width, "zorder": 5 - rank(of)}
    return looks


def _panels(page: "Page", lines: int, columns: int) -> "np.ndarray":
    return np.asarray(page.subplots(lines, columns, squeeze=False)).ravel()


def _with_legend(page: "Page", *panels: "Axes") -> "Page":
    """One legend for all panels, outside, each name once, in order of rank."""
    known: dict[str, Any] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        known = dict(zip(names, handles, strict=True)) | known
    shown = sorted(known, key=lambda name: -known[name].get_zorder())
    page.legend(
        [known[name] for name in shown], shown, loc="outside right upper", fontsize=8.5, frameon=False, handlelength=3.4
    )
    return page


def _quiet(axes: "Axes", grid: str = "both") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis=grid, color="#dddddd", linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def _as_array(values: Sequence[Any]) -> np.ndarray:
    """Numbers, NaN for those that could not be measured."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
