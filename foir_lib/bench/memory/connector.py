"""The connector (thesis 3.2): encoders of several domains, each with its own memory; the controller takes the surest one's name, or none.

An encoder's confidence is learned from its own memory by leaving out (:mod:`foir_lib.memory.control`), and from the memories of the others:
whatever it calls their views is wrong, as if they were new. Nobody answers below NOBODY, where a name is more likely wrong than right. Routing is right where a region of a domain is answered by that domain's encoder, and ground that shows no thing by none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.views import Views, score, split, task
from foir_lib.bench.metrics.scores import Score
from foir_lib.data import load_set
from foir_lib.memory import control
from foir_lib.memory.encoding import Encoder
from foir_lib.models.zoo import load_model
from foir_lib.prompts import Box
from foir_lib.registry import parse
from foir_lib.retrievers.corpus import Corpus

VIEWS, TESTS, THINGS, GROUNDS = 3, 4, 24, 90  # views of a thing; that ask; things of a domain at most; regions without a thing
ROUTED, NOBODY = "right routings", 0.5
DRAWN = {  # the domains that stand beside a table's own set: set, network; each described by crops
    "mini-landmarks": ({"n_landmarks": 24, "n_queries": 24, "n_database": 200}, "mini-cnn"),
    "mini-needles": ({"n_things": 24, "n_queries": 24, "n_database": 60}, "mini-vit-needles"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Domain:
    """One encoder's memory of a set's things: rows (v,) of ``views``, their vectors (v, d), owners (v,), labels of things, what leaving out
    said and the thresholds learned of it; tests (m,) rows on other pictures, truth (m,) their labels."""

    name: str
    views: Views
    encoder: Encoder
    rows: np.ndarray
    vectors: np.ndarray
    owners: np.ndarray
    labels: np.ndarray
    trial: control.Trial
    thresholds: control.Thresholds
    tests: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, views: Views, retriever, n_views: int = VIEWS, n_test: int = TESTS, seed: int = 0) -> "Domain":
        """A memory of ``n_views`` views of up to THINGS things of a set, by the network of its corpus."""
        encoder = Encoder(views.corpus.model, retriever)
        one = task(split(views, np.random.default_rng([seed, 0]), n_views, n_test, True)[:THINGS])
        vectors = encoder.embed([(views.picture(row), views.box(row)) for row in one.rows])
        trial = control.leave_out(vectors, one.owners, views.pictures[one.rows], np.ones(len(one.rows), bool))
        name = views.corpus.set.name.partition(" ")[0]
        return cls(name, views, encoder, one.rows, vectors, one.owners, one.labels, trial, control.learn(trial), one.tests, one.labels[one.truth])

    def regions(self, rows: np.ndarray) -> list[tuple]:
        """The (picture, box) of rows of its views."""
        return [(self.views.picture(row), self.views.box(row)) for row in rows]

    def first(self, regions: Sequence[tuple], n: int = 2) -> control.First:
        """First answers to regions (picture, box)."""
        return control.first(self.encoder.embed(regions) @ self.vectors.T, self.owners, n)

    def among(self, others: Sequence["Domain"]) -> "Domain":
        """The same, with thresholds that are also learned from what it calls the views of other memories: each is new to it."""
        foreign, n = [self.first(other.regions(other.rows), self.trial.known.things.shape[1]) for other in others], len(self.labels)
        things = np.concatenate([self.trial.truth, *(n + 1000 * (o + 1) + other.owners for o, other in enumerate(others))])
        again = np.concatenate([self.trial.again, np.zeros(len(things) - len(self.trial.again), bool)])
        known, new = (control.joined([answers, *foreign]) for answers in (self.trial.known, self.trial.new))
        return replace(self, thresholds=control.learn(control.Trial(np.arange(len(things)), things, known, new, again)))


@dataclass(frozen=True, eq=False)
class Named:
    """What e encoders call m regions: names (e, m), "" below the floor; first (e, m): the same without any floor; taken (m,): whose
    answer counts, -1 for nobody's."""

    names: np.ndarray
    first: np.ndarray
    taken: np.ndarray

    @property
    def joined(self) -> np.ndarray:
        """(m,) names of whoever was taken, "" of nobody."""
        return np.where(self.taken < 0, "", self.names[self.taken, np.arange(len(self.taken))])


@dataclass(frozen=True, eq=False)
class Connector:
    """Encoders of several domains side by side; ``floor``: confidence below which nobody answers."""

    domains: Sequence[Domain]
    floor: float = NOBODY

    @classmethod
    def beside(cls, views: Views, retriever, seed: int = 0) -> "Connector":
        """The set's own domain and encoder first, then those of DRAWN that aren't the set itself."""
        first, others = Domain.of(views, retriever, seed=seed), []
        for name, (options, model) in DRAWN.items():
            if name != first.name:
                corpus = Corpus(load_set(name, seed=seed, **options), load_model(model, device=views.corpus.model.device), progress=False)
                others.append(Domain.of(Views.of(corpus), parse("retriever", "Crop"), seed=seed))
        domains = (first, *others)
        return cls(tuple(one.among([other for other in domains if other is not one]) for one in domains))

    def name(self, regions: Sequence[tuple]) -> Named:
        """What each encoder calls regions (picture, box), and whose confidence is highest, if it reaches the floor."""
        answers = [domain.first(regions) for domain in self.domains]
        sure = np.array([domain.thresholds.confidence(one) for domain, one in zip(self.domains, answers, strict=True)])
        names = np.array([domain.labels[one.things[:, 0]] for domain, one in zip(self.domains, answers, strict=True)])
        return Named(np.where(sure < self.floor, "", names), names, control.chosen(sure, self.floor))


def grounds(domains: Sequence[Domain], n: int = GROUNDS, seed: int = 0) -> list[tuple]:
    """``n`` regions (picture, box) of the domains' pictures, as large as their things are, that meet no annotated thing; fewer of full pictures."""
    rng, found = np.random.default_rng([seed, 1]), []
    for turn in range(20 * n):
        views = domains[turn % len(domains)].views
        row, like = rng.integers(len(views), size=2)
        picture, box = views.picture(row), views.box(like)
        width, height = min(box.x1 - box.x0, picture.width), min(box.y1 - box.y0, picture.height)
        x0, y0 = rng.uniform(0, picture.width - width + 1e-9), rng.uniform(0, picture.height - height + 1e-9)
        objects = views.corpus.set.objects
        near = objects[objects["image_id"] == views.table["image_id"].iloc[row]]
        if not ((near["x0"] < x0 + width) & (near["x1"] > x0) & (near["y0"] < y0 + height) & (near["y1"] > y0)).any():
            found.append((picture, Box(x0, y0, x0 + width, y0 + height)))
        if len(found) == n:
            break
    return found


def routed(connector: Connector, seed: int = 0) -> tuple[dict[str, Score], dict[str, Score]]:
    """Accuracy of names on regions of all domains and of none (where no name is right): of each encoder alone, joined without and with
    a floor, and where the domain is known; and the share of right routings, of all and by domain. Units: things, and grounds each its own."""
    none = grounds(connector.domains, seed=seed)
    regions = [region for domain in connector.domains for region in domain.regions(domain.tests)] + none
    of = np.concatenate([*(np.full(len(domain.tests), d) for d, domain in enumerate(connector.domains)), np.full(len(none), -1)])
    truth = np.concatenate([*(domain.truth for domain in connector.domains), np.full(len(none), "")])
    units = np.array([f"{d} {label or m}" for m, (d, label) in enumerate(zip(of, truth, strict=True))])
    named, surest = connector.name(regions), replace(connector, floor=0.0).name(regions)
    names = dict(zip((f"{domain.encoder.name} of {domain.name}" for domain in connector.domains), named.names, strict=True))
    own = np.where(of < 0, "", named.first[of, np.arange(len(of))])
    names |= {"joined, the surest": surest.joined, "joined, the surest or nobody": named.joined, "the right encoder (known)": own}
    answers = {name: score(ACCURACY, given == truth, units) for name, given in names.items()}
    right, places = named.taken == of, {"all": np.full(len(of), True)}
    places |= {domain.name: of == d for d, domain in enumerate(connector.domains)} | {"no thing": of < 0}
    return answers, {name: score(ROUTED, right[where], units[where]) for name, where in places.items() if where.any()}
