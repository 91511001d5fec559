"""Folders of runs over data sets, of made-up rows."""

import json

import numpy as np

from abele_py.distributed.rows import VERSION
from abele_py.distributed.run_file import NAME, Run
from abele_py.distributed.shards import FOLDER, shard_bytes, shard_path

CELLS = 64


def row(index, label=0, true_label=None, others=(), **changes):
    """The row of one explained image.

    Args:
        index: of the image.
        label, true_label: predicted and known.
        others: labels and distances of its counter-exemplars, the nearest first.
        changes: columns in place of the usual ones; ``grade`` is that of the whole and of the rule, ``held_out`` and
            others that trust has are put there.
    """
    grade = changes.pop("grade", "good")
    trust = {
        "held_out": 0.9, "constant": 0.6, "label_preserved": True, "typicality": 0.5, "hit": True, "n_held_out": 100,
    }  # fmt: skip
    trust |= {name: changes.pop(name) for name in list(changes) if name in trust}
    return {
        "index": index,
        "name": f"digits:test:{index}",
        "image_sha256": bytes(32),
        "true_label": true_label,
        "label": label,
        "probability": 0.75,
        "verdicts": {
            "explanation": grade, "rule": grade, "map": "good", "exemplars": "good", "counter_exemplars": "good",
        },
        "trust": trust,
        "notes": [],
        "latent": np.array([float(label), float(index)], dtype=np.float32),
        "reconstruction_label": label,
        "conditions": [condition(towards) for towards, _ in others[:2]],
        "counterfactual_rules": [],
        "n_exemplars": 16,
        "counter_exemplars": [{"label": other, "distance": distance} for other, distance in others],
        "map": [label % 100] * CELLS,
        "change": [10 * others[0][0] % 100] * CELLS if others else None,
        "black_box_images": 100,
    } | changes  # fmt: skip


def condition(towards=None, axis=0, operator="<=", threshold=100.0, direction=(1.0, 0.0), away_from=None):
    """A condition that the codes of :func:`row` meet for a high threshold."""
    return {
        "axis": axis, "operator": operator, "threshold": threshold, "towards": towards, "away_from": away_from,
        "direction": None if towards is None else direction,
    }  # fmt: skip


def failed(index, error="ImageError", reason="got nothing; expected an image", true_label=None):
    """The row of an image that was not explained."""
    return {"index": index, "name": f"digits:test:{index}", "true_label": true_label, "error": error, "reason": reason}


def write_run(folder, rows, class_names=("a", "b", "c"), shard_size=4, keep="summary", **changes):
    """Write the folder of a run; ``changes`` are other values of its :class:`Run`."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for start in range(0, len(rows), shard_size):
        number = start // shard_size
        path = shard_path(folder, number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(shard_bytes(rows[start : start + shard_size], "r" * 64, number))
    values = {
        "version": VERSION, "data": {"source": "digits:test", "n": len(rows), "digest": "0"}, "image_shape": (1, 8, 8),
        "class_names": tuple(class_names), "models": {}, "options": {"n_samples": 1000, "random_state": 0},
        "keep": keep, "shard_size": shard_size, "versions": {},
        "named": {"data": "digits:test", "autoencoder": "digits", "black_box": "digits-cnn"},
    } | changes  # fmt: skip
    (folder / NAME).write_text(json.dumps(Run(**values).as_json()))
    return folder


def mixed(n=40, k=3, seed=0):
    """Rows of k classes, some wrong, some unusual, two failed; every row has counter-exemplars of all other classes."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        label = int(rng.integers(k))
        true = label if rng.random() < 0.8 else int(rng.integers(k))
        others = list(zip([c for c in range(k) if c != label], np.sort(rng.random(k - 1)).tolist(), strict=True))
        notes = [note for note in ("not-typical", "label-not-preserved") if rng.random() < 0.2]
        found = row(
            i, label, true, others, notes=notes, held_out=float(rng.random()), constant=float(rng.random()),
            grade=("good", "near", "care", "bad")[int(rng.integers(4))], probability=float(rng.random()),
            reconstruction_label=int(rng.integers(k)), map=rng.integers(-127, 128, CELLS).astype(np.int8),
            change=rng.integers(-127, 128, CELLS).astype(np.int8),
            latent=rng.normal(size=2).astype(np.float32),
        )  # fmt: skip
        rows.append(found if i not in (5, 6) else failed(i, true_label=true))
    return rows
