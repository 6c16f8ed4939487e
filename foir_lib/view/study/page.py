"""The user study as a tab of the page: an anonymous id, 16 questions, a grade; every answer is written when it is given."""

from collections.abc import Sequence
from os import PathLike

import cv2
import ipywidgets
import numpy as np
import pandas as pd
from PIL import Image

from foir_lib.bench.experiment import Experiment
from foir_lib.data.pixels import object_mask
from foir_lib.data.sets import RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.files import cache_root
from foir_lib.registry import register, split
from foir_lib.retrievers.pixels import asking
from foir_lib.text import SENTENCE, markup, one_line
from foir_lib.view.explorers.base import Explorer, wrapped
from foir_lib.view.explorers.comparison import offered
from foir_lib.view.study.analysis import analysis
from foir_lib.view.study.human import beside, table
from foir_lib.view.study.protocol import CANDIDATES, QUESTIONS, TRUE, plan, questions
from foir_lib.view.study.record import Record
from foir_lib.view.widgets import outlines
from foir_lib.view.widgets.live import Words
from foir_lib.view.widgets.picks import Picks
from foir_lib.view.widgets.thumbs import encoded

LONGEST = 480
METHODS = ("CBIR", "PHS", "GeM", "CA")  # beside people, the first two that can be had
GUESS = f"Guessing has {100 * TRUE // CANDIDATES} %. A method picks the {TRUE} of the {CANDIDATES} that it puts first, or that its localiser is surest of."
WELCOME = (
    f"{QUESTIONS} questions. Each shows a thing and {CANDIDATES} pictures: pick the {TRUE} that show the same thing. Half of the questions "
    "outline what was found in each picture. Time counts from when the pictures appear. Your answers are stored on this computer under a "
    "random id, with nothing else about you."
)


@register("explorer", "Study")
class Study(Explorer):
    """The study on a :class:`Corpus`; answers go to ``path`` (default: study.csv in the cache).

    ``localiser``: whose answers are outlined, by default the set's own masks: on each picture, right or wrong, of the thing that it was drawn
    for, so that an outline gives nothing away.
    """

    shows = "the same questions to people and to methods"

    def __init__(self, corpus, path: str | PathLike | None = None, localiser: str | None = None, seed: int = 0, panel=None):
        if missing := self.lacks(corpus):
            raise InputError(f"The study can't be had here: {missing}.")
        self.corpus, self.set, self.localiser = corpus, corpus.set, localiser
        self.record = Record(path or cache_root() / "study.csv")
        self.questions = _questions(self.set, seed)
        self.participant, self.group, self.todo = "", 0, []
        self._words, self._note, self.picks = Words(WELCOME), Words(), Picks(n=TRUE)
        self._id = ipywidgets.Text(description="id", placeholder="empty: begin anew", layout={"width": "220px"})
        self._start = self.button("Begin", lambda: self.begin(self._id.value))
        self._grade = ipywidgets.ToggleButtons(options=[str(n) for n in range(1, 8)], value=None, style={"button_width": "48px"})
        self._finish = self.button("Send", lambda: self.grade(int(self._grade.value or 0)))
        self._entry, self._end = ipywidgets.HBox([self._id, self._start]), ipywidgets.VBox([self._grade, self._finish])
        self._end.layout.display = "none"
        self._methods = ipywidgets.Text(_first(corpus), description="methods", style={"description_width": "initial"}, layout={"width": "360px"})
        self._ask_methods = self.button("compare", self.compare, tooltip="Lets the methods pick of the same candidates")
        self._human, self._people = Words(), ipywidgets.VBox([Words("Right picks of all people so far, and what methods pick:")])
        self._people.children = [*self._people.children, wrapped(self._methods, self._ask_methods), self._human]
        self._people.add_class("foir-people")
        self.picks.on_submit(lambda picks, seconds: self.clicked(lambda: self.answer(picks, seconds)))
        super().__init__(None, [self._words, self._entry, self.picks, self._end, self._people, self._note], False)
        self.picks.show()
        self._show_people()

    @classmethod
    def tab(cls, corpus, panel):
        return cls(corpus)

    @classmethod
    def lacks(cls, corpus) -> str:
        try:
            if not len(corpus.set.queries):
                raise InputError(f"{corpus.set.name} has no labelled queries: give boxes.")
            _questions(corpus.set, 0)
        except InputError as error:
            return str(error).rstrip(".")
        return ""

    def begin(self, participant: str = "") -> str:
        """Begin anew, or go on as an id that has answered before; returns the id. Raises InputError for an unknown one."""
        with self.saying():
            self.participant, self.group = self.record.join(participant)
            done = self.record.answered(self.participant)
            self.todo = [one for one in plan(self.group) if str(one[0]) not in done]
            self._entry.layout.display = "none"
            self.show()
        return self.participant

    def answer(self, picks: list[int], seconds: float) -> None:
        """Answer the present question, as the browser does. Raises InputError without one, and for other picks than three."""
        with self.saying():
            if not self.todo:
                raise InputError("No question is open: press Begin.")
            (number, outlined), question = self.todo[0], self.questions[self.todo[0][0]]
            true = sorted(question.true)
            self.record.answer(self.participant, self.group, number, question.query, outlined, picks, true, seconds)
            self.todo = self.todo[1:]
            self.show()

    def grade(self, grade: int) -> None:
        """How helpful outlines were, 1 to 7; the end. Raises InputError for another grade."""
        with self.saying():
            self.record.helpful(self.participant, self.group, grade)
            self.show()

    def results(self):
        """The table of :func:`analysis` of all answers so far."""
        return analysis(self.record.rows())

    def beside(self, methods: Sequence[str] = ()) -> pd.DataFrame:
        """People's picks beside what methods choose of the same candidates: :func:`human.beside`."""
        corpus = self.corpus
        experiment = Experiment(self.set, corpus.model, corpus.seed, cache=corpus.cache, progress=corpus.progress)
        return beside(self.record.rows(), self.questions, experiment, methods)

    def compare(self, methods: str | None = None) -> None:
        """Show people's picks beside what methods choose (names separated by commas; None: those in the field). Raises InputError as :func:`human.beside`."""
        with self.saying():
            if methods is not None:
                self._methods.value = methods
            self._human.value = self._table(split(self._methods.value))

    @property
    def state(self) -> dict:
        """What is shown, as plain values: id, group, question and whether it has outlines (None: none is open), answered, text."""
        number, outlined = self.todo[0] if self.participant and self.todo else (None, None)
        return {
            "participant": self.participant, "group": self.group, "question": number, "outlined": outlined,
            "answered": len(self.record.answered(self.participant)), "text": self._words.text, "note": self._note.text,
            "people": self._human.text if self._people.layout.display is None else "",
        }  # fmt: skip

    def show(self) -> None:
        done = QUESTIONS - len(self.todo)
        if self.todo:
            number, outlined = self.todo[0]
            self._words.value = f"Question {done + 1} of {QUESTIONS}. Pick the {TRUE} pictures that show what is outlined on the left. Your id: {self.participant}"
            self.picks.show(*self.pictures(self.questions[number], outlined))
        else:
            self.picks.show()
            graded = "helpful" in self.record.answered(self.participant)
            self._end.layout.display = "none" if graded else None
            self._words.value = "Thank you." if graded else "Did outlines help you find the pictures? 1: not at all, 7: very much."
        self._show_people()
        self.summary = f"{self.participant}: {done} of {QUESTIONS} answered"

    def _show_people(self):
        """The rows of people, once there are picks, and while nobody is asked: what others picked is no hint."""
        picks = len(self.record.rows()["outlined"].dropna()) and not self.todo
        self._people.layout.display = None if picks else "none"
        if picks:
            try:
                self._human.value = self._table()
            except InputError as error:  # picks of another set or seed
                self._human.value = str(error)

    def _table(self, methods=()):
        return markup("{}<p>{}</p>", table(self.beside(methods)), GUESS)

    def _say(self, error):
        self._note.value = one_line(error or "", SENTENCE)

    def _query_changed(self, panel=None):
        """The canvas asks nothing here."""

    def pictures(self, question, outlined):
        """The query with its outline, and the candidates, as bytes."""
        rs, row = self.set, self.set.queries.iloc[question.query]
        size = rs.images.loc[rs.images["image_id"] == row["image_id"], ["width", "height"]].iloc[0].tolist()
        asked = Localisation.of(row["prompt"].pixels(tuple(size)), 1.0)
        if row["object"] >= 0:
            asked = Localisation(object_mask(rs, int(row["object"]), size), None, 1.0)
        answers = self._answers(question) if outlined else [Localisation.nothing()] * CANDIDATES
        pictures = [rs.open(rs.database["image_id"].iloc[at]) for at in question.candidates]
        shown = [encoded(outlined_copy(one, answer), LONGEST) for one, answer in zip(pictures, answers, strict=True)]
        return encoded(outlined_copy(rs.open(row["image_id"]), asked), LONGEST), shown

    def _answers(self, question):
        rows = np.array(question.candidates)
        if self.localiser is not None:
            part = self.corpus.queries()
            wanted = [rows if m == question.query else rows[:0] for m in range(len(part))]
            answers = asking.localise(self.corpus, self.localiser, part, wanted)[question.query]
            return [answers[row] for row in question.candidates]
        return [true_outline(self.set, query, row) for query, row in zip(question.drawn_for, question.candidates)]


def _first(corpus):
    """Methods by default: two that rank, and what localises in the list of the first."""
    methods = [name for name in METHODS if name in offered(corpus)][:2]
    return ", ".join(methods + [f"{methods[0]} > {name}" for name in list(outlines.offered(corpus))[:1] if methods])


def true_outline(rs: RetrievalSet, query: int, row: int) -> Localisation:
    """The set's own mask of a query's thing on a database picture: the largest where it is there more than once."""
    image_id, *size = rs.database[["image_id", "width", "height"]].iloc[row]
    at = np.flatnonzero((rs.objects["image_id"] == image_id) & (rs.objects["label"] == rs.queries["label"].iloc[query]))
    if not len(at):
        return Localisation.nothing()
    areas = rs.objects.iloc[at].eval("(x1 - x0) * (y1 - y0)").to_numpy()
    return Localisation(object_mask(rs, int(at[areas.argmax()]), size), None, 1.0)


def outlined_copy(picture: Image.Image, localisation: Localisation, longest: int = LONGEST) -> Image.Image:
    """A copy, at most ``longest`` pixels large, with the border of a mask: yellow dashes on black, so that it stands out on any picture."""
    small = picture.convert("RGB")
    small.thumbnail((longest, longest))
    if localisation.mask is None:
        return small
    mask = cv2.resize(localisation.pixels().astype(np.uint8), small.size, interpolation=cv2.INTER_AREA)
    lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    pixels = np.array(small)
    cv2.drawContours(pixels, lines, -1, (0, 0, 0), 5)
    for line in lines:
        for at in range(0, len(line), 14):
            cv2.polylines(pixels, [line[at : at + 9]], False, (255, 221, 0), 2)
    return Image.fromarray(pixels)


def _questions(rs, seed):
    name = "medium" if "medium" in rs.protocols else next(iter(rs.protocols))
    rules, n = rs.protocols[name], len(rs.queries)
    own = pd.Index(rs.database["image_id"]).get_indexer(rs.queries["image_id"])  # -1: not in the database
    positives = [np.setdiff1d(rules.positives(query), own[query]) for query in range(n)]
    ignored = [np.union1d(rules.ignored_of(query), own[query]) for query in range(n)]
    return questions(positives, rs.queries["label"].tolist(), ignored, seed=seed)
