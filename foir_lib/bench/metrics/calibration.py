"""Whether stated confidences are right as often as they say: shares right in bins, and the expected calibration error.

Bins are those of Guo et al., On Calibration of Modern Neural Networks (ICML 2017), section 2: of equal width, ((b - 1) / B, b / B].
"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from foir_lib.errors import InputError, count

BINS = 10


def reliability(confidences, right, bins: int = BINS) -> pd.DataFrame:
    """A row for each bin with answers: ``n`` of them, their mean ``confidence``, the share ``right``, its 95 % interval ``low`` to ``high``.

    confidences (n,) from 0 to 1, right (n,) bool. Intervals are Wilson's (JASA 1927), for answers that are independent of each other.
    Raises InputError for confidences that are none, and where their number and that of answers differ.
    """
    stated, right = np.asarray(confidences, float), np.asarray(right, float)
    if stated.ndim != 1 or stated.shape != right.shape or not len(stated):
        raise InputError(f"Confidences of shape {stated.shape} and answers of shape {right.shape}: give one of each for every answer.")
    wrong = stated[~((stated >= 0) & (stated <= 1))]
    if len(wrong):
        raise InputError(f"{wrong[0]:g} is no confidence: it must lie from 0 to 1.")
    if not np.isin(right, (0, 1)).all():
        raise InputError("An answer is right (1) or wrong (0): give bools.")
    edges = np.linspace(0, 1, count(bins, "bins") + 1)
    table = pd.DataFrame({"bin": np.searchsorted(edges[1:-1], stated), "confidence": stated, "right": right})
    rows = table.groupby("bin").agg(n=("right", "size"), confidence=("confidence", "mean"), right=("right", "mean"))
    said = [binomtest(round(row.n * row.right), int(row.n)).proportion_ci(method="wilson") for row in rows.itertuples()]
    return rows.assign(low=[one.low for one in said], high=[one.high for one in said])


def expected_calibration_error(confidences, right, bins: int = BINS) -> float:
    """The mean over answers of how far the share right of their bin is from its mean confidence (Guo et al. eq. 3), 0 to 1; as :func:`reliability`."""
    rows = reliability(confidences, right, bins)
    return float(np.average((rows["right"] - rows["confidence"]).abs(), weights=rows["n"]))
