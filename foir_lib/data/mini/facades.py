"""Draws the landmarks of the mini world: facades put together from parts, with numpy alone.

A family shares colours, masonry, proportions and windows; its members differ in the arrangement of a
few parts, so they are look-alikes of each other. Colours and choices stand in worlds/facades.json. As in `render`, only
+ - * / sqrt, floor, min, max and comparisons touch pixels, so that every machine draws the same pictures.
"""

from typing import NamedTuple

import numpy as np

from foir_lib.data.mini import facade_parts as draw
from foir_lib.data.mini.render import Rng, between, clip01, numbers

WORLD = numbers("facades")  # kinds: what a kind prefers, so that a church looks like one
OPTIONS = WORLD["options"]  # part -> its choices; the first four stay with the family
PARTS = tuple(OPTIONS)[4:]
MARKED = ("feature", "portal", "tower")  # parts whose pixels can be traced


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
        return {part: choice for part, choice in self.choices.items() if part != "top" or self.choices["towers"] != "none"}


def family(rng: Rng, size: int, title: str) -> list[Facade]:
    """``size`` look-alikes: equal in colours and proportions, two to four parts apart from the first."""
    kind, wall = _choose(rng, list(WORLD["kinds"])), _choose(rng, list(WORLD["walls"]))
    colour = tuple(clip01(np.array(WORLD["walls"][wall]) * between(rng, 0.9, 1.08) + 0.07 * (rng.random(3) - 0.5)))
    roof, trim = tuple(_choose(rng, WORLD["roofs"])), tuple(_choose(rng, WORLD["trims"]))
    shape = (between(rng, 0.62, 1.0), between(rng, 0.40, 0.58), between(rng, 0.15, 0.24), between(rng, 0.62, 0.76))
    first = {part: _choose(rng, choices) for part, choices in (OPTIONS | WORLD["kinds"][kind]).items()}
    members = []
    while len(members) < size:
        choices = dict(first)
        if members:
            for part in rng.permutation(len(PARTS))[: rng.integers(2, 5)]:
                choices[PARTS[part]] = _choose(rng, OPTIONS[PARTS[part]])
        name = f"{wall} {kind} {title}{'abcdefghij'[len(members)]}"
        new = Facade(name, colour, roof, trim, shape, choices, int(rng.integers(2**31)))
        if all(_apart(new, old) >= 2 for old in members):
            members.append(new)
    return members


def _apart(one, other):
    """Number of visible parts in which two facades differ."""
    a, b = one.visible(), other.visible()
    return sum(a.get(part) != b.get(part) for part in PARTS)


def _choose(rng, choices):
    return choices[rng.integers(len(choices))]


def paint(facade: Facade, marked: bool = False) -> np.ndarray:
    """The sheet of a facade, cut to its outline: float (height, width, 5), RGB, coverage, and share of window glass.

    ``marked``: three channels more, 1 where one of MARKED is what is seen.
    """
    rng = np.random.Generator(np.random.PCG64(facade.grain))
    c, (wide, high, tower) = facade.choices, [draw.TALL * s for s in facade.shape[:3]]
    sheet = np.zeros((int(1.1 * draw.TALL), int(wide * 1.1 + 2.4 * tower), 5))
    foot, middle = float(len(sheet)), sheet.shape[1] / 2
    left, right, eaves = middle - wide / 2, middle + wide / 2, foot - high
    wall, roof, trim = colours = [np.array(v) for v in (facade.wall, facade.roof, facade.trim)]
    inner = (left + 0.22 * wide, right - 0.22 * wide) if c["wing"] else (left, right)
    if c["wing"]:
        draw.put(sheet, "rect", left, foot - high * c["wing"], right, foot, wall * 0.96)
        draw.put(sheet, "rect", left - 2, foot - high * c["wing"] - 3, right + 2, foot - high * c["wing"] + 2, trim)
    if c["towers"] == "centre":
        draw.tower(sheet, facade, middle, foot, 1.1)
    draw.crown(sheet, c["crown"], *inner, eaves, colours)
    draw.put(sheet, "rect", *(inner[0], eaves, inner[1], foot), wall)
    draw.masonry(sheet, rng, c["masonry"], trim)
    draw.windows(sheet, facade, inner, (left, right), eaves, foot)
    draw.put(sheet, "rect", inner[0] - 2, eaves - 2, inner[1] + 2, eaves + 3, trim)
    if c["plinth"]:
        draw.put(sheet, "rect", left - 1, foot - c["plinth"] * draw.TALL, right + 1, foot, wall * 0.62)
    stages = [sheet.copy()]
    draw.feature(sheet, c["feature"], middle, eaves, wide, roof, trim)
    stages.append(sheet.copy())
    draw.portal(sheet, c["portal"], middle, foot, high, wide, colours)
    stages.append(sheet.copy())
    for side, x in (("left", left), ("right", right)):
        if c["towers"] in (side, "both"):
            draw.tower(sheet, facade, x, foot, 1.0)
    outline = sheet[..., 3] > 0.5
    rows, cols = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
    if marked:
        sheet = np.concatenate([sheet, _marks([*stages, sheet])], axis=2)
    return sheet[rows[0] :, cols[0] : cols[-1] + 1]


def _marks(stages):
    """(height, width, 3): of each part painted between two stages of a sheet, 1 where it changed it and no later one did."""
    changed = [(before != after).any(2) for before, after in zip(stages, stages[1:])]
    hidden = [np.any(changed[i + 1 :], axis=0) if changed[i + 1 :] else np.zeros_like(changed[0]) for i in range(len(changed))]
    return np.stack([one & ~later for one, later in zip(changed, hidden, strict=True)], axis=2).astype(float)
