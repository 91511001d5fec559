"""``abele models``: which checkpoints are shipped, and what they reach. Reads their manifests alone."""

from jsonargparse import ArgumentParser, Namespace

from ..models.manifests import Manifest, list_checkpoints
from .options import Commands, Write


def add_models(commands: Commands) -> None:
    parser = ArgumentParser(description="List the shipped checkpoints with their metrics.", exit_on_error=False)
    commands.add_subcommand("models", parser, help="list the shipped checkpoints")


def run_models(options: Namespace, write: Write) -> None:
    rows = [("name", "kind", "data set", "metrics on test"), *map(_row, list_checkpoints())]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        write("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))


def _row(manifest: Manifest) -> tuple[str, str, str, str]:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items())
    return manifest.name, manifest.kind, manifest.data_set, metrics
