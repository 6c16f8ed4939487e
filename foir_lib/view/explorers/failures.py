"""FailureExplorer: the queries one method wins or loses against another, to be sorted, filtered and opened."""

import math
import numbers
from functools import lru_cache
from html import escape

import ipywidgets
import numpy as np
from PIL import ImageDraw, ImageOps

from foir_lib.bench.experiment import METHODS
from foir_lib.errors import FoirError, InputError
from foir_lib.view.figures.gains import gains, points, summary
from foir_lib.view.figures.looks import BLUE
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import close_parts, replace_earlier
from foir_lib.view.widgets.thumbs import jpeg

QUERY_DB = "PHS (query-db)"
CHOICES = (*METHODS, QUERY_DB)
LOSS, GAIN = "largest loss first", "largest gain first"
PAGE = 24  # queries at a time
SIDE = 200  # pixels, longest side of a thumbnail
EVERY = "all categories"


class FailureExplorer(ipywidgets.VBox):
    """Queries of an :class:`~foir_lib.bench.experiment.Experiment`, sorted by the gain of method ``a`` over ``b``.

    ``k``: depth of P@k and AP@k. ``h_on``: heads that PHS keeps, at most as many as the model has. ``opens``: what a
    click opens a query in, a RetrievalExplorer, and brings it into view. Raises InputError for unknown methods.

    table: DataFrame with query (row of the set's queries), image_id, label, a column named after each method
    (P@k or AP@k, from 0 to 1), gain (their difference), size (share of the picture in the box) and n_objects.
    shown: the part of it that the filters leave, sorted.
    """

    def __init__(self, experiment, a="PHS", b="CBIR", k=100, opens=None, h_on=5):
        for method in (a, b):
            if method not in CHOICES:
                raise InputError(f"Method {method!r} is unknown: choose one of {', '.join(CHOICES)}.")
        if a == b:
            raise InputError(f"{a} can't be compared with itself: choose two different methods.")
        if not isinstance(h_on, numbers.Integral) or h_on < 1:
            raise InputError(f"h_on={h_on!r} must be a whole number, at least 1.")
        self.experiment, self.opens, self.h_on = experiment, opens, min(h_on, experiment.model.n_heads)
        self._asked, self._scores, self._compared, self._first = k, {}, (a, b), 0
        self._thumbnail = lru_cache(256)(self._drawn)
        self.k = self._score(a).k  # less than asked for in a small database
        self._score(b)
        queries = experiment.set.queries
        boxes = [prompt.box(size) for prompt, size in zip(queries["prompt"], experiment.sizes, strict=True)]
        areas = [(box.x1 - box.x0) * (box.y1 - box.y0) for box in boxes]
        self._sizes = np.array(areas) / np.prod(experiment.sizes, axis=1)
        self._make_controls(a, b)
        self.line, self.gallery = ipywidgets.HTML(), Gallery()
        self.gallery.on_pick(self._open)
        self._compare()
        wrap = ipywidgets.Layout(flex_flow="row wrap", display="flex")
        controls = [self.a, self.b, self.metric, self.order, self.label, self.size, self.n_objects]
        pages = ipywidgets.HBox([self.previous, self.next])
        super().__init__([ipywidgets.Box(controls, layout=wrap), self.line, self.gallery, pages])
        replace_earlier(self)

    def __repr__(self):
        where = f"{self.experiment.set.name}, {self.experiment.model.name}"
        return f"FailureExplorer ({self.a.value} against {self.b.value}, {where}: {len(self.shown)} queries)"

    def _make_controls(self, a, b):
        def control(kind, description, **options):
            style, layout = {"description_width": "88px"}, {"width": "300px", "max_width": "100%"}
            return kind(description=description, style=style, layout=layout, **options)

        labels = self.experiment.set.queries["label"].value_counts().sort_index()
        most = int(self._score(a).per_query["n_objects"].max())
        top = max(1.0, float(math.ceil(100 * self._sizes.max())))
        steps = {"min": 0, "continuous_update": False}  # from 0: the browser's slider can't have equal ends
        self.a = control(ipywidgets.Dropdown, "method a", options=CHOICES, value=a)
        self.b = control(ipywidgets.Dropdown, "against b", options=CHOICES, value=b)
        scores = [(f"P@{self.k}", "precision"), (f"AP@{self.k}", "average_precision")]
        self.metric = control(ipywidgets.Dropdown, "metric", options=scores)
        self.order = control(ipywidgets.Dropdown, "order", options=(LOSS, GAIN))
        named = [(EVERY, EVERY), *((f"{label} ({n})", label) for label, n in labels.items())]
        self.label = control(ipywidgets.Dropdown, "category", options=named)
        size = {"step": 0.1, "max": top, "value": (0, top), "readout_format": ".1f"}
        self.size = control(ipywidgets.FloatRangeSlider, "size (%)", **size, **steps)
        count = {"max": max(1, most), "value": (0, max(1, most))}
        self.n_objects = control(ipywidgets.IntRangeSlider, "objects", **count, **steps)
        self.size.tooltip, self.n_objects.tooltip = "share of the picture in the box", "objects in the query picture"
        self.previous = ipywidgets.Button(description=f"previous {PAGE}")
        self.next = ipywidgets.Button(description=f"next {PAGE}")
        for method in (self.a, self.b):
            method.observe(self._methods_moved, "value")
        self.metric.observe(self._compare, "value")
        for part in (self.order, self.label, self.size, self.n_objects):
            part.observe(self._filter, "value")
        self.previous.on_click(lambda _: self._turn(-PAGE))
        self.next.on_click(lambda _: self._turn(PAGE))

    def _score(self, name):
        """The FocusResult of a method, computed once."""
        if name not in self._scores:
            method, mode = ("PHS", "query-db") if name == QUERY_DB else (name, "query-only")
            self._scores[name] = self.experiment.score(method, k=self._asked, h_on=self.h_on, mode=mode)
        return self._scores[name]

    def _methods_moved(self, change):
        """Compare other methods; the same one twice swaps them, one that can't be scored changes nothing."""
        pair = (self.a.value, self.b.value)
        if pair == self._compared:
            return
        if pair[0] == pair[1]:
            other = self.b if change["owner"] is self.a else self.a
            other.value = change["old"]  # comes back here
            return
        try:
            for name in pair:
                if name not in self._scores:
                    self.line.value = f"Scoring {escape(name)} …"
                self._score(name)
        except Exception as error:
            a, b = self._compared
            self.a.set_trait("value", a)
            self.b.set_trait("value", b)
            self._say()
            if not isinstance(error, FoirError):
                raise
            self.gallery.message = str(error)
            return
        self._compared = pair
        self._compare()

    def _compare(self, change=None):
        (a, b), metric = self._compared, self.metric.value
        left, right = (self._score(name).per_query.set_index("query") for name in (a, b))
        table = left[["image_id", "label"]].assign(**{a: left[metric], b: right[metric]})
        table["gain"] = (table[a] - table[b]).round(12)  # equal gains are equal
        table["size"], table["n_objects"] = self._sizes[table.index], left["n_objects"]
        self.table = table.reset_index()
        self._filter()

    def _filter(self, change=None):
        low, high = (share / 100 for share in self.size.value)
        kept = self.table["size"].between(low, high) & self.table["n_objects"].between(*self.n_objects.value)
        if self.label.value != EVERY:
            kept &= self.table["label"] == self.label.value
        self.shown = self.table[kept].sort_values("gain", ascending=self.order.value == LOSS, kind="stable")
        self._first = 0
        self._say()
        self._show()

    def _turn(self, by):
        self._first += by
        self._show()

    def _show(self):
        part = self.shown.iloc[self._first : self._first + PAGE]
        last, n = self._first + len(part), len(self.shown)
        self.previous.disabled, self.next.disabled = self._first == 0, last >= n
        a, b = self._compared
        note = f"{self._first + 1} to {last} of {n:,}, {self.order.value}" if n else ""
        empty = "No query passes these filters: widen them."
        row = {"title": f"{self.metric.label} (%), {b} → {a}", "note": note, "empty": empty}
        self.gallery.show([row | {"items": [self._item(query) for query in part.to_dict("records")]}])

    def _item(self, query):
        a, b = self._compared
        digits = 0 if self.metric.value == "precision" and 100 % self.k == 0 else 1
        before, after = (f"{100 * query[name]:.{digits}f}" for name in (b, a))
        change = points(query["gain"], digits)
        frame = "right" if query["gain"] > 0 else "wrong" if query["gain"] < 0 else ""
        item = {"key": query["query"], "caption": f"{query['label']}\n{before} → {after} ({change})", "frame": frame}
        item["alt"] = f"query {query['query']}, {query['label']}: {b} {before}, {a} {after}, {change} points"
        try:
            return item | {"image": self._thumbnail(query["query"])}
        except FoirError as error:  # one broken file doesn't hide the others
            return item | {"badge": "can't be read", "alt": str(error)}

    def _drawn(self, row):
        """A query's picture with its box, small, as JPEG bytes."""
        query = self.experiment.set.queries.iloc[row]
        size = self.experiment.sizes[row]
        small = ImageOps.contain(self.experiment.set.open(query["image_id"], longest=SIDE), (SIDE, SIDE))
        box, scale = query["prompt"].box(size), np.divide(small.size, size)
        start = np.maximum((box.x0, box.y0) * scale, 6)  # outside the box, but on the picture
        end = np.maximum(np.minimum((box.x1, box.y1) * scale, np.array(small.size) - 7), start)
        for reach, colour, width in ((6, "white", 8), (4, BLUE, 4)):
            ImageDraw.Draw(small).rectangle((*(start - reach), *(end + reach)), outline=colour, width=width)
        return jpeg(small, SIDE)

    def _say(self):
        """How many queries are shown and what they gain, beside all of them: a choice isn't the whole."""
        (a, b), shown, every = self._compared, self.shown, self.table
        lines = [f"<b>{len(shown):,} of {len(every):,}</b> queries pass the filters: {summary(shown)}"]
        scores = [self._score(name) for name in (b, a)]
        means = [100 * (s.mp if self.metric.value == "precision" else s.map) for s in scores]
        whole = f"M{self.metric.label}, averaged by category first: {means[0]:.1f} → {means[1]:.1f}"
        lines.append(f"<b>All {len(every):,}</b>: {summary(every)} {whole}.")
        title = f"Gain of {escape(a)} over {escape(b)} in points of {self.metric.label}."
        self.line.value = f'<div style="line-height: 1.5">{"<br>".join([title, *lines])}</div>'

    def _open(self, row):
        if self.opens is None:
            raise InputError(f"Query {row} has nowhere to open: give FailureExplorer opens=, a RetrievalExplorer.")
        self.opens.query(row)
        self.opens.reveal()
        self.gallery.message = f"Query {row} is open in the retrieval explorer."

    def figure(self):
        """Gain of the queries in :attr:`shown` against object size and number of objects, as a Figure."""
        return gains(self.shown, len(self.table), *self._compared, self.metric.label)

    def close(self):
        """Leave the page: every part is closed and nothing is called any more; ``opens`` stays."""
        if self.comm is None:
            return
        close_parts(self)
        self._thumbnail.cache_clear()
        super().close()
