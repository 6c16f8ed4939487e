"""What a table is made of: columns, and what its rows are."""

from dataclasses import dataclass, field, replace

from foir_lib.retrievers.base import Reranker, Retriever


@dataclass(frozen=True)
class Column:
    """One method of a table: its printed name, the retriever, how it is asked (:meth:`Corpus.queries`), what re-ranks it, and
    where it stands on a figure's horizontal axis."""

    name: str
    retriever: Retriever
    how: dict = field(default_factory=dict)
    rerank: Reranker | None = None
    x: float | None = None

    def at(self, h_on: int, plain: bool, axis: bool) -> "Column":
        """The same with so many heads; unless ``plain``, its name says so; ``axis``: they are the figure's axis."""
        name = f"{self.name[:-1]}, h_on={h_on})" if self.name.endswith(")") else f"{self.name} (h_on={h_on})"
        return replace(self, name=self.name if plain else name, retriever=replace(self.retriever, h_on=h_on), x=h_on if axis else self.x)

    @property
    def heads(self) -> bool:
        """True where a number of heads is chosen, so that a list of h_on values makes a column each."""
        return hasattr(self.retriever, "h_on")


@dataclass(frozen=True)
class Table:
    """A table (or numeric figure) of a paper: title, columns, the paper's own rows, metrics, what to look for.

    ``metrics``: which the table prints, and costs; those of the set's other protocols are left out where it has one of
    them. ``over``: what a figure's horizontal axis counts ("objects", "objects or more", "h_on", "N, K, T"), or "".
    ``methods``: where the paper prints them, "across" or "down". ``stand_ins``: name of a data set or model -> the mini
    world's. ``alone``: systems that the paper alone has stand as published rows.
    """

    title: str
    columns: tuple
    datasets: tuple
    models: tuple
    metrics: tuple = ("MP@100",)
    over: str = ""
    look: str = ""
    methods: str = "across"
    stand_ins: dict = field(default_factory=dict)
    alone: bool = False
