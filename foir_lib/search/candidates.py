"""Two-stage search: an engine yields candidates, a method scores those alone, exactly.

No engine knows Query-DB scores or co-attention, but they all find nearest vectors: plain descriptors (PHS, MaO), or of each picture
the nearest of its clusters (co-attention). Of the database only the candidates' rows are read. Where all pictures are candidates the
result is that of the exhaustive scan, since it is the same call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from foir_lib.errors import InputError, count, unknown
from foir_lib.methods import coattention
from foir_lib.search import clusters
from foir_lib.search.knn import knn
from foir_lib.store.arrays import Readable, Rows

COLUMNS = ("image", "label", "split", "width", "height")  # what pictures are filtered by
Where = Mapping[str, str | int]
Score = Callable[[Readable, Readable, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Vectors:
    """What candidates are chosen by: the array ``name`` of a database's ``features``, (n, d), or (n, K, d) beside "count" (n,).

    ``table``: of each picture the :data:`COLUMNS`, "label" a tuple of texts; see :func:`table_of`. None: nothing is filtered.
    """

    features: Readable
    name: str
    table: pd.DataFrame | None = None

    def __post_init__(self):
        self.features.check(self.name)
        if self.table is not None and len(self.table) != len(self.features):
            raise InputError(f"A table of {len(self.table)} pictures doesn't fit features of {len(self.features)}: give a row for each.")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def several(self) -> bool:
        """Whether a picture has several vectors, of which the nearest counts."""
        return len(self.features.layout[self.name][1]) == 2

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return self.features.layout[self.name][1][-1]

    @cached_property
    def owner(self) -> np.ndarray:
        """(M,) the picture's row of each vector, rising."""
        return np.repeat(np.arange(len(self)), self.features.read("count")) if self.several else np.arange(len(self))

    def chunks(self, size: int = 4096) -> Iterator[tuple[int, np.ndarray]]:
        """Walk through all vectors in order: pairs (number of the first, vectors (m, d) float32) of ``size`` pictures each."""
        first = 0
        for _, part in self.features.chunks([self.name, *["count"] * self.several], size):
            x = part[self.name].astype(np.float32)
            x = x[np.arange(x.shape[1]) < part["count"][:, None]] if self.several else x
            yield first, x
            first += len(x)

    def rows(self, where: Where | None) -> np.ndarray:
        """Rows (m,), rising, of the pictures that a filter lets through: "image" begins so, "label" is one of theirs, others are equal.

        Raises InputError for an unknown column and for a filter that no picture passes.
        """
        passes = np.ones(len(self), bool)
        for column, value in checked(where, self.table).items():
            cells = self.table[column]
            if column == "image":
                passes &= cells.str.startswith(str(value)).to_numpy(bool)
            else:
                passes &= (cells.map(lambda labels, value=value: value in labels) if column == "label" else cells == value).to_numpy(bool)
        if not passes.any():
            raise InputError(f"No picture passes the filter {dict(where)}: loosen it.")
        return np.flatnonzero(passes)


class Source(Protocol):
    """An engine that holds ``vectors``."""

    vectors: Vectors

    def nearest(self, queries: np.ndarray, m: int, where: Where | None = None) -> list[np.ndarray]:
        """For each query (Q, d) at most ``m`` rows of the database, those with the largest inner product, in any order."""
        ...


@dataclass(frozen=True, eq=False)
class Exact:
    """The engine that compares every vector, in this process."""

    vectors: Vectors
    device: str | torch.device = "cpu"

    def nearest(self, queries: np.ndarray, m: int, where: Where | None = None) -> list[np.ndarray]:
        """As :meth:`Source.nearest`."""
        rows = self.vectors.rows(where)
        database = self.vectors.features if len(rows) == len(self.vectors) else Rows(self.vectors.features, rows)
        if self.vectors.several:
            _, ids = clusters.search(queries, database, m, score=coattention.one_to_many, how="max", device=self.device)
        else:
            _, ids = knn(queries, database.chunks(self.vectors.name), m, self.device)
        return list(rows[ids])


def candidates(source: Source, queries: np.ndarray, m: int, where: Where | None = None) -> list[np.ndarray]:
    """For each query the rows (at most ``m``) of its candidates, rising; all that pass the filter where they are no more than ``m``.

    Raises InputError for queries of another dimension, a bad ``m`` and a bad filter.
    """
    count(m, "candidates")
    if queries.ndim != 2 or queries.shape[1] != source.vectors.dimension:
        raise InputError(f"Queries of shape {queries.shape} don't fit vectors of {source.vectors.dimension} dimensions: use one network.")
    allowed = source.vectors.rows(where)
    if m >= len(allowed):
        return [allowed] * len(queries)
    return [np.unique(rows) for rows in source.nearest(queries, m, where)]


def rescored(score: Score, query: Readable, database: Readable, rows: Sequence[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (Q, k) float32 and ids (Q, k) int64, best first, of each query's candidates ``rows``, rising, by ``score`` alone.

    ``score(query, database, k)``: a retriever's, on described queries and database. Queries with the same candidates are scored in one
    call. Where a query has fewer than k candidates its last ids are -1.
    """
    count(k, "k")
    together = {}
    for number, one in enumerate(rows):
        together.setdefault(one.tobytes(), []).append(number)
    width = max(1, min(k, max(map(len, rows), default=1)))
    scores, ids = np.zeros((len(rows), width), np.float32), np.full((len(rows), width), -1, np.int64)
    for members in filter(lambda members: len(rows[members[0]]), together.values()):
        at = rows[members[0]]
        asked = query if len(members) == len(rows) else Rows(query, np.array(members))
        part, places = score(asked, database if len(at) == len(database) else Rows(database, at), min(k, len(at)))
        scores[members, : part.shape[1]], ids[members, : part.shape[1]] = part, at[places]
        scores[members, part.shape[1] :] = part[:, -1:]
    return scores, ids


def table_of(retrieval_set) -> pd.DataFrame:
    """The :data:`COLUMNS` of a set's database pictures, in order."""
    images = retrieval_set.database
    labels = retrieval_set.objects.groupby("image_id", sort=False)["label"].agg(lambda cells: tuple(sorted(set(cells))))
    columns = {name: images[name] for name in ("split", "width", "height")}
    return pd.DataFrame({"image": images["image_id"].astype(str), "label": images["image_id"].map(labels.get).map(lambda one: one or ()), **columns})


def checked(where: Where | None, table: pd.DataFrame | None) -> dict[str, str | int]:
    """A filter as a dict. Raises InputError for an unknown column, and where there is no table."""
    where = dict(where or {})
    if where and table is None:
        raise InputError(f"There are no columns to filter by {where}: give the table of the set.")
    for column in where:
        if column not in COLUMNS:
            raise unknown("column", column, COLUMNS)
    return where
