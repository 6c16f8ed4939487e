"""What pictures agree on: the graph that was walked, the communities of a list's head, the cells in which matches keep their places."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.search.rerank.hypergraph import Adopted
from foir_lib.search.rerank.topological import CELLS, Region, around, cells_of, within
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import BLUE, COLOURS, GREY, ORANGE, canvas

EDGE = {"color": GREY, "linewidth": 0.9, "arrowstyle": "-|>", "mutation_scale": 7, "shrinkA": 1, "shrinkB": 1}
REGION = {"fill": False, "edgecolor": ORANGE, "linewidth": 1.4, "linestyle": "--", "path_effects": parts.HALO}


def walked(pictures: Sequence[Image.Image], reached: Sequence[Adopted], right: Sequence[bool] | None = None, most: int = 6, title: str | None = None) -> Figure:
    """The graph that hypergraph propagation walked: a column for each hop, arrows from the picture through which each was reached.

    ``pictures``: one for each of ``reached``, dashed in it the region that was carried there; ``right``: bool for each, or None. At most
    ``most`` of each hop are shown, those reached first whose parent is shown; the column says how many there are.
    """
    if len(pictures) != len(reached) or not len(reached):
        raise InputError(f"{len(pictures)} pictures and {len(reached)} steps can't be paired: give a picture for each, the seed first.")
    hops, at = sorted({one.hop for one in reached}), {}
    for i, one in enumerate(reached):
        if sum(reached[j].hop == one.hop for j in at.values()) < most and (one.parent in at or not one.hop):
            at[one.row] = i
    rows = max(sum(reached[i].hop == hop for i in at.values()) for hop in hops)
    side = 8.5 / max(len(hops), 4) * 0.62
    with canvas(rows * side * max(map(parts.tall, pictures)) + 0.5, 8.5) as figure:
        cells, panels = figure.add_gridspec(rows, len(hops), wspace=0.35), {}
        for column, hop in enumerate(hops):
            shown = [i for i in at.values() if reached[i].hop == hop]
            for line, i in enumerate(shown):
                axes = panels[reached[i].row] = figure.add_subplot(cells[line, column])
                parts.show(axes, pictures[i])
                x0, y0, x1, y1 = reached[i].region.clip(0, (*pictures[i].size,) * 2).tolist()
                axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **REGION))
                parts.frame(axes, *parts.VERDICTS[None if right is None else bool(right[i])])
            total = sum(one.hop == hop for one in reached)
            name = "seed" if hop == 0 else f"hop {hop}"
            panels[reached[shown[0]].row].set_title(name if total == len(shown) else f"{name}: {len(shown)} of {total}") if shown else None
        for i in at.values():
            if reached[i].parent in panels:
                ends = {"axesA": panels[reached[i].parent], "axesB": panels[reached[i].row]}
                figure.add_artist(ConnectionPatch((1, 0.5), (0, 0.5), "axes fraction", "axes fraction", **ends, **EDGE))
        figure.suptitle(title or "")
    return figure


def communities(
    pictures: Sequence[Image.Image], labels: Sequence[int], right: Sequence[bool] | None = None, columns: int = 10, title: str | None = None
) -> Figure:
    """The head of a list, best first, each picture in the colour, and with the number, of its community; alone ones are grey.

    ``labels``: of :func:`community.communities`; ``right``: bool for each, or None: a mark below.
    """
    labels = np.asarray(labels)
    if len(pictures) != len(labels) or not len(labels):
        raise InputError(f"{len(pictures)} pictures and {len(labels)} communities can't be paired: give one for each.")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    joined = [label for label in np.unique(labels) if (labels == label).sum() > 1]
    colour = {label: COLOURS[1 + i % (len(COLOURS) - 1)] for i, label in enumerate(joined)}
    with canvas(rows * 0.82 * max(map(parts.tall, pictures)) + 0.24 * rows + 0.3) as figure:
        for i, (picture, label) in enumerate(zip(pictures, labels.tolist())):
            axes = figure.add_subplot(rows, columns, i + 1)
            parts.show(axes, picture)
            parts.frame(axes, colour.get(label, GREY), str(label + 1) if label in colour else "")
            mark = "" if right is None else parts.VERDICTS[bool(right[i])][1]
            axes.set_xlabel(f"{i + 1} {mark}", labelpad=1, color=GREY if right is None else parts.VERDICTS[bool(right[i])][0])
        figure.suptitle(title or "")
    return figure


def cells(pictures: tuple[Image.Image, Image.Image], points: tuple, pairs: np.ndarray, region: Region, n: int = CELLS, title: str | None = None) -> Figure:
    """Two pictures with the windows of a :class:`Region`, cut into ``n`` x ``n`` cells by the box of the features in each.

    ``points``: features (m, 2) of each, in pixels; ``pairs`` (k, 2): their matches. Matches with both ends in the windows carry the number
    of their cell: blue dots keep it, orange crosses don't.
    """
    if not len(region.matches):
        raise InputError("There is no region in which matches agree: show another pair of pictures.")
    boxes = [around(p[within(p, window)], 0.0) for p, window in zip(points, region[1:])]
    both = np.flatnonzero(np.all([within(p[pairs[:, side]], region[1 + side]) for side, p in enumerate(points)], axis=0))
    keeps = np.isin(both, region.matches)
    with canvas(3.0 * max(map(parts.tall, pictures)) + 0.4) as figure:
        for side, (axes, picture) in enumerate(zip(figure.subplots(1, 2), pictures)):
            parts.show(axes, picture)
            at, (x0, y0, x1, y1) = points[side][pairs[both, side]], boxes[side].tolist()
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **REGION))
            for cut in np.linspace(0, 1, n + 1)[1:-1]:
                line = {"color": ORANGE, "linewidth": 0.8, "linestyle": "--", "path_effects": parts.HALO}
                axes.plot([x0 + cut * (x1 - x0)] * 2, [y0, y1], **line)
                axes.plot([x0, x1], [y0 + cut * (y1 - y0)] * 2, **line)
            for marker, colour, some in (("o", BLUE, keeps), ("x", ORANGE, ~keeps)):
                edges = {"edgecolors": "white"} if marker == "o" else {}
                axes.scatter(*at[some].T, s=16, marker=marker, color=colour, linewidths=0.6 if marker == "o" else 1.4, zorder=3, **edges)
            for (x, y), cell in zip(at.tolist(), cells_of(at, boxes[side], n).tolist()):
                axes.annotate(str(cell + 1), (x, y), (3, 2), textcoords="offset points", path_effects=parts.HALO, zorder=4)
        figure.suptitle(title or f"{keeps.sum()} of {len(both)} matches keep their cell")
    return figure
