"""Pictures for mini-lmm: scenes and crops of all three mini worlds, and what stands on them in words; training streams alone."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from foir_lib.data.mini import facades, focus, needles, render, things, town
from foir_lib.models.mini import lmm

TRAIN, HELD_OUT = 0, 1  # parts: their worlds have other seeds
WORLDS = 50_000  # seeds of a part
SHARES = (0.05, 0.6)  # of what can be seen of a thing, in the picture: less is nothing, more is there for sure
LEAST = 0.004  # share of the picture from which on a thing is named
BANDS = {"high": "a high band", "low": "a low band", "two": "two bands", "upright": "an upright band", "slanted": "a slanted band"}
FEATURES = {"rose": "a rose window", "clock": "a clock", "niche": "a niche", "banner": "a banner", "oculi": "round windows"}
TOWERS = {"left": "a left tower", "right": "a right tower", "both": "two towers", "centre": "a middle tower"}
CROWNS = {"gable": "a gable", "hip": "a hip roof", "dome": "a dome", "steps": "steps", "battlement": "battlements", "flat": "a flat roof"}


class Shown(NamedTuple):
    """A thing on a picture in words; "" where a world has no such word. box: x0, y0, x1, y1 as shares; sure: enough of it can be seen.

    identity, family: which thing of which world it is, and which are its look-alikes.
    """

    noun: str
    colour: str
    pattern: str
    place: str
    details: tuple[str, ...]
    box: tuple[float, float, float, float]
    sure: bool
    identity: tuple
    family: tuple

    @property
    def name(self) -> str:
        """Its full name, without details: "plain red disc by day", "red mug", "sandstone church"."""
        return " ".join(filter(None, (self.pattern, self.colour, self.noun, self.place)))


class Picture(NamedTuple):
    """Pixels uint8 (3, S, S), its things, the word of what lies behind them, the mini world it is of."""

    pixels: np.ndarray
    things: tuple[Shown, ...]
    ground: str
    world: str


def pictures(n: int, seed: int, part: int = TRAIN) -> list[Picture]:
    """At least ``n`` pictures, a third of each mini world, most of them crops. No benchmark seed can meet them: see the worlds' streams."""
    drawn, turn = [], 0
    sources = {"focus": _focus, "needles": _needles, "facades": _facades}
    counts = dict.fromkeys(sources, 0)
    while len(drawn) < n:
        world = min(counts, key=counts.get)
        some = list(sources[world](np.random.default_rng((seed, part, turn)), seed, part, turn))
        drawn += some
        counts[world] += len(some)
        turn += 1
    return drawn


def _focus(rng, seed, part, turn):
    """A scene, and crops of its things from tight to wide."""
    name = list(focus.FLAVOURS)[turn // 3 % 3]
    image, kinds, masks, place = focus.scene(focus.stream(1, name, (2 * seed + part) * WORLDS + 7, 0, turn), name)
    shown = []
    for kind in (focus.KINDS[k] for k in kinds):
        where = kind.name.removeprefix(f"{kind.texture} {kind.hue} {kind.shape} ")
        shown.append((kind.shape, kind.hue, kind.texture, where, (), ("focus", kind.name), (kind.hue, kind.shape)))
    yield from _cut(rng, image, shown, masks, [1.0] * len(masks), render.PLACES[place], "focus", 2, whole=True)


@lru_cache(maxsize=2)
def _shelf_world(seed):
    return needles.world(needles.TRAINING, seed, 24)


def _needles(rng, seed, part, turn):
    """Shelves at one of three sizes with crops of their things, or, every other time, photographs of some."""
    world_seed = (2 * seed + part) * WORLDS + turn // 30
    world = _shelf_world(world_seed)
    if turn % 2:
        for number in rng.integers(0, len(world), 4).tolist():
            image, mask = needles.photograph(needles.stream(needles.TRAINING, world_seed, needles.QUERIES, int(rng.integers(2**30))), world[number], 128)
            yield from _cut(rng, image, [thing_words(world[number], world_seed)], [mask], [1.0], "wall", "needles", 0, whole=True)
        return
    side = (256, 384, 512)[int(rng.integers(3))]
    image, numbers, masks, shares = needles.scene(needles.stream(needles.TRAINING, world_seed, needles.DATABASE, turn), world, side=side)
    shown = [thing_words(world[number], world_seed) for number in numbers]
    yield from _cut(rng, image, shown, masks, shares, "shelf", "needles", 6, whole=turn % 4 == 0)


def thing_words(thing: things.Thing, world: int) -> tuple:
    """A thing of mini-needles in words: form, colour of its body, details, and which one it is."""
    palette, details = things.PALETTE, thing.details
    said = [BANDS.get(details["band"], "")]
    said += [f"a {details['badge']} badge"] if details["badge"] != "none" else []
    said += [f"a {details['label']} label"] if details["label"] != "none" else []
    said += [f"{_a(details['trim'])} {details['trim']} trim"] + (["a dent"] if details["dent"] != "none" else [])
    return thing.form, nearest(thing.colours["body"], palette), "", "", tuple(filter(None, said)), ("needles", world, thing.name), ("needles", world, thing.name[:-1])


def nearest(colour: np.ndarray, palette: dict) -> str:
    """The name of the palette's colour that is nearest to an RGB triple."""
    return min(palette, key=lambda hue: float(np.square(np.asarray(palette[hue]) - colour).sum()))


def _facades(rng, seed, part, turn):
    """A street and crops of its landmarks."""
    world_seed = (2 * seed + part) * WORLDS + turn // 60
    world = town.world(town.TRAINING, world_seed, 10)
    main = int(rng.integers(10))
    image, instances, _, _ = town.scene(world, town.stream(town.TRAINING, world_seed, town.DATABASE, turn), main, "training")
    shown = [facade_words(world.facades[one.landmark], (world_seed, one.landmark), (world_seed, int(world.family[one.landmark]))) for one in instances]
    yield from _cut(rng, image, shown, [one.mask for one in instances], [one.share for one in instances], "street", "facades", 3, whole=turn % 2 == 0)


def facade_words(facade: facades.Facade, identity: tuple, family: tuple) -> tuple:
    """A landmark in words: kind, wall, what stands on it, and which one it is."""
    (wall, kind), choices = facade.name.rsplit(" ", 1)[0].split(" ", 1), facade.choices
    said = [TOWERS.get(choices["towers"], ""), FEATURES.get(choices["feature"], ""), CROWNS[choices["crown"]]]
    return kind, wall, "", "", tuple(filter(None, said)), ("facades", *identity), ("facades", *family)


def _cut(rng, image, shown, masks, shares, ground, world, n_crops, whole) -> Iterator[Picture]:
    """The picture itself and crops about some of its things, wider than the thing by up to its size on each side."""
    height, width = image.shape[:2]
    regions = [(0, 0, width, height)] if whole or not shown else []
    seen = [i for i, mask in enumerate(masks) if mask.any() and shares[i] >= needles.SEEN]
    for i in rng.permutation(seen)[:n_crops]:
        ys, xs = masks[i].any(1).nonzero()[0], masks[i].any(0).nonzero()[0]
        x0, y0, x1, y1 = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
        wide = 0.04 + 0.9 * rng.random() ** 2
        left, up, right, down = wide * (0.6 + 0.8 * rng.random(4)) * np.array([x1 - x0, y1 - y0] * 2)
        regions.append((max(int(x0 - left), 0), max(int(y0 - up), 0), min(int(x1 + right) + 1, width), min(int(y1 + down) + 1, height)))
    for x0, y0, x1, y1 in regions:
        there = []
        for words, mask, share in zip(shown, masks, shares):
            inside, total = mask[y0:y1, x0:x1], mask.sum()
            part = inside.sum() / max(total, 1)
            if part < SHARES[0] or not inside.any():
                continue
            ys, xs = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
            box = xs[0] / (x1 - x0), ys[0] / (y1 - y0), (xs[-1] + 1) / (x1 - x0), (ys[-1] + 1) / (y1 - y0)
            sure = part >= SHARES[1] and share >= 0.5 and inside.mean() >= LEAST
            noun, colour, pattern, place, details, identity, family = words
            there.append(Shown(noun, colour, pattern, place, details, tuple(map(float, box)), bool(sure), identity, family))
        pixels = Image.fromarray(image[y0:y1, x0:x1]).resize((lmm.SIDE, lmm.SIDE), Image.Resampling.BICUBIC)
        yield Picture(np.asarray(pixels).transpose(2, 0, 1).copy(), tuple(there), ground, world)


def _a(word):
    return "an" if word[0] in "aeiou" else "a"
