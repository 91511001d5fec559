"""The pictures of the pages that tell how the method works and how to read it, of embedded digits: `make pictures`.

python docs/pictures.py          # writes docs/pictures/*.png
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from abele_py import Abele, BlackBox, Explanation, load_autoencoder, load_classifier, load_image
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.explanation.backdrop import backgrounds_of
from abele_py.explanation.saliency import mosaic_map
from abele_py.latent.space import LatentSpace

OUT = Path(__file__).parent / "pictures"
DIGIT = "digits:test:71"
ROUND_DIGIT = "digits:test:44"  # the one of README
NEAR = (8, 0)  # labels of two counter-exemplars
COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#999933", "#44bb99", "#777777"]
LABELS = {"cmap": ListedColormap(COLOURS), "vmin": -0.5, "vmax": 9.5}


def show(ax: Axes, image: Tensor, title: str = "", label: int | None = None) -> None:
    """An image, framed in the colour of its label if one is given."""
    ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    frame(ax, title, label)


def show_map(ax: Axes, e: Explanation, values: Tensor, title: str) -> None:
    """A map over a pale copy of the image."""
    ax.imshow(1 - 0.25 * e.image[0], cmap="gray", vmin=0, vmax=1)
    ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, alpha=(2 * values.abs()).clamp(0, 0.9).numpy())
    frame(ax, title)


def frame(ax: Axes, title: str = "", label: int | None = None) -> None:
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9, pad=3)
    for spine in ax.spines.values():
        spine.set(color="#bbbbbb" if label is None else COLOURS[label], linewidth=0.8 if label is None else 2.5)


def key(figure: Figure, labels: Sequence[int]) -> None:
    """The colours of labels, below the figure."""
    dots = [plt.Line2D([], [], marker="s", linestyle="", color=COLOURS[y], label=str(y)) for y in labels]
    figure.legend(handles=dots, loc="outside lower center", ncols=len(dots), frameon=False, fontsize=9)


def position(e: Explanation, label: int) -> int:
    return e.counter_exemplars.labels.tolist().index(label)


def plane_of(e: Explanation) -> tuple[Tensor, Tensor]:
    """Two unit vectors at right angles, which span the plane of the code and two counter-exemplars."""
    first, second = (e.counter_exemplars.latents[position(e, label)] - e.latent for label in NEAR)
    first = first / first.norm()
    second = second - (second @ first) * first
    return first, second / second.norm()


def overview_picture(e: Explanation) -> Figure:
    """The image, what supports its label, images with the same label, near images with another."""
    figure, axes = plt.subplots(1, 8, figsize=(8.2, 1.3), layout="constrained")
    show(axes[0], e.image, f"\u201ca {e.label}\u201d", e.label)
    show_map(axes[1], e, e.saliency, "because of")
    for i, (ax, row) in enumerate(zip(axes[2:5], (1, 7, 4), strict=True)):
        show(ax, e.exemplars.images[row], f"still a {e.label}" if i == 1 else "", int(e.exemplars.labels[row]))
    for ax, label in zip(axes[5:], (*NEAR, 5), strict=True):
        show(
            ax, e.counter_exemplars.images[position(e, label)], f"{'an' if label == 8 else 'a'} {label} instead", label
        )
    return figure


def autoencoder_picture(space: LatentSpace) -> Figure:
    """Images over their decoded codes, beside a map of codes."""
    images = to_unit(load_split("digits", "test").images)[[71, 44, 7, 25, 60]]
    again = space.decode(space.encode(images))
    points = space.classify(space.reference_latents)
    flat = LinearDiscriminantAnalysis(n_components=2).fit_transform(points.latents, points.labels)
    figure = plt.figure(figsize=(8.2, 2.9), layout="constrained")
    grid = figure.add_gridspec(2, 8, width_ratios=[1] * 5 + [1.5] * 3)
    for row, (row_images, name) in enumerate([(images, "image"), (again, "its code,\ndecoded")]):
        for column, image in enumerate(row_images):
            ax = figure.add_subplot(grid[row, column])
            show(ax, image)
            if column == 0:
                ax.set_ylabel(name, fontsize=9)
    ax = figure.add_subplot(grid[:, 5:])
    ax.scatter(*flat.T, c=points.labels, s=9, linewidths=0, **LABELS)
    frame(ax, "codes of training images, flattened")
    key(figure, range(10))
    return figure


def neighborhood_picture(e: Explanation, space: LatentSpace) -> Figure:
    """Some neighbors from near to far, and all of them in the plane of two counter-exemplars."""
    latents, labels = e.neighborhood.latents[1:], e.neighborhood.labels[1:]
    distances = (latents - e.latent).norm(dim=1)
    chosen = distances.argsort()[torch.linspace(0, len(latents) - 1, 24).long()]
    figure = plt.figure(figsize=(8.2, 3.1), layout="constrained")
    grid = figure.add_gridspec(3, 12, width_ratios=[1] * 8 + [1.25] * 4)
    for i, (row, image) in enumerate(zip(chosen.tolist(), space.decode(latents[chosen]), strict=True)):
        show(figure.add_subplot(grid[i // 8, i % 8]), image, f"{float(distances[row]):.1f}", int(labels[row]))
    first, second = plane_of(e)
    ax = figure.add_subplot(grid[:, 8:])
    steps, size = latents - e.latent, 30 * e.neighborhood.weights[1:]
    ax.scatter(steps @ first, steps @ second, c=labels, s=size, linewidths=0, alpha=0.8, **LABELS)
    ax.plot(0, 0, marker="*", color="black", markersize=14)
    ax.set_aspect("equal")
    frame(ax, "all of them")
    key(figure, sorted(set(labels.tolist())))
    return figure


def surrogate_picture(e: Explanation, space: LatentSpace) -> Figure:
    """A plane through the code: the black box's labels, and the surrogate's."""
    first, second = plane_of(e)
    side = torch.linspace(-2.2, 2.2, 160)
    across, up = torch.meshgrid(side, side, indexing="xy")
    latents = e.latent + across.reshape(-1, 1) * first + up.reshape(-1, 1) * second
    predicted, fitted = space.classify(latents).labels, e.surrogate.predict(latents)
    inside = e.rule.covers(latents).reshape(across.shape)
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 4.1), layout="constrained")
    for ax, labels, title in (
        (axes[0], predicted, "what the black box predicts for the decoded points"),
        (axes[1], fitted, "what the surrogate tree predicts"),
    ):
        ax.imshow(labels.reshape(across.shape), origin="lower", extent=[-2.2, 2.2] * 2, alpha=0.75, **LABELS)
        ax.contour(side, side, inside.float(), levels=[0.5], colors="black", linewidths=1.6)
        ax.plot(0, 0, marker="*", color="black", markersize=13)
        for step in (e.counter_exemplars.latents - e.latent)[[position(e, y) for y in NEAR]]:
            ax.plot(step @ first, step @ second, marker="o", color="white", markeredgecolor="black", markersize=8)
        frame(ax, title)
    key(figure, sorted({*predicted.tolist(), *fitted.tolist()}))
    return figure


def rule_picture(e: Explanation) -> Figure:
    """A strip of images along each condition of the rule, and where the rule ends."""
    walks, conditions = e.traversals, e.rule.conditions
    rows = [walks.axes.tolist().index(condition.axis) for condition in conditions]
    figure, axes = plt.subplots(len(rows), walks.images.shape[1], figsize=(8.2, 5.2), layout="constrained")
    ends = []
    for strip, row, condition in zip(axes, rows, conditions, strict=True):
        values = walks.positions[row]
        here = int((values - condition.coordinate(e.latent[None])).abs().argmin())
        for i, ax in enumerate(strip):
            title = f"{float(values[i]):.2f}" + ("\nthe image" if i == here else "\n")
            show(ax, walks.images[row, i], title, int(walks.labels[row, i]))
        strip[0].set_ylabel(condition.words().replace(" (", "\n(").replace(") ", ")\n"), fontsize=9, rotation=0)
        strip[0].yaxis.set_label_coords(-0.6, 0.25)
        ends.append((strip, int((values <= condition.threshold).sum())))
    key(figure, sorted(set(walks.labels[rows].flatten().tolist())))
    figure.canvas.draw()  # lays out; only then is it known where the images are
    for strip, end in ends:
        before, after = strip[end - 1].get_position(), strip[end].get_position()
        x = (before.x1 + after.x0) / 2
        figure.add_artist(plt.Line2D([x, x], [before.y0 - 0.01, before.y1 + 0.01], color="black", linewidth=3))
    return figure


def exemplars_picture(e: Explanation) -> Figure:
    """The image, its decoded code, and the exemplars."""
    figure, axes = plt.subplots(2, 9, figsize=(8.2, 2.25), layout="constrained")
    show(axes[0, 0], e.image, "image", e.label)
    show(axes[1, 0], e.reconstruction, "decoded code", e.reconstruction_label)
    images = zip(axes[:, 1:].flat, e.exemplars.images, e.exemplars.labels.tolist(), strict=True)
    for i, (ax, image, label) in enumerate(images):
        show(ax, image, "exemplars" if i == 0 else "", label)
    return figure


def counter_exemplars_picture(e: Explanation) -> Figure:
    """The way to some counter-exemplars, and what must change."""
    found = e.counter_exemplars
    chosen = [position(e, label) for label in (*NEAR, 5)]
    n_frames = found.paths.shape[1]
    figure, axes = plt.subplots(len(chosen), n_frames + 1, figsize=(8.2, 3.4), layout="constrained")
    for strip, row in zip(axes, chosen, strict=True):
        for i in range(n_frames):
            title = {0: "image", n_frames - 1: f"a {int(found.labels[row])}"}.get(i, "")
            show(strip[i], found.paths[row, i], title, int(found.path_labels[row, i]))
        strip[-1].imshow(found.saliency[row], cmap="PuOr", vmin=-1, vmax=1)
        frame(strip[-1], "what changes")
    key(figure, sorted(set(found.path_labels[chosen].flatten().tolist())))
    return figure


def saliency_picture(e: Explanation, space: LatentSpace) -> Figure:
    """The three backgrounds, some mosaics with the score of the label, and the map that follows."""
    points = space.classify(space.reference_latents)
    others = points.images[points.labels != e.label]
    queried: list[Tensor] = []

    def probability(mosaics: Tensor) -> Tensor:
        queried.append(mosaics)
        return space.black_box(mosaics).probability(e.label)

    mosaic_map(e.image, others, probability, torch.Generator().manual_seed(e.params["random_state"]))
    parts, backgrounds = queried[0].tensor_split(3), backgrounds_of(e.image, others)
    figure = plt.figure(figsize=(8.2, 3.4), layout="constrained")
    grid = figure.add_gridspec(3, 8, width_ratios=[1] * 6 + [2.2] * 2)
    names = "darkest", "near mean", "blurred"
    for row, (mosaics, background, name) in enumerate(zip(parts, backgrounds, names, strict=True)):
        show(figure.add_subplot(grid[row, 0]), background, name)
        scores = space.black_box(mosaics).probability(e.label)
        chosen = scores.argsort()[torch.linspace(20, len(scores) - 1, 5).long()].tolist()
        for column, i in enumerate(chosen, start=1):
            show(figure.add_subplot(grid[row, column]), mosaics[i], f"{float(scores[i]):.2f}")
    show_map(figure.add_subplot(grid[:, 6]), e, e.saliency, "the map")
    show_map(figure.add_subplot(grid[:, 7]), e, e.saliency_areas, "its areas")
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the pictures")
    out = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    matplotlib.use("agg")
    black_box, autoencoder = load_classifier("digits-cnn"), load_autoencoder("digits")
    space = LatentSpace(autoencoder, BlackBox(black_box))
    explainer = Abele(black_box, autoencoder, random_state=0)
    e = explainer.explain(load_image(DIGIT))
    for name, figure in {
        "explanation": explainer.explain(load_image(ROUND_DIGIT)).plot(),
        "overview": overview_picture(e),
        "autoencoder": autoencoder_picture(space),
        "neighborhood": neighborhood_picture(e, space),
        "surrogate": surrogate_picture(e, space),
        "rule": rule_picture(e),
        "exemplars": exemplars_picture(e),
        "counter-exemplars": counter_exemplars_picture(e),
        "saliency": saliency_picture(e, space),
    }.items():
        figure.savefig(out / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
