"""PixelExplorer: point at a thing and see where on every result it is; click an outline to ask with that."""

import ipywidgets
import numpy as np
from ipywidgets import Layout
from matplotlib.figure import Figure

from foir_lib.data.checks import plain
from foir_lib.errors import InputError, count
from foir_lib.registry import register
from foir_lib.retrievers.base import Localiser, Retriever
from foir_lib.text import markup, percent, score
from foir_lib.view import figures
from foir_lib.view.explorers.base import wrapped
from foir_lib.view.explorers.comparison import Comparison, offered, parsed
from foir_lib.view.explorers.outlined import NONE, Outlined
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.results import rows
from foir_lib.view.widgets import outlines
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.cutting import Cutting, Results
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words

FIRST = ("PHS", "CA", "CBIR")  # the method by default, of those that a model has


@register("explorer", "Pixels")
class PixelExplorer(Outlined):
    """The first ``k`` results of a ``method`` with the outlines that a ``localiser`` finds on them; both are objects or texts.

    By default the first methods that can be had. A click on a result is :meth:`open_result`, a click on an outline (Shift+Enter on its picture)
    :meth:`ask_with`; on the open result the outline can be mended by hand before it asks; ``cutting`` writes what is outlined on the list
    into a folder. Without a running event loop outlines come when :meth:`wait` is called.
    """

    shows = "on each result the outline of the thing that asks"

    def __init__(
        self, corpus, method: str | Retriever | None = None, localiser: str | Localiser | None = None, k: int = 10, panel: QueryPanel | None = None
    ):
        count(k, "k")
        if localiser is None and (lacks := self.lacks(corpus)):
            raise InputError(f"Pixels can't be explored here: {lacks}.")
        self.corpus, self._methods = corpus, offered(corpus)
        first = next((name for name in FIRST if name in self._methods), next(iter(self._methods)))
        (self._method,) = parsed([first if method is None else method], corpus)
        self._methods |= {str(self._method): self._method}
        self.results, self.opened, self._on_result = {}, None, (None, None, 0)  # row, outline, number of the picture on the result's canvas
        self.comparison, self.gallery = Comparison(corpus), Gallery(one_line=True)
        own = panel is None
        panel = QueryPanel(corpus.set, corpus.model) if own else panel
        self.panel, self.canvas = panel, panel.canvas
        self._start_outlines(corpus, next(iter(outlines.offered(corpus))) if localiser is None else localiser)
        super().__init__(panel, self._content(k), own)
        self._begin()

    @classmethod
    def lacks(cls, corpus) -> str:
        return "" if outlines.offered(corpus) else f"no localiser can ask {corpus.model.name}: name a ViT such as mini-vit"

    def _content(self, k):
        """The controls, the list, and below it the open result."""
        self.method = self.control("Dropdown", "method", lambda: self._use(self.method.value), options=list(self._methods), value=str(self._method))
        self.k = self.control("Dropdown", "results (k)", self.show, options=sorted({5, 10, 12, 20, int(k)}), value=int(k))
        self.words, self.result = Words(), PromptCanvas(label="result", tool="brush")
        self.query_button = self.button("ask with this outline", self.ask_with, tooltip="Makes what is marked on the result the query")
        self.cutting = Cutting(self._to_cut)
        self.gallery.on_pick(lambda row: self.clicked(lambda: self.open_result(row)))
        self.result.on_change(self._mended)
        self._below = ipywidgets.VBox([self.words, self.result, self.query_button], layout=Layout(display="none", max_width="480px"))
        return [wrapped(self.method, self.localiser, self.k), self.gallery, self.outlined, self.cutting, self._below]

    def __repr__(self):
        return f"PixelExplorer ({self.corpus.set.name}, {self.corpus.model.name}, {self._method}, outlines by {self.localiser.value or NONE})"

    @property
    def state(self) -> dict:
        """As of any explorer with outlines; and the method, its list, the open row, what is said of it and of cutting out."""
        listed = [row for table in self.results.values() for row in table["row"].tolist()]
        return super().state | {"method": str(self._method), "list": listed, "opened": self.opened, "words": self.words.text, "cutting": self.cutting.words.text}

    def open_result(self, row: int) -> None:
        """Open a row of the database, as a click on a result does. Raises InputError where there is none."""
        with self.saying():
            n = len(self.corpus.database)
            if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < n:
                raise InputError(f"{self.corpus.set.name} has no database row {row!r}: rows go from 0 to {n - 1}.")
            self.corpus.database.open(int(row))  # or it says why not, and what was open stays
            self.opened = int(row)
            self.follow()

    def ask_with(self, row: int | None = None) -> None:
        """Make the outline on a result the query; None: what is marked on the open result. Raises InputError where there is none."""
        if row is not None:
            return super().ask_with(row)
        with self.saying():
            if self.opened is None or self.result.asks is None:
                raise InputError("Nothing is marked to ask with: open a result with an outline, or paint on it.")
            self._ask_with(self.opened, self.result.asks)

    def figure(self) -> Figure:
        """The list with its outlines, as :func:`figures.outlines` draws it; of a query of the set."""
        queries, image_id = self.corpus.set.queries, self.panel.image_id
        at = np.flatnonzero((queries["image_id"] == image_id) & (queries["label"] == self.panel.label))
        if not len(at):
            raise InputError("The picture and label that ask are no query of the set: open one of its queries.")
        self.wait()
        label, results = self.panel.label, {}
        for name, table in self.results.items():
            here = [row for row in table["row"].tolist() if row in self.outlines.outlines]
            answers = [self.outlines.outlines[row].localisation for row in here]
            right = dict(zip(table["row"], table["right"]))
            ious = [self._truth.iou(label, row, one) for row, one in zip(here, answers, strict=True)]
            results[name] = (here, answers, [right[row] for row in here], ious)
        return figures.outlines(self.corpus.set, int(at[0]), results, self.canvas.asks, k=self.k.value)

    def show(self) -> None:
        panel, method = self.panel, self._method
        if panel.canvas.picture is None:
            return
        answer = self.comparison.answers(panel.canvas.picture, panel.canvas.asks, (method,), panel.image_id)[str(method)]
        right = rows.verdicts(self.corpus.set, panel.label)
        results = rows.table(answer.scores, answer.ids, self.comparison.ids, self.k.value, right)
        self.gallery.show([self.comparison.row(str(method), results, None, answer, label=self.panel.label)])
        self.results = {str(method): results}
        self.summary = f"right: {words}" if (words := rows.tally(results)) else ""
        self.follow()

    def leave(self) -> None:
        self.cutting.stop()
        self.comparison.close()
        super().leave()

    # ---- what happens on the page

    def _use(self, name):
        self.show_with("_method", self._methods[name])

    def _wanted(self):
        rows = super()._wanted()
        return rows if self.opened is None or self.opened in rows else [*rows, self.opened]

    def _outline(self):
        super()._outline()
        self.quietly(self._settle)

    def _to_cut(self):
        """The outlines on the list, as they are now."""
        if self.outlines.waiting:
            raise InputError(f"{self.localiser.value} is still looking at the results: wait for their outlines.")
        listed = [row for table in self.results.values() for row in table["row"].tolist()]
        here = self.outlines.outlines if self.localiser.value else {}
        answers = {row: here[row].localisation for row in listed if row in here}
        return Results(self.corpus.set, answers, self.panel.label or "thing", len(listed))

    def _settle(self):
        """The open result, its outline and words."""
        row, (before, shown, number) = self.opened, self._on_result
        self._below.layout.display = "none" if row is None else None
        if row is None:
            return
        outline = self.outlines.outlines.get(row) if self.localiser.value else None
        name, prompt = plain(self.comparison.ids[row]), None if outline is None else outline.prompt
        if row != before or self.result.number != number:
            self.result.show(self.corpus.database.open(row), prompt, label=f"picture {name}")
        elif outline is not shown:
            self.result.edit("clear")
            if prompt is not None:
                self.result.edit("add", prompt)
        self._on_result = (row, outline, self.result.number)
        self.query_button.disabled = self.result.asks is None
        said, place = self._drawn(row), [i + 1 for table in self.results.values() for i in np.flatnonzero(table["row"] == row)]
        rank = f"rank {place[0]}" if place else f"not among the first {self.k.value}"
        words = ["no outline yet"] if said is None else [said["alt"]]
        if prompt is not None:
            words += [f"score {score(outline.localisation.score)}", f"{percent(prompt.pixels(outline.size).mean())} of the picture"]
        self.words.value = markup('<div data-foir="pixels" style="line-height:1.5">Picture {}, {}: {}.</div>', name, rank, ", ".join(words))

    def _mended(self, canvas):
        """Something was drawn on the open result, or a picture dropped on it."""
        if self._busy or self.opened is None:
            return
        if canvas.number != self._on_result[2]:
            self.quietly(self._settle)
            raise InputError("This picture is a result: put a photograph of your own on the query picture.")
        self.query_button.disabled = canvas.asks is None
