"""Gain of one method over another, query by query: in words and as a Figure.

``table`` is that of a :class:`~foir_lib.view.explorers.failures.FailureExplorer`: gain (from -1 to 1), size (share of
the picture) and n_objects of each query, and the unit (picture, landmark, thing) that it belongs to; without units every query is one.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from foir_lib.bench.metrics.intervals import of_mean
from foir_lib.text import one_line, percent, points
from foir_lib.view.alt import MOST
from foir_lib.view.figures.looks import BLUE, GREY, canvas

INTERVAL = "95 % interval of the mean"


def bins(gains) -> np.ndarray:
    """The bin of each gain, int: 0 for none, k > 0 for gains of more than 10 (k - 1) to 10 k points, k < 0 for losses likewise."""
    gains = np.asarray(gains, dtype=np.float64)
    return (np.sign(gains) * np.ceil(np.abs(gains) * 10 - 1e-9)).astype(int)


def bars(gains) -> list[dict]:
    """The bars of a histogram of gains, from the largest loss to the largest gain, those without a query too."""
    places = bins(gains)
    shown = range(min(0, places.min(initial=0)), max(0, places.max(initial=0)) + 1)
    return [{"at": k, "n": int((places == k).sum()), "label": _ends(k)[-1], "words": f"gain {' to '.join(_ends(k))} points"} for k in shown]


def _ends(k):
    """From where to where a bin goes, the end that is farther from 0 last."""
    return ["0"] if k == 0 else [points((k - np.sign(k)) / 10), points(k / 10)]


def summary(table: pd.DataFrame) -> str:
    """The mean gain of a table, and the shares that gain, lose and tie."""
    if not len(table):
        return "nothing to average."
    signs = np.sign(table["gain"])
    shares = ", ".join(f"{percent((signs == sign).mean())} {word}" for sign, word in ((1, "gain"), (-1, "lose"), (0, "tie")))
    return f"{points(table['gain'].mean())} on average; {shares}."


def gains(table: pd.DataFrame, n_queries: int, a: str, b: str, metric: str) -> Figure:
    """Gain against object size and number of objects: every query, and means with counts and 95 % intervals, by drawing units anew.

    ``n_queries``: how many there are in all; ``a``, ``b``, ``metric``: names of what was compared.
    """
    columns = {"size": "object size (% of the picture)", "n_objects": "objects in the query picture"}
    units, told = table["unit"].to_numpy() if "unit" in table else np.arange(len(table)), []
    with canvas(3.1) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (column, label) in zip(panels, columns.items(), strict=True):
            axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
            axes.set_xlabel(label)
            if len(table):
                values = table[column].to_numpy() * (100.0 if column == "size" else 1)
                told.append(f"{label}: {_plot(axes, values, table['gain'].to_numpy(), units)}")
        if len(table):
            low, high = panels[0].get_ylim()
            panels[0].set_ylim(bottom=low - 0.15 * (high - low))  # room for the counts
            entries = panels[0].get_legend_handles_labels()
            for dots in figure.legend(*entries, loc="outside lower center", ncols=2, frameon=False).legend_handles:
                dots.set_alpha(1)
        panels[0].set_ylabel(f"gain in {metric} (points)")
        words = f"{_mean(table['gain'].to_numpy(), units)} on average" if len(table) else "none passes the filters"
        figure.suptitle(title := f"{a} against {b}, {len(table):,} of {n_queries:,} queries: {words}")
        figure.alt = one_line(". ".join([title, f"Gain in {metric}, in points, with 95 % intervals, over", *told]), MOST) + "."
    return figure


def _mean(gains, units):
    """A mean gain in points and its interval in brackets, which one unit doesn't have."""
    low, high = of_mean(gains, units)
    return points(float(np.mean(gains))) + ("" if np.isnan(low) else f" [{points(low)}, {points(high)}]")


def _plot(axes, x, gains, units):
    """Every query a faint dot; means of the counts in ``x`` (up to 10), or of up to 6 bins of equally many queries, with intervals; in words."""
    bins, few = x, x.dtype.kind in "iu" and len(np.unique(x)) <= 10
    if not few:
        edges = np.quantile(x, np.linspace(0, 1, min(6, max(1, len(x) // 10)) + 1))
        bins = np.digitize(x, np.unique(edges)[1:-1])
    spread = np.random.default_rng(0).uniform(-0.2, 0.2, len(x)) if few else 0
    dots = {"s": 8, "color": BLUE, "alpha": max(0.2, 0.6 - len(x) / 500), "linewidths": 0}
    axes.scatter(x + spread, 100 * gains, label="one query", **dots)
    parts = [(x[rows].mean(), gains[rows], units[rows]) for rows in (bins == one for one in np.unique(bins))]
    axes.plot([at for at, *_ in parts], [100 * some.mean() for _, some, _ in parts], "o-", color="black", markersize=4, label="mean of n queries")
    ends = np.array([(at, *of_mean(*part)) for at, *part in parts])
    ends = ends[~np.isnan(ends[:, 1])]
    if len(ends):
        axes.vlines(ends[:, 0], 100 * ends[:, 1], 100 * ends[:, 2], color="black", linewidth=1.4, label=INTERVAL)
    words = {"xycoords": ("data", "axes fraction"), "rotation": 90, "ha": "center"}
    for at, some, _ in parts:
        axes.annotate(f"n={len(some):,}", (at, 0.02), **words)
    return ", ".join(f"{_mean(*part)} at {at:.3g}" for at, *part in parts)
