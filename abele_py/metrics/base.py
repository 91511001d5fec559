"""What a metric is: a function that says which direction is better, its range, its source; how sure a mean is."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np

from ..checking.parameters import NotEmpty, SmallSeed, checked, inside

Function = TypeVar("Function", bound=Callable[..., Any])


class Metric(NamedTuple):
    """What a reader must know of a metric.

    Attributes:
        title: its name in print, as tables, plots and model cards write it.
        better: which direction is better; ``"neither"`` for a metric that only describes.
        low, high: the range of its values, infinite where there is no bound.
        source: where it is defined: a publication, or the definition itself in a few words.
        meaning: what a value says, in one plain sentence, for the readers of model cards; empty for a metric that is
            in no checkpoint.
    """

    title: str
    better: Literal["higher", "lower", "neither"]
    low: float
    high: float
    source: str
    meaning: str = ""


def metric(
    title: str, better: Literal["higher", "lower", "neither"], low: float, high: float, source: str, meaning: str = ""
) -> Callable[[Function], Function]:
    """Declare a function a metric: its :class:`Metric` becomes its attribute ``metric``."""

    def declare(function: Function) -> Function:
        function.metric = Metric(title, better, low, high, source, meaning)  # type: ignore[attr-defined]
        return function

    return declare


@checked
def metric_of(function: Callable[..., Any]) -> Metric:
    """What was declared of a function."""
    return function.metric  # type: ignore[attr-defined]


@checked
def mean_interval(
    values: Annotated[Sequence[float], NotEmpty()],
    level: Annotated[float, inside(0, 1)] = 0.95,
    seed: SmallSeed = 0,
) -> tuple[float, float]:
    """Confidence interval of the mean by the percentile bootstrap, 2,000 resamples (Efron & Tibshirani 1993, ch. 13).

    Returns:
        Low and high; both the value itself where there is only one, or all are equal.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2 or np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    means = sample[_resamples(len(sample), seed)].mean(axis=1)
    low, high = np.quantile(means, ((1 - level) / 2, 1 - (1 - level) / 2))
    return float(low), float(high)


@lru_cache(maxsize=1)  # an evaluation asks for hundreds of intervals of as many images each
def _resamples(n: int, seed: int) -> np.ndarray:
    """Which values each resample consists of, (2000, n)."""
    return np.random.default_rng(seed).integers(0, n, (2000, n))
