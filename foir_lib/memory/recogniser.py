"""The recogniser: which thing of a memory a region shows, how sure that is, and the one question that would settle it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.images import rgb
from foir_lib.memory import control
from foir_lib.memory.consistency import Check, Correction, default_checks
from foir_lib.memory.encoding import Encoder
from foir_lib.memory.reflection import Reflector
from foir_lib.memory.state import Thing, View
from foir_lib.prompts import Grid, Prompt, crop
from foir_lib.text import percent

CANDIDATES = 3  # things that are checked
LEARNED_ON = 40  # unsure views on which a check's margin is learned
CHANGED = 0.01  # of the views: after more changes thresholds are learned again; in a memory of less than a hundred after each
KNOWN, UNSURE, NEW = "known", "unsure", "new"


@dataclass(frozen=True)
class Candidate:
    """A thing that a region may show: ``view`` is the evidence, ``score`` its cosine, ``evidence``: what each check says of it."""

    thing: Thing
    view: View
    score: float
    evidence: dict[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Recognition:
    """An answer. ``verdict``: "known", "unsure" or "new"; ``candidates``, best first; ``confidence`` that the first is right, 0 to 1;
    ``question``: the one that would settle it, or ""; ``encoder``: whose answer it is; ``by``: the check that settled it, or "";
    ``asked``: whether checks were asked at all; ``region``: what was looked at."""

    verdict: str
    candidates: tuple[Candidate, ...]
    confidence: float
    question: str
    encoder: str
    by: str = ""
    asked: bool = False
    region: Prompt | None = field(default=None, hash=False)

    @property
    def thing(self) -> Thing | None:
        """The thing that it is, where it is known."""
        return self.candidates[0].thing if self.verdict == KNOWN else None

    @property
    def name(self) -> str:
        """The known thing's name, or ""."""
        return self.thing.name if self.thing else ""

    def __str__(self) -> str:
        if self.verdict == KNOWN:
            return f"{self.name} ({percent(self.confidence)} sure, by {self.by or self.encoder})"
        return "something new" if self.verdict == NEW else f"not sure: {self.question}"


@dataclass(frozen=True)
class Known:
    """A memory as one encoder sees it: vectors (n, d), their views, ``things``, ``owners`` (n,) rows of them, and what was learned of it;
    ``trial``: None where that was learned when the memory was a little younger."""

    encoder: Encoder
    vectors: np.ndarray
    views: list[View]
    things: list[Thing]
    owners: np.ndarray
    trial: control.Trial | None
    thresholds: control.Thresholds

    @classmethod
    def of(cls, memory, encoder: Encoder, thresholds: control.Thresholds | None = None) -> "Known":
        """What a memory holds; its thresholds, where none are given, learned by leaving each view out."""
        vectors, views = memory.vectors(encoder)
        things = memory.things()
        row = {thing.id: i for i, thing in enumerate(things)}
        owners = np.array([row[view.thing] for view in views], dtype=int)
        if thresholds is not None:
            return cls(encoder, vectors, views, things, owners, None, thresholds)
        pictures, said = np.array([view.picture for view in views]), np.array([view.who == "human" for view in views], bool)
        trial = control.leave_out(vectors, owners, pictures, said)
        return cls(encoder, vectors, views, things, owners, trial, control.learn(trial))

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each view, by its id."""
        return {view.id: row for row, view in enumerate(self.views)}

    def first(self, queries: np.ndarray, n: int = CANDIDATES) -> control.First:
        """First answers to queries (m, d)."""
        return control.first(queries @ self.vectors.T, self.owners, max(n, 2))

    def candidates(self, answers: control.First, m: int) -> tuple[Candidate, ...]:
        """The candidates of answer ``m``."""
        rows = zip(answers.things[m], answers.views[m], answers.scores[m], strict=True)
        return tuple(Candidate(self.things[t], self.views[v], float(score)) for t, v, score in rows if t >= 0)


class Recogniser:
    """Recognises regions by a memory.

    ``encoders``: several see each region, each with its own vectors and thresholds, and the surest answers (the connector); None: the
    memory's own. ``checks``: what is asked where that is unsure, one after another; None: :func:`default_checks` with ``reflector``
    (None: mini-lmm for a memory of drawings, else nobody; a folder, a name or a :class:`Reflector`). What a check must say to overrule
    the first answer is learned from the memory; a check that never helps there is never followed.
    """

    def __init__(self, memory, encoders: Sequence[Encoder] | None = None, checks: Sequence[Check] | None = None, reflector=None):
        self.memory = memory
        self.encoders = list(encoders or [memory.encoder])
        self.reflector = reflector
        if checks is not None:
            self.checks = list(checks)
        self._known, self._learned, self._corrections = {}, {}, {}

    @cached_property
    def checks(self) -> list[Check]:
        """What is asked where first answers are unsure; an image-text model is loaded when it is."""
        model = self.reflector or ("mini-lmm" if self.encoders[0].knows_drawings_only else None)
        return default_checks(model if isinstance(model, Reflector) else Reflector(model))

    def known(self, encoder: Encoder | None = None) -> Known:
        """The memory as an encoder sees it now; thresholds are learned again when CHANGED of it has."""
        encoder = encoder or self.encoders[0]
        state = self.memory.journal.current()
        of, version, known = self._known.get(encoder.key, (None, 0, None))
        if of is not state or version != state.version:
            of, learned_at, learned = self._learned.get(encoder.key, (None, 0, None))
            recent = of is state and state.version - learned_at <= CHANGED * len(learned.views)
            known = Known.of(self.memory, encoder, learned.thresholds if recent else None)
            self._known[encoder.key] = state, state.version, known
            if not recent:
                self._learned[encoder.key] = self._known[encoder.key]
        return known

    def recognise(self, picture: Image.Image, region: Prompt | None = None, checked: bool = True) -> Recognition:
        """What ``region`` (None: all) of a picture shows; ``checked``: where the first answer is unsure, checks are asked."""
        return self.recognise_all([(picture, region)], checked)[0]

    def recognise_all(self, regions: Sequence[tuple[Image.Image, Prompt | None]], checked: bool = True) -> list[Recognition]:
        """The :class:`Recognition` of each of several (picture, region), encoded together. InputError for none."""
        if not regions:
            raise InputError("There is nothing to recognise: give at least one (picture, region).")
        return self.answered([encoder.embed(regions) for encoder in self.encoders], self.crops(regions), [r for _, r in regions], checked)

    def crops(self, regions: Sequence[tuple[Image.Image, Prompt | None]]) -> Callable[[int], Image.Image]:
        """``look(m)`` of :meth:`answered`: the part of a picture that region ``m`` marks; of a click its window of the first encoder's patches."""
        grid = getattr(self.encoders[0].model, "grid", None)
        return lambda m: seen(*regions[m], grid)

    def answered(
        self, vectors: Sequence[np.ndarray], look: Callable[[int], Image.Image] | None, regions: Sequence[Prompt | None], checked: bool = True
    ) -> list[Recognition]:
        """The :class:`Recognition` of m regions from each encoder's ``vectors`` (m, d); ``look(m)``: the crop that checks look at, where they do."""
        known = [self.known(encoder) for encoder in self.encoders]
        if not known[0].views:
            return [Recognition(NEW, (), 0.0, "Nothing is remembered yet: what is it called?", self.encoders[0].name, region=r) for r in regions]
        answers = [one.first(v) for one, v in zip(known, vectors, strict=True)]
        taken = control.chosen(np.stack([one.thresholds.confidence(answer) for one, answer in zip(known, answers, strict=True)]))
        return [self._one(known[e], answers[e], m, self.encoders[e], look, regions[m], checked) for m, e in enumerate(taken)]

    def _one(self, known, answers, m, encoder, look, region, checked):
        one = control.First(answers.things[m : m + 1], answers.scores[m : m + 1], answers.views[m : m + 1])
        verdict, sure = str(known.thresholds.verdicts(one)[0]), float(known.thresholds.confidence(one)[0])
        candidates, by, asked = known.candidates(answers, m), "", False
        if verdict == UNSURE and checked and self.checks:
            asked, shown = True, look(m)
            for check, correction in zip(self.checks, self.corrections(encoder), strict=True):
                candidates, settled = correction.applied(check, shown, candidates, known, self.memory)
                if settled:
                    verdict, by = KNOWN, check.name
                    break
        return Recognition(verdict, candidates, sure, question(verdict, candidates), encoder.name, by, asked, region)

    def corrections(self, encoder: Encoder) -> list[Correction]:
        """What each check must say to be followed, learned on the memory's own unsure views, each left out."""
        self.known(encoder)
        known, (n, corrections) = self._learned[encoder.key][-1], self._corrections.get(encoder.key, (0, []))
        if not n * 5 // 6 <= known.thresholds.n <= n * 6 // 5 or not n:  # learned again when the memory has grown by a fifth
            corrections = [self._correction(check, known) for check in self.checks]
            self._corrections[encoder.key] = known.thresholds.n, corrections
        return corrections

    def _correction(self, check, known):
        cases = []
        for answers, right in ((known.trial.known, True), (known.trial.new, False)):
            unsure = np.flatnonzero((known.thresholds.verdicts(answers) == UNSURE) & (known.trial.again if right else True))
            if len(unsure) > LEARNED_ON:
                unsure = np.sort(np.random.default_rng(0).choice(unsure, LEARNED_ON, replace=False))
            for m in unsure:
                view = known.views[known.trial.rows[m]]
                look = self.memory.picture_of(view)
                if look is not None:
                    left = known.candidates(answers, m)
                    truth = [c.thing.id for c in left].index(view.thing) if right and view.thing in [c.thing.id for c in left] else -1
                    cases.append((check.evidence(look, left, known, self.memory, without=view), truth))
        return Correction.learned(cases)


def seen(picture: Image.Image, region: Prompt | None, grid: Grid | None = None) -> Image.Image:
    """The part of a picture that is looked at; a click needs the ``grid`` whose patches its window is made of."""
    return rgb(picture) if region is None else crop(picture, region, grid)[0]


def question(verdict: str, candidates: Sequence[Candidate]) -> str:
    """The one question that would settle it: by a property in which the two best differ, else by their names."""
    if verdict == KNOWN:
        return ""
    if verdict == NEW or not candidates:
        return "What is it called?"
    if len(candidates) == 1:
        return f"Is it {candidates[0].thing.name}?"
    a, b = (candidate.thing for candidate in candidates[:2])
    for key in sorted(set(a.properties) & set(b.properties)):
        if a.properties[key] != b.properties[key]:
            return f"Is its {key} {a.properties[key]} ({a.name}) or {b.properties[key]} ({b.name})?"
    return f"Is it {a.name} or {b.name}?"


def recogniser_of(memory) -> Recogniser:
    """The memory's own recogniser, made once."""
    if not hasattr(memory, "recogniser"):
        memory.recogniser = Recogniser(memory)
    return memory.recogniser


def recognise(memory, picture: Image.Image, region: Prompt | None = None, **options) -> Recognition:
    """What a region shows, by the memory's own recogniser; see :meth:`Recogniser.recognise`."""
    return recogniser_of(memory).recognise(picture, region, **options)
