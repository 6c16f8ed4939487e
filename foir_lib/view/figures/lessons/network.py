"""A drawing of a Vision Transformer, and of what its last block does with CLS (PHS equations 1 to 5)."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from foir_lib.errors import InputError, count
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import BLUE, GREY, ORANGE, canvas

SHOWN = 4  # heads that are drawn; the last one stands for all that follow
WORDS = {"ha": "center", "va": "center", "parse_math": True}
PALE = {BLUE: "#D6E8F4", ORANGE: "#FBE9C6", GREY: "#EEEEEE"}


def vision_transformer(
    picture: Image.Image, grid: tuple[int, int], depth: int, n_heads: int, kept: tuple[int, ...] | None = None, title: str | None = None
) -> Figure:
    """From a picture to its descriptor: patches, tokens, blocks, and the last block with its heads and its two residual sums.

    ``grid``: rows and columns of patches; ``depth``: blocks; at most :data:`SHOWN` heads are drawn. ``kept``: the heads that stay
    switched on, None for all; the lines of the others end before they reach the sum, and carry a cross. Raises InputError for a
    head that the network hasn't. Source: PHS section 3.2 and equations 1 to 5, 8.
    """
    for name, value in (("rows", grid[0]), ("columns", grid[1]), ("depth", depth), ("n_heads", n_heads)):
        count(value, name)
    if kept is not None and not set(kept) <= set(range(n_heads)):
        raise InputError(f"Heads {sorted(kept)} can't be kept: this network has heads 0 to {n_heads - 1}.")
    with canvas(3.5) as figure:
        axes = figure.add_subplot()
        axes.set(xlim=(0, 17), ylim=(0.8, 7.5))
        axes.axis("off")
        _tokens(axes, picture, grid)
        _blocks(axes, depth)
        _last(axes, depth, n_heads, kept)
        figure.suptitle(title or "")
    return figure


def _box(axes: Axes, x: float, y: float, width: float, height: float, words: str, colour: str = GREY, size: float = 8) -> None:
    """A box with words in its middle; ``x`` and ``y`` are its lower left corner."""
    style = {"facecolor": PALE[colour], "edgecolor": colour, "linewidth": 1.2, "boxstyle": "round,pad=0,rounding_size=0.12"}
    axes.add_patch(FancyBboxPatch((x, y), width, height, **style))
    axes.text(x + width / 2, y + height / 2, words, fontsize=size, **WORDS)


def _arrow(axes: Axes, *way: tuple[float, float], colour: str = "black") -> None:
    """A line through the points of ``way``, with a head at the last."""
    for a, b in zip(way[:-2], way[1:-1]):
        axes.plot(*zip(a, b), color=colour, linewidth=1.1, solid_capstyle="round")
    axes.annotate("", way[-1], way[-2], arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0})


def _tokens(axes: Axes, picture: Image.Image, grid: tuple[int, int]) -> None:
    """The picture with its patches, and the tokens made of them below CLS."""
    inset = axes.inset_axes((0.05, 3.0, 2.6, 2.6), transform=axes.transData)
    square = picture.resize((240, 240))
    parts.show(inset, square)
    for i in range(1, max(grid)):
        for cut, n in ((inset.axvline, grid[1]), (inset.axhline, grid[0])):
            if i < n:
                cut(240 * i / n, color="white", linewidth=0.7)
    axes.text(1.35, 2.6, f"{grid[0]} x {grid[1]} patches", **WORDS)
    axes.text(1.35, 6.0, "picture, squashed", **WORDS)
    _arrow(axes, (2.75, 4.3), (3.25, 4.3))
    _box(axes, 3.3, 5.4, 0.95, 0.5, "CLS", ORANGE)
    for i, words in enumerate(["patch 0", "patch 1", "⋮", f"patch {grid[0] * grid[1] - 1}"]):
        _box(axes, 3.3, 4.65 - 0.62 * i, 0.95, 0.5, words, BLUE, 6.5)
    axes.text(3.78, 6.25, "tokens", **WORDS)


def _blocks(axes: Axes, depth: int) -> None:
    """The blocks before the last."""
    _arrow(axes, (4.3, 4.3), (4.75, 4.3))
    if depth > 1:
        name = "block 1" if depth == 2 else f"blocks\n1 to {depth - 1}"
        for shift in reversed(range(min(3, depth - 1))):
            _box(axes, 4.8 + 0.12 * shift, 3.3 + 0.12 * shift, 1.15, 2.0, "" if shift else name, size=7.5)
    _arrow(axes, (6.2, 4.3), (6.95, 4.3))
    axes.text(6.47, 3.85, r"$\mathbf{x}_*$", fontsize=10, **WORDS)


def _last(axes: Axes, depth: int, n_heads: int, kept: tuple[int, ...] | None) -> None:
    """The last block, drawn for CLS: norm, heads, W_o, sum, FFN, sum; then the norm and the descriptor."""
    outer = {"facecolor": "none", "edgecolor": GREY, "linewidth": 1, "linestyle": "--", "boxstyle": "round,pad=0,rounding_size=0.2"}
    axes.add_patch(FancyBboxPatch((6.75, 1.0), 8.2, 5.95, **outer))
    axes.text(10.9, 7.2, f"block {depth}, the last one: what it does with CLS", **WORDS)
    _box(axes, 7.0, 3.4, 0.6, 1.8, "LN")
    numbers = [*range(min(SHOWN - 1, n_heads - 1)), n_heads - 1]
    tops = [5.55 - 1.3 * i for i in range(len(numbers))]
    for top, number in zip(tops, numbers, strict=True):
        on = kept is None or number in kept
        words = rf"head {number}: $A_{{{number}}}\mathbf{{V}}_{{{number}}}$"
        _box(axes, 8.15, top - 0.4, 2.0, 0.8, words, ORANGE if on else GREY, 7.5)
        _arrow(axes, (7.6, 4.3), (7.85, 4.3), (7.85, top), (8.15, top))
        if on:
            _arrow(axes, (10.15, top), (10.5, top), (10.5, 4.3), (10.85, 4.3))
        else:
            axes.plot((10.15, 10.4), (top, top), color=GREY, linewidth=1.1)
            axes.text(10.42, top, "×", color="black", fontsize=11, fontweight="bold", ha="center", va="center")
    if n_heads > SHOWN:
        axes.text(9.15, (tops[-1] + tops[-2]) / 2, "⋮", fontsize=9, **WORDS)
    _box(axes, 10.9, 3.4, 0.65, 1.8, r"$W_o$", size=9)
    _arrow(axes, (11.55, 4.3), (11.95, 4.3))
    _box(axes, 11.95, 4.05, 0.5, 0.5, "+", ORANGE, 10)
    _arrow(axes, (6.5, 4.3), (6.5, 6.55), (12.2, 6.55), (12.2, 4.55), colour=ORANGE)
    axes.text(9.5, 6.73, r"residual: $\mathbf{x}_*$ of CLS goes past the heads", fontsize=7.5, **WORDS)
    _arrow(axes, (12.45, 4.3), (13.05, 4.3))
    axes.text(12.75, 4.62, r"$y_*$", fontsize=10, **WORDS)
    _box(axes, 13.05, 3.55, 0.8, 1.5, "LN\nFFN")
    _arrow(axes, (13.85, 4.3), (14.2, 4.3))
    _box(axes, 14.2, 4.05, 0.5, 0.5, "+", ORANGE, 10)
    _arrow(axes, (12.75, 4.3), (12.75, 2.2), (14.45, 2.2), (14.45, 4.05), colour=ORANGE)
    axes.text(13.6, 1.9, r"residual: $y_*$", fontsize=7.5, **WORDS)
    _arrow(axes, (14.7, 4.3), (15.35, 4.3))
    axes.text(15.15, 4.62, r"$z_*$", fontsize=10, **WORDS)
    _box(axes, 15.35, 3.4, 0.6, 1.8, "LN")
    _arrow(axes, (15.95, 4.3), (16.4, 4.3))
    axes.text(16.6, 4.3, r"$\mathbf{f}$", fontsize=13, **WORDS)
    axes.text(16.3, 3.1, "descriptor", fontsize=7.5, **WORDS)
