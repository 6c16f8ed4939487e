"""Retrieval metrics by the names that stay: ``from foir_lib.bench import metrics``."""

from foir_lib.bench.metrics.focus import (
    FocusResult,
    average,
    average_precision,
    focus_precision,
    precision_at_k,
    recall_at_k,
    revisited,
    revisited_ap,
    score,
)  # fmt: skip

__all__ = [
    "FocusResult", "average", "average_precision", "focus_precision", "precision_at_k", "recall_at_k", "revisited",
    "revisited_ap", "score",
]  # fmt: skip
