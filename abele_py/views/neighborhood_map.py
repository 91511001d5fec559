"""The flat map of a neighborhood: the view of the latent space in which the labels lie farthest apart."""

import torch
from torch import Tensor

from ..explanation.explanation import Explanation
from ..explanation.others import other_labels
from .components import section
from .html import Html, tag
from .sentences import percent
from .svg import scatter, swatch

MOST_GROUPS = 12  # labels with a colour and shape of their own on the map


def neighborhood_map(e: Explanation) -> Html:
    """The section of a page that shows the neighborhood from above: a dot for each image that was queried."""
    n = e.neighborhood
    basis, share = projection(n.latents, n.labels)
    basis = basis.double()
    center = n.latents.double().mean(dim=0)
    points, here = (n.latents.double() - center) @ basis, (e.latent.double() - center) @ basis
    found, counts = n.labels.unique(return_counts=True)
    order = [e.label, *(y for y in found[counts.argsort(descending=True, stable=True)].tolist() if y != e.label)]
    own, rest = order[:MOST_GROUPS], order[MOST_GROUPS:]
    groups = [(e.name(y), i, points[n.labels == y]) for i, y in enumerate(own)]
    if rest:
        groups.append(("other labels", -1, points[torch.isin(n.labels, torch.tensor(rest))]))
    c, others = e.counter_exemplars, other_labels(e)
    ends = (c.latents.double() - center) @ basis
    marks = [(e.name(y), end) for y, end in zip(c.labels.tolist(), ends, strict=True) if y in others.shown]
    told = f"Map of {len(n)} similar images around this one, marked by a star: " + ", ".join(
        f"{name} {len(p)}" for name, _, p in groups
    )
    buttons = [
        tag(
            "button",
            swatch(number),
            f" {name} ",
            tag("small", len(inside)),
            type="button",
            aria_pressed="false",
            data_group=number,
        )
        for name, number, inside in groups
    ]
    kept = (
        f"It keeps {percent(share)} of what sets the labels' centres apart" if len(found) > 1 else "All have one label"
    )
    return section(
        "map",
        "The images the rule was learned from",
        tag(
            "p",
            f"The black box was queried for {len(n)} images around this one. The map is the flat view of their "
            f"{n.latents.shape[1]}-dimensional latent space in which the labels lie farthest apart. {kept}; what is "
            "near here may be far apart there. Star: this image. "
            f"Rings: {'the nearest ' * bool(others.rest)}counter-exemplars.",
            tag("span", " A label's button shows it alone.", class_="scripted"),
        ),
        tag(
            "figure",
            scatter(groups[::-1], marks, here, told),
            tag("figcaption", buttons, class_="labels"),
            class_="map2d",
        ),
    )


def projection(latents: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Two directions at right angles in which the labels' means lie farthest apart: (k, 2) float64, and their share.

    They are the first principal components of the labels' means, each as often as it has points; where the means span
    fewer than two dimensions, of the points themselves. The share, in [0, 1], is what these directions hold of the
    squared distances of the means; 1 where there is one label only.
    """
    points = latents.double() - latents.double().mean(dim=0)
    found, counts = labels.unique(return_counts=True)
    means = torch.stack([points[labels == y].mean(dim=0) for y in found]) * counts.double().sqrt()[:, None]
    sizes, basis = _components(means)
    rank = min(2, int((sizes > 1e-9).sum()))
    share = float(sizes[:2].square().sum() / sizes.square().sum()) if rank else 1.0
    basis = basis[:, :rank]
    if rank < 2:
        rest = _components(points - points @ basis @ basis.T)[1]
        basis = torch.cat([basis, rest[:, : 2 - rank]], dim=1)
    basis = torch.nn.functional.pad(basis, (0, 2 - basis.shape[1]))  # a latent space of one dimension
    signs = basis.gather(0, basis.abs().argmax(dim=0)[None]).sign()
    return basis * torch.where(signs == 0, 1.0, signs), share


def _components(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values, and the right singular vectors as columns."""
    _, sizes, vectors = torch.linalg.svd(rows, full_matrices=False)
    return sizes, vectors.T
