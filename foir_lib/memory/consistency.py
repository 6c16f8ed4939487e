"""Consistency checks of a candidate: spatial, topological, by retrieval, by what is known of it, semantic; and when one is followed.

Per-sample adaptation (thesis, chapters 1, 3 to 5): a first answer is held against what the memory knows of each candidate, and
corrected where the evidence speaks for another one. How far it must speak is learned from the memory and may be: never.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image
from scipy.stats import binomtest

from foir_lib.memory import colours
from foir_lib.methods.memory.reflection import ARTICLES
from foir_lib.search.rerank import spatial, topological

SIDE = 256  # pixels of the longer side of a crop in which keypoints are looked for at least: things are small
VIEWS = 2  # of a candidate that are verified, the nearest first
NEAREST = 10  # views whose votes count
NEVER = float("inf")
CHANCE = 0.25  # the sign test's, below which a check is followed


class Check:
    """Evidence for each of some candidates, the larger the better; NaN where a check can't say. ``name``: what it is called."""

    name = ""

    def evidence(self, look: Image.Image, candidates: Sequence, known, memory, without=None) -> np.ndarray:
        """Evidence (n,) for candidates of a crop ``look``. ``known``: the memory as the encoder sees it; ``without``: a view left out."""
        raise NotImplementedError


class _Views(Check):
    """Checks of a crop against the crops of a candidate's views: the best of the nearest VIEWS counts."""

    def evidence(self, look, candidates, known, memory, without=None):
        own, values = keypoints(look), []
        for candidate in candidates:
            views = nearest(candidate, known, without)
            crops = [memory.picture_of(view) for view in views]
            values.append(max((self.agreement(own, keypoints(crop)) for crop in crops if crop is not None), default=np.nan))
        return np.array(values, float)

    def agreement(self, a, b) -> int:
        """How many matches of the keypoints of a crop and a view hold."""
        raise NotImplementedError


class Spatial(_Views):
    """Matches of SIFT keypoints in one affine motion."""

    name = "spatial"

    def agreement(self, a, b):
        return spatial.verify(a, b).inliers


class Topological(_Views):
    """Matches that keep their places among each other (thesis, chapter 5)."""

    name = "topological"

    def agreement(self, a, b):
        return len(topological.largest(a.points, b.points, spatial.matches(a, b)).matches)


class Retrieval(Check):
    """Votes of the NEAREST views, those of a candidate's thing against all, each by its cosine: the reflector without a model."""

    name = "retrieval"

    def evidence(self, look, candidates, known, memory, without=None):
        ask = known.vectors[known.row_of[without.id]] if without is not None else known.encoder.embed([(look, None)])[0]
        scores = known.vectors @ ask
        if without is not None:
            scores[[row for row, view in enumerate(known.views) if view.picture == without.picture]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:NEAREST]
        best = best[np.isfinite(scores[best])]
        weights = np.maximum(scores[best] - scores[best].min(initial=np.inf) + 1e-6, 0)
        votes = {}
        for row, weight in zip(best, weights / max(weights.sum(), 1e-12)):
            votes[known.views[row].thing] = votes.get(known.views[row].thing, 0.0) + float(weight)
        return np.array([votes.get(candidate.thing.id, 0.0) for candidate in candidates])


class Properties(Check):
    """What is said of a thing, held against the crop: the share of it that has the colour it is said to have."""

    name = "properties"

    def evidence(self, look, candidates, known, memory, without=None):
        shares = colours.shares(look)
        said = [next((shares[c] for v in candidate.thing.properties.values() if (c := colours.named(v))), np.nan) for candidate in candidates]
        return np.array(said, float)


@dataclass(frozen=True)
class Semantic(Check):
    """An image-text model (a :class:`Reflector`) is asked whether the crop shows the candidate: log-odds of yes (thesis, chapter 3)."""

    reflector: object
    name = "semantic"

    def evidence(self, look, candidates, known, memory, without=None):
        said = [self.words(candidate.thing.name, *candidate.thing.aliases) for candidate in candidates]
        odds, asked = np.full(len(said), np.nan), [place for place, name in enumerate(said) if name]
        odds[asked] = self.reflector.verify(look, [said[place] for place in asked])
        return odds

    def words(self, *names: str) -> str:
        """What the model is asked for: the first of a thing's ``names`` of which it knows a word, without those that it doesn't; or ""."""
        for name in names:
            known = [word for word in name.split() if not self.reflector.lacks(word)]
            if any(word.lower() not in ARTICLES for word in known):
                return " ".join(known)
        return ""


def default_checks(reflector=None) -> list[Check]:
    """What needs no model, then what a :class:`Reflector` says, where there is one."""
    return [Properties(), Spatial(), Topological(), Retrieval()] + ([Semantic(reflector)] if reflector else [])


@dataclass(frozen=True)
class Correction:
    """When a check is followed. ``lead``: the evidence by which another candidate must lead the first (NEVER: it is never moved so);
    ``denied``: the evidence up to which a candidate is denied, and the next one's turn (-NEVER: none is); ``floor``: that from which
    it settles an unsure answer."""

    lead: float = NEVER
    denied: float = -NEVER
    floor: float = NEVER

    @classmethod
    def learned(cls, cases: Sequence[tuple[np.ndarray, int]], least: int = 10) -> "Correction":
        """From cases (evidence (n,), place of the right candidate or -1): the lead, or the denial, that puts most right, where it mends so many
        more than it spoils that chance would in CHANCE of trials; the floor above all of the wrong and new ones. NEVER from fewer than
        ``least`` right cases, or twice as many wrong ones."""
        cases = [(evidence, truth) for evidence, truth in cases if np.isfinite(evidence).any()]
        right = [(evidence, truth) for evidence, truth in cases if truth >= 0]
        if len(right) < least:
            return cls()
        leads = {float(np.nanmax(e) - e[0]) for e, _ in right if np.nanmax(e) > e[0]}
        firsts = {float(e[0]) for e, _ in right if np.isfinite(e[0])}
        ways = [cls(lead=lead) for lead in sorted(leads)] + [cls(denied=denied) for denied in sorted(firsts)]
        best = max(ways, key=lambda way: sum(way.place(e) == truth for e, truth in right), default=cls())
        mended = sum(truth == best.place(e) != 0 for e, truth in right)
        spoilt = sum(truth == 0 != best.place(e) for e, truth in right)
        if not mended or binomtest(mended, mended + spoilt, alternative="greater").pvalue > CHANCE:
            best = cls()
        wrong = [e[best.place(e)] for e, truth in cases if best.place(e) != truth]
        if len(wrong) < 2 * least:
            return best
        return replace(best, floor=float(np.nextafter(np.nan_to_num(wrong, nan=-np.inf).max(), np.inf)))

    def place(self, evidence: np.ndarray) -> int:
        """The place of the candidate that is taken by evidence (n,), NaN where there is none: the first, unless another leads it or it is denied."""
        if self.denied > -NEVER:
            kept = ~(evidence <= self.denied)  # what can't be asked isn't denied
            return int(kept.argmax()) if kept.any() else 0
        filled = np.nan_to_num(evidence, nan=-np.inf)
        best = int(filled.argmax())
        with np.errstate(invalid="ignore"):
            ahead = filled[best] - filled[0]
        return best if best and ahead >= self.lead else 0

    def applied(self, check: Check, look: Image.Image, candidates: tuple, known, memory) -> tuple[tuple, bool]:
        """The candidates in their new order, with the check's evidence, and whether that settles it."""
        evidence = check.evidence(look, candidates, known, memory)
        said = zip(candidates, evidence.tolist(), strict=True)
        candidates = tuple(replace(one, evidence=one.evidence | {check.name: value}) for one, value in said)
        place = self.place(evidence)
        return (candidates[place], *candidates[:place], *candidates[place + 1 :]), bool(evidence[place] >= self.floor)


def nearest(candidate, known, without=None) -> list:
    """At most VIEWS of a candidate's views, the most like its evidence first; none on the picture of the view ``without``."""
    rows = [r for r, v in enumerate(known.views) if v.thing == candidate.thing.id and (without is None or v.picture != without.picture)]
    order = np.argsort(-(known.vectors[rows] @ known.vectors[known.row_of[candidate.view.id]]), kind="stable")[:VIEWS]
    return [known.views[rows[i]] for i in order]


def keypoints(look: Image.Image) -> spatial.Keypoints:
    """SIFT keypoints of a crop, enlarged to SIDE pixels where it is smaller."""
    return _keypoints(look.tobytes(), look.size)


def enlarged(look: Image.Image) -> Image.Image:
    """A crop in whose pixels keypoints lie."""
    factor = max(SIDE / max(look.size), 1.0)
    return look if factor == 1 else Image.fromarray(cv2.resize(np.array(look), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC))


@lru_cache(maxsize=4096)
def _keypoints(content, size):
    return spatial.keypoints(enlarged(Image.frombytes("RGB", size, content)), n_features=300)
