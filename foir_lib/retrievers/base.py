"""What a method of retrieval is: a frozen dataclass of its options that describes parts of a corpus and scores them.

A method of one's own is a subclass with ``describe``, registered by a name; the table, the batch and the mouse all call the
same three functions. See CONTRIBUTING.md and notebooks/03_your_own.ipynb.
"""

import math
from dataclasses import MISSING, dataclass, fields
from numbers import Real
from types import UnionType
from typing import ClassVar, Literal, get_args, get_origin

import numpy as np

from foir_lib.detections import Localisation
from foir_lib.errors import InputError, count
from foir_lib.search.knn import knn

WIDTHS = ("sigma", "bandwidth")  # options that are divided by


class Named:
    """Prints as `--methods` takes it: the registered name, with the options that aren't the default ones.

    Raises InputError for an option that isn't what its annotation says: an int counts from 1 (seeds from 0), a float is 0 or
    more and finite, a bool, a str, one of a Literal's.
    """

    name: ClassVar[str] = ""

    def __post_init__(self):
        for field in fields(self):
            kind, *others = get_args(field.type) if isinstance(field.type, UnionType) else [field.type]
            if getattr(self, field.name) is not None or not others:
                self._check(field.name, getattr(self, field.name), kind)

    def _check(self, option, value, kind):
        text = f"{option}={value!r}"
        if get_origin(kind) is Literal:
            if not any(value == known and type(value) is type(known) for known in get_args(kind)):
                raise InputError(f"{text} is unknown to {self.name}: choose one of {', '.join(map(str, get_args(kind)))}.")
        elif kind is int:
            count(value, option, 0 if option == "seed" else 1)
        elif kind is float:
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 <= value < math.inf or (option in WIDTHS and value == 0):
                raise InputError(f"{text} must be a number, {'above 0' if option in WIDTHS else '0 or more'}.")
        elif kind in (bool, str) and type(value) is not kind:
            raise InputError(f"{text} must be {'True or False' if kind is bool else 'a text'}.")

    def __str__(self) -> str:
        options = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default]
        return (self.name or type(self).__name__) + (f"({', '.join(options)})" if options else "")

    @classmethod
    def signature(cls) -> str:
        """The registered name with all options and their defaults, as `foir methods` lists it."""
        options = [f.name if f.default is MISSING else f"{f.name}={f.default!r}" for f in fields(cls)]
        return cls.name + (f"({', '.join(options)})" if options else "")


def no_heads(model) -> str:
    """Why no heads of a model can be asked, in a sentence's words, or ""."""
    if hasattr(model, "cls_state"):
        return ""
    return f"{model.name} {getattr(model, 'headless', 'has no attention heads: name a ViT such as mini-vit')}"


@dataclass(frozen=True)
class Method(Named):
    """What asks a model. ``needs``: what it must be able to do, e.g. ("cls_state",)."""

    needs: ClassVar[tuple[str, ...]] = ()

    def lacks(self, corpus) -> str:
        """Why the method can't be had on this corpus, in a sentence's words, or ""."""
        lacking = [tap for tap in self.needs if not hasattr(corpus.model, tap)]
        if lacking and lacking[0] == "cls_state":
            return no_heads(corpus.model)
        maps = "no feature maps: name a CNN such as mini-cnn"
        kinds = {"maps": maps, "locals": maps}
        return f"{corpus.model.name} has {kinds.get(lacking[0], 'no ' + lacking[0])}" if lacking else ""

    def offered(self, corpus) -> bool:
        """Whether a menu offers it on this corpus: it lacks nothing, and nothing must be fetched for it first."""
        return not self.lacks(corpus)


@dataclass(frozen=True)
class Retriever(Method):
    """One method of a table.

    ``vector``: the array of a query that query expansion replaces, or None where results have no descriptors.
    """

    vector: ClassVar[str | None] = "descriptor"

    def describe(self, part):
        """Features of a part: at least "descriptor" (n, d), unit length; of pictures and of prompts on them by this one call."""
        raise NotImplementedError(f"{type(self).__name__} needs a function describe(self, part).")

    def score(self, corpus, query, database, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (Q, k) float32 and ids (Q, k), best first, of described queries; here: exact search on "descriptor"."""
        return knn(query.read("descriptor"), database.chunks("descriptor"), k, device=corpus.model.device)

    def explain(self, corpus, part, m: int, rows) -> list[np.ndarray] | None:
        """Where the results ``rows`` of the database look like prompt ``m`` of a part: a map (rows, columns) of each, or None."""
        return None

    def neighbours(self, query, database, ids: np.ndarray, corpus) -> np.ndarray:
        """Descriptors (Q, m, d) of the results ``ids`` (Q, m), as query expansion averages them."""
        return database.read(self.vector, ids.ravel()).reshape(*ids.shape, -1)

    def graph(self, corpus, database, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and ids (n, k): each picture of the database as a query for the others (diffusion's graph)."""
        each = database.read(self.vector)
        return knn(each, each, k, device=corpus.model.device)


@dataclass(frozen=True)
class Reranker(Named):
    """A second look at a ranking. ``n``: how many of the first results take part."""

    def lacks(self, corpus, retriever: Retriever) -> str:
        """Why it can't follow a method, in a sentence's words, or ""."""
        if retriever.vector is None:
            return f"{self.name} isn't defined after {retriever.name}, whose results have no descriptors: choose CA or a vector"
        return ""

    def rerank(self, corpus, retriever, part, query, database, scores, ids) -> tuple[np.ndarray, np.ndarray]:
        """Scores and ids (Q, n) in a new order; the first ranking is of the whole database."""
        raise NotImplementedError(f"{type(self).__name__} needs a function rerank(...).")


@dataclass(frozen=True)
class Localiser(Method):
    """Says where pictures show what a query asks for: a mask, a box and a score of each."""

    def locate(self, corpus, part, m: int, rows) -> list[Localisation]:
        """Where each of the database pictures ``rows`` shows what prompt ``m`` of a part asks for."""
        raise NotImplementedError(f"{type(self).__name__} needs a function locate(self, corpus, part, m, rows).")

    def inner(self, corpus) -> tuple:
        """What its answers depend on beside its options, its code and the corpus's model: other methods, networks, or texts that name
        something, as a codebook's digest. Kept answers are named by the code of those that are no text, and by their ``key`` or text."""
        return ()
