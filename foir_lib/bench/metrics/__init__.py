"""Retrieval metrics by the names that stay: ``from foir_lib.bench import metrics``."""

from foir_lib.bench.metrics.calibration import expected_calibration_error, reliability
from foir_lib.bench.metrics.focus import FocusResult, average, focus_precision, precision_at_k
from foir_lib.bench.metrics.mean_ap import MeanAPResult, average_precision, mean_average_precision, revisited
from foir_lib.bench.metrics.objects import Recall, iou_on, mask_iou, recall, recall_on
from foir_lib.bench.metrics.pixels import (
    Overlaps,
    PixelAP,
    loc_score,
    mean_iou,
    overlaps,
    pixel_average_precision,
    pixel_score,
)
from foir_lib.bench.metrics.scores import Score, score, scored

__all__ = [
    "FocusResult", "MeanAPResult", "Overlaps", "PixelAP", "Recall", "Score", "average", "average_precision", "expected_calibration_error",
    "focus_precision", "iou_on", "loc_score", "mask_iou", "mean_average_precision", "mean_iou", "overlaps", "pixel_average_precision", "pixel_score",
    "precision_at_k", "recall", "recall_on", "reliability", "revisited", "score", "scored",
]  # fmt: skip
