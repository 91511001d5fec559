"""What a metric is: a function that says which direction is better, its range, its source; how sure a mean is."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from scipy import stats

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
    interval = stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=2000,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
