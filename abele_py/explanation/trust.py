"""How far to trust an explanation: its figures, and notes on what could not be found or kept."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..latent.counter_exemplars import CounterExemplars
from ..latent.space import Points
from ..surrogate.tree import Fidelity, Surrogate

NOT_TYPICAL = 0.05  # as many of the images that the autoencoder was checked with are less typical


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
        code: what it is, for programs: see :func:`notes_on`.
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


def notes_on(
    trust: Trust,
    name: Callable[[int], str],
    label: int,
    reconstruction: int,
    n_exemplars: int,
    n_counter_exemplars: int,
    wanted: int | None,
    params: Mapping[str, Any],
) -> Iterator[Note]:
    """What a reader must know. Codes: ``label-not-preserved``, ``code-not-valid``, ``not-typical``,
    ``one-label``, ``min-class-fraction``, ``no-rule``, ``few-neighbors``, ``below-constant``, ``few-exemplars``,
    ``target-not-found``, ``no-counter-exemplars``.

    Args:
        trust: the figures.
        name: the name of a label.
        label, reconstruction: the black box's label of the image, and of its reconstruction.
        n_exemplars, n_counter_exemplars: how many were found.
        wanted: the target, if there was one.
        params: what was asked for.
    """
    if not trust.label_preserved:
        yield Note(
            "label-not-preserved",
            f"the black box sees {name(reconstruction)} in the reconstruction of the image: the autoencoder "
            "loses what decides here, and the explanation may speak of another image",
        )
    if not trust.code_valid:
        yield Note(
            "code-not-valid",
            "the autoencoder's discriminator does not take the image for one like those it was trained on",
        )
    if trust.typicality is not None and trust.typicality < NOT_TYPICAL:
        yield Note(
            "not-typical",
            f"the image is unusual: its code is less likely than those of {1 - trust.typicality:.0%} of the images "
            "that the autoencoder was checked with, so that there were few like it to learn from",
        )
    if trust.n_labels == 1:
        yield Note("one-label", f"every neighbor is a {name(label)}: the rule says nothing about what decides")
    elif trust.other_fraction < params["min_class_fraction"]:
        yield Note(
            "min-class-fraction",
            f"only {trust.other_fraction:.1%} of the neighbors have another label, less than the "
            f"{params['min_class_fraction']:.0%} asked for",
        )
    if trust.n_leaves == 1 < trust.n_labels:
        yield Note("no-rule", f"no rule was found that does better than always answering {name(label)}")
    if trust.n_neighbors < params["n_samples"]:
        yield Note(
            "few-neighbors", f"only {trust.n_neighbors} of {params['n_samples']} neighbors are valid and distinct"
        )
    if trust.held_out < trust.constant:
        yield Note(
            "below-constant",
            f"always answering {name(label)} is right more often ({trust.constant:.3f}) than the surrogate "
            f"({trust.held_out:.3f}): do not trust the rule",
        )
    if n_exemplars < params["n_exemplars"]:
        yield Note(
            "few-exemplars",
            f"{n_exemplars} of {params['n_exemplars']} exemplars found: the rule's box holds few valid {name(label)}",
        )
    if wanted is not None and n_counter_exemplars == 0:
        yield Note("target-not-found", f"no valid image found that the black box calls {name(wanted)}")
    elif n_counter_exemplars == 0:
        yield Note("no-counter-exemplars", "no valid image with another label found")
