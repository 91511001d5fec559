"""Memory and time of the summary of a run, at 10,000 rows and at 1,000,000, made up.

    python benchmarks/summary_memory.py    # writes benchmarks/results/summary-memory.json; takes 1 GB of disk

Runs with ``keep="summary"`` of ten classes and 16 latent coordinates are written into a temporary folder: shards as a
run writes them, whose rows differ within a number of contents that come again with other numbers of images. Each is
summed up by a process of its own: its largest resident memory, and its CPU seconds. A hundred rows tell what the
libraries take.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jsonargparse import auto_cli

from abele_py.distributed.rows import SCHEMA, VERSION
from abele_py.distributed.run_file import NAME, Run
from abele_py.distributed.shards import FOLDER, shard_path
from abele_py.storage.files import write_json

OUT = Path(__file__).resolve().parent / "results" / "summary-memory.json"
CLASSES, K = 10, 16
MEASURED = """
import json, sys, time
from pathlib import Path
from abele_py.distributed.summary import summarize
from abele_py.views.summary_files import write_files
start = time.process_time()
summary = summarize(sys.argv[1])
seconds = time.process_time() - start
def peak_mb():
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)
found = {"rows": summary.n, "cpu_s": round(seconds, 2), "peak_mb": peak_mb()}
page = write_files(summary)[0]
found |= {"with_files_cpu_s": round(time.process_time() - start, 2), "with_files_peak_mb": peak_mb()}
print(json.dumps(found | {"page_mb": round(page.stat().st_size / 2**20, 2)}))
"""


def a_row(i: int, rng: np.random.Generator) -> dict[str, Any]:
    """A made-up row as ``keep="summary"`` has it."""
    label = int(rng.integers(CLASSES))
    true = label if rng.random() < 0.93 else int(rng.integers(CLASSES))
    held_out = float(1 - rng.random() ** 2 / 2)
    grade = ("good", "near", "care", "bad")[int(rng.integers(4) * (rng.random() < 0.3))]
    others = [int(c) for c in rng.permutation(CLASSES) if c != label]
    notes = [n for n in ("label-not-preserved", "not-typical", "code-not-valid") if rng.random() < 0.08]
    distances = np.sort(rng.gamma(4, 0.6, len(others)))
    return {
        "index": i, "name": f"synthetic:test:{i}", "image_sha256": rng.bytes(32), "true_label": true, "label": label,
        "probability": float(rng.random()),
        "scores": [{"label": c, "score": float(rng.random())} for c in range(CLASSES)],
        "verdicts": {
            "explanation": grade, "rule": grade, "map": "good", "exemplars": "good", "counter_exemplars": "care",
        },
        "trust": {
            "held_out": held_out, "constant": float(rng.random()), "label_preserved": bool(rng.random() < 0.9),
            "typicality": float(rng.random()), "hit": True, "n_held_out": 300,
        },
        "notes": notes, "latent": rng.normal(size=K).astype(np.float32),
        "reconstruction_label": label,
        "conditions": [
            {
                "axis": j, "operator": "<=", "threshold": float(rng.normal()), "towards": c, "away_from": None,
                "direction": rng.normal(size=K).astype(np.float32),
            }
            for j, c in enumerate(others[:5])
        ],
        "counterfactual_rules": [{"label": c, "axes": [0, 1]} for c in others[:3]],
        "n_exemplars": 16, "exemplar_typicality": float(rng.random()),
        "counter_exemplars": [
            {"label": c, "distance": float(d), "score": float(rng.random()), "latent": None}
            for c, d in zip(others, distances, strict=True)
        ],
        "map": rng.integers(-127, 128, 64).astype(np.int8), "change": rng.integers(-127, 128, 64).astype(np.int8),
        "black_box_images": 3000,
    }  # fmt: skip


def write_run(folder: Path, n: int, shard_size: int, n_contents: int) -> int:
    """Write a run of n made-up rows; the bytes that it takes."""
    rng = np.random.default_rng(0)
    contents = [
        pa.Table.from_pylist([a_row(i, rng) for i in range(shard_size)], SCHEMA)
        for _ in range(min(n_contents, -(-n // shard_size)))
    ]
    (folder / FOLDER).mkdir(parents=True)
    size = 0
    for number, start in enumerate(range(0, n, shard_size)):
        rows = range(start, min(n, start + shard_size))
        table = contents[number % len(contents)][: len(rows)]
        table = table.set_column(0, SCHEMA.field("index"), pa.array(rows, pa.int64()))
        table = table.set_column(1, SCHEMA.field("name"), pa.array([f"synthetic:test:{i}" for i in rows]))
        path = shard_path(folder, number)
        path.parent.mkdir(exist_ok=True)
        pq.write_table(
            table, path, compression="zstd", use_dictionary=False, write_page_checksum=True, write_statistics=False,
            store_schema=False,
        )  # fmt: skip
        size += path.stat().st_size
    run = Run(
        version=VERSION, data={"source": "synthetic:test", "n": n, "digest": "0"}, image_shape=(1, 28, 28),
        class_names=tuple(f"class {c}" for c in range(CLASSES)), models={}, options={}, keep="summary",
        shard_size=shard_size, versions={}, named={"autoencoder": "a", "black_box": "b"},
    )  # fmt: skip
    write_json(folder / NAME, asdict(run))
    return size


def run(
    rows: list[int] = [100, 10_000, 1_000_000],  # noqa: B006 - never changed
    shard_size: int = 64,
    contents: int = 200,
    out: str = str(OUT),
) -> None:
    """Measure and write.

    Args:
        rows: of each run.
        shard_size: rows in a file.
        contents: different ones among the files.
        out: file of the results.
    """
    found = []
    for n in rows:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "run"
            size = write_run(folder, n, shard_size, contents)
            done = subprocess.run(
                [sys.executable, "-c", MEASURED, str(folder)], capture_output=True, text=True, check=True
            )
        found.append(json.loads(done.stdout) | {"disk_mb": round(size / 2**20, 1)})
        print(json.dumps(found[-1]))
    write_json(Path(out), {"shard_size": shard_size, "contents": contents, "runs": found})


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(run, args=argv)


if __name__ == "__main__":
    main()
