"""PARTS: what an evaluation measures, image by image, as rows of figures.

A part prepares what its images share, and gives a function from the number of an image to rows. What it measures of
an image depends on the seed and that image alone, so that an interrupted evaluation goes on with the same figures.
"""

from .explanation_parts import autoencoder, counter_exemplars, exemplars, surrogate
from .map_parts import coherence, saliency, sanity, stability
from .subject import Part, all_images, few_images, mapped_images, once

PARTS: dict[str, Part] = {
    "autoencoder": Part(autoencoder, once),
    "surrogate": Part(surrogate, all_images),
    "counter-exemplars": Part(counter_exemplars, all_images),
    "exemplars": Part(exemplars, all_images),
    "saliency": Part(saliency, mapped_images),
    "coherence": Part(coherence, mapped_images),
    "stability": Part(stability, few_images),
    "sanity": Part(sanity, few_images),
}
