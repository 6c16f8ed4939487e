"""mini-needles: many small things on crowded shelves, each among look-alikes that differ from it in a detail.

    root/queries/*.png  root/database/*.png  root/annotations/instances_{queries,database}.json

A query is a photograph of one thing alone, larger, under other light and from another angle. Positives are the database
pictures on which at least a quarter of it can be seen; those with less of it are ignored. The instances files are COCO's:
box and mask of what can be seen of every thing, and its ``share`` of all of it. All seeds share forms, kinds of details,
shelves and clutter; families, their colours and proportions, their members and all pictures are a seed's and a use's own.
"""

from functools import lru_cache
from itertools import pairwise
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.mini import drawn, render
from foir_lib.data.mini.render import Rng, between, clip01, develop, noise
from foir_lib.data.mini.streets import View
from foir_lib.data.mini.things import FAMILY, WORLD, Thing, clutter, family, lamp, one_of, paint, shuffled
from foir_lib.data.readers import coco, reading
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import count
from foir_lib.registry import register

VERSION = 1
BENCHMARK, TRAINING = 0, 1
QUERIES, DATABASE, FAMILIES = range(3)
SEEN = 0.25  # share of a thing that must be visible for a picture to count as showing it
WIDE, BOARD, DEEP, ROWS = 1.25, 0.022, 0.016, 6  # in heights of the picture: its width, a shelf's thickness and top; most shelves
LEAST, MOST, FULL = 0.005, 0.05, 0.30  # share of the picture that a thing covers, and all of them together


def stream(use: int, seed: int, part: int, index: int) -> Rng:
    """Random stream of a picture or family; no seed of one use leads to one of the other.

    use: BENCHMARK or TRAINING; part: QUERIES, DATABASE, or FAMILIES for what the world is made of.
    """
    return render.stream(seed, len("needles"), use, part, index)


@lru_cache(maxsize=4)
def world(use: int, seed: int, n_things: int) -> tuple[Thing, ...]:
    """The first ``n_things`` of a seed, families one after another; forms come in turn."""
    forms, things = list(WORLD["forms"]), []
    order = shuffled(stream(use, seed, FAMILIES, 0), len(forms))
    for number in range(-(-n_things // FAMILY)):
        form = forms[order[number % len(forms)]]
        things += family(stream(use, seed, FAMILIES, number + 1), form, f"{form} {number + 1:02d}")
    return tuple(things[:n_things])


def photograph(rng: Rng, thing: Thing, side: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """A thing alone, before a plain ground: pixels uint8 and mask bool, both (side, side, ...)."""
    image, _ = _wall(rng, side, side, plain=True)
    tall = min(between(rng, 0.50, 0.78), 0.80 / (2 * thing.half)) * side
    centre = (side * between(rng, 0.46, 0.54), side * between(rng, 0.47, 0.53))
    view = View(*centre, tall, between(rng, -0.6, 0.6), between(rng, 0.1, 0.4), between(rng, -0.22, 0.22), between(rng, -0.06, 0.10))
    rows, cols, mask = paint(image, thing, view, lamp(rng, 1.5))
    whole = np.zeros((side, side), bool)
    whole[rows, cols] = mask
    return develop(rng, image), whole


def scene(
    rng: Rng, things: tuple[Thing, ...], n: int = 0, permille: int = 0, hidden: int = -1, side: int = 512
) -> tuple[np.ndarray, list[int], list[np.ndarray], list[float]]:
    """Shelves with some of ``things``: pixels, which things, masks of what is visible of them, its shares of all of them.

    Pixels uint8 (side, 5/4 side, 3), masks bool (side, 5/4 side). n: how many things, 0: 1 to 25; permille: of the
    picture that each covers, 0: 5 to 50, less if there are many; hidden: percent of each that something stands before,
    -1: 10 to 55 of every third, by chance. The same stream gives the same shelves at every ``side`` in pixels.
    """
    n = n or min(_count(rng), len(things))
    items, most = [], min(MOST, FULL / n)
    for number in shuffled(rng, len(things))[:n]:
        turn, r = between(rng, -0.5, 0.5), rng.random()
        share = permille / 1000 or LEAST + (most - LEAST) * r * r * r
        items.append((number, things[number], np.sqrt(share * WIDE * np.sqrt(1 + turn * turn) / things[number].area), turn))
    rows, stands = _shelved(rng, items, hidden)
    image = _shelves(rng, rows, side, side * 5 // 4)
    owner, whole, light = np.full(image.shape[:2], -1), {}, lamp(rng, 1.0)
    for place, (number, thing, view) in enumerate(stands):
        window, mask = _put(image, thing, view, light, side)
        owner[window][mask] = place
        if number >= 0:
            whole[place] = int(mask.sum())
    masks = {place: owner == place for place in whole}
    visible = [place for place, mask in masks.items() if mask.any()]
    shares = [float(masks[place].sum() / whole[place]) for place in visible]
    return develop(rng, image), [stands[place][0] for place in visible], [masks[place] for place in visible], shares


def _put(image, thing, view, light, side):
    """Paint a thing at a view in heights of the picture; its window and its mask there."""
    scaled = view._replace(x=view.x * side, y=view.y * side, tall=view.tall * side)
    *window, mask = paint(image, thing, scaled, light)
    return tuple(window), mask


def _count(rng):
    """How many things stand on shelves."""
    r = rng.random()
    low, high, _ = next(one for one in WORLD["counts"] if r < one[2])
    return int(rng.integers(low, high + 1))


def _shelved(rng, items, hidden):
    """Number of shelves, and what stands on them in the order of painting: (number or -1, thing, View in heights)."""
    tallest, wide = max(item[2] for item in items), sum(2 * thing.half * tall for _, thing, tall, _ in items)
    fits = int(min(max(1 / (1.06 * tallest + BOARD + DEEP + 0.02), 1), ROWS))
    rows = int(rng.integers(min(max(int(np.ceil(wide / (0.8 * WIDE))), 2), fits), fits + 1))
    shelves = [[] for _ in range(rows)]
    for item in items:
        loads = [_load(shelf) + 0.4 * rng.random() for shelf in shelves]
        shelves[int(np.argmin(loads))].append(item)
    stands = []
    for row, shelf in enumerate(shelves):
        room, full = 1 / rows - BOARD - DEEP - 0.02, WIDE * between(rng, 0.5, 0.75 if hidden >= 0 else 1.0)
        while _load(shelf) < full:
            thing, turn = clutter(rng), between(rng, -0.3, 0.3)
            shelf.append((-1, thing, min(between(rng, 0.4, 0.9) * min(room, 0.34), 0.13 / thing.half), turn))
        stands += _stood(rng, [shelf[i] for i in shuffled(rng, len(shelf))], (row + 1) / rows - BOARD)
    before = [_before(rng, thing, view, hidden) for number, thing, view in stands if number >= 0]
    return rows, stands + [one for one in before if one]


def _load(shelf):
    """How wide the things on a shelf are together, in heights of the picture."""
    return sum(2 * thing.half * tall for _, thing, tall, _ in shelf)


def _stood(rng, shelf, foot):
    """Things side by side on a shelf whose front edge is at ``foot``, in the order of painting; too many overlap."""
    gaps = np.array([rng.random() for _ in range(len(shelf) + 1)])
    free = WIDE - _load(shelf)
    if free < 0:
        gaps[[0, -1]] = 0
    gaps, x, stands = gaps * (free / max(sum(gaps.tolist()), 1e-9)), 0.0, []
    for gap, (number, thing, tall, turn) in zip(gaps.tolist(), shelf):
        x += gap + thing.half * tall
        roll = between(rng, -0.22, 0.22) if rng.random() < 0.15 else between(rng, -0.03, 0.03)
        y = foot - DEEP * rng.random() - tall / 2
        stands.append((number, thing, View(x, y, tall, turn, between(rng, 0.1, 0.35), roll, between(rng, -0.03, 0.06))))
        x += thing.half * tall
    return [stands[i] for i in shuffled(rng, len(stands))]


def _before(rng, thing, view, hidden):
    """What stands before a thing and hides a share of it, from below or a side; None before most."""
    chance, share = rng.random(), between(rng, 0.10, 0.55)
    if hidden == 0 or (hidden < 0 and chance >= 1 / 3):
        return None
    share = hidden / 100 if hidden > 0 else share
    front, half = clutter(rng, "carton"), thing.half * view.tall
    if rng.random() < 0.5:
        tall, wide, x = view.tall * share, 2.2 * half, view.x
    else:
        tall, wide = view.tall * between(rng, 1.0, 1.1), 2 * half * between(rng, 0.7, 1.1)
        x = view.x + (1 if rng.random() < 0.5 else -1) * (half + wide / 2 - 2 * half * share)
    front = front._replace(stretch=front.stretch * wide / (2 * front.half * tall))
    return -1, front, View(x, view.y + view.tall / 2 - tall / 2, tall, 0.0, 0.1, 0.0, 0.0)


def _wall(rng, height, width, plain=False):
    """An empty wall, (height, width, 3) float, and the grain of it, (height, width), the same at every size."""
    coarse, grain = (noise(rng, height, width, height / (k + 0.5)) for k in (int(rng.integers(3, 7)), 40))
    shade = 0.86 + 0.22 * coarse + 0.10 * grain
    planks = int(rng.integers(5, 16))
    if not plain and rng.random() < 0.5:
        across = (np.arange(width) + 0.5) / height * planks
        shade *= (1 - 0.22 * (across - np.floor(across) < 0.06))[None]
    return np.array(one_of(rng, WORLD["walls"])) * between(rng, 0.75, 1.15) * shade[..., None], grain


def _shelves(rng, rows, height, width):
    """An empty set of shelves, (height, width, 3) float: wall, boards, what they shade, price tags."""
    image, grain = _wall(rng, height, width)
    board = np.array(one_of(rng, WORLD["boards"])) * between(rng, 0.85, 1.1)
    for row in range(rows + 1):
        foot = row / rows - BOARD
        ends = (foot - DEEP, foot, foot + BOARD, foot + BOARD + 1 / 9)
        ends = [min(max(int(end * height + 0.5), 0), height) for end in ends]
        top, front, below = (slice(*pair) for pair in pairwise(ends))
        image[top] = 1.12 * board * (0.85 + 0.2 * grain[top])[..., None]
        image[front] = 0.80 * board * (0.8 + 0.3 * grain[front])[..., None]
        image[below] *= 1 - 0.45 * clip01(1 - 9 * ((np.arange(height)[below] + 0.5) / height - foot - BOARD))[:, None, None]
        for _ in range(int(rng.integers(6))):
            x, wide, colour = between(rng, 0, WIDE), between(rng, 0.03, 0.06), between(rng, 0.75, 1.0)
            image[front.start + 1 : max(front.stop - 1, 0), int(x * height) : int((x + wide) * height)] = colour
    return image


@register("set", "mini-needles")
def load(
    name: str = "mini-needles", seed: int = 0, n_things: int = 120, n_queries: int = 120, n_database: int = 200,
    n: int = 0, permille: int = 0, hidden: int = -1, side: int = 512,
) -> RetrievalSet:  # fmt: skip
    """mini-needles as a RetrievalSet with the protocol instances.

    It is drawn once (under half a minute), then read from the cache; every seed has other things. n, permille, hidden, side:
    as for :func:`scene`, for curves over the number of things, their size, occlusion and resolution: the queries stay as
    they are. Raises InputError for a bad number or a disk that can't be written.
    """
    chosen = (("n", n, 0), ("permille", permille, 0), ("hidden", hidden, -1), ("side", side, 512))
    count(n, f"{name}: n", 0, n_things), count(permille, f"{name}: permille", 0, 100), count(hidden, f"{name}: hidden", -1, 90)
    numbers = {"n_things": (n_things, 1), "n_queries": (n_queries, 1), "n_database": (n_database, 1)}
    numbers |= {"n": (n, 0), "permille": (permille, 0), "hidden": (hidden + 1, 0), "side": (side, 64)}
    root = drawn.world(name, VERSION, write, seed=(seed, 0), **numbers)
    options = ", ".join(f"{key}={value}" for key, value, usual in chosen if value != usual)
    return read(root, f"{name} (seed {seed}{', ' if options else ''}{options})")


def write(
    folder: Path, seed: int, n_things: int, n_queries: int, n_database: int, n: int, permille: int, hidden: int, side: int
) -> None:
    """Draw the pictures of a seed into ``folder``; ``hidden`` counts from 0 for by chance."""
    things = world(BENCHMARK, seed, n_things)

    def draw(part, index):
        rng = stream(BENCHMARK, seed, part, index)
        if part == QUERIES:
            number = index % n_things
            pixels, mask = photograph(rng, things[number])
            return pixels, [(number, mask, {"share": 1.0})]
        pixels, numbers, masks, shares = scene(rng, things, n, permille, hidden - 1, side)
        about = [{"share": round(share, 4), "iscrowd": int(share < SEEN)} for share in shares]
        return pixels, list(zip(numbers, masks, about, strict=True))

    splits, names = {"queries": n_queries, "database": n_database}, [thing.name for thing in things]
    drawn.write(folder, splits, names, draw, 8, f"mini-needles, seed {seed}")


def read(root: str | PathLike, name: str) -> RetrievalSet:
    """A folder that `write` filled as a RetrievalSet."""
    splits = {"queries": "query", "database": "database"}
    parts = [coco.read_split(Path(root), split, role) for split, role in splits.items()]
    images, objects = (pd.concat(part, ignore_index=True) for part in zip(*parts, strict=True))
    return reading.instance_set(name, images, objects)
