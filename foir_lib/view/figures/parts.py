"""Parts of figures: pictures in their own pixel coordinates, prompts, frames and maps on given axes."""

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from foir_lib import text
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError
from foir_lib.images import rgb
from foir_lib.prompts import Box, Mask, Point, Prompt
from foir_lib.view.figures import looks
from foir_lib.view.figures.looks import BLUE, GREEN, GREY, RED

HALO = [withStroke(linewidth=3, foreground="white")]
VERDICTS = {True: (GREEN, "\N{CHECK MARK}"), False: (RED, "\N{BALLOT X}"), None: (GREY, "")}
THUMB = 240  # pixels, longest side at which a picture is embedded


def checked(values, ndim: int, grid: tuple[int, int] | None = None, name: str = "array") -> np.ndarray:
    """Numpy array of a tensor or list; InputError when its last axis isn't the grid's tokens."""
    values = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)
    if values.ndim != ndim or (grid is not None and values.shape[-1] != grid[0] * grid[1]):
        tokens = "" if grid is None else f" ending in {grid[0] * grid[1]}, the tokens of a {grid[0]} x {grid[1]} grid"
        raise InputError(f"{name} has shape {values.shape}: give {ndim} axes{tokens}.")
    return values


def tall(picture: Image.Image) -> float:
    """Height over width, for laying out rows; at most 2."""
    return min(2.0, picture.height / picture.width)


def show(axes: Axes, picture: Image.Image, longest: int = THUMB, **options) -> None:
    """The picture in its own pixel coordinates, embedded small."""
    picture = rgb(picture)
    small = picture.copy()
    small.thumbnail((longest, longest))
    axes.imshow(small, extent=(0, picture.width, picture.height, 0), **options)
    axes.set(xticks=[], yticks=[], xlim=(0, picture.width), ylim=(picture.height, 0))
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.5, color=GREY)


def frame(axes: Axes, colour: str, mark: str) -> None:
    """A thick frame and, in its corner, the mark that says the same as its colour."""
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=3, color=colour)
    if mark:
        box = {"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.15"}
        axes.text(0.04, 0.95, mark, transform=axes.transAxes, va="top", color="white", fontsize=looks.SMALL, bbox=box)


def draw_prompt(axes: Axes, prompt: Prompt, size: tuple[int, int], grid: tuple[int, int] | None = None, linewidth: float = 1.6) -> None:
    """Box: its outline. Point: a cross in a ring, with its window where the grid is known. Mask: its edge."""
    line = {"color": BLUE, "linewidth": linewidth, "path_effects": HALO}
    if isinstance(prompt, Mask):
        outline(axes, prompt.pixels(size), size, **line)
        return
    if isinstance(prompt, Point):
        mark = {"color": BLUE, "path_effects": HALO, "zorder": 5, "linestyle": "none"}
        for marker in "o+":
            axes.plot(prompt.x, prompt.y, marker=marker, markerfacecolor="none", markersize=9, markeredgewidth=linewidth, **mark)
    if isinstance(prompt, Box) or grid is not None:
        box = prompt.box(size, grid)
        dash = "-" if isinstance(prompt, Box) else "--"
        corner, width, height = (box.x0, box.y0), box.x1 - box.x0, box.y1 - box.y0
        axes.add_patch(Rectangle(corner, width, height, fill=False, linestyle=dash, **line))


def query(axes: Axes, picture: Image.Image, prompt: Prompt | None = None, grid=None, longest: int = THUMB) -> None:
    """The picture of a query in a blue frame, with its prompt if it has one."""
    show(axes, picture, longest)
    if prompt is not None:
        draw_prompt(axes, prompt, picture.size, grid)
    frame(axes, BLUE, "")


def draw_patches(axes: Axes, inside: np.ndarray, size: tuple[int, int]) -> None:
    """The patch grid, and the patches of the prompt shaded."""
    rows, columns = inside.shape
    tint = np.zeros((rows, columns, 4))
    tint[inside] = (*(int(BLUE[i : i + 2], 16) / 255 for i in (1, 3, 5)), 0.45)
    axes.imshow(tint, extent=(0, size[0], size[1], 0), interpolation="nearest", aspect="auto")
    axes.set_aspect("equal")
    lines = [[(x, 0), (x, size[1])] for x in np.arange(1, columns) * size[0] / columns]
    lines += [[(0, y), (size[0], y)] for y in np.arange(1, rows) * size[1] / rows]
    axes.add_collection(LineCollection(lines, colors="white", linewidths=0.5, alpha=0.7))


def outline(axes: Axes, inside: np.ndarray, size, color="white", linewidth=1.2, path_effects=None) -> None:
    """The border of a bool region (rows, columns) laid over the picture, along cell edges."""
    padded = np.pad(inside, 1)
    dx, dy = size[0] / inside.shape[1], size[1] / inside.shape[0]
    lines = [[(c * dx, (r - 1) * dy), (c * dx, r * dy)] for r, c in np.argwhere(padded[:, 1:] != padded[:, :-1])]
    lines += [[((c - 1) * dx, r * dy), (c * dx, r * dy)] for r, c in np.argwhere(padded[1:] != padded[:-1])]
    effects = path_effects or [withStroke(linewidth=linewidth + 1.2, foreground="black")]
    axes.add_collection(LineCollection(lines, colors=color, linewidths=linewidth, path_effects=effects, clip_on=False))


def scale_of(values) -> float:
    """Upper end of a scale shared by maps: the 99.5th percentile, so that one bright patch can't blacken all."""
    return float(np.quantile(values, 0.995)) or 1.0


def heat_map(axes: Axes, picture: Image.Image, values, top: float, low: float = 0.0):
    """A map (rows, columns) over the picture in grey, on a linear scale from ``low`` to ``top``; cells stay cells."""
    values, picture = checked(values, 2, name="map"), rgb(picture)
    show(axes, picture.convert("L"))
    extent = (0, picture.width, picture.height, 0)
    style = {"cmap": looks.HEAT, "alpha": looks.COVER, "interpolation": "nearest"}
    image = axes.imshow(values, vmin=low, vmax=top, extent=extent, **style)
    axes.set_aspect("equal")
    return image


def words(figure: Figure, title: str | None = None, caption: str | None = None) -> None:
    """A title above the figure and, below it, a caption that says what to look for."""
    figure.suptitle(title or "")
    if caption:
        figure.supxlabel(fill(caption, int(16 * figure.get_figwidth())), x=0.01, ha="left")


def colour_bar(figure: Figure, image, panels, label: str = "attention per patch (%)", values=None) -> None:
    """One colour bar with its unit for ``panels``, with an arrow when some of ``values`` lie above the scale."""
    above = values is not None and values.max() > image.norm.vmax * (1 + 1e-9)
    style = {"extend": "max" if above else "neither", "fraction": 0.03, "pad": 0.01, "aspect": 30}
    figure.colorbar(image, ax=panels, **style).set_label(label)


def first_results(ids, scores, relevance, k: int) -> list:
    """The first ``k`` ids (-1: no result, left out), scores and verdicts; a list of None where nothing is known."""
    ids = np.asarray(ids)[:k]
    filled = np.flatnonzero(ids >= 0)
    columns = [ids[filled].tolist()]
    for values in (scores, relevance):
        if values is not None and len(values) < len(ids):
            raise InputError(f"{len(values)} scores or verdicts don't fit {len(ids)} results: give one for each.")
        columns.append([None] * len(filled) if values is None else np.asarray(values)[filled].tolist())
    return columns


def draw_result(axes: Axes, rs: RetrievalSet, row: int, rank: int, score: float | None, right: bool | None) -> None:
    """One database picture, framed and marked by its verdict, rank and score beneath."""
    show(axes, rs.open(rs.database["image_id"].iloc[row]))
    frame(axes, *VERDICTS[None if right is None else bool(right)])
    axes.set_xlabel(f"{rank}" if score is None else f"{rank}.  {text.score(score)}", labelpad=2)
