"""MP@k and MAP@k of the head-selection paper (PHS, supplement A2): fractions in [0, 1]."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from foir_lib.data import RetrievalSet
from foir_lib.errors import InputError, unknown
from foir_lib.search.ranking import Ranking


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
        raise InputError(
            f"relevance {relevance.shape}, {len(image_ids)} image_ids and {len(labels)} labels "
            "don't belong together: one row each per query, at least one."
        )
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
    per_category = pairs[columns].mean()
    per_category.insert(0, "n_queries", pairs["n_queries"].sum())
    per_category.insert(0, "n_images", pairs.size())
    mp, mean_ap = per_category[columns].mean()
    return FocusResult(float(mp), float(mean_ap), per_category.reset_index(), per_query, k)


def score(ranking: Ranking, retrieval_set: RetrievalSet, protocol: str = "contains", k: int = 100) -> FocusResult:
    """MP@k and MAP@k of a ranking under a protocol of its set.

    ``per_query`` also has query (row of ``retrieval_set.queries``) and n_objects (of its image). Raises InputError for an
    unknown protocol, one that ignores images (use :func:`~foir_lib.bench.metrics.mean_average_precision`), a ranking of
    another set, and one cut off before k.
    """
    if protocol not in retrieval_set.protocols:
        raise unknown(f"protocol of {retrieval_set.name}", protocol, retrieval_set.protocols)
    rules = retrieval_set.protocols[protocol]
    if any(len(ignored) for ignored in rules.ignored.values()):
        raise InputError(
            f"Protocol '{protocol}' ignores images, unknown to P@k: score it with mean_average_precision()."
        )
    depth, queries = ranking.ids.shape[1], retrieval_set.queries
    if depth < min(k, ranking.n_database - 1):  # one may be the query itself
        raise InputError(f"The ranking keeps {depth} of {ranking.n_database} images per query: search with k={k}.")
    if ranking.query_rows.max() >= len(queries) or ranking.n_database != len(retrieval_set.database):
        raise InputError(
            f"The ranking is of {ranking.n_database} images and query rows up to "
            f"{ranking.query_rows.max()}, not of {retrieval_set.name} with "
            f"{len(retrieval_set.database)} images and {len(queries)} queries."
        )
    ids = np.full((len(queries), min(k, depth)), -1)
    ids[ranking.query_rows] = ranking.ids[:, :k]
    ranked = queries.iloc[ranking.query_rows]
    relevance = rules.relevance(ids)[ranking.query_rows]
    result = focus_precision(relevance, ranked["image_id"].to_numpy(), ranked["label"].to_numpy(), k)
    result.per_query.insert(0, "query", ranking.query_rows)
    counts = {image_id: retrieval_set.n_objects(image_id) for image_id in ranked["image_id"].unique()}
    result.per_query["n_objects"] = result.per_query["image_id"].map(counts)
    return result


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
