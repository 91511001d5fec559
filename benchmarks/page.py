"""Tables, plots and figures of README.md and pages of docs/ anew from the measurements stored in benchmarks/evaluation.

python benchmarks/page.py          # measures nothing
"""

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from abele_py.evaluation.report import with_tables, write_report
from abele_py.evaluation.summary import summarise
from abele_py.metrics.registry import METRICS
from abele_py.storage.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
PAGES = *(ROOT / "docs" / name for name in ("results.md", "limits.md", "faq.md")), ROOT / "README.md"
RUNS = sorted(path.parent for path in (ROOT / "benchmarks" / "evaluation").glob("*/run.json"))


@cache
def summaries() -> dict[str, dict[str, Any]]:
    """Name of each stored evaluation -> its summary."""
    return {folder.name: summarise(folder) for folder in RUNS}


def fresh(page: str) -> str:
    """A page with the tables and figures of the stored measurements between its marks."""
    return with_tables(page, summaries(), METRICS)


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
