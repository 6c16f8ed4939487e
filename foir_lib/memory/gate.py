"""What lets a machine view into a memory, and how the memory tells, of its humans' views alone, that machine views harm it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from foir_lib.draws import DRAWS, LEVELS, weights
from foir_lib.memory import control
from foir_lib.memory.consistency import VIEWS, Correction, Spatial, Topological, keypoints
from foir_lib.memory.recogniser import CANDIDATES, KNOWN

CHECKS = (Spatial(), Topological())  # of the default ones, those that compare two views


class Agreement:
    """How many matches two rows of some regions have by some checks; ``crop(row)``: what a row shows. Each is looked at once, each pair once."""

    def __init__(self, crop: Callable[[int], Image.Image], checks: Sequence = CHECKS):
        self.crop, self.checks, self._looks, self._pairs = crop, tuple(checks), {}, {}

    def look(self, row: int):
        """The keypoints of a row."""
        if row not in self._looks:
            self._looks[row] = keypoints(self.crop(row))
        return self._looks[row]

    def __call__(self, check, a: int, b: int) -> int:
        """Matches of rows ``a`` and ``b`` by a check."""
        pair = check.name, a, b
        if pair not in self._pairs:
            self._pairs[pair] = check.agreement(self.look(a), self.look(b))
        return self._pairs[pair]


@dataclass(frozen=True)
class Grown:
    """A memory: ``rows`` (n,) of some regions, ``owners`` (n,) things they are remembered as, ``human`` (n,) bool: who said so."""

    rows: np.ndarray
    owners: np.ndarray
    human: np.ndarray

    def with_view(self, row: int, owner: int, vectors: np.ndarray, limit: int) -> "Grown":
        """The memory with a machine view more, and within ``limit`` views of that thing as far as machine views can go."""
        grown = Grown(np.append(self.rows, row), np.append(self.owners, owner), np.append(self.human, False))
        mine = np.flatnonzero(grown.owners == owner)
        machine = mine[~grown.human[mine]]
        if len(mine) <= limit or not len(machine):
            return grown
        alike = vectors[grown.rows[machine]] @ vectors[grown.rows[mine]].T
        alike[machine[:, None] == mine] = -np.inf
        keep = np.arange(len(grown.rows)) != machine[alike.max(1).argmax()]
        return Grown(grown.rows[keep], grown.owners[keep], grown.human[keep])

    def left_out(self, vectors: np.ndarray, pictures: np.ndarray) -> control.Trial:
        """The humans' views asked again, each left out."""
        return control.leave_out(vectors[self.rows], self.owners, pictures[self.rows], self.human)

    def wrong(self, truth: np.ndarray) -> np.ndarray:
        """(m,) bool, of machine views: whether each shows another thing than it is remembered as; ``truth``: things of all rows."""
        return (truth[self.rows] != self.owners)[~self.human]


@dataclass(frozen=True)
class Gate:
    """What lets a view in: thresholds of the margin, and the floor of each check; of a memory of ``humans`` views."""

    humans: Grown
    vectors: np.ndarray
    pictures: np.ndarray
    agreement: Agreement

    @cached_property
    def trial(self) -> control.Trial:
        """The humans' views, each left out."""
        return self.humans.left_out(self.vectors, self.pictures)

    @cached_property
    def thresholds(self) -> control.Thresholds:
        """Learned from the humans' views."""
        return control.learn(self.trial)

    @cached_property
    def corrections(self) -> list[Correction]:
        """When each check is followed: learned from all humans' views, each left out, and each with its thing left out."""
        cases = [[] for _ in self.agreement.checks]
        for answers, known in ((self.trial.known, True), (self.trial.new, False)):
            for m, row in enumerate(self.humans.rows):
                things = answers.things[m, :CANDIDATES]
                truth = np.flatnonzero(things == self.trial.truth[m]) if known else []
                for of, check in zip(cases, self.agreement.checks, strict=True):
                    of.append((self.evidence(check, row, things), int(truth[0]) if len(truth) else -1))
        return [Correction.learned(of) for of in cases]

    def evidence(self, check, row: int, things: np.ndarray) -> np.ndarray:
        """Matches (n,) of a row with each of ``things``: the best of the humans' VIEWS views nearest to it, none on its own picture."""
        found = np.full(len(things), np.nan)
        for place, thing in enumerate(things):
            rows = self.humans.rows[(self.humans.owners == thing) & (self.pictures[self.humans.rows] != self.pictures[row])]
            near = rows[np.argsort(-(self.vectors[rows] @ self.vectors[row]), kind="stable")[:VIEWS]]
            found[place] = max((self.agreement(check, row, int(one)) for one in near), default=np.nan)
        return found

    def lets_in(self, row: int, grown: Grown) -> int:
        """The thing whose machine view a row becomes, or -1: the margin says known, and no check finds too few matches, or as many elsewhere."""
        answers = control.first(self.vectors[[row]] @ self.vectors[grown.rows].T, grown.owners, CANDIDATES)
        if self.thresholds.verdicts(answers)[0] != KNOWN:
            return -1
        for check, correction in zip(self.agreement.checks, self.corrections, strict=True):
            evidence = self.evidence(check, row, answers.things[0][answers.things[0] >= 0])
            if not evidence[0] >= correction.floor or (evidence[1:] >= evidence[0]).any():
                return -1
        return int(answers.things[0, 0])

    def agrees(self, grown: Grown) -> tuple[float, float, float]:
        """How well machine views match the humans' of their things, divided by how well those match each other, by the last check: the ratio of
        means, and its 95 % interval, things drawn anew. (1, 0, inf) without machine views, or checks."""
        if not self.agreement.checks:
            return ratio(np.zeros((0, 2)))
        check, sums = self.agreement.checks[-1], []
        for thing in np.unique(grown.owners[~grown.human]):
            mine = grown.owners == thing
            humans, machine = grown.rows[mine & grown.human].tolist(), grown.rows[mine & ~grown.human].tolist()
            among = [self.agreement(check, a, b) for a in humans for b in humans if a != b]
            if among:
                own = [self.agreement(check, m, h) for m in machine for h in humans]
                sums.append((len(machine) * np.mean(own), len(machine) * np.mean(among)))
        return ratio(np.array(sums).reshape(-1, 2))

    def forgets(self, grown: Grown) -> tuple[float, float, float]:
        """By how much more of the humans' views are right, each left out, with the machine's views than without; its 95 % interval."""
        gained = grown.left_out(self.vectors, self.pictures).right.astype(float) - self.trial.right
        drawn = weights(int(self.humans.owners.max()) + 1, DRAWS, 0)
        of = np.bincount(self.humans.owners, gained), np.bincount(self.humans.owners)
        low, high = np.percentile((drawn @ of[0]) / np.maximum(drawn @ of[1], 1), LEVELS)
        return float(gained.mean()), float(low), float(high)

    def harmed(self, grown: Grown) -> bool:
        """Whether the machine's views harm for sure, as far as the humans' can tell."""
        return self.agrees(grown)[2] < 1 or self.forgets(grown)[2] < 0


def ratio(sums: np.ndarray, draws: int = DRAWS, seed: int = 0) -> tuple[float, float, float]:
    """The ratio of the sums of two columns (n, 2), and its 95 % interval, rows drawn anew; (1, 0, inf) of fewer than two."""
    if len(sums) < 2 or not sums[:, 1].sum():
        return 1.0, 0.0, float("inf")
    drawn = weights(len(sums), draws, seed) @ sums
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanpercentile(drawn[:, 0] / drawn[:, 1], LEVELS)
    return float(sums[:, 0].sum() / sums[:, 1].sum()), float(low), float(high)
