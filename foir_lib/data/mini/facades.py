"""Draws the landmarks of the mini world: facades put together from parts, with numpy alone.

A family shares colours, masonry, proportions and windows; its members differ in the arrangement of a
few parts, so they are look-alikes of each other. As in `render`, only + - * / sqrt, floor, min,
max and comparisons touch pixels, so that every machine draws the same pictures.
"""

from typing import NamedTuple

import numpy as np

from foir_lib.data.mini import facade_parts as draw
from foir_lib.data.mini.render import Rng, between, clip01

WALLS = {
    "sandstone": (0.86, 0.74, 0.52), "brick": (0.66, 0.28, 0.20), "limestone": (0.84, 0.82, 0.76),
    "granite": (0.52, 0.53, 0.56), "ochre": (0.88, 0.64, 0.24), "rose": (0.84, 0.56, 0.52),
    "jade": (0.48, 0.66, 0.56), "sky": (0.54, 0.66, 0.82), "basalt": (0.33, 0.31, 0.33),
    "plaster": (0.93, 0.91, 0.88), "lilac": (0.66, 0.56, 0.76),
}  # fmt: skip
ROOFS = ((0.28, 0.31, 0.38), (0.70, 0.34, 0.22), (0.36, 0.62, 0.52), (0.42, 0.27, 0.20), (0.80, 0.66, 0.24))
TRIMS = ((0.95, 0.93, 0.88), (0.42, 0.35, 0.30), (0.78, 0.70, 0.56), (0.74, 0.30, 0.24), (0.90, 0.78, 0.36))
KINDS = ("church", "palace", "town hall", "temple", "castle", "museum")
OPTIONS = {  # part -> its choices; the first four stay with the family
    "masonry": ("plain", "courses", "bricks", "bands", "timber"),
    "window": ("rect", "arch", "pointed", "twin", "round"),
    "wing": (0.0, 0.0, 0.55, 0.75),
    "plinth": (0.0, 0.05, 0.09),
    "floors": (1, 2, 3, 4),
    "bays": (3, 4, 5, 6, 7),
    "towers": ("none", "left", "right", "both", "centre"),
    "top": ("spire", "dome", "battlement", "pyramid", "onion"),
    "crown": ("gable", "hip", "dome", "steps", "battlement", "flat"),
    "portal": ("arch", "door", "columns", "three arches", "pointed"),
    "feature": ("rose", "clock", "niche", "banner", "none", "oculi"),
}
PARTS = tuple(OPTIONS)[4:]
LIKELY = {  # what a kind prefers, so that a church looks like one
    "church": {"towers": ("left", "both", "centre"), "crown": ("gable",), "feature": ("rose", "clock", "oculi"), "floors": (1, 2)},
    "palace": {"towers": ("none", "none", "both"), "floors": (2, 3), "bays": (5, 6, 7), "crown": ("hip", "gable", "flat")},
    "town hall": {"towers": ("centre", "right", "left"), "feature": ("clock", "banner"), "crown": ("steps", "hip", "gable")},
    "temple": {"towers": ("none",), "floors": (1,), "portal": ("columns",), "crown": ("gable", "dome"), "wing": (0.0,)},
    "castle": {"towers": ("both", "left", "right"), "crown": ("battlement", "hip"), "top": ("battlement", "pyramid")},
    "museum": {"towers": ("none", "none", "centre"), "crown": ("dome", "flat"), "floors": (2,), "wing": (0.55, 0.75)},
}  # fmt: skip


class Facade(NamedTuple):
    """What a landmark looks like: a name, colours, proportions and the choice of each of its PARTS."""

    name: str
    wall: tuple
    roof: tuple
    trim: tuple
    shape: tuple  # width and height of the body, width and height of a tower, in units of the sheet
    choices: dict
    grain: int  # seed of the masonry's irregularities

    def visible(self) -> dict[str, object]:
        """Choices that show: the top of a tower that isn't there doesn't count."""
        hidden = {"top"} if self.choices["towers"] == "none" else set()
        return {part: choice for part, choice in self.choices.items() if part not in hidden}


def family(rng: Rng, size: int, title: str) -> list[Facade]:
    """``size`` look-alikes: equal in colours and proportions, two to four parts apart from the first."""
    kind, wall = KINDS[rng.integers(len(KINDS))], list(WALLS)[rng.integers(len(WALLS))]
    colour = tuple(clip01(np.array(WALLS[wall]) * between(rng, 0.9, 1.08) + 0.07 * (rng.random(3) - 0.5)))
    roof, trim = ROOFS[rng.integers(len(ROOFS))], TRIMS[rng.integers(len(TRIMS))]
    shape = (between(rng, 0.62, 1.0), between(rng, 0.40, 0.58), between(rng, 0.15, 0.24), between(rng, 0.62, 0.76))
    first = {part: _choose(rng, part, kind) for part in OPTIONS}
    members = []
    while len(members) < size:
        choices = dict(first)
        if members:
            for part in rng.permutation(len(PARTS))[: rng.integers(2, 5)]:
                choices[PARTS[part]] = _choose(rng, PARTS[part], None)
        name = f"{wall} {kind} {title}{'abcdefghij'[len(members)]}"
        new = Facade(name, colour, roof, trim, shape, choices, int(rng.integers(2**31)))
        if all(_apart(new, old) >= 2 for old in members):
            members.append(new)
    return members


def _apart(one, other):
    """Number of visible parts in which two facades differ."""
    a, b = one.visible(), other.visible()
    return sum(a.get(part) != b.get(part) for part in PARTS)


def _choose(rng, part, kind):
    choices = LIKELY.get(kind, {}).get(part, OPTIONS[part])
    return choices[rng.integers(len(choices))]


def paint(facade: Facade) -> np.ndarray:
    """The sheet of a facade, cut to its outline: float (height, width, 5), RGB, coverage, and share of window glass."""
    rng = np.random.Generator(np.random.PCG64(facade.grain))
    c, (wide, high, tower) = facade.choices, [draw.TALL * s for s in facade.shape[:3]]
    sheet = np.zeros((int(1.1 * draw.TALL), int(wide * 1.1 + 2.4 * tower), 5))
    foot, middle = float(len(sheet)), sheet.shape[1] / 2
    left, right, eaves = middle - wide / 2, middle + wide / 2, foot - high
    wall, roof, trim = (np.array(v) for v in (facade.wall, facade.roof, facade.trim))
    inner = (left + 0.22 * wide, right - 0.22 * wide) if c["wing"] else (left, right)
    if c["wing"]:
        draw.put(sheet, "rect", left, foot - high * c["wing"], right, foot, wall * 0.96)
        draw.put(sheet, "rect", left - 2, foot - high * c["wing"] - 3, right + 2, foot - high * c["wing"] + 2, trim)
    if c["towers"] == "centre":
        draw.tower(sheet, facade, middle, foot, 1.1)
    draw.crown(sheet, c["crown"], *inner, eaves, wall, roof, trim)
    draw.put(sheet, "rect", *(inner[0], eaves, inner[1], foot), wall)
    draw.masonry(sheet, rng, c["masonry"], trim)
    draw.windows(sheet, facade, inner, (left, right), eaves, foot)
    draw.put(sheet, "rect", inner[0] - 2, eaves - 2, inner[1] + 2, eaves + 3, trim)
    if c["plinth"]:
        draw.put(sheet, "rect", left - 1, foot - c["plinth"] * draw.TALL, right + 1, foot, wall * 0.62)
    draw.feature(sheet, c["feature"], middle, eaves, foot, wide, roof, trim)
    draw.portal(sheet, c["portal"], middle, foot, high, wide, wall, roof, trim)
    for side, x in (("left", left), ("right", right)):
        if c["towers"] in (side, "both"):
            draw.tower(sheet, facade, x, foot, 1.0)
    outline = sheet[..., 3] > 0.5
    rows, cols = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
    return sheet[rows[0] :, cols[0] : cols[-1] + 1]
