"""Tables, plots and figures of README.md and pages of docs/ anew from the measurements stored in benchmarks/evaluation.

python benchmarks/page.py          # measures nothing
"""

from functools import cache
from pathlib import Path
from typing import Any

from abele_py.evaluation.report import with_tables, write_report
from abele_py.evaluation.summary import summarise
from abele_py.metrics.registry import FIGURES

ROOT = Path(__file__).parent.parent
PAGES = *(ROOT / "docs" / name for name in ("results.md", "limits.md", "faq.md")), ROOT / "README.md"
RUNS = sorted(path.parent for path in (ROOT / "benchmarks" / "evaluation").glob("*/run.json"))


@cache
def summaries() -> dict[str, dict[str, Any]]:
    """Name of each stored evaluation -> its summary."""
    return {folder.name: summarise(folder) for folder in RUNS}


def fresh(page: str) -> str:
    """A page with the tables and figures of the stored measurements between its marks."""
    return with_tables(page, summaries(), FIGURES)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(fresh(path.read_text(encoding="utf-8")), encoding="utf-8")
    for folder in RUNS:
        write_report(folder, summaries()[folder.name], FIGURES)
