"""The model cards of the shipped checkpoints, written anew from their manifests.

python benchmarks/model_cards.py
"""

from abele_py.models.checkpoints import CARD, find_checkpoint, list_checkpoints
from abele_py.training.model_card import card


def main() -> None:
    for found in list_checkpoints():
        (find_checkpoint(found.name) / CARD).write_text(card(found), encoding="utf-8")


if __name__ == "__main__":
    main()
