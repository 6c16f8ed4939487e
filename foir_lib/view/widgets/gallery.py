"""Gallery: rows of pictures in the browser, any of which can be picked by mouse or keyboard."""

import json
import logging
import numbers
from collections.abc import Callable

import numpy as np
import traitlets
from matplotlib.figure import Figure

from foir_lib.errors import FoirError, InputError
from foir_lib.text import SENTENCE, one_line
from foir_lib.view.figures import pictures
from foir_lib.view.widgets.live import Drawn, Listeners, static

FRAMES = ("", "right", "wrong", "query", "chosen")
_ITEM = {"key": None, "image": b"", "caption": "", "alt": "", "frame": "", "badge": "", "bar": None, "even": None}
KINDS = ("right", "wrong", "unknown")  # of outlines
_OUTLINE = {"size": (), "paths": (), "kind": "unknown", "words": "", "alt": ""}
_ROW = {"title": "", "about": "", "note": "", "share": "", "gain": "", "items": (), "empty": "No pictures."}


class Gallery(Drawn):
    """Rows of pictures; :meth:`show` sets them, :meth:`on_pick` says who wants to know which one was picked.

    ``one_line``: a row is one line whatever the width, its name at the left, its share at the right: pictures shrink to a least
    size, then the row scrolls sideways; else a row wraps.

    :meth:`outline` draws outlines on them later, :meth:`on_outline` says who wants to know which outline was clicked. ``message`` is
    a sentence below the rows; what a callback complains of stands there too.
    """

    _esm, _css = static("gallery.js"), static("common.css", "gallery.css")
    rows = traitlets.List().tag(sync=True)
    outlines = traitlets.List().tag(sync=True)  # for each row one of each item, or None
    shown = traitlets.Int(0).tag(sync=True)  # calls of show
    message = traitlets.Unicode().tag(sync=True)

    def __init__(self, one_line: bool = False, **options):
        self._outlined = Listeners()
        super().__init__(**options)
        if one_line:
            self.add_class("foir-line")

    def __repr__(self):
        return f"Gallery ({', '.join(str(len(row['items'])) for row in self.rows) or 'no'} pictures)"

    def still(self) -> Figure | None:
        return pictures.page(None, self.rows) if any(row["items"] for row in self.rows) else None

    def show(self, rows: list[dict]) -> None:
        """Show ``rows`` in place of the present ones; raises InputError for what can't be shown.

        A row: title, about (what stands for more of the title under the mouse), note (beside the title), share and gain (at its end: "70 %", "+40"), items, empty (said when there are no
        items). An item: key (any JSON value, given to the callbacks), image (bytes of a JPEG or PNG), caption, alt (what a screen
        reader says), frame (one of :data:`FRAMES`), badge, bar (a share from 0 to 1, or None), even (a mark on the bar, likewise).
        """
        rows = [_filled(row, _ROW, "Row") for row in rows]
        for row in rows:
            row["items"] = [_item(item) for item in row["items"]]
        with self.hold_sync():
            self.rows, self.outlines, self.shown, self.message = rows, [], self.shown + 1, ""

    def outline(self, rows: list[list[dict | None]]) -> None:
        """Draw outlines on the pictures that are shown: for each row one of each item, or None; [] takes all away.

        An outline: size (width and height of the picture that its paths are on), paths (polygons: flat lists of x and y in turn), kind
        (one of :data:`KINDS`), words (below the picture), alt (what a screen reader says). Raises InputError for other numbers of
        them than of pictures, and for what can't be drawn.
        """
        if rows and [len(row) for row in rows] != [len(row["items"]) for row in self.rows]:
            raise InputError(f"Outlines of {[len(row) for row in rows]} pictures don't fit {self!r}: give one for each, or None.")
        self.outlines = [[one and _outline(one) for one in row] for row in rows]

    def on_pick(self, callback: Callable, remove: bool = False) -> None:
        """Call ``callback(key)`` whenever a picture is picked; ``remove``: don't any more."""
        self._callbacks.register_callback(callback, remove)

    def on_outline(self, callback: Callable) -> None:
        """Call ``callback(key)`` whenever the outline on a picture is clicked, which then isn't picked."""
        self._outlined.register_callback(callback)

    def close(self) -> None:
        """Leave the page and forget the callbacks."""
        self._outlined = Listeners()
        super().close()

    def receive(self, content: dict, buffers=()) -> None:
        """What the browser sends, ``{"pick": key}``: the item of that key was picked, or its ``"outline"``. What a callback complains of is said."""
        if "pick" not in content:
            return
        self.message = ""
        callbacks = self._outlined if content.get("outline") is True else self._callbacks
        for error in callbacks(content["pick"]):
            if isinstance(error, FoirError):
                self.message = one_line(error, SENTENCE)
            else:
                logging.getLogger(__name__).error("A callback of the gallery failed.", exc_info=error)
                self.message = one_line(f"{type(error).__name__} while opening this picture: {error}", SENTENCE)


def _filled(fields, default, what):
    if strange := set(fields) - set(default):
        raise InputError(f"{what} has an unknown field {min(strange)!r}: choose from {', '.join(default)}.")
    return {**default, **{name: _text(value) if isinstance(value, str) else value for name, value in fields.items()}}


def _outline(fields):
    one = _filled(fields, _OUTLINE, "Outline")
    if one["kind"] not in KINDS:
        raise InputError(f"Outline {one['kind']!r} is unknown: choose one of {', '.join(KINDS)}.")
    size, paths = ([float(side) for side in one["size"]], [[round(float(at), 1) for at in path] for path in one["paths"]])
    if len(size) != 2 or not np.isfinite([*size, *(at for path in paths for at in path)]).all() or any(len(path) % 2 for path in paths):
        raise InputError("An outline needs the size of its picture, and for each of its points two finite numbers.")
    return one | {"size": size, "paths": paths}


def _text(value):
    return "\n".join(one_line(line, SENTENCE) for line in value.split("\n"))


def _item(fields):
    item = _filled(fields, _ITEM, "Item")
    if item["frame"] not in FRAMES:
        raise InputError(f"Frame {item['frame']!r} is unknown: choose one of {', '.join(map(repr, FRAMES))}.")
    if not isinstance(item["image"], (bytes, bytearray, memoryview)):
        raise InputError(f"Image of item {item['key']!r} is {type(item['image']).__name__}: give bytes of a JPEG or PNG.")
    for name in ("bar", "even"):
        share = item[name]
        if share is not None and not (isinstance(share, numbers.Real) and 0 <= share <= 1):
            raise InputError(f"{name.title()} {share!r} of item {item['key']!r} is no share: give a number from 0 to 1, or None.")
        item[name] = None if share is None else float(share)
    key = json.loads(json.dumps(item["key"], default=lambda number: number.item()))  # numpy's numbers too
    return item | {"key": key}
