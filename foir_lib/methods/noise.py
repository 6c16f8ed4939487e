"""Prompt noise (PHS supplement A3): boxes as careless users draw them."""

import numpy as np

from foir_lib.prompts import Box

NOISE_PIXELS = 40  # m of the paper, in pixels of the original picture


def noisy(box: Box, size: tuple[int, int], rng: np.random.Generator, m: int = NOISE_PIXELS) -> Box:
    """``box`` shifted and resized at random, in pixels of the original picture (PHS eqs. A9, A10).

    Shift c and resize l are uniform whole numbers in [-m, m] for x and y: ``(x0, y0) + c - l``,
    ``(x1, y1) + c + l``. ``rng`` is a numpy Generator. Ours: a box that turns inside out is put in order, the
    result is clipped to the picture and is at least one pixel wide and high.
    """
    cx, cy, lx, ly = (int(n) for n in rng.integers(-m, m, 4, endpoint=True))
    width, height = size
    x0, x1 = _in_order(box.x0 + cx - lx, box.x1 + cx + lx, width)
    y0, y1 = _in_order(box.y0 + cy - ly, box.y1 + cy + ly, height)
    return Box(x0, y0, x1, y1)


def _in_order(a, b, end):
    """Sorted, clipped to [0, end], at least one pixel long."""
    low, high = min(max(min(a, b), 0), end - 1), min(max(a, b), end)
    return low, max(high, low + 1)
