"""The table of docs/data-sets.md anew from DATASETS.

python benchmarks/data_sets.py          # measures nothing, reads no data
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from abele_py.datasets.catalog import DATASETS
from abele_py.datasets.loading import how_to_get
from abele_py.datasets.records import SPLITS, Dataset
from abele_py.storage.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "data-sets.md"
MARKS = ("<!-- data sets: python benchmarks/data_sets.py -->", "<!-- end -->")


def table() -> str:
    """All data sets, a line each."""
    rows = [
        "| name | data set | images | classes | train | val | test | licence | `--download` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for d in DATASETS.values():
        c, h, w = d.image_shape
        sizes = " | ".join(f"{d.sizes[split]:,}" for split in SPLITS)
        kind = f"{h}x{w} {'grey' if c == 1 else 'RGB'}"
        fetched = "yes" if d.fetch else "no" if d.files else "not needed"
        rows.append(f"| `{d.name}` | {d.title} | {kind} | {len(d.class_names)} | {sizes} | {d.licence} | {fetched} |")
    return "\n".join(rows)


def section(d: Dataset) -> str:
    """What else a record says."""
    classes = (name if name == str(i) else f"{i} {name}" for i, name in enumerate(d.class_names))
    lines = [
        f"## {d.title}",
        "",
        f"- Classes: {', '.join(classes)}.",
        f"- Source: {d.source}.",
        f"- Splits: {d.splitting}.",
    ]
    if d.files:
        lines += [f"- To get it: {how_to_get(d)}.", "- Files under the data folder, one of the digests each:"]
    for path, file in d.files.items():
        size = "" if file.size is None else f", {file.size:,} bytes"
        lines.append(f"  - `{path}`{size}: {' or '.join(f'`{digest}`' for digest in file.digests)}")
    return "\n".join(lines)


def fresh(page: str) -> str:
    """The page with what DATASETS says between its marks."""
    start, end = (re.escape(mark) for mark in MARKS)
    text = "\n\n".join([MARKS[0], table(), *map(section, DATASETS.values()), MARKS[1]])
    return re.sub(f"{start}.*{end}", lambda _: text, page, flags=re.DOTALL)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT, help="where docs/data-sets.md goes [the repository]")
    options = parser.parse_args(argv)
    text = fresh(PAGE.read_text(encoding="utf-8"))
    write_atomically(options.out / PAGE.relative_to(ROOT), lambda file: file.write(text.encode()))


if __name__ == "__main__":
    main()
