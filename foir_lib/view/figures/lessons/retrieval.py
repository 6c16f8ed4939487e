"""Small examples of CNN retrieval: regions of a grid, a query that is expanded, a graph of diffusion, what an index trades."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.view.figures import looks, parts
from foir_lib.view.figures.looks import BLUE, GREY, ORANGE, WIDTH, canvas


def region_grid(picture: Image.Image, at: Sequence[tuple[int, int, int]], grid: tuple[int, int], title: str | None = None) -> Figure:
    """R-MAC's square regions, a panel for each side: a dot in the middle of each, the first one drawn, its neighbours dashed.

    ``at``: regions (row, column, side) in cells of a map of ``grid`` (rows, columns). Raises InputError where there is none.
    """
    if not len(at):
        raise InputError("There is no region to draw: give those of regions.grid.")
    sides = sorted({side for _, _, side in at}, reverse=True)
    dx, dy = picture.width / grid[1], picture.height / grid[0]
    wide = min(2.0, WIDTH / len(sides))
    with canvas(wide * parts.tall(picture) + 0.4, wide * len(sides)) as figure:
        for axes, side in zip(figure.subplots(1, len(sides), squeeze=False)[0], sides, strict=True):
            parts.show(axes, picture, alpha=0.7)
            some = [(row, column) for row, column, one in at if one == side]
            first = min(some)
            right = min((p for p in some if p[0] == first[0] and p[1] > first[1]), default=None)
            below = min((p for p in some if p[1] == first[1] and p[0] > first[0]), default=None)
            for (row, column), colour, dash in [(p, BLUE, "--") for p in (right, below) if p] + [(first, ORANGE, "-")]:
                style = {"fill": False, "edgecolor": colour, "linestyle": dash, "linewidth": 1.8, "path_effects": parts.HALO}
                axes.add_patch(Rectangle((column * dx, row * dy), side * dx, side * dy, **style))
            middles = np.array([((column + side / 2) * dx, (row + side / 2) * dy) for row, column in some])
            axes.scatter(*middles.T, s=14, color="white", edgecolors="black", linewidths=0.7, zorder=3)
            axes.set_title(f"{len(some)} of {side} x {side} cells")
        figure.suptitle(title or "")
    return figure


def turned(query: Sequence[float], answers: Sequence, expanded: dict[str, Sequence[float]], title: str | None = None) -> Figure:
    """A query (2,) in the plane, its first answers (m, 2), and where each kind of expansion turns it: name -> (2,), all of length 1."""
    vectors = {"query": query} | {f"answer {i + 1}": v for i, v in enumerate(answers)} | dict(expanded)
    vectors = {name: np.asarray(v, dtype=float) for name, v in vectors.items()}
    if any(v.shape != (2,) for v in vectors.values()):
        raise InputError("Only vectors of two numbers can be drawn in the plane: give the query, answers and expanded queries as such.")
    with canvas(3.2, 4.4) as figure:
        axes = figure.add_subplot(aspect="equal")
        angle = np.linspace(-0.1, np.pi / 2, 100)
        axes.plot(np.cos(angle), np.sin(angle), color=GREY, linewidth=0.8, linestyle=":")
        for name, v in vectors.items():
            colour = BLUE if name == "query" else ORANGE if name in expanded else GREY
            dash = "--" if name in list(expanded)[1:] else "-"
            style = {"arrowstyle": "-|>", "color": colour, "linewidth": 2 if name in expanded else 1.4, "linestyle": dash, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", v, (0, 0), arrowprops=style, zorder=5 if name in expanded else 3)
            axes.annotate(name, 1.03 * v, va="center", color="black" if colour == GREY else colour, fontweight="bold" if name in expanded else None)
        axes.set(xlim=(-0.05, 1.75), ylim=(-0.12, 1.1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        figure.suptitle(title or "")
    return figure


def graph(
    affinity: np.ndarray, values: Sequence[float], names: Sequence[str], pictures: Sequence[Image.Image] | None = None,
    right: Sequence[bool] | None = None, line: bool = False, title: str | None = None,
) -> Figure:  # fmt: skip
    """A graph of few nodes: an edge where ``affinity`` (n, n) isn't 0, the thicker the larger; below each node its value and name.

    Nodes stand on a circle, or on a ``line``; ``values`` (n,) are their colours and the numbers below them. ``pictures``: drawn in
    place of dots, framed by ``right``. Raises InputError for sizes that don't fit.
    """
    affinity, values = np.asarray(affinity, dtype=float), np.asarray(values, dtype=float)
    n = len(values)
    if affinity.shape != (n, n) or len(names) != n or any(some is not None and len(some) != n for some in (pictures, right)) or not n:
        raise InputError(f"An affinity of shape {affinity.shape} needs a value, a name and, where there are any, a picture for each node.")
    angle = np.pi / 2 - 2 * np.pi * np.arange(n) / n
    xy = np.stack([np.arange(n), np.zeros(n)], 1) if line else np.stack([2.6 * np.cos(angle), 1.5 * np.sin(angle)], 1)
    tall, wide = (1.3, 1.3 * n) if line else (4.6, 7.0)
    with canvas(tall + 0.3 * bool(title), min(WIDTH, wide)) as figure:
        axes = figure.add_subplot(aspect="equal")
        for a, b in np.argwhere(np.triu(affinity, 1)):
            strength = affinity[a, b] / affinity.max()
            axes.plot(*xy[[a, b]].T, color=GREY, linewidth=0.6 + 2.4 * strength, zorder=1)
        if pictures is None:
            axes.scatter(*xy.T, c=values, cmap=looks.HEAT, vmin=0, s=330, edgecolors="black", zorder=3)
        for i, ((x, y), picture) in enumerate(zip(xy, pictures or [None] * n)):
            if picture is not None:
                inset = axes.inset_axes((x - 0.42, y - 0.36, 0.84, 0.72), transform=axes.transData)
                parts.show(inset, picture)
                parts.frame(inset, *parts.VERDICTS[None if right is None else bool(right[i])])
            axes.text(x, y - 0.42, f"{names[i]}\n{values[i]:.2f}", ha="center", va="top", zorder=4, path_effects=parts.HALO)
        pad = 0.8
        axes.set(xlim=(xy[:, 0].min() - pad, xy[:, 0].max() + pad), ylim=(xy[:, 1].min() - 1.05, xy[:, 1].max() + 0.5))
        axes.axis("off")
        figure.suptitle(title or "")
    return figure


def tradeoff(table: pd.DataFrame, x: str, y: str, by: str, level: float | None = None, title: str | None = None) -> Figure:
    """Column ``y`` over column ``x`` of a table, a line for each value of ``by``; ``level``: the value of ``y`` without saving anything."""
    missing = [name for name in (x, y, by) if name not in table]
    if missing or not len(table):
        raise InputError(f"The table lacks column {missing[0]!r}." if missing else "The table is empty: there is nothing to draw.")
    with canvas(2.7, 5.6) as figure:
        axes = figure.add_subplot()
        for i, (name, part) in enumerate(table.groupby(by, sort=False)):
            look, part = looks.nth_look(i + 1), part.sort_values(x)
            axes.plot(part[x], part[y], label=str(name), color=look["color"], marker=look["marker"], linestyle=look["linestyle"], markersize=5)
        if level is not None:
            axes.axhline(level, color=GREY, linestyle=":", label="nothing skipped")
        axes.set(xlabel=x, ylabel=y, title=title or "")
        axes.grid(axis="y", linewidth=0.3)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
