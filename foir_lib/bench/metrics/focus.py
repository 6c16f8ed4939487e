"""MP@k and MAP@k of the head-selection paper (PHS, supplement A2): fractions in [0, 1]."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from foir_lib.errors import InputError


class FocusResult(NamedTuple):
    """MP@k and MAP@k with the tables they are means of.

    per_category: label, n_images, n_queries, precision, average_precision. per_query: image_id, label, precision (P@k),
    average_precision (AP@k), one row per query, in the order of the input.
    """

    mp: float
    map: float
    per_category: pd.DataFrame
    per_query: pd.DataFrame
    k: int


def precision_at_k(relevance: np.ndarray, k: int) -> np.ndarray:
    """Share of correct ones among the first k: relevance (..., n) bool, best first -> (...).

    With n < k the first n are used, with a warning.
    """
    relevance, k = _depth(relevance, k)
    return relevance[..., :k].mean(axis=-1)


def focus_precision(relevance: np.ndarray, image_ids: Sequence, labels: Sequence, k: int = 100) -> FocusResult:
    """MP@k and MAP@k over prompts (PHS eq. A1-A8).

    relevance (Q, >= k) bool: does the image at that rank contain the prompted category; image_ids, labels (Q,): query
    image and category of each prompt. AP@k of a prompt is the mean of P@k' over its *correct* ranks k' <= k, 0 if there
    are none. Fewer than k columns (a database smaller than k): all are used, with a warning. Raises InputError for
    lengths that differ.
    """
    relevance, k = _depth(relevance, k)
    if relevance.ndim != 2 or not (len(relevance) == len(image_ids) == len(labels) > 0):
        what = f"relevance {relevance.shape}, {len(image_ids)} image_ids and {len(labels)} labels"
        raise InputError(f"{what} don't belong together: one row each per query, at least one.")
    relevance = relevance[:, :k]
    n_right = relevance.sum(axis=1)
    precision = relevance.cumsum(axis=1) / np.arange(1, k + 1)
    per_query = pd.DataFrame({
        "image_id": np.asarray(image_ids),
        "label": np.asarray(labels),
        "precision": n_right / k,
        "average_precision": (precision * relevance).sum(axis=1) / np.maximum(n_right, 1),
    })  # fmt: skip
    return average(per_query, k)


def average(per_query: pd.DataFrame, k: int) -> FocusResult:
    """Means over prompts of one image and category, then images, then categories (PHS A3-4, A7-8).

    ``per_query`` as in :class:`FocusResult`; for subsets too: rows chosen from a table, or its mean over several prompts
    of one object.
    """
    columns = ["precision", "average_precision"]
    groups = per_query.groupby(["label", "image_id"], sort=True)
    pairs = groups[columns].mean().assign(n_queries=groups.size()).groupby("label")
    means = {column: (column, "mean") for column in columns}
    per_category = pairs.agg(n_images=("n_queries", "size"), n_queries=("n_queries", "sum"), **means)
    mp, mean_ap = per_category[columns].mean()
    return FocusResult(float(mp), float(mean_ap), per_category.reset_index(), per_query, k)


def _depth(relevance, k):
    relevance = np.asarray(relevance)
    if relevance.ndim < 1 or not np.isin(relevance, (0, 1)).all():
        raise InputError("relevance must hold True and False, ranks along its last axis.")
    n = relevance.shape[-1]
    if k < 1 or n < 1:
        raise InputError(f"No precision at k = {k} of {n} ranks: both must be at least 1.")
    if n < k:
        warnings.warn(f"Only {n} images are ranked: scores are at k = {n}, not {k}.", stacklevel=3)
    return relevance.astype(bool), min(k, n)
