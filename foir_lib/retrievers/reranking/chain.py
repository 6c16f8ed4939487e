"""Several re-rankings one after the other, such as SP+Hypergraph: each begins with the list that the one before it left."""

from dataclasses import dataclass

from foir_lib import registry
from foir_lib.retrievers.base import Reranker


@dataclass(frozen=True)
class Chain(Reranker):
    """The re-rankings ``steps`` in turn."""

    steps: tuple[Reranker, ...]

    def __str__(self):
        return "+".join(map(str, self.steps))

    def lacks(self, corpus, retriever):
        return next((missing for step in self.steps if (missing := step.lacks(corpus, retriever))), "")

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        for step in self.steps:
            scores, ids = step.rerank(corpus, retriever, part, query, database, scores, ids)
        return scores, ids


def split(text: str) -> tuple[str, str]:
    """A method's text, "CA+SP+Hypergraph(hops=2)", as that of the retriever and that of what re-ranks it, "" without."""
    first, rerank = text, ""
    while (parts := first.rpartition("+"))[1] and parts[2].partition("(")[0].strip() in registry.names("reranker"):
        first, rerank = parts[0], f"{parts[2]}+{rerank}" if rerank else parts[2]
    return first, rerank


def parse(text: str) -> Reranker:
    """The re-ranking that ``text`` names, or the Chain of several. Raises InputError as :func:`registry.parse`."""
    first, others = split(text)
    steps = [registry.parse("reranker", first), *(registry.parse("reranker", one) for one in others.split("+") if one)]
    return steps[0] if len(steps) == 1 else Chain(tuple(steps))
