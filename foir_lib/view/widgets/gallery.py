"""Gallery: rows of pictures in the browser, any of which can be picked by mouse or keyboard."""

import json
import logging
import numbers
from collections.abc import Callable

import traitlets

from foir_lib.errors import FoirError, InputError
from foir_lib.text import SENTENCE, one_line
from foir_lib.view.widgets.live import Drawn, static

FRAMES = ("", "right", "wrong", "query", "chosen")
_ITEM = {"key": None, "image": b"", "caption": "", "alt": "", "frame": "", "badge": "", "bar": None}
_ROW = {"title": "", "note": "", "items": (), "empty": "No pictures."}


class Gallery(Drawn):
    """Rows of pictures; :meth:`show` sets them, :meth:`on_pick` says who wants to know which one was picked.

    ``message`` is a sentence below the rows; what a callback complains of stands there too.
    """

    _esm, _css = static("gallery.js"), static("common.css", "gallery.css")
    rows = traitlets.List().tag(sync=True)
    shown = traitlets.Int(0).tag(sync=True)  # calls of show
    message = traitlets.Unicode().tag(sync=True)

    def __repr__(self):
        return f"Gallery ({', '.join(str(len(row['items'])) for row in self.rows) or 'no'} pictures)"

    def show(self, rows: list[dict]) -> None:
        """Show ``rows`` in place of the present ones; raises InputError for what can't be shown.

        A row: title, note (beside the title), items, empty (said when there are no items). An item: key (any
        JSON value, given to the callbacks), image (bytes of a JPEG or PNG), caption, alt (what a screen reader
        says), frame (one of :data:`FRAMES`), badge, bar (a share from 0 to 1, or None).
        """
        rows = [_filled(row, _ROW, "Row") for row in rows]
        for row in rows:
            row["items"] = [_item(item) for item in row["items"]]
        with self.hold_sync():
            self.rows, self.shown, self.message = rows, self.shown + 1, ""

    def on_pick(self, callback: Callable, remove: bool = False) -> None:
        """Call ``callback(key)`` whenever a picture is picked; ``remove``: don't any more."""
        self._callbacks.register_callback(callback, remove)

    def receive(self, content: dict, buffers=()) -> None:
        """What the browser sends, ``{"pick": key}``: the item of that key was picked. What a callback complains of is said."""
        if "pick" not in content:
            return
        self.message = ""
        for error in self._callbacks(content["pick"]):
            if isinstance(error, FoirError):
                self.message = one_line(error, SENTENCE)
            else:
                logging.getLogger(__name__).error("A callback of the gallery failed.", exc_info=error)
                self.message = one_line(f"{type(error).__name__} while opening this picture: {error}", SENTENCE)


def _filled(fields, default, what):
    if strange := set(fields) - set(default):
        raise InputError(f"{what} has an unknown field {min(strange)!r}: choose from {', '.join(default)}.")
    return {**default, **{name: _text(value) if isinstance(value, str) else value for name, value in fields.items()}}


def _text(value):
    return "\n".join(one_line(line, SENTENCE) for line in value.split("\n"))


def _item(fields):
    item = _filled(fields, _ITEM, "Item")
    if item["frame"] not in FRAMES:
        raise InputError(f"Frame {item['frame']!r} is unknown: choose one of {', '.join(map(repr, FRAMES))}.")
    if not isinstance(item["image"], (bytes, bytearray, memoryview)):
        raise InputError(f"Image of item {item['key']!r} is {type(item['image']).__name__}: give bytes of a JPEG or PNG.")
    bar = item["bar"]
    if bar is not None and not (isinstance(bar, numbers.Real) and 0 <= bar <= 1):
        raise InputError(f"Bar {bar!r} of item {item['key']!r} is no share: give a number from 0 to 1, or None.")
    key = json.loads(json.dumps(item["key"], default=lambda number: number.item()))  # numpy's numbers too
    return item | {"key": key, "bar": None if bar is None else float(bar)}
