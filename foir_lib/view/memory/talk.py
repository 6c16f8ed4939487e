"""TalkExplorer: point at a thing, say what it is, and ask for it in all pictures; every answer comes with its evidence."""

from contextlib import suppress
from dataclasses import astuple
from os import PathLike

import numpy as np
from markupsafe import Markup

from foir_lib.data.checks import plain
from foir_lib.detections import Localisation
from foir_lib.errors import FoirError, InputError
from foir_lib.files import cache_root
from foir_lib.memory.album import SHOWN as MOST
from foir_lib.memory.album import Album, Hit
from foir_lib.memory.conversation import Conversation
from foir_lib.memory.recogniser import KNOWN, Recogniser, Recognition
from foir_lib.memory.state import View
from foir_lib.memory.talk.context import Reply
from foir_lib.memory.talk.quiz import Quiz
from foir_lib.memory.things import Memory
from foir_lib.prompts import Mask
from foir_lib.registry import register
from foir_lib.text import markup, percent
from foir_lib.view.explorers.base import Explorer, wrapped
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words
from foir_lib.view.widgets.outlines import outlined
from foir_lib.view.widgets.sentence import SentenceLine
from foir_lib.view.widgets.thumbs import encoded

SPOKEN, SHOWN, SIDE = 12, 12, 160  # exchanges and pieces of evidence on the page, pixels of a picture
WELCOME = "Mark a thing and say what it is: “this is the lab's mug”. Then ask: “what is this?”, “where is the lab's mug?”, “undo”, “help”."
QUIZ = ("quiz", "quiz me", "quiz please")
EXAMPLE, ANSWERS = "this is the lab's mug", "y, n, or a name"  # in the empty line


@register("explorer", "Talk")
class TalkExplorer(Explorer):
    """A conversation with a memory about what is marked on the canvas, and about all pictures of the set.

    ``memory``: a :class:`Memory` or the path of one, by default things.db in the cache, encoded by the corpus' model. ``model``: what answers
    other questions, see :class:`Conversation`. ``objects``: what finds regions in the set's pictures, as of :class:`Album`. A click
    on a piece of evidence marks it on the canvas.
    """

    shows = "a conversation: name a thing that you mark, and have it recognised in other pictures"

    def __init__(self, corpus, memory: Memory | str | PathLike | None = None, model=None, objects: str | None = None, panel: QueryPanel | None = None):
        if lacks := self.lacks(corpus):
            raise InputError(f"There is nobody to talk to here: {lacks}.")
        self.corpus, self._objects = corpus, objects
        self.memory = memory if isinstance(memory, Memory) else Memory(memory or _own(), corpus.model)
        self.recogniser = Recogniser(self.memory)
        self.conversation = Conversation(self.memory, self.recogniser, model, self._find, MOST)
        self.spoken, self.evidence, self._album, self._quiz = [], [], None, None
        self.gallery, own = Gallery(), panel is None
        panel = QueryPanel(corpus.set, corpus.model) if own else panel
        super().__init__(panel, self._content(), own)
        self.begin(lambda: True)

    @classmethod
    def lacks(cls, corpus) -> str:
        if any(hasattr(corpus.model, tap) for tap in ("cls_state", "maps", "embed")):
            return ""
        return f"{corpus.model.name} doesn't embed pictures, which a memory needs"

    def _content(self):
        """What was said, the line to speak, its buttons, and the evidence below."""
        self.words, self.line = Words(), SentenceLine(placeholder=EXAMPLE)
        self.words.add_class("foir-said")
        self.line.on_say(lambda text: self.clicked(lambda: self.say(text)))
        buttons = [
            self.button(name, lambda work=work: self._pressed(work), tooltip=tip)
            for name, work, tip in (
                ("What is this?", lambda: self.say("what is this?"), "Recognise what is marked"),
                ("Undo", lambda: self.say("undo"), "Takes the last thing back"),
                ("Quiz", self.quiz, "Unsure regions of all pictures, one after another: y, n or a name"),
            )
        ]
        self.gallery.add_class("foir-line")
        for listen in (self.gallery.on_pick, self.gallery.on_outline):
            listen(lambda place: self.clicked(lambda: self.open_evidence(place)))
        return [self.words, wrapped(self.line, *buttons), self.gallery]

    def __repr__(self):
        return f"TalkExplorer ({self.corpus.set.name}, {self.memory.encoder.name}, {len(self.memory.things())} things)"

    @property
    def album(self) -> Album:
        """All regions of the set's pictures; they are looked at when they are first needed, and kept."""
        if self._album is None:
            self._album = Album(self.corpus.set, self.memory, self._objects, self.recogniser, self.corpus.cache, self.corpus.progress)
        return self._album

    @property
    def state(self) -> dict:
        """As of any explorer; what was said (sentence, answer, kind), the names of all things, and how many regions the quiz holds."""
        said = [[sentence, reply.text, reply.kind] for sentence, reply in self.spoken]
        return super().state | {"said": said, "things": [thing.name for thing in self.memory.things()], "quiz": len(self._quiz or ())}

    def say(self, sentence: str) -> Reply:
        """Says a sentence about what is marked, or answers the quiz, as the line does; the answer stands below with its evidence. "quiz" begins one."""
        if sentence.strip(" .!?").casefold() in QUIZ:
            self.quiz()
            return self.spoken[-1][1]
        with self.saying():
            reply = self._quiz.answer(sentence) if self._quiz else None
            if reply is None:
                reply = self.conversation.tell(sentence, self._picture(), self.panel.canvas.asks)
                self._quiz = None if reply.question else self._quiz  # a yes answers one question
            self._answer(sentence, reply)
            if self._quiz and not reply.question:
                self._ask_about("")
        return reply

    def quiz(self) -> None:
        """Begins to ask about unsure regions, those first that teach most. InputError where nothing is unsure."""
        with self.saying():
            self._quiz = Quiz(self.album)
            self._ask_about("quiz")

    def open_evidence(self, place: int) -> None:
        """Marks a piece of evidence on the canvas: its picture opens there. InputError where the picture isn't here any more."""
        with self.saying():
            one = self.evidence[place]
            if isinstance(one, Hit):
                self.panel.ask(self.album.region(one.row), one.image_id)
            elif (shown := self.memory.shown(one)) is not None:
                picture, region = shown
                images = self.corpus.set.images
                ours = images["image_id"][images["path"] == one.path] if picture.size == one.size else ()
                self.panel.ask(region, plain(ours.iloc[0]) if len(ours) else picture)
            else:
                raise InputError("Neither the picture of this view nor a crop of it is left: show the thing again.")

    def show(self) -> None:
        things = self.memory.things()
        self.summary = f"{len(things)} thing{'s' * (len(things) != 1)} remembered"
        lines = [line for one in self.spoken[-SPOKEN:] for line in self._lines(*one)]
        self.words.value = markup('<div role="log">{}</div>', Markup("").join(lines)) if lines else WELCOME
        self.line.placeholder = ANSWERS if self._quiz else EXAMPLE
        names = {thing.id: thing.name for thing in things}
        title = "evidence" if self.evidence else ""
        seen = [self._seen(one) for one in self.evidence]
        items = [self._item(i, one, looks, names) for i, (one, looks) in enumerate(zip(self.evidence, seen, strict=True))]
        self.gallery.show([{"title": title, "items": items, "empty": ""}])
        self.gallery.outline([list(map(self._outline, self.evidence, seen))] if self.evidence else [])

    def _lines(self, sentence, reply):
        """A sentence and its answer as HTML."""
        if sentence:
            yield markup('<p class="foir-you">{}</p>', sentence)
        by = markup("<b>the model says</b> ") if reply.by_model else ""
        yield markup('<p class="foir-me foir-{}">{}{}</p>', reply.kind, by, reply.text)

    def _pressed(self, work):
        """A button's work; the next sentence can be typed at once."""
        try:
            work()
        finally:
            self.line.ready()

    def _picture(self):
        """The picture on the canvas, which knows its file where it is one of the set's."""
        picture, image_id = self.panel.canvas.picture, self.panel.image_id
        if picture is not None and image_id is not None and not getattr(picture, "filename", ""):
            images = self.corpus.set.images
            picture.filename = str(images["path"][images["image_id"] == image_id].iloc[0])
        return picture

    def _find(self, thing):
        return self.album.find(thing)

    def _answer(self, sentence, reply):
        self.spoken.append((sentence, reply))
        self.evidence = [piece for one in reply.results for piece in _pieces(one)][:SHOWN]
        self.show()

    def _seen(self, one):
        """A piece of evidence as (picture, its region on it or None); None where neither picture nor crop is here any more."""
        try:
            return (self.album.picture(one.image_id), self.album.region(one.row)) if isinstance(one, Hit) else self.memory.shown(one)
        except FoirError:
            return None

    def _ask_about(self, said):
        """The quiz's question, with its region on the canvas."""
        self._answer(said, self._quiz.question)
        with suppress(FoirError):  # the picture is gone; the view beside it isn't
            self.panel.ask(self.album.region(self._quiz.hit.row), self._quiz.hit.image_id)

    def _item(self, place, one, seen, names):
        if isinstance(one, Hit):
            mark, first = "" if one.recognition.verdict == KNOWN else "? ", one.recognition.candidates[0]
            words = f"{mark}{names.get(first.thing.id, first.thing.name)}\n{percent(one.recognition.confidence)} · picture {plain(one.image_id)}"
        else:
            words = f"{names.get(one.thing, '')}\n{'shown' if one.who == 'human' else 'found by itself'}, {one.at[:10]}"
        words += "" if seen else "\nthe picture is gone"
        return {"key": place, "image": encoded(seen[0], SIDE) if seen else b"", "caption": words, "alt": words}

    def _outline(self, one, seen):
        """The region of a piece of evidence on its picture; None where only a crop is left, which is the region."""
        if seen is None or seen[1] is None:
            return None
        picture, region = seen
        known = not isinstance(one, Hit) or one.recognition.verdict == KNOWN
        found = Localisation.of(region.pixels(picture.size), 1.0) if isinstance(region, Mask) else Localisation(None, np.array(astuple(region)), 1.0)
        drawn = outlined(found, picture.size)
        words = "shown" if isinstance(one, View) else "known" if known else "unsure"
        paths = [path.ravel().tolist() for path in drawn.paths]
        return {"size": drawn.size, "paths": paths, "kind": "right" if known else "unknown", "words": words, "alt": words}

    def _query_changed(self, panel=None):
        """Another mark is no sentence: nothing is said of it until somebody speaks."""


def _own():
    """The place of the user's one memory."""
    (folder := cache_root()).mkdir(parents=True, exist_ok=True)
    return folder / "things.db"


def _pieces(result) -> list:
    """What of an answer can be shown: regions of the album, and stored views."""
    if isinstance(result, Recognition):
        return [candidate.view for candidate in result.candidates]
    return [result] if isinstance(result, Hit | View) else []
