"""Rows of a table as curves: scores over an option of the method, gains by number of objects.

``rows`` are those of a table run: dataset, model, method, metric, ours (percent), and x.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foir_lib.view.figures import looks

WORDS = {
    "h_on": "selected heads", "N": "local features of a picture", "K": "clusters of a picture", "T": "temperature of the softmax",
}  # fmt: skip
DATA = {"permille": "size of a thing in ‰ of the picture", "n": "things on a picture", "hidden": "hidden of a thing in %", "side": "pixels of a picture"}
CHOSEN = {"N": 500, "K": 10, "T": 10}  # by the paper of co-attention, section 5.1
OVER = " over "  # "GeM+CA over N": the method, and the option that x holds; without it x is h_on


def curve(axes: Axes, part: pd.DataFrame, name: str, look: dict, best: bool = False, interval: str = looks.INTERVAL) -> None:
    """``part``, rows of one line, over x, with their intervals, which ``interval`` names; ``best``: a ring around the highest.

    Where several rows share an x, each of its own random draw, the line is their mean, in a band from the least to the most of them.
    """
    look = {key: look[key] for key in ("color", "marker", "linestyle")}
    if part["x"].duplicated().any():
        draws, part = part.groupby("x")["ours"], part.groupby("x", as_index=False)["ours"].mean()
        band = f"least to most of {draws.size().max()} random draws"
        axes.fill_between(part["x"], draws.min(), draws.max(), color=look["color"], alpha=0.25, linewidth=0, label=band, gid=looks.entry(name))
    part = part.sort_values("x").reset_index(drop=True)
    axes.plot(part["x"], part["ours"], label=looks.entry(name), linewidth=1.5, markersize=4.5, **look)
    known = part.dropna(subset=["low", "high"]) if "low" in part else part[:0]
    if len(known):
        axes.vlines(known["x"], known["low"], known["high"], color=look["color"], alpha=0.5, label=interval, gid=looks.entry(name))
    if best:
        top = part.loc[part["ours"].idxmax()]
        axes.plot(top["x"], top["ours"], "o", markersize=10, markerfacecolor="none", color="black")


def relative(rows: pd.DataFrame, over: str = "objects", title: str | None = None) -> Figure:
    """Gain over CBIR by number of objects (PHS Figs. 4, 5, A2): a panel per data set, a row of them per model.

    ``over``: "objects" (exactly x, the last one: or more) or "objects or more" (at least x).
    """
    rows = looks.checked(rows, "dataset", "model", "method", "x", "ours")
    rows = rows[rows["method"] != "CBIR"]
    datasets, models = list(dict.fromkeys(rows["dataset"])), list(dict.fromkeys(rows["model"]))
    styles, least = looks.looks_of(dict.fromkeys(rows["method"])), over.endswith("more")
    with looks.canvas((2.1 if len(datasets) < 3 else 2.3) * len(models) + 0.5) as figure:
        panels = figure.subplots(len(models), len(datasets), sharex=True, squeeze=False)
        for model, line in zip(models, panels, strict=True):
            for dataset, axes in zip(datasets, line, strict=True):
                part = rows[(rows["model"] == model) & (rows["dataset"] == dataset)]
                for method, look in styles.items():
                    curve(axes, part[part["method"] == method], method, look, interval=looks.GAIN)
                axes.axhline(0, color=looks.GREY, linestyle=(0, (2, 2)), linewidth=1.2, label="CBIR", zorder=1)
                axes.set_title(f"{dataset}, {model}" if len(datasets) < 3 else f"{dataset},\n{model}")
                axes.grid(axis="y", linewidth=0.3)
        below = f"{'at least this many ' if least else ''}objects in the query image"
        last = rows["x"].max()
        ticks = np.arange(rows["x"].min(), last + 1)
        plus = "" if least or last < 10 else "+"
        panels[-1, -1].set_xticks(ticks, [f"{x:g}" + (plus if x == last else "") for x in ticks])
        looks.finish(figure, panels.ravel(), len(datasets), "gain over CBIR (%)", below, title)
    return figure


def scan(rows: pd.DataFrame, metric: str | None = None, title: str | None = None) -> Figure:
    """Scores over an option (PHS Figures 8, A1; co-attention Figure 9): a panel per data set and option, lines for what varies.

    A line has its method's colour; networks, metrics and variants differ by marker and dash. A ring marks the best of each line over an option of
    methods, a dotted line the paper's choice. Rows without x are levels, dashed in their method's colour, with their network's
    marker at the end, as long as the network's lines; guests, which have no such options, are left out. ``metric``: only this one.
    """
    rows = looks.checked(rows, "dataset", "model", "method", "metric", "x", "ours", metric=metric)
    rows = rows[rows["ours"].notna() & (rows["model"] != looks.GUEST)]
    split = rows["method"].str.partition(OVER)
    rows = rows.assign(method=split[0], option=split[2].where(split[2] != "", "h_on"))
    lines, levels = rows[rows["x"].notna()], rows[rows["x"].isna()]
    datasets, options = (list(dict.fromkeys(lines[c])) for c in ("dataset", "option"))
    metrics = list(dict.fromkeys(rows["metric"]))
    kinds = ["model", "method", "metric"]
    varying = [kind for kind in kinds if lines[kind].nunique() > 1] or ["method"]
    names = list(dict.fromkeys(zip(*(lines[kind] for kind in kinds))))
    marks = {key[0]: looks.nth_mark(i)["marker"] for i, key in reversed(list(enumerate(names)))} if lines["model"].nunique() > 1 else {}
    thin = {"linewidth": 1.2, "zorder": 1}
    down, across = (len(datasets), len(options)) if len(options) > 1 else (1, max(1, len(datasets)))
    with looks.canvas(2.4 * down + 0.5, min(looks.WIDTH, 3.0 + 2.75 * across)) as figure:
        panels = figure.subplots(down, across, sharey=len(options) > 1, squeeze=False).ravel()
        for axes, (dataset, option) in zip(panels, [(d, o) for d in datasets for o in options]):
            here = lines[(lines["dataset"] == dataset) & (lines["option"] == option)]
            for key, part in here.groupby(kinds, sort=False):
                look = looks.nth_mark(names.index(key)) | {"color": looks.colour_of(key[1])}
                curve(axes, part, ", ".join(v for k, v in zip(kinds, key, strict=True) if k in varying), look, option not in DATA)
            for level in levels[levels["dataset"] == dataset].itertuples():
                reach, colour = here.loc[here["model"] == level.model, "x"].max(), looks.colour_of(level.method)  # h_on: as far as the model has heads
                axes.hlines(level.ours, 1, reach, color=colour, linestyle="--", **thin)
                axes.plot(reach, level.ours, marks.get(level.model, ""), color=colour, markersize=4.5)
            for method in dict.fromkeys(levels["method"]):
                axes.plot([], [], color=looks.colour_of(method), linestyle="--", label=looks.entry(method) + " of each model" * bool(marks), **thin)
            if option in CHOSEN:
                axes.axvline(CHOSEN[option], label="the paper's choice", color=looks.GREY, linestyle=":", **thin)
            axes.set(title=dataset, xlabel=DATA.get(option) or f"{WORDS.get(option, 'value')}, {option}")
            axes.grid(axis="y", linewidth=0.3)
            axes.xaxis.get_major_locator().set_params(integer=True)
        looks.finish(figure, panels, across, f"{metrics[0]} (%)" if len(metrics) == 1 else "score (%)", None, title)
    return figure
