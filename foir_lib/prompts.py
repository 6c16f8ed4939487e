"""Prompts: what a user points at, as a point, a box or a mask, in pixels of the original picture.

Everywhere ``size`` is ``(width, height)`` as PIL gives it and ``grid`` is ``(rows, columns)`` of patch
tokens. Tokens are numbered row by row. The picture is squashed to the network's square, so a patch
covers ``width / columns`` by ``height / rows`` pixels of the original.
"""

import math
import numbers
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

from foir_lib.errors import InputError, finite
from foir_lib.images import rgb

Size: TypeAlias = tuple[int, int]  # (width, height) in pixels
Grid: TypeAlias = tuple[int, int]  # (rows, columns) of patch tokens


@dataclass(frozen=True)
class Box:
    """A box ``x0, y0, x1, y1`` in pixels, exclusive end. Raises InputError when empty or not finite."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self):
        if not all(finite(v) for v in (self.x0, self.y0, self.x1, self.y1)):
            raise InputError(f"{self} has a coordinate that is not a finite number: give four pixel positions.")
        for low, high, name in ((self.x0, self.x1, "x"), (self.y0, self.y1, "y")):
            if high <= low:
                raise InputError(f"{self} is empty: {name}1 must be greater than {name}0.")

    def __str__(self):
        return f"Box ({', '.join(_short(v) for v in (self.x0, self.y0, self.x1, self.y1))})"

    def box(self, size: Size, grid: Grid | None = None) -> "Box":
        """The part of the box inside a picture of ``size``. Raises InputError when nothing is."""
        width, height = _size(size)
        x0, y0, x1, y1 = max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height)
        if x1 <= x0 or y1 <= y0:
            raise InputError(f"{self} lies outside the {width} x {height} picture: draw it on the picture.")
        return Box(x0, y0, x1, y1)

    def pixels(self, size: Size, grid: Grid | None = None) -> np.ndarray:
        """Pixels of the box, bool ``(height, width)``: every pixel it touches."""
        width, height = _size(size)
        b, inside = self.box(size), np.zeros((height, width), dtype=bool)
        inside[math.floor(b.y0) : math.ceil(b.y1), math.floor(b.x0) : math.ceil(b.x1)] = True
        return inside

    def tokens(self, grid: Grid, size: Size, coverage: float = 0.0) -> np.ndarray:
        """Patch tokens of the box, bool ``(N,)``.

        A patch counts when the box covers at least ``coverage`` of it (0: any overlap). If none does,
        the patch under the centre of the box is taken.
        """
        (rows, columns), (width, height) = _grid(grid), _size(size)
        b = self.box(size)
        down = _overlap(b.y0 * rows / height, b.y1 * rows / height, rows)
        across = _overlap(b.x0 * columns / width, b.x1 * columns / width, columns)
        return _choose(down[:, None] * across[None, :], coverage, lambda: ((b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2), size)


@dataclass(frozen=True)
class Point:
    """A click at ``x, y`` pixels; its region is a square of ``window`` x ``window`` patches around it."""

    x: float
    y: float
    window: int = 3

    def __post_init__(self):
        if not (finite(self.x) and finite(self.y)):
            raise InputError(f"{self} is not a finite position: give x and y in pixels.")
        if not (isinstance(self.window, numbers.Real) and self.window >= 1 and self.window % 2 == 1):
            raise InputError(f"Window {self.window!r} of {self} must be an odd number of patches: 1, 3, 5, ...")
        object.__setattr__(self, "window", int(self.window))

    def __str__(self):
        return f"Point ({_short(self.x)}, {_short(self.y)})"

    def _patches(self, grid, size):
        """Patch rectangle (row0, row1, column0, column1) of the window, clipped to the picture."""
        (rows, columns), (width, height) = _grid(grid), _size(size)
        if not (0 <= self.x < width and 0 <= self.y < height):
            raise InputError(f"{self} lies outside the {width} x {height} picture: click on the picture.")
        row, column, reach = int(self.y * rows / height), int(self.x * columns / width), self.window // 2
        down = max(row - reach, 0), min(row + reach + 1, rows)
        return *down, max(column - reach, 0), min(column + reach + 1, columns)

    def tokens(self, grid: Grid, size: Size, coverage: float = 0.0) -> np.ndarray:
        """Patch tokens of the window, bool ``(N,)``; ``coverage`` plays no part, patches are whole."""
        row0, row1, column0, column1 = self._patches(grid, size)
        inside = np.zeros(_grid(grid), dtype=bool)
        inside[row0:row1, column0:column1] = True
        return inside.ravel()

    def box(self, size: Size, grid: Grid | None = None) -> "Box":
        """The window as a pixel box. Raises InputError without a ``grid``: a window is made of patches."""
        if grid is None:
            raise InputError(f"{self} has a window of patches: give the model's grid to turn it into pixels.")
        (rows, columns), (width, height) = _grid(grid), _size(size)
        row0, row1, column0, column1 = self._patches(grid, size)
        return Box(column0 * width / columns, row0 * height / rows, column1 * width / columns, row1 * height / rows)

    def pixels(self, size: Size, grid: Grid | None = None) -> np.ndarray:
        """Pixels of the window, bool ``(height, width)``."""
        return self.box(size, grid).pixels(size)


@dataclass(frozen=True, eq=False)
class Mask:
    """A painted region: a bool array ``(height, width)`` of the picture's own size.

    Numbers too: zeros and one other value; greys as a JPEG leaves them, and probabilities, from half of their range on.
    """

    array: np.ndarray

    def __post_init__(self):
        try:
            array = np.asarray(self.array.detach() if hasattr(self.array, "detach") else self.array)
        except ValueError as error:
            raise InputError("Mask is no array: its rows have different lengths, give (height, width).") from error
        if array.ndim != 2:
            raise InputError(f"Mask has shape {array.shape}: give one channel, (height, width), e.g. mask[..., 0].")
        if array.dtype.kind not in "buif":
            raise InputError(f"Mask holds {array.dtype.name} instead of numbers: give zeros and ones.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError("Mask holds values that are not finite: give zeros and ones.")
        array = np.array(array if array.dtype == bool else _inside(array))
        if not array.any():
            raise InputError(f"Mask of {array.shape[1]} x {array.shape[0]} pixels is empty: paint at least one pixel.")
        array.setflags(write=False)
        object.__setattr__(self, "array", array)

    def __str__(self):
        return f"Mask ({int(self.array.sum())} of {self.array.shape[1]} x {self.array.shape[0]} pixels)"

    def pixels(self, size: Size, grid: Grid | None = None) -> np.ndarray:
        """The mask itself. Raises InputError when it hasn't the picture's ``size``."""
        width, height = _size(size)
        if self.array.shape != (height, width):
            sizes = f"{self.array.shape[1]} x {self.array.shape[0]} pixels but the picture is {width} x {height}"
            raise InputError(f"Mask is {sizes}: resize the mask to the picture.")
        return self.array

    def box(self, size: Size, grid: Grid | None = None) -> "Box":
        """The tight box around the mask."""
        pixels = self.pixels(size)
        ys, xs = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        return Box(float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))

    def tokens(self, grid: Grid, size: Size, coverage: float = 0.0) -> np.ndarray:
        """Patch tokens of the mask, bool ``(N,)``; ``coverage`` and the fall-back as for :class:`Box`."""
        pixels = self.pixels(size)
        return _choose(patch_shares(pixels, _grid(grid)), coverage, lambda: [float(c.mean()) + 0.5 for c in np.nonzero(pixels)[::-1]], size)


Prompt: TypeAlias = Box | Point | Mask


def crop(picture: Image.Image, prompt: Prompt, grid: Grid | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """The part of a picture in the box of ``prompt``, every pixel it touches, and where its corner (x0, y0) was.

    A point needs the model's ``grid``. Raises InputError for a prompt off the picture.
    """
    picture = rgb(picture)
    box = prompt.box(picture.size, grid)
    x0, y0 = math.floor(box.x0), math.floor(box.y0)
    return picture.crop((x0, y0, math.ceil(box.x1), math.ceil(box.y1))), (x0, y0)


def _inside(array):
    """Pixels of a mask of numbers: those above half of its range; InputError for labels and negative values."""
    low, top = float(array.min(initial=0)), float(array.max(initial=0))
    if low < 0:
        raise InputError(f"Mask holds values from {low:g} to {top:g}: give zeros and ones, or probabilities.")
    if array.dtype.kind == "f" and (array % 1).any():
        return array >= max(top, 1) / 2
    if ((array == 0) | (array == top)).all():
        return array > 0
    values = np.unique(array)
    ends = values[(values <= top / 8) | (values >= top * 7 / 8)]  # of two levels, saved as a JPEG
    if top < 128 or (2 < len(values) <= 8 and (len(ends) < len(values) or ends[-2] < top / 2)):
        some = ", ".join(f"{v:g}" for v in values[:4]) + (", ..." if len(values) > 4 else "")
        raise InputError(f"Mask holds the labels {some}: choose which are meant, e.g. mask == {values[-1]:g}.")
    return array >= top / 2


def _short(value):
    if isinstance(value, int) and not finite(value):
        return f"{'-' * (value < 0)}1e{len(str(abs(value))) - 1}"
    return f"{value:g}" if isinstance(value, numbers.Real) else repr(value)


def _size(size):
    return _pair(size, "Picture size", "(width, height) in pixels")


def _grid(grid):
    return _pair(grid, "Patch grid", "(rows, columns) of tokens")


def _pair(pair, what, order):
    first, second = pair
    if first < 1 or second < 1:
        raise InputError(f"{what} {tuple(pair)} is empty: give {order}.")
    return int(first), int(second)


def _overlap(low, high, n):
    """Share of each of ``n`` unit cells covered by the interval ``[low, high]``, float ``(n,)``."""
    cells = np.arange(n)
    return np.clip(np.minimum(cells + 1, high) - np.maximum(cells, low), 0, 1)


def patch_shares(pixels, grid):
    """Share of each patch that the mask, bool ``(height, width)``, covers, float ``(rows, columns)``, exact for any patch size."""
    (rows, columns), (height, width) = grid, pixels.shape
    edges = np.linspace(0, height, rows + 1)
    whole = np.minimum(edges.astype(int), height - 1)  # counted row by row up to here; then a fraction of one row
    counts = [np.zeros(width), *(np.count_nonzero(pixels[low:high], axis=0) for low, high in zip(whole, whole[1:]))]
    above = np.cumsum(counts, axis=0) + (edges - whole)[:, None] * pixels[whole]
    return np.diff(above, axis=0) @ _shares(width, columns).T * (rows / height)


def _shares(length, n):
    """Share of each of ``n`` patches that each of ``length`` pixels makes up, float ``(n, length)``."""
    edges, pixel = np.linspace(0, length, n + 1)[:, None], np.arange(length)
    return np.clip(np.minimum(pixel + 1, edges[1:]) - np.maximum(pixel, edges[:-1]), 0, None) * n / length


def _choose(covered, coverage, centre, size):
    """Patches covered at least ``coverage`` (0: at all); else the one under ``centre()``."""
    if not 0 <= coverage <= 1:
        raise InputError(f"Coverage {coverage} must lie between 0 (any overlap) and 1 (whole patches).")
    chosen = covered >= max(coverage - 1e-9, 1e-9)  # what isn't touched never counts
    if not chosen.any():
        (rows, columns), (width, height), (x, y) = covered.shape, size, centre()
        chosen[min(int(y * rows / height), rows - 1), min(int(x * columns / width), columns - 1)] = True
    return chosen.ravel()
