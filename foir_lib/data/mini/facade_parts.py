"""The parts facades are put together from: windows, towers, roofs, portals, painted on a sheet with numpy alone.

A sheet is float (height, width, 5): RGB, coverage, and share of window glass. Boxes are x0, y0, x1, y1 in pixels of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foir_lib.data.mini.render import Rng, clip01, noise, wave

Colour = np.ndarray | tuple[float, ...]  # RGB in [0, 1]
TALL = 176  # pixels per unit of height on the sheet a facade is drawn on
TOPS = {"spire": ("triangle", 1.0), "pyramid": ("triangle", 0.55), "dome": ("dome", 0.62)}  # form, share of the height
CROWNS = {"gable": 0.32, "hip": 0.20, "dome": 0.30, "steps": 0.34}  # height over width


def outline(form: str, x: np.ndarray, y: np.ndarray, half: float, tall: float) -> np.ndarray:
    """Signed distance in pixels (negative inside) to a form of width 2 half, height 2 tall, about (0, 0); y down."""
    ax, spring = np.abs(x), half - tall
    sides = np.maximum(ax - half, y - tall)
    if form == "arch":
        return np.where(y < spring, np.sqrt(x * x + (y - spring) * (y - spring)) - half, sides)
    if form == "pointed":
        spring = min(1.7 * half - tall, tall)
        bow = np.sqrt((ax + half) * (ax + half) + (y - spring) * (y - spring)) - 2 * half
        return np.where(y < spring, bow, sides)
    if form == "round":
        return (np.sqrt((x / half) * (x / half) + (y / tall) * (y / tall)) - 1) * min(half, tall)
    if form == "dome":
        low = y - tall
        bow = (np.sqrt((x / half) * (x / half) + (low / (2 * tall)) * (low / (2 * tall))) - 1) * min(half, 2 * tall)
        return np.maximum(bow, low)
    if form == "triangle":
        slant = np.sqrt(4 * tall * tall + half * half)
        return np.maximum((ax * 2 * tall - half * (y + tall)) / slant, y - tall)
    if form == "trapeze":
        return np.maximum((ax - 0.7 * half - 0.3 * half * (y + tall) / (2 * tall)) * 0.9, np.abs(y) - tall)
    return np.maximum(ax - half, np.abs(y) - tall)


def put(
    sheet: np.ndarray, form: str, x0: float, y0: float, x1: float, y1: float,
    colour: Colour, shade: float = 0.0, glass: float = 0.0,
) -> None:  # fmt: skip
    """Paint a form into the box (pixels of the sheet); shade darkens its right side, as round towers do."""
    rows = slice(max(int(y0) - 1, 0), max(int(y1) + 2, 0))
    cols = slice(max(int(x0) - 1, 0), max(int(x1) + 2, 0))
    window = sheet[rows, cols]
    if not window.size or x1 - x0 < 0.5 or y1 - y0 < 0.5:
        return
    y = (np.arange(window.shape[0]) + rows.start + 0.5 - (y0 + y1) / 2)[:, None]
    x = (np.arange(window.shape[1]) + cols.start + 0.5 - (x0 + x1) / 2)[None]
    cover = clip01(0.5 - outline(form, x + 0 * y, y + 0 * x, (x1 - x0) / 2, (y1 - y0) / 2))[..., None]
    lit = 1 - shade * (0.5 + x / (x1 - x0))
    one = np.ones((*cover.shape[:2], 1))
    painted = np.concatenate([np.asarray(colour) * (lit + 0 * y)[..., None], one, glass * one], axis=2)
    sheet[rows, cols] = window * (1 - cover) + painted * cover


def disc(sheet: np.ndarray, x: float, y: float, radius: float, colour: Colour, glass: float = 0.0) -> None:
    """Paint a disc about (x, y)."""
    put(sheet, "round", x - radius, y - radius, x + radius, y + radius, colour, glass=glass)


def masonry(sheet: np.ndarray, rng: Rng, kind: str, trim: Colour) -> None:
    """Lines between the stones of what stands on the sheet, and stains."""
    height, width = sheet.shape[:2]
    y, x = np.arange(height)[:, None], np.arange(width)[None]
    lines = np.zeros((height, width))
    if kind in ("courses", "bricks"):
        step = 11 if kind == "courses" else 6
        lines = 0.16 * ((y % step == 0) | ((x + step * (y // step % 2)) % (2 * step) == 0))
    elif kind == "bands":
        lines = 0.30 * (y // 9 % 2) + 0 * x
    elif kind == "timber":
        lines = 0.75 * ((wave((x + y) / 46) > 0.86) | (wave((x - y) / 46) > 0.86) | (y % 44 < 3))
    stain = 0.88 + 0.24 * noise(rng, height, width, 13.0)
    mixed = sheet[..., :3] * (1 - lines[..., None]) + (0.35 if kind != "timber" else 0.5) * trim * lines[..., None]
    sheet[..., :3] = clip01(mixed * stain[..., None])


def tower(sheet: np.ndarray, facade: NamedTuple, x: float, foot: float, stretch: float) -> None:
    """A tower about the column x, ``stretch`` times as tall as the facade's shape says."""
    tower, rise = TALL * facade.shape[2], TALL * facade.shape[3] * stretch
    wall, roof, trim = (np.array(v) for v in (facade.wall, facade.roof, facade.trim))
    x0, x1, y = x - tower / 2, x + tower / 2, foot - rise
    top, above = facade.choices["top"], TALL * min(0.27, 1.08 - facade.shape[3] * stretch)
    if top == "battlement":
        put(sheet, "rect", x0 - 3, y - 4, x1 + 3, y + 8, wall * 0.9, 0.3)
        for i in range(3):
            left, right = x0 - 3 + i * (tower + 6) * 0.4, x0 - 3 + (tower + 6) * (0.2 + 0.4 * i)
            put(sheet, "rect", left, y - 12, right, y - 3, wall * 0.9)
    elif top == "onion":
        put(sheet, "round", x0 - 2, y - above * 0.62, x1 + 2, y + above * 0.2, roof, 0.4)
        put(sheet, "triangle", x - tower * 0.2, y - above, x + tower * 0.2, y - above * 0.5, roof)
    else:
        form, share = TOPS[top]
        put(sheet, form, x0 - 2, y - above * share, x1 + 2, y + 1, roof, 0.4)
        put(sheet, "rect", x - 1, y - above * share - 6, x + 1, y - above * share + 3, trim)
    put(sheet, "rect", x0, y, x1, foot, wall * 0.97, 0.32)
    put(sheet, "rect", x0 - 2, y, x1 + 2, y + 4, trim)
    form = "arch" if facade.choices["window"] in ("twin", "round") else facade.choices["window"]
    for i in range(3):
        w, low = tower * (0.24 if i else 0.34), y + rise * (0.08 + 0.27 * i)
        put(sheet, form, x - w / 2 - 1.5, low - 1.5, x + w / 2 + 1.5, low + tower * 0.7 + 1, trim)
        put(sheet, form, x - w / 2, low, x + w / 2, low + tower * 0.7, (0.10, 0.11, 0.16), glass=1.0)


def crown(sheet: np.ndarray, crown: str, x0: float, x1: float, y: float, colours: Sequence[Colour]) -> None:
    """What closes the body above, from x0 to x1, standing on the row y; colours: wall, roof, trim."""
    wall, roof, trim = colours
    middle, wide = (x0 + x1) / 2, x1 - x0
    tall = CROWNS.get(crown, 0.05) * min(wide, 0.9 * TALL)
    if crown == "gable":
        put(sheet, "triangle", x0 - 5, y - tall - 3, x1 + 5, y + 1, trim)
        put(sheet, "triangle", x0 + 3, y - tall + 3, x1 - 3, y + 1, wall * 0.9)
    elif crown == "hip":
        put(sheet, "trapeze", x0 - 5, y - tall, x1 + 5, y + 1, roof, 0.2)
    elif crown == "dome":
        put(sheet, "rect", middle - wide * 0.27, y - tall * 0.35, middle + wide * 0.27, y, wall * 0.92, 0.2)
        put(sheet, "dome", middle - wide * 0.29, y - tall * 1.25, middle + wide * 0.29, y - tall * 0.3, roof, 0.45)
        put(sheet, "rect", middle - 3, y - tall * 1.42, middle + 3, y - tall * 1.2, trim)
    elif crown == "steps":
        for i in range(5):
            stone = wall * (0.98 if i % 2 else 0.9)
            put(sheet, "rect", x0 + wide * 0.1 * i, y - tall * (i + 1) / 5, x1 - wide * 0.1 * i, y, stone)
    elif crown == "battlement":
        for i in range(7):
            put(sheet, "rect", x0 + wide * i / 6.5, y - tall - 5, x0 + wide * (i + 0.5) / 6.5, y, wall * 0.92)
    else:
        put(sheet, "rect", x0 - 3, y - tall, x1 + 3, y, trim * 0.9)


def windows(sheet: np.ndarray, facade: NamedTuple, inner: tuple, outer: tuple, eaves: float, foot: float) -> None:
    """Rows of windows between the eaves and the foot, those of the wings too; inner, outer: from x to x."""
    c, trim = facade.choices, np.array(facade.trim)
    floor = (foot - eaves) / (c["floors"] + 0.35)
    form = "arch" if c["window"] == "twin" else c["window"]
    for level in range(c["floors"]):
        y = eaves + floor * (level + 0.22)
        bays = [inner[0] + (inner[1] - inner[0]) * (i + 0.5) / c["bays"] for i in range(c["bays"])]
        if c["wing"] and y > foot - (foot - eaves) * c["wing"]:
            side = inner[0] - outer[0]
            bays += [outer[0] + side * 0.3, outer[0] + side * 0.72, outer[1] - side * 0.3, outer[1] - side * 0.72]
        half = min((inner[1] - inner[0]) / c["bays"] * 0.27, floor * 0.27)
        tall = 2 * half if c["window"] == "round" else min(floor * 0.62, half * 4)
        for x in bays:
            put(sheet, form, x - half - 2, y - 2, x + half + 2, y + tall + 2, trim)
            put(sheet, form, x - half, y, x + half, y + tall, (0.13, 0.15, 0.20), glass=1.0)
            if c["window"] == "twin":
                put(sheet, "rect", x - 1, y, x + 1, y + tall, trim)
        if level:
            put(sheet, "rect", inner[0], y - floor * 0.16, inner[1], y - floor * 0.16 + 2, trim * 0.9)


def feature(sheet: np.ndarray, feature: str, x: float, eaves: float, wide: float, roof: Colour, trim: Colour) -> None:
    """What a facade shows below its eaves: a rose window, a clock, ..."""
    r, y = 0.10 * wide, eaves + 0.13 * wide
    if feature in ("rose", "clock"):
        rose = feature == "rose"
        disc(sheet, x, y, r * 1.25, trim * 0.85)
        disc(sheet, x, y, r, (0.16, 0.20, 0.40) if rose else (0.96, 0.95, 0.90), glass=0.8)
        for dx, dy in ((1, 0.12), (0.12, 1)) if rose else ((0.1, 0.7), (0.55, 0.1)):
            put(sheet, "rect", x - dx * r, y - dy * r, x + dx * r, y + dy * r, trim if rose else (0.1, 0.1, 0.1))
    elif feature == "niche":
        put(sheet, "arch", x - r * 0.9, y - r, x + r * 0.9, y + r * 1.9, trim)
        put(sheet, "round", x - r * 0.4, y - r * 0.5, x + r * 0.4, y + r * 1.8, roof)
    elif feature == "banner":
        for at in (x - 0.25 * wide, x + 0.25 * wide):
            put(sheet, "rect", at - r * 0.5, y - r, at + r * 0.5, y + r * 3.2, (0.78, 0.12, 0.16))
            put(sheet, "round", at - r * 0.35, y, at + r * 0.35, y + r * 0.8, (0.96, 0.84, 0.3))
    elif feature == "oculi":
        for at in (x - 0.3 * wide, x, x + 0.3 * wide):
            disc(sheet, at, y, r * 0.8, trim)
            disc(sheet, at, y, r * 0.5, (0.1, 0.1, 0.14), glass=0.8)


def portal(
    sheet: np.ndarray, portal: str, x: float, foot: float, high: float, wide: float, colours: Sequence[Colour]
) -> None:
    """The way in, about the column x; colours: wall, roof, trim."""
    wall, roof, trim = colours
    if portal == "columns":
        h, w = 0.62 * high, 0.34 * wide
        put(sheet, "rect", x - w, foot - h, x + w, foot, wall * 0.45)
        for i in range(6):
            at = x - w + 2 * w * (i + 0.5) / 6
            put(sheet, "rect", at - w * 0.075, foot - h, at + w * 0.075, foot, trim, 0.35)
        put(sheet, "triangle", x - w - 5, foot - h - 0.36 * w, x + w + 5, foot - h + 2, trim)
        put(sheet, "triangle", x - w * 0.7, foot - h - 0.26 * w, x + w * 0.7, foot - h, roof)
        return
    h, w = 0.42 * high, 0.09 * wide
    form = {"arch": "arch", "three arches": "arch", "pointed": "pointed"}.get(portal, "rect")
    for side in (-2.6, 0, 2.6) if portal == "three arches" else (0,):
        at, tall = x + side * w, h if not side else h * 0.85
        put(sheet, form, at - w * 1.3, foot - tall - w * 0.4, at + w * 1.3, foot, trim)
        put(sheet, form, at - w * 0.9, foot - tall, at + w * 0.9, foot, (0.16, 0.11, 0.08))
