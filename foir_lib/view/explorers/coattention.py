"""CoattentionExplorer: point at a region of the query and see where the candidates light up for it."""

from foir_lib.registry import parse, register
from foir_lib.view.explorers.retrieval import RetrievalExplorer


@register("explorer", "Co-attention")
class CoattentionExplorer(RetrievalExplorer):
    """The lists of co-attention and below each what counts in its pictures; N, K and T are at hand."""

    METHODS = ("CA",)

    def __init__(self, corpus, methods=None, k: int = 8, maps: bool = True, panel=None):
        super().__init__(corpus, methods, k, maps, panel)

    @classmethod
    def lacks(cls, corpus) -> str:
        return parse("retriever", "CA").lacks(corpus)
