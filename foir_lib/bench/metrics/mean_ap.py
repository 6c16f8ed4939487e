"""Average precision, and mAP of a ranking under a protocol: revisited, classic, or mini-landmarks'."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from foir_lib.data import Protocol, ground_truth
from foir_lib.errors import InputError, unknown
from foir_lib.search.ranking import Ranking


class MeanAPResult(NamedTuple):
    """mAP over the queries that have positives; average_precision (Q,): AP of each query, NaN without positives."""

    map: float
    average_precision: np.ndarray


def average_precision(ranks: Sequence[int], n_positive: int, definition: str = "textbook") -> float:
    """AP of one query from the ranks (from 0) of the positives that were retrieved; ``n_positive`` exist in all.

    "textbook": mean over positives of (j+1)/(r+1), j-th positive at rank r. "trapezoid": mean of (p0 + p1)/2 with
    p0 = j/r (1 at r = 0) and p1 = (j+1)/(r+1), as in Oxford5k and its revisited protocol. Positives not among ``ranks``
    count 0. Raises InputError for ranks that repeat or are negative, and for fewer positives than ranks.
    """
    ranks = np.sort(np.asarray(ranks))
    whole = ranks.ndim == 1 and (ranks.dtype.kind in "iu" or not ranks.size)
    if not whole or (ranks < 0).any() or (np.diff(ranks) == 0).any():
        raise InputError(f"Ranks {ranks.tolist()} can't be scored: whole numbers from 0 on, each once.")
    if n_positive < max(1, len(ranks)):
        raise InputError(f"n_positive = {n_positive} is too few for {len(ranks)} retrieved positives: count all.")
    return float(precisions(ranks, definition).sum() / n_positive)


def precisions(ranks: np.ndarray, definition: str = "textbook") -> np.ndarray:
    """What each retrieved positive adds to the sum of :func:`average_precision`, (n,), from their rising ranks (n,)."""
    if definition not in ("textbook", "trapezoid"):
        raise InputError(f"AP definition '{definition}' is unknown: 'textbook' or 'trapezoid'.")
    earlier = np.arange(len(ranks))
    after = (earlier + 1) / (ranks + 1)
    if definition == "textbook":
        return after
    return (np.where(ranks == 0, 1.0, earlier / np.maximum(ranks, 1)) + after) / 2


def mean_average_precision(
    ranking: Ranking | Sequence[np.ndarray], protocol: Protocol, definition: str | None = None
) -> MeanAPResult:
    """mAP of a ranking under a protocol.

    ranking: a Ranking of all queries, or database rows, best first, for each query: (Q, n) or a list of Q arrays; -1
    stands for a place without a result. Ignored images (and the query's own, where the protocol names it) are
    taken out of the list before ranks are counted; positives not in it count 0. definition: the protocol's own by
    default; "textbook" or "trapezoid" (see :func:`average_precision`), or one of them cut, "textbook@100", which looks at the
    first 100 ranks and divides by min(positives, 100) (GLDv2: Weyand et al., CVPR 2020, section 3; "textbook@1000" of ILIAS). Raises InputError for a ranking
    of other queries, what are no rows (scores, NaN), an image twice in one query's list, and when no query has positives.
    """
    first, formula = cut(definition or protocol.definition)
    aps = np.full(len(protocol.groups), np.nan)
    for query, (_, ranks) in enumerate(retrieved(ranking, protocol)):
        if n_positive := len(protocol.positives(query)):
            aps[query] = average_precision(ranks[ranks < first], min(n_positive, first), formula)
    if np.isnan(aps).all():
        raise InputError("No query has positives: nothing can be averaged.")
    return MeanAPResult(float(np.nanmean(aps)), aps)


def cut(definition: str) -> tuple[float, str]:
    """How many ranks of a list an AP of a protocol looks at, and its definition for :func:`average_precision`: "textbook@1000" is (1000, "textbook")."""
    formula, _, first = definition.partition("@")
    return (int(first), formula) if re.fullmatch("[1-9][0-9]{0,8}", first) else (np.inf, definition)


def retrieved(ranking: Ranking | Sequence[np.ndarray], protocol: Protocol) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each query in order the positives that were retrieved, best first: database rows (n,) and their ranks from 0 (n,).

    A ranking, its ranks and errors are as in :func:`mean_average_precision`.
    """
    for query, ids in enumerate(_lists(ranking, len(protocol.groups))):
        ids = np.asarray(ids)
        if ids.size and (ids.ndim != 1 or ids.dtype.kind not in "iu"):
            what = f"The ranking of query {query} is {ids.dtype} {ids.shape}"
            raise InputError(f"{what}: give database rows, whole numbers.")
        if not isinstance(ranking, Ranking) and len(np.unique(ids[ids >= 0])) < (ids >= 0).sum():  # a Ranking has seen to it
            raise InputError(f"The ranking of query {query} names a database row twice.")
        listed = ids[~(np.isin(ids, protocol.ignored_of(query)) | ((ids == protocol.own[query]) & (ids >= 0)))]
        ranks = np.flatnonzero(np.isin(listed, protocol.positives(query)))
        yield listed[ranks], ranks


def revisited(
    ranking: Sequence[np.ndarray],
    truth: Sequence[Mapping[str, Sequence[int]]],
    level: str,
    definition: str = "trapezoid",
) -> float:
    """mAP over the queries that have positives, by the Revisited Oxford and Paris protocol (Radenović et al., CVPR 2018).

    ranking: as for :func:`mean_average_precision`, or (n, Q), the layout of the published evaluation code (when Q = n:
    rows are queries). truth: Q dicts with lists "easy", "hard", "junk" of database rows. level: "easy" (easy count, hard
    and junk are ignored), "medium" (easy and hard; junk ignored) or "hard" (hard; easy and junk ignored). Raises InputError
    as there, for an unknown level and for ground truth that lacks a list or names an image twice.
    """
    if level not in ground_truth.LEVELS:
        raise unknown("level", level, ground_truth.LEVELS)
    if isinstance(ranking, np.ndarray) and ranking.ndim == 2 and len(ranking) != len(truth):
        ranking = ranking.T
    rules = ground_truth.protocols(truth, np.inf, {level: ground_truth.LEVELS[level]})[level]
    return mean_average_precision(ranking, rules, definition).map


def _lists(ranking, n_queries):
    """Database rows for each query in order."""
    rows = ranking.query_rows if isinstance(ranking, Ranking) else np.arange(len(ranking))
    if sorted(rows.tolist()) != list(range(n_queries)):
        what = f"The ranking is of {len(ranking)} queries, the ground truth of {n_queries}"
        raise InputError(f"{what}: rank all of them, once each.")
    return ranking.ids[np.argsort(rows)] if isinstance(ranking, Ranking) else ranking
