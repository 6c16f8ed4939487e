"""What a conversation is about: the region that is looked at, the things last spoken of, the question that waits for an answer."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.images import rgb
from foir_lib.memory import denials, names
from foir_lib.memory.database import crops
from foir_lib.memory.recogniser import Recognition
from foir_lib.memory.sentences.intents import Intent
from foir_lib.memory.state import Event, Thing, View
from foir_lib.memory.talk.told import listed
from foir_lib.prompts import Mask, Prompt

UNDO = "Say “undo” to take it back."


@dataclass(frozen=True)
class Reply:
    """An answer. ``kind``: "answer", "done", "question", "unknown" or "refused"; ``things``: those it is about; ``results``: the evidence,
    regions of an album, a Recognition, or stored views; ``question``: what is asked back, else ""; ``events``: what was written;
    ``by_model``: the words are a language model's."""

    text: str
    kind: str = "answer"
    things: tuple[Thing, ...] = ()
    results: tuple = ()
    question: str = ""
    events: tuple[Event, ...] = ()
    by_model: bool = False


@dataclass(frozen=True)
class Pending:
    """A question that was asked: what a yes does, what a no does, and the things that it may be, one of which answers it.

    ``about``: the things that a no denies of the region; ``naming``: the question is what the region is called.
    """

    yes: Intent | None = None
    no: Intent | None = None
    choices: tuple[Thing, ...] = ()
    chosen: Callable[[Thing], Intent] | None = None
    about: tuple[Thing, ...] = ()
    naming: bool = False


class Several(Exception):
    """A name that several things have."""

    def __init__(self, said: str, things: Sequence[Thing]):
        super().__init__(said)
        self.said, self.things = said, tuple(things)


class Nobody(InputError):
    """A name that no thing has; ``things``: those whose names it may be a slip of, nearest first."""

    def __init__(self, said: str, things: Sequence[Thing]):
        self.said, self.things = said, tuple(things)
        end = f"did you mean {listed([thing.name for thing in things], 'or')}?" if things else "show it and give it this name first."
        super().__init__(f"I know nothing called “{said}”: {end}")


@dataclass
class Context:
    """The memory spoken to, ``recognise(picture, region)``, ``find(thing)`` over an album (None: there is none), and what was said."""

    memory: object
    recognise: Callable[..., Recognition]
    find: Callable[[Thing], Sequence] | None = None
    most: int | None = None  # results of ``find`` at most, where it says so
    picture: Image.Image | None = None
    region: Prompt | None = None
    marked: bool = False
    fresh: bool = False
    recognition: Recognition | None = None
    pending: Pending | None = None
    insisted: str = ""
    spoken: list[str] = field(default_factory=list)

    # ---- the region

    def look(self, picture, region):
        """Turns to another picture or region; what is not given stays as it was."""
        picture = self.picture if picture is None else picture
        region = self.region if region is None and picture is self.picture else region
        if picture is not self.picture or not alike(region, self.region):
            self.picture, self.region, self.marked = picture, region, region is not None
            self.recognition, self.pending, self.fresh = None, None, True

    def recognised(self) -> Recognition:
        """What the region that is looked at shows. InputError where there is no picture."""
        if self.picture is None:
            raise InputError("There is no picture yet: open one and mark a region, then ask again.")
        self.recognition = denials.without(self.recognise(self.picture, self.region), self.denied())
        if self.recognition.thing:
            self.mention(self.recognition.thing)
        else:
            self.fresh = True  # "it" is this region, of which isn't known what it is
        return self.recognition

    def denied(self) -> set[str]:
        """Ids of the things that the region was said not to show."""
        known = denials.settled(self.memory)
        if not known.denials:
            return set()
        picture = rgb(self.picture)
        return known.denied(crops.content(picture), denials.place(self.memory, picture, self.region))

    def deny(self, *things: Thing) -> None:
        """Notes that the region doesn't show these things."""
        for thing in things:
            denials.deny(self.memory, rgb(self.picture), self.region, thing)

    def view(self) -> View | None:
        """The stored view of exactly this region, if it is one."""
        if self.picture is None:
            return None
        picture, grid = rgb(self.picture), getattr(getattr(self.memory.encoder, "model", None), "grid", None)
        box, mask = crops.placed(self.region, picture.size, grid)
        place = crops.content(picture), box and tuple(box), mask
        return next(
            (v for thing in self.memory.things() for v in thing.views if (v.picture, v.box, v.mask) == place), None
        )

    # ---- the things

    def mention(self, *things: Thing) -> None:
        """Makes these the things last spoken of, the first of them "it"."""
        ids, self.fresh = [thing.id for thing in things], False
        self.spoken = [*ids, *(id for id in self.spoken if id not in ids)][:10]

    def last(self, n: int) -> list[Thing]:
        """The ``n`` things last spoken of that are still there."""
        known = {thing.id: thing for thing in self.memory.things()}
        return [known[id] for id in self.spoken if id in known][:n]

    def it(self) -> Thing:
        """The thing that "it" is: what a region just marked shows, else what was last spoken of. InputError for none."""
        if self.fresh and (self.marked or self.recognition is not None):
            stored = self.view()
            thing = self.memory.resolve(stored.thing) if stored else self.recognised().thing
            if thing is None:
                raise InputError("I don't know what is marked: say what it is first.")
            self.mention(thing)
        state = self.memory.journal.current()
        if self.spoken and (last := self.spoken[0]) in state.rows["thing"] and state.has(state.root(last)):
            return state.thing(state.root(last))
        if self.spoken:
            raise InputError("What we spoke of last isn't there any more: name the thing, or mark it and say what it is.")
        raise InputError("I don't know what you speak of: name the thing, or mark it and say what it is.")

    def named(self, said: str) -> list[Thing]:
        """The things so called; "mugs" and "the lab's" are also the mug and the lab."""
        if found := self.memory.named(said):
            return found
        asked = {stem(word) for word in names.asked(said)}
        return [
            thing for thing in self.memory.things() if asked and asked <= {stem(word) for word in names.words(thing)}
        ]

    def thing(self, said: str | None) -> Thing:
        """The one thing meant by a name, an id or "it" (None). InputError for none, with the nearest names; Several for several."""
        if said is None:
            return self.it()
        by_id = [thing for thing in self.memory.things() if thing.id == said]
        found = by_id or self.named(said)
        if len(found) > 1:
            raise Several(said, found)
        if not found:
            raise self.nobody(said)
        self.mention(found[0])
        return found[0]

    def nobody(self, said: str) -> Nobody:
        """What to raise where no thing is called so."""
        return Nobody(said, names.near(said, self.memory.things()))

    def exact(self, said: str) -> list[Thing]:
        """The things of exactly this name or alias, article and case aside."""
        return names.exactly(said, self.memory.things())


def alike(a: Prompt | None, b: Prompt | None) -> bool:
    """Whether two regions are the same."""
    masks = isinstance(a, Mask) and isinstance(b, Mask)
    return a is b or (masks and np.array_equal(a.array, b.array)) or (not masks and a == b)


def stem(word: str) -> str:
    """A word without possessive and plural, and without a last e, so that "houses" meets "house" and "boxes" "box"."""
    word = re.sub("('s|s')$", "", word)
    return re.sub("(?<=[sxz])e$|(?<=[cs]h)e$", "", re.sub("(?<=[^s'])s$", "", word)) if len(word) > 3 else word
