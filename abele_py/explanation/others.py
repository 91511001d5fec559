"""Which other labels are shown where a black box has many: the nearest ones. The explanation itself holds them all.

Pages, figures and words ask here, so that they show the same.
"""

from typing import TYPE_CHECKING, NamedTuple

from ..class_names import name_of
from ..surrogate.rules import CounterfactualRule

if TYPE_CHECKING:
    from .explanation import Explanation

MOST_SHOWN = 10  # ten classes leave nine others: of these nothing is ever left out


class OtherLabels(NamedTuple):
    """The labels that an explanation has a counter-exemplar of or a rule for, those with a counter-exemplar first.

    Attributes:
        shown: at most :data:`MOST_SHOWN` of them.
        rest: all others, which are farther away.
        rules: the counterfactual rules for the shown ones.
    """

    shown: list[int]
    rest: list[int]
    rules: list[CounterfactualRule]

    @property
    def more(self) -> str:
        """How many labels the rest are; empty where there are none."""
        n = len(self.rest)
        return f"{n} more label{'s' * (n > 1)}" if n else ""

    @property
    def hint(self) -> str:
        """How many more there are and where they are found; empty where there are none."""
        found = "the explanation's counter_exemplars and counterfactual_rules, and on its page (--html, or to_html)"
        return f"{self.more}, farther away: in {found}" if self.rest else ""


def other_labels(e: "Explanation") -> OtherLabels:
    """The other labels of an explanation, told apart by how near they are.

    First comes the label that was asked for as the target, then those with a counter-exemplar, the nearest first, then
    those that a rule leads to, the one with the fewest changes first.
    """
    target = e.params.get("target")  # a label or a name
    changes = {rule.label: len(rule.changes) for rule in e.counterfactual_rules}
    changes |= dict.fromkeys(e.counter_exemplars.labels.tolist(), 0)  # these are ordered by distance already
    labels = list(dict.fromkeys([*e.counter_exemplars.labels.tolist(), *changes]))

    def farness(label: int) -> tuple[bool, int]:
        return target not in (label, str(label), name_of(e.class_names, label)), changes[label]

    nearest = set(sorted(labels, key=farness)[:MOST_SHOWN])
    return OtherLabels(
        [label for label in labels if label in nearest],
        [label for label in labels if label not in nearest],
        [rule for rule in e.counterfactual_rules if rule.label in nearest],
    )
