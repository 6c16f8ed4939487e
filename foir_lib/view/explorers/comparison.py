"""Several retrievers on the same query of one corpus, side by side; no widget in sight."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from foir_lib import registry
from foir_lib.errors import FoirError, InputError
from foir_lib.prompts import Prompt
from foir_lib.retrievers.base import Retriever
from foir_lib.search.ranking import Ranking, without
from foir_lib.view.results import rows
from foir_lib.view.widgets.maps import SIDE
from foir_lib.view.widgets.thumbs import Thumbs

Methods = str | Retriever | Sequence[str | Retriever]
MOST = 4  # methods side by side
BESIDE = ("PHS(foveal=True)", "PHS(query_db=True)")  # offered beside the registered retrievers with their defaults


class Answer(NamedTuple):
    """One retriever's ranking of the whole database: ids and scores (n,), best first, heads (h,) bool or None, and ms.

    ``lacks``: why there is none, such as a prompt, else "". ``about``: what the retriever does.
    """

    ids: np.ndarray
    scores: np.ndarray
    heads: np.ndarray | None = None
    ms: float = 0.0
    lacks: str = ""
    about: str = ""


class Query(NamedTuple):
    """A prompt on a picture, and what is known of it: retriever -> answer, (retriever, ids) -> maps."""

    picture: Image.Image
    key: tuple  # prompt, image id
    part: object  # of Corpus.live
    answers: dict
    maps: dict


NONE = np.zeros(0, dtype=np.int64)


class Comparison:
    """The database of a corpus; the answers to the last query are cached, so that only what changed is computed."""

    def __init__(self, corpus):
        self.corpus, self.ids = corpus, corpus.set.database["image_id"].to_numpy()
        self.thumbs = Thumbs(corpus.set)
        self._row_of = {image_id: row for row, image_id in enumerate(self.ids)}
        self._query = None

    def answers(self, picture: Image.Image, prompt, retrievers: Sequence[Retriever], image_id=None) -> dict[str, Answer]:
        """The text of each retriever -> its :class:`Answer` to a prompt (or None) on a picture.

        ``image_id``: of the picture where it is one of the set, so that it isn't its own result. Raises InputError for what
        goes wrong, and then the cache stays as it was.
        """
        query, own = self._query, self._row_of.get(image_id, -1)
        if query is None or picture is not query.picture or query.key != (prompt, image_id):
            query = Query(picture, (prompt, image_id), self.corpus.live(picture, [prompt]), {}, {})
        missing = [retriever for retriever in retrievers if retriever not in query.answers]
        query.answers.update({one: self._answer(one, query.part, prompt, own) for one in missing})
        self._query = query
        return {str(retriever): query.answers[retriever] for retriever in retrievers}

    @property
    def part(self):
        """The last query as a part of the corpus, with one prompt."""
        return self._query.part

    def explained(self, retriever: Retriever, ids) -> list[np.ndarray] | None:
        """Where the results ``ids`` (k,) look like the last prompt: a map (rows, columns) of each, or None."""
        key, known = (retriever, tuple(ids)), self._query.maps
        if key not in known:
            known[key] = retriever.explain(self.corpus, self._query.part, 0, ids)
        return known[key]

    def row(self, title: str, results, first: str | None, answer: Answer, base: float | None = None, label="") -> dict:
        """The gallery's row of an answer, of which ``results`` is the table; changes count from ``first``, see :func:`rows.row`."""
        if answer.lacks:
            return {"title": title, "about": answer.about, "empty": answer.lacks}
        row = rows.row(title, results, self.thumbs.get(results["image_id"]), first, answer.heads, answer.ms, base, label)
        return row | {"about": answer.about}

    def listed(self, answers: dict[str, Answer], k: int, right, label="") -> tuple[dict[str, pd.DataFrame], list[dict]]:
        """The first ``k`` results of each of ``answers``, judged by ``right`` (of each database row, or None): tables by name, and rows of
        the gallery; places and the share that is right count from the first of them. ``label``: what is looked for, or ""."""
        first, results, shown, base = next(iter(answers)), {}, [], None
        before = answers[first].ids if len(answers[first].ids) else None
        for name, answer in answers.items():
            results[name] = rows.table(answer.scores, answer.ids, self.ids, k, right, before)
            shown.append(self.row(name, results[name], None if name == first else first, answer, base, label))
            base = rows.share(results[name]) if name == first else base
        return results, shown

    def maps_row(self, title: str, results, values: list[np.ndarray]) -> dict:
        """The gallery's row of maps over the results, all on one scale."""
        pictures = [self.corpus.set.open(image_id, longest=SIDE) for image_id in results["image_id"]]
        return rows.maps_row(title, results, pictures, values)

    def close(self) -> None:
        """Let the threads and the cache go."""
        self.thumbs.close()
        self._query = None

    def _answer(self, retriever, part, prompt, own):
        n = len(self.ids)
        try:
            database = self.corpus.described(retriever, self.corpus.database)
            start = time.perf_counter()
            query = self.corpus.described(retriever, part)
            scores, ids = retriever.score(self.corpus, query, database, n)
            scores, ids = without(np.asarray(scores), np.asarray(ids), np.array([own]), n - (own >= 0))
            ranking = Ranking(np.zeros(1, int), ids, scores, n)  # refuses NaN, other shapes, unknown rows
        except FoirError as error:
            if prompt is None and isinstance(error, InputError):
                return Answer(NONE, NONE, lacks=str(error), about=rows.about(retriever))
            raise
        except Exception as error:
            if type(retriever).__module__.startswith("foir_lib."):
                raise
            raise InputError(f"{retriever} fails while it scores ({type(error).__name__}: {error}): mend it.") from error
        heads = query.read("on")[0] if "on" in query.names else None
        keep = ranking.ids[0] >= 0
        return Answer(ranking.ids[0][keep], ranking.scores[0][keep], heads, 1000 * (time.perf_counter() - start), about=rows.about(retriever))


def lists(corpus, picture, prompt: Prompt | None, methods: Methods, k: int = 10) -> dict[str, pd.DataFrame]:
    """The first ``k`` results of each of ``methods`` for a prompt on a ``picture``: an image id of the corpus, or a PIL image.

    Text of the method -> a table of :func:`rows.table`. Raises InputError for what can't be asked.
    """
    own, comparison = not isinstance(picture, Image.Image), Comparison(corpus)
    try:
        shown = corpus.set.open(picture) if own else picture
        answers = comparison.answers(shown, prompt, parsed(methods, corpus), picture if own else None)
        return {name: rows.table(answer.scores, answer.ids, comparison.ids, k) for name, answer in answers.items()}
    finally:
        comparison.close()


def parsed(methods: Methods, corpus) -> tuple[Retriever, ...]:
    """One to four retrievers, objects or texts such as ``PHS(h_on=3)``. Raises InputError for others, or what a corpus lacks."""
    methods = registry.split(methods) if isinstance(methods, str) else methods
    methods = methods if isinstance(methods, list | tuple) else [methods]
    retrievers = tuple(registry.parse("retriever", m) if isinstance(m, str) else m for m in methods)
    for retriever in retrievers:
        if not isinstance(retriever, Retriever):
            raise InputError(f"{retriever!r} is no retriever: give an object or a name of `foir methods`.")
        if lacks := retriever.lacks(corpus):
            raise InputError(f"{retriever} can't be had here: {lacks}.")
    if not retrievers:
        raise InputError("No method is chosen: choose at least one.")
    if len(retrievers) > MOST or len(set(map(str, retrievers))) < len(retrievers):
        raise InputError(f"{len(retrievers)} methods don't fit side by side: choose at most {MOST}, each once.")
    return retrievers


def offered(corpus) -> dict[str, Retriever]:
    """Text -> retriever of all that can be had on a corpus: the registered ones with their defaults, and :data:`BESIDE`."""
    known = {}
    for name in [*registry.names("retriever"), *BESIDE]:
        try:
            retriever = registry.parse("retriever", name)
        except (FoirError, TypeError):  # a guest's needs a file
            continue
        if retriever.offered(corpus):
            known[str(retriever)] = retriever
    return known
