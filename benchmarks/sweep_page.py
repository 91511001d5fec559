"""docs/latent-space.md and its plot anew from the figures stored in benchmarks/sweep.

python benchmarks/sweep_page.py          # after benchmarks/sweep.py; measures nothing
"""

import argparse
import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from abele_py.errors import UnknownNameError
from abele_py.models.checkpoints import read_manifest
from abele_py.storage.files import write_atomically
from abele_py.views.plots import Page
from abele_py.views.sentences import percent

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "sweep", ROOT / "docs" / "latent-space.md"
REFINEMENT = ROOT / "benchmarks" / "results"
TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "digits": "digits"}
# Okabe & Ito 2008: told apart by people who confuse colours.
LOOKS = {0.0002: ("#56B4E9", "o"), 0.002: ("#0072B2", "s"), 0.02: ("#D55E00", "^")}
# Adversarial weight, MMD weight -> marker and name of what was trained at one size only.
SINGLE = {(0.0, 0.01): ("x", "MMD alone"), (0.002, 0.01): ("+", "adversarial and MMD")}

Row = dict[str, Any]


class Shown(NamedTuple):
    """How a figure is shown: its column of the table, its digits, its panel of the plot, what is drawn beside it."""

    title: str
    digits: int
    panel: str = ""
    beside: str = ""


FIGURES = {
    "rmse": Shown("RMSE (of 255)", 1, "RMSE (of 255)"),
    "label_preservation": Shown("labels kept", 3, "labels kept"),
    "discriminator_codes": Shown(
        "D on codes", 2, "discriminator on codes\n(hollow: on the prior)", "discriminator_prior"
    ),
    "discriminator_prior": Shown("D on prior", 2),
    "fid_prior": Shown("FID of prior samples", 1, "FID of\nprior samples"),
    "agreement": Shown("surrogate agrees", 3, "surrogate agrees\n(hollow: always the image's label)", "constant"),
    "constant": Shown("always the image's label", 3),
    "balanced_agreement": Shown("balanced agreement", 3, "balanced agreement"),
    "counter_exemplar": Shown("counter-exemplar per image", 2),
    "counter_exemplar_per_class": Shown("... per image and class", 3, "counter-exemplars\nper image and class"),
    "outlier_factor": Shown("outlier factor", 2, "outlier factor of\ncounter-exemplars"),
}


def stored(results: Path = RESULTS) -> list[Row]:
    """What was measured so far, in the order of the table."""
    rows = [{"name": path.stem, **json.loads(path.read_text(encoding="utf-8"))} for path in results.glob("*.json")]
    return sorted(rows, key=lambda r: ([*TITLES].index(r["data_set"]), r["mmd_weight"] > 0, *_setting(r)))


def _setting(row: Row) -> tuple[float, ...]:
    return row["latent_dim"], row["adversarial_weight"], row["mmd_weight"], row["seed"]


def table(rows: Sequence[Row]) -> str:
    """All rows as Markdown."""
    head = ["data set", "k", "adversarial weight", "MMD weight", "seed", *(shown.title for shown in FIGURES.values())]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for row in rows:
        k, adversarial, mmd, seed = _setting(row)
        cells = [TITLES[row["data_set"]], str(k), f"{adversarial:g}", f"{mmd:g}", str(seed)]
        lines.append(f"| {' | '.join([*cells, *(_cell(row, figure) for figure in FIGURES)])} |")
    return "\n".join(lines)


def _cell(row: Row, figure: str) -> str:
    value = row["figures"][figure]
    return "-" if value is None else f"{value:.{FIGURES[figure].digits}f}"


def refinement(results: Path = REFINEMENT) -> str:
    """What ``benchmarks/refinement.py`` has stored, as Markdown."""
    heads = {
        "steps": ("steps", 0),
        "rmse_255": ("RMSE (of 255)", 1),
        "label_preservation": ("labels kept", 4),
        "discriminator_codes": ("D on codes", 3),
        "held_out": ("fidelity", 3),
        "own_label": ("always the image's label", 3),
        "milliseconds_per_image": ("ms per image", 2),
    }
    titles = " | ".join(title for title, _ in heads.values())
    lines = [f"| data set | {titles} |", f"| --- |{' ---: |' * len(heads)}"]
    for data_set in TITLES:
        path = results / f"refinement-{data_set}.json"
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []:
            cells = [f"{row[name]:.{digits}f}" for name, (_, digits) in heads.items()]
            lines.append(f"| {TITLES[data_set]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def mixture(results: Path = REFINEMENT) -> str:
    """What ``benchmarks/mixture.py`` has stored of MNIST, as Markdown."""
    of = json.loads((results / "mixture-mnist.json").read_text(encoding="utf-8"))["figures"]
    lines = ["| decoded | Frechet distance to `val` | mean top score | labels kept when encoded again |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for name, title in {
        "prior": "samples of the prior",
        "mixture": "samples of the mixture",
        "codes": "codes of `val`",
    }.items():
        figures = of[name]
        cells = f"{figures['frechet_distance']:.1f} | {figures['top_score']:.3f} | {figures['labels_kept']:.3f}"
        lines.append(f"| {title} | {cells} |")
    return "\n".join(lines)


def how(rows: Sequence[Row]) -> str:
    """What all rows have in common, in a sentence; a row that was made otherwise is an error."""
    of_training = {tuple(r["training"][name] for name in ("epochs", "batch_size", "images", "steps")) for r in rows}
    sizes = {tuple(r[name] for name in ("split", "images", "explained_images")) for r in rows}
    ((split, images, explained),) = sizes
    both = " or ".join(
        f"{epochs} epochs of {n:,} images in batches of {batch} ({steps:,} steps)"
        for epochs, batch, n, steps in sorted(of_training)
    )
    seconds = sorted(r["training"]["seconds"] for r in rows)
    judges = ", ".join(dict.fromkeys(f"`{r['judge']}`" for r in rows))
    return (
        f"{len(rows)} trainings of {both}, {seconds[0]:.0f} to {seconds[-1]:.0f} seconds each on one core of a busy "
        f"machine; measured on {images:,} images of `{split}`, and of explanations of {explained} of them, drawn at "
        f"random (seed 0), the same for every row of a data set; black boxes: {judges}."
    )


def fresh(page: str, rows: Sequence[Row]) -> str:
    """The page with what is stored between its marks.

    Marks, each closed by ``<!-- end -->``: ``<!-- sweep: table -->``, ``how``, ``refinement``, ``mixture``;
    ``<!-- sweep: ROW FIGURE -->``, ROW the name of a stored file; ``<!-- sweep: shipped CHECKPOINT NAME -->``, NAME an
    option of the model or a metric of the test split in the checkpoint's manifest. With ``sweep%`` instead of ``sweep``
    a share is written in per cent.

    Raises:
        UnknownNameError: there is no such row or figure.
    """
    of = {row["name"]: row for row in rows}

    def fill(match: re.Match[str]) -> str:
        name, _, figure = match["words"].partition(" ")
        if name == "shipped":
            manifest = read_manifest(figure.partition(" ")[0])
            known = {**manifest.recipe["options"]["model"]["init_args"], **manifest.metrics}
            value = known[figure.partition(" ")[2]]
            shown = percent(value, 1) if match["kind"] == "sweep%" else f"{value:.3g}"
            return f"{match['mark']}{shown}<!-- end -->"
        blocks = {"table": lambda: table(rows), "how": lambda: how(rows), "refinement": refinement, "mixture": mixture}
        if name in blocks:
            return f"{match['mark']}\n{blocks[name]()}\n<!-- end -->"
        if name not in of or figure not in FIGURES:
            raise UnknownNameError(
                f"got the mark {match['words']!r}; expected table, how, or a row's name and a figure"
            )
        value = of[name]["figures"][figure]
        in_per_cent = match["kind"] == "sweep%" and value is not None
        cell = percent(value, 1) if in_per_cent else _cell(of[name], figure)
        return f"{match['mark']}{cell}<!-- end -->"

    return re.sub(
        r"(?P<mark><!-- (?P<kind>sweep%?): (?P<words>[^>]*?) -->)(?:(?!<!--).)*<!-- end -->",
        fill,
        page,
        flags=re.DOTALL,
    )


def digest(rows: Sequence[Row]) -> str:
    """Written into the plot, so that a stale plot is found without drawing it."""
    return hashlib.sha256(json.dumps([[*_setting(r), r["data_set"], r["figures"]] for r in rows]).encode()).hexdigest()


def plot(rows: Sequence[Row]) -> Page:
    """Small multiples: a line of panels for each figure, a column for each data set, a line for each weight."""
    names = [name for name, shown in FIGURES.items() if shown.panel]
    data_sets = list(dict.fromkeys(row["data_set"] for row in rows))
    page = Page(figsize=(1.2 + 3.9 * len(data_sets), 0.8 + 1.85 * len(names)), layout="constrained")
    grid = page.subplots(len(names), len(data_sets), sharex=True, squeeze=False)
    for i, name in enumerate(names):
        for axes, data_set in zip(grid[i], data_sets, strict=True):
            _panel(axes, [row for row in rows if row["data_set"] == data_set], name)
            if i == 0:
                axes.set_title(TITLES[data_set], fontsize=11)
        grid[i][0].set_ylabel(FIGURES[name].panel, fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("latent size k", fontsize=9)
    handles, labels = grid[0][0].get_legend_handles_labels()
    page.legend(
        handles, labels, loc="outside upper center", ncols=min(3, 1 + len(data_sets)), fontsize=9, frameon=False
    )
    return page


def _panel(axes: Any, rows: Sequence[Row], name: str) -> None:
    """One figure of one data set against k; beside it, thin, what it is to be read against."""
    of: dict[tuple[float, float], list[Row]] = {}
    for r in rows:
        of.setdefault((r["adversarial_weight"], r["mmd_weight"]), []).append(r)
    for weight, (color, marker) in LOOKS.items():
        line = of.get((weight, 0.0), [])
        sizes = [r["latent_dim"] for r in line]
        label = f"adversarial weight {weight:g}"
        joined = "-" if len(line) > 2 else ""  # two sizes alone say nothing of what lies between them
        axes.plot(sizes, _column(line, name), color=color, marker=marker, ms=5, linestyle=joined, label=label)
        if beside := FIGURES[name].beside:
            look = {"ms": 3.5, "mfc": "white", "linewidth": 1, "linestyle": ":" if joined else "", "marker": marker}
            axes.plot(sizes, _column(line, beside), color=color, **look)
    for weights, (marker, label) in SINGLE.items():
        some = of.get(weights, [])
        look = {"marker": marker, "ms": 7, "mew": 1.3, "mfc": "none", "color": "black", "linestyle": "", "label": label}
        axes.plot([r["latent_dim"] for r in some], _column(some, name), **look)
    axes.set_xscale("log", base=2)
    ticks = sorted({r["latent_dim"] for r in rows})
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color="#dddddd", linewidth=0.6)
    axes.tick_params(labelsize=8.5)


def _column(rows: Sequence[Row], name: str) -> list[float]:
    return [math.nan if r["figures"][name] is None else r["figures"][name] for r in rows]


def draw(rows: Sequence[Row], out: Path = PAGE) -> None:
    """Write the page, and its plot beside it."""
    write_atomically(
        out.with_suffix(".png"),
        lambda file: plot(rows).savefig(file, format="png", dpi=110, metadata={"Description": digest(rows)}),
    )
    text = fresh(PAGE.read_text(encoding="utf-8"), rows)
    write_atomically(out, lambda file: file.write(text.encode()))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT, help="where docs/latent-space.* go [the repository]")
    draw(stored(), parser.parse_args(argv).out / PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
