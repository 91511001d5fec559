"""The plot of an audit: how far each label follows each exchange, beside the limit. It needs no screen."""

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg

from ..audit.audit import Audit
from ..audit.detection import LIMITS
from .plots import Page
from .svg import short

MOST_LABELS = 30  # those that follow most
_LOOKS = {"ground": ("#0072B2", "o"), "level": ("#D55E00", "s"), "residual": ("#009E73", "^")}


def plot_of_audit(audit: Audit, title: str) -> Page:
    """Of each label the rise of its log-odds in units of the limit, beyond which it is said to follow something."""
    share = {(e.label, e.operator): e.log_odds / LIMITS[e.operator].log_odds for e in audit.effects}
    labels = sorted(
        {label for label, _ in share}, key=lambda y: -max(v for (label, _), v in share.items() if label == y)
    )
    labels = labels[:MOST_LABELS]
    page = Page(figsize=(8, 1.6 + 0.3 * len(labels)), layout="constrained")
    FigureCanvasAgg(page)
    axes: Any = page.subplots()
    for operator, (color, marker) in _LOOKS.items():
        found = [(share[y, operator], row) for row, y in enumerate(labels) if (y, operator) in share]
        if found:
            axes.plot(*zip(*found, strict=True), marker, color=color, label=audit.words[operator], ls="", ms=6)
    axes.axvline(1, color="#777777", lw=1.5, ls="--", label="limit")
    axes.yaxis.set_ticks(range(len(labels)), [short(audit.name(y)) for y in labels], parse_math=False)
    axes.set(ylim=(len(labels) - 0.4, -0.6), xlabel="rise of the label's log-odds, in units of the limit")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"What the labels of {title} follow", loc="left", fontsize=11, parse_math=False)
    page.legend(loc="outside right upper", fontsize=8.5, frameon=False)
    return page
