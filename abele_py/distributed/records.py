"""What a summary of a run says, as frozen records. Shares are in [0, 1]; labels are those of the black box."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..class_names import name_of
from .run_file import Run

N_BARS = 20  # of a histogram over [0, 1]


@dataclass(frozen=True)
class Entry:
    """One image, in short.

    Attributes:
        shard: number of the file that holds its row.
        row: in that file.
        index, name: in the run.
        label: what the black box predicts.
        true_label: None where nothing is known.
        probability: of the label; None of a black box without scores.
        grades: part, ``"explanation"`` first -> grade.
        held_out, constant: fidelity of the rule, and of the better constant answer; None where they were not measured.
        notes: codes.
        nearest: label of the nearest counter-exemplar; None without one.
        distance: of that one, in the latent space.
    """

    shard: int
    row: int
    index: int
    name: str
    label: int
    true_label: int | None
    probability: float | None
    grades: dict[str, str]
    held_out: float | None
    constant: float | None
    notes: tuple[str, ...]
    nearest: int | None
    distance: float | None

    @property
    def is_right(self) -> bool | None:
        """Is the label the true one? None where nothing is known."""
        return None if self.true_label is None else self.true_label == self.label


@dataclass(frozen=True)
class Failures:
    """Images that could not be explained, for one reason.

    Attributes:
        error: name of the error; ``"other"`` for what is beyond the reasons told apart.
        reason: in words.
        n: how many.
        first: name of the first one.
    """

    error: str
    reason: str
    n: int
    first: str


@dataclass(frozen=True)
class TrustOver:
    """How far explanations of several images can be trusted.

    Attributes:
        n: how many there are.
        grades: part, ``"explanation"`` first -> grade -> number of explanations.
        held_out, constant: mean fidelity of the rules, and of the better constant answers; None of none.
        preserved: share whose reconstruction has the image's label.
        histogram: (2, N_BARS) numbers of explanations by ``held_out`` and by ``constant``, from 0 to 1.
        notes: code -> number of explanations that have it, the most frequent first.
    """

    n: int
    grades: dict[str, dict[str, int]]
    held_out: float | None
    constant: float | None
    preserved: float
    histogram: np.ndarray
    notes: dict[str, int]


@dataclass(frozen=True)
class Border:
    """What lies between one class and another, seen from images of the first.

    Attributes:
        label, other: predicted for the images, and for their counter-exemplars.
        n: counter-exemplars.
        n_nearest: those that are the nearest of their image.
        mean, median, lowest: distances of the counter-exemplars, in the latent space; the median to 4 %.
        change: (GRID, GRID) in [-1, 1], mean over the nearest ones: what changes on the way; None without any.
    """

    label: int
    other: int
    n: int
    n_nearest: int
    mean: float
    median: float
    lowest: float
    change: np.ndarray | None


@dataclass(frozen=True)
class Reason:
    """A kind of condition of a class's rules.

    Attributes:
        towards, away_from: labels that the condition's direction leads to and from; ``away_from`` is None for the
            class itself. Both None of a condition on a coordinate.
        axis, below: the coordinate, and whether it must be at most a threshold; None of a direction.
        n: explanations whose rule has such a condition.
    """

    towards: int | None
    away_from: int | None
    axis: int | None
    below: bool | None
    n: int


@dataclass(frozen=True)
class ClassOver:
    """One class: the images for which the black box predicts it.

    Attributes:
        label: of the class.
        trust: in their explanations.
        n_true: images, explained or not, of which it is known that they are of this class, whatever is predicted.
        n_known, n_right: explained images with this prediction whose true label is known, and those that have it.
        typical: medoids of their codes; empty where codes were not kept.
        map, spread: (GRID, GRID) mean of the maps, in [-1, 1], and standard deviation; None without maps.
        reasons: the most frequent kinds of conditions.
    """

    label: int
    trust: TrustOver
    n_true: int
    n_known: int
    n_right: int
    typical: tuple[Entry, ...]
    map: np.ndarray | None
    spread: np.ndarray | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Side:
    """Explanations of mistakes, or of right decisions, to be compared.

    Attributes:
        n: how many.
        grades: grade of the whole -> number.
        notes: code -> number.
        signs: name of a sign, one of ``abele_py.distributed.mistakes.SIGNS`` -> number.
        probability, distance: means of the predicted label's probability, and of the distance to the nearest
            counter-exemplar; None where none is known.
    """

    n: int
    grades: dict[str, int]
    notes: dict[str, int]
    signs: dict[str, int]
    probability: float | None
    distance: float | None


@dataclass(frozen=True)
class Confusion:
    """Images of one class that are predicted as another.

    Attributes:
        true_label, label: known and predicted.
        side: what their explanations say.
        to_true: mean distance to the counter-exemplar that has the true label; None where there is none.
        change: (GRID, GRID) mean change on the way to the true label, where that is the nearest; else None.
        groups: names of signs that come together -> number of images with these alone, the most frequent first.
        examples: some of them.
    """

    true_label: int
    label: int
    side: Side
    to_true: float | None
    change: np.ndarray | None
    groups: dict[tuple[str, ...], int]
    examples: tuple[Entry, ...]


@dataclass(frozen=True)
class Mistakes:
    """What is known of mistakes.

    Attributes:
        wrong, right: explanations of mistakes and of right decisions.
        confusions: by true and predicted label, the most frequent first.
        groups: of all mistakes, as of :class:`Confusion`.
        left_out: mistakes of pairs beyond those that are told apart.
    """

    wrong: Side
    right: Side
    confusions: tuple[Confusion, ...]
    groups: dict[tuple[str, ...], int]
    left_out: int


@dataclass(frozen=True)
class Summary:
    """What a run says in sum.

    Attributes:
        folder: of the run.
        run: what it is.
        n: rows that are there; fewer than ``run.data["n"]`` of a run that is not finished.
        failures: images that could not be explained, the most frequent reasons first.
        trust: in all explanations.
        classes: by label, of those that were predicted.
        borders: by label and other label.
        borders_left_out: counter-exemplars of pairs beyond those that are told apart.
        mistakes: None where no true label is known.
        least: images whose explanations can be trusted least, the worst first.
        listed: images to choose from: those of ``least``, mistakes of all kinds, and a random sample; by index.
    """

    folder: Path
    run: Run
    n: int
    failures: tuple[Failures, ...]
    trust: TrustOver
    classes: tuple[ClassOver, ...]
    borders: tuple[Border, ...]
    borders_left_out: int
    mistakes: Mistakes | None
    least: tuple[Entry, ...]
    listed: tuple[Entry, ...]

    @property
    def n_failed(self) -> int:
        """Number of images that could not be explained."""
        return sum(failures.n for failures in self.failures)

    @property
    def is_whole(self) -> bool:
        """Whether the rows of all images are there."""
        return self.n == self.run.data.get("n", self.n)

    def name(self, label: Any) -> str:
        """The name of a label, or its number where it has none."""
        return name_of(self.run.class_names, int(label))
