"""Retrieval metrics: MP@k and MAP@k of the head-selection paper, two kinds of AP, Revisited AP.

All are fractions in [0, 1]; ranks count from 0.
"""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd

from foir_lib.data.ground_truth import LEVELS
from foir_lib.errors import InputError


class FocusResult(NamedTuple):
    """MP@k and MAP@k with the tables they are means of.

    per_category: label, n_images, n_queries, precision, average_precision. per_query: image_id,
    label, precision (P@k), average_precision (AP@k), one row per query, in the order of the input.
    """

    mp: float
    map: float
    per_category: pd.DataFrame
    per_query: pd.DataFrame
    k: int


def average_precision(ranks, n_positive, definition="textbook"):
    """AP of one query from the ranks (from 0) of the positives found; ``n_positive`` exist in all.

    "textbook": mean over positives of (j+1)/(r+1), j-th positive at rank r. "trapezoid": mean of
    (p0 + p1)/2 with p0 = j/r (1 at r = 0) and p1 = (j+1)/(r+1), as in Oxford5k and its revisited
    protocol. Positives not among ``ranks`` count 0. Raises InputError for ranks that repeat or are
    negative, and for fewer positives than ranks.
    """
    ranks = np.sort(np.asarray(ranks))
    whole = ranks.ndim == 1 and (ranks.dtype.kind in "iu" or not ranks.size)
    if not whole or (ranks < 0).any() or (np.diff(ranks) == 0).any():
        raise InputError(
            f"Ranks {ranks.tolist()} can't be scored: whole numbers from 0 on, each once."
        )
    if n_positive < max(1, len(ranks)):
        raise InputError(
            f"n_positive = {n_positive} is too few for {len(ranks)} positives found: "
            "count all that exist."
        )
    if definition not in ("textbook", "trapezoid"):
        raise InputError(f"AP definition '{definition}' is unknown: 'textbook' or 'trapezoid'.")
    found = np.arange(len(ranks))
    after = (found + 1) / (ranks + 1)
    if definition == "textbook":
        return float(after.sum() / n_positive)
    before = np.where(ranks == 0, 1.0, found / np.maximum(ranks, 1))
    return float((before + after).sum() / 2 / n_positive)


def precision_at_k(relevance, k):
    """Share of correct ones among the first k: relevance (..., n) bool, best first -> (...).

    With n < k the first n are used, with a warning.
    """
    relevance, k = _depth(relevance, k)
    return relevance[..., :k].mean(axis=-1)


def recall_at_k(relevance, k, n_positive):
    """Share of the ``n_positive`` (...) positives found among the first k.

    relevance (..., n) bool, best first -> (...). With n < k the first n are used, with a warning.
    """
    relevance, k = _depth(relevance, k)
    if np.any(np.asarray(n_positive) < np.maximum(1, relevance.sum(axis=-1))):
        raise InputError(
            "n_positive is smaller than the positives found (or than 1): count all that exist."
        )
    return relevance[..., :k].sum(axis=-1) / np.asarray(n_positive)


def focus_precision(relevance, image_ids, labels, k=100):
    """MP@k and MAP@k over prompts (PHS eq. A1-A8), as :class:`FocusResult`.

    relevance (Q, >= k) bool: does the image at that rank contain the prompted category; image_ids,
    labels (Q,): query image and category of each prompt. AP@k of a prompt is the mean of P@k' over
    its *correct* ranks k' <= k, 0 if there are none. Fewer than k columns (a database smaller than
    k): all are used, with a warning.
    """
    relevance, k = _depth(relevance, k)
    if relevance.ndim != 2 or not (len(relevance) == len(image_ids) == len(labels) > 0):
        raise InputError(
            f"relevance {relevance.shape}, {len(image_ids)} image_ids and {len(labels)} labels "
            "don't belong together: one row each per query, at least one."
        )
    relevance = relevance[:, :k]
    found = relevance.sum(axis=1)
    precision = relevance.cumsum(axis=1) / np.arange(1, k + 1)
    per_query = pd.DataFrame(
        {
            "image_id": np.asarray(image_ids),
            "label": np.asarray(labels),
            "precision": found / k,
            "average_precision": (precision * relevance).sum(axis=1) / np.maximum(found, 1),
        }
    )
    return average(per_query, k)


def average(per_query, k):
    """Means over prompts of one image and category, then images, then categories (PHS A3-4, A7-8).

    ``per_query`` as in :class:`FocusResult`; for subsets too: rows chosen from a table, or its mean
    over several prompts of one object.
    """
    columns = ["precision", "average_precision"]
    groups = per_query.groupby(["label", "image_id"], sort=True)
    pairs = groups[columns].mean().assign(n_queries=groups.size()).groupby("label")
    per_category = pairs[columns].mean()
    per_category.insert(0, "n_queries", pairs["n_queries"].sum())
    per_category.insert(0, "n_images", pairs.size())
    mp, mean_ap = per_category[columns].mean()
    return FocusResult(float(mp), float(mean_ap), per_category.reset_index(), per_query, k)


def score(ranking, retrieval_set, protocol="contains", k=100):
    """MP@k and MAP@k of a Ranking under a protocol of its RetrievalSet, as :class:`FocusResult`.

    ``per_query`` also has query (row of ``retrieval_set.queries``) and n_objects (of its image).
    Raises InputError for an unknown protocol, one that ignores images (use :func:`revisited`), a
    ranking of another set, and one cut off before k.
    """
    if protocol not in retrieval_set.protocols:
        names = ", ".join(retrieval_set.protocols)
        raise InputError(f"Protocol '{protocol}' is unknown, {retrieval_set.name} has: {names}.")
    rules = retrieval_set.protocols[protocol]
    if any(len(ignored) for ignored in rules.ignored.values()):
        raise InputError(
            f"Protocol '{protocol}' ignores images, unknown to P@k: score it with revisited()."
        )
    n_kept, queries = ranking.ids.shape[1], retrieval_set.queries
    if n_kept < min(k, ranking.n_database - 1):  # one may be the query itself
        raise InputError(
            f"The ranking keeps {n_kept} of {ranking.n_database} images per query: search "
            f"with k={k}."
        )
    if ranking.query_rows.max() >= len(queries) or ranking.n_database != len(
        retrieval_set.database
    ):
        raise InputError(
            f"The ranking is of {ranking.n_database} images and query rows up to "
            f"{ranking.query_rows.max()}, not of {retrieval_set.name} with "
            f"{len(retrieval_set.database)} images and {len(queries)} queries."
        )
    ids = np.full((len(queries), min(k, n_kept)), -1)
    ids[ranking.query_rows] = ranking.ids[:, :k]
    asked = queries.iloc[ranking.query_rows]
    relevance = rules.relevance(ids)[ranking.query_rows]
    result = focus_precision(relevance, asked["image_id"].to_numpy(), asked["label"].to_numpy(), k)
    result.per_query.insert(0, "query", ranking.query_rows)
    counts = {
        image_id: retrieval_set.n_objects(image_id) for image_id in asked["image_id"].unique()
    }
    result.per_query["n_objects"] = result.per_query["image_id"].map(counts)
    return result


def revisited(ranking, ground_truth, level, definition="trapezoid"):
    """Mean AP over the queries that have positives, by the Revisited Oxford and Paris protocol.

    See :func:`revisited_ap`. Raises InputError when no query has positives.
    """
    aps = revisited_ap(ranking, ground_truth, level, definition)
    if np.isnan(aps).all():
        raise InputError(f"No query has {level} positives: nothing can be averaged.")
    return float(np.nanmean(aps))


def revisited_ap(ranking, ground_truth, level, definition="trapezoid"):
    """AP (Q,) of each query by the Revisited Oxford and Paris protocol; NaN without positives.

    ranking: database rows, best first, for each query: (Q, n), a list of Q arrays, or (n, Q), the
    layout of the published evaluation code (when Q = n: rows are queries). ground_truth: Q dicts
    with lists "easy", "hard", "junk" of database rows. level: "easy" (easy count, hard and junk are
    ignored), "medium" (easy and hard; junk ignored) or "hard" (hard; easy and junk ignored). An
    ignored image is taken out of the list before ranks are counted; positives not in it count 0.
    """
    if level not in LEVELS:
        raise InputError(f"Level '{level}' is unknown: easy, medium or hard.")
    if isinstance(ranking, np.ndarray) and ranking.ndim == 2 and len(ranking) != len(ground_truth):
        ranking = ranking.T
    if len(ranking) != len(ground_truth):
        raise InputError(
            f"The ranking is of {len(ranking)} queries, the ground truth of {len(ground_truth)}: "
            "there must be one each."
        )
    aps = np.full(len(ground_truth), np.nan)
    for query, (ids, truth) in enumerate(zip(ranking, ground_truth, strict=True)):
        if missing := {"easy", "hard", "junk"} - set(truth):
            raise InputError(f"Ground truth of query {query} lacks {', '.join(sorted(missing))}.")
        positive, ignored = (
            np.concatenate([np.asarray(truth[key], int) for key in keys]) for keys in LEVELS[level]
        )
        ids = np.asarray(ids)
        if len(np.unique(ids)) < len(ids):
            raise InputError(f"The ranking of query {query} names a database row twice.")
        if len(positive):
            ids = ids[~np.isin(ids, ignored)]
            aps[query] = average_precision(
                np.flatnonzero(np.isin(ids, positive)), len(positive), definition
            )
    return aps


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
