"""CoattentionExplorer: point at a region of the query, see where the candidates light up for it, and what that gains over one vector."""

from foir_lib.registry import parse, register
from foir_lib.retrievers.coattention import CoAttention
from foir_lib.view.explorers.retrieval import RetrievalExplorer
from foir_lib.view.results import clusters


@register("explorer", "Co-attention")
class CoattentionExplorer(RetrievalExplorer):
    """The lists of one vector (GeM) and of co-attention, and below it what counts in its pictures; N, K and T are at hand. A result of
    co-attention is enlarged with its clusters."""

    METHODS = ("GeM", "CA")
    shows = "the results of one vector and of co-attention, and what counts in them"

    def __init__(self, corpus, methods=None, k: int = 8, maps: bool = True, panel=None):
        super().__init__(corpus, methods, k, maps, panel)

    @classmethod
    def lacks(cls, corpus) -> str:
        return parse("retriever", "CA").lacks(corpus)

    def _beside(self, method, row):
        retriever = next(one for one in self._methods if str(one) == method)
        return clusters.dots(self.corpus, retriever, self.comparison.part, row) if isinstance(retriever, CoAttention) else ((), "")
