"""The mini world: cluttered scenes in which kinds of objects keep to their places.

Four places: two by day (meadow, sea), two at night (town, lagoon); two on land (meadow, town), two
on water (sea, lagoon). Twelve looks make 24 kinds, for every look means two: one by day and
another by night, or one on land and another on water. So nothing but the surroundings tells
look-alikes apart. Of its two places every kind prefers one (its home, three times as frequent),
which gives each place kinds that go together. All kinds are equally frequent.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foir_lib.data.mini import drawn
from foir_lib.data.mini import render as draw
from foir_lib.data.mini.render import Rng
from foir_lib.data.readers import coco
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import unknown
from foir_lib.registry import register

VERSION = 2


class Kind(NamedTuple):
    """A label of the mini world: its look, and how often it is drawn in each of `draw.PLACES`."""

    name: str
    texture: str
    hue: str
    shape: str
    weights: tuple


class Flavour(NamedTuple):
    """How many objects a scene holds (cumulative chances), and their radius in pixels."""

    counts: tuple
    chances: tuple
    radius: tuple


def _kinds():
    """All kinds; their weights sum to 12 per kind and to 72 per place."""
    kinds = []
    for half in draw.WORLD["halves"]:  # looks, and either meaning's words with its home and other place
        for turn, look in enumerate(half["looks"]):
            for words, places in half["meanings"].items():
                home, other = places if turn % 2 else places[::-1]
                weights = tuple({home: 9, other: 3}.get(place, 0) for place in draw.PLACES)
                kinds.append(Kind(f"{look} {words}", *look.split(), weights))
    return tuple(kinds)


KINDS = _kinds()
FLAVOURS = {
    "mini-focus": Flavour((2, 3, 4, 5, 6), (0.2, 0.4, 0.6, 0.8, 1.0), (11.0, 21.0)),
    "mini-focus-sparse": Flavour((1, 2, 3, 4), (0.64, 0.80, 0.92, 1.0), (13.0, 28.0)),
    "mini-focus-dense": Flavour(tuple(range(6, 13)), tuple((i + 1) / 7 for i in range(7)), (6.5, 11.0)),
}


def stream(use: int, name: str, seed: int, part: int, index: int) -> Rng:
    """The random stream of one scene of a flavour; no seed of one use leads to a scene of the other.

    `use`: 0 benchmark, 1 training. `part`: 0 queries, 1 database (training: 1 held out).
    """
    return draw.stream(seed, use, list(FLAVOURS).index(name), part, index)


def pick(rng: Rng, cumulative: np.ndarray) -> int:
    """Index drawn with cumulative weights."""
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


def scene(rng: Rng, name: str) -> tuple[np.ndarray, list[int], list[np.ndarray], int]:
    """One scene of a flavour: pixels, kinds, masks, place.

    Pixels uint8 (height, width, 3); kinds: positions in KINDS, one per object; masks: bool
    (height, width) of what is visible of each object, at least 12 pixels; place: position in
    `draw.PLACES`.
    """
    flavour = FLAVOURS[name]
    width, height = int(rng.integers(112, 145)), int(rng.integers(96, 129))
    place = int(rng.integers(len(draw.PLACES)))
    image = draw.background(rng, draw.PLACES[place], height, width)
    for _ in range(int(rng.integers(4, 9))):  # stones and splinters of no kind
        stone = rng.random() < 0.5
        hue = "stone" if stone else list(draw.HUES)[rng.integers(6)]
        radius = draw.between(rng, 3, 8) if stone else draw.between(rng, 2, 4)
        spot = (rng.random() * width, rng.random() * height)
        draw.paint(image, rng, draw.SHAPES[rng.integers(3 if stone else 8)], hue, "plain", spot, radius)
    cumulative = np.cumsum([kind.weights[place] for kind in KINDS])
    n_objects = flavour.counts[pick(rng, flavour.chances)]
    kinds, discs, masks = [], [], []
    for _ in range(n_objects):
        again = kinds and rng.random() < 0.15
        kinds.append(kinds[-1] if again else pick(rng, cumulative))
        discs.append(_place(rng, flavour.radius, width, height, discs))
        kind, (cx, cy, radius) = KINDS[kinds[-1]], discs[-1]
        mask = draw.paint(image, rng, kind.shape, kind.hue, kind.texture, (cx, cy), radius)
        masks = [m & ~mask for m in masks] + [mask]
    visible = [i for i, mask in enumerate(masks) if mask.sum() >= 12]
    return draw.develop(rng, image), [kinds[i] for i in visible], [masks[i] for i in visible], place


def _place(rng, radii, width, height, discs):
    """A disc (x, y, radius) that overlaps no earlier disc much, if 30 throws find one."""
    for _ in range(30):
        radius = draw.between(rng, *radii)
        x = draw.between(rng, 0.8 * radius, width - 0.8 * radius)
        y = draw.between(rng, 0.8 * radius, height - 0.8 * radius)
        near = [0.75 * (radius + r) for _, _, r in discs]
        apart = [(x - a) * (x - a) + (y - b) * (y - b) > n * n for (a, b, _), n in zip(discs, near, strict=True)]
        if all(apart):
            break
    return x, y, radius


@register("set", "mini-focus-dense")
@register("set", "mini-focus-sparse")
@register("set", "mini-focus")
def load(name: str, seed: int = 0, n_query: int = 300, n_database: int = 1500) -> RetrievalSet:
    """A mini set as a RetrievalSet named e.g. "mini-focus (seed 0)".

    It is drawn once, then read from the cache; every seed is another draw from the same world.
    Raises InputError for an unknown flavour, a bad number or a disk that can't be written.
    """
    if name not in FLAVOURS:
        raise unknown("mini world", name, FLAVOURS)
    n_images = {"n_query": (n_query, 1), "n_database": (n_database, 1)}
    root = drawn.world(name, VERSION, partial(write, name), seed=(seed, 0), **n_images)
    return coco.load(root, name=f"{name} (seed {seed})")


def write(name: str, folder: Path, seed: int, n_query: int, n_database: int) -> None:
    """Write the scenes of a seed as a COCO 2017 folder."""

    def draw_scene(part, index):
        pixels, kinds, masks, _ = scene(stream(0, name, seed, part, index), name)
        return pixels, [(kind, mask, {}) for kind, mask in zip(kinds, masks, strict=True)]

    splits = {"val2017": n_query, "train2017": n_database}
    drawn.write(folder, splits, [kind.name for kind in KINDS], draw_scene, 12, f"{name}, seed {seed}")
