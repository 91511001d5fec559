from .rules import Condition, CounterfactualRule, Rule
from .tree import Fidelity, Surrogate, counterfactual_rules, fit_surrogate, rule_of

__all__ = [
    "Condition",
    "CounterfactualRule",
    "Fidelity",
    "Rule",
    "Surrogate",
    "counterfactual_rules",
    "fit_surrogate",
    "rule_of",
]
