"""What all explorers share: one canvas to ask on, where what goes wrong is said, and what is shown as plain values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import ipywidgets
import traitlets
from ipywidgets import Layout
from matplotlib.figure import Figure

from foir_lib import progress
from foir_lib.errors import FoirError, InputError
from foir_lib.text import LABEL, SENTENCE, one_line
from foir_lib.view.figures import pictures
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Still, close_parts, replace_earlier


def wrapped(*widgets: ipywidgets.Widget, gap: str = "0 12px") -> ipywidgets.Box:
    """Widgets in a line that wraps."""
    return ipywidgets.HBox(widgets, layout=Layout(flex_flow="row wrap", align_items="flex-start", grid_gap=gap))


class Part(Still, ipywidgets.VBox):
    """A part of the page beside a canvas: what goes wrong in it stands below the picture, and the control goes back."""

    canvas: PromptCanvas | None = None
    gallery: Gallery | None = None
    panel = None  # the QueryPanel that it asks with
    _busy = False

    def still(self) -> Figure | None:
        query, rows = None if self.canvas is None else self.canvas.query, self._rows()
        return pictures.page(query, rows) if query or any(row["items"] for row in rows) else None

    def alt(self) -> str:
        return "; ".join([repr(self), *(f"{row['title']}: {row['note'] or len(row['items'])}" for row in self._rows() if row["items"])])

    def _rows(self):
        """The rows of pictures of this part, or of the explorer that is open in it."""
        gallery = self.gallery or getattr(getattr(self, "explorer", None), "gallery", None)
        return [] if gallery is None else gallery.rows

    @contextmanager
    def saying(self) -> Iterator[None]:
        """What goes wrong in here stands on the page until something goes well, and is raised; what takes long is counted there meanwhile."""
        told = []

        def tell(bar):
            told[:] = [one_line(f"{bar} …", SENTENCE)]
            self._say(*told, error=False)

        try:
            if self.comm is None:
                raise InputError("This explorer was closed when its cell ran again: run the cells that use it again too.")
            with progress.watched(tell):
                yield
        except FoirError as error:
            self._say(error)
            raise
        self._say("" if told == [self._said()] else None, error=False)

    def clicked(self, work: Callable[[], object], otherwise: Callable[[], object] | None = None) -> None:
        """Do ``work`` for a click; what goes wrong is said on the page alone, and ``otherwise`` puts the control back."""
        try:
            with self.saying():
                work()
        except Exception as error:
            if otherwise:
                self.quietly(otherwise)
            if not isinstance(error, FoirError):
                raise

    def quietly(self, work: Callable[[], object]) -> None:
        """Set controls without answering to them."""
        self._busy = True
        try:
            work()
        finally:
            self._busy = False

    def control(self, kind: str, description: str, work: Callable[[], object], **options) -> ipywidgets.Widget:
        """A control, ``kind`` of ipywidgets, whose moves are answered by ``work()``; where that fails it goes back."""
        slides, style = "Slider" in kind, {} if kind == "ToggleButton" else {"description_width": "initial"}
        width = f"{170 + 7 * len(description)}px" if slides else "auto"  # a slide of 100 pixels and more beside the words
        defaults = {"style": style, "layout": {"width": width, "max_width": "100%"}}
        defaults |= {"continuous_update": False} if slides else {}
        control = getattr(ipywidgets, kind)(description=one_line(description, LABEL), **defaults | options)

        def moved(change):
            if not self._busy:
                self.clicked(work, lambda: setattr(control, "value", change["old"]))

        control.observe(moved, "value")
        return control

    def button(self, description: str, work: Callable[[], object], **options) -> ipywidgets.Button:
        """A button that does ``work()``; what goes wrong is said on the page."""
        button = ipywidgets.Button(description=description, layout={"width": "auto"}, **options)
        button.on_click(lambda _: self.clicked(work))
        return button

    def ask(self, prompt=None, picture=None) -> None:
        """Ask with ``prompt`` on ``picture`` (PIL, an image id, or None: the present one), as a browser would."""
        with self.saying():
            self.panel.ask(prompt, picture)

    def query(self, row: int) -> None:
        """Open a row of the set's queries: its picture, prompt and label."""
        with self.saying():
            self.panel.query(row)

    def wait(self) -> None:
        """Answer at once what still waits for a timer: after it, ``state`` is that of the last edit."""
        if self.canvas is not None:
            self.canvas.wait()

    def reveal(self) -> None:
        """Scroll the page to the query."""
        self.canvas.reveal()

    def close(self) -> None:
        """Leave the page: every part is closed (what is shared stays) and nothing is called any more."""
        if self.comm is not None:
            self.leave()
            close_parts(self)
            super().close()

    def leave(self) -> None:
        """Let go of what isn't on the page: callbacks, threads, other parts."""

    def _say(self, words, error: bool = True):
        """Words below the picture, an ``error`` or not; None: an error that stands there goes."""
        if self.canvas is not None:
            self.canvas.quiet() if words is None else self.canvas.say(words, error=error)
        elif self.gallery is not None:
            self.gallery.message = one_line(words or "", SENTENCE)

    def _said(self) -> str:
        """What stands below the picture."""
        return self.canvas.message["text"] if self.canvas is not None else "" if self.gallery is None else self.gallery.message


class Explorer(Part):
    """One tab: ``content`` that answers to a query panel (its picture, prompt and label), or stands by itself.

    ``own``: the panel belongs to this explorer alone and is laid out at its left. summary: what is shown, in a line. active:
    while it is False, as for a hidden tab, nothing is computed; what came in between is answered when it is True again.
    shows: what the tab shows, said while it is computed for the first time.
    """

    shows: ClassVar[str] = ""
    summary = traitlets.Unicode()
    active = traitlets.Bool(True)

    def __init__(self, panel, content: list[ipywidgets.Widget], own: bool):
        self.panel, self._own, self._stale = panel, own, False
        self.canvas = panel.canvas if panel is not None else None
        if own:
            left = ipywidgets.VBox([panel], layout=Layout(flex="1 1 320px", min_width="0", max_width="460px"))
            right = ipywidgets.VBox(content, layout=Layout(flex="1000 1 460px", min_width="0"))
            content = [wrapped(left, right, gap="12px 20px")]
        super().__init__(content)
        self.add_class("foir-explorer")
        if panel is not None:
            panel.on_change(self._query_changed)
            panel.canvas.observe(self._canvas_closed, "comm")
        replace_earlier(self)

    @classmethod
    def tab(cls, corpus, panel) -> "Explorer":
        """The explorer as a tab of a page: of a :class:`Corpus`, on the panel of the page."""
        return cls(corpus, panel=panel)

    @classmethod
    def lacks(cls, corpus) -> str:
        """Why it can't be had on this corpus, in a sentence's words, or ""."""
        return ""

    def show(self) -> None:
        """Compute everything, then show it: all or nothing."""
        raise NotImplementedError

    def begin(self, waiting: Callable[[], bool]) -> None:
        """Open what the panel begins with, and show it where that alone hasn't: ``waiting()``; closed again where that can't be."""
        try:
            self.panel.start()
            if waiting():
                self.show()
        except FoirError:
            self.close()
            raise

    def show_with(self, name: str, value) -> None:
        """:meth:`show` with another value of an attribute; where that fails the old one stays."""
        before = getattr(self, name)
        setattr(self, name, value)
        try:
            self.show()
        except FoirError:
            setattr(self, name, before)
            raise

    @property
    def state(self) -> dict:
        """What is shown, as plain values: picture, prompt, label, rows, summary, message (and whether it is an error)."""
        canvas, rows, beside = self.canvas, [], ""
        if self.gallery is not None:
            beside = self.gallery.message
            for row in self.gallery.rows:
                items = {f"{name}s": [item[name] for item in row["items"]] for name in ("key", "frame", "caption")}
                rows.append({name: row[name] for name in ("title", "note", "share", "gain", "empty")} | items)
        message = {"text": beside, "error": bool(beside)} if canvas is None else canvas.message
        return {
            "picture": "" if canvas is None else canvas.label,
            "prompt": None if canvas is None or canvas.asks is None else str(canvas.asks),
            "label": "" if self.panel is None else self.panel.label,
            "rows": rows, "summary": self.summary, "message": message["text"], "error": message["error"],
        }  # fmt: skip

    @traitlets.observe("active")
    def _woken(self, change):
        if self.active and self._stale:
            self.clicked(self._query_changed)

    def leave(self) -> None:
        if self.panel is not None:
            self.panel.on_change(self._query_changed, remove=True)
            self.canvas.unobserve(self._canvas_closed, "comm")
            if self._own:
                self.panel.close()

    def _query_changed(self, panel=None):
        self._stale = True
        if self.active:
            self.show()
            self._stale = False

    def _canvas_closed(self, change):
        if change["new"] is None:
            self.close()
