"""ObjectExplorer: point at a thing, click an object in a result, and see where that picture's descriptor looks for it."""

from dataclasses import replace
from functools import lru_cache

import ipywidgets
import numpy as np
from ipywidgets import Layout
from matplotlib.figure import Figure

from foir_lib.data.checks import plain
from foir_lib.errors import FoirError, InputError, count
from foir_lib.prompts import Box, Prompt
from foir_lib.registry import register
from foir_lib.retrievers.base import Retriever
from foir_lib.text import markup
from foir_lib.view import figures
from foir_lib.view.explorers.base import Explorer, wrapped
from foir_lib.view.explorers.comparison import Comparison, parsed
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.explorers.retrieval import K
from foir_lib.view.results import looking, rows
from foir_lib.view.widgets import maps
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words

CLICK = "Click a result: its objects can then be clicked, and the maps say where its descriptor looks for them."
SCALE = "LeGrad: each map from its weakest patch (0) to its strongest"


@register("explorer", "Objects")
class ObjectExplorer(Explorer):
    """The first ``k`` results of a ``method`` that makes one vector of a picture's objects, such as MeanCrops or MaO, and one of them open.

    ``method``: a retriever or its text, by default the first that can be had; ``last``: of how many blocks maps are.
    A click on a result is :meth:`open_result`, one on an object of it :meth:`look`.

    results: table as of RetrievalExplorer. opened: the :class:`looking.Opened` picture, or None. object: the
    :class:`looking.Object` that was clicked on it, or None. look_at: the :class:`looking.Look` at it, or None.
    """

    shows = "the objects of each result, and where its descriptor looks"

    def __init__(self, corpus, method: str | Retriever | None = None, k: int = 10, last: int = 2, panel: QueryPanel | None = None):
        count(k, "k"), count(last, "last")
        if lacks := self.lacks(corpus):
            raise InputError(f"Objects can't be explored here: {lacks}.")
        if last > corpus.model.depth:
            raise InputError(f"last={last} is more than the {corpus.model.depth} blocks of {corpus.model.name}: choose fewer.")
        self.corpus, self._choices, self._clicked = corpus, looking.choices(corpus), (None, None)  # row, prompt or number of an object
        self._method = self._checked(method if method is not None else self._first())
        self.results, self.opened, self.object, self.look_at, self._number = None, None, None, None, 0
        self._open = lru_cache(16)(lambda method, row: looking.opened(corpus, method, row))
        self._look = lru_cache(16)(lambda method, row, thing, last: looking.look(self._open(method, row), thing, last))
        self.comparison, self.gallery, self.looks, self.things = Comparison(corpus), Gallery(one_line=True), Gallery(), Gallery(one_line=True)
        own = panel is None
        panel = QueryPanel(corpus.set, corpus.model) if own else panel
        super().__init__(panel, self._content(k, last), own)
        self.begin(lambda: self.results is None and panel.canvas.picture is not None)

    @classmethod
    def lacks(cls, corpus) -> str:
        if not hasattr(corpus.model, "tap"):
            return f"{corpus.model.name} has no attention to look with: name a ViT such as mini-vit"
        return ""

    def _first(self):
        return next(iter(looking.offered(corpus=self.corpus, objects=next(iter(self._choices.values()))).values()))

    def _content(self, k, last):
        """The controls, the list, and below it the open result with its maps."""
        wanted = getattr(self._method, "objects", None) or ""
        kinds = [(words, name or "") for words, name in self._choices.items()]  # a menu can't hold None
        kinds += [] if wanted in dict(kinds).values() else [(wanted, wanted)]
        self.objects = self.control("Dropdown", "objects", self._other_objects, options=kinds, value=wanted)
        self.method = self.control("Dropdown", "method", lambda: self._use(self.method.value), options=self._offered(), value=self._method)
        self.k = self.control("Dropdown", "results (k)", self.show, options=sorted({*K, int(k)}), value=int(k))
        self.last = self.control("IntSlider", "last blocks", self.show, value=int(last), min=1, max=self.corpus.model.depth)
        self.result = PromptCanvas(label="result", grid=self.corpus.model.grid, tool="point")
        self.words, self.bar = Words(CLICK), Words(maps.colour_bar(1.0, SCALE, percent=False))
        self.query_button = self.button("ask with this object", self.ask_with, tooltip="Makes the object that was clicked the query")
        self.gallery.on_pick(lambda row: self.clicked(lambda: self.open_result(row)))
        self.things.on_pick(lambda number: self.clicked(lambda: self.look(number)))
        self.result.on_change(self._pointed)
        left = ipywidgets.VBox([self.result, self.query_button], layout=Layout(flex="1 1 200px", min_width="0", max_width="420px"))
        right = ipywidgets.VBox([self.looks, self.bar], layout=Layout(flex="1 1 240px", min_width="0"))
        self._below = ipywidgets.VBox([wrapped(left, right, gap="8px 16px"), self.things], layout=Layout(display="none"))
        return [wrapped(self.method, self.objects, self.k, self.last), self.gallery, self.words, self._below]

    def __repr__(self):
        open_ = "no result open" if self.opened is None else f"row {self.opened.row} open, {len(self.opened.boxes)} objects"
        return f"ObjectExplorer ({self.corpus.set.name}, {self.corpus.model.name}, {self._method}: {open_})"

    @property
    def retriever(self) -> Retriever:
        """The method whose results are shown. Set it, or its text, to choose another."""
        return self._method

    @retriever.setter
    def retriever(self, method) -> None:
        with self.saying():
            self._use(self._checked(method))

    @property
    def state(self) -> dict:
        """As of any explorer; and the method, its list, the open row, the object, its box, the shares of both maps on it, what is said."""
        look, thing = self.look_at, self.object
        return super().state | {
            "method": str(self._method), "list": [] if self.results is None else self.results["row"].tolist(),
            "opened": None if self.opened is None else self.opened.row, "object": None if thing is None else thing.number,
            "box": None if thing is None else str(thing.box),
            "shares": {} if look is None else {name: [round(float(s), 6) for s in shares] for name, shares in look.shares.items()},
            "said": "" if thing is None else thing.words, "words": self.words.text,
        }  # fmt: skip

    def open_result(self, row: int) -> None:
        """Open a row of the database, as a click on a result does. Raises InputError where there is none."""
        with self.saying():
            n = len(self.corpus.database)
            if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < n:
                raise InputError(f"{self.corpus.set.name} has no database row {row!r}: rows go from 0 to {n - 1}.")
            self.show_with("_clicked", (int(row), None))

    def look(self, at: Prompt | int) -> None:
        """Look for an object of the open result, as a click on it does: by its number, or the one at a point, box or mask.

        Outside of all objects the nearest one is taken, or the part of the picture itself, and ``state["said"]`` says so.
        """
        with self.saying():
            if self.opened is None:
                raise InputError("No result is open: open one before you look for an object of it.")
            n = len(self.opened.boxes)
            if isinstance(at, bool) or isinstance(at, int | np.integer) and not 0 <= at < n:
                raise InputError(f"There is no object {at!r}: this picture has {n}, counted from 0.")
            self.show_with("_clicked", (self.opened.row, at))

    def ask_with(self) -> None:
        """Make the object that was clicked the query."""
        with self.saying():
            if self.object is None:
                raise InputError("No object is chosen to ask with: click one on the open result.")
            self.panel.ask(self.object.box, self.comparison.ids[self.opened.row])

    def figure(self) -> Figure:
        """The open result and the crop of the object, each with the maps before and after refinement."""
        if self.look_at is None:
            raise InputError("No object is chosen: open a result and look for one of its objects.")
        look, box, (x0, y0) = self.look_at, self.object.box, self.look_at.corner
        boxes = [[box], [Box(box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0)]]
        heats = {when: [look.maps[name][i] for name in looking.WHERE] for i, when in enumerate(looking.WHEN)}
        titles = [[title, *looking.captions(look, name, " refinement")] for name, title in looking.WHERE.items()]
        return figures.heat_maps((self.opened.picture, look.crop), heats, boxes, titles=titles)

    def show(self) -> None:
        panel, method = self.panel, self._method
        if panel.canvas.picture is None:
            return
        answer = self.comparison.answers(panel.canvas.picture, panel.canvas.asks, (method,), panel.image_id)[str(method)]
        right = rows.verdicts(self.corpus.set, panel.label)
        results = rows.table(answer.scores, answer.ids, self.comparison.ids, self.k.value, right)
        shown = self.comparison.row(str(method), results, None, answer, label=panel.label)
        row, at = self._clicked
        one = None if row is None else self._open(method, row)
        thing = None if at is None else looking.pointed(one, at, self.corpus.model.grid)
        look = None if thing is None else self._look(method, row, thing, self.last.value)
        for item in shown.get("items", ()):
            item["badge"] = item["badge"] or "open" * (item["key"] == row)
        self.gallery.show([shown])
        self.results, before, self.opened, self.object, self.look_at = results, self.opened, one, thing, look
        self.quietly(lambda: self._settle(before))

    def leave(self) -> None:
        self.comparison.close()
        self._open.cache_clear(), self._look.cache_clear()
        super().leave()

    def wait(self) -> None:
        super().wait()
        self.result.wait()

    # ---- what happens on the page

    def _checked(self, method):
        """A method, or its text, that makes one vector of objects. Raises InputError for another one."""
        (retriever,) = parsed([method], self.corpus)
        if not looking.takes_objects(retriever):
            raise InputError(f"{retriever} doesn't make one vector of a picture's objects: choose MeanCrops or MaO.")
        return retriever

    def _offered(self):
        known = looking.offered(self.corpus, getattr(self._method, "objects", None)) | {str(self._method): self._method}
        return [(name, retriever) for name, retriever in known.items()]

    def _other_objects(self):
        """The same method on other objects; what was clicked on the open result may be none of them."""
        self._use(looking.fitted(replace(self._method, objects=self.objects.value or None), self.corpus))

    def _use(self, method):
        row, _ = clicked = self._clicked
        self._clicked = (row, None if self.object is None else self.object.box)
        try:
            self.show_with("_method", method)
        except FoirError:
            self._clicked = clicked
            raise

    def _pointed(self, canvas):
        """Something was drawn on the open result."""
        if self._busy or self.opened is None:
            return
        if canvas.number != self._number:
            self.quietly(lambda: self._settle(None))
            raise InputError("This picture is a result: put a photograph of your own on the query picture.")
        if canvas.asks is None:
            self.show_with("_clicked", (self.opened.row, None))
        else:
            self.look(canvas.asks)

    def _settle(self, before):
        """Controls, the open result, its maps and words as they are; ``before``: the result that was open."""
        one, thing = self.opened, self.object
        self.method.options = self._offered()
        self.method.value, self.objects.value = self._method, self._method.objects or ""
        self.query_button.disabled = thing is None
        self._below.layout.display = "none" if one is None else None
        self.summary = CLICK if one is None else looking.sentence(one, thing, self.look_at, self.results)
        self.words.value = markup('<div data-foir="objects" style="line-height:1.5">{}</div>', self.summary)
        self.looks.show([] if self.look_at is None else looking.maps_rows(one, self.look_at))
        self.bar.layout.display = "none" if self.look_at is None else None
        if one is None:
            return
        self.things.show([looking.objects_row(one, -1 if thing is None else thing.number)])
        if before is not one or self.result.number != self._number:
            label = f"picture {plain(self.comparison.ids[one.row])}"
            self.result.show(looking.outlined(one.picture, one.boxes), label=label)
            self._number = self.result.number
        if self.result.prompts != (() if thing is None else (thing.box,)):
            self.result.edit("clear")
            if thing is not None:
                self.result.edit("add", thing.box)
        self.result.say("" if thing is None else thing.words)
