"""Which saliency map an explanation has, and what it is made of."""

import torch

from ..black_boxes.outputs import Answer
from ..latent.space import LatentSpace, Points
from .backdrop import Backdrop, backgrounds_of, blurred, mean_of_nearest
from .options import Options
from .saliency import MeasuredMap, areas_of_seed, contrast_map, map_of_mosaics, median_map


def measured_map(
    options: Options, space: LatentSpace, anchor: Points, neighbors: Points, exemplars: Points, landmarks: Points,
    backdrop: Backdrop,
) -> MeasuredMap:  # fmt: skip
    """The map that ``options.saliency`` names, of the image and label of an anchor.

    Args:
        options: of the explanation.
        space: decodes landmarks, and queries the black box.
        anchor: the image with its label.
        neighbors, exemplars: of the explanation.
        landmarks: real codes, labelled, of which ``backdrop`` are the images.
    """
    image, label = anchor.images[0], int(anchor.labels)
    if options.saliency == "median":
        return MeasuredMap(median_map(image, exemplars.images), None)
    if options.saliency == "contrast":
        evidence = Answer(neighbors.labels, neighbors.scores).evidence(label)
        return MeasuredMap(contrast_map(image, neighbors.images, evidence, neighbors.labels == label), None)
    # Of the landmarks where they have other labels: they are the same for all images, which keeps maps stable. And
    # so are the areas, which depend on the seed alone.
    if backdrop.has_others(label):
        near = space.decode(landmarks.latents[backdrop.near_others(image, label)])
        backgrounds = torch.stack([backdrop.darkest_of_others(label), mean_of_nearest(image, near), blurred(image)])
    else:
        backgrounds = backgrounds_of(image, neighbors.images[neighbors.labels != label])
    return map_of_mosaics(
        image,
        backgrounds,
        areas_of_seed(options.random_state, *image.shape[1:]),
        lambda mosaics: space.query(mosaics).probability(label),
        space.batch_size,
    )
