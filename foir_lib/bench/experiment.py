"""Experiments: one set, one model, any retriever under every protocol of the set."""

from functools import partial

import numpy as np

from foir_lib import registry
from foir_lib.bench.metrics.mean_ap import cut
from foir_lib.bench.metrics.pixels import pixel_score
from foir_lib.bench.metrics.scores import Score, scored
from foir_lib.errors import FoirError, InputError
from foir_lib.retrievers.base import Localiser, Reranker, Retriever
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.pixels import asking
from foir_lib.retrievers.pixels.asking import Localisations
from foir_lib.retrievers.reranking import chain
from foir_lib.search.ranking import Ranking, without


class Experiment:
    """Scores any retriever on one :class:`RetrievalSet` with one model; arguments as for :class:`Corpus`.

    A retriever or reranker is an object or its text, e.g. ``PHS(h_on=3)``; ``how``: how queries are prompted, the arguments of
    :meth:`Corpus.queries` (kind, noise, whole). Raises InputError for a set without labelled queries.
    """

    def __init__(self, retrieval_set, model, *arguments, **options):
        if not len(retrieval_set.queries):
            raise InputError(f"{retrieval_set.name} has no labelled queries, so nothing can be scored: give boxes.")
        self.set, self.model = retrieval_set, model
        self.corpus = Corpus(retrieval_set, model, *arguments, **options)

    def __len__(self):
        return len(self.set.queries)

    def lacks(self, retriever: Retriever | str, rerank: Reranker | str | None = None, localise: Localiser | str | None = None) -> str:
        """Why a method can't be had here, in a sentence's words, or ""."""
        retriever, reranker = parsed(retriever, rerank)
        missing = retriever.lacks(self.corpus) or (reranker.lacks(self.corpus, retriever) if reranker else "")
        return missing or (asking.parsed(localise).lacks(self.corpus) if localise else "")

    def ranking(self, retriever: Retriever | str, k: int | None = None, rerank: Reranker | str | None = None, **how) -> Ranking:
        """The first ``k`` (None: all) database rows of every query, its own picture left out where no protocol counts it.

        Raises InputError for a method that lacks something, and for results that are none: NaN, wrong shapes, unknown rows.
        For clicks there is one ranking for each click, ``ranking.query_rows`` repeats the query.
        """
        retriever, reranker = parsed(retriever, rerank)
        if missing := self.lacks(retriever, reranker):
            raise InputError(f"{retriever} can't be asked on {self.set.name}: {missing}.")
        part = self.corpus.queries(**how)
        scores, ids = self._search(retriever, reranker, part, k)
        own = self.own()[part.rows]
        n = len(self.set.database)
        keep = min(k or n, n - int((own >= 0).any()))
        scores, ids = without(scores, ids, own, keep)
        return Ranking(part.rows, ids, scores, n)

    def score(self, retriever: Retriever | str, k: int = 100, rerank: Reranker | str | None = None, **how) -> dict[str, Score]:
        """The :class:`Score` under each protocol of the set; MP@k and MAP@k where it is focus-oriented, else mAP.

        Clicks: a query's values are the means over its clicks.
        """
        ranking = self.ranking(retriever, self._depth(k), rerank, **how)
        return scored(ranking, self.set, k)

    def _depth(self, k):
        """How many places of a list the protocols look at, ``k`` at least; None: all."""
        depth = k
        for rules in self.set.protocols.values():
            if rules.metric == "mAP":
                depth = max(depth, cut(rules.definition)[0] + max(map(len, rules.ignored.values()), default=0) + 1)  # and its own picture
        return None if depth == np.inf else depth

    def pixel_score(
        self, retriever: Retriever | str, localiser: Localiser | str, n: int = 20, rerank: Reranker | str | None = None, **how
    ) -> dict[str, Score]:
        """The pixel :class:`Score` under each protocol, and its mAP: see :func:`pixels.pixel_score`.

        In the first ``n`` results of each query its thing is localised, further down it counts as not found; mIoU is over all true
        pairs.
        """
        ranking = self.ranking(retriever, None, rerank, **how)
        order = np.argsort(ranking.query_rows, kind="stable")
        ranking = Ranking(ranking.query_rows[order], ranking.ids[order], ranking.scores[order], ranking.n_database)
        first, protocols = ranking.ids[:, :n], self.set.protocols
        true = [np.unique(np.concatenate([rules.positives(q) for rules in protocols.values()])) for q in range(len(self))]
        answers = self.localise(localiser, [np.union1d(first[q], true[q]) for q in range(len(self))], **how)
        scores = scored(ranking, self.set, ranking.ids.shape[1])
        return {name: _both(one, pixel_score(ranking, self.set, answers, name, first=first)) for name, one in scores.items()}

    def localise(self, localiser: Localiser | str, ids, **how) -> list[Localisations]:
        """Where each query's thing is on the database rows ``ids`` (Q, n), or Q arrays of them; see :func:`asking.localise`."""
        return asking.localise(self.corpus, localiser, self.corpus.queries(**how), ids)

    def own(self) -> np.ndarray:
        """(Q,) database row of each query's own picture where all protocols leave it out, else -1."""
        owns = [protocol.own for protocol in self.set.protocols.values()] or [np.full(len(self), -1)]
        return np.where(np.all([own == owns[0] for own in owns], axis=0), owns[0], -1)

    def _search(self, retriever, reranker, part, k):
        size = len(self.corpus.database)
        wanted = size if k is None or reranker else min(size, k + 1)
        try:
            database, query = (self.corpus.described(retriever, one) for one in (self.corpus.database, part))
            if len(database) != size:
                raise InputError(f"{retriever} describes {len(database)} of {size} pictures of the database: give a row for each.")
            scores, ids = retriever.score(self.corpus, query, database, wanted)
            if reranker:
                scores, ids = reranker.rerank(self.corpus, retriever, part, query, database, scores, ids)
        except FoirError:
            raise
        except Exception as error:
            if all(type(one).__module__.startswith("foir_lib.") for one in (retriever, reranker) if one):
                raise
            raise InputError(f"{retriever} fails ({type(error).__name__}: {error}): mend it.") from error
        of = getattr(query, "of", None)
        scores, ids = _sound(scores, ids, len(part) if of is None else len(query), size, retriever)
        return (scores, ids) if of is None else (scores[of], ids[of])


def _both(score, pixels):
    """One Score of a list and of what was localised in it."""
    new = [column for column in pixels.per_query if column not in score.per_query or column == "query"]
    return Score(score.metrics | pixels.metrics, score.per_query.merge(pixels.per_query[new], on="query"), score.k)


def parsed(retriever, rerank=None) -> tuple[Retriever, Reranker | None]:
    """A retriever and a reranker from objects or texts. Raises InputError for what is neither."""
    objects = []
    for kind, one, base in (("retriever", retriever, Retriever), ("reranker", rerank, Reranker | None)):
        parse = chain.parse if kind == "reranker" else partial(registry.parse, kind)
        objects.append(parse(one) if isinstance(one, str) else one)
        if not isinstance(objects[-1], base):
            raise InputError(f"{one!r} is no {kind}: give an object or a name of `foir methods`.")
    return tuple(objects)


def _sound(scores, ids, n_queries, size, retriever):
    """Scores and ids as arrays; InputError says what a method returned instead."""
    try:
        scores, ids = np.asarray(scores, dtype=np.float32), np.asarray(ids)
    except (TypeError, ValueError) as error:
        raise InputError(f"{retriever} returned scores and ids that are no arrays ({error}): give (Q, k) each.") from error
    if scores.ndim != 2 or scores.shape != ids.shape or len(ids) != n_queries or ids.dtype.kind not in "iu":
        what = f"{retriever} returned scores {scores.shape} and ids {ids.shape} of {ids.dtype}"
        raise InputError(f"{what}: give (Q, k) each, Q = {n_queries}, ids whole numbers.")
    if not np.isfinite(scores).all():
        raise InputError(f"{retriever} returned NaN or infinite scores for query {int((~np.isfinite(scores)).any(1).argmax())}.")
    if outside := ids[(ids < -1) | (ids >= size)].tolist():
        raise InputError(f"{retriever} returned row {outside[0]} of the database: its {size} rows count from 0.")
    return scores, ids
