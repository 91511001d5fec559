"""An audit as files: a page, a table, and all of it as JSON. What is replaced is an earlier audit alone."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..audit.audit import Audit, Suspicion
from ..black_boxes.kept import ANSWERS, PATTERN, KeptAnswers
from ..checking.parameters import checked
from ..storage.files import write_bytes, write_json
from ..storage.places import MARK, Kind, alone, check_replaceable, signature
from .audit_page import page_of_audit, verdict
from .audit_plot import plot_of_audit

FILES = ("audit.html", "audit.json", "effects.csv", "audit.png")
KEPT = "answers"  # folder of what the black box has answered, while an audit is not finished
AUDIT = Kind(
    "audit",
    lambda _: (*FILES, f"{KEPT}/{PATTERN}", f"{KEPT}/{MARK}"),
    lambda place: signature(place).get("abele_py") == "audit" or ANSWERS.made(place / KEPT),
)


@checked
def write_audit(audit: Audit, folder: str | Path, title: str = "the black box") -> list[Path]:
    """Write an audit: ``audit.html``, which needs no other file, ``audit.json``, ``effects.csv`` and ``audit.png``.

    Args:
        audit: what was found.
        folder: free, empty, or of an earlier audit, which is replaced.
        title: what was audited.

    Returns:
        The paths, the page first.

    Raises:
        PlaceError: the folder holds something else, or cannot be written.
    """
    place = Path(folder)
    check_replaceable(place, AUDIT)
    figure = io.BytesIO()
    plot_of_audit(audit, title).savefig(figure, format="png", dpi=110, metadata={"Software": None})
    contents = {
        "audit.html": page_of_audit(audit, title).encode(),
        "audit.json": (json.dumps(as_json(audit), indent=1, allow_nan=False) + "\n").encode(),
        "effects.csv": _table(audit).encode(),
        "audit.png": figure.getvalue(),
    }
    with alone(place, AUDIT.name, wait=60):
        check_replaceable(place, AUDIT)
        write_json(place / MARK, {"abele_py": AUDIT.name})
        for name, content in contents.items():
            write_bytes(place / name, content)
    return [place / name for name in contents]


@contextmanager
def answers_kept(folder: str | Path, of: Mapping[str, Any]) -> Iterator[KeptAnswers]:
    """Where an audit keeps answers of the black box, in the folder that it will be written to.

    They are removed when all within this is done, and stay where it is interrupted or fails, for the next call.

    Args:
        folder: as of :func:`write_audit`.
        of: as of :class:`~abele_py.black_boxes.kept.KeptAnswers`.

    Raises:
        PlaceError: the folder holds something else, cannot be written, or another process audits into it.
    """
    place = Path(folder)
    check_replaceable(place, AUDIT)
    with alone(place, KEPT):
        answers = KeptAnswers(place / KEPT, of)
        yield answers
        answers.forget()


def as_json(audit: Audit) -> dict[str, Any]:
    """An audit without its pictures, as JSON."""
    return {
        "verdict": verdict(audit),
        "suspicions": [_suspicion(audit, suspicion) for suspicion in audit.suspicions],
        "effects": [asdict(effect) for effect in audit.effects],
        "objections": audit.objections,
        "kept": list(audit.kept),
        "counts": list(audit.counts),
        "class_names": list(audit.class_names),
        "black_box_images": audit.black_box_images,
        "params": audit.params,
    }


def _suspicion(audit: Audit, suspicion: Suspicion) -> dict[str, Any]:
    place = suspicion.place
    return {
        "label": suspicion.label,
        "name": audit.name(suspicion.label),
        "follows": [effect.operator for effect in suspicion.effects],
        "direction": suspicion.direction,
        "place": {
            "kind": place.kind, "window": place.window, "rate": place.rate, "rate_elsewhere": place.rate_elsewhere,
            "n": place.n,
        },
    }  # fmt: skip


def _table(audit: Audit) -> str:
    file = io.StringIO()
    rows = [{"name": audit.name(effect.label)} | asdict(effect) for effect in audit.effects]
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["name"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
