"""Arguments that many commands are tried with."""

from pathlib import Path

PAIR = ["--autoencoder", "digits", "--black-box", "digits-cnn"]
FEW = ["--samples", "100"]


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())
