"""How far to trust an explanation: its figures, and notes on what could not be found or kept."""

from dataclasses import dataclass

from ..latent.counter_exemplars import CounterExemplars
from ..latent.space import Points
from ..surrogate.tree import Fidelity, Surrogate


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


@dataclass(frozen=True)
class Note:
    """Something the reader of an explanation must know, as data.

    Attributes:
        code: what it is, for programs: see :func:`~abele_py.explanation.notes.notes_on`.
        text: the same for people.
    """

    code: str
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
    )
