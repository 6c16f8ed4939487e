"""Widgets that don't outlive their cell: running a notebook cell again closes the widgets of its earlier run; their still pictures stay."""

import base64
import io
from pathlib import Path
from weakref import WeakSet

import anywidget
import ipywidgets
import traitlets
from ipykernel.kernelbase import Kernel
from ipywidgets import CallbackDispatcher
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from foir_lib.errors import FoirError
from foir_lib.text import SENTENCE, markup, one_line

STILL, BYTES, QUALITY = 900, 60_000, (85, 75, 65, 50, 35, 20)  # pixels across and most bytes of a still picture; of its JPEG, best first
_widgets = {}  # cell id -> (id of the run's message, the widgets of that run)


class Listeners(CallbackDispatcher):
    """Callbacks that want to know of a change, each once; a call runs all of them and returns what they raised."""

    def __call__(self, *arguments) -> list[Exception]:
        errors = []
        for callback in list(self.callbacks):
            try:
                callback(*arguments)
            except Exception as error:
                errors.append(error)
        return errors


class Words(ipywidgets.HTML):
    """Words on a page: a str is text, whatever stands in it; only :func:`markup` and templates give HTML."""

    @traitlets.validate("value")
    def _as_text(self, proposal) -> Markup:
        return markup("{}", proposal["value"])

    @property
    def text(self) -> str:
        """What can be read, without markup."""
        return Markup(self.value).striptags()


class Still:
    """A widget whose output holds, beside the live view, a JPEG of what it shows: for a page on the web or in print."""

    def still(self) -> Figure | None:
        """What is shown, as a figure, or None where there is nothing to see."""
        return None

    def alt(self) -> str:
        """The still picture in words."""
        return repr(self)

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data, about = bundle if isinstance(bundle, tuple) else (bundle, {})
        try:
            figure = self.still() if data else None
        except FoirError:  # a picture that is gone: the live view says so
            figure = None
        if figure is not None:
            image = Markup('<img alt="{}" src="data:image/jpeg;base64,{}" width="900" style="height:auto;max-width:100%">')
            content = Markup(base64.b64encode(jpeg(figure)).decode())
            data = data | {"text/html": str(image.format(one_line(self.alt(), SENTENCE), content))}
        return data, about


def jpeg(figure: Figure) -> bytes:
    """A figure as a JPEG of 900 pixels' width and at most 60 kB, or the smallest that can be had."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=STILL / figure.get_figwidth())
    picture = Image.open(drawn).convert("RGB")
    for quality in QUALITY:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if len(file.getvalue()) <= BYTES:
            break
    return file.getvalue()


class Drawn(Still, anywidget.AnyWidget):
    """A widget drawn by our own script: what its browser sends goes to ``receive(content, buffers)``."""

    def __init__(self, **options):
        self._callbacks = Listeners()
        super().__init__(**options)
        self.on_msg(lambda _, content, buffers: self.receive(content, buffers))

    def close(self) -> None:
        """Leave the page and forget the callbacks."""
        self._callbacks = Listeners()
        close_parts(self)
        super().close()


def static(*names: str) -> str:
    """The text of files beside the widgets; a file itself would be watched, and keep every widget alive."""
    return "".join((Path(__file__).parent / "static" / name).read_text("utf-8") for name in names)


def current_run() -> tuple[str | None, str | None]:
    """(cell id, message id) of the notebook cell that is running; (None, None) where there is none."""
    if not Kernel.initialized():
        return None, None
    parent = Kernel.instance().get_parent("shell") or {}
    return (parent.get("metadata") or {}).get("cellId"), (parent.get("header") or {}).get("msg_id")


def replace_earlier(widget: ipywidgets.Widget) -> None:
    """Close the widgets of an earlier run of the present cell; ``widget`` will be closed by the next run.

    Several widgets of one run live side by side. Nothing is kept alive by being known here.
    """
    cell, run = current_run()
    if cell is None:
        return
    earlier, widgets = _widgets.get(cell, (run, WeakSet()))
    if earlier != run:
        for old in list(widgets):
            old.close()
        widgets = WeakSet()
    widgets.add(widget)
    _widgets[cell] = (run, widgets)


def close_parts(widget: ipywidgets.Widget) -> None:
    """Close all parts of a widget: children, layouts and styles, and callbacks with them."""
    for child in getattr(widget, "children", ()):
        close_parts(child)
        child.close()
        child.unobserve_all()
    for name in ("layout", "style"):
        if isinstance(part := getattr(widget, name, None), ipywidgets.Widget):
            part.close()
