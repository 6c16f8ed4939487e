"""A conversation with a memory: sentences in, answers out, without any model; what was done is named, and how to undo it."""

from dataclasses import fields, replace

from foir_lib.errors import FoirError
from foir_lib.memory import names
from foir_lib.memory.sentences import bare, denies, hedged, understand
from foir_lib.memory.sentences.intents import (
    About,
    Ask,
    Both,
    Correct,
    Intent,
    Maybe,
    Name,
    No,
    Unknown,
    Where,
    Why,
    Yes,
)
from foir_lib.memory.sentences.readings import readings, say
from foir_lib.memory.sentences.words import words
from foir_lib.memory.talk.answers import chosen, greeting, unknown
from foir_lib.memory.talk.context import UNDO, Context, Nobody, Pending, Reply, Several
from foir_lib.memory.talk.reads import READS
from foir_lib.memory.talk.told import begun, listed, thing_said
from foir_lib.memory.talk.writes import WRITES, undecided
from foir_lib.prompts import Prompt
from foir_lib.text import SENTENCE, one_line

DO = READS | WRITES


class Conversation:
    """Speaks about one memory, and keeps what "it", "those two" and "the blue one" are.

    ``recogniser``: an object with ``recognise(picture, region)``, None: the memory's own. ``find(thing)``: regions of an album that
    show it, at most ``most`` where it says so. ``model``: an object with ``answer(picture, question) -> str``; it answers what the
    grammar doesn't know, and never writes.
    """

    def __init__(self, memory, recogniser=None, model=None, find=None, most: int | None = None):
        self.context = Context(memory, recogniser.recognise if recogniser else memory.recognise, find, most)
        self.model = model

    def tell(self, sentence: str, picture=None, region: Prompt | None = None) -> Reply:
        """Does or answers what ``sentence`` says of ``region`` (None: as before) on ``picture`` (None: as before). Raises nothing for any text."""
        self.context.look(picture, region)
        before = {event.id for event in self.context.memory.history(20)}
        intent = self._answering(sentence) or self._bare(sentence) or understand(sentence)
        reply = self._all(sentence, intent.intents) if isinstance(intent, Both) else self._one(sentence, intent)
        events = tuple(event for event in self.context.memory.history(20) if event.id not in before)
        return replace(reply, text=begun(reply.text), events=reply.events or events)

    def _one(self, sentence, intent):
        """The reply to one intent; what can't be done is said."""
        try:
            return self._follow(sentence, intent)
        except Several as several:
            return self._which(intent, several)
        except Nobody as nobody:
            return self._nobody(intent, nobody)
        except FoirError as error:
            return Reply(str(error), "refused")

    def _all(self, sentence, intents):
        """Several intents, one after another, until one of them isn't done; what is left then is said too."""
        replies = []
        for i, intent in enumerate(intents):
            waiting = self.context.pending
            replies.append(reply := self._one(sentence, intent))
            if reply.kind not in ("done", "answer"):
                break
            if not intent.writes and self.context.pending is None and i:
                self.context.pending = waiting
        left = [f"“{say(intent)}”" for intent in intents[len(replies) :]]
        texts = [reply.text.removesuffix(UNDO).strip() for reply in replies]
        written = sum(reply.text.endswith(UNDO) for reply in replies)
        back = "" if not written else UNDO if written == 1 else f"Say “undo the last {written} steps” to take it all back."
        waits = f"I left {listed(left)} undone: say it after that." if left else ""
        last = replies[-1]
        order = [*texts, back] if last.kind in ("done", "answer") else [*texts[:-1], back, texts[-1]]
        things, results = (tuple(one for reply in replies for one in getattr(reply, name)) for name in ("things", "results"))
        return Reply(" ".join(filter(None, [*map(begun, order), waits])), last.kind, things, results, last.question)

    def _follow(self, sentence, intent):
        """Does an intent, and the one that a yes or a no leads to."""
        for _ in range(3):
            if isinstance(intent, Maybe):
                known = isinstance(intent.intent, Name | Correct) and self.context.exact(intent.intent.name)
                if not known or hedged(sentence):
                    self.context.pending = Pending(yes=intent.intent)
                    question = f"Did you mean: {say(intent)}?"
                    return Reply(question, "question", question=question)
                intent = intent.intent
            if isinstance(intent, Both):
                self.context.pending = None
                return self._all(sentence, intent.intents)
            if isinstance(intent, Unknown) or self._state(intent):
                return self._unknown(sentence, intent)
            if isinstance(intent, No) and self.context.pending and not denies(sentence):
                return undecided(self.context)
            if not isinstance(intent, Yes | No | Why):
                self.context.pending = None
            reply = DO[type(intent)](self.context, intent)
            if isinstance(reply, Reply):
                return reply
            intent = reply
        return Reply("I lost the thread: say it once more.", "unknown")

    def _state(self, intent) -> bool:
        """Whether "is it full?" asks for a state rather than for a thing: no thing is called so, nor nearly so."""
        if not isinstance(intent, Ask) or intent.name in self.context.memory.journal.current().rows["thing"] or not intent.name.islower() or names.plain(intent.name) != intent.name:
            return False
        surely = isinstance(next(iter(readings(words(f"this is {intent.name}"))), None), Name)
        return not surely and not self.context.named(intent.name) and not names.near(intent.name, self.context.memory.things())

    def _answering(self, sentence) -> Intent | None:
        """The intent of an answer to "which one?": a sentence that tells one of the things asked about from the others."""
        waiting = self.context.pending
        thing = chosen(sentence, waiting.choices) if waiting and waiting.choices else None
        if thing is None:
            return None
        self.context.pending = None
        return waiting.chosen(thing)

    def _bare(self, sentence) -> Intent | None:
        """What a name said alone means: an answer to "what is it called?", else a question about the thing of that name."""
        name, c = bare(sentence), self.context
        if name is None:
            return None
        if c.pending and c.pending.naming:
            return Name(name) if len(name.split()) <= 3 or not isinstance(understand(f"this is {name}"), Maybe) else Maybe(Name(name))
        if c.exact(name):
            return Where(name) if c.find else About(name)
        if (told := understand(sentence)).writes or isinstance(told, Maybe):
            return None
        if c.named(name):
            return Where(name) if c.find else About(name)
        return Maybe(Name(name)) if c.marked and not readings(words(sentence)) else None

    def _which(self, intent, several):
        """Asks which of several things of one name is meant."""
        self._ask_back(intent, several.said, several.things)
        question = f"Which “{several.said}” do you mean: {listed([f'{i}. {thing_said(thing)}' for i, thing in enumerate(several.things, 1)], 'or')}?"
        views = tuple(thing.views[-1] for thing in several.things if thing.views)
        return Reply(question, "question", several.things, views, question)

    def _nobody(self, intent, nobody):
        """A name that is unknown: a yes takes the nearest instead, where there is one."""
        self._ask_back(intent, nobody.said, nobody.things)
        views = tuple(thing.views[-1] for thing in nobody.things if thing.views)
        return Reply(str(nobody), "refused", nobody.things, views, str(nobody) if nobody.things else "")

    def _ask_back(self, intent, said, things):
        """Waits for which of ``things`` is meant by the name in an intent."""
        while isinstance(intent, Maybe):
            intent = intent.intent
        slots = [f.name for f in fields(intent) if getattr(intent, f.name) == said]
        if slots and things:
            yes = replace(intent, **{slots[0]: things[0].id}) if len(things) == 1 else None
            self.context.pending = Pending(yes, None, things, lambda thing: replace(intent, **{slots[0]: thing.id}))

    def _unknown(self, sentence, intent):
        """What a language model says, marked as its words; without one, what would have been understood."""
        if polite := greeting(sentence):
            return Reply(polite)
        if self.model is None:
            return unknown(sentence, intent)
        seen = self.context.recognition
        known = [f"The marked region shows {seen.name}."] if seen and seen.name else []
        answer = self.model.answer(self.context.picture, " ".join([*known, sentence]))
        return Reply(one_line(answer, SENTENCE), things=tuple(self.context.last(1)), by_model=True)


def tell(memory, sentence: str, picture=None, region: Prompt | None = None, **options) -> Reply:
    """What :meth:`Conversation.tell` answers, in the memory's one conversation; ``options`` (recogniser, model, find) begin another."""
    if options or not hasattr(memory, "conversation"):
        memory.conversation = Conversation(memory, **options)
    return memory.conversation.tell(sentence, picture, region)
