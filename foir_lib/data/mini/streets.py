"""Photographs of drawn landmarks: streets with facades in perspective, trees, people and lamps, by day and night.

Every pixel of a picture is traced back to the sheet of its facade, so a view needs no matrix; see
`render` for why only + - * / sqrt, floor, min and max are used.
"""

from typing import NamedTuple

import numpy as np

from foir_lib.data.mini.render import Rng, between, blend, clip01, develop, noise, numbers

WIDTH, HEIGHT = 192, 160
WORLD = numbers("town")
LIGHTS = {name: {what: np.array(value) for what, value in light.items()} for name, light in WORLD["lights"].items()}


class View(NamedTuple):
    """Where a facade stands in a picture: centre and height in pixels, and how it is turned.

    turn: tangent of the angle to its side; near: height of the facade over the distance to it; roll,
    lean: tilt and converging verticals, as tangents.
    """

    x: float
    y: float
    tall: float
    turn: float
    near: float
    roll: float
    lean: float


class Instance(NamedTuple):
    """One landmark of a picture: its number, visible pixels (bool), visible share of all of it, turn of its view; and the visible pixels of
    its marked parts (n, HEIGHT, WIDTH), none where sheets mark none."""

    landmark: int
    mask: np.ndarray
    share: float
    turn: float
    parts: np.ndarray | tuple = ()


def sheets(sheet: np.ndarray) -> list[np.ndarray]:
    """A sheet and its halves, quarters, ... for views from afar."""
    levels = [sheet]
    while min(levels[-1].shape[:2]) > 12:
        height, width = levels[-1].shape[:2]
        last = np.pad(levels[-1], ((0, height % 2), (0, width % 2), (0, 0)))
        levels.append((last[::2, ::2] + last[1::2, ::2] + last[::2, 1::2] + last[1::2, 1::2]) / 4)
    return levels


def trace(view: View, px: np.ndarray, py: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From pixels to the facade: u, v in heights of it from its centre, and whether it lies before the camera."""
    a, b = (px - view.x) / view.tall, (py - view.y) / view.tall
    norm = np.sqrt(1 + view.roll * view.roll)
    a, b = (a + view.roll * b) / norm, (b - view.roll * a) / norm
    a = a / np.maximum(1 + view.lean * b, 0.1)
    cos, sin = 1 / np.sqrt(1 + view.turn * view.turn), view.turn / np.sqrt(1 + view.turn * view.turn)
    below = cos - view.near * sin * a
    u = a / np.where(below > 0.05, below, 1.0)
    depth = 1 + view.near * sin * u
    return u, b * depth, (below > 0.05) & (depth > 0.2)


def project(levels: list[np.ndarray], view: View) -> tuple[tuple[slice, slice], np.ndarray, float]:
    """A facade in its view: the window (rows, cols) of the picture, (h, w, 5) colours, and its whole area in pixels."""
    sheet = levels[0]
    half = sheet.shape[1] / len(sheet) / 2
    y, x = np.meshgrid(np.arange(-HEIGHT, 2 * HEIGHT, 6) + 3.0, np.arange(-WIDTH, 2 * WIDTH, 6) + 3.0, indexing="ij")
    u, v, before = trace(view, x, y)
    inside = before & (np.abs(u) < half) & (np.abs(v) < 0.5)
    last = levels[-1]
    tall, wide = len(sheet) / 2 ** (len(levels) - 1), sheet.shape[1] / 2 ** (len(levels) - 1)
    row = np.minimum(((np.where(inside, v, 0) + 0.5) * tall).astype(int), len(last) - 1)
    col = np.minimum(((np.where(inside, u, 0) / half / 2 + 0.5) * wide).astype(int), last.shape[1] - 1)
    area = float(np.sum(np.floor(np.where(inside, last[row, col, 3], 0) * 256))) / 256 * 36
    rows, cols = _span(y[inside], HEIGHT), _span(x[inside], WIDTH)
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0, 5)), area
    py, px = np.ogrid[rows, cols]
    u, v, before = trace(view, px + 0.5, py + 0.5)
    level, zoom = 0, len(sheet) / view.tall
    while zoom > 1.4 and level < len(levels) - 1:
        level, zoom = level + 1, zoom / 2
    tall, wide = len(sheet) / 2**level, sheet.shape[1] / 2**level  # without what rounding up has added
    window = _sample(levels[level], (u / half / 2 + 0.5) * wide, (v + 0.5) * tall)
    return (rows, cols), np.where(before[..., None], window, 0.0), area


def _span(at, length):
    """The part of 0 to ``length`` that positions ``at`` fill, and 8 pixels about them; nothing without any."""
    return slice(max(int(at.min()) - 8, 0), max(min(int(at.max()) + 9, length), 0)) if at.size else slice(0, 0)


def _sample(sheet, x, y):
    """Bilinear colours of a sheet at pixels of it, from 0 to its width and height; nothing outside."""
    height, width = sheet.shape[:2]
    padded = np.pad(sheet, ((1, 1), (1, 1), (0, 0)))
    x = np.minimum(np.maximum(x + 0.5, 0), width + 0.999)
    y = np.minimum(np.maximum(y + 0.5, 0), height + 0.999)
    col, row = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - col)[..., None], (y - row)[..., None]
    top = padded[row, col] * (1 - fx) + padded[row, col + 1] * fx
    bottom = padded[row + 1, col] * (1 - fx) + padded[row + 1, col + 1] * fx
    colours = top * (1 - fy) + bottom * fy
    cover = colours[..., 3:4]
    colours[..., :3] = colours[..., :3] / np.maximum(cover, 1e-6)  # nothing was black, not absent
    colours[..., 4:] = colours[..., 4:] / np.maximum(cover, 1e-6)
    return colours


def photograph(
    rng: Rng, light: str, horizon: float, buildings: list[tuple], houses: list[list[np.ndarray]], fronts: list[tuple]
) -> tuple[np.ndarray, list[Instance]]:
    """A picture, uint8 (HEIGHT, WIDTH, 3), and the Instances of landmarks on it, nearest last.

    light: one of LIGHTS. horizon: its row. buildings: (landmark or -1, sheets, View), farthest first; houses: sheets
    of a row of houses behind all. fronts: (kind, x, foot, height in pixels) of what stands before them.
    """
    image, x = _empty(rng, light, horizon), -between(rng, 0, 30)
    while houses and x < WIDTH:
        house, tall = houses[rng.integers(len(houses))], between(rng, 0.12, 0.34) * HEIGHT
        wide = tall * house[0].shape[1] / len(house[0])
        if rng.random() < 0.8:
            _stand(image, light, house, View(x + wide / 2, horizon + 3 - tall / 2, tall, 0.0, 0.2, 0.0, 0.0), 0.35)
        x += wide * between(rng, 0.9, 1.3)
    masks, areas, parts = [], [], []
    for landmark, levels, view in buildings:
        cover, area, marks = _stand(image, light, levels, view, 0.0, floodlit=landmark >= 0)
        masks, areas, parts = [*(mask & ~cover for mask in masks), cover], [*areas, area], [*parts, marks]
    for kind, x, foot, tall in fronts:
        cover = _front(image, rng, kind, x, foot, tall, light)
        masks = [mask & ~cover for mask in masks]
    shares = [min(float(mask.sum() / max(area, 1.0)), 1.0) for mask, area in zip(masks, areas, strict=True)]
    things = zip(buildings, masks, shares, parts, strict=True)
    instances = [Instance(number, mask, share, view.turn, marks & mask) for (number, _, view), mask, share, marks in things if number >= 0]
    return develop(rng, clip01(image)), instances


def _stand(image, light, levels, view, haze, floodlit=True):
    """Paint a building; its mask, bool (HEIGHT, WIDTH), the area of all of it, and its marked parts, bool (n, HEIGHT, WIDTH)."""
    (rows, cols), window, area = project(levels, view)
    mask, marks = np.zeros(image.shape[:2], bool), np.zeros((levels[0].shape[2] - 5, *image.shape[:2]), bool)
    if not window.size:
        return mask, area, marks
    colour, cover, glass = window[..., :3], window[..., 3:4], window[..., 4:5]
    lamp = LIGHTS[light]["lamp"]
    if light == "night":
        up = ((view.y + view.tall / 2 - np.arange(rows.start, rows.stop)) / view.tall)[:, None, None]
        glow = np.array((1.0, 0.82, 0.50)) * (clip01(0.95 - 0.75 * up) if floodlit else 0.25)
        colour = colour * np.maximum(lamp, glow) * (1 - glass) + glass * np.array((0.98, 0.80, 0.42)) * 0.9
    else:
        colour = colour * lamp
    colour = colour * (1 - haze) + LIGHTS[light]["haze"] * haze
    image[rows, cols] = image[rows, cols] * (1 - cover) + colour * cover
    mask[rows, cols] = cover[..., 0] > 0.5
    marks[:, rows, cols] = np.moveaxis(window[..., 5:] > 0.5, 2, 0)
    return mask, area, marks


def _empty(rng, light, horizon):
    """Sky with clouds or stars, and the ground."""
    colours = LIGHTS[light]
    y = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))
    coarse, fine = noise(rng, HEIGHT, WIDTH, between(rng, 20, 44)), noise(rng, HEIGHT, WIDTH, 5.0)
    sky = blend(colours["sky"], colours["haze"], clip01(y / horizon))
    cloud = clip01(2.6 * (coarse - 0.5) + 0.5 * (fine - 0.5))[..., None]
    sky = sky * (1 - 0.6 * cloud) + colours["cloud"] * colours["strength"] * 0.6 * cloud
    base = np.array(WORLD["grounds"][rng.integers(5)]) * colours["lamp"] * between(rng, 0.8, 1.15)
    depth = clip01((y - horizon) / (HEIGHT - horizon + 1))
    ground = base * (1.06 - 0.25 * depth + 0.28 * (fine - 0.5) + 0.2 * (coarse - 0.5))[..., None]
    return np.where((y > horizon)[..., None], ground, sky)


def _front(image, rng, kind, x, foot, tall, light):
    """Paint what stands before the buildings; its mask, bool (HEIGHT, WIDTH)."""
    mask = np.zeros(image.shape[:2], bool)
    rows = slice(max(int(foot - 1.1 * tall) - 2, 0), max(int(foot) + 3, 0))
    cols = slice(max(int(x - 1.2 * tall) - 3, 0), max(int(x + 1.2 * tall) + 4, 0))
    window = image[rows, cols]
    if window.size:
        right = (np.arange(window.shape[1]) + cols.start + 0.5 - x)[None] + np.zeros((len(window), 1))
        up = (foot - np.arange(len(window)) - rows.start - 0.5)[:, None] + np.zeros((1, window.shape[1]))
        for cover, colour in FRONTS[kind](rng, right, up, tall, LIGHTS[light]):
            cover = clip01(0.5 + cover)[..., None]
            window[:] = window * (1 - cover) + colour * cover
            mask[rows, cols] |= cover[..., 0] > 0.5
    return mask


def _bar(right, low, high, half, up):
    """Signed distance (positive inside) to an upright bar of width 2 half from low to high."""
    return np.minimum(half - np.abs(right), np.minimum(up - low, high - up))


def _disc(right, up, radius):
    return radius - np.sqrt(right * right + up * up)


def _tree(rng, right, up, tall, light):
    leaf = noise(rng, *right.shape, max(tall / 14, 2.0))
    green = np.array(WORLD["greens"][rng.integers(3)]) * light["lamp"]
    yield _bar(right, 0, 0.5 * tall, 0.045 * tall, up), np.array((0.30, 0.22, 0.15)) * light["lamp"]
    crown = 0.5 * _disc(1.14 * right, up - 0.66 * tall, 0.36 * tall) + (leaf - 0.5) * tall * 0.16
    yield crown, green * (0.6 + 0.8 * leaf)[..., None]


def _person(rng, right, up, tall, light):
    yield _bar(right, 0, 0.44 * tall, 0.10 * tall, up), np.array((0.15, 0.16, 0.24)) * light["lamp"]
    yield _bar(right, 0.42 * tall, 0.82 * tall, 0.15 * tall, up), (rng.random(3) * 0.8 + 0.1) * light["lamp"]
    yield _disc(right, up - 0.9 * tall, 0.085 * tall), np.array((0.80, 0.60, 0.48)) * light["lamp"]


def _lamp(rng, right, up, tall, light):
    yield _bar(right, 0, 0.9 * tall, max(0.018 * tall, 0.7), up), np.array((0.12, 0.13, 0.14))
    yield _disc(right, up - 0.93 * tall, 0.06 * tall), light["lit"]


def _bus(rng, right, up, tall, light):
    yield _bar(right, 0.12 * tall, tall, 1.15 * tall, up), (rng.random(3) * 0.7 + 0.2) * light["lamp"]
    yield _bar(right, 0.52 * tall, 0.84 * tall, tall, up), np.array((0.2, 0.26, 0.32)) * light["lamp"]
    yield _disc(np.abs(right) - 0.7 * tall, up - 0.15 * tall, 0.16 * tall), np.array((0.08, 0.08, 0.08)) * light["lamp"]


FRONTS = {"tree": _tree, "person": _person, "lamp": _lamp, "bus": _bus}
