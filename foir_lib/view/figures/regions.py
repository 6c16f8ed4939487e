"""Weights of regions over the cells of pictures (regional attention)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import ORANGE, WIDTH, canvas


def regions(
    pictures: Sequence[Image.Image], at: Sequence, attention: Sequence, grids: Sequence, top: int = 3, title: str | None = None
) -> Figure:
    """For each picture the mean attention of the regions over every cell, and the ``top`` regions as boxes, 1 the first.

    ``at``: for each picture its regions (row, col, side) or (row, col, height, width) in cells; ``attention``: for each its weights
    (R,); ``grids``: for each (rows, columns) of its map. All on one scale: 1 is the mean weight of a picture's regions.
    """
    if not len(pictures) == len(at) == len(attention) == len(grids) or not len(pictures):
        raise InputError(f"{len(pictures)} pictures need as many lists of regions, weights and grids, at least one.")
    maps = [over_cells(*each) for each in zip(at, attention, grids, strict=True)]
    side = min(2.2, (WIDTH - 0.8) / len(pictures))
    low, most = min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)
    with canvas(2 * side * max(map(parts.tall, pictures)) + 0.7, len(pictures) * side + 0.9) as figure:
        panels = figure.subplots(2, len(pictures), squeeze=False)
        for column, (picture, (above, axes)) in enumerate(zip(pictures, panels.T, strict=True)):
            parts.show(above, picture)
            image = parts.heat_map(axes, picture, maps[column], most, low)
            weights = parts.checked(attention[column], 1)
            dx, dy = picture.width / grids[column][1], picture.height / grids[column][0]
            for place, i in enumerate(np.argsort(-weights, kind="stable")[:top]):
                row, col, *size = at[column][i]
                line = {"fill": False, "linewidth": 2.2 - 0.5 * min(place, 3), "path_effects": parts.HALO}
                above.add_patch(Rectangle((col * dx, row * dy), size[-1] * dx, size[0] * dy, edgecolor=ORANGE, **line))
                mark = {"color": ORANGE, "weight": "bold", "path_effects": parts.HALO, "va": "top"}
                above.text(col * dx + 3 + 12 * place, row * dy + 3, str(place + 1), **mark)
        parts.colour_bar(figure, image, panels, "weight of the regions on a cell (1: their mean)")
        figure.suptitle(title or "")
    return figure


def over_cells(at: Sequence, weights, grid: tuple[int, int]) -> np.ndarray:
    """Mean weight, relative to the mean of all, of the regions on every cell (rows, columns); 0 where there is none."""
    weights = parts.checked(weights, 1)
    if len(weights) != len(at):
        raise InputError(f"{len(weights)} weights don't fit {len(at)} regions: give one for each.")
    total, number = np.zeros(grid), np.zeros(grid)
    for (row, col, *size), weight in zip(at, weights / weights.mean(), strict=True):
        total[row : row + size[0], col : col + size[-1]] += weight
        number[row : row + size[0], col : col + size[-1]] += 1
    return total / np.maximum(number, 1)
