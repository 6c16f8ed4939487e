"""The options of retrievers that a person can move: heads kept by PHS, local features, clusters, temperature of co-attention."""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace

import ipywidgets

from foir_lib.methods.head_selection import ROI_STRATEGIES
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.local_features import N_FEATURES
from foir_lib.view.explorers.base import WIDE, wrapped

NAMES = ("h_on", "roi", "n_features", "n_clusters", "temperature")


class Options:
    """A control for each option of :data:`NAMES` that the corpus's model allows, shown while a chosen retriever has it.

    ``answers_to(control, work)`` binds a control to ``work()``, see :class:`Part`.
    """

    def __init__(self, corpus, retrievers: Iterable[Retriever], answers_to: Callable, work: Callable):
        model, n = corpus.model, corpus.setting("n_features", N_FEATURES)
        slider = {"continuous_update": False, "style": WIDE["style"], "layout": {"width": "250px"}}
        self.h_on = ipywidgets.IntSlider(
            5, 1, max(5, getattr(model, "n_heads", 5)), description="heads kept (h_on)", **slider,
            tooltip="How many attention heads PHS keeps: those that look most at what you point at",
        )  # fmt: skip
        self.roi = ipywidgets.Dropdown(
            description="ROI attention", options=ROI_STRATEGIES, **WIDE,
            tooltip="How a head's attention inside the prompt is added up",
        )  # fmt: skip
        self.n_features = ipywidgets.IntSlider(n, 1, n, description="local features (N)", **slider)
        self.n_clusters = ipywidgets.IntSlider(10, 1, min(30, n), description="clusters (K)", **slider)
        self.temperature = ipywidgets.FloatSlider(
            10.0, min=0, max=100, step=1, description="temperature (T)", readout_format=".0f", **slider
        )
        if hasattr(model, "n_heads"):
            self.h_on.max = model.n_heads
        self.moved = {}  # option -> the value that was chosen for it
        self.box = wrapped(*(getattr(self, name) for name in NAMES))
        self.settle(retrievers)
        for name in NAMES:
            answers_to(getattr(self, name), lambda name=name: work(name, getattr(self, name).value))

    def settle(self, retrievers: Iterable[Retriever]) -> None:
        """Show the options that ``retrievers`` have, with their values."""
        for name in NAMES:
            control = getattr(self, name)
            values = [getattr(retriever, name) for retriever in retrievers if has(retriever, name)]
            control.layout.display = None if values else "none"
            if values and values[0] is not None:
                control.value = values[0]


def has(retriever: Retriever, name: str) -> bool:
    """Whether an option is a field of the retriever."""
    return name in {field.name for field in fields(retriever)}


def with_options(retriever: Retriever, options: dict) -> Retriever:
    """The retriever with those of ``options`` that it has."""
    return replace(retriever, **{name: value for name, value in options.items() if has(retriever, name)})


def plain(retriever: Retriever) -> Retriever:
    """The retriever with the defaults of all that a person can move: what a button stands for."""
    return with_options(retriever, {f.name: f.default for f in fields(retriever) if f.name in NAMES})
