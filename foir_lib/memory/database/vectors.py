"""Vectors of all views as one matrix in memory, by encoder; views without one are encoded again."""

from collections.abc import Callable

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
BLOCK = 2048  # rows of the matrix that are filled at a time
STORED = np.dtype("<f2")


class Vectors:
    """The vectors of one encoder (``key``, ``name``, ``embed``), in the order of the memory's views.

    ``shown(view)`` gives (picture, region) of a view, or None: what is encoded where the file has no vector of this encoder.
    """

    def __init__(self, journal: Journal, encoder, shown: Callable[[View], tuple[Image.Image, Prompt | None] | None]):
        self.journal, self.encoder, self.shown = journal, encoder, shown
        self.id = encoder_id(journal, encoder)
        self._room, self._views, self._state, self._step = np.zeros((0, 0), np.float32), [], None, 0
        self._lost = set()  # views that can't be encoded

    def current(self) -> tuple[np.ndarray, list[View]]:
        """(matrix (n, d) float32, views), of all views that can be encoded."""
        with self.journal.lock:
            state = self.journal.current()
            steps = state.steps[self._step :] if state is self._state else [None]
            if None in steps:
                self._follow(state.views())
            elif steps:
                self._follow([*self._views, *filter(None, map(state.view, steps))])
            self._state, self._step = state, len(state.steps)
            return self._room[: len(self._views)], self._views

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
        """Makes the matrix that of ``views``: rows that are there stay, new ones are read from the file, then encoded."""
        row_of = {view.id: row for row, view in enumerate(self._views)}
        new = [view for view in views if view.id not in row_of and view.id not in self._lost]
        blobs = self._read([view.id for view in new]) if new else {}
        blobs |= self._encode([view for view in new if view.id not in blobs])
        views = [view for view in views if view.id in row_of or view.id in blobs]
        old = np.array([row_of.get(view.id, -1) for view in views], dtype=np.int64)
        n = int((old >= 0).sum())
        d = len(next(iter(blobs.values()))) // STORED.itemsize if blobs else self._room.shape[1]
        if n != len(self._views) or (old[:n] != np.arange(n)).any() or len(views) > len(self._room):
            room = np.empty((len(views) + (len(views) // 2 if n else 0), d), np.float32)
            room[: len(views)][old >= 0] = self._room[old[old >= 0]] if n else 0
            self._room = room
        fresh = np.flatnonzero(old < 0)
        for start in range(0, len(fresh), BLOCK):
            rows = fresh[start : start + BLOCK]
            self._room[rows] = unit(b"".join(blobs[views[row].id] for row in rows), d)
        self._views = views

    def _read(self, ids):
        """Vectors in the file, as it keeps them, by view."""
        table = tables.embeddings
        query = sa.select(table.c.view, table.c.vector).where(table.c.encoder == self.id)
        with tables.told(self.journal.name), self.journal.engine.connect() as connection:
            if len(ids) <= 500:
                query = query.where(table.c.view.in_(ids))
            return dict(map(tuple, connection.execute(query).all()))

    def _encode(self, views):
        """Vectors of views that the file has none of, as it keeps them: encoded from what is kept, and written."""
        made, lost = {}, len(self._lost)
        for start in range(0, len(views), BATCH):
            shown = {view.id: region for view in views[start : start + BATCH] if (region := self.shown(view))}
            self._lost.update(view.id for view in views[start : start + BATCH] if view.id not in shown)
            if shown:
                rows = dict(zip(shown, map(stored, self.encoder.embed(list(shown.values()))), strict=True))
                with tables.told(self.journal.name), tables.writing(self.journal.engine) as connection:
                    insert(connection, self.id, rows)
                made |= rows
        note(f"views encoded again, by {self.encoder.name}, from kept crops or pictures", n=len(made))
        note(f"views left out that can't be encoded by {self.encoder.name}: neither crop nor picture is left", n=len(self._lost) - lost)
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


def stored(vector: np.ndarray) -> bytes:
    """A vector as the file keeps it."""
    return np.asarray(vector).astype(STORED).tobytes()


def unit(blobs: bytes, d: int) -> np.ndarray:
    """Vectors (n, d) of the file as float32 of unit length."""
    vectors = torch.frombuffer(bytearray(blobs), dtype=torch.float16).reshape(-1, d).float()
    return torch.nn.functional.normalize(vectors, dim=1).numpy()


def insert(connection: sa.Connection, encoder: int, vectors: dict[str, bytes]) -> None:
    """Writes vectors by view; what another program wrote first stays."""
    table, ids = tables.embeddings, list(vectors)
    there = set()
    for start in range(0, len(ids), 500):
        query = sa.select(table.c.view).where(table.c.encoder == encoder, table.c.view.in_(ids[start : start + 500]))
        there.update(connection.scalars(query))
    rows = [{"encoder": encoder, "view": id, "vector": vector} for id, vector in vectors.items() if id not in there]
    if rows:
        connection.execute(sa.insert(table), rows)
