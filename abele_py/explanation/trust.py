"""How far to trust an explanation: its figures, notes on what could not be found or kept, and verdicts."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from ..latent.counter_exemplars import CounterExemplars
from ..latent.space import Points
from ..surrogate.fidelity import Fidelity
from ..surrogate.tree import Surrogate

Grade = Literal["good", "near", "care", "bad"]
Part = Literal["explanation", "rule", "map", "exemplars", "counter-exemplars"]
# The grade of an explanation, or of a part of it, as the answer to: can I believe this?
HEADLINES: dict[Grade, str] = {
    "good": "Yes",
    "near": "Yes, near this image",
    "care": "With care",
    "bad": "Do not rely on the rule",
}
HALF = 0.5  # of an image's variance; with less, a person sees a blur in its place
ANSWERS: dict[Grade, str] = {"good": "yes", "near": "near only", "care": "with care", "bad": "no"}


@dataclass(frozen=True)
class Trust(Fidelity):
    """The figures that say how far to trust an explanation: the surrogate's fidelity, and what it rests on.

    Attributes:
        label_preserved: does the reconstruction get the image's label?
        reconstruction_error: root mean squared difference between image and reconstruction, in [0, 1].
        code_valid: does the discriminator find the image's code realistic?
        other_fraction: share of neighbors with another label than the image.
        n_neighbors, n_labels: number of neighbors, and of different labels among them.
        n_leaves: size of the surrogate.
        counter_exemplar_agreement: share of counter-exemplars to which the surrogate gives the black box's label;
            None without counter-exemplars.
        typicality: of the image's code, see :meth:`~abele_py.models.mixture.Mixture.typicality`: about the share of
            images that are no more likely; None for an autoencoder without a mixture of its codes.
        map_fit: how well the map predicts the black box where areas of the image are replaced, see
            :class:`~abele_py.explanation.saliency.MeasuredMap`: at most 1, and 0 for a map that predicts nothing. None
            for maps that are no such prediction, or where the answers do not vary, and in files of a time without it.
        explained_variance: share of what varies within the image that its reconstruction shows, at most 1; 0 for one
            that is no better than the mean colour. None for an image of one colour, and in files of a time without it.
    """

    label_preserved: bool
    reconstruction_error: float
    code_valid: bool
    other_fraction: float
    n_neighbors: int
    n_labels: int
    n_leaves: int
    counter_exemplar_agreement: float | None
    typicality: float | None = None
    map_fit: float | None = field(default=None, kw_only=True)
    explained_variance: float | None = field(default=None, kw_only=True)

    @property
    def is_drawn(self) -> bool:
        """Whether the reconstruction shows at least half of what varies within the image, as far as that is known."""
        return self.explained_variance is None or self.explained_variance >= HALF

    @property
    def own_fraction(self) -> float:
        """Share of neighbors with the image's label, the image itself aside."""
        return max(0.0, (1 - self.other_fraction) * self.n_neighbors - 1) / max(1, self.n_neighbors - 1)


@dataclass(frozen=True)
class Note:
    """Something the reader of an explanation must know, as data.

    Attributes:
        code: what it is, for programs: see :func:`~abele_py.explanation.notes.notes_on`.
        text: the same for people.
    """

    code: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """Whether one part of an explanation can be used, as data.

    Attributes:
        part: ``"rule"``, ``"map"``, ``"exemplars"`` or ``"counter-exemplars"``; ``"explanation"`` for the whole.
        grade: ``"good"``; ``"near"``, near the image only; ``"care"``; or ``"bad"``.
        text: why, as sentences.
    """

    part: Part
    grade: Grade
    text: str


def judge(
    fidelity: Fidelity,
    surrogate: Surrogate,
    neighbors: Points,
    anchor: Points,
    reconstruction: Points,
    counters: CounterExemplars,
    code_valid: bool,
    typicality: float | None = None,
    map_fit: float | None = None,
) -> Trust:
    """The figures of one explanation; ``anchor`` is the image with its own code and label."""
    agreement = (surrogate.predict(counters.latents) == counters.labels).float() if len(counters) else None
    return Trust(
        **vars(fidelity),
        label_preserved=bool(reconstruction.labels == anchor.labels),
        reconstruction_error=float((reconstruction.images - anchor.images).square().mean().sqrt()),
        code_valid=code_valid,
        other_fraction=float((neighbors.labels != anchor.labels).double().mean()),
        n_neighbors=len(neighbors),
        n_labels=len(neighbors.labels.unique()),
        n_leaves=surrogate.n_leaves,
        counter_exemplar_agreement=None if agreement is None else float(agreement.mean()),
        typicality=typicality,
        map_fit=map_fit,
        explained_variance=_explained_variance(anchor.images[0], reconstruction.images[0]),
    )


def _explained_variance(image: Tensor, reconstruction: Tensor) -> float | None:
    varies = float((image - image.mean(dim=(1, 2), keepdim=True)).square().sum())
    return 1 - float((image - reconstruction).square().sum()) / varies if varies > 0 else None
