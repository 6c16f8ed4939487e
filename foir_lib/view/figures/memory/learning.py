"""What a memory learns: accuracy over views, the confidences on which thresholds stand, the matches by which a check decides."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.memory.consistency import enlarged, keypoints
from foir_lib.search.rerank import spatial
from foir_lib.text import percent
from foir_lib.view.figures import looks
from foir_lib.view.figures.matches import matches

BINS = np.linspace(0, 1, 26)  # of a confidence
SHARES = "called known"  # metric of rows that are no curve
AXES = {" new view": "new views of each thing", " view": "views remembered of each thing", "of the stream": "stream that has passed by (%)", "": "interactions a thing"}


def learning(rows: pd.DataFrame, title: str | None = None) -> Figure:
    """Rows of a table of memories: each accuracy over the number in "after k views" or "after k interactions"; beside it what is called known.

    Intervals as in :func:`bars`. Raises InputError where no row has such a number.
    """
    rows = looks.checked(rows, "method", "metric", "ours")
    rows = rows.assign(x=rows["method"].str.extract(r"^after (\d+) ", expand=False).astype(float))
    lines, shares = rows.dropna(subset=["x", "ours"]), rows[rows["metric"].str.startswith(SHARES) & rows["ours"].notna()]
    if not len(lines):
        raise InputError("There is no curve: give rows of methods such as 'after 1 view', of a table that judges a memory.")
    with looks.canvas(2.9) as figure:
        left, *others = figure.subplots(1, 1 + bool(len(shares)), squeeze=False, width_ratios=[3, 2][: 1 + bool(len(shares))]).ravel()
        for i, (metric, part) in enumerate(lines.groupby("metric", sort=False)):
            look = {key: value for key, value in looks.nth_look(i + 1).items() if key != "hatch"}
            left.plot(part["x"], part["ours"], label=looks.entry(metric), markersize=4.5, **look)
            known = part.dropna(subset=["low", "high"]) if "low" in part else part[:0]
            if len(known):
                left.vlines(known["x"], known["low"], known["high"], color=look["color"], alpha=0.5, label=looks.INTERVAL)
        what = next(said for word, said in AXES.items() if lines["method"].str.contains(word).any())
        left.set(xlabel=what, ylabel="right answers, wrong views (%)" if lines["metric"].str.startswith("wrong").any() else "first answers that are right (%)", xticks=sorted(set(lines["x"])))
        left.set_ylim(max(0, 10 * (lines["ours"].min() // 10) - 10), 101)
        for axes in others:
            _shares(axes, shares, lines["metric"].nunique() + 1)
        looks.finish(figure, (left, *others), 1, left.get_ylabel(), None, title)
        for axes in others:
            axes.set_ylabel("")
    return figure


def _shares(axes, rows, first) -> None:
    """A bar for each method and metric of ``rows``, looks from the ``first`` one on."""
    names, n = list(dict.fromkeys(rows["method"])), rows["metric"].nunique()
    for i, (metric, part) in enumerate(rows.groupby("metric", sort=False)):
        look = looks.nth_look(first + i)
        places = [names.index(name) + (i - (n - 1) / 2) * 0.8 / n for name in part["method"]]
        style = {"color": look["color"], "hatch": look["hatch"] or None, "edgecolor": "black", "linewidth": 0.4}
        axes.bar_label(axes.barh(places, part["ours"], 0.75 / n, label=looks.entry(metric), **style), fmt="%.1f", padding=2)
        known = part[["low", "high"]].notna().all(axis=1).to_numpy() if "low" in part else np.zeros(len(part), bool)
        if known.any():
            axes.hlines(np.array(places)[known], part["low"][known], part["high"][known], color="black", linewidth=1.4, label=looks.INTERVAL)
    axes.set(xlabel="called known (%)", xlim=(0, 118), yticks=range(len(names)))
    axes.set_yticklabels(names)
    axes.invert_yaxis()


def confidences(right, new, thresholds, title: str | None = None) -> Figure:
    """Two histograms of confidences, of ``right`` answers (n,) with their view left out, and of ``new`` things (m,), whose own views are left
    out; lines: from where on a thing is known, and below which it is new, of :class:`~foir_lib.memory.control.Thresholds`."""
    right, new = np.asarray(right, float), np.asarray(new, float)
    if not len(right) or not len(new):
        raise InputError(f"{len(right)} right answers and {len(new)} new things can't be compared: give some of both.")
    known, below = thresholds.known, thresholds.new
    with looks.canvas(2.9) as figure:
        panels = figure.subplots(2, 1, sharex=True, sharey=True)
        said = (
            ("right answers, their view left out", right, looks.GREEN, ""),
            ("new things, all their views left out", new, looks.RED, "///"),
        )
        for axes, (name, values, colour, hatch) in zip(panels, said, strict=True):
            weights = np.full(len(values), 100 / len(values))
            axes.hist(
                values, BINS, weights=weights, color=colour, hatch=hatch or None, edgecolor="black", linewidth=0.4
            )
            shares = (values >= known).mean(), ((values >= below) & (values < known)).mean(), (values < below).mean()
            axes.set_title(
                f"{name}: known {percent(shares[0])}, unsure {percent(shares[1])}, new {percent(shares[2])}",
                loc="left",
            )
            axes.axvline(known, color="black", linewidth=1.4, label=f"known from {known:.2f} on")
            axes.axvline(below, color="black", linewidth=1.4, linestyle=":", label=f"new below {below:.2f}")
        panels[0].set_xlim(-0.01, max(1.01, known + 0.01))
        looks.finish(figure, panels, 1, "views (%)", "confidence that the best thing is right", title)
    return figure


def evidence(
    look: Image.Image,
    views: Sequence[Image.Image],
    names: Sequence[str],
    right: Sequence[bool] | None = None,
    title: str | None = None,
) -> Figure:
    """A crop beside a view of each candidate, with the matches that agree on one motion, as the spatial check sees them.

    ``names``: what stands above each view; ``right``: bool for each, or None.
    """
    if len(views) != len(names):
        raise InputError(f"{len(views)} views and {len(names)} names can't be paired: give one for each.")
    own = keypoints(look)
    verified = [spatial.verify(own, keypoints(view)) for view in views]
    return matches(enlarged(look), [enlarged(view) for view in views], verified, right=right, names=names, title=title)
