"""A quiz over an album: its unsure regions one after another, each answered by yes, no or a name."""

from foir_lib.errors import FoirError, InputError
from foir_lib.memory import names
from foir_lib.memory.album import Album, Hit
from foir_lib.memory.sentences import denies, understand
from foir_lib.memory.sentences.intents import Correct, Maybe, Name, No, Unknown, Yes
from foir_lib.memory.talk.context import UNDO, Reply
from foir_lib.memory.talk.told import begun, listed, n_of

SKIP = ("skip", "next", "pass", "later", "?", "dunno", "idk")
STOP = ("stop", "end", "quit", "enough", "cancel")


class Quiz:
    """Asks about the ``n`` regions of an album whose answers teach most; its length is how many are left.

    A name that is known is written at once, another one after a yes; a no is noted, and isn't asked of that region again; "skip" notes
    nothing. What is no answer is left to the conversation. A picture that is gone by now is left out.
    """

    def __init__(self, album: Album, n: int = 20):
        self.album, self.hits, self.answered, self._called = album, album.quiz(n), 0, ""

    def __len__(self) -> int:
        return len(self.hits)

    @property
    def hit(self) -> Hit:
        """The region that is asked about."""
        return self.hits[0]

    @property
    def question(self) -> Reply:
        """What is asked now, with the region and the view that it is like. InputError where nothing is left."""
        if not self.hits:
            raise InputError("Nothing is unsure in these pictures: name more things, or show more views of them.")
        first = self.hit.recognition.candidates[0]
        text = f"Is that {first.thing.name}? y, n, or what it is; {len(self)} left, “stop” ends."
        return Reply(text, "question", (first.thing,), (self.hit, first.view), f"Is that {first.thing.name}?")

    def answer(self, text: str) -> Reply | None:
        """Does what an answer says of the present region and goes on to the next; None for what is no answer."""
        said, intent = text.strip(), understand(text)
        inner = intent.intent if isinstance(intent, Maybe) else intent
        exact = self._known(said)
        if said.casefold() in STOP:
            self.hits = []
            return Reply(f"All right: {n_of(self.answered, 'answer')}.")
        if said.casefold().strip(" .!") in SKIP:
            return self._next("I leave that one.", 0)
        if isinstance(intent, Yes):
            return self._confirm(self._called or self.hit.recognition.candidates[0].thing.name)
        if isinstance(intent, No):
            return self._called_back() if self._called else self._denied(denies(text))
        if exact or isinstance(inner, Name | Correct | Unknown):
            return self._named(said if exact or isinstance(inner, Unknown) else inner.name)
        return None

    def _known(self, name):
        """The things of exactly this name."""
        return names.exactly(name, self.album.memory.things())

    def _named(self, name):
        if self._known(name):
            return self._confirm(name)
        self._called, like = name, [thing.name for thing in self.album.memory.named(name)]
        other = f"; I know {listed(like[:5])}" if like else ""
        question = f"Nothing is called “{name}” yet{other}. Is “{name}” its name?"
        return Reply(question, "question", results=(self.hit,), question=question)

    def _called_back(self):
        self._called = ""
        return Reply("All right, nothing was written.")

    def _confirm(self, name):
        """Writes the region as a human's view; what the memory refuses is said, and asked again."""
        try:
            thing = self.album.confirm(self.hit, name)
        except FoirError as error:
            self._called = ""
            if self._known(name)[1:]:
                return Reply(f"{n_of(len(self._known(name)), 'thing')} are called “{name}”: rename one of them first, or skip this.", "refused")
            return self._gone(error)
        reply = self._next(f"That is {thing.name}, of which I know {n_of(len(thing.views), 'view')} now. {UNDO}")
        return Reply(reply.text, "done", (thing,))

    def _denied(self, surely):
        """Notes a no; of "skip" and "I don't know" nothing."""
        thing = self.hit.recognition.candidates[0].thing
        if not surely:
            return self._next("I leave that one.", 0)
        try:
            self.album.deny(self.hit, thing)
        except FoirError as error:
            return self._gone(error)
        return self._next(f"Not {thing.name}, then.")

    def _gone(self, error):
        """What the album or the memory refuses is left out where it will never do; its picture isn't where it was, most often."""
        return Reply(self._next(f"I leave that one out: {error}", 0).text, "refused")

    def _next(self, text, answers=1):
        self.hits, self.answered, self._called = self.hits[1:], self.answered + answers, ""
        return Reply(begun(text) if self.hits else f"{text} That was the last one.")
