"""Questions and answers about pictures of the mini worlds: is it there, what, where, how many, which colour, why; with hard negatives."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foir_lib.data.mini import facades, focus, render, things
from foir_lib.methods.memory.reflection import HAS, SAME, SHOWS, WHY, with_article
from foir_lib.models.mini import lmm
from foir_lib.training.mini import views
from foir_lib.training.mini.views import Picture, Shown

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
PLURALS = {"cross": "crosses", "church": "churches", "radio": "radios"}
SMALL = {"a", "an", "by", "on", "hall", "window", "windows", "roof"}  # words that say nothing of a patch
GRID = round(lmm.TOKENS**0.5)


class Asked(NamedTuple):
    """Something that a picture may show; what is "" isn't asked for."""

    noun: str = ""
    colour: str = ""
    pattern: str = ""
    place: str = ""
    detail: str = ""

    def __str__(self) -> str:
        words = " ".join(filter(None, (self.pattern, self.colour, self.noun, self.place)))
        return f"{with_article(words)} with {self.detail}" if self.detail else with_article(words)

    def holds(self, thing: Shown) -> bool:
        """Whether a thing is what is asked for."""
        said = (self.noun, self.colour, self.pattern, self.place)
        same = all(not asked or asked == is_ for asked, is_ in zip(said, (thing.noun, thing.colour, thing.pattern, thing.place)))
        return same and (not self.detail or self.detail in thing.details)


def _known():
    """World -> what its things may be, as Asked of full names; and its details."""
    of_focus = [Asked(k.shape, k.hue, k.texture, k.name.split(" ", 3)[3]) for k in focus.KINDS]
    of_needles = [Asked(form, hue) for form in things.WORLD["forms"] for hue in things.PALETTE]
    of_facades = [Asked(kind, wall) for kind in facades.WORLD["kinds"] for wall in facades.WORLD["walls"]]
    values = things.DETAILS
    details = list(views.BANDS.values()) + [f"a {v} badge" for v in values["badge"]["values"][1:]] + [f"a {v} label" for v in values["label"]["values"][1:]]
    details += [f"{'an' if v[0] in 'aeiou' else 'a'} {v} trim" for v in values["trim"]["values"]] + ["a dent"]
    parts = [*views.TOWERS.values(), *views.FEATURES.values(), *views.CROWNS.values()]
    return {"focus": (of_focus, []), "needles": (of_needles, details), "facades": (of_facades, parts)}


KNOWN = _known()


def _one(rng, values):
    return values[int(rng.integers(len(values)))]


def _asked(rng, thing: Shown) -> Asked:
    """A true description of a thing: most often its full name, else less of it, or a detail more."""
    full = Asked(thing.noun, thing.colour, thing.pattern, thing.place)
    if thing.details and rng.random() < 0.4:
        detail = _one(rng, thing.details)
        return full._replace(detail=detail) if rng.random() < 0.6 else Asked(thing.noun, detail=detail)
    r = rng.random()
    if r < 0.6:
        return full
    return _one(rng, [Asked(thing.noun), Asked(thing.noun, thing.colour), full._replace(place=""), Asked(thing.noun, "", thing.pattern)])


def _other(rng, true: Asked, picture: Picture) -> Asked:
    """A description near a true one: one thing of it is another's, from the picture's own things or of its world."""
    names, details = KNOWN[picture.world]
    if true.detail and rng.random() < 0.6:
        return true._replace(detail=_one(rng, details))
    full = _one(rng, names)
    near = [name for name in names if name != true and sum(a == b for a, b in zip(name, true)) >= 4 - (picture.world == "focus") - (not true.colour)]
    if near and rng.random() < 0.7:
        full = _one(rng, near)
    if len(picture.things) > 1 and rng.random() < 0.25:  # the colour of one with the form of another
        one, other = (picture.things[i] for i in rng.choice(len(picture.things), 2, replace=False))
        full = full._replace(noun=one.noun, colour=other.colour, pattern=other.pattern)
    return Asked(*(value if old else "" for value, old in zip(full, true)))._replace(detail=true.detail)


def shows(rng: np.random.Generator, picture: Picture) -> tuple[Asked, bool] | None:
    """Something to ask of a picture, there and not there by turns of a coin; None where there is nothing to be sure of."""
    sure = [thing for thing in picture.things if thing.sure]
    if not sure:
        return None
    asked = _asked(rng, _one(rng, sure))
    if rng.random() < 0.5:
        return asked, True
    for _ in range(8):
        other = _other(rng, asked, picture)
        if other.noun and not any(other.holds(thing) for thing in picture.things):
            return other, False
    return asked, True


def question(rng: np.random.Generator, picture: Picture) -> tuple[str, str] | None:
    """A question about a picture and its answer; seven of ten are of the thesis' kind."""
    r, sure = rng.random(), [thing for thing in picture.things if thing.sure]
    if not sure:
        return None
    thing, alone = _one(rng, sure), len(picture.things) == 1
    if r < 0.7:
        asked, true = shows(rng, picture)
        return SHOWS.format(name=str(asked)), "yes" if true else "no"
    if r < 0.76:
        asked, true = shows(rng, picture)
        seen = thing if not true else next(one for one in sure if asked.holds(one))
        return WHY.format(name=str(asked)), f"{'yes' if true else 'no'}, it shows {_told(rng, seen)}"
    if r < 0.82:
        return ("What does the picture show?", _told(rng, thing)) if alone else ("What stands where?", _list(sure))
    if r < 0.88 and len(sure) == len(picture.things):
        number = sum(one.noun == thing.noun for one in sure)
        if rng.random() < 0.5:
            return "How many things are there?", NUMBERS[min(len(sure), 12)]
        return f"How many {PLURALS.get(thing.noun, f'{thing.noun}s')} are there?", NUMBERS[min(number, 12)]
    if r < 0.94:
        only = [one for one in picture.things if one.noun == thing.noun]
        if len(only) == 1 and rng.random() < 0.5:
            return f"Where is the {thing.noun}?", where(thing)
        return (f"What colour is the {thing.noun}?", thing.colour) if len({one.colour for one in only}) == 1 else None
    return _property(rng, thing, picture.world) if alone else None


def _property(rng, thing, world):
    """Whether a thing has a property, as a memory stores them: colour, pattern, badge, band, label, trim."""
    names, _ = KNOWN[world]
    values = {"colour": (thing.colour, sorted({name.colour for name in names}))}
    if thing.pattern:
        values["pattern"] = (thing.pattern, sorted({name.pattern for name in names}))
    for detail in thing.details:
        words = detail.split()
        if world == "needles" and words[-1] in ("badge", "label", "trim"):
            values[words[-1]] = (words[1], things.DETAILS[words[-1]]["values"][words[-1] != "trim" :])
    key = _one(rng, list(values))
    is_, might = values[key]
    value = is_ if rng.random() < 0.5 else _one(rng, might)
    return HAS.format(key=key, value=value), "yes" if value == is_ else "no"


def where(thing: Shown) -> str:
    """Where a thing is: :func:`place` of its box."""
    return place(thing.box)


def place(box: Sequence[float]) -> str:
    """Where the centre of a box is, of a picture of side 1: "top left", "middle", "bottom" ..., by thirds."""
    x0, y0, x1, y1 = box
    words = [("top", "", "bottom")[min(int(1.5 * (y0 + y1)), 2)], ("left", "", "right")[min(int(1.5 * (x0 + x1)), 2)]]
    return " ".join(filter(None, words)) or "middle"


def _told(rng, thing):
    return str(Asked(thing.noun, thing.colour, thing.pattern, thing.place, _one(rng, thing.details) if thing.details else ""))


def _list(sure):
    told = [f"{with_article(f'{one.colour} {one.noun}')} {where(one)}" for one in sorted(sure, key=lambda one: one.box[0])]
    return ", ".join(told[:3])


def cells(picture: Picture) -> list[list[str]]:
    """The words of what each patch shows, row by row: of the smallest thing whose box holds its centre, else of the ground."""
    words = [[picture.ground] for _ in range(GRID * GRID)]
    for thing in sorted(picture.things, key=lambda one: -(one.box[2] - one.box[0]) * (one.box[3] - one.box[1])):
        said = " ".join((thing.name, *thing.details)).split()
        x0, y0, x1, y1 = (value * GRID for value in thing.box)
        for row in range(GRID):
            for column in range(GRID):
                if x0 <= column + 0.5 <= x1 and y0 <= row + 0.5 <= y1:
                    words[row * GRID + column] = [word for word in said if word not in SMALL]
    return words


def named() -> set[str]:
    """Words that a patch may have: forms, colours, patterns, places, and those of details."""
    texts = [text for names, details in KNOWN.values() for text in [*details, *(f"{n.noun} {n.colour} {n.pattern} {n.place}" for n in names)]]
    return {word for text in texts for word in text.split()} - SMALL


def vocabulary() -> list[str]:
    """Every word that questions and answers of the mini worlds are made of, small letters."""
    texts = [SHOWS, WHY, SAME, HAS, "What does the picture show? What stands where? How many things are there? Where is the top left middle bottom right"]
    texts += ["What colour is the, it shows with colour pattern badge band label trim", *NUMBERS, *render.PLACES, "wall shelf street", "there this that and yes no"]
    for names, details in KNOWN.values():
        texts += [str(name) for name in names] + details
        texts += [PLURALS.get(name.noun, f"{name.noun}s") for name in names]
    return sorted({word.lower() for text in texts for word in _words(text)})


def _words(text: str) -> Sequence[str]:
    return "".join(letter if letter.isalnum() else f" {letter} " for letter in text.replace("{name}", "").replace("{key}", "").replace("{value}", "")).split()
