"""mAP of a ranking under a named protocol of a landmark benchmark: revisited, classic, or mini-landmarks'."""

from typing import NamedTuple

import numpy as np

from foir_lib.bench.metrics.focus import average_precision
from foir_lib.errors import InputError


class LandmarkScore(NamedTuple):
    """mAP over the queries that have positives; average_precision (Q,): AP of each query, NaN without positives."""

    map: float
    average_precision: np.ndarray


def mean_average_precision(ranking, protocol, definition=None):
    """mAP of a ranking under a Protocol, as :class:`LandmarkScore`.

    ranking: a Ranking of all queries, or database rows, best first, for each query: (Q, n) or a list of Q arrays; -1
    stands for a place where nothing was found. Ignored images (and the query's own, where the protocol names it) are
    taken out of the list before ranks are counted; positives not in it count 0. definition: the protocol's own unless
    given; "textbook" or "trapezoid" (see `metrics.average_precision`), or "textbook@100", which looks at the first 100
    ranks and divides by min(positives, 100) (GLDv2: Weyand et al., CVPR 2020, section 3). Raises InputError for a ranking
    of other queries, what are no rows (scores, NaN), an image twice in one query's list, and when no query has positives.
    """
    definition = definition or protocol.definition
    first, formula = (100, "textbook") if definition == "textbook@100" else (None, definition)
    aps = np.full(len(protocol.groups), np.nan)
    for query, ids in enumerate(_lists(ranking, len(protocol.groups))):
        positives = protocol.positives(query)
        if not len(positives):
            continue
        ids = np.asarray(ids)
        if ids.size and (ids.ndim != 1 or ids.dtype.kind not in "iu"):
            raise InputError(
                f"The ranking of query {query} is {ids.dtype} {ids.shape}: give database rows, whole numbers."
            )
        found = ids[ids >= 0]
        if len(np.unique(found)) < len(found):
            raise InputError(f"The ranking of query {query} names a database row twice.")
        out = np.isin(ids, protocol.ignored_of(query)) | ((ids == protocol.own[query]) & (ids >= 0))
        ranks = np.flatnonzero(np.isin(ids[~out][:first], positives))
        aps[query] = average_precision(ranks, min(len(positives), first or len(positives)), formula)
    if np.isnan(aps).all():
        raise InputError("No query has positives: nothing can be averaged.")
    return LandmarkScore(float(np.nanmean(aps)), aps)


def _lists(ranking, n_queries):
    """Database rows for each query in order."""
    if not hasattr(ranking, "query_rows"):
        if len(ranking) != n_queries:
            raise InputError(
                f"The ranking is of {len(ranking)} queries, the protocol of {n_queries}: there must be one each."
            )
        return ranking
    if sorted(ranking.query_rows.tolist()) != list(range(n_queries)):
        raise InputError(f"The ranking is of {len(ranking)} queries, the protocol of {n_queries}: rank all of them.")
    return ranking.ids[np.argsort(ranking.query_rows)]
