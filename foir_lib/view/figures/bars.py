"""Rows of a table as bars, whatever the family: methods down, ours beside the published; shares as a histogram; attention of heads.

``rows`` are those of a table run: dataset, model, method, metric, published, ours (percent, but for costs).
"""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foir_lib.bench.published import COSTS
from foir_lib.bench.runs.tables_text import number
from foir_lib.text import LABEL, one_line
from foir_lib.view.alt import MOST
from foir_lib.view.figures import looks, parts

LINE = 0.2  # inches of a bar
DIAMOND = {"marker": "D", "s": 14, "color": "black", "edgecolors": "white", "linewidths": 0.5, "zorder": 3}


def bars(rows: pd.DataFrame, metric: str | None = None, title: str | None = None) -> Figure:
    """Methods down in the order of the table, a bar for each model; data sets across and metrics down, or metrics of one set across.

    A bar has its method's colour, a variant a hatch; where there are several networks a white mark in the bar says which. A black diamond, and the number in brackets, is the published value, alone where only
    the paper has the system; "n/a" is a score that can't be had. A black line: the interval of the difference to the first
    method, laid on that method's score. ``metric``: only this one. Raises InputError for one that isn't there.
    """
    rows = looks.checked(rows, "dataset", "model", "method", "metric", "ours", metric=metric)
    datasets, metrics, methods = (list(dict.fromkeys(rows[c])) for c in ("dataset", "metric", "method"))
    keys = sorted(dict.fromkeys(zip(rows["method"], rows["model"])), key=lambda key: methods.index(key[0]))
    models = [model for model in dict.fromkeys(rows["model"]) if model != looks.GUEST]
    grouped = len(keys) > len(methods)
    at = {key: i + 0.5 * grouped * methods.index(key[0]) for i, key in enumerate(keys)}
    across, down = (len(datasets), len(metrics)) if len(datasets) > 1 else (len(metrics), 1)
    crowded = len(datasets) == 1 and across > 2  # the figure's title names the data set, not each panel's
    high = max(at.values())
    lines = 2 if across == 2 and not crowded and max(map(len, datasets)) + max(map(len, metrics)) > 42 else 1
    with looks.canvas(down * (LINE * (high + 1) + 0.42 + 0.13 * lines) + 0.6) as figure:
        panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        places = [(d, m) for m in metrics for d in datasets]
        for axes, (dataset, name) in zip(panels, places, strict=True):
            alike = rows[rows["metric"] == name]
            _panel(axes, alike[alike["dataset"] == dataset], at, models, looks.looks_of(methods))
            unit = "" if name in COSTS or "%" in name else " (%)"
            words = f"{name}{unit}" if crowded else f"{dataset},{' ' if across < 3 else chr(10)}{name}{unit}"
            words = fill(words, 96 // across) if crowded or across == 2 else words
            axes.set(title=words, ylim=(high + 0.6, -0.6))
            axes.set_yticks(*zip(*_ticks(at, len(models)), strict=True))
            axes.tick_params(axis="y", length=0)
            values = alike.reindex(columns=["ours", "published", "high"])
            room = 1.45 if values[["ours", "published"]].notna().all(axis=1).any() else 1.18  # for the numbers
            axes.set_xlim(0, room * (np.nanmax(values.to_numpy(float), initial=0) or 1))
        looks.finish(figure, panels, across, "", "", "\n".join(filter(None, (title, datasets[0]))) if crowded else title)
        figure.alt = _words(rows, title)
    return figure


def _words(rows: pd.DataFrame, title: str | None) -> str:
    """The bars in words: title, and for each data set, metric and network its methods with their scores, and in brackets the black lines."""
    parts = [
        f"{', '.join(filter(None, key))}: " + ", ".join(f"{one.method} {number(one.ours) or 'n/a'}{_line(one)}" for one in part.itertuples())
        for key, part in rows.groupby(["dataset", "metric", "model"], sort=False)
    ]
    return one_line(f"{title or 'Bars'}. {'. '.join(parts)}.", MOST)


def _line(one) -> str:
    """The ends of a bar's interval, or ""."""
    low, high = getattr(one, "low", np.nan), getattr(one, "high", np.nan)
    return "" if np.isnan(low) or np.isnan(high) else f" [{number(low)}, {number(high)}]"


def _ticks(at: dict, n_models: int) -> list[tuple[float, str]]:
    """Where the name of each method stands; with its model where there are several and the method has one."""
    ticks = []
    for method in dict.fromkeys(name for name, _ in at):
        bars = {model: y for (name, model), y in at.items() if name == method}
        alone = n_models > 1 and len(bars) == 1 and looks.GUEST not in bars
        ticks.append((float(np.mean(list(bars.values()))), one_line(f"{method}, {min(bars)}" if alone else method, LABEL)))
    return ticks


def _panel(axes: Axes, part: pd.DataFrame, at: dict, models: list[str], styles: dict) -> None:
    """Bars of one panel, with their numbers."""
    ours, published, low, high = part.reindex(columns=["ours", "published", "low", "high"]).to_numpy(float).T
    places = np.array([at[key] for key in zip(part["method"], part["model"])])
    if (drawn := ~np.isnan(ours)).any():
        look = [styles[method] for method in part["method"][drawn]]
        style = {"color": [one["color"] for one in look], "hatch": [one["hatch"] or None for one in look], "edgecolor": "black"}
        axes.barh(places[drawn], ours[drawn], 0.78, linewidth=0.4, **style)
    for i, model in enumerate([*models, looks.GUEST]):
        marked = (part["model"] == model).to_numpy() & drawn
        if marked.any() and (len(models) > 1 or model == looks.GUEST):
            mark = {"marker": looks.nth_mark(i)["marker"], "s": 22, "color": "white", "edgecolors": "black", "linewidths": 0.6, "zorder": 3}
            axes.scatter(np.full(marked.sum(), 0.02), places[marked], label=looks.entry(model), transform=axes.get_yaxis_transform(), **mark)
    if (known := ~np.isnan(high)).any():
        axes.hlines(places[known], low[known], high[known], color="black", linewidth=1.4, label=looks.INTERVAL, path_effects=parts.HALO)
    if (known := ~np.isnan(published)).any():
        axes.scatter(published[known], places[known], label="published", **DIAMOND)
    for y, mine, printed, end in zip(places, ours, published, high, strict=True):
        words = [number(mine), f"({number(printed)})" if number(printed) else ""]
        place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(" ".join(filter(None, words)) or "n/a", (np.nanmax([mine, printed, end, 0]), y), **place)


def histogram(rows: pd.DataFrame, title: str | None = None) -> Figure:
    """Share of query images by number of objects (PHS Fig. 3): a panel per data set; the last bin is "or more"."""
    rows = looks.checked(rows, "dataset", "x", "ours")
    datasets = list(dict.fromkeys(rows["dataset"]))
    with looks.canvas(2.3) as figure:
        panels = figure.subplots(1, len(datasets), sharey=True, squeeze=False).ravel()
        for axes, dataset in zip(panels, datasets, strict=True):
            part = rows[rows["dataset"] == dataset].sort_values("x")
            last = part["x"].max()
            bar = axes.bar(part["x"], part["ours"], color=looks.SKY, edgecolor="black", linewidth=0.5)
            axes.bar_label(bar, fmt="%.0f", padding=1)
            axes.set(title=dataset, xticks=part["x"])
            axes.set_xticklabels([f"{x:g}" + ("+" if x == last else "") for x in part["x"]])
            axes.margins(y=0.1)
        looks.finish(figure, panels, len(datasets), "query images (%)", "objects in the query image", title)
    return figure


def roi_bars(roi_attention, heads=None, title: str | None = None) -> Figure:
    """ROI attention of every head, ``roi_attention`` (h,), as bars; the chosen ``heads`` orange and hatched."""
    values = 100 * parts.checked(roi_attention, 1)
    heads = np.zeros(len(values), bool) if heads is None else parts.checked(heads, 1).astype(bool)
    with looks.canvas(2.1, min(looks.WIDTH, 1.5 + 0.4 * len(values))) as figure:
        axes = figure.add_subplot()
        for chosen, style in ((False, {"color": "#C8C8C8"}), (True, {"color": looks.ORANGE, "hatch": "///"})):
            at = np.flatnonzero(heads == chosen)
            if len(at):
                name = ("chosen" if chosen else "not chosen") if heads.any() else None
                bars = axes.bar(at, values[at], edgecolor="black", linewidth=0.5, label=name, **style)
                axes.bar_label(bars, fmt="%.0f", padding=1)
        axes.set(xticks=range(len(values)), xlabel="head", ylabel="attention on the ROI (%)", title=title or "")
        axes.margins(x=0.02, y=0.12)
        if heads.any():
            axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
