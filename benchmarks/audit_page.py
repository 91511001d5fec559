"""The figures of docs/audit.md anew from the stored ones of benchmarks/audit.py.

python benchmarks/audit_page.py          # measures nothing
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from abele_py.storage.files import write_bytes

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "audit.md", ROOT / "benchmarks" / "results"
MARK, END = "<!-- audit: python benchmarks/audit_page.py -->", "<!-- end -->"


def found(results: dict[str, Any]) -> Iterator[str]:
    """What was found of planted marks, by kind, and in black boxes without one."""
    yield "| planted mark | used: named right / all | weakly used: named right / all | not used: alarms / all |"
    yield "| --- | --- | --- | --- |"
    for kind in dict.fromkeys(name.partition(",")[0] for name in results["planted"]):
        cells = []
        for used, counted in (("uses", "named"), ("weak", "named"), ("unused", "found")):
            row = results["planted"].get(f"{kind}, {used}")
            cells.append(f"{row[counted]} / {row['n']}" if row else "none")
        yield f"| {kind} | {' | '.join(cells)} |"
    yield ""
    clean, marked = results["clean"]["clean"], results["clean"]["marked"]
    yield (
        f"Clean black boxes raise an alarm in {clean['alarms']} of {clean['n']} audits of images without a mark, and "
        f"in {marked['alarms']} of {marked['n']} where"
    )
    yield "the images of one label have a mark that the black box never learned. Named right, of those that use a mark:"
    yield ", ".join(f"{data} {row['named']} of {row['n']}" for data, row in results["data"].items()) + "."
    yield ""
    covered, cost = results["covered"], results["cost"]
    seconds, queries = cost["cpu_seconds"], cost["black_box_images"]
    yield (
        f"Windows cover {100 * covered['mean']:.0f} % of what one of their size can cover of a local mark (mean of "
        f"{covered['n']}). One audit takes {seconds['median']:.1f} s"
    )
    yield (
        f"of processor time and {queries['median']:,.0f} black-box images (medians; at most {seconds['most']:.1f} s "
        f"and {queries['most']:,.0f}): `python benchmarks/audit.py boxes`, `summary`."
    )


def pointed(results: dict[str, Any]) -> Iterator[str]:
    """How often maps of single images point at the mark."""
    yield ""
    yield (
        f"Of {results['n_images']} marked images of each of {len(results['rows'])} black boxes that use a local mark, "
        "the share in which the highest pixel of a"
    )
    yield "map lies on the mark (`python benchmarks/audit.py pointing`):"
    yield ""
    yield "| explainer | CNNs | forests |"
    yield "| --- | --- | --- |"
    for name, _ in sorted(results["means"].items(), key=lambda item: -item[1]):
        cells = []
        for architecture in ("cnn", "forest"):
            rows = [row["points"] for row in results["rows"] if row["case"]["architecture"] == architecture]
            shares = [points[name] for points in rows if name in points]
            cells.append(f"{sum(shares) / len(shares):.2f}" if shares else "none")
        yield f"| {name} | {' | '.join(cells)} |"


def repaired(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Accuracy on clean images, before and after the mark is put on images at random."""
    yield ""
    yield "Repair: where the mark is put on half of the training images at random, whatever their label, the network no"
    yield "longer follows it. Accuracy on clean images (`python benchmarks/audit.py repair`, CNN, corner):"
    yield ""
    yield "| images, seed | learned with the mark | clean twin | repaired |"
    yield "| --- | --- | --- | --- |"
    for row in rows:
        cells = (f"{row[name]:.3f}" for name in ("with the mark", "clean twin", "repaired"))
        yield f"| {row['data']}, {row['seed']} | {' | '.join(cells)} |"


def filled(text: str, results: Path) -> str:
    """The page with what is stored in a folder."""
    parts = {"audit.json": found, "audit-pointing.json": pointed, "audit-repair.json": repaired}
    lines = [
        line
        for name, part in parts.items()
        if (results / name).exists()
        for line in part(json.loads((results / name).read_text()))
    ]
    before, _, rest = text.partition(MARK)
    return f"{before}{MARK}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.partition(END)[2]}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the stored figures")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder under which the page is written")
    options = parser.parse_args(argv)
    text = filled(PAGE.read_text(encoding="utf-8"), options.results)
    write_bytes(options.out / PAGE.relative_to(ROOT), text.encode())


if __name__ == "__main__":
    main()
