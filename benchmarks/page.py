"""Tables, plots and docs/results.md anew from the measurements stored in benchmarks/evaluation; nothing is measured.

python benchmarks/page.py
"""

from pathlib import Path

from abele_py.evaluation import summarise
from abele_py.figures import FIGURES
from abele_py.report import with_tables, write_report

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "results.md"


def runs() -> list[Path]:
    """The folders of the stored evaluations."""
    return sorted(path.parent for path in (ROOT / "benchmarks" / "evaluation").glob("*/run.json"))


def fresh_page(page: str) -> str:
    """The page with the tables and figures of today's measurements between its marks."""
    return with_tables(page, {folder.name: summarise(folder) for folder in runs()}, FIGURES)


if __name__ == "__main__":
    PAGE.write_text(fresh_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for folder in runs():
        write_report(folder, summarise(folder), FIGURES)
