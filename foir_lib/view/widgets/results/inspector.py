"""Inspector: one result of the lists enlarged, with buttons that ask with it and hand the lists out as files."""

import logging
from collections.abc import Callable

import traitlets

from foir_lib.errors import FoirError, InputError
from foir_lib.text import SENTENCE, one_line
from foir_lib.view.widgets.live import Drawn, Listeners, static

EMPTY = {
    "key": None, "row": -1, "image": b"", "alt": "", "title": "", "size": [], "lines": [], "boxes": [], "dots": [], "outline": None,
}  # fmt: skip
KINDS = {"png": "image/png", "json": "application/json"}  # of files


class Inspector(Drawn):
    """Follows mouse and keys on galleries of the class ``foir-inspected`` in its explorer; see :meth:`show`.

    code: a line that repeats the lists, to be copied. pinned: whether the result stays while the mouse goes elsewhere.
    """

    _esm, _css = static("results/inspector.js"), static("results/inspector.css")
    record = traitlets.Dict(EMPTY).tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    pinned = traitlets.Bool(False).tag(sync=True)

    def __init__(self, **options):
        self._uses = Listeners()
        super().__init__(**options)

    def __repr__(self):
        return f"Inspector ({self.record['title'] or 'nothing enlarged'})"

    def show(self, record: dict | None) -> None:
        """Enlarge ``record``, None for nothing; its fields are those of :data:`EMPTY`, what is left out is empty.

        key and row: of the item in its gallery. image: bytes of a file, size: (width, height) of the picture that boxes, dots and
        outline are drawn on, in its pixels. lines: (term, words, "right" | "wrong" | ""). boxes: at (x0, y0, x1, y1), label, kind.
        dots: at (x, y), radius, colour, weight from 0 to 1. outline: as of :meth:`Gallery.outline`. InputError for other fields.
        """
        record = record or {}
        if strange := set(record) - set(EMPTY):
            raise InputError(f"Record has an unknown field {min(strange)!r}: choose from {', '.join(EMPTY)}.")
        record = EMPTY | record
        words = {name: one_line(record[name], SENTENCE) for name in ("title", "alt")}
        self.record = record | words | {"lines": [[one_line(part, SENTENCE) for part in line] for line in record["lines"]]}

    def on_look(self, callback: Callable) -> None:
        """Call ``callback(key, row)`` whenever a result is to be enlarged: its key, and the number of its row in the gallery."""
        self._callbacks.register_callback(callback)

    def on_use(self, callback: Callable) -> None:
        """Call ``callback(name)`` when a button is pressed: "ask", or the kind of a file, of :data:`KINDS`."""
        self._uses.register_callback(callback)

    def download(self, name: str, content: bytes) -> None:
        """Hand a file to the browser, by a name that ends in its kind."""
        self.send({"file": name, "kind": KINDS[name.rpartition(".")[2]]}, [content])

    def reveal(self) -> None:
        """Scroll so far that it is seen."""
        self.send({"reveal": True})

    def receive(self, content: dict, buffers=()) -> None:
        """What the browser sends: ``{"look": key, "row": n}``, ``{"pinned": bool}`` or ``{"do": name}``."""
        errors = self._callbacks(content["look"], content.get("row")) if "look" in content else []
        if isinstance(pinned := content.get("pinned"), bool):
            self.pinned = pinned
        if content.get("do") in ("ask", *KINDS):
            errors += self._uses(content["do"])
        for error in errors:
            if not isinstance(error, FoirError):  # a sentence stands on the page
                logging.getLogger(__name__).error("A callback of the inspector failed.", exc_info=error)

    def close(self) -> None:
        """Leave the page and forget the callbacks."""
        self._uses = Listeners()
        super().close()
