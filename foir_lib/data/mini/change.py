"""mini-change: the things of mini-needles one by one under two conditions, which share neither light nor side nor background.

    root/queries/*.png  root/database/*.png  root/annotations/instances_{queries,database}.json

Queries show the things of a seed, one of each family, lit from the left, turned to the left, before a warm wall; the database shows them lit
from the right, turned to the right, before a cold one. Size, tilt, exposure and grain vary in both.
"""

from pathlib import Path

import numpy as np

from foir_lib.data.mini import drawn, needles, render
from foir_lib.data.mini.render import Rng, between, develop, noise
from foir_lib.data.mini.streets import View
from foir_lib.data.mini.things import FAMILY, Light, Thing, paint
from foir_lib.data.sets import RetrievalSet
from foir_lib.registry import register

VERSION = 1
WALLS = ((0.80, 0.62, 0.42), (0.32, 0.44, 0.62))  # colour of each condition's background
SIDES = (-1, 1)  # of light and turn
SIDE = 128  # pixels


def photograph(rng: Rng, thing: Thing, condition: int) -> tuple[np.ndarray, np.ndarray]:
    """A thing under a condition, 0 or 1: pixels uint8 and mask bool, both (SIDE, SIDE, ...)."""
    towards = SIDES[condition]
    image = np.array(WALLS[condition]) * between(rng, 0.85, 1.1) * (0.8 + 0.35 * noise(rng, SIDE, SIDE, SIDE / 6))[..., None]
    light = Light(towards * between(rng, 0.35, 0.6), between(rng, -0.2, 0.1), towards * between(rng, 0.2, 0.6), between(rng, 0.1, 0.4))
    tall, turn = min(between(rng, 0.50, 0.74), 0.80 / (2 * thing.half)) * SIDE, towards * between(rng, 0.35, 0.75)
    x, y = (SIDE * between(rng, 0.46, 0.54) for _ in range(2))
    view = View(x, y, tall, turn, between(rng, 0.1, 0.4), towards * between(rng, 0.0, 0.2), between(rng, -0.06, 0.10))
    rows, cols, mask = paint(image, thing, view, light)
    whole = np.zeros((SIDE, SIDE), bool)
    whole[rows, cols] = mask
    return develop(rng, image), whole


@register("set", "mini-change")
def load(name: str = "mini-change", seed: int = 0, n_things: int = 30, n_views: int = 12) -> RetrievalSet:
    """mini-change as a RetrievalSet with the protocol instances: ``n_views`` pictures of each of ``n_things`` under each condition.

    Drawn once (some ten seconds), then read from the cache. Raises InputError for a bad number or a disk that can't be written.
    """
    root = drawn.world(name, VERSION, write, seed=(seed, 0), n_things=(n_things, 2), n_views=(n_views, 1))
    return needles.read(root, f"{name} (seed {seed})")


def write(folder: Path, seed: int, n_things: int, n_views: int) -> None:
    """Draw the pictures of a seed into ``folder``."""
    things = needles.world(needles.BENCHMARK, seed, FAMILY * n_things)[::FAMILY]

    def draw(part, index):
        rng = render.stream(seed, len("change"), needles.BENCHMARK, part, index)
        pixels, mask = photograph(rng, things[index % n_things], part)
        return pixels, [(index % n_things, mask, {"share": 1.0})]

    splits = {"queries": n_things * n_views, "database": n_things * n_views}
    drawn.write(folder, splits, [thing.name for thing in things], draw, 8, f"mini-change, seed {seed}")
