"""Draws the pictures of the mini world, and its random numbers, with numpy alone.

Pixel arrays only ever see + - * / sqrt, floor, min, max and comparisons: IEEE 754 fixes the result
of each of these to the last bit, so that every machine draws the same picture (no sin, exp, matrix
product or float sum).
Positions are (x, y) in pixels, colours RGB in [0, 1], pictures (height, width, 3) float64.
"""

import json
from pathlib import Path

import numpy as np

Rng = np.random.Generator


def numbers(name: str) -> dict:
    """Colours, sizes and chances of a part of the world: the JSON file ``name`` in the folder worlds."""
    return json.loads((Path(__file__).with_name("worlds") / f"{name}.json").read_text(encoding="utf-8"))


WORLD = numbers("focus")
HUES, SHAPES, PLACES = WORLD["hues"], WORLD["shapes"], tuple(WORLD["places"])


def stream(seed: int, *key: int) -> Rng:
    """The random stream of ``key`` (small whole numbers) in the world of ``seed``.

    The two are hashed together, so that no seed of one key leads to the stream of another.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def clip01(x: np.ndarray) -> np.ndarray:
    """Clip an array to [0, 1]."""
    return np.minimum(np.maximum(x, 0.0), 1.0)


def between(rng: Rng, low: float, high: float) -> float:
    """A float drawn uniformly from [low, high)."""
    return low + (high - low) * rng.random()


def distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance (negative inside) to a shape of radius 1; u right, v down, equal shapes."""
    au, av = np.abs(u), np.abs(v)
    if shape == "disc":
        return np.sqrt(u * u + v * v) - 0.95
    if shape == "ring":
        return np.abs(np.sqrt(u * u + v * v) - 0.68) - 0.29
    if shape == "crescent":
        bite = 0.78 - np.sqrt((u - 0.52) * (u - 0.52) + (v + 0.12) * (v + 0.12))
        return np.maximum(np.sqrt(u * u + v * v) - 1.0, bite)
    if shape == "square":
        return np.maximum(au, av) - 0.80
    if shape == "triangle":
        return np.maximum(au * 0.8660254 - (v - 0.16) * 0.5, v - 0.16) - 0.56
    if shape == "cross":
        return np.minimum(np.maximum(au - 0.33, av - 0.95), np.maximum(au - 0.95, av - 0.33))
    if shape == "heart":
        x, y = au * 0.60, 0.56 - v * 0.60
        rest, lobe = 0.5 * np.maximum(x + y, 0.0), np.sqrt((x - 0.25) ** 2 + (y - 0.75) ** 2)
        tip = np.minimum(x * x + (y - 1.0) ** 2, (x - rest) ** 2 + (y - rest) ** 2)
        edge = np.sqrt(tip) * np.where(x > y, 1.0, -1.0)
        return np.where(x + y > 1.0, lobe - 0.35355339, edge) / 0.60
    # the star: fold the plane five times, then the distance to one edge
    x, y, cos, sin = au, -v, 0.80901699, 0.58778525
    fold = np.maximum(cos * x - sin * y, 0.0)
    x, y = x - 2 * cos * fold, y + 2 * sin * fold
    fold = np.maximum(-cos * x - sin * y, 0.0)
    x, y = np.abs(x + 2 * cos * fold), y + 2 * sin * fold - 1.0
    a, b = 0.5 * sin, 0.5 * cos - 1.0
    t = np.minimum(np.maximum((x * a + y * b) / (a * a + b * b), 0.0), 1.0)
    side = np.where(y * a - x * b > 0, 1.0, -1.0)
    return np.sqrt((x - a * t) ** 2 + (y - b * t) ** 2) * side


def wave(x: np.ndarray) -> np.ndarray:
    """Triangle wave of period 1 in [-1, 1]."""
    return 4.0 * np.abs(x - np.floor(x) - 0.5) - 1.0


def pattern(texture: str, u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    """Share of the second colour in [0, 1] at unit coordinates of an object of `radius` pixels."""
    if texture == "plain":
        return np.zeros_like(u)
    if texture == "striped":
        return clip01(0.5 + wave(1.7 * v + 0.25) * radius * 0.12)
    if texture == "checked":
        return clip01(0.5 + wave(1.25 * u + 0.25) * wave(1.25 * v + 0.25) * radius * 0.25)
    du, dv = u - 0.56 * np.floor(u / 0.56 + 0.5), v - 0.56 * np.floor(v / 0.56 + 0.5)
    return clip01(0.5 + (0.19 - np.sqrt(du * du + dv * dv)) * radius)


def noise(rng: Rng, height: int, width: int, cell: float) -> np.ndarray:
    """Smooth random field in [0, 1] with features of `cell` pixels."""
    lattice = rng.random((int(height / cell) + 2, int(width / cell) + 2))
    y, x = np.arange(height) / cell, np.arange(width) / cell
    row, col = np.floor(y).astype(int), np.floor(x).astype(int)
    y, x = (y - row)[:, None], (x - col)[None]
    y, x = y * y * (3 - 2 * y), x * x * (3 - 2 * x)
    rows = lattice[row] * (1 - y) + lattice[row + 1] * y
    return rows[:, col] * (1 - x) + rows[:, col + 1] * x


def blend(low: tuple, high: tuple, t: np.ndarray) -> np.ndarray:
    """Colour between two RGB triples for every value of t."""
    low, high = np.asarray(low), np.asarray(high)
    return low + (high - low) * t[..., None]


def background(rng: Rng, place: str, height: int, width: int) -> np.ndarray:
    """An empty scene of one of PLACES, its sky and its ground; (height, width, 3)."""
    y = np.arange(height)[:, None] + np.zeros((1, width))
    horizon = between(rng, 0.15, 0.45) * height
    coarse, fine = noise(rng, height, width, between(rng, 14, 30)), noise(rng, height, width, 4.0)
    sky, ground = y / horizon, (y - horizon) / (height - horizon)
    below = clip01(y - horizon + 4 * (coarse - 0.5))[..., None]
    if place == "meadow":
        above, down = 0.6 * sky + 0.9 * (coarse - 0.4), 0.5 * ground + 0.5 * fine
    elif place == "sea":
        ripple = wave(ground * (2.2 - ground) * 7 + 1.6 * coarse + 0.5 * fine)
        above, down = 0.8 * sky + 0.5 * (coarse - 0.5), 0.45 + 0.4 * ripple - 0.2 * ground
    elif place == "town":
        above, down = sky, 0.6 * ground + 0.7 * (fine - 0.3)
    else:
        caustic = 1 - np.abs(2 * coarse - 1) - 0.6 * np.abs(2 * fine - 1)
        above, down = sky, 0.2 + 0.7 * caustic - 0.5 * ground
    colours = WORLD["places"][place]
    up, down = blend(*colours["sky"], clip01(above)), blend(*colours["ground"], clip01(down))
    if place == "meadow":
        down = down * (0.8 + 0.4 * coarse[..., None])
    image = up * (1 - below) + down * below
    DETAILS[place](rng, image, int(horizon))
    return image


def _meadow(rng, image, horizon):
    height, width = image.shape[:2]
    for _ in range(70):  # blades of grass, some with a flower
        col, foot = int(rng.integers(width)), int(rng.integers(horizon + 4, height + 6))
        image[max(horizon, foot - int(rng.integers(3, 9))) : foot, col] *= between(rng, 0.6, 1.35)


def _sea(rng, image, horizon):
    height, width = image.shape[:2]
    for _ in range(26):  # foam
        row, col = int(rng.integers(horizon, height)), int(rng.integers(width))
        length = int(rng.integers(3, 6 + (row - horizon) // 6))
        image[row, col : col + length] = 0.35 * image[row, col : col + length] + 0.6


def _town(rng, image, horizon):
    height, width = image.shape[:2]
    for _ in range(24):  # stars
        image[int(rng.integers(horizon)), int(rng.integers(width))] = between(rng, 0.5, 1.0)
    left = -int(rng.integers(12))
    while left < width:  # houses with lit windows, behind the street
        right = left + int(rng.integers(14, 30))
        roof = int(horizon * between(rng, 0.1, 0.9))
        foot = min(height, horizon + int(rng.integers(4, height // 3)))
        cols = slice(max(left, 0), right)
        image[roof:foot, cols] = between(rng, 0.06, 0.2) * np.array((1.0, 0.95, 1.2))
        for row in range(roof + 3, foot - 4, 6):
            for col in range(max(left, 0) + 3, min(right, width) - 3, 5):
                if rng.random() < 0.4:
                    image[row : row + 3, col : col + 2] = (0.95, between(rng, 0.7, 0.85), 0.35)
        left = right + int(rng.integers(4))


def _lagoon(rng, image, horizon):
    height, width = image.shape[:2]
    y, x = np.ogrid[:height, :width]
    for _ in range(9):  # bubbles
        radius, cx, cy = (between(rng, 1.5, 4.5), between(rng, 0, width), between(rng, horizon, height))
        rows = slice(max(int(cy) - 6, 0), int(cy) + 7)
        cols = slice(max(int(cx) - 6, 0), int(cx) + 7)
        gap = np.abs(np.sqrt((x[:, cols] - cx) ** 2 + (y[rows] - cy) ** 2) - radius)
        image[rows, cols] += 0.35 * clip01(1.1 - gap)[..., None]
    for _ in range(14):  # weed
        col, top = int(rng.integers(width)), int(between(rng, 0.6, 0.95) * height)
        image[top:, col : col + 2] *= between(rng, 0.35, 0.7)


DETAILS = {"meadow": _meadow, "sea": _sea, "town": _town, "lagoon": _lagoon}


def paint(
    image: np.ndarray, rng: Rng, shape: str, hue: str, texture: str, centre: tuple[float, float], radius: float
) -> np.ndarray:
    """Paint one object into `image` in place and return its mask, bool (height, width).

    The object is turned by up to 20 degrees, its colour and brightness vary, light comes from the
    top left, and a soft shadow lies around it. It may reach over the border of the picture.
    """
    height, width = image.shape[:2]
    (cx, cy), reach = centre, radius * 1.12 + 4
    rows = slice(max(int(cy - reach), 0), min(int(cy + reach) + 2, height))
    cols = slice(max(int(cx - reach), 0), min(int(cx + reach) + 2, width))
    x = (np.arange(cols.start, cols.stop) - cx)[None] / radius
    y = (np.arange(rows.start, rows.stop) - cy)[:, None] / radius
    slope = between(rng, -0.36, 0.36)
    cos, sin = 1 / np.sqrt(1 + slope * slope), slope / np.sqrt(1 + slope * slope)
    u, v = cos * x + sin * y, cos * y - sin * x
    gap = distance(shape, u, v) * radius
    cover, shadow = clip01(0.5 - gap)[..., None], 0.3 * clip01(1 - gap / 3)[..., None]
    base = np.array(HUES[hue]) + 0.14 * (rng.random(3) - 0.5)
    second = 0.25 * base + 0.72 if rng.random() < 0.6 else 0.35 * base
    gain = between(rng, 0.72, 1.12) * (1 - 0.14 * (x + y))
    rim = 1 - 0.4 * clip01((gap + 2.0) / 1.5)
    colour = blend(base, second, pattern(texture, u, v, radius)) * (gain * rim)[..., None]
    window = image[rows, cols] * (1 - shadow)
    image[rows, cols] = window * (1 - cover) + clip01(colour) * cover
    mask = np.zeros((height, width), bool)
    mask[rows, cols] = cover[..., 0] > 0.5
    return mask


def develop(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Light and grain of one exposure: (height, width, 3) float -> uint8."""
    height, width = image.shape[:2]
    tint = between(rng, 0.72, 1.15) * (1 + 0.16 * (rng.random(3) - 0.5))
    across, down = between(rng, -0.22, 0.22), between(rng, -0.12, 0.12)
    light = 1 + across * (np.arange(width) / width - 0.5)[None] + down * (np.arange(height) / height - 0.5)[:, None]
    grain = 0.04 * (rng.random((height, width)) - 0.5)
    image = clip01(image * light[..., None] * tint + grain[..., None])
    return np.floor(image * 255 + 0.5).astype(np.uint8)
