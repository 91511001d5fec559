"""Write the README's table of results from the measurements stored in benchmarks/results.

python benchmarks/table.py          # after measuring with benchmarks/quality.py
"""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
START, END = "<!-- results: python benchmarks/table.py -->", "<!-- end of results -->"
COLUMNS = {
    "MNIST, CNN": "mnist-cnn",
    "MNIST, forest": "mnist-forest",
    "digits, CNN": "digits-cnn",
    'MNIST, CNN, `preset="paper"`': "mnist-cnn-paper",
}
# figure -> its name in print, and the part of the summary that is shown
ROWS = {
    "hit": ("hit: the tree gives the image its label", "mean"),
    "fidelity": ("fidelity on held-out neighbors, weighted", "mean"),
    "constant": ('... of the constant answer "the image\'s label"', "mean"),
    "fidelity_unweighted": ("fidelity on held-out neighbors, unweighted", "mean"),
    "constant_unweighted": ("... of the constant answer", "mean"),
    "fidelity_in_sample": ("fidelity in-sample (flattering)", "mean"),
    "above_constant": ("images whose surrogate is not below the constant (weighted, held out)", "mean"),
    "sphere_fidelity": ("fidelity on an independent sphere around the code", "mean"),
    "sphere_constant": ("... of the constant answer", "mean"),
    "label_preserved": ("reconstruction keeps the label", "mean"),
    "conditions": ("conditions in the rule", "median"),
    "exemplars_confirmed": ("exemplars whose label the black box confirms", "mean"),
    "counter_exemplars_confirmed": ("counter-exemplars whose label the black box confirms", "mean"),
    "counter_exemplar_per_image": ("counter-exemplar found, per image", "mean"),
    "counter_exemplar_per_class": ("counter-exemplar found, per image and other class", "mean"),
    "black_box_images": ("images the black box is asked for, per explanation", "mean"),
    "seconds": ("seconds of one explanation", "median"),
    "bare_cost_ratio": ("... over the bare cost of its own decode and black-box calls", "median"),
}


def table() -> str:
    """The table as Markdown."""
    results = {
        title: json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
        for title, name in COLUMNS.items()
    }
    lines = [f"| figure | {' | '.join(results)} |", "| --- |" + " --- |" * len(results)]
    for key, (title, part) in ROWS.items():
        cells = [f"{result[part][key]:.{0 if key == 'black_box_images' else 3}f}" for result in results.values()]
        lines.append(f"| {title}{' (median)' if part == 'median' else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with today's table between its marks."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
