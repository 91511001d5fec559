"""Notes: what a reader of an explanation must know, as data."""

from collections.abc import Iterator

from torch import Tensor

from ..class_names import name_of
from ..latent.space import LatentSpace
from .explanation import Explanation
from .trust import Note

NOT_TYPICAL = 0.05  # as many of the images that the autoencoder was checked with are less typical


def notes_on(e: Explanation, blank: bool = False, inverted: bool = False) -> Iterator[Note]:
    """What could not be found or kept. Codes: ``label-not-preserved``, ``not-drawn``, ``code-not-valid``,
    ``not-typical``, ``one-label``, ``min-class-fraction``, ``own-label-fraction``, ``no-rule``, ``few-neighbors``,
    ``below-constant``, ``few-exemplars``, ``target-not-found``, ``no-counter-exemplars``; and of the image itself,
    ``blank``, ``inverted``.

    Args:
        e: the explanation.
        blank: whether nothing can be seen on the image.
        inverted: whether light and dark of the image are likely exchanged; the explanation alone does not say so.
    """
    trust, params, name, label, reconstruction = e.trust, e.params, e.name, e.label, e.reconstruction_label
    n_exemplars, n_counter_exemplars, wanted = len(e.exemplars), len(e.counter_exemplars), params["target"]
    if blank:
        low, high = map(float, e.image.aminmax())
        yield Note(
            "blank",
            f"there is nothing to be seen on the image: its pixels lie between {low:.3f} and {high:.3f}, where 0 is "
            "black and 1 is white. What the black box predicts for it means little; look how it was read and scaled",
        )
    if inverted:
        yield Note(
            "inverted",
            "light and dark of the image are likely exchanged: it is none like those that the autoencoder was trained "
            "on, and its negative is; explain 1 - image",
        )
    if not trust.label_preserved:
        yield Note(
            "label-not-preserved",
            f"the black box predicts {name(reconstruction)} for the reconstruction of the image: the autoencoder "
            "loses what decides here, and the explanation may be about another image",
        )
    if not trust.is_drawn:
        yield Note(
            "not-drawn",
            f"the reconstruction shows only {max(0.0, trust.explained_variance or 0.0):.0%} of what varies within the "
            "image: the autoencoder cannot draw it, and what is shown in its place is hardly this image",
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
            f"{params['min_class_fraction']:.0%} wanted",
        )
    if trust.own_fraction < params["min_class_fraction"]:
        yield Note(
            "own-label-fraction",
            f"only {trust.own_fraction:.1%} of the neighbors are predicted as {name(label)} as the image is, less than "
            f"the {params['min_class_fraction']:.0%} wanted: there is little to learn about {name(label)}",
        )
    always = name(label if trust.constant_label is None else trust.constant_label)
    if trust.n_leaves == 1 < trust.n_labels:
        yield Note("no-rule", f"no rule was found that does better than always answering {always}")
    if trust.n_neighbors < params["n_samples"]:
        yield Note(
            "few-neighbors", f"only {trust.n_neighbors} of {params['n_samples']} neighbors are valid and distinct"
        )
    if trust.held_out < trust.constant:
        yield Note(
            "below-constant",
            f"always answering {always} is right more often ({trust.constant:.3f}) than the surrogate "
            f"({trust.held_out:.3f}): do not trust the rule",
        )
    elif trust.held_out == trust.constant and trust.n_leaves > 1:
        yield Note(
            "below-constant",
            f"always answering {always} is right as often as the surrogate ({trust.constant:.3f}): the rule says no "
            "more than that",
        )
    if n_exemplars < params["n_exemplars"]:
        yield Note(
            "few-exemplars",
            f"{n_exemplars} of {params['n_exemplars']} exemplars found: the rule's box holds few valid {name(label)}",
        )
    if wanted is not None and n_counter_exemplars == 0:
        yield Note("target-not-found", f"no valid image found that the black box predicts as {_target(e)}")
    elif n_counter_exemplars == 0:
        yield Note("no-counter-exemplars", "no valid image with another label found")


def _target(e: Explanation) -> str:
    """The name of the target, which may have been given by its name or its label."""
    target = e.params["target"]
    known = isinstance(target, str) and (target in e.class_names or not target.isdecimal())
    return str(target) if known else name_of(e.class_names, int(target))


def is_inverted(space: LatentSpace, image: Tensor, latent: Tensor, lightness: float) -> bool:
    """Whether the image (C, H, W) is none of those that the autoencoder knows, and its negative is one.

    Args:
        space: of the autoencoder.
        image: in [0, 1].
        latent: (k,) its code.
        lightness: mean of the pixels of images that the autoencoder was trained on.
    """
    negative = 1 - image
    if abs(float(negative.mean()) - lightness) >= abs(float(image.mean()) - lightness) or _is_known(space, latent):
        return False
    return _is_known(space, space.encode(negative[None])[0])


def _is_known(space: LatentSpace, latent: Tensor) -> bool:
    typicality = space.typicality(latent[None])
    typical = typicality is None or float(typicality) >= NOT_TYPICAL
    return typical and bool(space.valid(latent[None]))
