"""Which landmarks stand in a picture of mini-landmarks, how they are seen, and how hard that makes them.

A landmark in a picture is *junk* when less than a quarter of it, or less than 1% of the picture, can be seen;
*easy* when it is seen by day or evening, from the front (to 35 degrees), at least 70% of it, on at least
12% of the picture, and no other landmark is half as large; else *hard*.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from foir_lib.data.mini import facades, render
from foir_lib.data.mini.render import Rng, between
from foir_lib.data.mini.streets import HEIGHT, WIDTH, Instance, View, photograph, sheets

BENCHMARK, TRAINING = 0, 1
QUERIES, DATABASE, DISTRACTORS, FACADES, HOUSES = range(5)
GRADES = ("easy", "hard", "junk")
FAMILY = 5  # look-alikes in a family
TARGETS = {BENCHMARK: 3, TRAINING: 5}  # how many of them may be queries; the others are there to mislead
WORLD = render.numbers("town")
WAYS = WORLD["grades"]  # grade a picture's main landmark is drawn for -> ways to be so, with their chances
SHARES = WORLD["ways"]  # way -> share of the picture that the main landmark covers unhidden, and those beside it


def stream(use: int, seed: int, part: int, index: int) -> Rng:
    """Random stream of a picture; no seed of one use leads to a picture of the other.

    use: BENCHMARK or TRAINING; part: QUERIES, DATABASE, DISTRACTORS, or FACADES and HOUSES for what the world is made of.
    """
    return render.stream(seed, len("landmarks"), use, part, index)


@dataclass(frozen=True, eq=False)
class World:
    """The landmarks of a seed: facades, those that may be queries first; family: number of each one's family; marked: whether sheets mark parts."""

    facades: list
    family: np.ndarray
    n_targets: int
    house_stream: Rng
    marked: bool = False
    _drawn: dict = field(default_factory=dict)

    def sheets(self, number: int) -> list[np.ndarray]:
        """Sheets of a landmark at all sizes, drawn when first wanted."""
        if number not in self._drawn:
            self._drawn[number] = sheets(facades.paint(self.facades[number], self.marked))
        return self._drawn[number]

    @cached_property
    def houses(self) -> list[list[np.ndarray]]:
        """Sheets of ordinary houses, which are nobody's landmark."""
        houses, rng = [], self.house_stream
        plain = {"towers": "none", "feature": "none", "portal": "door", "wing": 0.0}
        for i in range(24):
            house = facades.family(rng, 1, str(i))[0]
            bays, crown = int(rng.integers(2, 5)), ("gable", "hip", "flat")[rng.integers(3)]
            choices = house.choices | plain | {"bays": bays, "crown": crown}
            shape = (between(rng, 0.34, 0.7), between(rng, 0.40, 0.58), 0.2, 0.7)
            houses.append(sheets(facades.paint(house._replace(choices=choices, shape=shape))))
        return houses


@lru_cache(maxsize=2)
def world(use: int, seed: int, n_targets: int, marked: bool = False) -> World:
    """The World in which ``n_targets`` landmarks may be queries."""
    first = TARGETS[use]
    n = -(-n_targets // first)
    members = [one for i in range(n) for one in facades.family(stream(use, seed, FACADES, i), FAMILY, f"{i + 1:02d}")]
    place = np.arange(n * FAMILY)
    targets = place[place % FAMILY < first][:n_targets]
    order = np.concatenate([targets, np.setdiff1d(place, targets)])
    return World([members[i] for i in order], order // FAMILY, n_targets, stream(use, seed, HOUSES, 0), marked)


def scene(world: World, rng: Rng, main: int, grade: str) -> tuple[np.ndarray, list[Instance], str, list[str]]:
    """A picture, uint8 (HEIGHT, WIDTH, 3), the Instances on it, its light and the grade of each of them.

    main: number of the landmark it is about, -1 for none of the targets. grade: one of WAYS; the scene is composed
    up to twenty times until its main landmark has that grade (a query must be easy but for what stands beside it).
    """
    ways, chances = zip(*WAYS[grade].items(), strict=True)
    way = ways[int(np.searchsorted(np.cumsum(chances), rng.random() * 0.999999, side="right"))]
    for _ in range(20):
        pixels, instances, light = _compose(world, rng, main, way)
        grades = [grade_of(one, instances, light) for one in instances]
        if grade == "none" or _fits(main, grade, instances, grades):
            break
    return pixels, instances, light, grades


def _fits(main, grade, instances, grades):
    """Whether the landmark ``main`` is there as ``grade`` wants it."""
    for one, level in zip(instances, grades, strict=True):
        if one.landmark == main:
            return {"query": one.share > 0.8, "training": level != "junk"}.get(grade, level == grade)
    return False


def grade_of(one: Instance, instances: list[Instance], light: str) -> str:
    """Grade of an Instance among all of a picture: see the head of this file."""
    size = one.mask.sum() / one.mask.size
    if one.share < 0.25 or size < 0.01:
        return "junk"
    rival = max((other.mask.sum() / other.mask.size for other in instances if other is not one), default=0.0)
    plain = light != "night" and abs(one.turn) <= 0.7 and one.share >= 0.7
    return "easy" if plain and size >= 0.12 and rival <= 0.5 * size else "hard"


def _compose(world, rng, main, way):
    """One try at a picture."""
    light = "night" if way == "night" else ("day", "day", "cloudy", "evening")[rng.integers(4)]
    if way in ("beside", "steep", "hidden", "scrap", "others") and rng.random() < 0.12:
        light = "night"
    horizon = between(rng, 0.5, 0.76) * HEIGHT
    buildings = []
    if way != "others":
        buildings.append(_place(world, rng, main, between(rng, *SHARES[way]["share"]), way, horizon, []))
    count = 1 + (rng.random() < 0.5) if way in ("query", "beside", "speck", "others") else int(rng.integers(3))
    for shares in SHARES[way]["beside"][:count]:
        number = _other(world, rng, main, [number for number, *_ in buildings], way)
        buildings.append(_place(world, rng, number, between(rng, *shares), "beside", horizon, buildings))
    fronts = _clutter(rng)
    if way == "hidden":
        view = buildings[0][2]
        for _ in range(2 + (view.tall > 90)):
            kind, x = ("tree", "tree", "bus")[rng.integers(3)], view.x + between(rng, -0.35, 0.35) * view.tall
            tall = view.tall * (between(rng, 0.7, 1.1) if kind == "tree" else between(rng, 0.3, 0.45))
            fronts.append((kind, x, view.y + view.tall / 2 + between(rng, 2, 9), tall))
    fronts.sort(key=lambda front: front[2])
    buildings.sort(key=lambda building: building[2].tall)
    placed = [(number, world.sheets(number), view) for number, _, view in buildings]
    return *photograph(rng, light, horizon, placed, world.houses, fronts), light


def _other(world, rng, main, there, way):
    """A landmark to stand beside: often a look-alike; on a picture without targets, none of these."""
    choice = np.arange(len(world.facades))
    if way == "others":
        choice = choice[world.n_targets :]
    elif rng.random() < 0.3:
        choice = choice[world.family == world.family[main]]
    choice = np.setdiff1d(choice, there)
    return int(choice[rng.integers(len(choice))])


def _place(world, rng, number, share, way, horizon, there):
    """A building of a share of the picture, beside those that are there if eight throws find room."""
    levels, side = world.sheets(number), 1 if rng.random() < 0.5 else -1
    turn = side * {"steep": between(rng, 1.0, 1.8), "query": between(rng, 0, 0.45)}.get(way, between(rng, 0, 0.65))
    sheet = levels[0]
    filled = np.count_nonzero(sheet[..., 3] > 0.5) / len(sheet) / len(sheet)
    tall = np.sqrt(share * WIDTH * HEIGHT * np.sqrt(1 + turn * turn) / filled)
    half = tall * sheet.shape[1] / len(sheet) / 2 / np.sqrt(1 + turn * turn)
    foot = min(horizon + 2 + 0.10 * tall + between(rng, 0, 10), HEIGHT + 2)
    foot = max(foot, min(tall * 0.97, HEIGHT + 4))
    best, free = 0.0, None
    for _ in range(8):
        margin = min(half * 0.9, WIDTH * 0.48)
        x = between(rng, margin, WIDTH - margin)
        if way == "scrap":
            x = -half * between(rng, 0.5, 0.85) if side > 0 else WIDTH + half * between(rng, 0.5, 0.85)
        gaps = [abs(x - view.x) - half - wide for _, wide, view in there]
        if free is None or min(gaps, default=0.0) > free:
            best, free = x, min(gaps, default=0.0)
    tilt = [between(rng, -0.05, 0.05), between(rng, -0.04, 0.14)]
    return number, half, View(best, foot - tall / 2, tall, turn, between(rng, 0.15, 0.5), *tilt)


def _clutter(rng):
    """Trees, people, lamps and a bus here and there: (kind, x, foot, height)."""
    fronts = []
    for kind, one in WORLD["fronts"].items():
        for _ in range(int(rng.integers(one["most"]))):
            x, foot = between(rng, 0, WIDTH), between(rng, *one["foot"]) * HEIGHT
            fronts.append((kind, x, foot, between(rng, *one["height"])))
    return fronts
