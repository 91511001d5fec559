"""The model cards of the shipped checkpoints, written anew from their manifests.

python benchmarks/model_cards.py
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from abele_py.models.checkpoints import CARD, find_checkpoint, list_checkpoints
from abele_py.storage.files import write_atomically
from abele_py.training.model_card import card


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for a folder of each checkpoint [the checkpoints' own]")
    options = parser.parse_args(argv)
    for found in list_checkpoints():
        folder = find_checkpoint(found.name) if options.out is None else options.out / found.name
        text = card(found)
        write_atomically(folder / CARD, lambda file, text=text: file.write(text.encode()))


if __name__ == "__main__":
    main()
