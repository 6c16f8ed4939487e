"""Both stages of a search on a corpus: an engine's candidates, and a method's exact scores of them."""

import hashlib
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from foir_lib.errors import InputError
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.corpus import Corpus
from foir_lib.search import candidates, faiss_index
from foir_lib.search.candidates import Exact, Source, Vectors, Where
from foir_lib.search.vector_db import VectorDatabase
from foir_lib.store.arrays import Readable

ENGINES = ("exact", "faiss", "milvus")
COLLECTION = "pictures"


def check(retriever: Retriever) -> None:
    """Raises InputError for a method whose results have no vectors that candidates could be chosen by."""
    if retriever.vector is None:
        raise InputError(f"{retriever} can't be searched in two stages, its pictures have no vectors to choose by: use CBIR, PHS, CA or MaO.")


def arrays_of(retriever: Retriever, database: Readable) -> tuple[str, str]:
    """The array of a query and that of the described database whose nearest are candidates: clusters, where the method scores those."""
    check(retriever)
    return retriever.vector, "clusters" if hasattr(retriever, "equation") else retriever.vector


class Stages:
    """The engine of a corpus's database described by ``retriever``, and its exact scores; files of the engine lie in ``folder``.

    ``engine``: of :data:`ENGINES`; ``uri`` and ``collection``: of a Milvus that runs elsewhere. Describes the database when it is first needed.
    """

    def __init__(self, corpus: Corpus, retriever: Retriever, folder: Path, engine: str = "exact", uri: str = "", collection: str = COLLECTION):
        self.corpus, self.retriever, self.folder = corpus, retriever, folder
        self.engine, self.uri, self.collection = engine, uri or folder / "milvus.db", collection

    @cached_property
    def database(self):
        """Features of the database."""
        return self.corpus.described(self.retriever, self.corpus.database)

    @cached_property
    def vectors(self) -> Vectors:
        """What candidates are chosen by."""
        return Vectors(self.database, arrays_of(self.retriever, self.database)[1], candidates.table_of(self.corpus.set))

    @cached_property
    def source(self) -> Source:
        """The engine, open."""
        if self.engine == "milvus":
            return VectorDatabase(self.vectors, self.uri, self.collection, self.corpus.model.name, self._key())
        if self.engine == "faiss":
            return faiss_index.open_index(self.vectors, self._file())
        return Exact(self.vectors, self.corpus.model.device)

    def fill(self, progress: bool = True) -> None:
        """Describe what isn't yet, and bring the engine to it."""
        if self.engine == "milvus":
            self.source.load(progress)
        elif self.engine == "faiss":
            _ = self.source
            for other in {*self.folder.glob("candidates-*.faiss")} - {self._file()}:
                other.unlink()
        self.vectors  # noqa: B018  described

    def search(self, part, k: int, m: int, where: Where | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores (Q, k) and ids (Q, k) of the prompts of a part, best first, of ``m`` candidates each; -1 where there are fewer than k."""
        query = self.corpus.described(self.retriever, part)
        rows = candidates.candidates(self.source, query.read(arrays_of(self.retriever, self.database)[0]), m, where)
        return candidates.rescored(partial(self.retriever.score, self.corpus), query, self.database, rows, k)

    def _key(self, *more: str) -> str:
        return hashlib.sha256("\n".join([str(self.retriever), str(self.corpus.model.key), *more]).encode()).hexdigest()[:16]

    def _file(self) -> Path:
        return self.folder / f"candidates-{self._key(self.corpus.set.fingerprint)}.faiss"
