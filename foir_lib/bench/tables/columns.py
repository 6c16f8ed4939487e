"""What a table is made of: columns, and what its rows are."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from foir_lib import registry
from foir_lib.retrievers.base import Localiser, Reranker, Retriever
from foir_lib.retrievers.reranking import chain

SHOWS = " > "  # between what ranks and what localises


@dataclass(frozen=True)
class Column:
    """One method of a table: its printed name, the retriever, how its queries are prompted (:meth:`Corpus.queries`), what re-ranks it,
    where it stands on a figure's horizontal axis, and what localises in its results."""

    name: str
    retriever: Retriever
    how: dict = field(default_factory=dict)
    rerank: Reranker | None = None
    x: float | None = None
    localise: Localiser | None = None

    @classmethod
    def of(cls, name: str, method: str = "", x: float | None = None, **how) -> "Column":
        """The column of a method's text, e.g. "PHS(h_on=3)", re-ranked, "GeM+DF" or "GeM+SP+DF", or with what localises, "GeM+DF > Dense";
        without one, its name is the text.

        Raises InputError for an unknown name or option.
        """
        text, shows, localiser = (method or name).partition(SHOWS)
        if shows:
            return replace(cls.of(name, text, x, **how), localise=registry.parse("localiser", localiser))
        first, rerank = chain.split(text)
        return cls(name, registry.parse("retriever", first), how, chain.parse(rerank) if rerank else None, x)

    def at(self, h_on: int, plain: bool, axis: bool) -> "Column":
        """The same with so many heads; unless ``plain``, its name says so; ``axis``: they are the figure's axis."""
        name = f"{self.name[:-1]}, h_on={h_on})" if self.name.endswith(")") else f"{self.name} (h_on={h_on})"
        return replace(self, name=self.name if plain else name, retriever=replace(self.retriever, h_on=h_on), x=h_on if axis else self.x)


@dataclass(frozen=True)
class Table:
    """A table (or numeric figure) of a paper: title, columns, the paper's own rows, metrics, what to look for.

    ``metrics``: which the table prints, and costs; those of the set's other protocols are left out where it has one of
    them. ``localised``: in how many of the first results of a list things are localised, where columns do. ``over``: what a figure's horizontal axis counts ("objects", "objects or more", "h_on", "N, K, T", or "data": the first
    option of each data set), or "".
    ``methods``: where the paper prints them, "across" or "down". ``stand_ins``: name of a data set or model -> the mini
    world's, one or several. ``alone``: systems that the paper alone has stand as published rows, ``also`` those of
    the published tables of such names, later than the paper. ``base``: the method that stands for the first one beside the
    paper, which doesn't print that. ``paper``: authors, title, where and when. ``judged``: what of a memory is judged,
    with the columns' retrievers as its encoders (:mod:`bench.memory.judged`), or "". ``notebook``: the name of the notebook that makes
    it, where that isn't the id's first part.
    """

    title: str
    columns: tuple
    datasets: tuple
    models: tuple
    metrics: tuple = ("MP@100",)
    localised: int = 20
    over: str = ""
    look: str = ""
    methods: str = "across"
    stand_ins: dict = field(default_factory=dict)
    alone: bool = False
    also: tuple = ()
    base: str = ""
    paper: str = ""
    judged: str = ""
    notebook: str = ""

    @property
    def stands(self) -> dict[str, tuple[str, ...]]:
        """Name of a data set or model -> all that stand for it."""
        return {paper: (some,) if isinstance(some, str) else tuple(some) for paper, some in self.stand_ins.items()}


def read(family: str) -> dict[str, Table]:
    """The tables of ``<family>.json`` by their ids.

    "defaults": fields of every :class:`Table` that doesn't say otherwise; "columns": printed name -> method, and how its
    queries are prompted, where the name alone isn't the method; "tables": their fields, columns by name or as such objects.
    """
    content = json.loads(Path(__file__).with_name(f"{family}.json").read_text(encoding="utf-8"))
    tables = {}
    for name, table in content["tables"].items():
        columns = [one if isinstance(one, dict) else {"name": one} | content["columns"].get(one, {}) for one in table["columns"]]
        fields = content["defaults"] | table | {"columns": [Column.of(**one) for one in columns]}
        tables[name] = Table(**{field: tuple(value) if isinstance(value, list) else value for field, value in fields.items()})
    return tables
