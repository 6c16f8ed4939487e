"""Re-ranking by what pictures agree on in space and topology: hypergraph propagation, community selection, topological verification."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from foir_lib.registry import register
from foir_lib.retrievers.base import Reranker
from foir_lib.retrievers.rerankers import Spatial, keypoints, keypoints_of
from foir_lib.retrievers.reranking import neighbours
from foir_lib.search.rerank import community, hypergraph, spatial, topological


@register("reranker", "Hypergraph")
@dataclass(frozen=True)
class Hypergraph(Reranker):
    """Hypergraph propagation from the first result (An et al., NeurIPS 2021; thesis chapter 4).

    ``n``: neighbours of a picture that are verified (None: the set's own number, else the paper's 200), by RANSAC with so many
    ``trials`` within ``pixels``. Ours: ``least``: inliers that make an edge; ``start``: the region to begin with, the whole "picture"
    (the paper's), or the box of the first result's inliers with the "query", where these are ``least``.
    """

    n: int | None = None
    hops: int = 3
    trials: int = 1000
    pixels: float = 10.0
    least: int = 20
    start: Literal["picture", "query"] = "picture"
    seed: int = 0

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        graph, verified = self.graph(corpus, retriever, database), self.verifier(corpus, part, query)
        seeds = [self.first(graph, verified, m, rows) for m, rows in enumerate(ids)]
        regions = [self.region(corpus, verified, m, row) for m, row in enumerate(seeds)]
        return hypergraph.rerank(graph.edges_of, seeds, regions, scores, ids, len(database), self.hops)

    def graph(self, corpus, retriever, database) -> neighbours.Graph:
        """The verified neighbours of the database; built once."""
        return neighbours.graph(corpus, retriever, database, self.n, self.least, **self.options)

    @property
    def options(self) -> dict:
        """Of :func:`spatial.verify`."""
        return {"threshold": self.pixels, "iterations": self.trials, "seed": self.seed}

    def verifier(self, corpus, part, query):
        """``verified(m, row)``: the :class:`spatial.Verified` matches of query ``m`` and a picture of the database."""
        of, asked = spatial.stored(keypoints(corpus.database)), keypoints_of(part, query)
        return lambda m, row: spatial.verify(asked[m], of(row), **self.options)

    def first(self, graph, verified, m: int, rows: np.ndarray) -> int:
        """The seed of query ``m``, whose results are ``rows``."""
        return int(rows[0])

    def region(self, corpus, verified, m: int, row: int) -> np.ndarray:
        """Where propagation begins in the seed ``row``, (4,) in its pixels."""
        if self.start == "query" and (match := verified(m, row)).inliers >= self.least:
            return hypergraph.box_of(match.b)
        return np.array([-1, -1, *corpus.database.sizes[row] + 1], np.float32)  # strictly inside lies all of it


@register("reranker", "Community")
@dataclass(frozen=True)
class Community(Hypergraph):
    """Hypergraph propagation from a seed that community selection chose (An et al., NeurIPS 2021; thesis chapter 4).

    Where the communities of the first ``top`` have an entropy above ``unsure`` nats, the query is verified: the first result stays the
    seed if it has ``inliers``; else the first of ``walked`` results that has more.
    """

    top: int = community.TOP
    unsure: float = community.UNSURE
    inliers: int = community.INLIERS
    walked: int = community.WALKED

    def first(self, graph, verified, m, rows):
        if self.uncertainty(graph, rows) <= self.unsure:
            return int(rows[0])
        return community.seed_of(rows[: self.walked], lambda row: verified(m, row).inliers, self.inliers)

    def uncertainty(self, graph: neighbours.Graph, rows: np.ndarray) -> float:
        """Of a list, in nats."""
        return community.uncertainty(community.communities(rows[: self.top], graph.neighbours_of))


@register("reranker", "Topological")
@dataclass(frozen=True)
class Topological(Spatial):
    """Topological verification of the first ``n`` (An et al., NeurIPS 2023; thesis chapter 5); it knows no scale and no rotation.

    ``window``, ``grow``: pixels on each side; ``cells`` a side; ``share`` of matches that must lie in the same cell; ``features`` in each window.
    """

    window: float = topological.WINDOW
    grow: float = topological.GROW
    cells: int = topological.CELLS
    share: float = topological.SHARE
    features: int = topological.FEATURES

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        options = {name: getattr(self, name) for name in ("window", "grow", "cells", "share", "features")}
        asked, of = keypoints_of(part, query), spatial.stored(keypoints(corpus.database))
        return topological.rerank(asked, of, scores, ids, self.n, progress=corpus.progress, least=self.least, **options)
