"""Widgets that don't outlive their cell: running a notebook cell again closes the widgets of its earlier run."""

import weakref

import ipywidgets
from ipykernel.kernelbase import Kernel
from ipywidgets import CallbackDispatcher

_widgets = {}  # cell id -> (id of the run's message, weak references to the widgets of that run)


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
    earlier, widgets = _widgets.get(cell, (run, []))
    if earlier != run:
        for old in (reference() for reference in widgets):
            if old is not None:
                old.close()
        widgets = []
    _widgets[cell] = (run, [w for w in widgets if w() is not None] + [weakref.ref(widget)])


def close_parts(widget: ipywidgets.Widget, keep: ipywidgets.Widget | None = None) -> None:
    """Close all parts of a widget: children but for ``keep``, layouts and styles, and callbacks with them."""
    for child in getattr(widget, "children", ()):
        if child is not keep:
            close_parts(child, keep)
            child.close()
            child.unobserve_all()
    for name in ("layout", "style"):
        if isinstance(part := getattr(widget, name, None), ipywidgets.Widget):
            part.close()
