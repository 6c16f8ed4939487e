"""Re-ranking by what a localiser says: the surer a query's thing is localised, the earlier the picture."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from foir_lib.errors import InputError
from foir_lib.registry import register
from foir_lib.retrievers.base import Localiser, Reranker
from foir_lib.retrievers.pixels import asking
from foir_lib.search.rerank.lists import checked, head_first


@register("reranker", "Localised")
@dataclass(frozen=True)
class Localised(Reranker):
    """The first ``n`` by the score of the localiser ``of``, those in which nothing is localised behind them. Ours."""

    of: str = "Dense"
    n: int = 20

    def __post_init__(self):
        super().__post_init__()
        try:
            self.localiser  # noqa: B018
        except InputError as error:
            raise InputError(f"of={self.of!r} names nothing that localises: {error}") from error

    @cached_property
    def localiser(self) -> Localiser:
        """The localiser that ``of`` names."""
        return asking.parsed(self.of)

    def lacks(self, corpus, retriever):
        return self.localiser.lacks(corpus)

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        scores, ids = checked(scores, ids, len(corpus.database))
        first, of = ids[:, : self.n], getattr(query, "of", None)
        at = np.arange(len(ids)) if of is None else np.unique(of, return_index=True)[1]  # a prompt of each list
        wanted = [first[:0].ravel()] * len(part)
        for m, rows in zip(at, first):
            wanted[m] = rows
        answers = asking.localise(corpus, self.localiser, part, wanted)
        new = np.array([[answers[m][row].score if answers[m][row] else -np.inf for row in rows] for m, rows in zip(at, first.tolist())])
        floor = np.where(np.isfinite(new), new, np.inf).min(initial=0) - 1
        return head_first(scores, ids, np.where(np.isfinite(new), new, floor))
