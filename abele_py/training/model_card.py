"""Model cards: what a checkpoint is, for what it is meant, what it reaches and where it ends, made from its manifest.

After Mitchell et al. 2019, Model cards for model reporting, arXiv 1810.03993.
"""

import json
from collections.abc import Iterator

import torch

from ..datasets.catalog import DATASETS
from ..metrics.registry import METRICS
from ..models.checkpoints import NETWORKS, Manifest
from ..models.verdict import option_of, verdict

# picture -> what it shows
PICTURES = {
    "samples.png": "Generated images: samples of the prior and, if there is one, of the mixture fitted to the codes.",
    "traversals.png": "What each latent coordinate changes, from -3 to 3. Generated images only.",
}


def card(manifest: Manifest) -> str:
    """A checkpoint's model card, as Markdown."""
    kind = "autoencoder" if manifest.kind == "autoencoder" else "classifier"
    sections = {
        "What it is for": _purpose(manifest),
        "How to load it": _loading(manifest),
        "What it reaches": _metrics(manifest),
        "Data": _data(manifest),
        "Network": _network(manifest),
        "Training": _training(manifest),
        "Limits": _limits(manifest),
        "Pictures": _pictures(manifest),
    }
    parts = [
        f"# {manifest.name}: {kind} for {title_of(manifest)}",
        "Generated from `manifest.json` by abele_py.",
    ]
    for title, lines in sections.items():
        body = "\n".join(lines)
        if body:
            parts.append(f"## {title}\n\n{body}")
    return "\n\n".join(parts) + "\n"


def _purpose(manifest: Manifest) -> Iterator[str]:
    if manifest.kind == "autoencoder":
        weight = option_of(manifest)("model", "init_args", "label_weight")
        yield (
            f"An adversarial autoencoder: it turns an image into {manifest.config['latent_dim']} numbers and back, so "
            "that abele_py can explain decisions of any image classifier on images like those it was trained on. "
            + (
                "It has seen no labels."
                if weight in ("?", 0.0)
                else f"In training, images of one class were drawn together (label_weight {weight}); no classifier's "
                "answers were seen."
            )
        )
    else:
        yield (
            "A classifier to be explained, or to judge an autoencoder: a black box for examples, tests and comparisons."
        )
    yield ""
    yield (
        "Not meant for decisions about people, nor for clinical or other safety-critical use; nor for images of "
        "another kind, size or preparation than those below."
    )


def _loading(manifest: Manifest) -> Iterator[str]:
    load = "load_autoencoder" if manifest.kind == "autoencoder" else "load_classifier"
    yield "```python"
    yield f"from abele_py import {load}"
    yield ""
    yield f'network = {load}("{manifest.name}")  # a shipped one by its name; any other by the path of its folder'
    yield "```"
    yield ""
    yield "Loading compares every file with the sha256 in the manifest, and runs no code from it."


def _metrics(manifest: Manifest) -> Iterator[str]:
    n = sum(manifest.test_counts)
    images = f"the {n:,} images of " if n else ""
    yield f"Measured on {images}the test split, which no training and no calibration has seen."
    yield ""
    yield "| metric | value | meaning |"
    yield "| --- | --: | --- |"
    for name, value in manifest.metrics.items():
        yield f"| {metric_title(name)} | {printed(value)} | {METRICS[name].meaning if name in METRICS else ''} |"
    yield ""
    yield from (f"- {sentence}" for sentence in verdict(manifest))


def _data(manifest: Manifest) -> Iterator[str]:
    known = DATASETS.get(manifest.data_set)
    yield f"- data set: {title_of(manifest)}" + (f". {known.source}" if known else "")
    yield f"- learned from: {manifest.split}"
    yield f"- licence of the images: {manifest.licence}"
    yield f"- preprocessing: {manifest.preprocessing}; image shape {tuple(manifest.config['image_shape'])}"
    yield f"- classes: {', '.join(manifest.class_names)}"
    if manifest.test_counts:
        counts = zip(manifest.class_names, manifest.test_counts, strict=True)
        yield f"- test images: {', '.join(f'{name}: {count}' for name, count in counts)}"


def _network(manifest: Manifest) -> Iterator[str]:
    network, c = manifest.architecture, manifest.config
    yield f"- architecture: `{network}`, {shape_of(manifest)}"
    yield f"- size: {_size(manifest)}"
    if manifest.kind == "autoencoder":
        yield f"- latent space: {c['latent_dim']} coordinates, prior N(0, I); {c['n_references']:,} reference codes"
        if c.get("n_components"):
            yield f"- mixture fitted to the codes: {c['n_components']} components"
    yield f"- arguments: `{json.dumps(c)}`"


def _size(manifest: Manifest) -> str:
    if "n_nodes" in manifest.config:
        return f"{manifest.config['n_nodes']:,} nodes"
    with torch.device("meta"):  # shapes only: no memory, no random numbers
        network = NETWORKS[manifest.architecture][1](**manifest.config)
    return f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters"


def _training(manifest: Manifest) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    yield f"- command: `{command_of(manifest)}`; all options as they were are in `manifest.json`"
    yield f"- seed: {manifest.seed}"
    yield f"- time: {minutes_of(manifest)} min, without measuring"
    yield f"- hardware: {manifest.hardware}"
    yield f"- versions: {versions}"


def _limits(manifest: Manifest) -> Iterator[str]:
    yield "- One training with one seed; the values are of one test split."
    if manifest.kind == "autoencoder":
        if "label_preservation" in manifest.metrics:
            judge = manifest.recipe.get("options", {}).get("black_box", "a classifier")
            yield f"- Label preservation was judged by `{judge}`; another classifier may lose more or fewer labels."
        yield (
            f"- It holds the codes of {manifest.config['n_references']:,} training images (`reference_latents`), which "
            "`decode` turns into approximations of them: share it only where these images may be shared."
        )
        yield "- What the decoder cannot draw, no explanation can show: small details are lost first."
        yield "- Any image gets a code, even one of no class; an explanation notes where it looks unlike the others."
    else:
        yield "- Its scores are not calibrated: a score of 0.9 need not be right in 9 of 10 cases."
        yield "- It answers one of its classes for any image, also for one that is of none."


def _pictures(manifest: Manifest) -> Iterator[str]:
    shown = [f"{text}\n\n![{name}]({name})" for name, text in PICTURES.items() if name in manifest.files]
    if shown:
        yield "\n\n".join(shown)


def metric_title(name: str) -> str:
    """A metric's name in print; its key for one that is in manifests of another version only."""
    return METRICS[name].title if name in METRICS else name


def printed(value: float) -> str:
    """A metric's value in print: four decimals for a share, two for what is larger."""
    return f"{value:.4f}" if abs(value) < 2 else f"{value:.2f}"


def title_of(manifest: Manifest) -> str:
    """The data set's name in print."""
    known = DATASETS.get(manifest.data_set)
    return known.title if known else manifest.data_set


def shape_of(manifest: Manifest) -> str:
    """The kind of network and its sizes, in few words."""
    c = manifest.config
    if manifest.kind == "autoencoder":
        sizes = [*([c["channels"]] if "conv" in c["architecture"] else []), c["hidden"]]
        return f"{c['architecture']} {' '.join('-'.join(map(str, row)) for row in sizes)}, k = {c['latent_dim']}"
    if "n_trees" in c:
        return f"forest of {c['n_trees']} trees"
    repeated = f" x {c['convolutions']}" if c.get("convolutions", 1) > 1 else ""
    return f"CNN {'-'.join(map(str, c['channels']))}{repeated}, {c['hidden']}"


def minutes_of(manifest: Manifest) -> str:
    minutes = manifest.training_seconds / 60
    return f"{minutes:.1f}" if minutes >= 0.1 else "less than 0.1"


def command_of(manifest: Manifest) -> str:
    return f"abele train training/{manifest.recipe['name']}.yaml"
