"""RetrievalExplorer: point at something and see, side by side, what several methods rank first for it, and why."""

import ipywidgets
import numpy as np
from markupsafe import Markup

from foir_lib.errors import count
from foir_lib.registry import register
from foir_lib.retrievers.base import Localiser, Retriever
from foir_lib.text import markup, one_line
from foir_lib.view.explorers.base import wrapped
from foir_lib.view.explorers.comparison import Comparison, Methods, offered, parsed
from foir_lib.view.explorers.inspecting import Inspecting
from foir_lib.view.explorers.options import Options, plain, with_options
from foir_lib.view.explorers.outlined import Outlined
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.results import rows
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words

K = (5, 10, 20)
FRAMED = {"width": "auto", "border": "1px solid rgba(128, 128, 128, 0.6)"}  # a button that opens something


@register("explorer", "Lists")
class RetrievalExplorer(Outlined, Inspecting):
    """The first ``k`` results of one to four ``methods``: retrievers or their texts, by default two that the model has; any of
    them can be enlarged and exported.

    ``corpus``: a :class:`Corpus`, also of a folder of one's own photographs; what is right is known where it has labels.
    ``maps``: below each list, where the results look like the prompt (:meth:`Retriever.explain`). ``localiser``: whose outlines follow on the
    results, "" for none; a click on one asks with it. ``panel``: of a page, or its own.

    results: text of the method -> table with image_id, row (of the database), score, right (None without a label), before
    (rank under the first method), rank (from 1); empty for a method that waits for a prompt. explained: text -> a map (rows, columns)
    of each result, or None. rankings: text -> (scores, ids) of the whole database. What goes wrong is said below the picture,
    and what was shown stays; :meth:`ask` and :meth:`query` raise it too.
    """

    METHODS = ("CBIR", "PHS", "GeM", "CA", "Crop")  # by default the first two that the model has
    shows = "what several methods rank first, side by side"

    def __init__(
        self, corpus, methods: Methods | None = None, k: int = 10, maps: bool = False, panel: QueryPanel | None = None,
        localiser: str | Localiser = "",
    ):  # fmt: skip
        count(k, "k")
        self.corpus, self.results, self.explained, self.rankings, self._answers = corpus, {}, {}, {}, {}
        self._offered = offered(corpus)
        self._methods = self.first(corpus) if methods is None else parsed(methods, corpus)
        self.comparison, self.gallery = Comparison(corpus), Gallery(one_line=True)
        own = panel is None
        panel = QueryPanel(corpus.set, corpus.model) if own else panel
        self.panel, self.canvas = panel, panel.canvas
        self._start_outlines(corpus, localiser)
        self._start_inspecting(corpus, self.gallery)
        super().__init__(panel, self._content(k, maps), own)
        self._begin()

    @classmethod
    def first(cls, corpus) -> tuple[Retriever, ...]:
        """What stands side by side at first: two of :attr:`METHODS`."""
        known = offered(corpus)
        return parsed([m for m in cls.METHODS if m in known][:2] or list(known)[:1], corpus)

    def _content(self, k, maps):
        """The controls and the lists."""
        self._offered |= {str(m): m for m in map(plain, self._methods)}
        self.buttons = {name: self.control("ToggleButton", name, lambda name=name: self._toggle(name), tooltip=rows.about(one)) for name, one in self._offered.items()}
        self.options = Options(self.corpus, self.control, self._move)
        self.k = self.control("Dropdown", "results (k)", self.show, options=sorted({*K, int(k)}), value=int(k))
        known, own = list(self.corpus.set.protocols), rows.protocol_of(self.corpus.set)
        truth = next((name for name in known if self.corpus.set.protocols[name] is own), None)
        self.protocol = self.control("Dropdown", "ground truth", self.show, options=known, value=truth)
        self.protocol.layout.display = None if len(known) > 1 else "none"
        self.maps = self.control("Checkbox", "show what counts", self.show, value=maps, indent=False, tooltip="Below each list, where its results look like the mark")
        wide = {"continuous_update": False, "layout": {"width": "100%"}}
        self.text = self.control("Text", "methods, with options", lambda: self._use(self.text.value), **wide)
        self.legend = Words()
        choice = ipywidgets.VBox([wrapped(*self.buttons.values(), gap="4px"), self.text], layout={"display": "none"})
        self.more = ipywidgets.ToggleButton(description="methods", icon="caret-down", tooltip="Choose what stands side by side", layout=FRAMED)
        self.more.observe(lambda change: setattr(choice.layout, "display", None if change["new"] else "none"), "value")
        self.gallery.on_pick(self._picked)
        self.quietly(self._settle)
        self.localiser.layout.max_width = "170px"
        controls = wrapped(self.options.box, self.more, self.k, self.protocol, self.maps, self.localiser)
        return [controls, choice, self.legend, self.gallery, self.outlined, self.inspector]

    def __repr__(self):
        asks = f"{self.canvas.label}, {self.canvas.asks or 'no prompt'}"
        return f"{type(self).__name__} ({self.corpus.set.name}, {self.corpus.model.name}, {', '.join(map(str, self._methods))}: {asks})"

    @property
    def methods(self) -> tuple[Retriever, ...]:
        """What stands side by side, in order; ranks are compared with the first. Set it to choose others."""
        return self._methods

    @methods.setter
    def methods(self, methods) -> None:
        with self.saying():
            self._use(methods)

    @property
    def state(self) -> dict:
        """As of any explorer; and the methods, the ids and scores of each list, and the heads that each method kept."""
        lists = {name: table["row"].tolist() for name, table in self.results.items()}
        scores = {name: [round(float(s), 6) for s in table["score"]] for name, table in self.results.items()}
        heads = {name: np.flatnonzero(a.heads).tolist() for name, a in self._answers.items() if a.heads is not None}
        return super().state | {"methods": [str(m) for m in self._methods], "lists": lists, "scores": scores, "heads": heads}

    def show(self) -> None:
        panel, k = self.panel, self.k.value
        if panel.canvas.picture is None:
            return
        answers = self.comparison.answers(panel.canvas.picture, panel.canvas.asks, self._methods, panel.image_id)
        results, lists = self.comparison.listed(answers, k, self._verdicts(), panel.label)
        explained, shown = {}, []
        for retriever, row in zip(self._methods, lists, strict=True):
            name = str(retriever)
            shown.append(row)
            if self.maps.value and not answers[name].lacks:
                explained[name] = self.comparison.explained(retriever, results[name]["row"].to_numpy())
                if explained[name] is None:
                    row["note"] += f" · {retriever.name} can't say what counts"
                else:
                    shown.append(self.comparison.maps_row(name, results[name], explained[name]))
        self.gallery.show(shown)
        self.results, self.explained, self._answers = results, explained, answers
        self.rankings = {name: (answer.scores, answer.ids) for name, answer in answers.items()}
        self.quietly(self._settle)
        self.follow()
        self._inspect()
        if self.inspector.pinned:
            self._find()

    def leave(self) -> None:
        self.comparison.close()
        super().leave()

    # ---- what happens on the page

    def _verdicts(self):
        return rows.verdicts(self.corpus.set, self.panel.label, self.protocol.value or "")

    def _outline_of(self, row):
        return self._drawn(row, alone=True)

    def _outline(self):
        super()._outline()
        if self.inspector.record["key"] in self.outlines.outlines:
            self._inspect()

    def _looked(self, key, place):
        super()._looked(key, place)
        self._find()

    def _find(self):
        """Where no localiser is chosen for the lists, ask the first that can be had about the enlarged result alone."""
        row, known = self.inspector.record["key"], next(iter(self.localisers.values()), None)
        if known is not None and row is not None and not self.localiser.value and self.canvas.asks is not None:
            self.outlines.follow(known, self.comparison.part, [row])

    def _settle(self):
        """Controls, legend and summary as the methods and the label are."""
        active = {str(plain(m)) for m in self._methods}
        for name, button in self.buttons.items():
            button.value, button.icon = name in active, "check" if name in active else ""
        self.options.settle(self._methods)
        self.text.value = ", ".join(map(str, self._methods))
        known = [f"{words} by {name}" for name, table in self.results.items() if (words := rows.tally(table))]
        label = one_line(self.panel.label, rows.SHORT)
        self.summary = f"{f'show {label}' if label else 'right'}: {', '.join(known)}" if known else ""
        words = [markup("<b>✓</b> right: shows {}, <b>✗</b> wrong", label)] if known else []
        if len(self._methods) > 1:
            words.append(markup("<b>▲▼</b> places gained or lost against {}", self._methods[0]))
        self.legend.value = Markup("; ").join([*words, "click a picture to ask with it, hover to enlarge it."])

    def _use(self, methods):
        """Other methods side by side, or a text that names them."""
        self.show_with("_methods", parsed(methods, self.corpus))

    def _toggle(self, name):
        """Take a method in, with the options as they were moved, or out."""
        if self.buttons[name].value:
            self._use([*self._methods, with_options(self._offered[name], self.options.moved)])
        else:
            self._use([m for m in self._methods if str(plain(m)) != name])

    def _move(self, name, value):
        """Another value of an option, of all methods that have it."""
        self._use([with_options(m, {name: value}) for m in self._methods])
        self.options.moved[name] = value

    def _picked(self, row):
        self.clicked(lambda: self.panel.ask(picture=self.comparison.ids[row]))
