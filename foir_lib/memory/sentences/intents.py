"""Intents: what a sentence to a memory asks for. A name is in the speaker's own letters; None is what was last spoken of."""

from dataclasses import astuple, dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Intent:
    """One thing to do; ``writes`` when doing it changes the memory."""

    writes: ClassVar[bool] = False

    def __str__(self) -> str:
        """As the tests' table writes it: "Same: the mug | -"."""
        slots = " | ".join("-" if slot is None else str(slot) for slot in astuple(self))
        return f"{type(self).__name__}: {slots}" if slots else type(self).__name__


@dataclass(frozen=True)
class Name(Intent):
    """ "This is the lab's mug." """

    name: str
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Correct(Intent):
    """ "That's wrong, it's the blue one." """

    name: str
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Same(Intent):
    """ "Those two are the same." """

    a: str | None = None
    b: str | None = None
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Different(Intent):
    """ "They are different": a merge is taken apart."""

    a: str | None = None
    b: str | None = None
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Forget(Intent):
    """ "Forget it." """

    name: str | None = None
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Undo(Intent):
    """ "Undo the last three steps." """

    n: int = 1
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Redo(Intent):
    """ "Do it again." """

    n: int = 1
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Alias(Intent):
    """ "The mug is also called Bluey." """

    thing: str | None
    name: str
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Rename(Intent):
    """ "Call it the travel mug": also names a region that has no name yet."""

    thing: str | None
    name: str
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Property(Intent):
    """ "The mug is blue", "it belongs to the lab"."""

    thing: str | None
    key: str
    value: str
    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class Yes(Intent):
    """A question is answered, or an answer confirmed: that writes."""

    writes: ClassVar[bool] = True


@dataclass(frozen=True)
class No(Intent):
    """An answer is rejected: that is noted of the region; what it is instead isn't said, so no thing changes."""


@dataclass(frozen=True)
class What(Intent):
    """ "What is this?" """


@dataclass(frozen=True)
class Where(Intent):
    """ "Where is the lab's mug?" """

    name: str | None = None


@dataclass(frozen=True)
class Count(Intent):
    """ "How many mugs are there?" """

    name: str | None = None


@dataclass(frozen=True)
class Show(Intent):
    """ "Show me all of the lab's things"; ``of`` is an owner, a property or a kind, None is everything."""

    of: str | None = None


@dataclass(frozen=True)
class About(Intent):
    """ "What do you know about the mug?", "what colour is it?" """

    name: str | None = None


@dataclass(frozen=True)
class Ask(Intent):
    """ "Is this the lab's mug?" """

    name: str


@dataclass(frozen=True)
class Why(Intent):
    """ "How do you know?" """


@dataclass(frozen=True)
class History(Intent):
    """ "What did you do?" """


@dataclass(frozen=True)
class Help(Intent):
    """ "What can I say?" """


@dataclass(frozen=True)
class Maybe(Intent):
    """Understood, but not surely: ``intent`` is asked back, and done only after a yes."""

    intent: Intent

    def __str__(self) -> str:
        return f"Maybe {self.intent}"


@dataclass(frozen=True)
class Both(Intent):
    """ "This is my mug and it is blue": several things to do, one after another."""

    intents: tuple[Intent, ...]

    @property
    def writes(self) -> bool:
        return any(intent.writes for intent in self.intents)

    def __str__(self) -> str:
        return " + ".join(map(str, self.intents))


@dataclass(frozen=True)
class Unknown(Intent):
    """Not understood; ``near`` are sentences that would have been."""

    text: str
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "Unknown"
