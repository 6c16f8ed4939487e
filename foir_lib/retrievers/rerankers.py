"""Re-ranking of any retriever's results: query expansion, diffusion, spatial verification, SuperGlobal."""

from dataclasses import dataclass

import numpy as np
import torch

from foir_lib.registry import register
from foir_lib.retrievers.base import Reranker
from foir_lib.retrievers.parts import once
from foir_lib.search.rerank import diffusion, expansion, spatial
from foir_lib.search.rerank.superglobal import superglobal
from foir_lib.store.arrays import replaced

N_KEYPOINTS = 500


@register("reranker", "AQE")
@dataclass(frozen=True)
class AverageQE(Reranker):
    """Average query expansion by the first ``n`` results; the new query searches again (Chum et al., ICCV 2007)."""

    n: int = 5

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        neighbours = retriever.neighbours(query, database, ids[:, : self.n], corpus)
        vectors = self.expanded(query.read(retriever.vector), neighbours).cpu().numpy()
        return retriever.score(corpus, replaced(query, **{retriever.vector: vectors}), database, ids.shape[1])

    def expanded(self, vectors, neighbours) -> torch.Tensor:
        return expansion.average_expansion(vectors, neighbours)


@register("reranker", "alphaQE")
@dataclass(frozen=True)
class AlphaQE(AverageQE):
    """Query expansion weighted by similarity to the power ``alpha`` (Radenovic et al., TPAMI 2019); ``n`` = 10 is ours."""

    n: int = 10
    alpha: float = 3.0

    def expanded(self, vectors, neighbours):
        return expansion.alpha_expansion(vectors, neighbours, self.alpha)


@register("reranker", "DF")
@dataclass(frozen=True)
class Diffusion(Reranker):
    """Diffusion through the graph of ``n`` mutual neighbours (Iscen et al., CVPR 2017): the exact solution on the whole graph,
    with the query outside of it, not the truncated one computed beforehand (Yang et al., AAAI 2019)."""

    n: int = 50

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        graph = diffusion.graph(*retriever.graph(corpus, database, min(self.n, len(database))))
        return diffusion.rerank(graph, scores, ids)


@register("reranker", "SuperGlobal")
@dataclass(frozen=True)
class SuperGlobal(Reranker):
    """The best ``n`` refine each other's descriptors (Shao et al., ICCV 2023)."""

    n: int = 400

    def lacks(self, corpus, retriever):
        if retriever.vector != "descriptor":
            return f"{self.name} isn't defined after {retriever.name}, whose results have no descriptors: choose a vector"
        return ""

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        return superglobal(query.read("descriptor"), database.read("descriptor"), scores, ids, self.n)


@register("reranker", "SP")
@dataclass(frozen=True)
class Spatial(Reranker):
    """Spatial verification of the first ``n``: SIFT matches in one motion (Philbin et al., CVPR 2007).

    Ours: with fewer than ``least`` inliers a picture counts as unverified: chance gives a few, and must not sort a list.
    """

    n: int = 100
    least: int = 1

    def lacks(self, corpus, retriever):
        return ""

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        asked, of = keypoints_of(part, query), spatial.stored(keypoints(corpus.database))
        return spatial.rerank(asked, of, scores, ids, self.n, corpus.progress, self.least)


def keypoints_of(part, query) -> list[spatial.Keypoints]:
    """The keypoints of each of a part's described queries."""
    one, of = spatial.stored(keypoints(part)), getattr(query, "of", None)
    return [one(row) for row in (range(len(part)) if of is None else np.unique(of, return_index=True)[1])]


@once
def keypoints(part):
    """SIFT keypoints of a part, as `search.rerank.spatial` stores them; a prompt's are those inside its box, counted from its corner."""
    n = part.corpus.setting("n_keypoints", N_KEYPOINTS)

    def describe(m):
        points = spatial.keypoints(part.cut(m).picture, n_features=n)
        return {name: torch.from_numpy(np.asarray(array))[0] for name, array in spatial.stacked([points], n).items()}

    return part.each(f"sift {n}", describe)
