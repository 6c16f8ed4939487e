"""FailureExplorer: the queries one method wins or loses against another, to be sorted, filtered, opened and exported."""

import math
from functools import lru_cache

import numpy as np

from foir_lib import registry
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.metrics.scores import Score
from foir_lib.errors import FoirError, InputError
from foir_lib.text import LABEL, markup, one_line, percent, points
from foir_lib.view.explorers.base import wrapped
from foir_lib.view.explorers.comparison import Comparison, offered, parsed
from foir_lib.view.explorers.inspecting import Inspecting
from foir_lib.view.figures.gains import bars, bins, gains, summary
from foir_lib.view.results import rows
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words
from foir_lib.view.widgets.results.histogram import Histogram
from foir_lib.view.widgets.thumbs import marked

LOSS, GAIN = "largest loss first", "largest gain first"
PAGE = 24  # queries at a time
SIDE = 200  # pixels, longest side of a thumbnail
K = 10  # results of an open case
EVERY = "all categories"
PAIRS = (("PHS", "CBIR"), ("CA", "GeM"), ("Crop", "CBIR"))  # compared unless others are named
METRICS = {"precision": "P@{}", "average_precision": "AP@{}"}


@registry.register("explorer", "Failures")
class FailureExplorer(Inspecting):
    """Queries of an :class:`Experiment`, sorted by the gain of method ``a`` over ``b``: retrievers' texts, e.g. ``PHS(h_on=3)``.

    A bar of the histogram of gains, or several, filters; a click on a query opens it in place, with the lists of both methods.
    ``k``: depth of P@k and AP@k. ``opens``: what also shows an open query, a RetrievalExplorer or the panel of a page. ``protocol``: under which is scored, by default the set's first. Raises InputError for methods that can't be had.

    table: DataFrame with query (row of the set's queries), image_id, label, a column named after each method
    (P@k or AP@k, from 0 to 1), gain (their difference), size (share of the picture in the box) and n_objects.
    shown: the part of it that the filters leave, sorted. case: the open query, a row of the set's queries, or None. results: title
    of a list of the open query -> table as of RetrievalExplorer.
    """

    shows = "the queries on which one method gains or loses most against another"

    def __init__(
        self, experiment: Experiment, a: str | None = None, b: str | None = None, k: int = 100, opens=None, protocol: str | None = None
    ):
        self.experiment, self.opens, self._depth, self._scores, self._first = experiment, opens, k, {}, 0
        self.protocol = protocol or next(iter(experiment.set.protocols))
        known = list(offered(experiment.corpus))
        likely = next((pair for pair in PAIRS if set(pair) <= set(known)), known[:2])
        a, b = (str(registry.parse("retriever", m or other)) for m, other in zip((a, b), likely))
        if a == b:
            raise InputError(f"{a} can't be compared with itself: choose two different methods.")
        self._compared = (a, b)
        self.k = self.score(a).k  # lower in a small database
        self.score(b)
        rs = experiment.set
        self._sizes = rs.images.set_index("image_id").loc[rs.queries["image_id"], ["width", "height"]].to_numpy()
        boxes = (prompt.box(size) for prompt, size in zip(rs.queries["prompt"], self._sizes, strict=True))
        self._areas = np.array([(b.x1 - b.x0) * (b.y1 - b.y0) for b in boxes]) / np.prod(self._sizes, axis=1)
        self._thumbnail = lru_cache(256)(self._drawn)
        self._make_controls(a, b, list(dict.fromkeys([*known, a, b])))
        self.line, self.gallery, self.histogram, self.lists = Words(), Gallery(one_line=True), Histogram(), Gallery(one_line=True)
        self.results, self.case, self.comparison = {}, None, Comparison(experiment.corpus)
        self._start_inspecting(experiment.corpus, self.lists)
        self.gallery.add_class("foir-cases")
        self.inspector.layout.display = "none"
        self.gallery.on_pick(self.open_case)
        self.lists.on_pick(self._ask_with_result)
        self.histogram.observe(lambda _: self._busy or self._filter(), "chosen")
        self._compare()
        controls = wrapped(self.a, self.b, self.metric, self.order, self.label, self.size, self.n_objects, gap="0")
        turn = wrapped(self.previous, self.next)
        super().__init__(None, [controls, self.line, self.histogram, self.gallery, turn, self.lists, self.inspector], own=False)

    @classmethod
    def tab(cls, corpus, panel):
        experiment = Experiment(corpus.set, corpus.model, progress=corpus.progress)
        experiment.corpus = corpus  # what is described already
        return cls(experiment, opens=panel)

    @classmethod
    def lacks(cls, corpus) -> str:
        if not len(corpus.set.queries) or not corpus.set.protocols:
            return f"{corpus.set.name} has no labelled queries, so nothing can be scored"
        return "" if len(offered(corpus)) > 1 else f"{corpus.model.name} has but one method"

    def __repr__(self):
        where = f"{self.experiment.set.name}, {self.experiment.model.name}"
        return f"FailureExplorer ({self.a.value} against {self.b.value}, {where}: {len(self.shown)} queries)"

    @property
    def state(self) -> dict:
        """As of any explorer; and the methods compared, and the queries that the filters leave, in order."""
        return super().state | {"methods": list(self._compared), "queries": self.shown["query"].tolist(), "line": self.line.value, "case": self.case}

    def _make_controls(self, a, b, methods):
        labels, per_query = self.experiment.set.queries["label"].value_counts().sort_index(), self.score(a).per_query
        most, top = max(1, int(per_query["n_objects"].max())), max(1.0, float(math.ceil(100 * self._areas.max())))
        metrics = [(name.format(self.k), column) for column, name in METRICS.items() if column in per_query]
        named = [(EVERY, EVERY), *((f"{one_line(label, LABEL)} ({n})", label) for label, n in labels.items())]
        size = {"step": 0.1, "max": top, "value": (0, top), "readout_format": ".1f", "tooltip": "share of the picture in the box"}
        objects = {"max": most, "value": (0, most), "tooltip": "objects in the query picture"}
        methods = [(one_line(method, LABEL), method) for method in methods]
        box = {"style": {"description_width": "72px"}, "layout": {"width": "200px", "max_width": "100%"}}
        for name, kind, description, work, options in (  # sliders from 0: the browser's can't have equal ends
            ("a", "Dropdown", "method a", self._methods_moved, {"options": methods, "value": a}),
            ("b", "Dropdown", "against b", self._methods_moved, {"options": methods, "value": b}),
            ("metric", "Dropdown", "metric", self._compare, {"options": metrics}),
            ("order", "Dropdown", "order", self._filter, {"options": (LOSS, GAIN)}),
            ("label", "Dropdown", "category", self._filter, {"options": named}),
            ("size", "FloatRangeSlider", "size (%)", self._filter, {"min": 0} | size),
            ("n_objects", "IntRangeSlider", "objects", self._filter, {"min": 0} | objects),
        ):
            setattr(self, name, self.control(kind, description, work, **box, **options))
        self.previous, self.next = (self.button(f"{way} {PAGE}", lambda by=by: self._turn(by)) for way, by in (("previous", -PAGE), ("next", PAGE)))

    def score(self, name: str) -> Score:
        """The :class:`Score` of a method, computed once."""
        if name not in self._scores:
            self._scores[name] = self.experiment.score(name, k=self._depth)[self.protocol]
        return self._scores[name]

    def _methods_moved(self):
        """Compare other methods; the same one twice swaps them, one that can't be scored changes nothing."""
        pair = (self.a.value, self.b.value)
        pair = self._compared[::-1] if pair[0] == pair[1] else pair
        try:
            for name in pair:
                self.line.value = f"Scoring {name} …"
                self.score(name)
        finally:
            self._line()
        self._compared = pair
        self.quietly(self._settle)
        self._compare()

    def _settle(self):
        self.a.value, self.b.value = self._compared

    def _compare(self):
        (a, b), metric = self._compared, self.metric.value
        left, right = (self.score(name).per_query.set_index("query") for name in (a, b))
        table = left[["image_id", "label"]].assign(**{a: left[metric], b: right[metric]})
        table["gain"] = (table[a] - table[b]).round(12)  # equal gains are equal
        table["size"], table["n_objects"] = self._areas[table.index], left["n_objects"]
        self.table = table.dropna(subset=["gain"]).reset_index()  # of queries without positives AP isn't defined
        self._filter()
        if self.case is not None:
            self.open_case(self.case)

    def _filter(self):
        low, high = (share / 100 for share in self.size.value)
        inside = self.table["size"].between(low, high) & self.table["n_objects"].between(*self.n_objects.value)
        if self.label.value != EVERY:
            inside &= self.table["label"] == self.label.value
        label = f"gain of {self._compared[0]} over {self._compared[1]} in points: choose bars to see their queries"
        self.quietly(lambda: self.histogram.show(bars(self.table["gain"][inside]), label))
        if self.histogram.chosen:
            inside &= np.isin(bins(self.table["gain"]), self.histogram.chosen)
        self.shown = self.table[inside].sort_values("gain", ascending=self.order.value == LOSS, kind="stable")
        self._first = 0
        self._line()
        self.show()

    def _turn(self, by):
        self._first += by
        self.show()

    def show(self) -> None:
        part = self.shown.iloc[self._first : self._first + PAGE]
        last, n = self._first + len(part), len(self.shown)
        self.previous.disabled, self.next.disabled = self._first == 0, last >= n
        a, b = self._compared
        note = f"{self._first + 1} to {last} of {n:,}, {self.order.value}" if n else ""
        empty = "No query passes these filters: widen them."
        row = {"title": f"{self.metric.label} (%), {b} → {a}", "note": note, "empty": empty}
        self.gallery.show([row | {"items": [self._item(query) for query in part.to_dict("records")]}])

    def _item(self, query):
        (a, b), change = self._compared, points(query["gain"])
        frame = ("", "right", "wrong")[int(np.sign(query["gain"]))]
        item = {"key": query["query"], "caption": f"{change}\n{one_line(query['label'], LABEL)}", "badge": "open" * (query["query"] == self.case), "frame": frame}
        item["alt"] = f"query {query['query']}, {query['label']}: {b} {percent(query[b])}, {a} {percent(query[a])}, {change} points"
        try:
            return item | {"image": self._thumbnail(query["query"])}
        except FoirError as error:  # one broken file hides no other
            return item | {"badge": "can't be read", "alt": str(error)}

    def _drawn(self, row):
        """A query's picture with its box, small, as JPEG bytes."""
        query, size = self.experiment.set.queries.iloc[row], self._sizes[row]
        return marked(self.experiment.set.open(query["image_id"], longest=SIDE), query["prompt"].box(size), size, SIDE)

    def _line(self):
        """How many queries are shown and what they gain, beside all of them: a choice isn't the whole."""
        (a, b), shown, every, precision = self._compared, self.shown, self.table, self.metric.value == "precision"
        name = next(name for name in self.score(a).metrics if name.startswith("MP") == precision)
        before, after = (percent(self.score(method).metrics[name]) for method in (b, a))
        how = ", averaged by category first" if "precision" in self.score(a).per_query else ""
        self.line.value = markup(
            '<div style="line-height: 1.5">{}<br><b>{}</b> queries pass the filters: {}<br><b>All {}</b>: {} {}.</div>',
            f"Gain of {a} over {b} in points of {self.metric.label}.", f"{len(shown):,} of {len(every):,}", summary(shown),
            f"{len(every):,}", summary(every), f"{name}{how}: {before} → {after}",
        )  # fmt: skip
        self.summary = f"{a} against {b}: {points(every['gain'].mean())} points on average"

    def open_case(self, row: int) -> None:
        """Open a row of the set's queries in place: its picture in :attr:`opens`, if any, and here the lists of both methods."""
        image_id, prompt, label = rows.query_of(self.experiment.set, row)
        a, b = self._compared
        answers = self.comparison.answers(self.experiment.set.open(image_id), prompt, parsed([b, a], self.experiment.corpus), image_id)
        results, shown = self.comparison.listed(answers, K, rows.verdicts(self.experiment.set, label, self.protocol), label)
        known = self.table.set_index("query")
        if row in known.index:
            for name, one in zip(answers, shown, strict=True):
                one["note"] = f"{self.metric.label} {percent(known[name][row])} · {one['note']}"
        if self.opens is not None:
            self.opens.query(row)
        self.case, self.results = int(row), results
        self.lists.show(shown)
        self.show()
        self.inspector.layout.display = None
        self._inspect()
        self.inspector.reveal()

    def _asked(self):
        image_id, *about = rows.query_of(self.experiment.set, self.case)
        return self.experiment.set.open(image_id), image_id, *about

    def _ask_with_result(self, row):
        if self.opens is None:
            raise InputError("There is nothing to ask with: give FailureExplorer opens=, a RetrievalExplorer.")
        self.opens.ask(picture=self.comparison.ids[row])

    def leave(self) -> None:
        self.comparison.close()
        super().leave()

    def figure(self):
        """Gain of the queries in :attr:`shown` against object size and number of objects, as a Figure."""
        units = self.score(self._compared[0]).per_query.set_index("query")["unit"]
        return gains(self.shown.assign(unit=self.shown["query"].map(units)), len(self.table), *self._compared, self.metric.label)
