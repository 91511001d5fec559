"""From stored measurements to a summary: means with intervals, quantiles, mean curves."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checking.parameters import checked
from ..errors import DataError
from ..metrics.base import mean_interval
from ..storage.files import read_arrays, write_bytes
from ..storage.reading import parse_json, read_json
from .parts import PARTS
from .subject import Row

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# What runs of schema 1 called the constant answer was the image's label, also where another one was more frequent.
_OF_SCHEMA_1 = {
    "constant": "always_image_label",
    "reported_constant": "reported_always_image_label",
    "nowhere_below_constant": "nowhere_below_image_label",
}


@checked
def summarise(folder: Path) -> dict[str, Any]:
    """The summary of what a folder holds, for the report.

    Every metric of every part with the number of images, mean, 95 % bootstrap interval of the mean, median, standard
    deviation and quantiles (0, .05, .25, .5, .75, .95, 1).
    """
    run = read_json(folder / "run.json")
    names = _OF_SCHEMA_1 if run.get("schema") == 1 else {}
    rows = []
    for part in PARTS:
        values: dict[tuple[str, str | int | None, str], list[float | None]] = {}
        for line in lines_of(folder / f"{part}.jsonl"):
            for row in line["rows"]:
                for metric, value in row["figures"].items():
                    values.setdefault((row["of"], row["at"], names.get(metric, metric)), []).append(value)
        for (of, at, metric), found in values.items():
            rows.append({"part": part, "of": of, "at": at, "figure": metric, **_summed(found)})
            if metric == "agreement":  # a good mean hides the images that a surrogate misleads about
                low = _summed(rows[-1]["quantiles"][1:2])
                rows.append({**rows[-1], "figure": "agreement_low", **low, "n": rows[-1]["n"]})
    path = folder / "curves.json"
    curves = read_json(path) if path.exists() else {}
    return {"run": run, "left_out": run["left_out"], "rows": rows, "curves": curves}


def as_json(row: Row) -> dict[str, Any]:
    """The row as it is stored, under the keys of all stored files; six significant digits, null for NaN."""
    values = {name: _rounded(value) for name, value in row.metrics.items()}
    seconds = {} if row.seconds is None else {"seconds": _rounded(row.seconds)}
    return {"of": row.of, "at": row.at, "figures": values | seconds}


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def lines_of(path: Path, mend: bool = False) -> list[dict[str, Any]]:
    """The whole lines of a file, one for each image; one that an interruption cut off does not count.

    Args:
        path: the file; nothing, if there is none.
        mend: remove the line that was cut off. Only for who owns the folder: a reader may come while a line is written.

    Raises:
        DataError: lines are damaged, or an image has several.
    """
    if not path.exists():
        return []
    try:
        whole, _, rest = path.read_text(encoding="utf-8").rpartition("\n")
        lines = [parse_json(line) for line in whole.splitlines()]
        images = Counter(int(line["image"]) for line in lines if isinstance(line["rows"], list))
        if images.total() != len(lines):
            raise ValueError("rows that are no list")
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"got {path}, which holds damaged lines ({error}); expected measurements; delete the file to measure again"
        ) from error
    if twice := [image for image, number in images.items() if number > 1]:
        raise DataError(
            f"got {path}, which holds {len(twice)} images more than once, such as {twice[0]}; expected each once: two "
            "evaluations may have written at the same time; delete the file to measure again"
        )
    if rest and mend:
        write_bytes(path, f"{whole}\n".encode() if whole else b"")
    return lines


def _summed(found: Sequence[float | None]) -> dict[str, Any]:
    values = [value for value in found if value is not None]
    if not values:
        return {"n": 0, **dict.fromkeys(("mean", "low", "high", "median", "std", "quantiles"))}
    low, high = mean_interval(values)
    summed = {
        "mean": float(np.mean(values)),
        "low": low,
        "high": high,
        "median": float(np.median(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
    }
    quantiles = [_rounded(q) for q in np.quantile(values, QUANTILES).tolist()]
    return {"n": len(values), **{key: _rounded(v) for key, v in summed.items()}, "quantiles": quantiles}


def mean_curves(folder: Path, chosen: Sequence[int]) -> dict[str, dict[str, list[float | None]]]:
    """Mean deletion and insertion curves of each method, over the images of which there are some."""
    sums: dict[str, dict[str, np.ndarray]] = {}
    paths = [path for index in chosen if (path := folder / "curves" / f"{index}.npz").exists()]
    for path in paths:
        found = read_arrays(path)
        for i, method in enumerate(found.pop("methods").tolist()):
            of = sums.setdefault(method, {})
            for curve, values in found.items():
                of[curve] = of.get(curve, 0.0) + values[i] / len(paths)
    return {
        method: {curve: [_rounded(v) for v in values.tolist()] for curve, values in of.items()}
        for method, of in sums.items()
    }
