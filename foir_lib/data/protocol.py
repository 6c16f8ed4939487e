"""Protocols: which database images are right for a query, which count neither way."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from foir_lib.errors import InputError, unknown

METRICS = ("focus", "mAP")
Rows = dict[Hashable, np.ndarray]  # database rows of each group of queries


@dataclass(frozen=True, eq=False)
class Protocol:
    """Which database images are right for a query, stored once per group of queries with the same answer.

    groups: one hashable per query (the FOIR protocol: its label). positive, ignored: group -> int array
    of database row positions (sorted here). own: (Q,) database row of the query's own picture or -1; it
    is never an answer. metric: "focus" (MP@k and MAP@k of PHS) or "mAP"; definition: the average precision
    that a benchmark publishes, see `bench/metrics/mean_ap.py`. Raises InputError for a group without an entry in
    positive (an empty array is fine), for bad positions, an image both positive and ignored, an unknown metric.
    """

    groups: tuple[Hashable, ...]
    positive: Rows
    ignored: Rows = field(default_factory=dict)
    own: np.ndarray | None = None
    definition: str = "trapezoid"
    metric: str = "mAP"

    def __post_init__(self):
        if self.metric not in METRICS:
            raise unknown("metric of protocols", self.metric, METRICS)
        groups = tuple(self.groups)
        missing = set(groups) - set(self.positive)
        if missing:
            group = f"Group {min(missing, key=str)!r} of the protocol"
            raise InputError(f"{group} has no entry in positive: give an empty array if it has none.")
        positive = {group: _positions(rows, group) for group, rows in self.positive.items()}
        ignored = {group: _positions(self.ignored.get(group, ()), group) for group in positive}
        for group, rows in positive.items():
            if np.intersect1d(rows, ignored[group], assume_unique=True).size:
                raise InputError(f"Group {group!r} of the protocol has images both positive and ignored: choose one.")
        own = np.full(len(groups), -1) if self.own is None else np.asarray(self.own)
        if own.shape != (len(groups),) or own.dtype.kind not in "iu":
            remedy = f"give one database row, or -1, for each of {len(groups)} queries"
            raise InputError(f"own has shape {own.shape} and type {own.dtype}: {remedy}.")
        for name, value in {"groups": groups, "positive": positive, "ignored": ignored, "own": own}.items():
            object.__setattr__(self, name, value)

    @cached_property
    def _queries_of(self):
        """Query rows of each group."""
        rows = {}
        for query, group in enumerate(self.groups):
            rows.setdefault(group, []).append(query)
        return {group: np.array(queries) for group, queries in rows.items()}

    def positives(self, query: int) -> np.ndarray:
        """Database rows that are right for ``query`` (a row of the queries table), sorted int array."""
        rows = self.positive[self.groups[query]]
        return rows[rows != self.own[query]]

    def ignored_of(self, query: int) -> np.ndarray:
        """Database rows that count neither as right nor as wrong for ``query``, sorted int array."""
        rows = self.ignored[self.groups[query]]
        return rows[rows != self.own[query]]

    def relevance(self, ids: np.ndarray) -> np.ndarray:
        """Which of the database rows ``ids`` (Q, k) are right, bool (Q, k); -1 (no row) is wrong.

        Row q belongs to query q. Raises InputError for other shapes, types, or ids below -1.
        """
        ids = np.asarray(ids)
        if ids.ndim != 2 or len(ids) != len(self.groups) or ids.dtype.kind not in "iu":
            remedy = f"give whole numbers ({len(self.groups)} queries, k)"
            raise InputError(f"ids have shape {ids.shape} and type {ids.dtype}: {remedy}.")
        if ids.min(initial=0) < -1:
            raise InputError(f"ids hold {ids.min()}: give database rows, or -1 for none.")
        size = 1 + max([ids.max(initial=-1), *(rows[-1] for rows in self.positive.values() if len(rows))])
        hit = np.zeros(size + 1, dtype=bool)  # the last entry answers for -1 and stays False
        right = np.zeros(ids.shape, dtype=bool)
        for group, queries in self._queries_of.items():
            hit[self.positive[group]] = True
            right[queries] = hit[ids[queries]]
            hit[self.positive[group]] = False
        return right & (ids != self.own[:, None])


def _positions(rows, group):
    rows = np.asarray(rows)
    if rows.size == 0:
        return np.zeros(0, dtype=np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or rows.min() < 0:
        raise InputError(f"Group {group!r} of the protocol must list database rows, whole numbers from 0, in one row.")
    return np.unique(rows).astype(np.int64)
