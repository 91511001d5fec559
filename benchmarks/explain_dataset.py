"""A run over a data set: what is left of it when processes are killed, its bytes, its speed and its memory.

    python benchmarks/explain_dataset.py    # all parts; writes benchmarks/results/explain-dataset.json
    python benchmarks/explain_dataset.py --parts [speed] --images 500

Each part replaces what is stored of it. ``killed-process``, ``killed-worker``, ``killed-node``: kill -9 at random
moments, until that many have hit, of a node where two are simulated on this machine; the same call goes on, and runs
that end are compared with one that nothing happened to. ``killed-driver``: what goes on when the process is gone that
asks two workers. ``equal``: other numbers of workers, another order, after an interruption. ``speed``: seconds of one
worker and of two, each on one thread; it says something on a machine that does nothing else. ``memory``: the most that
a run over synthetic images takes, whose explainer gives the same explanation for each. ``trouble``: a full disk (Linux,
as root), a shard that was cut short, two runs into one folder, a black box that is away.
"""

import json
import multiprocessing
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import torch
from jsonargparse import auto_cli

from abele_py import Abele, load_autoencoder, load_classifier
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.distributed import cluster as cluster_of_runs
from abele_py.distributed.cluster import ALONE, environment
from abele_py.distributed.images import Listed, images_of, in_shards
from abele_py.distributed.making import Maker
from abele_py.distributed.run import explain_dataset
from abele_py.distributed.run_file import read_run
from abele_py.distributed.shards import read_shards, shard_paths
from abele_py.errors import AbeleError, WorkerError
from abele_py.storage.files import write_json

OUT = Path(__file__).resolve().parent / "results" / "explain-dataset.json"
PARTS = ("killed-process", "killed-worker", "killed-node", "killed-driver", "equal", "speed", "memory", "trouble")
QUIET = {"progress": lambda *_: None}


def digits(n_samples: int | None = None) -> Abele:
    return Abele(load_classifier("digits-cnn"), load_autoencoder("digits"), n_samples=n_samples)


def files_of(out: Path) -> dict[str, bytes]:
    """All that a run writes but the seconds."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("seconds.jsonl", ".abele-lock")
    }


class Outcomes:
    """What became of runs to which something happened, compared with the files of one that was left alone."""

    def __init__(self, expected: dict[str, bytes], n_images: int) -> None:
        self._expected, self._n, self.runs, self.wrong = expected, n_images, 0, 0

    def add(self, out: Path) -> None:
        index = [i for shard in read_shards(out, ["index"]) for i in shard["index"].to_pylist()]
        self.runs += 1
        self.wrong += index != [*range(self._n)] or files_of(out) != self._expected
        shutil.rmtree(out)


# Killed


def killed(place: Path, what: str, times: int, images: int, seed: int) -> dict[str, Any]:
    how = {"data": f"digits:test:{images}", "explainer": digits(200), "shard_size": 4, "keep": "figures", **QUIET}
    start = time.monotonic()
    explain_dataset(out=place / "alone", **how)
    seconds, expected = time.monotonic() - start, files_of(place / "alone")
    outcomes, start = Outcomes(expected, images), time.monotonic()
    found: dict[str, Any] = {"seed": seed, "images": images, "images_in_a_shard": 4}
    found |= _KILLED[what](place / what, how, outcomes, times, seconds, random.Random(seed))
    if outcomes.runs:
        found |= {"runs": outcomes.runs, "runs_with_other_rows": outcomes.wrong}
    found["seconds"] = round(time.monotonic() - start)
    print(f"killed {what}: {found}", flush=True)
    return found


def _process(
    out: Path, how: Any, outcomes: Outcomes, times: int, seconds: float, dice: random.Random
) -> dict[str, Any]:
    """Kills of the one process of a run, which begins anew each time; the time that it takes to start is counted."""
    kills, ready = 0, multiprocessing.get_context("spawn").Event()
    while kills < times or out.exists():
        ready.clear()
        process = multiprocessing.get_context("spawn").Process(target=_run, args=(ready, out, _sendable(how)))
        process.start()
        ready.wait(60)
        if kills < times:
            process.join(dice.uniform(0, 0.6 * seconds))
        else:
            process.join()
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
        else:
            outcomes.add(out)
    return {"kills": kills}


def _sendable(how: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in how.items() if name != "progress"}


def _run(ready: Any, out: Path, how: dict[str, Any], workers: int = 1) -> None:
    torch.set_num_threads(1)
    ready.set()
    explain_dataset(out=out, workers=workers, **how, **QUIET)


def _workers(
    out: Path, how: Any, outcomes: Outcomes, times: int, seconds: float, dice: random.Random
) -> dict[str, Any]:
    """Kills of one of two workers, now this one, now that one, while a run goes on."""
    with _ray():
        return _while_running(out, how, outcomes, times, lambda: dice.uniform(0, 8), lambda: _kill_a_worker(dice))


def _kill_a_worker(dice: random.Random) -> bool:
    workers = sorted(p.pid for p in psutil.Process().children(recursive=True) if "_Worker" in _title(p))
    if not workers:
        return False
    os.kill(dice.choice(workers), signal.SIGKILL)
    return True


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _while_running(
    out: Path, how: Any, outcomes: Outcomes, times: int, pause: Callable[[], float], kill: Callable[[], bool]
) -> dict[str, Any]:
    """Runs, one after the other, while ``kill`` is called at random moments; the last one ends by itself.

    A shard whose worker was killed time and again ends a run, as it should; the same call goes on.
    """
    kills = ended = 0
    while kills < times or out.exists():
        over = threading.Event()

        def hitting(over: threading.Event = over) -> None:
            nonlocal kills
            while kills < times and not over.wait(pause()):
                kills += kill()

        thread = threading.Thread(target=hitting)
        thread.start()
        try:
            explain_dataset(out=out, workers=2, **how)
        except WorkerError:
            ended += 1
            continue
        finally:
            over.set()
            thread.join()
        outcomes.add(out)
    return {"kills": kills, "ended_by_a_shard_killed_time_and_again": ended}


@contextmanager
def _ray() -> Iterator[None]:
    """Ray on this machine, for several runs."""
    with environment(ALONE):
        import ray

        ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


def _nodes(out: Path, how: Any, outcomes: Outcomes, times: int, seconds: float, dice: random.Random) -> dict[str, Any]:
    """Kills of one of two nodes with a worker each, which are processes here; another one comes in its place."""
    os.environ |= ALONE
    import ray
    from ray.cluster_utils import Cluster

    noticed_soon = {
        "health_check_initial_delay_ms": 500,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 3,
    }
    cluster = Cluster(True, head_node_args={"num_cpus": 0, "_system_config": noticed_soon})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")

    def kill() -> bool:
        if len(nodes) == 2:
            cluster.remove_node(nodes.pop(dice.randrange(2)), allow_graceful=False)
            return True
        return False

    def replace(*_: Any) -> None:  # nodes are added by the main thread alone
        if len(nodes) < 2:
            nodes.append(cluster.add_node(num_cpus=1))

    try:
        how = how | {"progress": replace}
        with patch.object(cluster_of_runs, "PATIENCE", 10.0):
            return _while_running(out, how, outcomes, times, lambda: dice.uniform(0, 8), kill)
    finally:
        ray.shutdown()
        cluster.shutdown()


def _driver(out: Path, how: Any, outcomes: Outcomes, times: int, seconds: float, dice: random.Random) -> dict[str, Any]:
    """Kills of the process that asks two workers: how long Ray's processes outlive it, and what is written by then."""
    ends, changed = [], 0
    for _ in range(min(times, 3)):
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        process = context.Process(target=_run, args=(ready, out, _sendable(how), 2))
        process.start()
        while not list(out.glob("shards/*/*.parquet")):
            time.sleep(0.05)
        time.sleep(dice.uniform(0, 2))
        others = psutil.Process(process.pid).children(recursive=True)
        workers = [other for other in others if "Agent" not in _title(other)]
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        start, before = time.monotonic(), files_of(out)
        psutil.wait_procs(workers, timeout=120)
        workers_end = round(time.monotonic() - start, 1)
        _, alive = psutil.wait_procs(others, timeout=120)
        ends.append({"workers": workers_end, "all": round(time.monotonic() - start, 1) if not alive else None})
        changed += files_of(out) != before
        shutil.rmtree(out)
    return {"kills": len(ends), "seconds_until_processes_end": ends, "folders_changed_after": changed}


_KILLED = {"process": _process, "worker": _workers, "node": _nodes, "driver": _driver}


# Equal bytes


def equal(place: Path, images: int, keep: str = "full") -> dict[str, Any]:
    how = {"data": f"digits:test:{images}", "explainer": digits(200), "shard_size": 8, "keep": keep, **QUIET}
    expected, found = {}, {"images": images, "keep": keep}
    torch.set_num_threads(os.cpu_count() or 1)
    for workers in (1, 2, 4):
        out = place / f"workers-{workers}"
        explain_dataset(out=out, workers=workers, **how)
        expected = expected or files_of(out)
        found[f"workers_{workers}"] = files_of(out) == expected
    shards = shard_paths(out)
    for path in random.Random(0).sample(shards, len(shards) // 2):
        path.unlink()
    explain_dataset(out=out, workers=1, **how)
    found["resumed"] = files_of(out) == expected
    data = images_of(how["data"], how["explainer"].image_shape, how["explainer"].class_names)
    maker = Maker(how["explainer"], read_run(out).digest, how["keep"], None)
    backwards = in_shards(data, 8, reversed(range(len(shards))))
    found["backwards"] = all(
        maker.make(*task).rows == expected[f"shards/00000/{task[0]:08d}.parquet"] for task in backwards
    )
    print(f"equal: {found}", flush=True)
    return found


# Speed


def speed(place: Path, images: int) -> dict[str, Any]:
    """Seconds from the start of the first shard to the end of the last, and of the whole call."""
    found: dict[str, Any] = {"images": images, "images_in_a_shard": 16}
    for workers in (1, 2):
        out, ends = place / f"speed-{workers}", []
        start = time.monotonic()
        explain_dataset(
            f"digits:train:{images}", digits, out, workers=workers, shard_size=16,
            progress=lambda *_, ends=ends: ends.append(time.monotonic()),
        )  # fmt: skip
        overall = time.monotonic() - start
        lines = [json.loads(line) for line in (out / "seconds.jsonl").read_text("utf-8").splitlines()]
        began = min(end - line["seconds"] for end, line in zip(ends, lines, strict=True))
        found[f"workers_{workers}"] = {
            "shards_s": round(ends[-1] - began, 2), "before_s": round(began - start, 2), "overall_s": round(overall, 2),
            "images_per_s": round(images / (ends[-1] - began), 2),
        }  # fmt: skip
        print(f"speed of {workers}: {found[f'workers_{workers}']}", flush=True)
    for name in ("shards_s", "overall_s"):
        found[f"times_{name.removesuffix('_s')}"] = round(found["workers_1"][name] / found["workers_2"][name], 2)
    print(f"speed: {found['times_shards']} times, {found['times_overall']} overall", flush=True)
    return found


# Memory


class Synthetic:
    """Any number of images, each made when it is read."""

    def __init__(self, n: int, shape: tuple[int, int, int]) -> None:
        self._n = n
        self._noise = torch.randint(
            0, 256, (4096, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )

    @property
    def origin(self) -> dict[str, Any]:
        return {"source": "synthetic", "n": self._n, "digest": "noise"}

    def __len__(self) -> int:
        return self._n

    def read(self, index: int) -> Listed:
        return Listed(index, f"synthetic:{index}", to_unit(self._noise[index % len(self._noise)]), index % 10)


class Same(Abele):
    """Gives the explanation of one image for each."""

    known: Any = None

    def explain_many(self, images: Any, *_: Any, **__: Any) -> Iterator[Any]:
        self.known = self.known or self.explain(to_unit(load_split("digits", "test").images[7]))
        return (self.known for _ in images)


def memory(place: Path, rows: Sequence[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n in rows:
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        process = context.Process(target=_peak, args=(queue, place / f"memory-{n}", n))
        process.start()
        found[str(n)] = queue.get()
        process.join()
        shutil.rmtree(place / f"memory-{n}")
        print(f"memory of {n}: {found[str(n)]}", flush=True)
    first, last = (found[str(n)]["peak_mb"] for n in (rows[0], rows[-1]))
    return found | {"growth": round(last / first - 1, 4)}


def _peak(queue: Any, out: Path, n: int) -> None:
    torch.set_num_threads(1)
    explainer = Same(load_classifier("digits-cnn"), load_autoencoder("digits"))
    start = time.monotonic()
    counts = explain_dataset(Synthetic(n, explainer.image_shape), explainer, out, **QUIET)
    seconds = time.monotonic() - start
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    queue.put(
        {
            "rows": counts.n_images,
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1),
            "mb_at_the_end": round(psutil.Process().memory_info().rss / 2**20, 1),
            "seconds": round(seconds, 1),
            "ms_per_row": round(1000 * seconds / n, 3),
            "bytes_per_row": round(sum(path.stat().st_size for path in shard_paths(out)) / n),
        }
    )


# Trouble


class Away:
    """A black box that is away, for good or from time to time, when the file that it is told of is there."""

    def __init__(self, flag: Path) -> None:
        self._flag, self._classifier = flag, load_classifier("digits-cnn").eval()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        if self._flag.exists():
            raise ConnectionError("nobody answers")
        with torch.no_grad():
            return self._classifier(images)


def trouble(place: Path, images: int) -> dict[str, Any]:
    """What is said, and whether the same call went on to the same files afterwards."""
    flag = place / "away"
    explainer = Abele(Away(flag), load_autoencoder("digits"), n_samples=200)
    how: dict[str, Any] = {"data": f"digits:test:{images}", "explainer": explainer, "shard_size": 4, "keep": "figures"}
    how |= QUIET
    explain_dataset(out=place / "alone", **how)
    expected, found = files_of(place / "alone"), {}

    def goes_on(name: str, out: Path, happening: Callable[[], object], repair: Callable[[], object]) -> None:
        try:
            happening()
            said = "nothing"
        except (AbeleError, OSError) as error:
            said = f"{type(error).__name__}: {error}".replace(str(place), "DIR")
        left = [path.name for path in out.rglob("*.abele-tmp")]
        repair()
        explain_dataset(out=out, **how)
        found[name] = {"said": said, "left_behind": left, "goes_on_with_equal_files": files_of(out) == expected}
        print(f"trouble {name}: {found[name]}", flush=True)

    def away(*_: Any) -> None:
        flag.touch()

    out = place / "away-for-a-while"
    goes_on("black box away", out, lambda: explain_dataset(out=out, **how | {"progress": away}), flag.unlink)
    cut = shard_paths(out)[1]
    goes_on("shard cut short", out, lambda: cut.write_bytes(cut.read_bytes()[:-100]), lambda: None)
    two = place / "two"
    goes_on("two runs into one folder", two, lambda: _two(two, how), lambda: None)
    if platform.system() == "Linux" and os.geteuid() == 0:
        small = place / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(small)], check=True)
        try:
            out = small / "run"
            larger = ["mount", "-o", "remount,size=10m", str(small)]
            goes_on(
                "full disk", out, lambda: explain_dataset(out=out, **how), lambda: subprocess.run(larger, check=True)
            )
        finally:
            subprocess.run(["umount", str(small)], check=True)
    return found


def _two(out: Path, how: dict[str, Any]) -> None:
    """A run into the folder of a run that is under way."""

    def second(*_: Any) -> None:
        explain_dataset(out=out, **how)

    explain_dataset(out=out, **how | {"progress": second})


def run(
    parts: list[str] | None = None,
    times: int = 30,
    few: int = 60,
    images: int = 500,
    rows: list[int] | None = None,
    seed: int = 0,
    place: str | None = None,
    out: str = str(OUT),
) -> None:
    """Measure, print and write.

    Args:
        parts: of ``killed-process`` and so on, ``equal``, ``speed``, ``memory`` and ``trouble``; all if None.
        times: kills of each kind.
        few: images of all runs but that of speed.
        images: whose speed is measured.
        rows: of the runs whose memory is measured; 10,000 and 1,000,000 if None.
        seed: of the moments.
        place: folder for the runs, which is removed; a temporary one if None.
        out: file of the results.
    """
    path = Path(out)
    measures: dict[str, Callable[[Path], Any]] = {
        **{f"killed-{what}": partial(killed, what=what, times=times, images=few, seed=seed) for what in _KILLED},
        "equal": lambda folder: equal(folder, few),
        "speed": lambda folder: speed(folder, images),
        "memory": lambda folder: memory(folder, rows or [10_000, 1_000_000]),
        "trouble": lambda folder: trouble(folder, few),
    }
    for part in parts or PARTS:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            found = measures[part](Path(folder))
        result: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        result[part] = found
        result["hardware"] = f"{platform.machine()}, {os.cpu_count()} cores"
        result["torch"] = torch.__version__
        write_json(path, result)


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli(run, args=argv)


if __name__ == "__main__":
    main()
