"""TalkExplorer: point at a thing, say what it is, and ask for it in all pictures; every answer comes with its evidence."""

from os import PathLike

import ipywidgets
from ipywidgets import Layout
from markupsafe import Markup

from foir_lib.data.checks import plain
from foir_lib.errors import FoirError, InputError
from foir_lib.files import cache_root
from foir_lib.memory.album import Album, Hit
from foir_lib.memory.conversation import Conversation
from foir_lib.memory.recogniser import KNOWN, Recogniser, Recognition
from foir_lib.memory.state import View
from foir_lib.memory.talk.context import Reply
from foir_lib.memory.things import Memory
from foir_lib.registry import register
from foir_lib.text import LABEL, SENTENCE, markup, one_line
from foir_lib.view.explorers.base import Explorer, wrapped
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words
from foir_lib.view.widgets.thumbs import encoded

SPOKEN, SHOWN, SIDE = 12, 12, 160  # exchanges and pieces of evidence on the page, pixels of a picture
WELCOME = "Mark a thing and say what it is: “this is the lab's mug”. Then ask: “what is this?”, “where is the lab's mug?”, “undo”, “help”."
QUIZ = "Is that {}? Type y, n, or what it is."


@register("explorer", "Talk")
class TalkExplorer(Explorer):
    """A conversation with a memory about what is marked on the canvas, and about all pictures of the set.

    ``memory``: a :class:`Memory` or the path of one, by default things.db in the cache, encoded by the corpus' model. ``model``: what answers
    other questions, see :class:`Conversation`. ``objects``: what finds regions in the set's pictures, as of :class:`Album`. A click
    on a piece of evidence marks it on the canvas.
    """

    def __init__(self, corpus, memory: Memory | str | PathLike | None = None, model=None, objects: str | None = None, panel: QueryPanel | None = None):
        if lacks := self.lacks(corpus):
            raise InputError(f"There is nobody to talk to here: {lacks}.")
        self.corpus, self._objects, self._own_memory = corpus, objects, not isinstance(memory, Memory)
        self.memory = memory if isinstance(memory, Memory) else Memory(memory or cache_root() / "things.db", corpus.model)
        self.recogniser = Recogniser(self.memory)
        self.conversation = Conversation(self.memory, self.recogniser, model, self._find)
        self.spoken, self.evidence, self._album, self._quiz = [], [], None, []
        self.gallery, own = Gallery(), panel is None
        panel = QueryPanel(corpus.set, corpus.model) if own else panel
        super().__init__(panel, self._content(), own)
        try:
            panel.start()
            self.show()
        except FoirError:
            self.close()
            raise

    @classmethod
    def lacks(cls, corpus) -> str:
        if any(hasattr(corpus.model, tap) for tap in ("cls_state", "maps", "embed")):
            return ""
        return f"{corpus.model.name} doesn't embed pictures, which a memory needs"

    def _content(self):
        """What was said, the line to speak, its buttons, and the evidence below."""
        self.words = Words(layout=Layout(max_height="300px", overflow="auto"))
        self.words.add_class("foir-talk")
        self.sentence = ipywidgets.Text(placeholder="this is the lab's mug", layout={"width": "min(100%, 440px)"}, continuous_update=False)
        self.sentence.observe(lambda change: change["new"] and self._typed(change["new"]), "value")
        buttons = [
            self.button(name, work, tooltip=tip)
            for name, work, tip in (
                ("What is this?", lambda: self.say("what is this?"), "Recognise what is marked"),
                ("Undo", lambda: self.say("undo"), "Takes the last thing back"),
                ("Quiz", self.quiz, "Unsure regions of all pictures, one after another: y, n or a name"),
            )
        ]
        self.gallery.on_pick(lambda place: self.clicked(lambda: self.open_evidence(place)))
        return [self.words, wrapped(self.sentence, *buttons), self.gallery]

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
        return super().state | {"said": said, "things": [thing.name for thing in self.memory.things()], "quiz": len(self._quiz)}

    def say(self, sentence: str) -> Reply:
        """Says a sentence about what is marked, as the line does; the answer stands below with its evidence."""
        with self.saying():
            reply = self.conversation.tell(sentence, self._picture(), self.panel.canvas.asks)
            self._answer(sentence, reply)
        return reply

    def quiz(self) -> None:
        """Begins to ask about unsure regions, those first that teach most."""
        with self.saying():
            self._quiz = self.album.quiz()
            self._ask_next(Reply("Nothing is unsure in these pictures: name more things, or show more views of them.") if not self._quiz else None)

    def answer(self, text: str) -> None:
        """Answers the quiz's present question: "y" or "yes", "n" or "no", or a name. InputError where nothing is asked."""
        with self.saying():
            if not self._quiz:
                raise InputError("Nothing is asked: press Quiz first.")
            hit, said = self._quiz[0], text.strip()
            name = hit.recognition.candidates[0].thing.name if said.casefold() in ("y", "yes") else said
            done = None
            if said.casefold() not in ("n", "no", ""):
                thing = self.album.confirm(hit, name)
                done = Reply(f"Remembered as {thing.name}, {len(thing.views)} views now.", "done", (thing,))
            self._quiz = self._quiz[1:]
            self._ask_next(done, said)

    def open_evidence(self, place: int) -> None:
        """Marks a piece of evidence on the canvas: its picture opens there. InputError where the picture isn't here any more."""
        with self.saying():
            one = self.evidence[place]
            if isinstance(one, Hit):
                self.panel.ask(self.album.region(one.row), one.image_id)
            elif (shown := self.memory.shown(one)) is not None:
                self.panel.ask(shown[1], shown[0])
            else:
                raise InputError("Neither the picture of this view nor a crop of it is left: show the thing again.")

    def show(self) -> None:
        things = self.memory.things()
        self.summary = f"{len(things)} thing{'s' * (len(things) != 1)} remembered"
        lines = [markup('<p class="foir-you">{}</p><p class="foir-me foir-{}">{}{}</p>', *self._line(*one)) for one in self.spoken[-SPOKEN:]]
        self.words.value = Markup("").join(lines) if lines else WELCOME
        title = "evidence" if self.evidence else ""
        self.gallery.show([{"title": title, "items": [self._item(i, one) for i, one in enumerate(self.evidence)], "empty": ""}])
        self.gallery.outline([[self._outline(one) for one in self.evidence]] if self.evidence else [])

    def _line(self, sentence, reply):
        text = one_line(reply.text, SENTENCE)
        return one_line(sentence, SENTENCE), reply.kind, markup("<b>the model says</b> ") if reply.by_model else "", text

    def _typed(self, text):
        self.sentence.value = ""
        self.clicked(lambda: self.answer(text) if self._quiz else self.say(text))

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

    def _ask_next(self, done=None, said="quiz"):
        if done is not None or not self._quiz:
            self._answer(said, done or Reply("That was the last one."))
        if self._quiz:
            hit = self._quiz[0]
            name = one_line(hit.recognition.candidates[0].thing.name, LABEL)
            self._answer(said if done is None else "", Reply(QUIZ.format(name), "question", results=(hit, hit.recognition.candidates[0].view)))
        self.sentence.placeholder = "y, n, or a name" if self._quiz else "this is the lab's mug"

    def _item(self, place, one):
        name = {thing.id: thing.name for thing in self.memory.things()}.get(getattr(one, "thing", ""), "")
        if isinstance(one, Hit):
            seen = one.recognition
            words = f"{'' if seen.verdict == KNOWN else '? '}{seen.candidates[0].thing.name}\n{seen.confidence:.0%} · picture {plain(one.image_id)}"
            return {"key": place, "image": encoded(self.album.picture(one.image_id), SIDE), "caption": words, "alt": words}
        picture = self.memory.picture_of(one)
        words = f"{name}\n{'shown' if one.who == 'human' else 'found by itself'}, {one.at[:10]}"
        return {"key": place, "image": encoded(picture, SIDE) if picture else b"", "caption": words, "alt": words}

    def _outline(self, one):
        if not isinstance(one, Hit):
            return None
        width, height = self.album.picture(one.image_id).size
        b, known = one.box, one.recognition.verdict == KNOWN
        path = [b.x0, b.y0, b.x1, b.y0, b.x1, b.y1, b.x0, b.y1]
        words = "known" if known else "unsure"
        return {"size": (width, height), "paths": [path], "kind": "right" if known else "unknown", "words": words, "alt": words}

    def _query_changed(self, panel=None):
        """Another mark is no sentence: nothing is said of it until somebody speaks."""


def _pieces(result) -> list:
    """What of an answer can be shown: regions of the album, and stored views."""
    if isinstance(result, Recognition):
        return [candidate.view for candidate in result.candidates]
    return [result] if isinstance(result, Hit | View) else []
