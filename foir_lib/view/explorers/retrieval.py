"""RetrievalExplorer: point at something and see, side by side, what several methods find for it."""

import numbers
from contextlib import contextmanager

import ipywidgets
import numpy as np
from PIL import Image

from foir_lib.bench.extraction import Extraction
from foir_lib.data.checks import plain
from foir_lib.errors import FoirError, InputError
from foir_lib.search.asking import METHODS
from foir_lib.view.explorers import rows as retrieval_rows
from foir_lib.view.explorers.comparison import Asked, Comparison, checked
from foir_lib.view.explorers.controls import Controls
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import close_parts, replace_earlier


class RetrievalExplorer(ipywidgets.VBox):
    """Query and prompt on the left, the first ``k`` answers of one to four ``methods`` on the right.

    retrieval_set: any RetrievalSet, also a folder of one's own photographs; what is right is known where it has
    labels. ``h_on``: heads that PHS keeps (a model with fewer starts with half of its own). ``features``: of the
    database, by default made and kept by :class:`~foir_lib.bench.extraction.Extraction`.

    results: method -> table with image_id, row (of the database), score, right (None without a label), before (rank
    under the first method), rank (from 1); empty for a method that waits for a prompt. What goes wrong is said below
    the picture, and what was shown stays; :meth:`ask` and :meth:`query` raise it too.
    """

    def __init__(self, retrieval_set, model, methods=("CBIR", "PHS"), k=10, h_on=5, features=None, progress=True):
        for name, value in (("k", k), ("h_on", h_on)):
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
                raise InputError(f"{name}={value!r} must be a whole number, at least 1.")
        self._methods = checked(methods)
        if features is None:
            features = Extraction(retrieval_set, model, progress=progress).database()
        self._comparison = Comparison(retrieval_set, model, features)
        self.set, self.model, self.results = retrieval_set, model, {}
        asking = retrieval_set.query_images if len(retrieval_set.query_images) else retrieval_set.database
        self._asking, self._place, self._random = asking["image_id"].tolist(), -1, np.random.default_rng(0)
        self._place_of = {image_id: place for place, image_id in enumerate(self._asking)}
        self._objects = retrieval_rows.objects_of(retrieval_set)
        self._number, self._image_id, self._coming = 0, None, (None, None)  # coming: image id, label
        self._complained = self._busy = False
        self.canvas, self.gallery = PromptCanvas(label="query picture", grid=model.grid), Gallery()
        self._build(k, h_on if h_on <= model.n_heads else max(1, model.n_heads // 2))
        try:
            self.query(0) if len(retrieval_set.queries) else self._step(1)
        except FoirError:
            self.close()
            raise
        replace_earlier(self)

    def __repr__(self):
        asked = f"{self.canvas.label}, {self.canvas.asks or 'no prompt'}"
        return f"RetrievalExplorer ({self.set.name}, {self.model.name}, {', '.join(self._methods)}: {asked})"

    # ---- for Python

    @property
    def methods(self):
        """What stands side by side, in order; ranks are compared with the first. Set it to choose others."""
        return self._methods

    @methods.setter
    def methods(self, methods):
        with self._told():
            self._use(checked(methods))

    def ask(self, prompt=None, picture=None):
        """Ask with ``prompt`` on ``picture`` (PIL, an image id, or None: the present one), as a browser would."""
        with self._told():
            if isinstance(picture, Image.Image):
                self.canvas.show(picture, prompt, "own picture")
            elif picture is not None:
                self._open(picture, prompt)
            else:
                self.canvas.prompt = prompt

    def query(self, row):
        """Open a row of ``retrieval_set.queries``: its picture, prompt and label."""
        with self._told():
            image_id, prompt, label = retrieval_rows.query_of(self.set, row)
            self._open(image_id, prompt, label)

    def reveal(self):
        """Scroll the page to the query."""
        self.canvas.reveal()

    def close(self):
        """Leave the page: every part is closed, threads end, nothing is called any more."""
        if self.comm is None:
            return
        self._comparison.close()
        close_parts(self)
        super().close()

    # ---- what happens on the page

    def _build(self, k, h_on):
        """Make the controls, lay everything out and listen."""
        self._controls = parts = Controls(METHODS, self._methods, k, h_on, self.model.n_heads, self.set)
        self.k, self.h_on, self.roi = parts.k, parts.h_on, parts.roi
        self.label, self.objects = parts.label, parts.objects
        for control in (self.k, self.h_on, self.roi, self.label):
            control.observe(self._moved, "value")
        self.objects.observe(self._object_chosen, "value")
        for button in parts.methods.values():
            button.observe(self._toggled, "value")
        for button, step in zip(parts.steps, (-1, 0, 1), strict=True):
            button.on_click(lambda _, step=step: self._clicked(lambda: self._step(step)))
        self.canvas.on_change(self._changed)
        self.gallery.on_pick(self._picked)
        super().__init__([parts.layout(self.canvas, self.gallery)])

    def _changed(self, canvas):
        """Another picture or another prompt."""
        image_id, label = self._coming
        if canvas.number != self._number:
            self._number, self._image_id = canvas.number, image_id
            self._place = self._place_of.get(image_id, self._place)
        elif self._image_id is None and label is None:
            label = self.label.value  # nothing is known of an own photograph: what was said stays
        self._quietly(lambda: self._controls.describe(*self._about(), self.canvas.prompt))
        self._show(self._guess() if label is None else label)

    def _about(self):
        """The set's own objects on the present picture: rows of ``objects``; and where it stands among the queries."""
        place = f"{self._place + 1} of {len(self._asking)}" if self._image_id in self._place_of else ""
        return self._objects.get(self._image_id, ()), place

    def _guess(self):
        """The label of the annotated object that the prompt points at, or ""."""
        rows, canvas = self._about()[0], self.canvas
        row = retrieval_rows.pointed_at(self.set.objects, rows, canvas.prompt, canvas.size)
        return "" if row < 0 else self.set.objects["label"].iloc[row]

    def _show(self, label):
        """Compute everything, then show it."""
        asked = Asked(self._number, self.canvas.asks, self.h_on.value, self.roi.value)
        sight = self.canvas.sight(self.model)
        tables, rows = self._comparison.answer(sight, asked, self._methods, label, self.k.value, self._image_id)
        self.gallery.show(rows)
        self.results = tables
        self._quietly(lambda: self._controls.settle(self._methods, label))

    def _use(self, methods):
        before, self._methods = self._methods, methods
        try:
            self._show(self.label.value)
        except FoirError:
            self._methods = before
            raise

    def _open(self, image_id, prompt=None, label=None):
        picture = self.set.open(image_id)
        with self._expecting(image_id, label):
            self.canvas.show(picture, prompt, f"picture {plain(image_id)}")

    @contextmanager
    def _expecting(self, image_id, label):
        """What the next change of the canvas is about; one that nobody announced is an own photograph, or a drawing."""
        self._coming = (image_id, label)
        try:
            yield
        finally:
            self._coming = (None, None)

    def _step(self, step):
        """The next (1), the previous (-1) or any (0) query picture, with its first query."""
        n = len(self._asking)
        self._place = int(self._random.integers(n)) if step == 0 else (self._place + step) % n
        image_id = self._asking[self._place]
        rows = np.flatnonzero(self.set.queries["image_id"] == image_id)
        self.query(rows[0]) if len(rows) else self.ask(picture=image_id)

    def _picked(self, row):
        self._clicked(lambda: self._open(self._comparison.ids[row]))

    def _object_chosen(self, change):
        if not self._busy and change["new"]:
            self._clicked(lambda: self._point_at(change["new"]), lambda: _put_back(change))

    def _point_at(self, chosen):
        prompt, label = self._controls.prompt(chosen)
        with self._expecting(self._image_id, label):
            self.canvas.prompt = prompt

    def _moved(self, change):
        if not self._busy:
            self._clicked(lambda: self._show(self.label.value), lambda: _put_back(change))

    def _toggled(self, change):
        if not self._busy:
            name = change["owner"].description
            chosen = [m for m in self._methods if m != name] + [name] * change["new"]
            self._clicked(lambda: self._use(checked(chosen)), lambda: _put_back(change))

    # ---- errors

    def _clicked(self, work, otherwise=None):
        """Do what was asked on the page; what goes wrong is said there and ``otherwise`` puts the control back."""
        try:
            with self._told():
                work()
        except FoirError:
            if otherwise:
                self._quietly(otherwise)

    @contextmanager
    def _told(self):
        """What goes wrong stands below the picture until something goes well."""
        try:
            if self.comm is None:
                raise InputError(
                    "This explorer was closed when its cell ran again: run the cells that use it again too."
                )
            yield
        except FoirError as error:
            self._complained = True
            self.canvas.say(error, error=True)
            raise
        if self._complained:
            self._complained = False
            self.canvas.say("")

    def _quietly(self, work):
        """Set controls without answering to them."""
        self._busy = True
        try:
            work()
        finally:
            self._busy = False


def _put_back(change):
    change["owner"].value = change["old"]
