"""Plots of table rows: bars, gains by number of objects, scans over h_on. Every function returns a ``Figure``.

``rows`` are those of a table run (:func:`foir_lib.bench.rows.run`): dataset, model, method, metric,
published, ours (percent), and x for figures. A method looks the same in every plot.
"""

import math

import numpy as np
import pandas as pd

from foir_lib.errors import InputError
from foir_lib.view import WIDTH, canvas

_METHODS = ("CBIR", "Mask", "Crop", "FA", "Random heads", "PHS", "PHS (query-db)", "FA+PHS")
_COLOURS = ("#7F7F7F", "#E69F00", "#D55E00", "#56B4E9", "#CC79A7", "#0072B2", "#000000", "#009E73")
_MARKERS = "sv^Dxo*P<>hpX"
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_HATCHES = ("", "///", "\\\\\\", "...", "xxx", "+++", "ooo", "---", "**")


def bars(rows, metric=None, title=None):
    """Grouped bars of a table: a panel per data set, a group per model, a bar per method.

    Black diamonds are the published values, where there are any. ``metric``: the first one by default.
    """
    rows = checked(rows, "dataset", "model", "method", "metric", "ours")
    metric, rows = _one_metric(rows, metric)
    datasets, models, methods = (list(dict.fromkeys(rows[c])) for c in ("dataset", "model", "method"))
    n, step = len(rows) / len(datasets), 0.84 / len(methods)
    across = len(datasets) if n * len(datasets) <= 30 else 1
    down = len(datasets) // across
    with canvas(2.0 * down + 0.6) as figure:
        panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        for axes, dataset in zip(panels, datasets, strict=True):
            for j, (method, style) in enumerate(_styles(methods).items()):
                part = rows[(rows["dataset"] == dataset) & (rows["method"] == method)]
                at = part["model"].map(models.index) + (j - (len(methods) - 1) / 2) * step
                axes.bar(
                    at, part["ours"], step * 0.92, label=method, color=style["color"], hatch=style["hatch"],
                    edgecolor="white" if style["color"] == "#000000" else "black", linewidth=0.5,
                )  # fmt: skip
                top = part["ours"]
                if "published" in part and part["published"].notna().any():
                    diamond = {
                        "marker": "D",
                        "s": 14,
                        "color": "black",
                        "edgecolors": "white",
                        "linewidths": 0.5,
                        "zorder": 3,
                    }
                    axes.scatter(at, part["published"], label="published", **diamond)
                    top = part[["ours", "published"]].max(axis=1) + 1
                for x, y, value in zip(at, top, part["ours"], strict=True) if n * across <= 36 else ():
                    place = {
                        "xytext": (0, 3),
                        "textcoords": "offset points",
                        "ha": "center",
                        "va": "bottom",
                    }
                    axes.annotate(f"{value:.1f}", (x, y), rotation=90, fontsize=6.5, **place)
            axes.set(xticks=range(len(models)), title=dataset)
            axes.set_xticklabels(models, rotation=20 if len(models) > 3 else 0)
            axes.margins(y=0.22)
        finish(figure, panels, across, f"{metric} (%)", "", title)
    return figure


def histogram(rows, title=None):
    """Share of query images by number of objects (PHS Fig. 3): a panel per data set; the last bin is "or more"."""
    rows = checked(rows, "dataset", "x", "ours")
    datasets = list(dict.fromkeys(rows["dataset"]))
    with canvas(2.3) as figure:
        panels = figure.subplots(1, len(datasets), sharey=True, squeeze=False).ravel()
        for axes, dataset in zip(panels, datasets, strict=True):
            part = rows[rows["dataset"] == dataset].sort_values("x")
            last = part["x"].max()
            bar = axes.bar(part["x"], part["ours"], color="#56B4E9", edgecolor="black", linewidth=0.5)
            axes.bar_label(bar, fmt="%.0f", fontsize=7, padding=1)
            axes.set(title=dataset, xticks=part["x"])
            axes.set_xticklabels([f"{x:g}" + ("+" if x == last else "") for x in part["x"]])
            axes.margins(y=0.1)
        finish(figure, panels, len(datasets), "query images (%)", "objects in the query image", title)
    return figure


def relative(rows, over="objects", title=None):
    """Gain over CBIR by number of objects (PHS Figs. 4, 5, A2): a panel per data set, a row of them per model.

    ``over``: "objects" (exactly x, the last one: or more) or "objects or more" (at least x).
    """
    rows = checked(rows, "dataset", "model", "method", "x", "ours")
    rows = rows[rows["method"] != "CBIR"]
    datasets, models = list(dict.fromkeys(rows["dataset"])), list(dict.fromkeys(rows["model"]))
    styles = _styles(dict.fromkeys(rows["method"]))
    with canvas(2.1 * len(models) + 0.5) as figure:
        panels = figure.subplots(len(models), len(datasets), sharex=True, squeeze=False)
        for model, line in zip(models, panels, strict=True):
            for dataset, axes in zip(datasets, line, strict=True):
                part = rows[(rows["model"] == model) & (rows["dataset"] == dataset)]
                for method, style in styles.items():
                    curve(axes, part[part["method"] == method], method, style)
                axes.axhline(0, color="#7F7F7F", linestyle=(0, (2, 2)), linewidth=1.2, label="CBIR", zorder=1)
                axes.set_title(f"{dataset}, {model}")
                axes.grid(axis="y", linewidth=0.3)
        below = (
            "at least this many objects in the query image" if over.endswith("more") else "objects in the query image"
        )
        last = rows["x"].max()
        ticks = np.arange(rows["x"].min(), last + 1)
        plus = "" if over.endswith("more") or last < 10 else "+"
        panels[-1, -1].set_xticks(ticks, [f"{x:g}" + (plus if x == last else "") for x in ticks])
        finish(figure, panels.ravel(), len(datasets), "gain over CBIR (%)", below, title)
    return figure


def scan(rows, metric=None, title=None):
    """Score by number of selected heads (PHS Figs. 8, A1): a panel per data set, a line per model and method.

    The level of CBIR is a dashed line in the model's colour, as long as the model has heads; a ring marks
    the best h_on of each line.
    """
    rows = checked(rows, "dataset", "model", "method", "metric", "x", "ours")
    metric, rows = _one_metric(rows, metric)
    datasets = list(dict.fromkeys(rows["dataset"]))
    lines = rows[rows["x"].notna()]
    models, methods = list(dict.fromkeys(rows["model"])), list(dict.fromkeys(lines["method"]))
    with canvas(2.9, min(WIDTH, 3.0 + 2.75 * len(datasets))) as figure:
        panels = figure.subplots(1, len(datasets), squeeze=False).ravel()
        for axes, dataset in zip(panels, datasets, strict=True):
            here = rows[rows["dataset"] == dataset]
            for i, model in enumerate(models):
                colour = _COLOURS[1:][i % 7] if len(models) > 1 else "#7F7F7F"
                for j, method in enumerate(methods):
                    part = here[(here["model"] == model) & (here["method"] == method) & here["x"].notna()].sort_values(
                        "x"
                    )
                    if not len(part):
                        continue
                    style = (
                        nth_look(i * len(methods) + j) | {"color": colour}
                        if len(models) > 1
                        else _styles(methods)[method]
                    )
                    name = (
                        f"{model}, {method}"
                        if len(models) > 1 and len(methods) > 1
                        else model
                        if len(models) > 1
                        else method
                    )
                    curve(axes, part, name, style)
                    best = part.loc[part["ours"].idxmax()]
                    axes.plot(
                        best["x"],
                        best["ours"],
                        "o",
                        markersize=10,
                        markerfacecolor="none",
                        color="black",
                    )
                for level in here.loc[(here["model"] == model) & (here["method"] == "CBIR"), "ours"]:
                    reach = here.loc[here["model"] == model, "x"].max()  # as far as its heads go: lines meet at h
                    axes.hlines(level, 1, reach, color=colour, linestyle="--", linewidth=1, zorder=1)
            axes.plot(
                [],
                [],
                color="#7F7F7F",
                linestyle="--",
                linewidth=1,
                label="CBIR" + " of each model" * (len(models) > 1),
            )
            axes.set_title(dataset)
            axes.grid(axis="y", linewidth=0.3)
            axes.xaxis.get_major_locator().set_params(integer=True)
        finish(figure, panels, len(datasets), f"{metric} (%)", "selected heads, h_on", title)
    return figure


# --- parts -----------------------------------------------------------------------------------------


def checked(rows, *columns):
    """The rows as a table; InputError when it is empty or a column is missing."""
    rows = pd.DataFrame(rows)
    missing = [c for c in columns if c not in rows]
    if missing or not len(rows):
        raise InputError(f"Rows to plot lack {missing[0]!r}." if missing else "There are no rows to plot.")
    return rows


def _one_metric(rows, metric):
    """The metric (by default the first one) and its rows; InputError when it isn't there."""
    known = list(dict.fromkeys(rows["metric"]))
    if metric and metric not in known:
        raise InputError(f"There are no rows of {metric!r} to plot: choose {' or '.join(known)}.")
    return metric or known[0], rows[rows["metric"] == (metric or known[0])]


def nth_look(i):
    """The i-th of many ways to draw a line or bar: colour, marker, dash and hatch all differ."""
    return {
        "color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)],
        "linestyle": _DASHES[i % len(_DASHES)], "hatch": _HATCHES[i % len(_HATCHES)],
    }  # fmt: skip


def _styles(names):
    """name -> style: the methods of :data:`_METHODS` always look the same, others take what is free."""
    names = list(names)
    free = [i for i in range(len(_METHODS)) if _METHODS[i] not in names]
    free += range(len(_METHODS), len(_METHODS) + len(names))
    return {n: nth_look(_METHODS.index(n) if n in _METHODS else free.pop(0)) for n in names}


def curve(axes, part, name, style):
    """``part``, rows of one line, over x."""
    part = part.sort_values("x")
    look = {key: style[key] for key in ("color", "marker", "linestyle")}
    axes.plot(part["x"], part["ours"], label=name, linewidth=1.5, markersize=4.5, **look)


def finish(figure, panels, across, left, below, title):
    """Axis labels at the rims of ``panels``, ``across`` in a line; one legend for all."""
    entries = {}
    for i, axes in enumerate(panels):
        axes.set_ylabel(left if i % across == 0 else "")
        axes.set_xlabel(below if i + across >= len(panels) else "")
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        order = sorted(entries, key=lambda label: label == "published")
        lines = math.ceil(sum(len(label) + 8 for label in order) / (15 * figure.get_figwidth()))
        ncols = math.ceil(len(order) / lines)
        figure.legend(
            [entries[n] for n in order],
            order,
            loc="outside lower center",
            ncols=ncols,
            frameon=False,
        )
    figure.get_layout_engine().set(h_pad=0.06)
    figure.suptitle(title or "")
