"""Page: one query at the left, all explorers as tabs at the right; of one or several sets and models."""

from collections.abc import Sequence

import ipywidgets
from markupsafe import Markup

from foir_lib import progress, registry
from foir_lib.errors import FoirError, InputError
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.base import Explorer, Part
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.results.records import title_of
from foir_lib.view.widgets.live import Words, replace_earlier, static

FIRST = ("Lists", "Heads", "Failures", "Co-attention", "Objects", "Pixels", "Talk")  # the order of our tabs; those of others follow


class Page(Part):
    """Explorers of ``corpora`` (one or several :class:`Corpus`, all combinations offered) that share one canvas.

    ``tabs``: names of registered explorers, by default all of them. A tab is created when it is first opened, and answers only
    while it is open; one that a corpus lacks something for says so in a sentence. Raises InputError for unknown tabs.

    tab: name of the open one. corpus: the present one. explorer: that of the open tab, or None where it can't be had.
    """

    def __init__(self, corpora: Corpus | Sequence[Corpus], tabs: Sequence[str] | None = None):
        corpora = [corpora] if isinstance(corpora, Corpus) else list(corpora)
        if not corpora:
            raise InputError("There is no corpus to explore: give at least one.")
        known = registry.names("explorer")
        names = sorted(known, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
        self._kinds = {name: registry.lookup("explorer", name) for name in (names if tabs is None else tabs)}
        self._explorers, self.corpus, self.panel = {}, corpora[0], None
        choices = [(f"{title_of(corpus.set)}, {corpus.model.name}", corpus) for corpus in corpora]
        self.corpora = self.control("Dropdown", "", lambda: self._use(self.corpora.value), options=choices)
        self._summary, self._note, names = Words(), Words(), list(self._kinds)
        self.tabs = ipywidgets.ToggleButtons(options=names, style={"button_width": "auto"})
        select = ipywidgets.Dropdown(options=names, description="tab", style={"description_width": "initial"})
        self._left, self._tab = ipywidgets.VBox(), ipywidgets.VBox()
        right, head = ipywidgets.VBox([self.tabs, select, self._tab]), ipywidgets.HBox([self.corpora, self._summary])
        columns = ipywidgets.HBox([self._left, right])
        super().__init__([Words(Markup(f"<style>{static('page.css')}</style>")), head, columns])
        named = {"page": self, "head": head, "columns": columns, "left": self._left, "right": right, "tab": self._tab}
        for name, widget in {**named, "summary": self._summary, "tabs": self.tabs, "select": select}.items():
            widget.add_class(f"foir-{name}")
        ipywidgets.link((self.tabs, "value"), (select, "value"))
        self.tabs.observe(lambda _: self._open(), "value")
        self._use(self.corpus)
        replace_earlier(self)

    def __repr__(self):
        return f"Page ({self.corpus.set.name}, {self.corpus.model.name}: {', '.join(self._kinds)})"

    @property
    def tab(self) -> str:
        """The open tab. Set it to open another."""
        return self.tabs.value

    @tab.setter
    def tab(self, name: str) -> None:
        if name not in self._kinds:
            raise InputError(f"There is no tab {name!r}: choose one of {', '.join(self._kinds)}.")
        self.tabs.value = name

    @property
    def explorer(self) -> Explorer | None:
        """The explorer of the open tab."""
        return self._explorers.get(self.tab)

    @property
    def state(self) -> dict:
        """What is shown, as plain values: corpus, notices on its set, tab, summary, note (why a tab can't be had), and the state
        of the explorer."""
        return {
            "corpus": f"{self.corpus.set.name}, {self.corpus.model.name}", "notices": self.panel.notices.text, "tab": self.tab,
            "summary": self._summary.text, "note": self._note.text,
            "explorer": None if self.explorer is None else self.explorer.state,
        }  # fmt: skip

    def leave(self) -> None:
        for part in (*self._explorers.values(), self.panel):
            part.close()

    def _use(self, corpus):
        """The explorers of another corpus; the panel stays where the set is the same."""
        for explorer in self._explorers.values():
            explorer.close()
        self._explorers, self.corpus, old = {}, corpus, self.panel
        if old is None or old.set is not corpus.set:
            self.panel = QueryPanel(corpus.set, corpus.model)
            self.canvas, self._left.children = self.panel.canvas, [self.panel]
            if old is not None:
                old.close()
        else:
            self.panel.model = corpus.model
        self.panel.start()
        self._open()

    def _open(self):
        """Show the open tab, created when it is first opened; the others rest."""
        name, self._summary.value = self.tab, ""  # that of another tab is none of this one
        for other, explorer in self._explorers.items():
            explorer.active = other == name
        if name not in self._explorers:
            kind, n = self._kinds[name], len(self.corpus.set.database)
            what = f" shows {kind.shows}" if kind.shows else " opens"
            sentence = f"{name}{what}. What it needs of the {n} pictures of {title_of(self.corpus.set)} is computed once, then stored"
            self._show(f"{sentence} …")
            lacks = kind.lacks(self.corpus)
            try:
                if lacks:
                    raise InputError(f"{name} can't be had here: {lacks}.")
                with progress.watched(lambda bar: self._show(f"{sentence}: {bar.done:,} of {bar.total:,} {bar.unit}s done …")):
                    self._explorers[name] = explorer = kind.tab(self.corpus, self.panel)
            except FoirError as error:
                self._show(str(error))
                return self._summarise()
            explorer.observe(lambda change: self._summarise(), "summary")
            explorer.add_class(f"foir-{name.lower()}")
        self._show("", self._explorers[name])
        self._summarise()

    def _show(self, sentence, *explorer):
        """A sentence in place of an explorer, or the explorer."""
        self._note.layout.display = None if sentence else "none"
        self._note.value, self._tab.children = sentence, [self._note, *explorer]

    def _summarise(self):
        self._summary.value = self.explorer.summary if self.explorer is not None else ""
