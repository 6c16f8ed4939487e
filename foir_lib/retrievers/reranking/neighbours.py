"""The graph of verified neighbours of a database: which pictures show the same thing as each, and where on both.

Each picture is verified against its first n in the global ranking, once, in shards of the feature store: a killed run goes on.
It costs n verifications a picture, about a millisecond each for 200 keypoints and several for 500; :attr:`Graph.cost` says what it took.
"""

import time
from functools import lru_cache

import numpy as np

from foir_lib.retrievers.rerankers import keypoints
from foir_lib.search.rerank import spatial
from foir_lib.search.rerank.hypergraph import Edge
from foir_lib.store.features import ByRow, array_digest

N_NEIGHBOURS = 200
MOST = 64  # inliers of an edge whose positions are kept
SHARD = 128  # pictures
HELD = 1024  # pictures whose keypoints stay in memory while the graph is built


class Graph:
    """Verified neighbours of each database picture: those with at least ``least`` inliers, read from disk on demand."""

    def __init__(self, edges, points, least: int):
        self.edges, self.points, self.least = edges, points, least
        self.edges_of = lru_cache(4096)(self._edges_of)

    def _edges_of(self, row: int) -> tuple[Edge, ...]:
        """The edges of a picture, in the order of its neighbours."""
        rows, inliers, matches = (self.edges.read(name, slice(row, row + 1))[0] for name in ("row", "inliers", "matches"))
        edges, here = [], self._points_of(row)
        for place in np.flatnonzero(inliers >= self.least):
            pairs = matches[place, : min(inliers[place], MOST)].astype(np.int64)
            edges.append(Edge(int(rows[place]), here[pairs[:, 0]], self._points_of(int(rows[place]))[pairs[:, 1]], int(inliers[place])))
        return tuple(edges)

    def _points_of(self, row):
        return self.points.read("points", slice(row, row + 1))[0]

    def neighbours_of(self, row: int) -> np.ndarray:
        """The rows of a picture's verified neighbours."""
        one = slice(row, row + 1)
        return self.edges.read("row", one)[0][self.edges.read("inliers", one)[0] >= self.least]

    @property
    def cost(self) -> float:
        """Seconds of one processor that a thousand pictures took."""
        return 1000 * float(self.edges.read("seconds").mean())


def graph(corpus, retriever, database, n: int | None, least: int, **options) -> Graph:
    """The :class:`Graph` of a corpus after a retriever that has described its ``database``.

    ``n``: neighbours of each that are verified (None: the set's own number, else 200); ``options``: of :func:`spatial.verify`. Of more
    than MOST inliers an edge keeps every k-th.
    """
    n = min(n or corpus.setting("n_neighbours", N_NEIGHBOURS), len(database) - 1)
    near = corpus.learned(("neighbours", retriever, n), lambda: others(retriever.graph(corpus, database, n + 1)[1]))
    part = keypoints(corpus.database)
    keypoints_of = lru_cache(HELD)(spatial.stored(part))

    def describe(row):
        start, a = time.thread_time(), keypoints_of(row)
        inliers, matches = np.zeros(n, np.int32), np.zeros((n, MOST, 2), np.int16)
        for place, other in enumerate(near[row].tolist()):
            rows = spatial.verify(a, keypoints_of(other), **options).rows
            inliers[place] = len(rows)
            rows = rows[np.linspace(0, len(rows) - 1, MOST).astype(int)] if len(rows) > MOST else rows
            matches[place, : len(rows)] = rows
        return {"row": near[row].astype(np.int32), "inliers": inliers, "matches": matches, "seconds": np.float32(time.thread_time() - start)}

    what = f"verified neighbours: {n} of {retriever}, {array_digest(near)}, {sorted(options.items())}"
    make = ByRow(describe, corpus.workers)
    return Graph(corpus.database.features(what, make, describe, shard=SHARD), part, least)


def others(ids: np.ndarray) -> np.ndarray:
    """Neighbours ids (n, k + 1) of each picture without itself, (n, k)."""
    own = ids == np.arange(len(ids))[:, None]
    own[~own.any(1), -1] = True  # a picture that isn't among its own: the last goes
    return ids[~own].reshape(len(ids), -1)
