"""How long the package and the ``abele`` command take to start, beside ``import torch``.

    python benchmarks/startup.py [--runs 7]    # writes benchmarks/results/startup.json

CPU seconds (user and system) of fresh processes, on one thread. The processes take turns, so that whatever else the
machine does meets all of them; the median of each is kept. Ratios are of medians. Exit code 1 if a bar is missed.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OUT = Path(__file__).resolve().parent / "results" / "startup.json"
ABELE = "import sys; from abele_py.cli.commands import main; sys.exit(main(sys.argv[1:]))"  # as the entry point does
STARTS = {
    "python": ["pass"],
    "import torch": ["import torch"],
    "import abele_py": ["import abele_py"],
    "from abele_py import Abele, load_autoencoder": ["from abele_py import Abele, load_autoencoder"],
    "abele --help": [ABELE, "--help"],
    "abele models": [ABELE, "models"],
    "abele explain --help": [ABELE, "explain", "--help"],
    "abele train --help": [ABELE, "train", "--help"],
}
TORCH = "import torch"
MOST_SECONDS = {name: 1.0 for name in STARTS if name.startswith("abele ")}
MOST_RATIO = {"import abele_py": 1.15}


def cpu_seconds(code: list[str]) -> float:
    """User and system seconds of a fresh interpreter that runs the code with the arguments after it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", *code], env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(runs: int) -> dict[str, list[float]]:
    """Seconds of every start, run by run; a first start, which may read from the disk, is not counted."""
    cpu_seconds(["from abele_py import Abele, load_autoencoder"])
    rounds = [{name: cpu_seconds(code) for name, code in STARTS.items()} for _ in range(runs)]
    return {name: [seconds[name] for seconds in rounds] for name in STARTS}


def report(seconds: dict[str, list[float]]) -> dict[str, dict[str, float | list[float]]]:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        name: {
            "cpu_seconds": round(medians[name], 3),
            "to_import_torch": round(medians[name] / medians[TORCH], 3),
            "runs": [round(value, 3) for value in values],
        }
        for name, values in seconds.items()
    }


def missed(starts: dict) -> list[str]:
    """What is slower than it may be."""
    slow = [name for name, most in MOST_SECONDS.items() if starts[name]["cpu_seconds"] >= most]
    return slow + [name for name, most in MOST_RATIO.items() if starts[name]["to_import_torch"] > most]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(argv)
    starts = report(measured(options.runs))
    for name, row in starts.items():
        print(f"{name:46} {row['cpu_seconds']:7.3f} s {row['to_import_torch']:7.3f} x import torch")
    bars = {"most_cpu_seconds": MOST_SECONDS, "most_to_import_torch": MOST_RATIO, "missed": missed(starts)}
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    options.out.write_text(json.dumps({"starts": starts, "bars": bars, **versions}, indent=1) + "\n", encoding="utf-8")
    for name in bars["missed"]:
        print(f"missed: {name}")
    return 1 if bars["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
