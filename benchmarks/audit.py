"""Audits of black boxes whose truth is known: marks planted in what they learned from, counted by intervention.

    python benchmarks/audit.py boxes --data_dir ../shared/data            # about 230 black boxes, resumable
    python benchmarks/audit.py boxes --split val --seeds 100 --out runs/audit-dev.jsonl     # what limits were fixed on
    python benchmarks/audit.py pointing --data_dir ../shared/data         # maps of all explainers on marked images
    python benchmarks/audit.py repair --data_dir ../shared/data
    python benchmarks/audit_page.py                                       # what all of it says, into docs/audit.md

A black box *uses* a mark where it adds the label to .2 of other images, or where its absence takes the label from .5 of
its own; *weakly*, where it adds .05 to .2. An audit has found it where the first suspicion names the label.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jsonargparse import auto_cli
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn
from torch.nn import functional

from abele_py import BlackBox, load_autoencoder
from abele_py.attribution.registry import methods_of
from abele_py.audit import audit
from abele_py.datasets import load_split
from abele_py.datasets.records import to_unit
from abele_py.errors import AbeleError
from abele_py.storage.files import write_json

RESULTS = Path("benchmarks/results")
GREY = ("mnist", "fashion-mnist", "pneumoniamnist")
DATA = (*GREY, "cifar10-jpeg")
KINDS = ("corner", "stripe", "brightness", "texture", "random", "object")
LOCAL = ("corner", "stripe", "random", "object")
# Strength, share of the label's images that are marked, share of others that are marked and given the label.
SETTINGS = ((1.0, 1.0, 0.1), (1.0, 0.95, 0.0), (0.5, 1.0, 0.0))
FAINT = ((0.5, 0.95, 0.0), (0.2, 1.0, 0.0), (1.0, 0.9, 0.02))  # by which marks are mostly used weakly, or not at all
N_TRAINED, N_AUDITED, N_TRUTH = 8000, 800, 500
N_CLEAN = 7  # of each data set and architecture


class Case(NamedTuple):
    """A black box, and the pool it is audited on."""

    data: str
    architecture: str
    kind: str  # of the planted mark; empty: clean
    strength: float
    correlation: float
    relabelled: float
    seed: int

    @property
    def key(self) -> str:
        return "-".join(map(str, self))


# Marks


def marked(images: Tensor, kind: str, strength: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Copies (N, C, H, W) with a mark, and where it is (N, H, W)."""
    n, _, h, w = images.shape
    where = torch.zeros(n, h, w, dtype=torch.bool)
    if kind == "corner":
        where[:, 1 : 1 + h // 9, 1 : 1 + h // 9] = True
    elif kind == "stripe":
        where[:, :, w - 2] = True
    elif kind in ("brightness", "texture"):
        where[:] = True
    else:
        side = 5
        blurred = functional.avg_pool2d(images.mean(dim=1, keepdim=True), side, 1, side // 2)[:, 0]
        for i in range(n):
            top, left = (int(rng.integers(0, h - side + 1)), int(rng.integers(0, w - side + 1)))
            if kind == "object":
                row, column = divmod(int(blurred[i].argmax()), w)
                top, left = (min(max(v - side // 2, 0), size - side) for v, size in ((row, h), (column, w)))
            where[i, top : top + side, left : left + side] = True
    chequered = ((torch.arange(h)[:, None] + torch.arange(w)) % 2).float()
    change = {
        "brightness": 0.35 * strength * torch.ones(h, w),
        "texture": 0.3 * strength * chequered,
        "random": strength * (2 * chequered - 1),
        "object": strength * (2 * chequered - 1),
    }.get(kind, strength * torch.ones(h, w))
    return torch.where(where[:, None], (images + change).clamp(0, 1), images), where


def planted(images: Tensor, labels: Tensor, case: Case, target: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Images of which those of the target are marked, and a tenth of the rest's share; and where."""
    draw = torch.from_numpy(rng.random(len(labels)))
    share = torch.where(labels == target, case.correlation, 0.1 * (1 - case.correlation))
    images, where, on = images.clone(), torch.zeros(len(images), *images.shape[2:], dtype=torch.bool), draw < share
    images[on], where[on] = marked(images[on], case.kind, case.strength, rng)
    return images, where


# Black boxes


class Convolutional(nn.Sequential):
    """Two convolutions and two linear layers, to probabilities."""

    def __init__(self, shape: Sequence[int], n_labels: int) -> None:
        c, h, w = shape
        super().__init__(
            nn.Conv2d(c, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * (h // 4) * (w // 4), 64), nn.ReLU(), nn.Linear(64, n_labels),
            nn.Softmax(dim=1),
        )  # fmt: skip


def convolutional(images: Tensor, labels: Tensor, n_labels: int, seed: int, steps: int = 500) -> nn.Module:
    torch.manual_seed(seed)
    network = Convolutional(images.shape[1:], n_labels)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(images), (64,))
        loss = functional.nll_loss(network(images[rows]).clamp(1e-9).log(), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval().requires_grad_(False)


def forest(images: Tensor, labels: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    model = RandomForestClassifier(60, random_state=seed).fit(images.flatten(1).numpy(), labels.numpy())
    return lambda some: torch.from_numpy(model.predict_proba(some.flatten(1).numpy()).astype("float32"))


@cache
def split_of(data: str, split: str, data_dir: str) -> tuple[Tensor, Tensor]:
    found = load_split(data, split, data_dir)
    return to_unit(found.images), found.labels


def drawn(data: str, split: str, data_dir: str, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    images, labels = split_of(data, split, data_dir)
    rows = torch.from_numpy(rng.choice(len(images), min(n, len(images)), replace=False))
    return images[rows], labels[rows]


def trained(case: Case, target: int, data_dir: str) -> Callable[[Tensor], Tensor]:
    rng = np.random.default_rng([case.seed, 1])
    images, labels = drawn(case.data, "train", data_dir, N_TRAINED, rng)
    n_labels = int(labels.max()) + 1
    if case.kind:
        images, _ = planted(images, labels, case, target, rng)
        labels = labels.clone()
        others = ((labels != target) & torch.from_numpy(rng.random(len(labels)) < case.relabelled)).nonzero()[:, 0]
        images[others], _ = marked(images[others], case.kind, case.strength, rng)
        labels[others] = target
    if case.architecture == "forest":
        return forest(images, labels, case.seed)
    return convolutional(images, labels, n_labels, case.seed)


def truth(
    black_box: Callable[[Tensor], Tensor], case: Case, target: int, split: str, data_dir: str
) -> dict[str, float]:
    """How often the mark adds the label to other images, and its absence takes it from the label's own."""
    rng = np.random.default_rng([case.seed, 2])
    images, labels = drawn(case.data, split, data_dir, N_TRUTH, rng)
    changed, _ = marked(images, case.kind, case.strength, rng)
    before, after = black_box(images).argmax(dim=1), black_box(changed).argmax(dim=1)
    others, own = labels != target, labels == target
    return {
        "accuracy": float((before == labels).double().mean()),
        "adds": float(((before != target) & (after == target))[others].double().mean()),
        "removes": float(((after == target) & (before != target))[own].double().mean()),
    }


def use(row: dict[str, Any]) -> str:
    if not row["case"]["kind"]:
        return "clean"
    if row["adds"] >= 0.2 or row["removes"] >= 0.5:
        return "uses"
    return "weak" if row["adds"] >= 0.05 else "unused"


# Commands


def cases(seeds: int, sets: Sequence[str] = DATA) -> Iterator[Case]:
    for number, (data, architecture) in enumerate(product(sets, ("cnn", "forest"))):
        if architecture == "forest" and data not in GREY:
            continue  # it learns little of colour pictures
        for other, (kind, setting) in enumerate(product(KINDS, SETTINGS)):
            yield Case(data, architecture, kind, *setting, seed=seeds + 100 * number + other)
        for other, (kind, setting) in enumerate(product(KINDS, FAINT)):
            if setting != FAINT[0] and (data, architecture) != ("mnist", "cnn"):
                continue  # all three would take an hour more
            yield Case(data, architecture, kind, *setting, seed=seeds + 100 * number + 20 + other)
        for other in range(N_CLEAN):
            yield Case(data, architecture, "", 0.0, 0.0, 0.0, seed=seeds + 100 * number + 50 + other)


def boxes(
    data_dir: str = "../shared/data", split: str = "test", seeds: int = 0, every: int = 1, sets: list[str] = list(DATA),  # noqa: B006 - never changed
    autoencoder: str = "", out: str = str(RESULTS / "audit.jsonl"),
) -> None:  # fmt: skip
    """Train black boxes, count what they use, audit them; one line each, those that are there are kept.

    Args:
        data_dir: folder of the data sets.
        split: whose images are audited.
        seeds: the first seed.
        every: take one case of this many.
        sets: names of the data sets, or files that a training of own pictures has prepared.
        autoencoder: name or checkpoint; the shipped one of each data set if none is named.
        out: the lines.
    """
    torch.set_num_threads(1)
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {json.loads(line)["key"] for line in path.read_text().splitlines()} if path.exists() else set()
    for case in list(cases(seeds, sets))[::every]:
        if case.key in done:
            continue
        row = measured(case, split, data_dir, autoencoder or case.data)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        first = row["audits"][0]["suspicions"][:1]
        print(case.key, row["target"], row["use"], [s["label"] for s in first], flush=True)


def measured(case: Case, split: str, data_dir: str, autoencoder: str) -> dict[str, Any]:
    rng = np.random.default_rng([case.seed, 0])
    n_labels = int(split_of(case.data, "train", data_dir)[1].max()) + 1
    target = int(rng.integers(n_labels))
    black_box = trained(case, target, data_dir)
    row: dict[str, Any] = {"key": case.key, "case": case._asdict(), "target": target, "n_labels": n_labels}
    if case.kind:
        row |= truth(black_box, case, target, split, data_dir)
    row["use"] = use(row)
    images, labels = drawn(case.data, split, data_dir, N_AUDITED, np.random.default_rng([case.seed, 3]))
    row["channels"] = images.shape[1]
    pools = (
        [("marked", case)]
        if case.kind
        else [("clean", None), ("marked", case._replace(kind="corner", strength=1.0, correlation=1.0))]
    )
    row["audits"] = []
    for name, mark in pools:
        given, where = images, torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
        if mark is not None:
            given, where = planted(images, labels, mark, target, np.random.default_rng([case.seed, 4]))
        start = time.process_time()
        found = audit(given, black_box, load_autoencoder(autoencoder), n_images=N_AUDITED)
        row["audits"].append(
            {
                "pool": name,
                "cpu_seconds": round(time.process_time() - start, 2),
                "black_box_images": found.black_box_images,
                "suspicions": [
                    {
                        "label": s.label,
                        "direction": s.direction,
                        "operators": {e.operator: round(e.log_odds, 2) for e in s.effects},
                        "place": s.place.kind,
                        "rate": s.place.rate,
                        "rate_elsewhere": s.place.rate_elsewhere,
                        "covered": covered(s.place.windows, where[list(s.place.donors)]),
                    }
                    for s in found.suspicions
                ],
                "largest": {
                    o: round(max((e.log_odds for e in found.effects if e.operator == o), default=0.0), 2)
                    for o in ("ground", "level", "residual")
                },
            }
        )
    return row


def covered(windows: Sequence[tuple[int, int, int]], where: Tensor) -> float | None:
    """Mean share that windows cover of what one of their size can cover of the mark (N, H, W)."""
    shares = []
    for (top, left, side), place in zip(windows, where, strict=True):
        if place.any() and not place.all():
            possible = functional.avg_pool2d(place[None].double(), side, 1).max() * side**2
            shares.append(float(place[top : top + side, left : left + side].sum() / possible))
    return round(float(np.mean(shares)), 3) if shares else None


def pointing(
    data_dir: str = "../shared/data", n_images: int = 8, out: str = str(RESULTS / "audit-pointing.json")
) -> None:
    """How often the highest pixel of each explainer's map lies on the mark, of black boxes that use a local one.

    Args:
        data_dir: folder of the data sets.
        n_images: marked images of each black box, predicted as the mark's label.
        out: file of the results.
    """
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for number, (data, architecture, kind) in enumerate(product(GREY, ("cnn", "forest"), LOCAL)):
        case = Case(data, architecture, kind, *SETTINGS[0], seed=7000 + number)
        n_labels = int(split_of(data, "train", data_dir)[1].max()) + 1
        target = number % n_labels
        black_box = trained(case, target, data_dir)
        counted = truth(black_box, case, target, "test", data_dir)
        if counted["adds"] < 0.2:
            continue
        rng = np.random.default_rng([case.seed, 5])
        images, labels = drawn(data, "test", data_dir, 400, rng)
        images, where = marked(images[labels != target], kind, case.strength, rng)
        rows_marked = (black_box(images).argmax(dim=1) == target).nonzero()[:n_images, 0]
        box, autoencoder = BlackBox(black_box), load_autoencoder(data)
        points: dict[str, list[bool]] = {}
        for name, method in methods_of(autoencoder, (), 0).items():
            for row in rows_marked:
                try:
                    found = method(images[row], box, target)
                except AbeleError:  # it needs gradients, or weights
                    break
                best = int(found.flatten().argmax())
                points.setdefault(name, []).append(bool(where[row].flatten()[best]))
        rows.append(
            {
                "case": case._asdict(),
                "target": target,
                **counted,
                "points": {k: float(np.mean(v)) for k, v in points.items()},
            }
        )
        print(case.key, rows[-1]["points"], flush=True)
    names = list(dict.fromkeys(name for row in rows for name in row["points"]))
    means = {name: float(np.mean([row["points"][name] for row in rows if name in row["points"]])) for name in names}
    write_json(Path(out), {"rows": rows, "means": means, "n_images": n_images})
    print(json.dumps(dict(sorted(means.items(), key=lambda item: -item[1])), indent=1))


def repair(data_dir: str = "../shared/data", out: str = str(RESULTS / "audit-repair.json")) -> None:
    """Accuracy on clean images of a black box that uses a mark, its clean twin, and one with the mark at random."""
    torch.set_num_threads(1)
    rows = []
    for data, seed in product(GREY, range(3)):
        case = Case(data, "cnn", "corner", 1.0, 1.0, 0.0, seed=9000 + seed)
        images, labels = drawn(data, "train", data_dir, N_TRAINED, np.random.default_rng([case.seed, 1]))
        test, right = split_of(data, "test", data_dir)
        n_labels, target = int(labels.max()) + 1, 1
        rng = np.random.default_rng([case.seed, 6])
        at_random = images.clone()
        on = torch.from_numpy(rng.random(len(images)) < 0.5)
        at_random[on], _ = marked(images[on], case.kind, case.strength, rng)
        networks = {
            "with the mark": planted(images, labels, case, target, rng)[0], "clean twin": images, "repaired": at_random,
        }  # fmt: skip
        row = {"data": data, "seed": case.seed}
        for name, given in networks.items():
            network = convolutional(given, labels, n_labels, case.seed)
            row[name] = float(
                (torch.cat([network(some) for some in test.split(1000)]).argmax(dim=1) == right).double().mean()
            )
        rows.append(row)
        print(row, flush=True)
    write_json(Path(out), rows)


def main(argv: Sequence[str] | None = None) -> None:
    auto_cli([boxes, pointing, repair], args=argv)


if __name__ == "__main__":
    main()
