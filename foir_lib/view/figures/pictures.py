"""Photographs, prompts, attention maps and ranked lists. Every function returns a ``Figure``.

Frames: blue for the query, green with a check mark for right, red with a cross for wrong. Maps that
stand beside each other share one scale. Axes are pixels of the original picture.
"""

import math
from textwrap import shorten

import numpy as np

from foir_lib.errors import InputError
from foir_lib.view import BLUE, ORANGE, WIDTH, canvas
from foir_lib.view.figures import parts


def prompt(picture, prompt, grid=None, title=None):
    """One picture (PIL) with its prompt; with ``grid``, the patches too, those of the prompt shaded."""
    with canvas(2.9, 2.9 * min(2.5, max(0.8, picture.width / picture.height)) + 0.2) as figure:
        axes = figure.add_subplot()
        parts.show(axes, picture, longest=2 * parts.THUMB)
        if grid is not None:
            inside = prompt.tokens(grid, picture.size).reshape(grid)
            parts.draw_patches(axes, inside, picture.size)
            count = f"{prompt}: {int(inside.sum())} of {inside.size} tokens"
        parts.draw_prompt(axes, prompt, picture.size, grid)
        axes.set_title(title or (str(prompt) if grid is None else count))
    return figure


def head_maps(picture, attention, grid, heads=None, roi=None, columns=6, title=None):
    """Every head's attention from CLS to the patches, ``attention`` (h, N), all on one scale.

    ``heads`` (h,) bool: the chosen ones get an orange frame and a star. ``roi`` (N,) bool: outlined on every
    map, and each title tells the head's ROI attention (PHS eq. 7) in percent of all its attention.
    """
    attention = parts.checked(attention, 2, grid, "attention")
    heads = (
        np.zeros(len(attention), bool) if heads is None else parts.checked(heads, 1).astype(bool)
    )
    if len(heads) != len(attention):
        raise InputError(
            f"{len(heads)} head choices don't fit {len(attention)} heads: give one for each."
        )
    roi = None if roi is None else parts.checked(roi, 1, grid, "roi").astype(bool)
    columns = min(columns, len(attention))
    rows = math.ceil(len(attention) / columns)
    side = (WIDTH - 0.7) / (columns + 1)
    with canvas(rows * (side * parts.tall(picture) + 0.25) + 0.5) as figure:
        cells = figure.add_gridspec(rows, columns + 1)
        axes = figure.add_subplot(cells[0, 0])
        parts.show(axes, picture)
        parts.frame(axes, BLUE, "")
        axes.set_title("query" if roi is None else "query and ROI")
        panels = [axes]
        scale = parts.scale_of(attention)
        for i, row in enumerate(attention):
            axes = figure.add_subplot(cells[i // columns, 1 + i % columns])
            image = parts.head_map(axes, i, row, grid, picture, scale, roi, heads[i])
            panels.append(axes)
        if roi is not None:
            parts.outline(panels[0], roi.reshape(grid), picture.size)
        parts.colour_bar(figure, image, panels, attention, scale)
        legend = (
            [f"\N{BLACK STAR} {int(heads.sum())} of {len(heads)} heads chosen"]
            if heads.any()
            else []
        )
        legend += [] if roi is None else ["percent: attention on the ROI"]
        figure.suptitle(title or ", ".join(legend))
    return figure


def roi_bars(roi_attention, heads=None, title=None):
    """ROI attention of every head, ``roi_attention`` (h,), as bars; the chosen ``heads`` orange and hatched."""
    values = 100 * parts.checked(roi_attention, 1)
    heads = np.zeros(len(values), bool) if heads is None else parts.checked(heads, 1).astype(bool)
    with canvas(2.1, min(WIDTH, 1.5 + 0.4 * len(values))) as figure:
        axes = figure.add_subplot()
        for chosen, style in (
            (False, {"color": "#C8C8C8"}),
            (True, {"color": ORANGE, "hatch": "///"}),
        ):
            at = np.flatnonzero(heads == chosen)
            if len(at):
                name = ("chosen" if chosen else "not chosen") if heads.any() else None
                bars = axes.bar(
                    at, values[at], edgecolor="black", linewidth=0.5, label=name, **style
                )
                axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
        axes.set(
            xticks=range(len(values)),
            xlabel="head",
            ylabel="attention on the ROI (%)",
            title=title or "",
        )
        axes.margins(x=0.02, y=0.12)
        if heads.any():
            axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def ranked_list(
    rs, query_row, ids, scores=None, relevance=None, prompt=None, k=10, title=None, columns=5
):
    """One query of the RetrievalSet ``rs`` and its first ``k`` results.

    ``ids`` (>= k,): database rows, best first (-1: none); ``scores`` and ``relevance`` (bool) beside them.
    ``prompt``: another prompt than the query's own.
    """
    ids, scores, relevance = parts.first_results(ids, scores, relevance, k)
    columns = max(1, min(columns, len(ids)))
    rows = max(1, math.ceil(len(ids) / columns))
    with canvas(rows * 1.35 + 0.3) as figure:
        cells = figure.add_gridspec(rows, columns + 2)
        parts.draw_query(
            figure.add_subplot(cells[:, :2]), rs, query_row, prompt, longest=2 * parts.THUMB
        )
        for i in range(len(ids)):
            axes = figure.add_subplot(cells[i // columns, 2 + i % columns])
            parts.draw_result(axes, rs, ids[i], i + 1, scores[i], relevance[i])
        figure.suptitle(title or "")
    return figure


def compare_lists(rs, query_row, results, prompt=None, k=8, title=None):
    """One query, one row of results per method: ``results`` maps its name to (ids, scores, relevance).

    Scores and relevance may be None. The name of each row tells how many of the ``k`` are right.
    """
    lines = max((name.count("\n") for name in results), default=0)
    with canvas(len(results) * (1.2 + 0.14 * lines) + 0.3) as figure:
        cells = figure.add_gridspec(len(results), k + 1, width_ratios=[1.15, *[1] * k])
        for row, (method, found) in enumerate(results.items()):
            ids, scores, relevance = parts.first_results(*found, k)
            axes = figure.add_subplot(cells[row, 0])
            parts.draw_query(axes, rs, query_row, prompt)
            right = "" if None in relevance else f"\n{sum(relevance)} of {len(ids)} right"
            axes.set_title(method + right, fontweight="bold")
            for i in range(len(ids)):
                parts.draw_result(
                    figure.add_subplot(cells[row, 1 + i]),
                    rs,
                    ids[i],
                    i + 1,
                    scores[i],
                    relevance[i],
                )
        label = rs.queries.iloc[query_row]["label"]
        figure.suptitle(title or f"query: {label}")
    return figure


def attention_compare(pictures, prompts, maps, grid, title=None, caption=None):
    """One row per picture: the query, then one map per method over the dimmed picture (PHS Figs. 6, A3).

    ``maps``: name -> (B, N), for instance the mean over all heads ("Vanilla"), over all heads under
    foveal attention ("FA") and over the chosen heads ("PHS"). ``grid``: of all maps, or name -> grid. Each row
    has one scale.
    """
    grids = grid if isinstance(grid, dict) else dict.fromkeys(maps, grid)
    maps = {name: parts.checked(m, 2, grids[name], f"map {name!r}") for name, m in maps.items()}
    if any(len(m) != len(pictures) for m in maps.values()) or len(prompts) != len(pictures):
        raise InputError(
            f"{len(pictures)} pictures need as many prompts and as many rows in every map."
        )
    side = min(2.2, (WIDTH - 0.8) / (len(maps) + 1))
    heights = [side * parts.tall(p) for p in pictures]
    more = 0.3 + 0.1 * len(pictures) + 0.25 * bool(title) + 0.4 * bool(caption)
    with canvas(sum(heights) + more, (len(maps) + 1) * side + 0.8) as figure:
        cells = figure.add_gridspec(len(pictures), len(maps) + 1, height_ratios=heights)
        for row, (picture, given) in enumerate(zip(pictures, prompts, strict=True)):
            axes = figure.add_subplot(cells[row, 0])
            parts.show(axes, picture)
            parts.draw_prompt(axes, given, picture.size, next(iter(grids.values())))
            parts.frame(axes, BLUE, "")
            drawn = np.concatenate([m[row] for m in maps.values()])
            scale, panels = parts.scale_of(drawn), []
            axes.set_title("query" if row == 0 else "")
            for column, (name, values) in enumerate(maps.items()):
                axes = figure.add_subplot(cells[row, 1 + column])
                image = parts.heat_map(axes, values[row], grids[name], picture, scale)
                parts.draw_prompt(axes, given, picture.size, grids[name])
                axes.set_title(name if row == 0 else "")
                panels.append(axes)
            parts.colour_bar(figure, image, panels, drawn, scale)
        parts.words(figure, title, caption)
    return figure


def contact_sheet(pictures, titles=None, columns=6, title=None):
    """Many small pictures (PIL), a title under each."""
    columns = max(1, min(columns, len(pictures)))
    rows = max(1, math.ceil(len(pictures) / columns))
    with canvas(rows * 1.45 + (0.3 if title else 0)) as figure:
        for i, picture in enumerate(pictures):
            axes = figure.add_subplot(rows, columns, i + 1)
            parts.show(axes, picture)
            axes.set_xlabel(
                shorten(str(titles[i]), 24, placeholder="…") if titles is not None else ""
            )
        figure.suptitle(title or "")
    return figure
