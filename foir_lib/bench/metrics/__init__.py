"""Retrieval metrics by the names that stay: ``from foir_lib.bench import metrics``."""

from foir_lib.bench.metrics.focus import FocusResult, average, focus_precision, precision_at_k, score
from foir_lib.bench.metrics.mean_ap import MeanAPResult, average_precision, mean_average_precision, revisited

__all__ = [
    "FocusResult", "MeanAPResult", "average", "average_precision", "focus_precision", "mean_average_precision",
    "precision_at_k", "revisited", "score",
]  # fmt: skip
