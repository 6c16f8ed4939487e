"""Widgets that don't outlive their cell: running a notebook cell again closes what its earlier run had made."""

import weakref

import ipywidgets
from ipykernel.kernelbase import Kernel

_made = {}  # cell id -> (id of the run's message, weak references to the widgets of that run)


def _run():
    """(cell id, message id) of the notebook cell that is running; (None, None) where there is none."""
    if not Kernel.initialized():
        return None, None
    parent = Kernel.instance().get_parent("shell") or {}
    return (parent.get("metadata") or {}).get("cellId"), (parent.get("header") or {}).get("msg_id")


def replace_earlier(widget):
    """Close the widgets that an earlier run of the present cell made; ``widget`` will be closed by the next one.

    Several widgets made in one run live side by side. Nothing is kept alive by being known here.
    """
    cell, run = _run()
    if cell is None:
        return
    earlier, widgets = _made.get(cell, (run, []))
    if earlier != run:
        for old in (reference() for reference in widgets):
            if old is not None:
                old.close()
        widgets = []
    _made[cell] = (run, [w for w in widgets if w() is not None] + [weakref.ref(widget)])


def close_parts(widget, keep=None):
    """Close all that a widget is made of: children but for ``keep``, layouts and styles, and callbacks with them."""
    for child in getattr(widget, "children", ()):
        if child is not keep:
            close_parts(child, keep)
            child.close()
            child.unobserve_all()
    for name in ("layout", "style"):
        if isinstance(part := getattr(widget, name, None), ipywidgets.Widget):
            part.close()
