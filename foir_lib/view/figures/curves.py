"""Plots of landmark tables: methods down with ours beside the published, scans over N, K and T. Both return a ``Figure``.

``rows`` are those of :func:`foir_lib.bench.landmark_rows.run`: dataset, model, method, metric, published, ours, and for
Figure 9 x.
"""

import numpy as np

from foir_lib.bench.published import COSTS
from foir_lib.bench.tables.coattention import CHOSEN
from foir_lib.view import BLUE, GREY, ORANGE, canvas
from foir_lib.view.figures import bars

GUEST = "guest"  # the model of rows that somebody else's file gave
LINE = 0.165  # inches of a method
WORDS = {"N": "local features of a picture", "K": "clusters of a picture", "T": "temperature of the softmax"}


def comparison(rows, title=None):
    """A table as bars, methods down in its order: data sets across and metrics down, or the metrics of one set across.

    Ours are blue bars, guests' orange and hatched; a black diamond, and the number in brackets, is the published value, alone
    where only the paper has the system; "n/a" is a score that can't be had.
    """
    rows = bars.checked(rows, "dataset", "model", "method", "metric", "ours")
    rows = rows.assign(published=rows["published"] if "published" in rows else np.nan)
    datasets, metrics = list(dict.fromkeys(rows["dataset"])), list(dict.fromkeys(rows["metric"]))
    several = rows.loc[rows["model"] != GUEST, "model"].nunique() > 1
    keys = list(dict.fromkeys(zip(rows["method"], rows["model"])))
    names = [f"{method}, {model}" if several and model != GUEST else method for method, model in keys]
    across, down = (len(datasets), len(metrics)) if len(datasets) > 1 else (len(metrics), 1)
    with canvas(down * (LINE * len(keys) + 0.55) + 0.6) as figure:
        panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        places = [(d, m) for m in metrics for d in datasets]
        for axes, (dataset, metric) in zip(panels, places, strict=True):
            alike = rows[rows["metric"] == metric]
            part = alike[alike["dataset"] == dataset]
            _bars(axes, part, [keys.index(key) for key in zip(part["method"], part["model"])])
            comma = ",\n" if across > 2 else ", "
            unit = "" if metric in COSTS or "%" in metric else " (%)"
            axes.set(title=f"{dataset}{comma}{metric}{unit}", ylim=(len(keys) - 0.4, -0.6))
            axes.set_yticks(range(len(keys)), names)
            axes.tick_params(axis="y", length=0)
            values = alike[["ours", "published"]]
            room = 1.45 if values.notna().all(axis=1).any() else 1.18  # for the numbers
            axes.set_xlim(0, room * (np.nanmax(values.to_numpy(float), initial=0) or 1))
        bars.finish(figure, panels, across, "", "", title)
    return figure


def _bars(axes, part, at):
    """Bars of one panel at the lines ``at``, with their numbers."""
    at, ours, theirs = np.array(at), part["ours"].to_numpy(float), part["published"].to_numpy(float)
    guest = (part["model"] == GUEST).to_numpy()
    for who, label, look in ((~guest, "ours", {"color": BLUE}), (guest, "guest", {"color": ORANGE, "hatch": "///"})):
        drawn = who & ~np.isnan(ours)
        if drawn.any():
            axes.barh(at[drawn], ours[drawn], 0.78, label=label, edgecolor="black", linewidth=0.4, **look)
    known = ~np.isnan(theirs)
    if known.any():
        diamond = {"marker": "D", "s": 14, "color": "black", "edgecolors": "white", "linewidths": 0.5, "zorder": 3}
        axes.scatter(theirs[known], at[known], label="published", **diamond)
    for y, mine, printed in zip(at, ours, theirs, strict=True):
        told = ["" if np.isnan(mine) else f"{mine:.1f}", "" if np.isnan(printed) else f"({printed:.1f})"]
        place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 6.5}
        axes.annotate(" ".join(filter(None, told)) or "n/a", (np.nanmax([mine, printed, 0]), y), **place)


def scan(rows, title=None):
    """Scores over N, K and T (co-attention Figure 9): a panel for each, a line for each data set, model and metric.

    A dotted line is the paper's choice; guests are left out, they have no such options.
    """
    rows = bars.checked(rows, "dataset", "model", "method", "metric", "x", "ours")
    rows = rows[rows["x"].notna() & rows["ours"].notna()]
    panels = list(dict.fromkeys(rows["method"]))
    kinds = ["dataset", "model", "metric"]
    named = [kind for kind in kinds if kind == "metric" or rows[kind].nunique() > 1]
    with canvas(2.5) as figure:
        found = figure.subplots(1, max(len(panels), 1), sharey=True, squeeze=False).ravel()
        for axes, method in zip(found, panels):
            for i, (key, part) in enumerate(rows[rows["method"] == method].groupby(kinds, sort=False)):
                label = ", ".join(value for kind, value in zip(kinds, key, strict=True) if kind in named)
                bars.curve(axes, part, label, bars.nth_look(i + 1))
            option = method.rpartition(" ")[2]
            axes.axvline(CHOSEN[option], color=GREY, linestyle=":", linewidth=1, label="the paper's choice", zorder=1)
            axes.set_title(f"{option}, {WORDS[option]}")
            axes.grid(axis="y", linewidth=0.3)
        bars.finish(figure, found, len(found), "mAP (%)", "", title)
    return figure
