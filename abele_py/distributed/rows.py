"""One row for each image of a data set: what its explanation says, as columns of a Parquet file.

``SCHEMA`` is what is written, whatever is kept: columns without a value are null. Other programs may rely on it: a
change of a column is a new ``VERSION``.
"""

import math
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from ..datasets.encoding import encoded
from ..errors import AbeleError
from ..explanation.explanation import Explanation
from ..explanation.trust import Part, Trust
from ..provenance import hash_of_array
from ..surrogate.rules import Condition, Rule
from .images import Listed

Keep = Literal["summary", "figures", "full"]
VERSION = 1
N_SCORES = 10  # of the highest
GRID = 8  # cells a side of a map in short
VECTORS = 400  # bytes that codes and directions take in a summary of at most 1 kB
# Bytes of the pictures in one row, which all together are less than 20 kB.
_ROOM = {"image": 3000, "reconstruction": 2000, "map": 3000, "exemplars": 2000, "counter_exemplars": 2500}
_N_EXEMPLARS, _N_COUNTER_EXEMPLARS = 2, 3  # that are drawn

_NUMBERS = pa.list_(pa.float32())
_CELLS = pa.list_(pa.int8())
_KINDS = {bool: pa.bool_(), int: pa.int32(), float: pa.float32()}


def _kind(hint: Any) -> pa.DataType:
    """Of a field of a record: its type, whether or not it may be None."""
    (kind,) = {*(get_args(hint) if isinstance(hint, UnionType) else (hint,))} - {NoneType}
    return _KINDS[kind]


_CONDITION = pa.struct(
    [
        ("axis", pa.int32()), ("operator", pa.string()), ("threshold", pa.float64()), ("towards", pa.int32()),
        ("away_from", pa.int32()), ("direction", _NUMBERS),
    ]
)  # fmt: skip
SCHEMA = pa.schema(
    [
        # What was explained
        ("index", pa.int64()),
        ("name", pa.string()),
        ("image_sha256", pa.binary(32)),
        ("true_label", pa.int32()),
        # Why it was not
        ("error", pa.string()),
        ("reason", pa.string()),
        # The decision
        ("label", pa.int32()),
        ("probability", pa.float32()),
        ("scores", pa.list_(pa.struct([("label", pa.int32()), ("score", pa.float32())]))),
        # How far the explanation can be trusted
        ("verdicts", pa.struct([(part.replace("-", "_"), pa.string()) for part in get_args(Part)])),
        ("trust", pa.struct([(f.name, _kind(get_type_hints(Trust)[f.name])) for f in fields(Trust)])),
        ("notes", pa.list_(pa.string())),
        # The explanation
        ("latent", _NUMBERS),
        ("reconstruction_label", pa.int32()),
        ("conditions", pa.list_(_CONDITION)),
        ("counterfactual_rules", pa.list_(pa.struct([("label", pa.int32()), ("axes", pa.list_(pa.int32()))]))),
        ("n_exemplars", pa.int32()),
        ("exemplar_typicality", pa.float32()),
        (
            "counter_exemplars",
            pa.list_(
                pa.struct(
                    [("label", pa.int32()), ("distance", pa.float32()), ("score", pa.float32()), ("latent", _NUMBERS)]
                )
            ),
        ),
        ("map", _CELLS),
        ("change", _CELLS),
        ("black_box_images", pa.int32()),
        # Pictures, PNG or JPEG
        ("image", pa.binary()),
        ("reconstruction", pa.binary()),
        ("map_picture", pa.binary()),
        ("exemplar_images", pa.list_(pa.binary())),
        ("counter_exemplar_images", pa.list_(pa.binary())),
    ]
)


def row_of(listed: Listed, found: Explanation | AbeleError, keep: Keep) -> dict[str, Any]:
    """The row of one image; what it lacks is null.

    Args:
        listed: the image, as its source gives it.
        found: its explanation, or the error in its place.
        keep: ``"summary"``: no pictures, and, of many latent coordinates, no codes and directions either.
    """
    image = listed.image
    row: dict[str, Any] = {
        "index": listed.number,
        "name": listed.name,
        "image_sha256": None if isinstance(image, AbeleError) else bytes.fromhex(hash_of_array(image)),
        "true_label": listed.true_label,
    }
    if isinstance(found, AbeleError):
        return row | {"error": type(found).__name__, "reason": str(found)}
    row |= _said_by(found, VECTORS if keep == "summary" else math.inf)
    return row if keep == "summary" else row | _drawn(found)


def rule_of_row(row: dict[str, Any]) -> Rule:
    """The rule of an image, from its row.

    Raises:
        ValueError: directions were not kept.
    """
    if any(c["direction"] is None and c["towards"] is not None for c in row["conditions"]):
        raise ValueError("without the directions of its conditions")
    conditions = (c | {"direction": c["direction"] and tuple(c["direction"])} for c in row["conditions"])
    return Rule(tuple(Condition(**c) for c in conditions), row["label"])


def cells_of(values: Tensor) -> list[int]:
    """A map (H, W) in [-1, 1] in short: the means of ``GRID`` x ``GRID`` cells, row by row, -127 to 127."""
    cells = functional.adaptive_avg_pool2d(values[None, None].double(), GRID)
    return (127 * cells).round().to(torch.int8).flatten().tolist()  # type: ignore[no-any-return]


def _said_by(e: Explanation, room: float) -> dict[str, Any]:
    """What an explanation says; codes and directions as far as there are ``room`` bytes for them."""
    counters, trust = e.counter_exemplars, e.trust
    exemplar_typicality = e.exemplar_typicality
    k, n_directions = len(e.latent), sum(c.direction is not None for c in e.rule.conditions)
    with_code = 4 * k <= room
    with_rule = 4 * k * (1 + n_directions) <= room
    n_ends = int((room - 4 * k * (1 + n_directions)) // (2 * k)) if with_rule and room < math.inf else len(counters)
    return {
        "label": e.label,
        "probability": None if e.scores is None else float(e.probabilities(e.scores)[e.label]),
        "scores": None if e.scores is None else _highest(e.scores),
        "verdicts": {verdict.part.replace("-", "_"): verdict.grade for verdict in e.verdicts},
        "trust": {field.name: getattr(trust, field.name) for field in fields(Trust)},
        "notes": [note.code for note in e.notes],
        "latent": _numbers(e.latent) if with_code else None,
        "reconstruction_label": e.reconstruction_label,
        "conditions": [_condition(c, with_rule) for c in e.rule.conditions],
        "counterfactual_rules": [
            {"label": rule.label, "axes": [c.axis for c in rule.changes]} for rule in e.counterfactual_rules
        ],
        "n_exemplars": len(e.exemplars),
        "exemplar_typicality": (
            None if exemplar_typicality is None or not len(exemplar_typicality) else float(exemplar_typicality.mean())
        ),
        "counter_exemplars": [
            {
                "label": label,
                "distance": float(counters.distances[i]),
                "score": None if counters.scores is None else float(counters.scores[i, label]),
                "latent": _numbers(counters.latents[i].half()) if with_rule and i < n_ends else None,
            }
            for i, label in enumerate(counters.labels.tolist())
        ],
        "map": cells_of(e.saliency),
        "change": cells_of(counters.saliency[0]) if len(counters) else None,
        "black_box_images": e.params["black_box_images"],
    }


def _condition(c: Condition, with_direction: bool) -> dict[str, Any]:
    direction = _numbers(torch.tensor(c.direction)) if with_direction and c.direction is not None else None
    return {
        "axis": c.axis, "operator": c.operator, "threshold": c.threshold, "towards": c.towards,
        "away_from": c.away_from, "direction": direction,
    }  # fmt: skip


def _highest(scores: Tensor) -> list[dict[str, Any]]:
    best = scores.argsort(descending=True, stable=True)[:N_SCORES].tolist()
    return [{"label": label, "score": float(scores[label])} for label in best]


def _numbers(values: Tensor) -> "np.ndarray[Any, Any]":
    return values.float().numpy()


def _drawn(e: Explanation) -> dict[str, Any]:
    return {
        "image": encoded(e.image, _ROOM["image"]),
        "reconstruction": encoded(e.reconstruction, _ROOM["reconstruction"]),
        "map_picture": encoded((1 + e.saliency[None]) / 2, _ROOM["map"]),
        "exemplar_images": [encoded(image, _ROOM["exemplars"]) for image in e.exemplars.images[:_N_EXEMPLARS]],
        "counter_exemplar_images": [
            encoded(image, _ROOM["counter_exemplars"]) for image in e.counter_exemplars.images[:_N_COUNTER_EXEMPLARS]
        ],
    }
