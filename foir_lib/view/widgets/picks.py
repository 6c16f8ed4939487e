"""Picks: pictures of which exactly so many are picked; the browser measures how long it takes."""

import numbers
from collections.abc import Callable

import traitlets

from foir_lib.view.widgets.live import Drawn, static


class Picks(Drawn):
    """A query beside pictures, ``n`` of which are to be picked. :meth:`on_submit` says who wants the answer."""

    _esm, _css = static("picks.js"), static("picks.css")
    query = traitlets.Bytes().tag(sync=True)
    images = traitlets.List(traitlets.Bytes()).tag(sync=True)
    n = traitlets.Int(3).tag(sync=True)
    shown = traitlets.Int(0).tag(sync=True)  # calls of show

    def show(self, query: bytes = b"", images: list[bytes] = ()) -> None:
        """Show a query and pictures (bytes of JPEGs) in place of the present ones; none: nothing is shown."""
        with self.hold_sync():
            self.query, self.images, self.shown = query, list(images), self.shown + 1

    def on_submit(self, callback: Callable) -> None:
        """Call ``callback(picks, seconds)``: positions, and seconds from the pictures' first paint to the button."""
        self._callbacks.register_callback(callback)

    def receive(self, content: dict, buffers=()) -> None:
        """What the browser sends, ``{"picks": [...], "seconds": s}``; anything else is left alone."""
        picks, seconds = content.get("picks"), content.get("seconds")
        places = isinstance(picks, list) and all(type(at) is int and 0 <= at < len(self.images) for at in picks)
        if places and isinstance(seconds, numbers.Real) and not isinstance(seconds, bool):
            for error in self._callbacks(picks, float(seconds)):
                raise error
