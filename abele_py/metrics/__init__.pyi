from .base import Metric, mean_interval, metric, metric_of

__all__ = [
    "Metric",
    "mean_interval",
    "metric",
    "metric_of",
]
