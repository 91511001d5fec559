"""What networks reach on unseen images: figures, pictures, and the table of the shipped checkpoints.

``python -m abele_py.results --table`` writes the table into training/README.md.
"""

import argparse
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.utils import make_grid

from .autoencoder import AdversarialAutoencoder
from .checkpoints import Manifest, list_checkpoints
from .datasets import ImageSet, to_unit
from .metrics_autoencoder import discriminator_mean, label_preservation, mardia_kurtosis, rmse, valid_share

_TABLE_MARKS = ("<!-- table: python -m abele_py.results --table -->", "<!-- end of table -->")


def measure_classifier(network: nn.Module, images: ImageSet) -> dict[str, float]:
    """Figures of a classifier, the most important one first: ``accuracy``, the share of images it labels correctly."""
    labels = in_batches(lambda x: network(x).argmax(dim=1), images.images)
    return {"accuracy": float((labels == images.labels).float().mean())}


@torch.no_grad()
def measure_autoencoder(
    network: AdversarialAutoencoder, images: ImageSet, black_box: nn.Module | None
) -> dict[str, float]:
    """Figures of an autoencoder, the most important one first.

    ``label_preservation``: share of images whose black-box label survives encoding and decoding (without a black box
    it is left out). ``rmse_255``: root of the mean squared error, pixels in 0..255. ``discriminator_codes``,
    ``discriminator_prior``: mean answer on the codes, and on as many samples of the prior; both are 0.5 where the
    discriminator cannot tell them apart. ``valid``: share of the codes at or above the validity threshold.
    ``kurtosis``: Mardia's multivariate kurtosis of the codes over k (k + 2), which is 1 for a normal distribution.
    """
    originals = to_unit(images.images)
    latents = in_batches(network.encode, images.images)
    decoded = torch.cat([network.decode(part) for part in latents.split(1000)])
    figures = {}
    if black_box is not None:
        labels, labels_again = (
            torch.cat([black_box(part).argmax(dim=1) for part in x.split(1000)]) for x in (originals, decoded)
        )
        figures["label_preservation"] = label_preservation(labels, labels_again)
    figures["rmse_255"] = rmse(originals, decoded)
    answers = network.discriminate(latents)
    prior = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    figures["discriminator_codes"] = discriminator_mean(answers)
    figures["discriminator_prior"] = discriminator_mean(network.discriminate(prior))
    figures["valid"] = valid_share(answers, network.validity_threshold)
    figures["kurtosis"] = mardia_kurtosis(latents)
    return figures


def table(manifests: Sequence[Manifest]) -> str:
    """What checkpoints reach, as a Markdown table."""
    rows = [
        "| checkpoint | test figures | time | hardware | command |",
        "| --- | --- | --- | --- | --- |",
    ]
    for m in manifests:
        figures = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in m.metrics.items())
        command = f"`abele train training/{m.recipe['name']}.yaml`"
        rows.append(f"| {m.name} | {figures} | {m.training_seconds / 60:.1f} min | {m.hardware} | {command} |")
    return "\n".join(rows)


def with_table(page: str, manifests: Sequence[Manifest]) -> str:
    """The page with a fresh table between its two marks."""
    start, end = (re.escape(mark) for mark in _TABLE_MARKS)
    fresh = "\n".join([_TABLE_MARKS[0], table(manifests), _TABLE_MARKS[1]])
    return re.sub(f"{start}.*{end}", lambda _: fresh, page, flags=re.DOTALL)


def samples(network: AdversarialAutoencoder, columns: int = 11) -> Tensor:
    """A grid of generated images only, none of the data set: samples of the prior, then a walk along each axis."""
    generator = torch.Generator().manual_seed(0)
    prior = torch.randn(5 * columns, network.latent_dim, generator=generator)
    walks = torch.zeros(network.latent_dim, columns, network.latent_dim)
    for axis in range(network.latent_dim):
        walks[axis, :, axis] = torch.linspace(-3, 3, columns)
    with torch.no_grad():
        images = network.decode(torch.cat([prior, walks.flatten(0, 1)]))
    return make_grid(images, nrow=columns, pad_value=0.5)


def png(grid: Tensor) -> bytes:
    """A (3, H, W) grid in [0, 1] as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray((255 * grid).round().byte().permute(1, 2, 0).numpy()).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, size: int = 1000) -> Tensor:
    with torch.no_grad():
        return torch.cat([function(to_unit(part)) for part in images.split(size)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m abele_py.results", description="Write training/README.md's table.")
    parser.add_argument("--table", required=True, nargs="?", const="training/README.md", type=Path, metavar="PAGE")
    page: Path = parser.parse_args().table
    page.write_text(with_table(page.read_text(encoding="utf-8"), list_checkpoints()), encoding="utf-8")
