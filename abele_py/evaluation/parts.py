"""PARTS: what an evaluation measures, and of which images."""

from collections.abc import Callable
from typing import NamedTuple

from .autoencoder_part import AutoencoderPart
from .explanation_parts import CounterExemplarsPart, ExemplarsPart, SurrogatePart
from .map_parts import CoherencePart, SaliencyPart, SanityPart, StabilityPart
from .subject import Part, Subject, all_images, few_images, mapped_images, once


class Entry(NamedTuple):
    """A part of an evaluation, and the numbers of the images that it is measured of."""

    part: type[Part]
    images: Callable[[Subject], tuple[int, ...]]


PARTS: dict[str, Entry] = {
    "autoencoder": Entry(AutoencoderPart, once),
    "surrogate": Entry(SurrogatePart, all_images),
    "counter-exemplars": Entry(CounterExemplarsPart, all_images),
    "exemplars": Entry(ExemplarsPart, all_images),
    "saliency": Entry(SaliencyPart, mapped_images),
    "coherence": Entry(CoherencePart, mapped_images),
    "stability": Entry(StabilityPart, few_images),
    "sanity": Entry(SanityPart, few_images),
}
