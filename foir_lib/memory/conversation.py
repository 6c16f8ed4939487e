"""A conversation with a memory: sentences in, answers out, without any model; what was done is named, and how to undo it."""

from dataclasses import fields, replace

from foir_lib.errors import FoirError
from foir_lib.memory import names
from foir_lib.memory.sentences import hedged, understand
from foir_lib.memory.sentences.intents import Correct, Intent, Maybe, Name, No, Unknown, Yes
from foir_lib.memory.sentences.readings import say
from foir_lib.memory.talk.context import Context, Pending, Reply, Several, listed
from foir_lib.memory.talk.reads import READS
from foir_lib.memory.talk.writes import WRITES
from foir_lib.prompts import Prompt
from foir_lib.text import SENTENCE, one_line

DO = READS | WRITES


class Conversation:
    """Speaks about one memory, and keeps what "it", "those two" and "the blue one" are.

    ``recogniser``: an object with ``recognise(picture, region)``, None: the memory's own. ``find(thing)``: regions of an album that
    show it. ``model``: an object with ``answer(picture, question) -> str``; it answers what the grammar doesn't know, and never writes.
    """

    def __init__(self, memory, recogniser=None, model=None, find=None):
        self.context = Context(memory, recogniser.recognise if recogniser else memory.recognise, find)
        self.model = model

    def tell(self, sentence: str, picture=None, region: Prompt | None = None) -> Reply:
        """Does or answers what ``sentence`` says of ``region`` (None: as before) on ``picture`` (None: as before). Raises nothing for any text."""
        self.context.look(picture, region)
        before = {event.id for event in self.context.memory.history(20)}
        intent = self._answering(sentence) or understand(sentence)
        try:
            reply = self._follow(sentence, intent)
        except Several as several:
            reply = self._which(intent, several)
        except FoirError as error:
            reply = Reply(str(error), "refused")
        events = tuple(event for event in self.context.memory.history(20) if event.id not in before)
        return reply if reply.events else replace(reply, events=events)

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
            if isinstance(intent, Unknown):
                return self._unknown(sentence, intent)
            if not isinstance(intent, Yes | No):
                self.context.pending = None
            reply = DO[type(intent)](self.context, intent)
            if isinstance(reply, Reply):
                return reply
            intent = reply
        return Reply("I lost the thread: say it once more.", "unknown")

    def _answering(self, sentence) -> Intent | None:
        """The intent of an answer to "which one?": a sentence that tells one of the things asked about from the others."""
        waiting = self.context.pending
        if waiting is None or not waiting.choices:
            return None
        asked = names.asked(sentence.strip(" .!?,"))
        fits = [
            thing
            for thing in waiting.choices
            if asked and (asked <= names.words(thing) or names.plain(sentence) == thing.id)
        ]
        if len(fits) != 1:
            return None
        self.context.pending = None
        return waiting.chosen(fits[0])

    def _which(self, intent, several):
        """Asks which of several things of one name is meant."""
        while isinstance(intent, Maybe):
            intent = intent.intent
        slots = [f.name for f in fields(intent) if getattr(intent, f.name) == several.said]
        if slots:
            self.context.pending = Pending(
                choices=several.things, chosen=lambda thing: replace(intent, **{slots[0]: thing.id})
            )
        question = (
            f"Which {several.said!r} do you mean: {listed([names.told(thing) for thing in several.things], 'or')}?"
        )
        return Reply(question, "question", several.things, question=question)

    def _unknown(self, sentence, intent):
        """What a language model says, marked as its words; without one, what would have been understood."""
        if self.model is None:
            near = " or ".join(f"“{one}”" for one in intent.near)
            return Reply(f"I don't understand that. I would understand {near}; say “help” for all.", "unknown")
        known = (
            [f"The marked region shows {self.context.recognition.name}."]
            if self.context.recognition and self.context.recognition.name
            else []
        )
        answer = self.model.answer(self.context.picture, " ".join([*known, sentence]))
        return Reply(one_line(answer, SENTENCE), things=tuple(self.context.last(1)), by_model=True)


def tell(memory, sentence: str, picture=None, region: Prompt | None = None, **options) -> Reply:
    """What :meth:`Conversation.tell` answers, in the memory's one conversation; ``options`` (recogniser, model, find) begin another."""
    if options or not hasattr(memory, "conversation"):
        memory.conversation = Conversation(memory, **options)
    return memory.conversation.tell(sentence, picture, region)
