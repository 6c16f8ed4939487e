"""The options of retrievers that a person can move: heads kept by PHS, local features, clusters, temperature of co-attention."""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace

from foir_lib.methods.head_selection import ROI_STRATEGIES
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.local_features import N_FEATURES
from foir_lib.view.explorers.base import wrapped

HEADS = "How many attention heads PHS keeps: those that look most at what you point at"
ROI = "How a head's attention inside the prompt is added up"
NAMES = ("h_on", "roi", "n_features", "n_clusters", "temperature")


def controls(corpus) -> dict[str, tuple[str, str, dict]]:
    """Option -> the kind of its control, its description and what else it needs, as the model and the set allow."""
    n, heads = corpus.setting("n_features", N_FEATURES), getattr(corpus.model, "n_heads", 5)
    return {
        "h_on": ("IntSlider", "heads kept (h_on)", {"value": min(5, heads), "min": 1, "max": heads, "tooltip": HEADS}),
        "roi": ("Dropdown", "ROI attention", {"options": ROI_STRATEGIES, "tooltip": ROI}),
        "n_features": ("IntSlider", "local features (N)", {"value": n, "min": 1, "max": n}),
        "n_clusters": ("IntSlider", "clusters (K)", {"value": min(10, n), "min": 1, "max": min(30, n)}),
        "temperature": ("FloatSlider", "temperature (T)", {"value": 10.0, "max": 100, "step": 1, "readout_format": ".0f"}),
    }


class Options:
    """A control for each option of :data:`NAMES`, an attribute of that name, shown while a chosen retriever has it.

    ``control(kind, description, work, ...)`` makes one that answers by ``work()``, see :class:`Part`.
    """

    def __init__(self, corpus, control: Callable, work: Callable):
        self.moved = {}  # option -> the value that was chosen for it
        for name, (kind, description, about) in controls(corpus).items():
            widget = control(kind, description, lambda name=name: work(name, getattr(self, name).value), **about)
            setattr(self, name, widget)
        self.box = wrapped(*(getattr(self, name) for name in NAMES))

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
