from .counter_exemplars import CounterExemplars
from .genetic import Genetic
from .neighborhood import (
    STRATEGIES,
    FromMixture,
    Hybrid,
    Local,
    Neighborhood,
    Random,
    Strategy,
    generate,
    kernel_weights,
)
from .space import LatentSpace, Points
from .traversals import Traversals, traverse

__all__ = [
    "STRATEGIES",
    "CounterExemplars",
    "FromMixture",
    "Genetic",
    "Hybrid",
    "LatentSpace",
    "Local",
    "Neighborhood",
    "Points",
    "Random",
    "Strategy",
    "Traversals",
    "generate",
    "kernel_weights",
    "traverse",
]
