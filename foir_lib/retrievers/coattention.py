"""Co-attention and its variants: a query's vector against clusters of each picture's local features.

Source: "Co-attention enabled content-based image retrieval", sections 4, 5 and 7.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.errors import count
from foir_lib.methods import clustering, coattention, pooling, whitening
from foir_lib.models.cnn import Locals
from foir_lib.registry import register
from foir_lib.retrievers import local_features, words
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.local_features import padded
from foir_lib.search import clusters
from foir_lib.search.knn import knn
from foir_lib.store.features import array_digest

COATTENDED = 10_000  # pictures between all of which co-attention is scored; diffusion's graph of more is of query vectors
CHUNK = 40_960  # clusters of the database read at a time
SIDE = 160  # cells of the longer side of an explaining map
MOST = 2**15 - 1  # features of a picture, and so clusters: their numbers are stored in 16 bits


@dataclass(frozen=True)
class LocalRetriever(Retriever):
    """Methods on the ``n_features`` (N) strongest local features of ``n_scales`` scales, whitened and PCA'd to ``dim``.

    N of None: what the data set says, else the paper's 500.
    """

    n_scales: Literal[1, 3, 5, 7] = 5
    n_features: int | None = None
    dim: int = 512
    needs: ClassVar = ("locals",)
    vector: ClassVar = None

    def __post_init__(self):
        super().__post_init__()
        for name in ("n_features", "n_clusters"):
            count(getattr(self, name, None) or 1, name, 1, MOST)

    def lacks(self, corpus):
        if (missing := super().lacks(corpus)) or corpus.has_training:
            return missing
        if corpus.model.whiten is None or corpus.model.whiten.out_features > self.dim:
            return f"no pictures at hand to learn a PCA to {self.dim} dimensions from: give training_root"
        return "no pictures at hand to learn visual words from: give training_root" if getattr(self, "ivf", False) else ""

    def n_of(self, corpus) -> int:
        """N on this corpus."""
        return self.n_features or corpus.setting("n_features", local_features.N_FEATURES)

    def embedding(self, corpus):
        """(whitening layer, PCA) of sections 3.2 and 5.1; PCA-whitening where no layer was trained."""
        n, model = self.n_of(corpus), corpus.model

        def describe(m):
            return {"query": pooling.power_mean(self._features(corpus.training, m), model.gem_p, 0)}

        def learn():
            whiten = model.whiten
            if whiten is not None and not corpus.has_training and self.dim >= whiten.out_features:
                return whiten, None
            raw = corpus.training.each(f"query: {self.n_scales} scales, N {n}", describe).read("query")
            with torch.inference_mode():
                raw = torch.from_numpy(raw) if whiten is None else whiten(torch.from_numpy(raw).to(model.device)).cpu()
            return whiten, whitening.fit(raw, min(self.dim, raw.shape[1], len(raw) - 1), whiten=whiten is None)

        return corpus.learned(("co-attention", self.n_scales, n, self.dim), learn)

    def vectors(self, part, method: str, n_clusters: int, bandwidth: float = 1.0):
        """Features of a part: "clusters" (K, d) float16 and their "count"; "labels" (N,) int16, the cluster of each feature, -1
        where there is none; "global" (d,), V_q of the same features; without clustering "attended" (d,) too.

        ``method``: as of :func:`coattention.cluster`, of which mean-shift gives up to N clusters, or "none": every feature by itself.
        """
        (whiten, pca), n, model = self.embedding(part.corpus), self.n_of(part.corpus), part.corpus.model

        def describe(m):
            x = self._features(part, m)
            if method == "none":
                labels, vectors = torch.arange(len(x)), coattention.embedded(x, whiten, pca)
                more = {"attended": coattention.weighted(vectors, coattention.norm_weights(x.norm(dim=1)))}
            else:
                labels, more = coattention.cluster(x, n_clusters, method, bandwidth), {}
                vectors = coattention.clusters(x, labels, model.gem_p, whiten, pca)
            width = n if method in ("none", "mean-shift") else n_clusters
            return more | {
                "clusters": padded(vectors, width).half(), "count": torch.tensor(len(vectors), dtype=torch.int32),
                "labels": F.pad(labels.cpu(), (0, n - len(x)), value=-1).to(torch.int16),
                "global": coattention.query(x, model.gem_p, whiten, pca),
            }  # fmt: skip

        kind = method if method != "mean-shift" else f"mean-shift {bandwidth:g}"
        learned = "no PCA" if pca is None else array_digest(pca.matrix)
        enlarged = part.corpus.setting("enlarged", 1.0)
        what = f"clusters: {self.n_scales} scales, N {n}, K {n_clusters}, {kind}, {learned}, x {enlarged:.4f}"
        return part.each(what, describe, clustering)

    def _features(self, part, m):
        return local_features.strongest(part, m, self.n_scales, self.n_of(part.corpus))


@register("retriever", "NormAttention")
@dataclass(frozen=True)
class NormAttention(LocalRetriever):
    """Local features weighed by their L2 norms: attention that doesn't know the query (section 4.1)."""

    vector: ClassVar = "attended"

    def describe(self, part):
        return self.vectors(part, "none", 10)

    def score(self, corpus, query, database, k):
        return knn(query.read("attended"), database.chunks("attended"), k, device=corpus.model.device)


@dataclass(frozen=True)
class _Clustered(LocalRetriever):
    """Methods that score a query against ``n_clusters`` (K) clusters of each picture.

    ``clustering``: "kmeans", "spectral" or "mean-shift" with a ``bandwidth``; ``ivf``: only pictures that share a visual
    word with the query are scored.
    """

    n_clusters: int = 10
    clustering: Literal[tuple(coattention.METHODS)] = "kmeans"
    bandwidth: float = 1.0
    ivf: bool = False

    def describe(self, part):
        features = self.vectors(part, self.clustering, self.n_clusters, self.bandwidth)
        return words.beside(features, part, self.n_scales, self.n_of(part.corpus)) if self.ivf else features

    def score(self, corpus, query, database, k):
        candidates = words.candidates(corpus, query, database) if self.ivf else None
        chunk = max(1, CHUNK // database.layout["clusters"][1][0])
        options = {"device": corpus.model.device, "chunk": chunk, "progress": corpus.progress, **self.equation()}
        return clusters.search(self.queries(query), database, k, candidates, **options)

    def queries(self, query):
        """What the equation takes of the queries: their vectors V_q (Q, d)."""
        return torch.from_numpy(query.read("global"))

    def filtered(self, corpus, query, database) -> float:
        """The share of the database that the inverted file spares a query, mean over queries."""
        candidates = words.candidates(corpus, query, database)
        return 1 - float(np.mean([len(rows) for rows in candidates])) / len(database)


@register("retriever", "CA")
@dataclass(frozen=True)
class CoAttention(_Clustered):
    """Co-attention: cos(V_q, V_c), V_c the clusters weighed by softmax(T cos) (eqs. 8-10); raw cosines unless ``normalised``."""

    temperature: float = 10.0
    normalised: bool = True
    vector: ClassVar = "global"

    def equation(self):
        return {"score": coattention.scores, "temperature": self.temperature, "normalised": self.normalised}

    def neighbours(self, query, database, ids, corpus):
        how = {"temperature": self.temperature, "normalised": self.normalised}
        return clusters.coattended(self.queries(query), database, ids, corpus.model.device, **how).numpy()

    def graph(self, corpus, database, k):
        if len(database) > COATTENDED:
            return super().graph(corpus, database, k)
        return clusters.search(self.queries(database), database, k, device=corpus.model.device, **self.equation())

    def explain(self, corpus, part, m, rows):
        query, database = torch.from_numpy(self.describe(part).read("global")[m]), self.describe(corpus.database)
        maps = []
        for row in rows:
            one = slice(int(row), int(row) + 1)
            labels = database.read("labels", one)[0]
            labels = torch.from_numpy(labels[labels >= 0]).long()
            x = torch.from_numpy(database.read("clusters", one)[0]).float()[: int(labels.max()) + 1]
            a = coattention.weights(query, x, self.temperature, self.normalised)[labels]
            maps.append(coattention.attention_map(self.locals_of(corpus, row), a / a.sum(), _shape(corpus.database, row)).numpy())
        return maps

    def locals_of(self, corpus, row: int) -> Locals:
        """The selected local features of a database picture."""
        features = local_features.of_item(corpus.database, int(row), self.n_scales, self.n_of(corpus))
        return replace(features, size=tuple(corpus.database.sizes[row].tolist()))


@register("retriever", "NaiveCA")
@dataclass(frozen=True)
class Naive(LocalRetriever):
    """Co-attention without clustering: every local feature by itself (eqs. 6-7, Table 4)."""

    temperature: float = 1.0
    ivf: bool = False
    n_clusters: ClassVar = 10
    queries, score = _Clustered.queries, _Clustered.score

    def describe(self, part):
        features = self.vectors(part, "none", self.n_clusters)
        return words.beside(features, part, self.n_scales, self.n_of(part.corpus)) if self.ivf else features

    def equation(self):
        return {"score": coattention.naive, "temperature": self.temperature}


@register("retriever", "OneToMany")
@dataclass(frozen=True)
class OneToMany(_Clustered):
    """The query's cosines with a picture's clusters, reduced by ``how``: "max", "mean" or "softmax" (Table 10)."""

    how: Literal[coattention.REDUCTIONS] = "max"
    temperature: float = 1.0

    def equation(self):
        return {"score": coattention.one_to_many, "how": self.how, "temperature": self.temperature}


@register("retriever", "ManyToMany")
@dataclass(frozen=True)
class ManyToMany(_Clustered):
    """The query's own clusters against a picture's: reduced by ``local`` and then by ``image`` (eqs. 14-16, Table 12)."""

    local: Literal[coattention.REDUCTIONS] = "max"
    image: Literal[coattention.REDUCTIONS] = "mean"
    temperature: float = 1.0

    def equation(self):
        return {"score": coattention.many_to_many, "local": self.local, "image": self.image, "temperature": self.temperature}

    def queries(self, query):
        rows = zip(query.read("clusters"), query.read("count"), strict=True)
        return [torch.from_numpy(x[:n]).float() for x, n in rows]


def _shape(part, row):
    width, height = part.sizes[row]
    return max(1, round(SIDE * height / max(width, height))), max(1, round(SIDE * width / max(width, height)))
