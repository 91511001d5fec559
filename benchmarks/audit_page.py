"""The figures of docs/audit.md anew from the stored ones of benchmarks/audit.py.

python benchmarks/audit_page.py          # measures nothing
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from abele_py.storage.files import write_bytes

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "audit.md", ROOT / "benchmarks" / "results"
MARK, END = "<!-- audit: python benchmarks/audit_page.py -->", "<!-- end -->"


def measured(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What was found of planted marks, by kind, and in black boxes without one."""
    for colour, words in ((False, "grey images"), (True, "colour pictures")):
        some = [row for row in rows if (row["channels"] > 1) == colour]
        if some:
            yield from by_kind(some, words)
    windows = [row["audits"][0]["suspicions"][0]["covered"] for row in used(rows) if is_right(row)]
    shares = [share for share in windows if share is not None]
    costs = [audit for row in rows for audit in row["audits"]]
    seconds, queries = ([audit[name] for audit in costs] for name in ("cpu_seconds", "black_box_images"))
    yield ""
    yield (
        f"Windows cover {100 * mean(shares):.0f} % of what one of their size can cover of a local mark (mean of "
        f"{len(shares)}). One audit takes {median(seconds):.1f} s"
    )
    yield (
        f"of processor time and {median(queries):,.0f} black-box images (medians; at most {max(seconds):.1f} s and "
        f"{max(queries):,.0f}): `python benchmarks/audit.py boxes`."
    )


def by_kind(rows: list[dict[str, Any]], words: str) -> Iterator[str]:
    """A table of kinds of marks and how they are used, and what clean black boxes do."""
    yield ""
    yield f"| {words}: mark | used: named right / all | weakly used: named right / all | not used: alarms / all |"
    yield "| --- | --- | --- | --- |"
    planted = [row for row in rows if row["case"]["kind"]]
    for kind in (*dict.fromkeys(row["case"]["kind"] for row in planted), ""):
        some = [row for row in planted if kind in (row["case"]["kind"], "")]
        cells = [share(used(some, "uses")), share(used(some, "weak")), share(used(some, "unused"), has_alarm)]
        yield f"| {kind or 'all'} | {' | '.join(cells)} |"
    yield ""
    sets = dict.fromkeys(row["case"]["data"] for row in planted)
    of_sets = {data: [row for row in used(planted) if row["case"]["data"] == data] for data in sets}
    named = (f"{name_of(data)} {share(some, joint=' of ')}" for data, some in of_sets.items())
    clean, marked = (
        share(used(rows, "clean"), lambda row, i=i: bool(row["audits"][i]["suspicions"]), " of ") for i in (0, 1)
    )
    yield f"Clean black boxes raise an alarm in {clean} audits of images without a mark, and in {marked} where the"
    yield "images of one label have a mark that the black box never learned. Named right, of those that use a mark:"
    yield ", ".join(named) + "."


def name_of(data: str) -> str:
    """Of a data set, or of the file that a training of own pictures has prepared."""
    return Path(data).name.removesuffix("-data.npz")


def used(rows: list[dict[str, Any]], how: str = "uses") -> list[dict[str, Any]]:
    return [row for row in rows if row["use"] == how]


def has_alarm(row: dict[str, Any]) -> bool:
    return bool(row["audits"][0]["suspicions"])


def is_right(row: dict[str, Any]) -> bool:
    """Whether the first suspicion names the label, and its direction: marks make images lighter.

    Of two labels with a direction the page names both, the lighter one and the darker one.
    """
    if not has_alarm(row):
        return False
    first, two = row["audits"][0]["suspicions"][0], row["n_labels"] == 2
    light = first.get("direction") != "darker"
    return (first["label"] == row["target"]) == light if two else light and first["label"] == row["target"]


def share(rows: list[dict[str, Any]], counted: Callable[..., bool] = is_right, joint: str = " / ") -> str:
    return f"{sum(map(counted, rows))}{joint}{len(rows)}" if rows else "none"


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
    parts = {"audit.jsonl": measured, "audit-pointing.json": pointed, "audit-repair.json": repaired}
    lines = [line for name, part in parts.items() if (results / name).exists() for line in part(read(results / name))]
    before, _, rest = text.partition(MARK)
    return f"{before}{MARK}\n" + "\n".join(lines) + f"\n\n{END}{rest.partition(END)[2]}"


def read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the stored figures")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder under which the page is written")
    options = parser.parse_args(argv)
    text = filled(PAGE.read_text(encoding="utf-8"), options.results)
    write_bytes(options.out / PAGE.relative_to(ROOT), text.encode())


if __name__ == "__main__":
    main()
