from .fidelity import Fidelity, best_constant
from .rules import Condition, CounterfactualRule, Rule
from .tree import Surrogate, counterfactual_rules, fit_surrogate, rule_of

__all__ = [
    "Condition",
    "CounterfactualRule",
    "Fidelity",
    "Rule",
    "Surrogate",
    "best_constant",
    "counterfactual_rules",
    "fit_surrogate",
    "rule_of",
]
