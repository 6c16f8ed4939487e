"""The things of mini-needles: forms with details, in families of look-alikes, painted under any view and light.

A family has a form, its proportions and colours; its members differ from each other in one or two details: the band, the
badge, the label, the colour of handle or lid, a dent. Forms and details are the world's and the same for all seeds;
families and members are a seed's own. Forms are given in heights of the thing, from its centre, y down.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from foir_lib.data.mini.facade_parts import outline
from foir_lib.data.mini.render import Rng, between, clip01, distance, numbers, pattern
from foir_lib.data.mini.streets import View, trace

WORLD = numbers("needles")
FORMS, DETAILS, PALETTE = WORLD["forms"] | WORLD["clutter"], WORLD["details"], WORLD["palette"]
FAMILY = 4  # look-alikes in a family
DENT = 0.15  # radius in heights
APART = 0.01  # share of a thing's pixels that tell it from its look-alikes, at least
FAR, NEAR = 48, 160  # heights in pixels at which they are compared
T = TypeVar("T")


class Thing(NamedTuple):
    """A thing: its name, form, width over the form's, colours by role, details by slot, and its area in heights squared (0: not known)."""

    name: str
    form: str
    stretch: float
    colours: dict
    details: dict
    area: float

    @property
    def half(self) -> float:
        """Half of its width in heights."""
        return self.stretch * max(abs(x) for _, x0, _, x1, _, _ in FORMS[self.form]["parts"] for x in (x0, x1))


class Light(NamedTuple):
    """Light of a picture: how much brighter the right and the lower side are, where its reflection lies, how strong it is."""

    right: float
    down: float
    shine: float
    gloss: float


def one_of(rng: Rng, values: Sequence[T]) -> T:
    """One of ``values``, all as likely."""
    return values[int(rng.integers(len(values)))]


def shuffled(rng: Rng, n: int) -> list[int]:
    """The numbers from 0 to n - 1 in a random order."""
    return np.argsort(rng.random(n), kind="stable").tolist()


def lamp(rng: Rng, strength: float) -> Light:
    """A light from anywhere in front; strength: of its effects, 1 for shelves."""
    right, down = strength * between(rng, -0.28, 0.28), strength * between(rng, -0.22, 0.10)
    return Light(right, down, between(rng, -0.6, 0.6), between(rng, 0.0, 0.4))


def family(rng: Rng, form: str, name: str) -> list[Thing]:
    """FAMILY look-alikes of a ``form``; each has another set of details, one away from the first's, and looks another."""
    hues = list(PALETTE)
    body, band, badge = (hues[i] for i in shuffled(rng, len(hues))[:3])
    colours = {role: np.array(PALETTE[hue]) + 0.10 * (rng.random(3) - 0.5) for role, hue in (("body", body), ("band", band), ("badge", badge))}
    stretch = between(rng, 0.86, 1.18)
    base = {slot: one_of(rng, one["values"]) for slot, one in DETAILS.items()}
    base |= {"dent": "none", "trim": one_of(rng, [hue for hue in hues if hue != body])}
    details, members, chances = base, [], np.cumsum([one["chance"] for one in DETAILS.values()])
    while len(members) < FAMILY:
        if details["trim"] != body and all(details != other.details for other, _ in members):
            colours = colours | {"trim": np.array(PALETTE[details["trim"]])}
            thing = _sized(Thing(f"{name}{'abcd'[len(members)]}", form, stretch, colours, details, 0.0))
            member = thing, _portrait(thing, FAR)
            members += [member] if all(_apart(member, other) for other in members) else []
        slot = list(DETAILS)[int(np.searchsorted(chances, rng.random() * 0.999999, side="right"))]
        details = base | {slot: one_of(rng, DETAILS[slot]["values"])}
    return [thing for thing, _ in members]


def clutter(rng: Rng, form: str = "") -> Thing:
    """A thing that is nobody's: of a ``form`` of the world's clutter, in dull colours."""
    form = form or one_of(rng, list(WORLD["clutter"]))
    body, trim = (np.array(one_of(rng, WORLD["dull"])) * between(rng, 0.8, 1.2) for _ in range(2))
    leaf = np.array(WORLD["leaf"]) * between(rng, 0.7, 1.3)
    return Thing(form, form, between(rng, 0.8, 1.3), {"body": body, "trim": trim, "leaf": leaf}, {}, 0.0)


def _sized(thing):
    """The thing with its area, counted on a grid."""
    at = (np.arange(96) - 47.5) / 60
    gaps = [gap for _, gap in _parts(thing, at[None] + 0 * at[:, None], at[:, None] + 0 * at[None])]
    return thing._replace(area=thing.stretch * float(np.count_nonzero(np.min(gaps, axis=0) < 0)) / 3600)


def _apart(one, other):
    """Whether a thing, with its portrait from afar, can be told from another of its family: from afar beyond doubt, else from near."""
    (first, far), (second, other_far) = one, other
    if _changed(first, far, other_far) >= 3 * APART:
        return True
    return _changed(first, _portrait(first, NEAR), _portrait(second, NEAR)) >= APART


def _portrait(thing, tall):
    """A thing on grey, ``tall`` pixels high, from the front, in plain light: float (height, width, 3)."""
    image = np.full((tall + 8, int(2 * thing.half * tall) + 8, 3), 0.5)
    view = View(image.shape[1] / 2, image.shape[0] / 2, tall, 0.0, 0.2, 0.0, 0.0)
    paint(image, thing, view, Light(0.0, 0.0, 0.0, 0.0))
    return image


def _changed(thing, first, second):
    """Share of a thing's pixels that differ between two portraits."""
    tall = len(first) - 8
    return np.count_nonzero(np.abs(first - second).max(2) > 0.08) / (thing.area * tall * tall)


def _parts(thing: Thing, u: np.ndarray, v: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Role and signed distance (negative inside) of each part at u, v, in heights and widths of the form."""
    form = FORMS[thing.form]
    for shape, x0, y0, x1, y1, role in form["parts"]:
        x, y, half, tall = u - (x0 + x1) / 2, v - (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
        if shape == "ring":
            gap = np.abs(outline("round", x, y, half - 0.05, tall - 0.05)) - 0.05
        elif shape == "rounded":
            dx, dy = np.maximum(np.abs(x) - half + 0.06, 0), np.maximum(np.abs(y) - tall + 0.06, 0)
            gap = np.sqrt(dx * dx + dy * dy) - 0.06
        else:
            gap = outline(shape, x, y, half, tall)
        if role == "body" and thing.details.get("dent", "none") != "none":
            left, top, right, _ = form["face"]
            x, y = u - (left if thing.details["dent"] == "left" else right), v - top - 0.10
            gap = np.maximum(gap, DENT - np.sqrt(x * x + y * y))
        yield role, gap


def paint(image: np.ndarray, thing: Thing, view: View, light: Light) -> tuple[slice, slice, np.ndarray]:
    """Paint a thing into ``image`` in place; the window it lies in, rows and cols, and its mask there, bool."""
    rows, cols = (_span(at, reach, length) for at, reach, length in zip((view.y, view.x), _reach(thing, view), image.shape))
    u, v, before = trace(view, np.arange(cols.start, cols.stop)[None] + 0.5, np.arange(rows.start, rows.stop)[:, None] + 0.5)
    u = u / thing.stretch
    gap, body, colour = np.full(u.shape, 9.0), np.full(u.shape, 9.0), np.zeros((*u.shape, 3))
    for role, part in _parts(thing, u, v):
        rgb = thing.colours[role] if role in thing.colours else np.array(WORLD["fixed"][role])
        rim = 1 - 0.35 * clip01(part * view.tall / 1.5 + 1)
        colour = _over(colour, rgb * rim[..., None], part * view.tall)
        gap, body = np.minimum(gap, part), np.minimum(body, part) if role == "body" else body
    if thing.details:
        turned = 0.35 * view.turn * FORMS[thing.form]["round"]
        colour = _detailed(thing, u, v, turned, colour, clip01(0.5 - body * view.tall), view.tall)
    across = u / (thing.half / thing.stretch)
    bulge = 0.32 * across * across * FORMS[thing.form]["round"]
    lit = 1 + light.right * across + light.down * 2 * v - bulge
    shine = light.gloss * clip01(1 - np.abs(across - light.shine) * 6) * (0.35 + 0.65 * FORMS[thing.form]["round"])
    colour = clip01(colour * lit[..., None] + 0.5 * shine[..., None])
    cover = np.where(before, clip01(0.5 - gap * view.tall), 0.0)
    shadow = np.where(before, 0.35 * clip01(1 - gap / 0.09), 0.0)[..., None]
    image[rows, cols] = image[rows, cols] * (1 - shadow) * (1 - cover[..., None]) + colour * cover[..., None]
    return rows, cols, cover > 0.5


def _over(colour, rgb, gap):
    """Paint where a gap in pixels is negative."""
    cover = clip01(0.5 - gap)[..., None]
    return colour * (1 - cover) + rgb * cover


def _detailed(thing, u, v, turned, colour, inside, tall):
    """Band, label and badge on the face, where the body is; ``turned``: how far round forms have turned them aside."""
    x0, y0, x1, y1 = FORMS[thing.form]["face"]
    half, high = (x1 - x0) / 2, (y1 - y0) / 2
    x, y = u - (x0 + x1) / 2 - turned * half, v - (y0 + y1) / 2
    fx, fy, painted = x / half, y / high, colour
    bands = {
        "high": (np.abs(fy + 0.72) - 0.14) * high, "low": (np.abs(fy - 0.72) - 0.14) * high,
        "upright": (np.abs(fx + 0.55) - 0.17) * half, "slanted": (np.abs(0.6 * fx + 0.8 * fy) - 0.15) * min(half, high),
    }  # fmt: skip
    for band in ("high", "low") if thing.details["band"] == "two" else [thing.details["band"]]:
        if band in bands:
            painted = _over(painted, thing.colours["band"], bands[band] * tall)
    if thing.details["label"] != "none":
        patch = np.maximum(np.abs(fx - 0.12) - 0.62, np.abs(fy - 0.34) - 0.34)
        ink = pattern(thing.details["label"], fx * 2.2, (fy - 0.34) * 2.2 * high / half, 0.45 * half * tall)[..., None]
        paper = np.array(WORLD["fixed"]["pale"]) * (1 - ink) + 0.8 * thing.colours["badge"] * ink
        painted = _over(painted, paper, patch * min(half, high) * tall)
    if thing.details["badge"] != "none":
        radius = 0.46 * min(half, high)
        gap = distance(thing.details["badge"], x / radius, (y + 0.36 * high) / radius) * radius
        painted = _over(painted, 0.3 * thing.colours["badge"] * np.ones(3), (gap - 0.02) * tall)
        painted = _over(painted, thing.colours["badge"], gap * tall)
    return colour * (1 - inside[..., None]) + painted * inside[..., None]


def _reach(thing, view):
    """How far a thing may lie from the centre of its view, in pixels: down, across."""
    roll, grown = abs(view.roll), 1.1 + abs(view.near * view.turn) * thing.half + abs(view.lean) / 2
    return view.tall * grown * (0.5 + thing.half * roll) + 3, view.tall * grown * (thing.half + 0.5 * roll) + 3


def _span(at, reach, length):
    start = min(max(int(at - reach), 0), length)
    return slice(start, max(min(int(at + reach) + 1, length), start))
