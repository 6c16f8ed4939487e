"""Sizes, colours and styles of all figures, and what plots of table rows share.

Colours are Okabe-Ito's, told apart by colour-blind eyes too, and a red; a mark, a hatch or a dash always says the same as
the colour. A figure is closed when it is returned: a notebook shows it once, as the value of its cell.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from foir_lib.bench.metrics.intervals import comparable
from foir_lib.errors import InputError, unknown
from foir_lib.text import LONGEST, one_line

WIDTH = 8.5  # inches, the width of a notebook's output
DPI = 90
BLUE, GREEN, RED, ORANGE, GREY = "#0072B2", "#009E73", "#C1121F", "#E69F00", "#7F7F7F"
STYLE = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 8, "figure.titlesize": 9,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False,
    "hatch.linewidth": 0.6, "figure.facecolor": "white", "axes.facecolor": "white",
    "text.parse_math": False, "text.usetex": False,  # $ in a label is a letter
}  # fmt: skip
NAMES = ("dataset", "model", "method", "metric")  # columns of rows
METHODS = ("CBIR", "Mask", "Crop", "FA", "Random heads", "PHS", "PHS (query-db)", "FA+PHS")
COLOURS = ("#7F7F7F", "#E69F00", "#D55E00", "#56B4E9", "#CC79A7", "#0072B2", "#000000", "#009E73")
MARKERS = "sv^Dxo*P<>hpX"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
HATCHES = ("", "///", "\\\\\\", "...", "xxx", "+++", "ooo", "---", "**")
HEAT, COVER = "magma", 0.75  # colours of heat maps, and how much of them covers the grey picture
INTERVAL = "95 % interval of the difference"
GAIN = "95 % interval of the gain"
LINES = 3  # of one text
GUEST = "guest"  # the model of rows that somebody else's file gave


@contextmanager
def canvas(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A new figure of ``width`` x ``height`` inches in the workbook's style, closed at the end.

    Whatever text is on it then is drawn as it is, in at most :data:`LINES` lines that fit on a page.
    """
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(width, height), dpi=DPI, layout="constrained")
        try:
            yield figure
            for one in figure.findobj(Text):
                one.set_text(_readable(one.get_text(), LONGEST if one.axes is None else 80))
            figure.draw_without_rendering()  # while the style holds
        finally:
            plt.close(figure)


def _readable(text, longest):
    """Text without what can't be drawn, in few lines of at most so many characters."""
    return "\n".join(one_line(line, longest) for line in text.split("\n", LINES - 1))


def entry(name: str) -> str:
    """A name in a legend, which would leave out one with an underscore in front."""
    return f" {name}" if name.startswith("_") else name


def nth_look(i: int) -> dict:
    """The i-th of many ways to draw a line or bar: colour, marker, dash and hatch all differ."""
    return {
        "color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)],
        "linestyle": DASHES[i % len(DASHES)], "hatch": HATCHES[i % len(HATCHES)],
    }  # fmt: skip


def looks_of(names: Iterable[str]) -> dict[str, dict]:
    """name -> look: the methods of :data:`METHODS` always look the same, others take what is free."""
    names = list(names)
    free = [i for i in range(len(METHODS)) if METHODS[i] not in names]
    free += range(len(METHODS), len(METHODS) + len(names))
    return {n: nth_look(METHODS.index(n) if n in METHODS else free.pop(0)) for n in names}


def checked(rows, *columns: str, metric: str | None = None) -> pd.DataFrame:
    """The rows as a table, those of one ``metric`` where it is named. Raises InputError where rows or a column are missing.

    low and high, the interval of the difference to the first method (which has none itself), become ends on the scale of ``ours``.
    """
    rows = pd.DataFrame(rows)
    missing = [c for c in columns if c not in rows]
    if missing or not len(rows):
        raise InputError(f"Rows to plot lack {missing[0]!r}." if missing else "There are no rows to plot.")
    if metric is not None and metric not in set(rows["metric"]):
        raise unknown("metric in these rows", metric, dict.fromkeys(rows["metric"]))
    rows = rows if metric is None else rows[rows["metric"] == metric]
    rows = rows.assign(**{name: rows[name].map(one_line) for name in NAMES if name in rows})
    if "low" not in rows:
        return rows
    first = rows["ours"].where(rows["low"].isna()).groupby(comparable(rows)).transform("first")
    first = first.mask(rows["metric"].str.contains("relative to"), 0)  # the score itself is a difference
    return rows.assign(low=first + rows["low"], high=first + rows["high"])


def finish(figure: Figure, panels, across: int, left: str, below: str | None, title: str | None) -> None:
    """Axis labels at the rims of ``panels``, ``across`` in a line (``below`` None: they have theirs); one legend for all."""
    entries = {}
    for i, axes in enumerate(panels):
        axes.set_ylabel(left if i % across == 0 else "")
        if below is not None:
            axes.set_xlabel(below if i + across >= len(panels) else "")
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        order = sorted(entries, key=("published", INTERVAL, GAIN).count)
        lines = math.ceil(sum(len(label) + 8 for label in order) / (15 * figure.get_figwidth()))
        place = {"loc": "outside lower center", "ncols": math.ceil(len(order) / lines), "frameon": False}
        figure.legend([entries[n] for n in order], order, **place)
    figure.get_layout_engine().set(h_pad=0.06)
    figure.suptitle(title or "")
