"""Vectors of all views as one matrix in memory, by encoder; views without one are encoded again."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import sqlalchemy as sa
import torch
from PIL import Image

from foir_lib.memory.database import tables
from foir_lib.memory.database.journal import Journal, many_rows
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
                with many_rows():
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
        views = [view for view in views if view.id not in self._lost]
        row_of = {view.id: row for row, view in enumerate(self._views)}
        old = np.array([row_of.get(view.id, -1) for view in views], dtype=np.int64)
        new = {views[row].id: row for row in np.flatnonzero(old < 0).tolist()}
        room = None
        for ids, blobs in chain(self._read(new), self._encode(new, views)):
            rows = unit(blobs, len(ids))
            room = self._space(old, rows.shape[1]) if room is None else room
            room[[new.pop(id) for id in ids]] = rows
        room = self._space(old, self._room.shape[1]) if room is None else room
        if new:
            self._lost.update(new)
            note(f"views left out that can't be encoded by {self.encoder.name}: neither crop nor picture is left", n=len(new))
            kept = [row for row, view in enumerate(views) if view.id not in new]
            room, views = room[kept], [views[row] for row in kept]
        self._room, self._views = room, views

    def _space(self, old, d):
        """A matrix for rows that were ``old`` ones (-1: new), those filled; the one there is where new rows only follow."""
        n, m = len(old), len(self._views)
        if m <= n <= len(self._room) and (old[:m] == np.arange(m)).all():
            return self._room
        room = np.empty((n + n // 2 if m else n, d), np.float32)
        if m:
            room[:n][old >= 0] = self._room[old[old >= 0]]
        return room

    def _read(self, new) -> Iterator[tuple[list[str], list[bytes]]]:
        """Views of ``new`` with their vectors in the file, as it keeps them, some at a time."""
        table = tables.embeddings
        query = sa.select(table.c.view, table.c.vector).where(table.c.encoder == self.id)
        if len(new) <= 500:
            query = query.where(table.c.view.in_(list(new)))
        with tables.told(self.journal.name), self.journal.engine.connect() as connection:
            for part in connection.execution_options(yield_per=BLOCK).execute(query).partitions():
                if wanted := [row for row in part if row[0] in new]:
                    yield tuple(zip(*wanted))

    def _encode(self, new, views) -> Iterator[tuple[list[str], list[bytes]]]:
        """Those of ``views`` still in ``new``, encoded from what is kept, and written."""
        left, n = [view for view in views if view.id in new], 0
        for start in range(0, len(left), BATCH):
            shown = {view.id: region for view in left[start : start + BATCH] if (region := self.shown(view))}
            if shown:
                rows = dict(zip(shown, map(stored, self.encoder.embed(list(shown.values()))), strict=True))
                with tables.told(self.journal.name), tables.writing(self.journal.engine) as connection:
                    insert(connection, self.id, rows)
                n += len(rows)
                yield list(rows), list(rows.values())
        note(f"views encoded again, by {self.encoder.name}, from kept crops or pictures", n=n)


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


def unit(blobs: Sequence[bytes], n: int) -> np.ndarray:
    """``n`` vectors of the file as float32 (n, d) of unit length."""
    vectors = torch.frombuffer(bytearray().join(blobs), dtype=torch.float16).reshape(n, -1).float()
    vectors /= vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return vectors.numpy()


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
