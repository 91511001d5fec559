"""Write the tables of results of README.md and docs/results.md from the measurements stored in benchmarks/results.

python benchmarks/table.py          # after measuring with benchmarks/quality.py
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from abele_py.storage.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
END = "<!-- end of results -->"
COLUMNS = {
    "MNIST, CNN": "mnist-cnn",
    "MNIST, forest": "mnist-forest",
    "digits, CNN": "digits-cnn",
    'MNIST, CNN, `preset="paper"`': "mnist-cnn-paper",
}
# metric -> its name in print, and the part of the summary that is shown
ROWS = {
    "hit": ("hit: the tree predicts the label of the image", "mean"),
    "fidelity": ("fidelity on held-out neighbors, weighted", "mean"),
    "constant": ("... of the better constant answer, the image's label or the most frequent one", "mean"),
    "fidelity_unweighted": ("fidelity on held-out neighbors, unweighted", "mean"),
    "constant_unweighted": ("... of the better constant answer", "mean"),
    "fidelity_in_sample": ("fidelity in-sample (flattering)", "mean"),
    "above_constant": ("images whose surrogate is not below the constant answer (weighted, held out)", "mean"),
    "sphere_fidelity": ("fidelity on an independent sphere around the code", "mean"),
    "sphere_constant": ("... of the better constant answer", "mean"),
    "label_preserved": ("reconstruction keeps the label", "mean"),
    "conditions": ("conditions in the rule", "median"),
    "exemplars_confirmed": ("exemplars whose label the black box confirms", "mean"),
    "counter_exemplars_confirmed": ("counter-exemplars whose label the black box confirms", "mean"),
    "counter_exemplar_per_image": ("counter-exemplar found, per image", "mean"),
    "counter_exemplar_per_class": ("counter-exemplar found, per image and other class", "mean"),
    "black_box_images": ("images the black box is queried with, per explanation", "mean"),
    "seconds": ("seconds of one explanation", "median"),
    "bare_cost_ratio": ("... over the bare cost of its own decode and black-box calls", "median"),
}
# page -> the mark before its table, and the metrics in it
PAGES = {
    ROOT / "docs" / "results.md": ("<!-- all results: python benchmarks/table.py -->", tuple(ROWS)),
    ROOT / "README.md": (
        "<!-- results: python benchmarks/table.py -->",
        (
            *("fidelity", "constant", "sphere_fidelity", "sphere_constant", "label_preserved"),
            *("conditions", "counter_exemplar_per_class", "black_box_images", "seconds"),
        ),
    ),
}


def table(figures: Iterable[str]) -> str:
    """Some metrics as a table in Markdown."""
    results = {
        title: json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
        for title, name in COLUMNS.items()
    }
    lines = [f"| metric | {' | '.join(results)} |", "| --- |" + " --- |" * len(results)]
    for key in figures:
        title, part = ROWS[key]
        cells = [f"{result[part][key]:.{0 if key == 'black_box_images' else 3}f}" for result in results.values()]
        lines.append(f"| {title}{' (median)' if part == 'median' else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(path: Path) -> str:
    """A page with today's table between its marks."""
    start, figures = PAGES[path]
    before, _, rest = path.read_text(encoding="utf-8").partition(start)
    _, _, after = rest.partition(END)
    return f"{before}{start}\n{table(figures)}\n{END}{after}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=ROOT, help="where README.md and docs/results.md go [the repository]"
    )
    options = parser.parse_args(argv)
    for path in PAGES:
        text = with_table(path)
        write_atomically(options.out / path.relative_to(ROOT), lambda file, text=text: file.write(text.encode()))


if __name__ == "__main__":
    main()
