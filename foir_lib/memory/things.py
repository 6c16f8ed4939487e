"""A memory of named things: what people said and showed, what follows from it, found again by vectors."""

import os
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from PIL import Image

from foir_lib.errors import InputError, count, number
from foir_lib.images import open_image, rgb
from foir_lib.memory import names
from foir_lib.memory.database import crops, purging, tables, vectors
from foir_lib.memory.database.events import Draft, new_id, now, owned
from foir_lib.memory.database.fold import Card, Change, as_row
from foir_lib.memory.database.journal import Journal
from foir_lib.memory.encoding import Encoder
from foir_lib.memory.exchange import jsonl, merging, xmp
from foir_lib.memory.state import Event, Thing, View
from foir_lib.prompts import Prompt


class Memory:
    """Things, their names and views, in a file (or on PostgreSQL, by URL), from which nothing is lost but by :meth:`purge`.

    ``model``: a name of `foir models`, a loaded model or an :class:`Encoder`; the file names its own, a new file takes
    mini-vit. Another one than the file's encodes its views again. Raises InputError for an address that can't be used, IntegrityError for a damaged file."""

    def __init__(self, path: str | os.PathLike, model=None):
        self.journal = Journal(path)
        self._encoder, self._vectors = None, {}
        named = model if isinstance(model, str) else getattr(model, "model", model or "mini-vit")
        known = self.journal.first("model", getattr(named, "name", named))
        self._model, self._retriever = model or known, self.journal.first("retriever", str(getattr(model, "retriever", "Crop")))
        if model is None and not self.journal.seq and known == "mini-vit":
            warnings.warn(f"The new memory {path} takes mini-vit, which knows drawings of the mini world only: give model= for photographs.", stacklevel=2)

    def __repr__(self) -> str:
        return f"Memory({self.journal.name!r}): {len(self.things())} things"

    @property
    def encoder(self) -> Encoder:
        """What turns regions into vectors, loaded when first needed."""
        if self._encoder is None:
            ready = hasattr(self._model, "embed") and not hasattr(self._model, "preprocess")  # an encoder, no network
            self._encoder = self._model if ready else Encoder(self._model, self._retriever)
        return self._encoder

    # ---- to say

    def add(self, name: str, picture, region: Prompt | None = None, *, who: str = "human", sure: float = 1.0, path=None) -> Thing:
        """Remembers that ``region`` (None: all) of ``picture`` (PIL, or a path) shows the thing called ``name``; a new thing if there is none.

        A machine's view that a human says again is the human's. Raises InputError for a name that several things have, and for
        a region that is a view of another thing.
        """
        name, _ = names.text(name, "name"), number(sure, "sure", 0, 1)
        if isinstance(picture, (str, os.PathLike)):
            picture, path = open_image(picture), path or picture
        path = os.path.abspath(path) if path else getattr(picture, "filename", "") or None
        picture, grid = rgb(picture), getattr(getattr(self.encoder, "model", None), "grid", None)
        box, mask = crops.placed(region, picture.size, grid)
        vector = self.encoder.embed([(picture, region)])[0]
        time = now()
        view = View(new_id(), "", crops.content(picture), path, picture.size, box and tuple(box), mask, who, time, float(sure))
        png, encoder = crops.cut(picture, region, grid), self._of(self.encoder)
        said = []

        def compose(state):
            ids = state.called(name)
            if len(ids) > 1:
                raise names.ambiguous(name, [state.thing(id) for id in ids])
            thing = ids[0] if ids else new_id()
            said.append(thing)
            for same in state.like(view):
                other = state.thing(state.root(same.thing))
                if other.id != thing:
                    raise InputError(f"This region is a view of {other.name!r} already: move that view ({same.id}), merge the two things, or forget it.")
                return [Draft("confirm", own, who, said={"view": same.id})] if (own := owned(state, "view", same.id, who)) else []
            changes = [] if ids else [Change("thing", thing, "row", None, as_row(Card(thing, name, who, time)))]
            row = as_row(view) | {"thing": thing}
            return [Draft("add", [*changes, Change("view", view.id, "row", None, row)], who, said={"name": name})]

        def beside(connection, rows):
            if rows and rows[0]["kind"] == "add":
                connection.execute(sa.insert(tables.crops).values(view=view.id, png=png))
                vectors.insert(connection, encoder.id, {view.id: vectors.stored(vector)})

        self.journal.write(compose, beside)
        return self._thing(said[0])

    def confirm(self, view_id: str) -> Thing:
        """Makes a machine's view a human's."""
        return self._set("confirm", "view", self._view(view_id).id, {"sure": 1.0})

    def rename(self, thing, name: str, *, who: str = "human") -> Thing:
        """Gives a thing (a Thing, an id, or a name) another name."""
        return self._set("rename", "thing", self.resolve(thing).id, {"name": names.text(name, "name")}, who)

    def alias(self, thing, name: str, *, forget: bool = False, who: str = "human") -> Thing:
        """Adds a further name, or with ``forget`` takes it away."""
        return self._set("alias", "thing", self.resolve(thing).id, {f"alias:{names.text(name, 'alias')}": not forget}, who)

    def describe(self, thing, key: str, value: str | None, *, who: str = "human") -> Thing:
        """Says a property, such as "colour" and "blue"; None takes it away."""
        value = None if value is None else names.text(value, "value")
        return self._set("describe", "thing", self.resolve(thing).id, {f"property:{names.text(key, 'property')}": value}, who)

    def merge(self, a, b, *, who: str = "human") -> Thing:
        """Says that two things are one: ``b`` is part of ``a`` from now on, its names are aliases, until :meth:`unmerge`."""
        a, b = self.resolve(a), self.resolve(b)
        if a.id == b.id:
            raise InputError(f"{a.name!r} can't be merged with itself: name two things.")
        return self._set("merge", "thing", b.id, {"into": a.id}, who, said={"into": a.id})

    def unmerge(self, id: str, *, who: str = "human") -> Thing:
        """Takes a merge back: ``id`` of the merge's event, or of the thing that was merged into another."""
        said = self.journal.body_of(id) or {}
        id = said["changes"][-1][1] if "into" in said else id
        card = self.journal.current().rows["thing"].get(id)
        if card is None or card.into is None:
            raise InputError(f"{id!r} is no merge, or is taken back already: give the id of a merge from history(), or of the thing.")
        return self._set("unmerge", "thing", id, {"into": None}, who)

    def move(self, view_id: str, thing, *, who: str = "human") -> Thing:
        """Says that a view shows another thing: one there is, or else a new one of that name."""
        view, state = self._view(view_id), self.journal.current()
        if isinstance(thing, str) and thing not in state.rows["thing"] and not self.named(thing):
            card = Card(new_id(), names.text(thing, "name"), who, now())
            return self._set("move", "view", view.id, {"thing": card.id}, who, [Change("thing", card.id, "row", None, as_row(card))])
        return self._set("move", "view", view.id, {"thing": self.resolve(thing).id}, who)

    def forget(self, id, *, who: str = "human") -> None:
        """Forgets a view or a thing with its views (an id, a Thing or View, a name); :meth:`undo` brings it back, :meth:`purge` doesn't."""
        id = getattr(id, "id", id)
        of, id = ("view", id) if id in self.journal.current().rows["view"] else ("thing", self.resolve(id).id)
        self._set("forget", of, id, {"gone": True}, who)

    def undo(self, n: int = 1, *, who: str = "human") -> list[Event]:
        """Takes the last ``n`` events back, in one step; returns them. Undoing is an event too. InputError when there are none."""
        return self.journal.steps("undo", count(n, "n"), who)

    def redo(self, n: int = 1, *, who: str = "human") -> list[Event]:
        """Makes the last ``n`` undone events valid again, as long as nothing else was said since."""
        return self.journal.steps("redo", count(n, "n"), who)

    def purge(self, what=None) -> tuple[int, int]:
        """Removes a thing or view (itself, its id or name) for good, from the history too; None: all that is forgotten or undone.

        Returns how many (things, views). It can't be undone, no import brings them back; exports are files of their own."""
        return purging.purge(self.journal, None if what is None else {purging.target(self.journal.current(), what) or self.thing(what).id})

    # ---- to ask

    def history(self, n: int | None = 50) -> list[Event]:
        """The last ``n`` events (None: all), the latest last."""
        return self.journal.history(n)

    def things(self) -> list[Thing]:
        """All things, the oldest first."""
        return self.journal.current().things()

    def named(self, text: str) -> list[Thing]:
        """The things so called, by name or alias, else those whose names and properties have all of its words; several: ambiguous."""
        state = self.journal.current()
        words = names.asked(text)
        return [state.thing(id) for id in state.called(text) or (state.worded(words) if words else [])]

    def thing(self, text: str) -> Thing:
        """The one thing so called. Raises InputError for none (with similar names), and for several (with all of them)."""
        found = self.named(text)
        if len(found) == 1:
            return found[0]
        raise names.ambiguous(text, found) if found else names.nothing(text, self.things())

    def resolve(self, thing) -> Thing:
        """A Thing as it is now, by itself, its id or its name."""
        id, state = getattr(thing, "id", thing), self.journal.current()
        return state.thing(state.root(id)) if id in state.rows["thing"] and state.has(state.root(id)) else self.thing(id)

    def vectors(self, encoder=None) -> tuple[np.ndarray, list[View]]:
        """(matrix (n, d) float32, their views), by this memory's encoder or another; views that it hasn't met are encoded."""
        return self._of(encoder or self.encoder).current()

    def search(self, vectors: np.ndarray, k: int, encoder=None) -> tuple[np.ndarray, np.ndarray]:
        """(scores, rows of :meth:`vectors`), each (q, k), of the views nearest to vectors (q, d), exactly."""
        return self._of(encoder or self.encoder).search(vectors, count(k, "k"))

    def picture_of(self, view: View) -> Image.Image | None:
        """What a view shows: the kept crop of its region, else cut from its picture; None where neither is left."""
        return crops.kept(self.journal, view)

    def shown(self, view: View) -> tuple[Image.Image, Prompt | None] | None:
        """A view as (picture, region): its whole picture where that still lies unchanged at its path, else the kept crop."""
        return crops.shown(self.journal, view)

    # ---- to give and take

    def export(self, folder) -> None:
        """Writes the memory into a folder: JSON lines with crops; see :mod:`foir_lib.memory.exchange.jsonl`."""
        jsonl.export(self.journal, folder)

    def import_(self, source) -> merging.Imported:
        """Takes over what an exported folder, or another memory's file, has and this one hasn't; conflicts are told, ours stays."""
        return merging.merge(self.journal, source)

    def sidecars(self, folder) -> list[Path]:
        """Writes an XMP sidecar with names and regions for each picture with a path."""
        return xmp.sidecars(self.things(), folder)

    # ---- to ask of pictures and in words

    def recognise(self, picture, region: Prompt | None = None, **options):
        """Which thing a region shows; see :mod:`foir_lib.memory.recogniser`."""
        return import_module("foir_lib.memory.recogniser").recognise(self, picture, region, **options)

    def tell(self, sentence: str, picture=None, region: Prompt | None = None, **options):
        """Understands a sentence; see :mod:`foir_lib.memory.conversation`."""
        return import_module("foir_lib.memory.conversation").tell(self, sentence, picture, region, **options)

    # ---- inside

    def _of(self, encoder):
        if encoder.key not in self._vectors:
            self._vectors[encoder.key] = vectors.Vectors(self.journal, encoder, self.shown)
        return self._vectors[encoder.key]

    def _thing(self, id):
        state = self.journal.current()
        return state.thing(state.root(id))

    def _view(self, id):
        view = self.journal.current().rows["view"].get(getattr(id, "id", id))
        if view is None or view.gone:
            raise InputError(f"There is no view {getattr(id, 'id', id)!r}: take the id of one of a thing's views.")
        return view

    def _set(self, kind, of, id, values, who="human", first=(), said=None):
        """Writes an event that sets fields of one row, if any differs; returns the thing."""

        def compose(state):
            changes = [Change(of, id, name, state.value(of, id, name), value) for name, value in values.items()]
            changes = owned(state, of, id, who) + [change for change in changes if change.was != change.now]
            return [Draft(kind, [*first, *changes], who, said=said or {})] if changes else []

        self.journal.write(compose)
        return self._thing(id if of == "thing" else self.journal.current().rows["view"][id].thing)
