"""A painted mask as a recipe: a base picture and strokes in pixels of the original, drawn when asked.

A pixel is painted when its centre is: within the brush's reach of the line, or inside the lasso (even-odd
rule, as SVG draws it). So the browser and Python show the same thing at any size and undo costs no memory.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from foir_lib.errors import InputError, finite
from foir_lib.prompts import Mask

LONGEST = 50_000  # points of one stroke
SMALLEST = 0.75  # pixels: a finer brush could slip between the centres of four pixels


@dataclass(frozen=True)
class Stroke:
    """A brushed line of ``radius`` pixels, or with ``radius=None`` the inside of a lasso; ``erase`` takes away."""

    points: tuple
    radius: float | None = None
    erase: bool = False

    def paint(self, inside):
        """Set (or clear) the stroke's pixels in ``inside``, bool ``(height, width)``."""
        reach, ends = max(self.radius or 0, SMALLEST), zip(self.points, self.points[1:] or self.points)
        lines = (_segment(start, end, reach, *inside.shape) for start, end in ends)
        for rows, columns, pixels in [_polygon(np.array(self.points), *inside.shape)] if self.radius is None else lines:
            inside[rows, columns][pixels] = not self.erase

    def moved(self, dx, dy):
        return replace(self, points=tuple((x + dx, y + dy) for x, y in self.points))


@dataclass(frozen=True, eq=False)
class Painting:
    """What a mask prompt is made of: ``base`` (a Mask or None) shifted by whole pixels, strokes above it."""

    base: Mask | None = None
    offset: tuple = (0, 0)
    strokes: tuple = ()

    def mask(self, size):
        """The pixels as a Mask of a picture of ``size``. Raises InputError when nothing is left."""
        inside = np.zeros((size[1], size[0]), dtype=bool)
        if self.base is not None:
            at = np.argwhere(self.base.pixels(size)) + self.offset[::-1]  # rows, columns; what leaves the picture is lost
            inside[tuple(at[((at >= 0) & (at < inside.shape)).all(axis=1)].T)] = True
        return self._finished(inside, self.strokes)

    def plus(self, stroke, before):
        """The painting with one more stroke, and its Mask made from ``before``, the present one (or an array)."""
        inside = np.array(getattr(before, "array", before))
        return replace(self, strokes=(*self.strokes, stroke)), self._finished(inside, (stroke,))

    def _finished(self, inside, strokes):
        for stroke in strokes:
            stroke.paint(inside)
        if not inside.any():
            erased = any(s.erase for s in strokes)
            empty = "The mask is empty: paint at least one pixel of the picture."
            raise InputError("The mask would be erased to nothing: press Delete to remove it." if erased else empty)
        return Mask(inside)

    @property
    def base_name(self):
        """What the browser calls the base."""
        return None if self.base is None else f"m{id(self.base)}"

    def described(self, box):
        """The recipe as a plain dict for the browser, with the tight ``box`` around what it draws."""
        strokes = [{"points": s.points, "radius": s.radius, "erase": s.erase} for s in self.strokes]
        about = {"base": self.base_name, "offset": self.offset, "box": [box.x0, box.y0, box.x1, box.y1]}
        return {"kind": "mask", "strokes": strokes, **about}

    def moved(self, dx, dy):
        offset = (self.offset[0] + dx, self.offset[1] + dy)
        return replace(self, offset=offset, strokes=tuple(s.moved(dx, dy) for s in self.strokes))


def number(value, name):
    """A finite float, or InputError."""
    if finite(value) and not isinstance(value, bool):
        return float(value)
    raise InputError(f"The {name} {str(value)[:40]!r} is no finite number: give pixels.")


def path(points, least, size, name):
    """Points of a stroke as a tuple of (x, y); far outside a picture of ``size`` they are brought nearer."""
    try:
        n = len(points)
        array = np.array([[number(v, "coordinate") for v in point] for point in points[: LONGEST + 1]], dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"The points of the {name} aren't all pairs of numbers: give x and y.") from error
    if array.ndim != 2 or array.shape[1] != 2 or not least <= n <= LONGEST:
        raise InputError(f"The {name} has {n} points: draw {least} to {LONGEST} pairs of x and y.")
    return tuple(map(tuple, array.clip(-np.array(size), 2 * np.array(size)).tolist()))


def _segment(start, end, radius, height, width):
    """Window (rows, columns) and its pixels whose centres lie within ``radius`` of the segment."""
    rows = _window(start[1], end[1], radius, height)
    columns = _window(start[0], end[0], radius, width)
    y, x = np.ogrid[rows, columns]
    x, y = x + 0.5 - start[0], y + 0.5 - start[1]
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip((x * dx + y * dy) / ((dx * dx + dy * dy) or 1.0), 0, 1)
    return rows, columns, (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius**2


def _window(a, b, radius, n):
    """Slice of the cells 0..n whose centres may lie within ``radius`` of the interval between a and b."""
    low = min(max(math.floor(min(a, b) - radius), 0), n)
    return slice(low, max(low, min(math.ceil(max(a, b) + radius), n)))


def _polygon(points, height, width):
    """Window (rows, columns) and its pixels whose centres lie inside the closed polygon, even-odd rule."""
    (left, top), (right, bottom) = points.min(0), points.max(0)
    rows, columns = _window(top, bottom, 0, height), _window(left, right, 0, width)
    n, m = rows.stop - rows.start, columns.stop - columns.start
    crossings = np.zeros((n, m + 1), dtype=np.uint8)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0)):
        if y0 == y1:
            continue
        low, high = (math.ceil(y - 0.5) for y in sorted((y0, y1)))  # centres with low <= row + 0.5 < high
        at = np.arange(max(low, rows.start), min(high, rows.stop))
        x = x0 + (at + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        column = np.clip(np.ceil(x - 0.5) - columns.start, 0, m).astype(int)
        crossings[at - rows.start, column] ^= 1
    return rows, columns, np.bitwise_xor.accumulate(crossings, axis=1)[:, :m].astype(bool)
