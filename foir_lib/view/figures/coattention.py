"""Figures of landmark retrieval: co-attention maps, local features, regions, matches. Every function returns a ``Figure``."""

import numpy as np
from matplotlib.patches import Circle, ConnectionPatch, Rectangle

from foir_lib.errors import InputError
from foir_lib.view import BLUE, GREEN, GREY, ORANGE, RED, WIDTH, canvas
from foir_lib.view.figures import parts

COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#F0E442", "#7F7F7F", "#000000", "#8C510A")


def coattention_maps(picture, prompts, candidates, maps, titles=None, title=None, caption=None):
    """The query with its prompt, then every candidate under each map (co-attention Figures 7 and 8).

    One band of rows for each prompt; ``picture``: PIL, or one for each prompt. ``candidates``: for each prompt a list of PIL pictures, ``titles`` likewise;
    ``maps``: name -> for each prompt a list of maps (rows, columns) over those candidates, or None to show the bare picture.
    All maps of a band have one scale.
    """
    prompts = list(prompts)
    asking = list(picture) if isinstance(picture, (list, tuple)) else [picture] * len(prompts)
    if not prompts or any(len(m) != len(prompts) for m in (asking, candidates, *filter(None, maps.values()))):
        raise InputError(f"{len(prompts)} prompts need as many lists of candidates and of maps, at least one.")
    wide, lines = max(len(row) for row in candidates), len(maps)
    side = min(1.2, (WIDTH - 1.0) / (wide + 1))
    tall = max(parts.tall(p) for row in candidates for p in row)
    with canvas(
        len(prompts) * lines * (side * tall + 0.1) + 0.5 + 0.4 * bool(caption), side * (wide + 1) + 1.2
    ) as figure:
        cells = figure.add_gridspec(len(prompts) * lines, wide + 1)
        for band, prompt in enumerate(prompts):
            axes = figure.add_subplot(cells[band * lines : (band + 1) * lines, 0])
            parts.show(axes, asking[band])
            if prompt is not None:
                parts.draw_prompt(axes, prompt, asking[band].size)
            parts.frame(axes, BLUE, "")
            axes.set_title("query", color=BLUE, fontweight="bold")
            drawn = np.concatenate(
                [np.ravel(m) for rows in filter(None, maps.values()) for m in rows[band]] or [np.zeros(1)]
            )
            top, panels, image = float(np.quantile(drawn, 0.995)) or 1.0, [], None
            for line, (name, rows) in enumerate(maps.items()):
                for column, candidate in enumerate(candidates[band]):
                    axes = figure.add_subplot(cells[band * lines + line, 1 + column])
                    panels.append(axes)
                    if rows is None:
                        parts.show(axes, candidate, parts.THUMB // 2)
                    else:
                        image = heat(axes, candidate, rows[band][column], top)
                    if column == 0:
                        axes.set_ylabel(name, fontweight="bold")
                    if line == 0 and titles is not None:
                        axes.set_title(titles[band][column], fontsize=7.5)
            if image is not None:
                extend = "max" if drawn.max() > top * (1 + 1e-9) else "neither"
                bar = figure.colorbar(
                    image, ax=panels, extend=extend, fraction=0.03, pad=0.01, aspect=30, ticks=[0, top]
                )
                bar.ax.set_yticklabels(["0", "most"])
                bar.set_label("attention accumulated on a pixel")
        parts.words(figure, title, caption)
    return figure


def heat(axes, picture, values, top, low=0.0):
    """A map (rows, columns) over the picture in grey, from ``low`` to ``top``."""
    values = parts.checked(values, 2, name="map")
    parts.show(axes, picture.convert("L"), parts.THUMB // 2)
    extent = (0, picture.width, picture.height, 0)
    style = {"cmap": "magma", "alpha": 0.75, "interpolation": "nearest"}
    image = axes.imshow(values, vmin=low, vmax=top, extent=extent, **style)
    axes.set_aspect("equal")
    return image


def local_features(picture, found, labels=None, prompt=None, title=None):
    """Selected local features of a picture as circles: by scale and norm, and, with ``labels`` (N,), by cluster (Figure 6).

    ``found``: their :class:`~foir_lib.models.cnn.Locals`. A circle is as large as its cell in the picture, the thicker the larger
    the norm. Clusters have a colour and, at their largest norm, a number.
    """
    if labels is not None and len(labels) != len(found):
        raise InputError(f"{len(labels)} labels don't fit {len(found)} local features: give one for each.")
    scales = sorted(set(found.scale.tolist()))
    panels = [("by scale and norm", [scales.index(s) for s in found.scale.tolist()])]
    panels += [] if labels is None else [("by cluster", [int(k) for k in labels])]
    width = 0.3 + 2.7 * len(panels)
    with canvas(2.5 * parts.tall(picture) + 0.5, width) as figure:
        for column, (name, groups) in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), 1 + column)
            parts.show(axes, picture, alpha=0.75)
            largest, told = float(found.norm.max()) or 1.0, set()
            for (x, y), (w, h), norm, group in zip(
                found.positions.tolist(), found.cell.tolist(), found.norm.tolist(), groups, strict=True
            ):
                colour = COLOURS[group % len(COLOURS)]
                ring = {"fill": False, "edgecolor": colour, "linewidth": 0.4 + 1.4 * norm / largest}
                axes.add_patch(Circle((x, y), min(w, h) / 2, **ring))
                if column and group not in told:
                    told.add(group)
                    axes.text(
                        x, y, str(group), color=colour, weight="bold", ha="center", va="center", path_effects=parts.HALO
                    )
            if column == 0:
                for i, scale in enumerate(scales):
                    axes.plot([], [], "o", mfc="none", mec=COLOURS[i % len(COLOURS)], label=f"scale {scale:.2g}")
                axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3)
            if prompt is not None:
                parts.draw_prompt(axes, prompt, picture.size)
            axes.set_title(f"{len(found)} local features {name}")
        figure.suptitle(title or "")
    return figure


def regions(pictures, at, attention, grids, top=3, titles=None, title=None):
    """For each picture the mean attention of the regions over every cell, and the ``top`` regions as boxes, 1 the first.

    ``at``: for each picture its regions (row, col, side) or (row, col, height, width) in cells; ``attention``: for each its weights
    (R,); ``grids``: for each (rows, columns) of its map. All on one scale: 1 is the mean weight of a picture's regions.
    """
    if not len(pictures) == len(at) == len(attention) == len(grids) or not len(pictures):
        raise InputError(f"{len(pictures)} pictures need as many lists of regions, weights and grids, at least one.")
    found = [_over_cells(*each) for each in zip(at, attention, grids, strict=True)]
    side = min(2.2, (WIDTH - 0.8) / len(pictures))
    low, most = min(float(m.min()) for m in found), max(float(m.max()) for m in found)
    with canvas(2 * side * max(map(parts.tall, pictures)) + 0.7, len(pictures) * side + 0.9) as figure:
        panels = []
        for column, picture in enumerate(pictures):
            above, axes = (figure.add_subplot(2, len(pictures), 1 + column + row * len(pictures)) for row in (0, 1))
            parts.show(above, picture)
            above.set_title("" if titles is None else titles[column])
            image = heat(axes, picture, found[column], most, low)
            panels += [above, axes]
            weights = np.asarray(parts.checked(attention[column], 1))
            dx, dy = picture.width / grids[column][1], picture.height / grids[column][0]
            for place, i in enumerate(np.argsort(-weights, kind="stable")[:top]):
                row, col, *size = at[column][i]
                style = {
                    "fill": False,
                    "edgecolor": ORANGE,
                    "linewidth": 2.2 - 0.5 * min(place, 3),
                    "path_effects": parts.HALO,
                }
                above.add_patch(Rectangle((col * dx, row * dy), size[-1] * dx, size[0] * dy, **style))
                mark = {"color": ORANGE, "weight": "bold", "path_effects": parts.HALO, "va": "top"}
                above.text(col * dx + 3 + 12 * place, row * dy + 3, str(place + 1), **mark)
        bar = figure.colorbar(image, ax=panels, fraction=0.03, pad=0.01, aspect=30)
        bar.set_label("weight of the regions on a cell (1: their mean)")
        figure.suptitle(title or "")
    return figure


def _over_cells(at, weights, grid):
    """Mean weight, relative to the mean of all, of the regions on every cell (rows, columns); 0 where there is none."""
    weights = parts.checked(weights, 1)
    if len(weights) != len(at):
        raise InputError(f"{len(weights)} weights don't fit {len(at)} regions: give one for each.")
    total, number = np.zeros(grid), np.zeros(grid)
    for (row, col, *size), weight in zip(at, weights / weights.mean(), strict=True):
        total[row : row + size[0], col : col + size[-1]] += weight
        number[row : row + size[0], col : col + size[-1]] += 1
    return total / np.maximum(number, 1)


def matches(picture, candidates, verified, prompt=None, titles=None, right=None, title=None):
    """The query beside each candidate, with the matches that agree on one motion as lines.

    ``verified``: a :class:`~foir_lib.search.rerank.spatial.Verified` for each candidate; ``right``: bool for each, or None.
    """
    if len(candidates) != len(verified) or not len(candidates):
        raise InputError(
            f"{len(candidates)} candidates and {len(verified)} verifications can't be paired: give one for each."
        )
    n = len(candidates)
    with canvas(2.4 * max(map(parts.tall, (picture, *candidates))) / max(1, n - 1) ** 0.5 + 0.4) as figure:
        for i, (candidate, found) in enumerate(zip(candidates, verified, strict=True)):
            a, b = figure.add_subplot(1, 2 * n, 2 * i + 1), figure.add_subplot(1, 2 * n, 2 * i + 2)
            parts.show(a, picture)
            parts.frame(a, BLUE, "")
            if prompt is not None:
                parts.draw_prompt(a, prompt, picture.size)
            parts.show(b, candidate)
            if right is not None:
                parts.frame(b, *parts.VERDICTS[bool(right[i])])
            told = "" if titles is None else f"{titles[i]}\n"
            b.set_title(f"{told}{found.inliers} inliers", fontsize=7.5)
            for p, q in zip(found.a.tolist(), found.b.tolist(), strict=True):
                line = ConnectionPatch(p, q, "data", "data", axesA=a, axesB=b, color=ORANGE, linewidth=0.7, alpha=0.8)
                figure.add_artist(line)
                for axes, point in ((a, p), (b, q)):
                    axes.plot(*point, "o", markersize=2.2, color=ORANGE, markeredgecolor=GREY, markeredgewidth=0.3)
        figure.suptitle(title or "")
    return figure
