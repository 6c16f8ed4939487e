"""Experiments on landmarks: one benchmark, one CNN, every method of the co-attention and regional-attention papers."""

import inspect

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.bench.landmark_extraction import GRIDS, SCALE_SETS, LandmarkExtraction
from foir_lib.bench.metrics.mean_ap import mean_average_precision
from foir_lib.errors import InputError
from foir_lib.methods import coattention, pooling
from foir_lib.search import clusters, inverted_file
from foir_lib.search.knn import knn
from foir_lib.search.ranking import Ranking
from foir_lib.search.rerank import diffusion, expansion, spatial

VECTORS = ("GeM", "SPoC", "MAC", "CroW", "R-MAC", "CAM", "RA", "RPN", "RPN+RA", "L2-norm attention")
CLUSTERS = {
    "CA": coattention.scores, "CA naive": coattention.naive, "one-to-many": coattention.one_to_many,
    "many-to-many": coattention.many_to_many,
}  # fmt: skip
METHODS = (*VECTORS, *CLUSTERS)
RERANKINGS = ("AQE", "alphaQE", "DF", "SP", "SuperGlobal")
NEIGHBOURS = {"AQE": 5, "alphaQE": 10, "DF": 50, "SP": 100, "SuperGlobal": 400}  # n of each
COATTENDED = 10_000  # pictures between all of which co-attention is scored; diffusion's graph of more is of descriptors
CLUSTERING = tuple(inspect.signature(LandmarkExtraction.clustered).parameters)[2:]  # its options
SEEN = ("n_scales", "n_features", "dim")
OPTIONS = {method: () for method in METHODS} | {
    "GeM": ("n_scales",), "R-MAC": ("scales",), "RA": ("scales", "context"), "RPN+RA": ("context",),
    "L2-norm attention": SEEN, "CA naive": (*SEEN, "ivf", "temperature"),
    "CA": (*CLUSTERING, "ivf", "temperature", "normalised"), "one-to-many": (*CLUSTERING, "ivf", "temperature", "how"),
    "many-to-many": (*CLUSTERING, "ivf", "temperature", "local", "image"),
}  # fmt: skip


class LandmarkExperiment(LandmarkExtraction):
    """All methods on one :class:`RetrievalSet` with one CNN; arguments as for :class:`LandmarkExtraction`.

    Options of a method: :data:`OPTIONS`, and of all: ``query`` "crop" or "whole"; ``rerank`` one of :data:`RERANKINGS` and
    ``n`` of its :data:`NEIGHBOURS`. ``n_scales`` 1, 3, 5 or 7; ``scales`` S of the grid; ``ivf``: only pictures that share a
    visual word; the others are those of :meth:`clustered` and of the scores in `coattention`.
    """

    def lacks(self, method, context=True, dim=512, **_):
        """Why a method can't be had with what is at hand, or ""."""
        wide = self.model.whiten is not None and self.model.whiten.out_features > dim
        if method in (*CLUSTERS, "L2-norm attention") and wide and not self.has_training:
            return f"no pictures at hand to learn a PCA to {dim} dimensions from: give training_root"
        if method.startswith("RPN") and not self._detector:
            return "no detector at hand: give its weights"
        if method.endswith("RA") and context not in self.attention:
            return f"no regional attention {'with' if context else 'without'} context at hand: give its weights"
        if method == "CAM":
            try:
                _ = self.model.classifier
            except InputError:
                return f"{self.model.name} has no classifier"
        return ""

    def ranking(self, method, rerank=None, n=None, **options):
        """The :class:`Ranking` of the whole database for all queries. Raises InputError for unknown names and options."""
        if rerank not in (None, *RERANKINGS):
            raise InputError(f"Re-ranking {rerank!r} is unknown: choose one of {', '.join(RERANKINGS)}.")
        side = {"crop": "queries", "whole": "whole queries"}.get(options.pop("query", "crop"))
        if side is None:
            raise InputError('A query is asked by its "crop" or as a "whole" picture.')
        _check(method, options)
        n = expansion.count(n or NEIGHBOURS.get(rerank, 1), "n")
        if method in VECTORS:
            queries, database = (self.vectors(method, part, **options) for part in (side, "database"))
            scores, ids = self.reranked(queries, database, rerank, n, side)
        else:
            scores, ids = self._clusters(method, side, rerank, n, **options)
        return Ranking(np.arange(len(ids)), ids, scores, len(self.set.database))

    def score(self, method, definition=None, **options):
        """mAP under each protocol of the set: dict of :class:`~foir_lib.bench.metrics.MeanAPResult`."""
        return scores_of(self.ranking(method, **options), self.set, definition)

    def vectors(self, method, part, n_scales=5, scales=5, context=True, n_features=0, dim=512):
        """Unit descriptors (n, d) float32 of a part by a method with one vector for each picture."""
        if method == "GeM":
            return self._gem(part, n_scales)
        if method in ("SPoC", "MAC", "CroW"):
            raw = torch.from_numpy(self.pooled(part).read(method.lower()))
            return pooling.processed(raw, self.pca(method.lower())).numpy()
        if method == "L2-norm attention":
            return self.clustered(part, n_scales, n_features, clustering="none", dim=dim).read("attended")
        if method == "CAM":
            return self.classes(part).read("descriptor")
        if method.startswith("RPN"):
            return self.proposed(part, context if method == "RPN+RA" else None).read("descriptor")
        if scales not in GRIDS:
            raise InputError(f"S={scales} of the region grid isn't stored: choose one of {', '.join(map(str, GRIDS))}.")
        found = self.regional(part, context if method == "RA" else None)
        return found.read("descriptor")[:, GRIDS.index(scales)].copy()

    def _gem(self, part, n_scales):
        """GeM, the whitening layer (else PCA-whitening) and L2 at each scale; their sum, L2."""
        raw = torch.from_numpy(self.pooled(part, n_scales).read("gem"))
        if self.model.whiten is None:
            found = pooling.processed(raw, self.pca("gem"))
        else:
            with torch.inference_mode():
                found = F.normalize(self.model.whiten(raw.to(self.model.device)).cpu(), dim=-1)
        return F.normalize(found.sum(1), dim=-1).numpy()

    def reranked(self, queries, database, rerank=None, n=None, side="queries"):
        """Scores and ids (Q, n_database) of unit query descriptors (Q, d) on a database (n, d), re-ranked or not."""
        size, device = len(database), self.model.device
        n = n or NEIGHBOURS.get(rerank)
        scores, ids = knn(queries, database, size, device=device)
        if rerank in ("AQE", "alphaQE"):
            queries = expanded(rerank, queries, expansion.nearest(database, ids, n))
            return knn(queries, database, size, device=device)
        if rerank == "DF":
            graph = diffusion.graph(*knn(database, database, min(n, size), device=device)[::-1])
            return diffusion.rerank(graph, ids, scores)[::-1]
        if rerank == "SuperGlobal":
            return expansion.superglobal(queries, database, ids, scores, n)[::-1]
        return self._verified(scores, ids, n, side) if rerank else (scores, ids)

    def _clusters(self, method, side, rerank, n, ivf=False, **options):
        stored = {name: options.pop(name) for name in list(options) if name in CLUSTERING}
        if method == "CA naive":
            stored |= {"clustering": "none"}
        asked, database = (self.clustered(part, **stored) for part in (side, "database"))
        queries = torch.from_numpy(asked.read("global"))
        if method == "many-to-many":
            rows = zip(asked.read("clusters"), asked.read("count"), strict=True)
            queries = [torch.from_numpy(x[:count]).float() for x, count in rows]
        chunk = max(1, 40_960 // database.layout["clusters"][1][0])  # pictures read at a time
        how = {
            "score": CLUSTERS[method],
            "device": self.model.device,
            "chunk": chunk,
            "progress": self.progress,
        } | options
        how |= {"candidates": self.candidates(side, **stored)} if ivf else {}
        scores, ids = clusters.search(queries, database, **how)
        if rerank in ("AQE", "alphaQE") and method == "CA":
            weights = {name: options[name] for name in ("temperature", "normalised") if name in options}
            neighbours = clusters.coattended(queries, database, ids[:, :n], self.model.device, **weights)
            return clusters.search(expanded(rerank, queries, neighbours), database, **how)
        if rerank == "DF" and method == "CA":
            each, size, device = torch.from_numpy(database.read("global")), min(n, len(database)), self.model.device
            if len(database) > COATTENDED:
                near = knn(each, each, size, device=device)
            else:
                near = clusters.search(each, database, size, device=device, **options)
            return diffusion.rerank(diffusion.graph(*near[::-1]), ids, scores)[::-1]
        if rerank in (None, "SP"):
            return self._verified(scores, ids, n, side) if rerank else (scores, ids)
        raise InputError(
            f"{rerank} isn't defined after {method}, whose answers have no descriptors: choose CA or a vector."
        )

    def candidates(self, side="queries", n_scales=5, n_features=0, **_):
        """For each query the database rows that share a visual word with its strongest ``n_asking`` features."""
        words, n_words = self.words("database", n_scales, n_features), len(self.codebook())
        index = inverted_file.build((w[w >= 0] for _, part in words.chunks("words") for w in part), n_words)
        asked = self.words(side, n_scales, n_features).read("words")[:, : self.n_asking]
        return [index.candidates(w[w >= 0]) for w in asked]

    def filtered(self, **options):
        """The share of the database that the inverted file spares a query, mean over queries."""
        return 1 - float(np.mean([len(rows) for rows in self.candidates(**options)])) / len(self.set.database)

    def _verified(self, scores, ids, n, side):
        of_query = spatial.stored(self.keypoints(side))
        queries = [of_query(row) for row in range(len(ids))]
        found = spatial.rerank(queries, spatial.stored(self.keypoints("database")), ids, scores, n, self.progress)
        return found[::-1]


def _check(method, options):
    """Raises InputError for an unknown method, an option that it doesn't have, and numbers that can't be."""
    if method not in METHODS:
        raise InputError(f"Method {method!r} is unknown: choose one of {', '.join(METHODS)}.")
    for name in options:
        if name not in OPTIONS[method]:
            known = ", ".join(("query", "rerank", "n", *OPTIONS[method]))
            raise InputError(f"Option {name!r} is unknown to {method}: choose among {known}.")
    if options.get("n_scales", 1) not in SCALE_SETS:
        raise InputError(
            f"n_scales={options['n_scales']!r} is unknown: choose one of {', '.join(map(str, SCALE_SETS))}."
        )
    expansion.count(options.get("n_features", 0), "n_features", 0)


def expanded(rerank, queries, neighbours):
    """Queries (Q, d) after average or alpha expansion by neighbours (Q, n, d)."""
    expand = expansion.average_expansion if rerank == "AQE" else expansion.alpha_expansion
    return expand(queries, neighbours).cpu()


def scores_of(ranking, retrieval_set, definition=None):
    """mAP of a ranking under each protocol of a set that a query has positives in."""
    found = {}
    for name, protocol in retrieval_set.protocols.items():
        if any(len(protocol.positives(query)) for query in range(len(protocol.groups))):
            found[name] = mean_average_precision(ranking, protocol, definition)
    return found
