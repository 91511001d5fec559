"""Tables, plots and figures of README.md and pages of docs/ anew from the measurements stored in benchmarks/evaluation.

python benchmarks/page.py          # measures nothing
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from abele_py.attribution.baselines import BASELINES
from abele_py.evaluation.report import with_tables, write_report
from abele_py.evaluation.summary import summarise
from abele_py.metrics.registry import METRICS
from abele_py.storage.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
PAGES = *(ROOT / "docs" / name for name in ("results.md", "limits.md", "faq.md")), ROOT / "README.md"
RUNS = sorted(path.parent for path in (ROOT / "benchmarks" / "evaluation").glob("*/run.json"))

SIX, END_OF_SIX = "<!-- six curves: python benchmarks/page.py -->", "<!-- end of six curves -->"


@cache
def summaries() -> dict[str, dict[str, Any]]:
    """Name of each stored evaluation -> its summary."""
    return {folder.name: summarise(folder) for folder in RUNS}


def curves_together() -> Iterator[str]:
    """Of each evaluation the mean of the six curves of ABELE's map and of the best other method without gradients."""
    yield "| black box | images | ABELE | the next | difference, 95 % |"
    yield "| --- | ---: | ---: | --- | --- |"
    queries = set(means_of_curves(next(folder for folder in RUNS if folder.name == "mnist-forest"))) - {"abele"}
    for folder in RUNS:
        means = means_of_curves(folder)
        best = max(queries & set(means), key=lambda method: float(means[method].mean()))
        gain = means["abele"] - means[best]
        rows = np.random.default_rng(0).integers(0, len(gain), (2000, len(gain)))
        low, high = np.quantile(gain[rows].mean(axis=1), [0.025, 0.975])
        yield (
            f"| {folder.name} | {len(gain)} | {means['abele'].mean():.3f} | {best} {means[best].mean():.3f} | "
            f"{gain.mean():.3f} ({low:.3f} to {high:.3f}) |"
        )


def means_of_curves(folder: Path) -> dict[str, Any]:
    """Method -> (N,) the mean, for each image, of insertion and of 1 - deletion over the three backgrounds."""
    found: dict[str, list[float]] = {}
    for line in (folder / "saliency.jsonl").read_text(encoding="utf-8").splitlines():
        for row in json.loads(line)["rows"]:
            of = row["figures"]
            curves = [(1 - of[f"deletion_{ground}"], of[f"insertion_{ground}"]) for ground in BASELINES]
            found.setdefault(row["of"], []).append(float(np.mean(curves)))
    return {method: np.array(values) for method, values in found.items()}


def fresh(page: str) -> str:
    """A page with the tables and figures of the stored measurements between its marks."""
    page = with_tables(page, summaries(), METRICS)
    if SIX not in page:
        return page
    before, _, rest = page.partition(SIX)
    return f"{before}{SIX}\n\n" + "\n".join(curves_together()) + f"\n\n{END_OF_SIX}{rest.partition(END_OF_SIX)[2]}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT, help="where all files go [the repository]")
    parser.add_argument(
        "--reports", nargs="*", default=[folder.name for folder in RUNS], metavar="NAME",
        help="evaluations whose tables and plots are written beside them [all]",
    )  # fmt: skip
    options = parser.parse_args(argv)
    for path in PAGES:
        text = fresh(path.read_text(encoding="utf-8"))
        write_atomically(options.out / path.relative_to(ROOT), lambda file, text=text: file.write(text.encode()))
    for folder in RUNS:
        if folder.name in options.reports:
            write_report(options.out / folder.relative_to(ROOT), summaries()[folder.name], METRICS)


if __name__ == "__main__":
    main()
