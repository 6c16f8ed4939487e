"""Where localisers see the query: outlines on results and side by side, and what localising brings to rankings.

An outline is green and solid where it is right (IoU of at least a half), red and dashed where it is wrong, blue and dotted where nobody
knows; a mark beside it says the same. Axes are pixels of the original picture.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from foir_lib.data.sets import RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.prompts import Prompt
from foir_lib.view.figures import looks, parts
from foir_lib.view.figures.looks import BLUE, GREEN, RED, WIDTH, canvas

RIGHT = 0.5  # IoU from which an outline is called right, the lowest threshold of mAP@50:5:95
KINDS = {True: "right", False: "wrong", None: "unknown"}
LOOKS = {  # verdict -> colour, dash, mark
    True: (GREEN, "-", "\N{CHECK MARK}"), False: (RED, (0, (4, 2)), "\N{BALLOT X}"), None: (BLUE, (0, (1, 1.5)), ""),
}  # fmt: skip
NOWHERE = "not found"


def contours(mask: np.ndarray, tolerance: float = 0.0) -> list[np.ndarray]:
    """The borders of a mask, bool (height, width), as polygons (n, 2) of x, y: of all its components and holes, through the middles of
    their outermost pixels; what has fewer than three such points, the border of its pixels. ``tolerance``: pixels that corners may be off."""
    lines, _ = cv2.findContours(np.ascontiguousarray(mask, dtype=np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for line in lines:
        simple = cv2.approxPolyDP(line, tolerance, True) if tolerance else line
        simple = simple if len(simple) > 2 else line
        if len(simple) > 2:
            polygons.append(simple[:, 0] + 0.5)
        else:
            around = np.concatenate([line[:, 0] + offset for offset in ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))])
            polygons.append(cv2.convexHull(around.astype(np.float32))[:, 0].astype(np.float64))
    return polygons


def corners(box: Sequence[float]) -> np.ndarray:
    """A box x0, y0, x1, y1 as a polygon (4, 2)."""
    x0, y0, x1, y1 = (float(side) for side in box)
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def polygons(localisation: Localisation, tolerance: float = 0.0) -> list[np.ndarray]:
    """The outline of a localisation: borders of its mask, or its box, or nothing."""
    if localisation.mask is not None:
        return contours(localisation.pixels(), tolerance)
    return [] if localisation.box is None else [corners(localisation.box)]


def verdict(right: bool | None, iou: float | None) -> bool | None:
    """Whether an outline is right: on a picture that isn't it is wrong; on one that is, by its IoU, where that is known."""
    if right is None or right is True and iou is None:
        return None
    return bool(right) and iou >= RIGHT


def outlines(
    rs: RetrievalSet, query: int, results: Mapping[str, tuple], prompt: Prompt | None = None, k: int = 8, title: str | None = None
) -> Figure:
    """A query (a row of ``rs.queries``) with its outline, and ranked lists with the outlines of what was found: a row for each name.

    results: name -> (ids, localisations, relevance, IoUs): database rows, best first (-1: none), a :class:`Localisation` of each, bools
    or None, and the IoU of each with the truth or None. ``prompt``: another one than the query's own. Raises InputError for an unknown
    query, without results, and for other numbers of localisations than of ids.
    """
    if not 0 <= query < len(rs.queries):
        raise InputError(f"{rs.name} has no query {query}: rows go from 0 to {len(rs.queries) - 1}.")
    if not results:
        raise InputError("There are no results to outline: give at least one list.")
    row = rs.queries.iloc[query]
    picture = rs.open(row["image_id"])
    with canvas(1.4 * len(results) + 0.4) as figure:
        cells = figure.add_gridspec(len(results), k + 1, width_ratios=[1.15, *[1] * k])
        for line, (name, (ids, localisations, relevance, ious)) in enumerate(results.items()):
            if len(localisations) != len(ids):
                raise InputError(f"{len(localisations)} localisations don't fit the {len(ids)} results of {name}: give one for each.")
            at = [i for i in range(len(ids)) if ids[i] >= 0][:k]
            axes = figure.add_subplot(cells[line, 0])
            parts.query(axes, picture, row["prompt"] if prompt is None else prompt)
            axes.set_title(name, color=BLUE, fontweight="bold")
            for place, i in enumerate(at):
                axes = figure.add_subplot(cells[line, 1 + place])
                right, iou = (None if values is None else values[i] for values in (relevance, ious))
                _panel(axes, rs.open(rs.database["image_id"].iloc[ids[i]]), localisations[i], right, iou)
                axes.set_title(f"{i + 1}")
        figure.suptitle(title or f"query: {row['label']}")
    return figure


def localisers(
    queries: Sequence[tuple[Image.Image, Prompt]], pictures: Sequence[Image.Image], truth: Sequence[np.ndarray],
    answers: Mapping[str, Sequence[Localisation]], names: Sequence[str] | None = None, title: str | None = None,
) -> Figure:  # fmt: skip
    """Localisers side by side (thesis, Figure 2.4): a row for each case, its query and truth, and a column for each localiser, its IoU below.

    queries: picture and prompt of each case; pictures: those that were localised on; truth: masks, bool (height, width), none of them set
    where the thing isn't there; answers: name of the localiser -> what it says of each case; names: of the cases. Raises InputError
    without cases or localisers, and for other numbers of anything.
    """
    n = len(pictures)
    if not n or not answers:
        raise InputError(f"{n} cases and {len(answers)} localisers make no figure: give at least one of each.")
    numbers = {"queries": len(queries), "truth": len(truth), "names": n if names is None else len(names)}
    for name, number in (numbers | {name: len(each) for name, each in answers.items()}).items():
        if number != n:
            raise InputError(f"{number} of {name} don't fit {n} cases: give one for each.")
    across = len(answers) + 2
    side = min(1.9, WIDTH / across)
    heights = [side * max(parts.tall(picture), parts.tall(query)) + 0.22 for picture, (query, _) in zip(pictures, queries, strict=True)]
    with canvas(sum(heights) + 0.3 + 0.25 * bool(title), across * side) as figure:
        lines = figure.subplots(n, across, squeeze=False, height_ratios=heights)
        for i, (first, second, *panels) in enumerate(lines):
            parts.query(first, *queries[i])
            first.set_xlabel("" if names is None else names[i])
            parts.show(second, pictures[i])
            _border(second, contours(truth[i]), "white", "-", "black")
            second.set_xlabel("" if truth[i].any() else "isn't there")
            for axes, each in zip(panels, answers.values(), strict=True):
                iou = overlap(each[i], truth[i]) if truth[i].any() else None
                _panel(axes, pictures[i], each[i], bool(truth[i].any()), iou, scale=min(1.0, side / 1.7))
        for axes, name in zip(lines[0], ["query", "truth", *answers], strict=True):
            axes.set_title(name)
        figure.suptitle(title or "")
    return figure


def overlap(localisation: Localisation, truth: np.ndarray) -> float:
    """IoU of a localisation with a true mask, bool (height, width); a box without a mask counts as box, against the mask's."""
    if not localisation or not truth.any():
        return 0.0
    if localisation.mask is not None:
        pixels = localisation.pixels()
        return float((pixels & truth).sum() / (pixels | truth).sum())
    down, across = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    return box_overlap(localisation.box, (across[0], down[0], across[-1] + 1, down[-1] + 1))


def box_overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of two boxes x0, y0, x1, y1."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def image_and_pixel_map(rows: pd.DataFrame, title: str | None = None) -> Figure:
    """Image mAP against mAP@50:5:95 over lists and localisers: whether a better list brings better outlines.

    rows: list, localiser, image, pixel (percent), perhaps with the ends of their intervals image_low, image_high, pixel_low, pixel_high.
    A localiser has a colour, marker and dash, its lists are joined in the order of image mAP; a thin vertical line names each list.
    Raises InputError without rows or without a column.
    """
    rows = pd.DataFrame(rows)
    for column in ("list", "localiser", "image", "pixel"):
        if column not in rows or not len(rows):
            raise InputError(f"Rows to plot lack {column!r}." if len(rows) else "There are no rows to plot.")
    styles = looks.looks_of(dict.fromkeys(rows["localiser"]))
    with canvas(3.6, 6.5) as figure:
        axes = figure.subplots()
        for name, part in rows.sort_values("image", kind="stable").groupby("localiser", sort=False):
            look = {key: styles[name][key] for key in ("color", "marker", "linestyle")}
            axes.plot(part["image"], part["pixel"], label=looks.entry(name), linewidth=1.2, markersize=5, **look)
            for value, other, draw in (("pixel", "image", axes.vlines), ("image", "pixel", axes.hlines)):
                if {f"{value}_low", f"{value}_high"} <= set(part):
                    draw(part[other], part[f"{value}_low"], part[f"{value}_high"], color=look["color"], alpha=0.5, label="95 % interval")
        for name, at in rows.groupby("list", sort=False)["image"].mean().items():
            axes.axvline(at, color=looks.GREY, linewidth=0.5, zorder=0)
            style = {"rotation": 90, "va": "top", "ha": "right", "color": looks.GREY, "zorder": 0}
            axes.text(at, 0.99, name, transform=axes.get_xaxis_transform(), **style)
        axes.grid(axis="y", linewidth=0.3)
        looks.finish(figure, [axes], 1, "mAP@50:5:95 (%)", "mAP of the list (%)", title)
    return figure


def _panel(axes: Axes, picture: Image.Image, localisation: Localisation, right: bool | None, iou: float | None, scale: float = 1.0):
    """A picture with the outline found on it, its mark, and its IoU below."""
    parts.show(axes, picture)
    lines, one = polygons(localisation), verdict(right, iou)
    colour, dash, mark = LOOKS[one if lines else None if right is None else not right]
    _border(axes, lines, colour, dash, scale=scale)
    if mark:
        box = {"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.15"}
        axes.text(0.04, 0.95, mark, transform=axes.transAxes, va="top", color="white", fontsize=looks.SMALL, bbox=box)
    axes.set_xlabel(words(bool(lines), right, iou), labelpad=2)


def words(there: bool, right: bool | None, iou: float | None) -> str:
    """What is said below an outline: its IoU, that nothing was found, or that nothing of it is there."""
    if not there:
        return NOWHERE
    return "isn't there" if right is False else "" if iou is None or right is None else f"IoU {iou:.2f}"


def _border(axes: Axes, lines: list[np.ndarray], colour: str, dash, rim: str = "white", scale: float = 1.0):
    """Polygons, above a solid rim that lifts them off the picture; ``scale``: of their width."""
    if lines:
        axes.add_collection(PolyCollection(lines, facecolors="none", edgecolors=rim, linewidths=3 * scale))
        axes.add_collection(PolyCollection(lines, facecolors="none", edgecolors=colour, linewidths=1.6 * scale, linestyles=[dash]))
