"""From stored measurements to a summary: means with intervals, quantiles, mean curves."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..files import write_atomically
from ..metrics.base import mean_interval
from ..parameters import checked
from .parts import PARTS
from .subject import Row

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@checked
def summarise(folder: Path) -> dict[str, Any]:
    """The summary of what a folder holds, for the report.

    Every metric of every part with the number of images, mean, 95 % bootstrap interval of the mean, median, standard
    deviation and quantiles (0, .05, .25, .5, .75, .95, 1).
    """
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    rows = []
    for part in PARTS:
        values: dict[tuple[str, str | int | None, str], list[float | None]] = {}
        for line in lines_of(folder / f"{part}.jsonl"):
            for row in line["rows"]:
                for metric, value in row["figures"].items():
                    values.setdefault((row["of"], row["at"], metric), []).append(value)
        for (of, at, metric), found in values.items():
            rows.append({"part": part, "of": of, "at": at, "figure": metric, **_summed(found)})
            if metric == "agreement":  # a good mean hides the images that a surrogate misleads about
                low = _summed(rows[-1]["quantiles"][1:2])
                rows.append({**rows[-1], "figure": "agreement_low", **low, "n": rows[-1]["n"]})
    path = folder / "curves.json"
    curves = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {"run": run, "left_out": run["left_out"], "rows": rows, "curves": curves}


def as_json(row: Row) -> dict[str, Any]:
    """The row as it is stored, under the keys of all stored files; six significant digits, null for NaN."""
    values = {name: _rounded(value) for name, value in row.metrics.items()}
    seconds = {} if row.seconds is None else {"seconds": _rounded(row.seconds)}
    return {"of": row.of, "at": row.at, "figures": values | seconds}


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; one that an interruption cut off is removed from it."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole, _, rest = text.rpartition("\n")
    if rest:
        write_atomically(path, lambda file: file.write(f"{whole}\n".encode() if whole else b""))
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise DataError(
            f"got {path}, which holds damaged lines ({error}); expected measurements; delete the file to measure again"
        ) from error


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
        with np.load(path, allow_pickle=False) as file:
            for i, method in enumerate(file["methods"].tolist()):
                for curve in file.files:
                    if curve != "methods":
                        of = sums.setdefault(method, {})
                        of[curve] = of.get(curve, 0.0) + file[curve][i] / len(paths)
    return {
        method: {curve: [_rounded(v) for v in values.tolist()] for curve, values in of.items()}
        for method, of in sums.items()
    }
