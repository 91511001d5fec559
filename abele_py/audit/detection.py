"""Does a label follow what is exchanged between images? Counted on random pairs, beside what other donors do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..black_boxes.outputs import Answer

N_PERMUTATIONS = 999
_CUT = 1e-3  # probabilities are cut to [0.001, 0.999] before the logarithm, so that labels will do
_FEWEST = 8  # pairs of a kind; of fewer nothing is said


@dataclass(frozen=True)
class Limit:
    """What an effect must exceed, on both halves of the pairs, to be worth a person's look.

    Attributes:
        log_odds: mean rise of the label's log-odds by donors of the label, beyond that by other donors.
        rate: either share of labels: that became it beyond those with other donors, or were lost without it.
    """

    log_odds: float
    rate: float


# Fixed on black boxes of `val` with other seeds than those that the benchmark measures (docs/audit.md).
LIMITS = {"ground": Limit(1.0, 0.05), "level": Limit(2.5, 0.1), "residual": Limit(1.7, 0.05)}
ALPHA = 0.01


@dataclass(frozen=True)
class Effect:
    """What one operator's exchange does to one label. Rates are shares, of the second half of the pairs.

    Attributes:
        operator: its name.
        label: the label.
        added, added_by_others: of recipients with another label those that got this one, by donors that have it, and by
            donors that have not.
        n_added, n_added_by_others: pairs in these.
        lost, lost_to_own: of recipients with this label those that lost it, by donors that have it not, and by donors
            that have it.
        n_lost, n_lost_to_own: pairs in these.
        log_odds: how much the label's log-odds rise by donors that have it, less what they do by others; the smaller
            one of the two halves.
        p: how often as much is reached where donors are shuffled, on the second half.
        follows: whether the label follows what was exchanged: beyond the operator's limit in both halves, and p at most
            .01.
    """

    operator: str
    label: int
    added: float
    added_by_others: float
    n_added: int
    n_added_by_others: int
    lost: float
    lost_to_own: float
    n_lost: int
    n_lost_to_own: int
    log_odds: float
    p: float
    follows: bool


@dataclass(frozen=True)
class Pairs:
    """Random pairs of images, and what the black box predicted after the exchange.

    Attributes:
        recipients, donors: (M,) numbers of images.
        labels: (M,) predicted.
        log_odds: (M, K), after less before.
    """

    recipients: Tensor
    donors: Tensor
    labels: Tensor
    log_odds: Tensor

    def __getitem__(self, rows: slice | Tensor) -> "Pairs":
        return Pairs(self.recipients[rows], self.donors[rows], self.labels[rows], self.log_odds[rows])


def log_odds_of(answer: Answer, n_labels: int) -> Tensor:
    """(N, K) of all labels."""
    return torch.stack([torch.logit(answer.probability(y).double(), eps=_CUT) for y in range(n_labels)], dim=1)


def effects_of(operator: str, pairs: Pairs, labels: Tensor, seed: int, without: Sequence[int] = ()) -> list[Effect]:
    """Of each label what an exchange does to it.

    Args:
        operator: name of what was exchanged, a key of ``LIMITS``.
        pairs: M of them; their first half chooses, the second confirms.
        labels: (N,) of the images as they are.
        seed: of the permutations.
        without: labels that are left out, and all pairs with images of theirs.
    """
    left = ~torch.isin(labels, torch.tensor(list(without), dtype=labels.dtype))
    pairs = pairs[left[pairs.donors] & left[pairs.recipients]]
    half = len(pairs.donors) // 2
    return [
        _effect(operator, label, pairs[:half], pairs[half:], labels, seed)
        for label in range(pairs.log_odds.shape[1])
        if label not in without
    ]


def _effect(name: str, label: int, first: Pairs, second: Pairs, labels: Tensor, seed: int) -> Effect:
    rates = [_rates(pairs, labels, label) for pairs in (first, second)]
    rises = [_rise(pairs, labels, label) for pairs in (first, second)]
    enough = all(min(r["n_added"], r["n_added_by_others"]) >= _FEWEST for r in rates)
    limit = LIMITS[name]
    beyond = enough and all(
        rise >= limit.log_odds and max(r["added"] - r["added_by_others"], r["lost"] - r["lost_to_own"]) >= limit.rate
        for r, rise in zip(rates, rises, strict=True)
    )
    p = _p_value(second, labels, label, rises[1], seed) if beyond else 1.0
    return Effect(name, label, **rates[1], log_odds=min(rises), p=p, follows=beyond and p <= ALPHA)  # type: ignore[arg-type]


def _rates(pairs: Pairs, labels: Tensor, label: int) -> dict[str, float | int]:
    given, taken = labels[pairs.donors] == label, labels[pairs.recipients] == label
    got = pairs.labels == label
    found: dict[str, float | int] = {}
    for name, rows, counted in (
        ("added", ~taken & given, got),
        ("added_by_others", ~taken & ~given, got),
        ("lost", taken & ~given, ~got),
        ("lost_to_own", taken & given, ~got),
    ):
        n = int(rows.sum())
        found |= {name: int((rows & counted).sum()) / n if n else 0.0, f"n_{name}": n}
    return found


def _rise(pairs: Pairs, labels: Tensor, label: int) -> float:
    """Mean rise of the log-odds of recipients without the label, by donors with it less by donors without it."""
    others = labels[pairs.recipients] != label
    given = labels[pairs.donors] == label
    rises = pairs.log_odds[:, label]
    if not bool((others & given).any()) or not bool((others & ~given).any()):
        return 0.0
    return float(rises[others & given].mean() - rises[others & ~given].mean())


def _p_value(pairs: Pairs, labels: Tensor, label: int, found: float, seed: int) -> float:
    """How often donors that are shuffled among the pairs do as much: a null of the same black box and images."""
    rows = labels[pairs.recipients] != label
    rises, given = pairs.log_odds[rows, label].numpy(), (labels[pairs.donors[rows]] == label).numpy()
    generator = np.random.default_rng([seed, label])
    n, total = given.sum(), rises.sum()
    sums = np.array([rises[generator.permutation(len(rises))[:n]].sum() for _ in range(N_PERMUTATIONS)])
    null = sums / n - (total - sums) / (len(rises) - n)
    return float((1 + (null >= found).sum()) / (1 + N_PERMUTATIONS))
