"""What the shipped checkpoints reach, as a table in training/README.md and as the first lines of the recipes beside it.

python benchmarks/models_table.py
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from abele_py.models.checkpoints import WEIGHTS, Manifest, find_checkpoint, list_checkpoints
from abele_py.storage.files import write_atomically
from abele_py.training.model_card import command_of, metric_title, minutes_of, printed, shape_of, title_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "training" / "README.md"
# keys of METRICS, in the order of print; others come last
COLUMNS = (
    *("label_preservation", "label_preservation_balanced", "rmse_255", "discriminator_codes", "discriminator_prior"),
    *("valid", "kurtosis", "accuracy", "auc"),
)
_TABLE_MARKS = ("<!-- table: python benchmarks/models_table.py -->", "<!-- end of table -->")


def table(manifests: Sequence[Manifest]) -> str:
    """What shipped checkpoints reach, as Markdown: a table of the autoencoders, one of the classifiers."""
    kinds = {"Autoencoders": "autoencoder", "Classifiers": "classifier"}
    parts = [(title, [m for m in manifests if m.kind == kind]) for title, kind in kinds.items()]
    return "\n\n".join(f"{title}:\n\n{_table(some)}" for title, some in parts if some)


def _table(manifests: Sequence[Manifest]) -> str:
    found = dict.fromkeys(name for m in manifests for name in m.metrics)
    names = sorted(found, key=[*COLUMNS, *found].index)  # whatever checkpoints lack
    head = ["checkpoint", "data set", "network", *map(metric_title, names)]
    rows = [[*head, "MB", "min", "hardware", "command"]]
    rows.append(["---"] * 3 + ["--:"] * (len(names) + 2) + ["---"] * 2)
    for m in manifests:
        values = [printed(m.metrics[name]) if name in m.metrics else "" for name in names]
        size = f"{(find_checkpoint(m.name) / WEIGHTS).stat().st_size / 1e6:.1f}"
        row = [m.name, title_of(m), shape_of(m), *values, size, minutes_of(m), m.hardware]
        rows.append([*row, f"`{command_of(m)}`"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def reached(manifest: Manifest) -> str:
    """The first line of a recipe: what it reaches, in what time, on what hardware."""
    main = ("label_preservation", "rmse_255", "accuracy", "auc")
    values = [f"{metric_title(name)} {printed(manifest.metrics[name])}" for name in main if name in manifest.metrics]
    return f"# {title_of(manifest)} test: {', '.join(values)}. {minutes_of(manifest)} min on: {manifest.hardware}."


def with_reached(recipe: str, manifest: Manifest) -> str:
    """The recipe with a fresh first line."""
    first, _, rest = recipe.partition("\n")
    return f"{reached(manifest)}\n{rest if first.startswith('#') else recipe}"


def with_table(page: str, manifests: Sequence[Manifest]) -> str:
    """The page with a fresh table between its two marks."""
    start, end = (re.escape(mark) for mark in _TABLE_MARKS)
    fresh = "\n".join([_TABLE_MARKS[0], table(manifests), _TABLE_MARKS[1]])
    return re.sub(f"{start}.*{end}", lambda _: fresh, page, flags=re.DOTALL)


def refresh(page: Path = PAGE, out: Path | None = None) -> None:
    """Write the table into a page, and the first lines of the recipes in its folder; or all of it into another one."""
    shipped = list_checkpoints()
    recipes = {page.parent / f"{found.recipe['name']}.yaml": found for found in shipped}
    fresh = {path: with_reached(path.read_text(encoding="utf-8"), found) for path, found in recipes.items()}
    fresh[page] = with_table(page.read_text(encoding="utf-8"), shipped)
    for path, text in fresh.items():
        write_atomically((out or path.parent) / path.name, lambda file, text=text: file.write(text.encode()))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the page and the recipes [training/]")
    refresh(out=parser.parse_args(argv).out)


if __name__ == "__main__":
    main()
