"""Pictures of an explanation, drawn with matplotlib's object interface: no window, no global state."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

if TYPE_CHECKING:
    from .explanation import Explanation

COLUMNS = 10
# Diverging, neutral at 0, and told apart by people who confuse red and green.
COLORS = "RdBu_r"
SIGNED = Normalize(-1, 1)


def plot_explanation(explanation: "Explanation") -> Figure:
    """The whole explanation on one page: decision and trust, saliency, exemplars, counter-exemplars, rules in words."""
    e = explanation
    notes = [line for note in e.notes for line in textwrap.wrap(f"Note: {note.text}.", 150)]
    rules = _rule_lines(e)
    words = 0.28 * (len(rules) + len(notes)) + 0.3
    figure = Figure(figsize=(13, 8.6 + words), layout="constrained")
    top, same, other, text = np.asarray(figure.subfigures(4, 1, height_ratios=[3.2, 1.5, 3.2, words]))
    _draw_decision(top, e)
    _draw_exemplars(same, e)
    _draw_counter_exemplars(other, e)
    for i, line in enumerate(rules + notes):
        is_note = i >= len(rules)
        text.text(
            0.01,
            1 - (i + 0.5) / (len(rules) + len(notes)),
            line,
            fontsize=11,
            va="center",
            family="monospace" if not is_note else None,
            color="#9c1c00" if is_note else "black",
        )
    return figure


def show_image(axes: Axes, image: Tensor, title: str = "") -> None:
    """One image (C, H, W) in [0, 1] without axes, grey where C is 1."""
    pixels = image.permute(1, 2, 0).numpy()
    axes.imshow(pixels if pixels.shape[2] == 3 else pixels.mean(axis=2), cmap="gray", vmin=0, vmax=1)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def show_saliency(axes: Axes, image: Tensor, saliency: Tensor, title: str = "") -> None:
    """A signed map (H, W) over a pale copy of the image: red speaks for, blue against, white is neutral."""
    values = saliency.numpy()
    pale = 1 - 0.3 * image.mean(dim=0).numpy()
    axes.imshow(pale, cmap="gray", vmin=0, vmax=1)
    axes.imshow(values, cmap=COLORS, norm=SIGNED, alpha=np.abs(values).clip(0, 1) ** 0.5)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_decision(figure: SubFigure, e: "Explanation") -> None:
    t = e.trust
    decision, code, map_, areas, words = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.5])
    score = "" if e.scores is None else f"\nscore {float(e.scores[e.label]):.3f}"
    show_image(decision, e.image, f"Image. The black box says: {e.name(e.label)}{score}")
    show_image(code, e.reconstruction, f"As the autoencoder sees it:\n{e.name(e.reconstruction_label)}")
    show_saliency(map_, e.image, e.saliency, _saliency_title(e))
    show_saliency(areas, e.image, e.saliency_areas, "Its contiguous areas")
    bar = figure.colorbar(
        ScalarMappable(SIGNED, COLORS),
        ax=[map_, areas],
        orientation="horizontal",
        shrink=0.9,
        ticks=[-1, 0, 1],
        aspect=30,
    )
    bar.ax.set_xticklabels(_legend(e), fontsize=9)
    verdict = "Do not trust the rule" if t.held_out <= t.constant else "Surrogate beats the constant answer"
    if not t.label_preserved:
        verdict = "Careful: reconstruction has another label"
    lines = [
        "Can I trust this?",
        f"{verdict}",
        "",
        f"fidelity, held-out neighbors   {t.held_out:.3f}",
        f"  constant answer '{e.name(e.label)}'"[:30].ljust(31) + f"{t.constant:.3f}",
        f"  the same, unweighted  {t.held_out_unweighted:.3f} / {t.constant_unweighted:.3f}",
        f"tree agrees on the image       {'yes' if t.hit else 'NO'}",
        f"reconstruction keeps the label {'yes' if t.label_preserved else 'NO'}",
        f"image looks familiar           {'yes' if t.code_valid else 'NO'}",
        f"neighbors {t.n_neighbors}, {t.other_fraction:.0%} other labels",
        f"labels among them {t.n_labels}, leaves {t.n_leaves}",
    ]
    words.set_axis_off()
    words.text(0, 1, "\n".join(lines), va="top", fontsize=9.5, family="monospace", linespacing=1.5)


def _saliency_title(e: "Explanation") -> str:
    if e.params.get("saliency") == "median":
        return "Saliency: image minus\nits exemplars (median)"
    return f"Saliency: what speaks\nfor and against {e.name(e.label)}"


def _legend(e: "Explanation") -> list[str]:
    if e.params.get("saliency") == "median":
        return ["may be brighter", "does not vary", "may be darker"]
    return ["against", "neutral", f"for {e.name(e.label)}"]


def _draw_exemplars(figure: SubFigure, e: "Explanation") -> None:
    n = min(len(e.exemplars), COLUMNS)
    figure.suptitle(
        f"Exemplars: similar images that the black box also calls {e.name(e.label)}"
        if n
        else f"No exemplars found: the rule holds no valid image that the black box calls {e.name(e.label)}",
        fontsize=11,
        ha="left",
        x=0.01,
        fontweight="bold",
    )
    for i, axes in enumerate(_row(figure, 1)[0]):
        if i < n:
            show_image(axes, e.exemplars.images[i])


def _draw_counter_exemplars(figure: SubFigure, e: "Explanation") -> None:
    c = e.counter_exemplars
    n = min(len(c), COLUMNS)
    title = "Counter-exemplars: the smallest change found; below, what must get brighter (red) or darker (blue)"
    figure.suptitle(title if n else "No counter-exemplars found", fontsize=11, ha="left", x=0.01, fontweight="bold")
    images, maps = _row(figure, 2)
    for i in range(n):
        label = int(c.labels[i])
        score = "" if c.scores is None else f" ({float(c.scores[i, label]):.2f})"
        show_image(images[i], c.images[i], f"{e.name(label)}{score}")
        show_saliency(maps[i], e.image, c.saliency[i])


def _row(figure: SubFigure, rows: int) -> np.ndarray:
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for a in axes.flat:
        a.set_axis_off()
    return axes


def _rule_lines(e: "Explanation") -> list[str]:
    lines = [f"Rule: {e.rule.words(e.name)}"]
    lines += [f"It would be {c.words(e.name)}" for c in e.counterfactual_rules]
    return [part for line in lines for part in textwrap.wrap(line, 140, subsequent_indent="      ")]
