"""Vectors of all views as one matrix in memory, by encoder; views without one are encoded again."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import sqlalchemy as sa
import torch
from PIL import Image

from foir_lib.memory.database import tables
from foir_lib.memory.database.journal import Journal
from foir_lib.memory.state import View
from foir_lib.notices import note
from foir_lib.prompts import Prompt
from foir_lib.search import knn

BATCH = 64  # views that are encoded and written at a time
STORED = np.dtype("<f2")


class Vectors:
    """The vectors of one encoder (``key``, ``name``, ``embed``), in the order of the memory's views.

    ``shown(view)`` gives (picture, region) of a view, or None: what is encoded where the file has no vector of this encoder.
    """

    def __init__(self, journal: Journal, encoder, shown: Callable[[View], tuple[Image.Image, Prompt | None] | None]):
        self.journal, self.encoder, self.shown = journal, encoder, shown
        self.id = encoder_id(journal, encoder)
        self._room, self._ids, self._version, self._views = np.zeros((0, 0), np.float32), [], None, []
        self._lost = set()  # views that can't be encoded

    def current(self) -> tuple[np.ndarray, list[View]]:
        """(matrix (n, d) float32, views), of all views that can be encoded."""
        with self.journal.lock:
            state = self.journal.current()
            if self._version != (state, state.version):
                self._follow(state.views())
                self._version = state, state.version
            return self._room[: len(self._ids)], self._views

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(scores, rows), each (q, k), of the nearest views by inner product, exactly; fewer columns where there are fewer views."""
        matrix, views = self.current()
        queries = knn.to_matrix(np.atleast_2d(queries), "Query vectors")
        if not views:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        best, database = knn.empty(len(queries), min(k, len(views))), torch.from_numpy(matrix)
        for start in range(0, len(views), knn.DATABASE_BLOCK):
            knn.update(best, queries, database[start : start + knn.DATABASE_BLOCK], start)
        return knn.finish(best, len(views), k)

    def _follow(self, views):
        """Makes the matrix that of ``views``: rows that are there stay, new ones are read, then encoded."""
        ids, row_of = [view.id for view in views], {id: row for row, id in enumerate(self._ids)}
        new = [view for view in views if view.id not in row_of]
        read = self._read([view.id for view in new]) if new else {}
        read |= self._encode([view for view in new if view.id not in read and view.id not in self._lost])
        self._views = [view for view in views if view.id in row_of or view.id in read]
        ids = [view.id for view in self._views]
        kept = ids[: len(ids) - len(read)]
        if kept != self._ids or list(read) != ids[len(kept) :]:
            self._rebuild(ids, row_of, read)
        elif read:
            self._append(ids, np.stack(list(read.values())))

    def _append(self, ids, rows):
        n, d = len(self._ids), rows.shape[1]
        if len(ids) > len(self._room):
            room = np.empty((max(len(ids), 2 * n), d), np.float32)
            room[:n] = self._room[:n] if n else 0
            self._room = room
        self._room[n : len(ids)], self._ids = rows, ids

    def _rebuild(self, ids, row_of, read):
        d = self._room.shape[1] if self._ids else len(next(iter(read.values()))) if read else 0
        room = np.empty((len(ids), d), np.float32)
        old = np.array([row_of.get(id, -1) for id in ids], dtype=np.int64)
        room[old >= 0] = self._room[old[old >= 0]]
        for row in np.flatnonzero(old < 0):
            room[row] = read[ids[row]]
        self._room, self._ids = room, ids

    def _read(self, ids):
        """Vectors in the file, by view, in the order of ``ids``."""
        table = tables.embeddings
        query = sa.select(table.c.view, table.c.vector).where(table.c.encoder == self.id)
        with tables.told(self.journal.name), self.journal.engine.connect() as connection:
            if len(ids) <= 500:
                query = query.where(table.c.view.in_(ids))
            found = dict(map(tuple, connection.execute(query)))
        wanted = [id for id in ids if id in found]
        if not wanted:
            return {}
        matrix = np.frombuffer(b"".join(map(found.__getitem__, wanted)), STORED).reshape(len(wanted), -1)
        return dict(zip(wanted, unit(matrix), strict=True))

    def _encode(self, views):
        """Vectors of views that the file has none of, encoded from what is kept, and written."""
        made, lost = {}, len(self._lost)
        for start in range(0, len(views), BATCH):
            shown = {view.id: region for view in views[start : start + BATCH] if (region := self.shown(view))}
            self._lost.update(view.id for view in views[start : start + BATCH] if view.id not in shown)
            if shown:
                rows = dict(zip(shown, unit(self.encoder.embed(list(shown.values())).astype(STORED)), strict=True))
                with tables.told(self.journal.name), tables.writing(self.journal.engine) as connection:
                    insert(connection, self.id, rows)
                made |= rows
        note(f"views encoded again, by {self.encoder.name}, from kept crops or pictures", n=len(made))
        note(
            f"views left out that can't be encoded by {self.encoder.name}: neither crop nor picture is left",
            n=len(self._lost) - lost,
        )
        return made


def encoder_id(journal: Journal, encoder) -> int:
    """The number of an encoder in the file."""
    find = sa.select(tables.encoders.c.id).where(tables.encoders.c.key == encoder.key)
    with tables.told(journal.name):
        with journal.engine.connect() as connection:
            if (id := connection.scalar(find)) is not None:
                return id
        with tables.writing(journal.engine) as connection:
            if (id := connection.scalar(find)) is None:
                row = {"key": encoder.key, "name": encoder.name}
                id = connection.execute(sa.insert(tables.encoders).values(row)).inserted_primary_key[0]
            return id


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, d) of the file, float16, as float32 of unit length."""
    vectors = vectors.astype(np.float32)
    vectors /= np.maximum(np.sqrt(np.einsum("nd,nd->n", vectors, vectors)), 1e-12)[:, None]
    return vectors


def insert(
    connection: sa.Connection, encoder: int, vectors: dict[str, np.ndarray] | Iterable[tuple[str, Sequence]]
) -> None:
    """Writes vectors by view; what another program wrote first stays."""
    vectors, table = dict(vectors), tables.embeddings
    there = set(
        connection.scalars(sa.select(table.c.view).where(table.c.encoder == encoder, table.c.view.in_(list(vectors))))
    )
    rows = [
        {"encoder": encoder, "view": id, "vector": np.asarray(v).astype(STORED).tobytes()}
        for id, v in vectors.items()
        if id not in there
    ]
    if rows:
        connection.execute(sa.insert(table), rows)
