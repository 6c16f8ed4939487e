"""CoattentionExplorer: point at a region of the query and see where the candidates light up for it."""

import numbers
from contextlib import contextmanager

import ipywidgets
import numpy as np
import pandas as pd
from ipywidgets import Layout
from PIL import Image

from foir_lib.data.checks import plain
from foir_lib.errors import FoirError, InputError
from foir_lib.search import local_views
from foir_lib.view.explorers import rows as retrieval_rows
from foir_lib.view.widgets import maps
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import close_parts, replace_earlier
from foir_lib.view.widgets.thumbs import jpeg

SIDE = 160  # pixels of a candidate's longer side
SLIDER = {"continuous_update": False, "style": {"description_width": "9em"}, "layout": {"width": "auto"}}


class CoattentionExplorer(ipywidgets.VBox):
    """Query and prompt on the left; on the right the first ``k`` candidates, and what co-attention sees in them.

    ``views``: the :class:`~foir_lib.search.local_views.LocalViews` of the set, made (and kept) unless given. Without a prompt the
    whole picture asks. ``protocol``: what counts as right where the label is that of one of the set's queries.

    results: table with image_id, row (of the database), score, right (True, False, or None: unknown or ignored), rank;
    attention: the map (rows, columns) of each result, all of them sums of 1 shared among the local features. What goes
    wrong is said below the picture, and what was shown stays; :meth:`ask` and :meth:`query` raise it too.
    """

    def __init__(
        self, retrieval_set, cnn, k=8, n_features=150, n_clusters=10, temperature=10.0, protocol="medium", views=None,
        progress=True,
    ):  # fmt: skip
        if isinstance(k, bool) or not isinstance(k, numbers.Integral) or k < 1:
            raise InputError(f"k={k!r} must be a whole number, at least 1.")
        self.views = views or local_views.LocalViews(retrieval_set, cnn, progress=progress)
        if self.views.set is not retrieval_set or self.views.cnn is not cnn:
            raise InputError("The local views are of another set or model: make them from these two.")
        self.views.clustered(n_features, n_clusters)  # raises for numbers that can't be had
        if not isinstance(temperature, numbers.Real) or not 0 <= temperature <= 100:
            raise InputError(f"temperature={temperature!r} must be a number from 0 to 100.")
        self.set, self.cnn, self.results, self.attention = retrieval_set, cnn, retrieval_rows.nothing(), []
        self._k, self._protocol = int(k), retrieval_set.protocols.get(protocol)
        self._ids = retrieval_set.database["image_id"].to_numpy()
        self._row_of = {image_id: row for row, image_id in enumerate(self._ids)}
        self._objects = retrieval_rows.objects_of(retrieval_set)
        self._image_id, self._coming, self._label, self._asked = None, (None, None), "", {}
        self._number, self._complained, self._busy, self._place = 0, False, False, 0
        self._build(n_features, n_clusters, temperature)
        try:
            self.query(0) if len(retrieval_set.queries) else self.ask(picture=self._ids[0])
        except FoirError:
            self.close()
            raise
        replace_earlier(self)

    def __repr__(self):
        asked = f"{self.canvas.label}, {self.canvas.prompt or 'no prompt'}"
        return f"CoattentionExplorer ({self.set.name}, {self.cnn.name}: {asked})"

    # ---- for Python

    def ask(self, prompt=None, picture=None):
        """Ask with ``prompt`` on ``picture`` (PIL, an image id, or None: the present one), as a browser would."""
        with self._told():
            if isinstance(picture, Image.Image):
                self._open(picture, None, prompt, None, "own picture")
            elif picture is not None:
                self._open(self.set.open(picture), picture, prompt, None)
            else:
                self.canvas.prompt = prompt

    def query(self, row):
        """Open a row of ``retrieval_set.queries``: its picture, prompt and label."""
        with self._told():
            image_id, prompt, label = retrieval_rows.query_of(self.set, row)
            self._open(self.set.open(image_id), image_id, prompt, label)
            self._place = int(row)

    def close(self):
        """Leave the page: every part is closed and nothing is called any more."""
        if self.comm is None:
            return
        close_parts(self)
        super().close()

    # ---- what happens on the page

    def _build(self, n_features, n_clusters, temperature):
        """Make the parts, lay them out and listen."""
        self.canvas, self.gallery = PromptCanvas(label="query picture"), Gallery()
        most = self.views.most
        self.n_features = ipywidgets.IntSlider(n_features, 1, most, description="local features (N)", **SLIDER)
        self.n_clusters = ipywidgets.IntSlider(
            n_clusters, 1, min(most, max(30, n_clusters)), description="clusters (K)", **SLIDER
        )
        self.temperature = ipywidgets.FloatSlider(
            float(temperature), min=0, max=100, step=1, description="temperature (T)", readout_format=".1f", **SLIDER
        )
        self._controls, self._words = (self.n_features, self.n_clusters, self.temperature), ipywidgets.HTML()
        for control in self._controls:
            control.observe(self._moved, "value")
        self._steps = [
            ipywidgets.Button(description=name, layout=Layout(width="auto")) for name in ("Previous", "Next")
        ]
        for button, step in zip(self._steps, (-1, 1), strict=True):
            button.disabled = not len(self.set.queries)
            button.on_click(lambda _, step=step: self._clicked(lambda: self._step(step)))
        self.canvas.on_change(self._changed)
        self.gallery.on_pick(self._picked)
        narrow = Layout(flex="1 1 300px", min_width="0", max_width="420px")
        left = ipywidgets.VBox([ipywidgets.HBox(self._steps), self.canvas, *self._controls], layout=narrow)
        wide = Layout(flex="1000 1 460px", min_width="0")
        right = ipywidgets.VBox([self._words, self.gallery], layout=wide)
        flow = Layout(flex_flow="row wrap", align_items="flex-start", grid_gap="12px 20px")
        super().__init__([ipywidgets.HBox([left, right], layout=flow)])

    def _open(self, picture, image_id, prompt, label, name=None):
        grid = local_views.grid_of(self.cnn, picture.size)
        if prompt is not None:
            prompt.box(picture.size, grid)  # raises before anything is changed
        self._coming, self.canvas.grid = (image_id, label), grid
        try:
            self.canvas.show(picture, prompt, name or f"picture {plain(image_id)}")
        finally:
            self._coming = (None, None)

    def _changed(self, canvas):
        """Another picture or another prompt."""
        image_id, label = self._coming
        if canvas.number != self._number:
            self._number, self._image_id, self._asked = canvas.number, image_id, {}
            canvas.grid = local_views.grid_of(self.cnn, canvas.picture.size)
        if label is None:
            rows = self._objects.get(self._image_id, ())
            row = retrieval_rows.pointed_at(self.set.objects, rows, canvas.prompt, canvas.size)
            label = "" if row < 0 else self.set.objects["label"].iloc[row]
        self._show(label)

    def _show(self, label):
        """Compute everything, then show it."""
        n, k, t = (control.value for control in self._controls)
        key = (self.canvas.prompt, n)
        if key not in self._asked:
            self._asked = {key: local_views.ask(self.cnn, self.canvas.picture, *key, self.views.scales, self.views.pca)}
        asked, own = self._asked[key], self._row_of.get(self._image_id, -1)
        rows, scores = self.views.rank(asked, n, k, t, exclude=own, k=self._k)
        right = self._verdicts(label)
        found = pd.DataFrame({"image_id": self._ids[rows], "row": rows, "score": scores})
        found["right"] = pd.Series([None if right is None else right[row] for row in rows], dtype=object)
        found["rank"] = np.arange(1, len(rows) + 1)
        shares = [self.views.attention(asked, row, n, k, t) for row in rows]
        heats = [self.views.heat(row, a, self._shape(row)) for row, a in zip(rows, shares, strict=True)]
        self.gallery.show(self._rows(found, heats))
        told = f", looking for <b>{label}</b>" if label else ""
        self._words.value = f"{len(asked.found)} local features ask{told}. Click a candidate to ask with it."
        self.results, self.attention, self._label = found, heats, label

    def _shape(self, row):
        width, height = self._size(row)
        return max(1, round(SIDE * height / max(width, height))), max(1, round(SIDE * width / max(width, height)))

    def _size(self, row):
        return self.set.database[["width", "height"]].iloc[row]

    def _verdicts(self, label):
        """Per database row True, False or None (ignored); None when nobody knows what is right for the label."""
        at = np.flatnonzero(self.set.queries["label"] == label) if label else ()
        if self._protocol is None or not len(at):
            return None
        right = np.full(len(self._ids), False, dtype=object)
        right[self._protocol.positives(int(at[0]))] = True
        right[self._protocol.ignored_of(int(at[0]))] = None
        return right

    def _rows(self, found, heats):
        """Rows of the gallery: the candidates, and the same under their co-attention, all maps on one scale."""
        top = float(np.quantile(np.concatenate([h.ravel() for h in heats]), 0.995)) or 1.0
        plain_row, seen = [], []
        for answer, values in zip(found.itertuples(), heats, strict=True):
            picture = self.set.open(answer.image_id, longest=SIDE)
            drawn = maps.overlays(picture, values[None], top)[0]
            verdict = {True: ", right", False: ", wrong", None: ""}[answer.right]
            words = f"rank {answer.rank}, score {answer.score:.3f}{verdict}, picture {answer.image_id}"
            item = {"key": int(answer.row), "frame": {True: "right", False: "wrong", None: ""}[answer.right]}
            plain_row.append(
                item | {"image": jpeg(picture, SIDE), "alt": words, "caption": f"{answer.rank} · {answer.score:.3f}"}
            )
            seen.append(
                {
                    "key": int(answer.row),
                    "image": drawn,
                    "alt": f"co-attention map of {words}",
                    "caption": f"{answer.rank}",
                }
            )
        judged = [right for right in found["right"] if right is not None]
        note = f"{sum(judged)} of {len(judged)} right" if judged else ""
        return [
            {"title": "candidates", "note": note, "items": plain_row},
            {"title": "co-attention", "note": "all maps on one scale, bright: much", "items": seen},
        ]

    def _step(self, step):
        self.query((self._place + step) % len(self.set.queries))

    def _picked(self, row):
        self._clicked(lambda: self._open(self.set.open(self._ids[row]), self._ids[row], None, None))

    def _moved(self, change):
        if not self._busy:
            self._clicked(lambda: self._show(self._label), lambda: setattr(change["owner"], "value", change["old"]))

    # ---- errors

    def _clicked(self, work, otherwise=None):
        """Do what was asked on the page; what goes wrong is said there and ``otherwise`` puts the control back."""
        try:
            with self._told():
                work()
        except FoirError:
            if otherwise:
                self._busy = True
                otherwise()
                self._busy = False

    @contextmanager
    def _told(self):
        """What goes wrong stands below the picture until something goes well."""
        try:
            yield
        except FoirError as error:
            self._complained = True
            self.canvas.say(error, error=True)
            raise
        if self._complained:
            self._complained = False
            self.canvas.say("")
