"""Guests: a ranking or descriptors, and masks, of somebody else's system, from files, scored like our own methods."""

import os
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from foir_lib.data.names import match
from foir_lib.data.readers.pixels import answers
from foir_lib.data.values import short
from foir_lib.detections import Localisation
from foir_lib.errors import InputError, IntegrityError, MissingError, parsing
from foir_lib.files import as_path, checksum, state
from foir_lib.registry import register
from foir_lib.retrievers.base import Localiser, Retriever
from foir_lib.search import npz
from foir_lib.store.arrays import Arrays

FORMATS = (
    "rankings as .txt or .csv (a line for each query: its id, then database ids, best first), ranks as .npy "
    "(queries x database rows, or the other way round), or descriptors as .npz (queries, database)"
)


@register("retriever", "Guest")
@dataclass(frozen=True)
class Guest(Retriever):
    """Somebody else's system: the rankings or descriptors of its file ``path`` for the set's queries and database."""

    path: str

    def describe(self, part):
        content = self._content(part.corpus.set)
        if part is not part.corpus.database:
            _known(self.path, part)
        if self.is_ranking(part.corpus.set):
            return Arrays({"row": np.arange(len(part))})
        return Arrays({"descriptor": content[0][part.rows] if part is not part.corpus.database else content[1]})

    def score(self, corpus, query, database, k):
        content = self._content(corpus.set)
        if not self.is_ranking(corpus.set):
            return super().score(corpus, query, database, k)
        ids = np.full((len(content), len(database)), -1)
        for row, listed in enumerate(content):
            ids[row, : len(listed)] = listed
        scores = np.broadcast_to(-np.arange(len(database), dtype=np.float32), ids.shape)
        return scores[query.read("row"), :k], ids[query.read("row"), :k]

    def is_ranking(self, retrieval_set) -> bool:
        """True where the file holds rankings, not descriptors."""
        return self._content(retrieval_set, 0) == "ranking"

    def _content(self, retrieval_set, part=1):
        return _read(as_path(self.path), retrieval_set, state(as_path(self.path)))[part]


@register("localiser", "Guest")
@dataclass(frozen=True)
class GuestMasks(Localiser):
    """Somebody else's masks, boxes and scores for the set's queries: the JSON file ``path``, see :mod:`foir_lib.data.readers.pixels.answers`."""

    path: str

    def inner(self, corpus):
        return (checksum(masks_file(self.path)),)

    def locate(self, corpus, part, m, rows):
        _known(self.path, part)
        of_query = _answers(masks_file(self.path), corpus.set, state(as_path(self.path)))[int(part.rows[m])]
        return [of_query.get(int(row), Localisation.nothing()) for row in rows]


def _known(path, part):
    """InputError for other queries than the set's own by their prompts."""
    if not part.prompted or part.data is None:
        raise InputError(f"{path} knows the queries of {part.corpus.set.name} by their prompts, and no others.")


def named(text):
    """``"NAME=path, NAME=path"`` as a dict; a path may be "ranks > masks", see :func:`parted`. Raises InputError for another form, or a name given twice."""
    paths = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, path = (piece.strip() for piece in part.partition("="))
        if not (name and equals and path) or name in paths:
            raise InputError(f"Guest {part!r} must be NAME=path, each name once.")
        paths[name] = path
    return paths


def parted(path: str) -> tuple[str, str]:
    """The file of ranks or descriptors and that of masks, of "ranks.npy > masks.json" or either alone; "" for the other.

    Raises MissingError without a file, InputError for another one.
    """
    ranks, _, shows = (piece.strip() for piece in path.partition(">"))
    ranks, shows = ("", ranks) if not shows and ranks.lower().endswith(".json") else (ranks, shows)
    if ranks or not shows:
        kind_of(ranks)
    if shows:
        masks_file(shows)
    return ranks, shows


def masks_file(path: str | os.PathLike):
    """The path of a guest's masks. Raises MissingError without the file, InputError for another one."""
    path = as_path(path)
    if not os.path.isfile(path):
        raise MissingError(f"There is no file of a guest's masks at {path}: check the path.")
    if path.suffix.lower() != ".json":
        raise InputError(f"{path} is no file of masks: give a JSON list of query, image_id, segmentation or bbox, and score.")
    return path


def kind_of(path: str | os.PathLike) -> str:
    """The ending of a guest's file. Raises MissingError without the file, InputError for another one."""
    path = as_path(path)
    if not os.path.isfile(path):
        raise MissingError(f"There is no file of a guest at {path}: check the path.")
    if path.suffix.lower() not in (".txt", ".csv", ".npy", ".npz"):
        raise InputError(f"{path} is no file of a guest: give {FORMATS}.")
    return path.suffix.lower()


def read(path, retrieval_set):
    """("ranking", list of Q arrays of database rows) or ("descriptors", (queries (Q, d), database (n, d))) of a file.

    Formats: :data:`FORMATS`. Ranks may be incomplete: what isn't named isn't retrieved. A square array has queries in rows.
    Raises MissingError without the file, IntegrityError for one that can't be read, InputError for one that doesn't fit.
    """
    path, kind = as_path(path), kind_of(path)
    n_queries, n = len(retrieval_set.queries), len(retrieval_set.database)
    if kind in (".txt", ".csv"):
        return "ranking", _text(path, retrieval_set)
    if kind == ".npy":
        return "ranking", _ranks(path, npz.load_npy(path, "ranks", f"give {FORMATS}"), n_queries, n)
    vectors = npz.load(path, "descriptors", ("queries", "database"), f"give {FORMATS}")
    return "descriptors", _fitting(path, *vectors.values(), n_queries, n)


def _ranks(path, ranks, n_queries, n):
    if ranks.ndim != 2 or ranks.dtype.kind not in "iu" or n_queries not in ranks.shape:
        raise InputError(
            f"Ranks of {path} are {ranks.dtype} {ranks.shape}: give whole numbers, {n_queries} queries x up to {n} database rows."
        )
    ranks = ranks if len(ranks) == n_queries else ranks.T
    if ranks.size and not -1 <= ranks.min() <= ranks.max() < n:
        row = ranks.min() if ranks.min() < -1 else ranks.max()
        raise InputError(f"Ranks of {path} name row {row}: the database's {n} rows count from 0.")
    for query, row in enumerate(ranks):
        _once(path, f"query {query}", row[row >= 0])
    return list(ranks)


def _fitting(path, queries, database, n_queries, n):
    fits = queries.ndim == database.ndim == 2 and (len(queries), len(database)) == (n_queries, n)
    if not fits or queries.shape[1] != database.shape[1]:
        raise InputError(
            f"Descriptors of {path} are {queries.shape} and {database.shape}: give queries ({n_queries}, d), database ({n}, d)."
        )
    unit = []
    for name, vectors in (("queries", queries), ("database", database)):
        if vectors.dtype.kind not in "fiu":
            raise InputError(f"Descriptors of {path}, {name}, are {vectors.dtype}: give numbers.")
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
        if not np.isfinite(norm).all() or not norm.all():
            raise InputError(f"Descriptors of {path}, {name}, hold NaN, infinity or zeros: make them again.")
        unit.append(vectors.astype(np.float32) / norm)
    return tuple(unit)


def _text(path, retrieval_set):
    with parsing(f"{path} is no text that can be read", f"give {FORMATS}", IntegrityError):
        lines = [_words(line) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    query_ids = [str(i) for i in retrieval_set.queries["image_id"]]
    if len(set(query_ids)) < len(query_ids):
        raise InputError(f"{path} can't name the queries of {retrieval_set.name} by picture: one has several; give .npy ranks.")
    row_of = {str(i): row for row, i in enumerate(retrieval_set.database["image_id"])}
    pictures = match([i for _, *ids in lines for i in ids], list(row_of), ".")
    queries, rankings = match([query for query, *_ in lines], query_ids, "."), {}
    for number, (name, *ids) in enumerate(lines, start=1):
        query, strange = queries[name], [i for i in ids if pictures[i] is None]
        if query is None or query in rankings or strange:
            what = f"query {short(name)}" if query is None or query in rankings else f"picture {short(strange[0])}"
            why = "a second time" if query in rankings else f"that {retrieval_set.name} doesn't have"
            raise InputError(f"{path} line {number} names {what} {why}.")
        rankings[query] = np.array([row_of[pictures[i]] for i in ids], np.int64)
        _once(path, f"query {query}", rankings[query])
    missing = [query for query in query_ids if query not in rankings]
    if missing:
        raise InputError(f"{path} has no line for query {missing[0]!r}: it needs one for each of {len(query_ids)}.")
    return [rankings[query] for query in query_ids]


def _words(line):
    """The names on a line, between commas or semicolons where there are some, else between spaces."""
    words = re.split("[,;]", line) if re.search("[,;]", line) else line.split()
    return [word.strip() for word in words if word.strip()] or [""]


def _once(path, who, rows):
    if len(np.unique(rows)) < len(rows):
        raise InputError(f"{path} names a picture twice for {who}: each may stand once.")


@lru_cache(4)
def _read(path, retrieval_set, time):
    """:func:`read`, once for each state of the file."""
    return read(path, retrieval_set)


@lru_cache(4)
def _answers(path, retrieval_set, time):
    """:func:`answers.read`, once for each state of the file."""
    return answers.read(path, retrieval_set)
