"""The tables of docs/own-images.md anew from the stored figures of benchmarks/own_images.py.

python benchmarks/own_images_page.py          # measures nothing
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abele_py.storage.files import write_bytes

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "own-images.md", ROOT / "benchmarks" / "results" / "own-images.json"
COMMAND = "python benchmarks/own_images_page.py"
MARKS = (f"<!-- own images: {COMMAND} -->", f"<!-- efforts: {COMMAND} -->")
END = "<!-- end -->"
EFFORTS = ("fast", "good", "best")
TITLES = {
    "signs": "traffic signs, 12 kinds, 32x32 colour",
    "cells": "blood cells, 3 kinds, 48x48 colour",
    "cells-96": "blood cells, 96x96 colour",
    "cells-128": "blood cells, 128x128 colour",
    "shapes": "drawn shapes, 3 kinds, 64x64 colour, 600 pictures",
    "many-shapes": "drawn shapes, 3 kinds, 64x64 colour, 15,000 pictures",
    "pneumoniamnist": "PneumoniaMNIST, 28x28 grey",
    "cifar10-jpeg": "CIFAR-10 (JPEG), 32x32 colour",
}


def table(rows: dict[str, Any]) -> str:
    """Of each set and seed: the autoencoder beside principal components, and explanations beside constant answers."""
    lines = [
        "| images, seed | k | CPU s | labels kept (PCA) | RMSE (PCA) | discriminator | fidelity (constant) | above it "
        "| has a rule | top 15 % of the map (anywhere) | accepted |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        if "explanations" not in row:
            continue
        title, _, seed = name.rpartition("-")
        a, p, e = row["autoencoder"], row["principal_components"], row["explanations"]
        kept = "label_preservation_balanced"
        accepted = f"{e['accepted']:.2f} of {e['agreement_on_real']:.2f}" if "accepted" in e else ""
        cells = (
            f"{TITLES[title]}, {seed}", row["k"], f"{row['cpu_seconds']:.0f}", f"{a[kept]:.3f} ({p[kept]:.3f})",
            f"{a['rmse_255']:.1f} ({p['rmse_255']:.1f})", f"{a['discriminator_codes']:.2f}",
            f"{e['held_out']:.3f} ({e['constant']:.3f})", f"{e['above_constant']:.2f}", f"{e['has_rule']:.2f}",
            f"{e['map_fall']:.2f} ({e['random_fall']:.2f})", accepted,
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def efforts(rows: dict[str, Any]) -> str:
    """Of each set and effort: what the training took, and what it reached."""
    lines = [
        "| images, seed | effort | CPU s | memory, MB | classifier right | k | labels kept (PCA) | RMSE (PCA) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    found = [(*name.rsplit("-", 2), row) for name, row in rows.items() if "explanations" not in row]
    for title, seed, effort, row in sorted(found, key=lambda line: (line[0], line[1], EFFORTS.index(line[2]))):
        a, p, kept = row["autoencoder"], row["principal_components"], "label_preservation_balanced"
        cells = (
            f"{TITLES[title]}, {seed}", f"`--{effort}`", f"{row['cpu_seconds']:.0f}", f"{row['peak_mb']:,}",
            f"{row['accuracy']:.3f}", row["k"], f"{a[kept]:.3f} ({p[kept]:.3f})",
            f"{a['rmse_255']:.1f} ({p['rmse_255']:.1f})",
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def fresh(page: str, rows: dict[str, Any]) -> str:
    """The page with the tables between their marks."""
    for mark, text in zip(MARKS, (table(rows), efforts(rows)), strict=True):
        new = "\n\n".join([mark, text, END])
        page = re.sub(f"{re.escape(mark)}.*?{re.escape(END)}", lambda _, new=new: new, page, flags=re.DOTALL)
    return page


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT, help="where docs/own-images.md goes [the repository]")
    options = parser.parse_args(argv)
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = fresh(PAGE.read_text(encoding="utf-8"), rows)
    write_bytes(options.out / PAGE.relative_to(ROOT), text.encode())


if __name__ == "__main__":
    main()
