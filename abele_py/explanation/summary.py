"""An explanation in short: what it says, as JSON of a few kB, without arrays."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from .explanation import Explanation

N_SCORES = 10  # of the highest


def summary_of(e: "Explanation") -> dict[str, Any]:
    """Decision, rules, counter-exemplars, trust, notes, options and provenance of an explanation.

    Returns:
        What JSON can say. Labels stand beside their names; rules are texts; of the scores the highest ten.
    """
    counters = e.counter_exemplars
    return {
        "label": _label(e, e.label),
        "scores": None if e.scores is None else _highest(e, e.scores),
        "reconstruction_label": _label(e, e.reconstruction_label),
        "rule": e.rule.words(e.name),
        "counterfactual_rules": [rule.words(e.name) for rule in e.counterfactual_rules],
        "exemplars": {"n": len(e.exemplars), "typicality": _numbers(e.exemplar_typicality)},
        "counter_exemplars": [
            _label(e, label)
            | {"score": None if counters.scores is None else float(counters.scores[i, label])}
            | {"distance": float(counters.distances[i])}
            for i, label in enumerate(counters.labels.tolist())
        ],
        "trust": asdict(e.trust),
        "verdicts": [asdict(verdict) for verdict in e.verdicts],
        "notes": [asdict(note) for note in e.notes],
        "params": e.params,
        "provenance": e.provenance,
    }


def _label(e: "Explanation", label: int) -> dict[str, Any]:
    return {"label": label, "name": e.name(label)}


def _highest(e: "Explanation", scores: Tensor) -> list[dict[str, Any]]:
    best = scores.argsort(descending=True, stable=True)[:N_SCORES].tolist()
    return [_label(e, label) | {"score": float(scores[label])} for label in best]


def _numbers(values: Tensor | None) -> list[float] | None:
    return None if values is None else values.tolist()
