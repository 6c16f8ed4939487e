"""Photographs, prompts, ranked lists and maps of several methods side by side. Every function returns a ``Figure``.

Frames: blue for the query, green with a check mark for right, red with a cross for wrong. Maps that
stand beside each other share one scale. Axes are pixels of the original picture.
"""

import io
import math
from collections.abc import Sequence
from textwrap import fill, shorten

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from foir_lib.bench import metrics
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError
from foir_lib.prompts import Prompt
from foir_lib.text import percent
from foir_lib.view.figures import looks, parts
from foir_lib.view.figures.looks import BLUE, ORANGE, WIDTH, canvas

Grid = tuple[int, int]
ROWS, ITEMS = 6, 10  # of a page, at most
FRAMES = {"right": parts.VERDICTS[True], "wrong": parts.VERDICTS[False], "query": (BLUE, ""), "chosen": (ORANGE, "\N{BLACK STAR}"), "": parts.VERDICTS[None]}


def prompt(picture: Image.Image, prompt: Prompt, grid: Grid | None = None, title: str | None = None) -> Figure:
    """One picture with its prompt; with ``grid`` (rows, columns), the patches too, those of the prompt shaded."""
    with canvas(2.9, 2.9 * min(2.5, max(0.8, picture.width / picture.height)) + 0.2) as figure:
        axes, words = figure.add_subplot(), str(prompt)
        parts.show(axes, picture, longest=2 * parts.THUMB)
        if grid is not None:
            inside = prompt.tokens(grid, picture.size).reshape(grid)
            parts.draw_patches(axes, inside, picture.size)
            words = f"{prompt}: {int(inside.sum())} of {inside.size} tokens"
        parts.draw_prompt(axes, prompt, picture.size, grid)
        axes.set_title(title or words)
    return figure


def compare_lists(
    rs: RetrievalSet, query: int, results: dict, prompt: Prompt | None = None, k: int = 8, title: str | None = None
) -> Figure:
    """One query (a row of ``rs.queries``), one row of results per method: ``results`` maps its name to (ids, scores, relevance).

    ids: database rows, best first (-1: none); scores and relevance (bool) may be None. The name of each row tells how many of
    the ``k`` are right. ``prompt``: another one than the query's own.
    """
    row = rs.queries.iloc[query]
    prompt = row["prompt"] if prompt is None else prompt
    return query_lists(rs, rs.open(row["image_id"]), prompt, results, k, title or f"query: {row['label']}")


def query_lists(rs: RetrievalSet, picture: Image.Image, prompt: Prompt | None, results: dict, k: int, title: str) -> Figure:
    """As :func:`compare_lists`, of any picture and prompt."""
    lines = min(looks.LINES, max((name.count("\n") for name in results), default=0))
    with canvas(len(results) * (1.2 + 0.14 * lines) + 0.3) as figure:
        cells = figure.add_gridspec(len(results), k + 1, width_ratios=[1.15, *[1] * k])
        for line, (method, result) in enumerate(results.items()):
            ids, scores, relevance = parts.first_results(*result, k)
            axes = figure.add_subplot(cells[line, 0])
            parts.query(axes, picture, prompt)
            right = "" if None in relevance else f"\n{sum(relevance)} of {len(ids)} right"
            axes.set_title(method + right, color=BLUE, fontweight="bold")
            for i in range(len(ids)):
                axes = figure.add_subplot(cells[line, 1 + i])
                parts.draw_result(axes, rs, ids[i], i + 1, scores[i], relevance[i])
        figure.suptitle(title)
    return figure


def case(rs: RetrievalSet, query: int, rankings: dict, k: int = 100, shown: int = 8) -> Figure:
    """One query (a row of ``rs.queries``) and its first results under each method, P@k beside (PHS Figure 7).

    ``rankings``: name of the method -> (scores, ids) of database rows, best first, the query's own picture left out. Right is
    what the protocol "contains" says. Raises InputError for an unknown query and without a method.
    """
    if not 0 <= query < len(rs.queries):
        raise InputError(f"{rs.name} has no query {query}: rows go from 0 to {len(rs.queries) - 1}.")
    if not rankings:
        raise InputError("There is no method to compare: give at least one, such as CBIR.")
    right, results = rs.protocols["contains"].positives(query), {}
    for method, (scores, ids) in rankings.items():
        relevance, depth = np.isin(ids, right), min(k, len(ids))
        name = f"{method}\nP@{depth}: {percent(metrics.precision_at_k(relevance, depth))}"
        results[name] = (ids, scores, relevance)
    title = f"{rs.queries['label'].iloc[query]}: does the method need what stands around the object?"
    return compare_lists(rs, query, results, k=shown, title=title)


def attention_compare(
    pictures: Sequence[Image.Image], prompts: Sequence[Prompt], maps: dict, grid: Grid | dict[str, Grid],
    title: str | None = None, caption: str | None = None,
) -> Figure:  # fmt: skip
    """One row per picture: the query, then one map per method over the dimmed picture (PHS Figs. 6, A3).

    ``maps``: name -> (B, N), for instance the mean over all heads ("Vanilla"), over all heads under
    foveal attention ("FA") and over the chosen heads ("PHS"). ``grid``: of all maps, or name -> grid. Each row
    has one scale.
    """
    grids = grid if isinstance(grid, dict) else dict.fromkeys(maps, grid)
    maps = {name: 100 * parts.checked(m, 2, grids[name], f"map {name!r}") for name, m in maps.items()}
    if any(len(m) != len(pictures) for m in maps.values()) or len(prompts) != len(pictures):
        raise InputError(f"{len(pictures)} pictures need as many prompts and as many rows in every map.")
    side = min(2.2, (WIDTH - 0.8) / (len(maps) + 1))
    heights = [side * parts.tall(p) for p in pictures]
    more = 0.3 + 0.1 * len(pictures) + 0.25 * bool(title) + 0.4 * bool(caption)
    with canvas(sum(heights) + more, (len(maps) + 1) * side + 0.8) as figure:
        lines = figure.subplots(len(pictures), len(maps) + 1, squeeze=False, height_ratios=heights)
        for (first, *panels), picture, prompt, *row in zip(lines, pictures, prompts, *maps.values(), strict=True):
            parts.query(first, picture, prompt, next(iter(grids.values())))
            top = parts.scale_of(values := np.concatenate(row))
            for axes, name, m in zip(panels, maps, row, strict=True):
                image = parts.heat_map(axes, picture, m.reshape(grids[name]), top)
                parts.draw_prompt(axes, prompt, picture.size, grids[name])
            parts.colour_bar(figure, image, panels, values=values)
        for axes, name in zip(lines[0], ["query", *maps], strict=True):
            axes.set_title(name)
        parts.words(figure, title, caption)
    return figure


def page(query: tuple | None, rows: Sequence[dict]) -> Figure:
    """What a page of widgets shows: a query at the left, and rows of pictures as a gallery holds them.

    ``query``: picture (PIL), its prompts, which of them asks, and the model's grid, or None. A row: title, note, and items with image
    (bytes of a file), caption and frame; the first 6 rows that have items, 10 of each.
    """
    rows = [row for row in rows if row["items"]][:ROWS]
    left, gap = (2.6 if rows else 4.0) * (query is not None), 0.06  # inches, as all below
    side = min((looks.WIDTH - left - 0.2) / max([len(row["items"][:ITEMS]) for row in rows], default=1), 1.1)
    high = max(left * parts.tall(query[0]) + 0.2 if query else 0, len(rows) * (side + 0.4) + 0.1)
    with canvas(high) as figure:
        figure.set_layout_engine("none")
        whole = figure.add_axes((0, 0, 1, 1))  # one for all small pictures: axes are what takes time
        if query is not None:
            picture, prompts, asks, grid = query
            tall = (left - 0.2) * parts.tall(picture)
            axes = figure.add_axes((0.1 / looks.WIDTH, 1 - (tall + 0.1) / high, (left - 0.2) / looks.WIDTH, tall / high))
            parts.query(axes, picture, prompts[asks] if prompts else None, grid, longest=3 * parts.THUMB)
            for prompt in (one for i, one in enumerate(prompts) if i != asks):
                parts.draw_prompt(axes, prompt, picture.size, grid, linewidth=0.8)
        for line, row in enumerate(rows):
            top = line * (side + 0.4) + 0.3
            whole.text(left + 0.1, top - 0.07, shorten(" · ".join(filter(None, [row["title"], row["note"]])), 100, placeholder="…"))
            for i, item in enumerate(row["items"][:ITEMS]):
                _item(whole, item, left + 0.1 + i * side, top, side - gap)
        whole.set(xlim=(0, looks.WIDTH), ylim=(high, 0))
        whole.axis("off")
    return figure


def _item(axes, item, x, y, side):
    """A picture of a gallery in a square of ``side`` inches at x, y, with its frame, mark and caption."""
    colour, mark = FRAMES[item["frame"]]
    if item["image"]:
        picture = Image.open(io.BytesIO(item["image"]))
        width, height = (side * one / max(picture.size) for one in picture.size)
        axes.imshow(picture, extent=(x, x + width, y + height, y), aspect="auto", interpolation="antialiased")
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2 if item["frame"] else 0.5))
    if mark:
        axes.text(x + 0.04, y + 0.04, mark, va="top", color="white", fontsize=7, bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.15"})
    axes.text(x, y + side + 0.02, shorten(item["caption"], max(8, int(side * 26)), placeholder="…"), va="top", fontsize=6)


def contact_sheet(pictures: Sequence[Image.Image], titles: Sequence | None = None, columns: int = 6, title: str | None = None) -> Figure:
    """Many small pictures, a title under each."""
    columns = max(1, min(columns, len(pictures)))
    rows = max(1, math.ceil(len(pictures) / columns))
    with canvas(rows * 1.45 + (0.3 if title else 0)) as figure:
        for i, picture in enumerate(pictures):
            axes = figure.add_subplot(rows, columns, i + 1)
            parts.show(axes, picture)
            axes.set_xlabel("" if titles is None else fill(shorten(str(titles[i]), 24, placeholder="…"), 100 // columns))
        figure.suptitle(title or "")
    return figure
