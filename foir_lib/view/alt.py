"""What a figure shows, in words, for those who can't see it: read off the figure itself, and shown with it on every page.

In a notebook they stand where IPython's own ``Image(alt=...)`` puts them, in the metadata of the PNG, and as its plain text.
"""

import base64
import io

import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from foir_lib.text import one_line

MOST = 1500  # characters


class Described(Figure):
    """A figure with ``alt``, what it shows in words."""

    alt = ""

    def bundle(self) -> tuple[dict, dict]:
        """The figure as a notebook keeps it: picture and words, and the metadata of the picture: PNG, or JPEG where the page chose that
        by ``set_matplotlib_formats``."""
        if data := self._jpeg():
            return {"image/jpeg": data, "text/plain": self.alt}, {"image/jpeg": {"alt": self.alt}}
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight", metadata={"Software": None})
        data = base64.b64encode(picture.getvalue()).decode()
        return {"image/png": data, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}

    def _jpeg(self) -> str | None:
        """The figure by the notebook's own JPEG formatter; None where it has none."""
        try:
            draw = get_ipython().display_formatter.formatters["image/jpeg"].lookup_by_type(Figure)
        except (AttributeError, KeyError):
            return None
        return draw(self)

    def _ipython_display_(self):
        data, metadata = self.bundle()
        display(data, metadata=metadata, raw=True)


def described(figure: Figure) -> str:
    """The title, and of each panel its own title, its pictures, bars and lines with their numbers, its axes."""
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    title, below = figure.get_suptitle(), figure.get_supxlabel()
    pictures = [_name(axes) for axes in panels if axes.images]
    words = [title, _counted(pictures), *(_plot(axes) for axes in panels if not axes.images), below]
    return one_line(". ".join(" ".join(part.split()).rstrip(".") for part in words if part.strip()) or "Figure", MOST) + "."


def _name(axes: Axes) -> str:
    return " ".join(filter(None, (axes.get_title(loc="left"), axes.get_title(), axes.get_xlabel(), *(text.get_text() for text in axes.texts if len(text.get_text()) < 3))))


def _counted(names: list[str]) -> str:
    if not names:
        return ""
    told = "; ".join(name for name in names if name)
    return f"{len(names)} picture{'s' * (len(names) > 1)}" + (f": {told}" if told else "")


def _plot(axes: Axes) -> str:
    """A panel without pictures: title, axes, and what is drawn with its numbers."""
    parts = [text for one in axes.containers if isinstance(one, BarContainer) for text in _bars(axes, one)]
    for line in axes.lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        if len(x) > 1 and np.isfinite(y).any() and not line.get_label().startswith("_") and len(set(x.tolist())) > 1:
            top = int(np.nanargmax(y))
            parts.append(f"{line.get_label().strip()}: {y[0]:.3g} at {x[0]:g} to {y[-1]:.3g} at {x[-1]:g}, highest {y[top]:.3g} at {x[top]:g}")
    for some in axes.collections:
        if isinstance(some, LineCollection) and some.get_gid() and "95 %" in str(some.get_label()):
            ends = [(at[0, 0], *sorted(at[:, 1])) for at in some.get_segments() if len(at)]
            parts.append(f"{some.get_gid()}, {some.get_label()}: " + ", ".join(f"{low:.3g} to {high:.3g} at {x:g}" for x, low, high in ends))
        elif isinstance(some, PolyCollection) and some.get_gid():
            parts.append(f"{some.get_gid()}: {some.get_label()}")
    over = f"{axes.get_ylabel()} over {axes.get_xlabel()}" if axes.get_ylabel() and axes.get_xlabel() else axes.get_ylabel() or axes.get_xlabel()
    return ": ".join(filter(None, (", ".join(filter(None, (axes.get_title(), over))), "; ".join(parts))))


def _bars(axes: Axes, bars: BarContainer):
    """Each bar with the tick that it stands at."""
    down = bars.orientation == "horizontal"
    axis = axes.yaxis if down else axes.xaxis
    ticks = [(place, label.get_text()) for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels()) if label.get_text()]
    for bar in bars:
        at = bar.get_y() + bar.get_height() / 2 if down else bar.get_x() + bar.get_width() / 2
        name = min(ticks, key=lambda tick: abs(tick[0] - at))[1] if ticks else f"{at:g}"
        yield f"{name} {bar.get_width() if down else bar.get_height():.3g}"
