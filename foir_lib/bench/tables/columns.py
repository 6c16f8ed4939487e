"""What a table is made of: columns, and what its rows are."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """One method of a table: its printed name and how an experiment's ``score`` gets it.

    ``heads``: the method selects heads, so a list of h_on values makes a column each.
    """

    name: str
    method: str
    options: dict = field(default_factory=dict)

    @property
    def heads(self):
        return self.method in ("PHS", "FA+PHS", "Random heads")


@dataclass(frozen=True)
class Table:
    """A table (or numeric figure) of a paper: title, columns, the paper's own rows, metrics, what to look for.

    ``over``: what a figure's horizontal axis counts ("objects", "objects or more", "h_on", "N, K, T"), or "".
    ``methods``: where the paper prints them, "across" or "down".
    """

    title: str
    columns: tuple
    datasets: tuple
    models: tuple
    metrics: tuple = ("MP@100",)
    over: str = ""
    look: str = ""
    methods: str = "across"
