"""The query at the left of every explorer: the canvas, where its picture comes from, and what is looked for."""

from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import traitlets
from PIL import Image

from foir_lib import registry
from foir_lib.data.checks import CORNERS, plain
from foir_lib.data.opening import needs_root
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError
from foir_lib.models.zoo import drawings_only
from foir_lib.prompts import Box
from foir_lib.text import LABEL, one_line
from foir_lib.view.explorers.base import Part, wrapped
from foir_lib.view.results import rows as results
from foir_lib.view.results.pointing import pointed_at
from foir_lib.view.results.records import title_of, whole
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.live import Listeners, Words
from foir_lib.view.widgets.things import Annotated, Segmented

POINT, ANNOTATED, MINI = "the point", "the annotated object", "mini-sam"  # what a click takes
NO_LABEL, NO_OBJECT = "(no label)", "(choose one)"


class QueryPanel(Part):
    """A canvas, with the queries, annotated objects and labels of a set beside it; without a set the canvas alone.

    ``model``: whose patches or cells are shown; set it when another one answers. image_id: the picture's id in the set, None for
    one's own. The label is guessed from the annotated object that a prompt points at (:func:`pointed_at`), which is drawn on the
    canvas, and can be set or cleared by hand. What was noted while the set was read stands in a line below. ``segmenter``: name or place
    of one (:func:`~foir_lib.models.segmenters.load_segmenter`) whose masks a click may take, opened at the first click.
    """

    model = traitlets.Any()

    def __init__(
        self, retrieval_set: RetrievalSet | None = None, model=None, picture: Image.Image | None = None, prompt=None, segmenter: str = ""
    ):
        self.set, self.image_id, self._segmenter = retrieval_set, None, segmenter
        self._callbacks, self._coming, self._number = Listeners(), (None, None), 0  # coming: image id, label
        self.canvas = PromptCanvas(label="query picture")
        super().__init__([self.canvas], model=model)
        if retrieval_set is not None:
            self._of_set()
        self.canvas.on_change(self._changed)
        if picture is not None:
            self.canvas.show(picture, prompt)

    def _of_set(self):
        """The controls of a set."""
        rs = self.set
        images = rs.query_images if len(rs.query_images) else rs.database
        self._ids, self._place, self._random = images["image_id"].tolist(), -1, np.random.default_rng(0)
        self._place_of = {image_id: place for place, image_id in enumerate(self._ids)}
        self._objects, self._mask = results.objects_of(rs), (None, None)  # the mask that an entry of objects became
        steps = {"Previous": -1, "Random": 0, "Next": 1}
        self.steps = [self.button(name, lambda step=step: self.step(step), tooltip=f"{name} query picture")
                      for name, step in steps.items()]  # fmt: skip
        self.place = Words()
        self.objects = self.control("Dropdown", "annotated objects", self._point_at, options=[(NO_OBJECT, "")])
        labels = [(NO_LABEL, ""), *((one_line(label, LABEL), label) for label in results.labels_of(rs))]
        words = "It only judges the results, right or wrong, and changes none of them; guessed from the object that you point at"
        self._label = self.control("Dropdown", "looking for", self._label_chosen, options=labels, tooltip=words)
        masks, words = rs.has_mask(rs.objects.index).any() if len(rs.objects) else False, "Or the thing under it: a mask that the set or a network gives"
        choosable = len(rs.objects) > 0 and not whole(rs)
        segmenter = self._segmenter or (MINI if rs.name.startswith("mini-") else "")
        takers = [(POINT, POINT), *[(ANNOTATED, ANNOTATED)] * choosable, *[(Segmented(segmenter).name, segmenter)] * bool(segmenter)]
        self.takes = self.control("Dropdown", "a click takes", self._choose_taker, options=takers, tooltip=words)
        first = ANNOTATED if masks and choosable else self._segmenter or POINT
        self.quietly(lambda: setattr(self.takes, "value", first))
        self._choose_taker()
        for control, shown in ((self._label, len(labels) > 1), (self.objects, choosable), (self.takes, len(takers) > 1)):
            control.layout.display = None if shown else "none"
        self.notices = Words(layout={"max_height": "84px"})
        self._notice()
        self.children = [wrapped(*self.steps, self.place), self.canvas, self._label, self.takes, self.objects, self.notices]

    @property
    def unjudged(self) -> str:
        """Why no result is judged: a sentence where a photograph asks a network that knows drawings only, else ""."""
        if self.set is None or self.canvas.picture is None:
            return ""
        own = self.image_id is None or self.set.name in registry.names("set") and needs_root(self.set.name)
        return drawings_only(self.model) if own else ""

    @traitlets.observe("model")
    def _notice(self, _=None):
        """What was noted while the set was read, and :attr:`unjudged`."""
        if not hasattr(self, "notices"):
            return
        noted = "; ".join(map(str, self.set.notices))
        self.notices.value = " ".join(filter(None, [self.unjudged, noted and f"{title_of(self.set)}: {noted}."]))
        self.notices.layout.display = None if self.notices.value else "none"

    @property
    def label(self):
        """What is looked for, or "". Set it: results are judged by it, unless they are :attr:`unjudged`."""
        return "" if self.set is None or self.unjudged else self._label.value

    @label.setter
    def label(self, label) -> None:
        if label not in self.labels and label != "":
            raise InputError(f"Nobody knows what is right for {label!r}: choose one of {', '.join(map(str, self.labels))}.")
        self._label.value = label

    @property
    def labels(self) -> list:
        """What can be looked for."""
        return [] if self.set is None else [label for _, label in self._label.options if label != ""]

    def on_change(self, callback: Callable, remove: bool = False) -> None:
        """Call ``callback(panel)`` after picture, prompt or label changed; ``remove``: don't any more."""
        self._callbacks.register_callback(callback, remove)

    def notify(self) -> None:
        """Run the callbacks, all of them; the first error is raised."""
        if errors := self._callbacks(self):
            raise errors[0]

    def ask(self, prompt=None, picture: Image.Image | int | str | None = None) -> None:
        """Ask with ``prompt`` on ``picture`` (PIL, an image id, or None: the present one), as a browser would."""
        with self.saying():
            if isinstance(picture, Image.Image):
                self.canvas.show(picture, prompt, "own picture")
            elif picture is not None:
                self._open(picture, prompt, None)
            else:
                self.canvas.prompt = prompt

    def query(self, row: int) -> None:
        """Open a row of the set's queries: its picture, prompt and label."""
        with self.saying():
            if self.set is None:
                raise InputError(f"There is no query {row!r}: the canvas belongs to no set.")
            self._open(*results.query_of(self.set, row))

    def step(self, step: int) -> None:
        """The next (1), the previous (-1) or any (0) query picture, with its first query."""
        n = len(self._ids)
        self._place = int(self._random.integers(n)) if step == 0 else (self._place + step) % n
        image_id = self._ids[self._place]
        rows = np.flatnonzero(self.set.queries["image_id"] == image_id)
        self.query(rows[0]) if len(rows) else self.ask(picture=image_id)

    def start(self) -> None:
        """Open the first query, or the first picture where there are none, unless a picture is open."""
        if self.set is not None and self.canvas.picture is None:
            self.query(0) if len(self.set.queries) else self.step(1)

    def leave(self) -> None:
        self._callbacks = Listeners()

    def _open(self, image_id, prompt, label):
        picture = self.set.open(image_id)
        self._change(image_id, label, lambda: self.canvas.show(picture, prompt, f"picture {plain(image_id)}"))

    def _change(self, image_id, label, work):
        """``work()`` changes the canvas to what is known; another change is that of an own photograph, or a drawing."""
        self._coming = (image_id, label)
        try:
            work()
        finally:
            self._coming = (None, None)

    def _changed(self, canvas):
        """Another picture or another prompt."""
        image_id, label = self._coming
        if canvas.number != self._number:
            self._number, self.image_id = canvas.number, image_id
            self._lay_grid()
        elif self.image_id is None and label is None:
            label = "" if self.set is None else self._label.value  # nothing is known of an own photograph: what was said stays
        if self.set is not None:
            self._place = self._place_of.get(self.image_id, self._place)
            self.quietly(lambda: self._describe(label))
            self._notice()
        self.notify()

    def _label_chosen(self):
        self._draw_object()
        self.notify()

    @traitlets.observe("model")
    def _lay_grid(self, _=None):
        grid_of = getattr(self.model, "grid_of", None)
        if self.canvas.picture is not None:
            self.canvas.grid = grid_of and grid_of(self.canvas.picture.size)

    def _items(self):
        """The annotated objects of the picture, by their rows in the set."""
        rows = self._objects.get(self.image_id, [])
        return self.set.objects.iloc[rows].set_axis(rows)

    def _choose_taker(self):
        """What a click takes; a network is opened by the first click."""
        kind, rs = self.takes.value, self.set
        items_of = lambda: [(row, item[CORNERS].tolist(), item["label"]) for row, item in self._items().iterrows()]  # noqa: E731
        taker = Annotated(items_of, lambda row: rs.mask(row) if rs.has_mask([row])[0] else None) if kind == ANNOTATED else Segmented(kind)
        self.canvas.taker, self.canvas.takes = (None, "") if kind == POINT else (taker, self.takes.label)

    def _draw_object(self):
        """The object that the prompt points at, on the canvas, where it is what is looked for."""
        label, box = self._object
        self.canvas.object = {"label": one_line(label, LABEL), "box": box} if box and label == self.label else {}

    def _describe(self, label):
        """Place, annotated objects and label (None: guessed) of the present picture and prompt."""
        items = self._items()
        at = pointed_at(items[CORNERS], self.canvas.prompt, self.canvas.size)
        self._object = ("", None) if at < 0 else (items["label"].iloc[at], [float(v) for v in items[CORNERS].iloc[at]])
        label = self._object[0] if label is None else label
        self.place.value = f"{self._place + 1} of {len(self._ids)}" if self.image_id in self._place_of else ""
        options = [(NO_OBJECT, "")]
        names = items["label"].map(lambda label: one_line(label, LABEL)).astype(str) + (items.groupby("label").cumcount() + 1).map(" {}".format).replace(" 1", "")
        for row, name, has_mask in zip(items.index, names, self.set.has_mask(items.index), strict=True):
            options.append((f"{name} (box)", (int(row), "box")))
            if has_mask:
                options.append((f"{name} (mask)", (int(row), "mask")))
        if self.objects.options != tuple(options):
            self.objects.options = tuple(options)
        value = self._entry(self.canvas.prompt)
        self.objects.value = value if value in [entry for _, entry in options] else ""
        self._label.value = label if label in self.labels else ""
        self._draw_object()

    def _entry(self, prompt):
        """The entry of ``objects`` that a prompt is, or ""."""
        if prompt is not None and prompt is self._mask[1]:
            return self._mask[0]
        items = self._items()[CORNERS]
        at = items.index[(items == list(astuple(prompt))).all(axis=1)] if isinstance(prompt, Box) else ()
        return (int(at[0]), "box") if len(at) else ""

    def _point_at(self):
        """Ask with the annotated object that was chosen."""
        if not self.objects.value:
            return
        row, kind = self.objects.value
        item = self.set.objects.iloc[row]
        prompt = Box(*item[CORNERS]) if kind == "box" else self.set.mask(row)
        self._mask = (self.objects.value, prompt) if kind == "mask" else self._mask
        self._change(self.image_id, item["label"], lambda: setattr(self.canvas, "prompt", prompt))
