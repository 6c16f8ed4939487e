"""A memory's file: its events, each written in one transaction with what follows from it, and the state, kept up to date."""

import os
from collections.abc import Callable, Iterable
from threading import RLock

import sqlalchemy as sa

from foir_lib.errors import InputError
from foir_lib.memory.database import tables
from foir_lib.memory.database.events import PASSIVE, STEPS, Draft, apply, changes_of
from foir_lib.memory.database.tables import events, undone
from foir_lib.memory.state import Card, Event, State, View, as_row

ROWS = {"thing": tables.things, "view": tables.views}


class Journal:
    """Events of the memory at ``address`` (a file, or a URL), and the :class:`State` that follows from them.

    The state's own tables are written with each event, so that opening reads no history; where they don't fit the events,
    they are made again. Raises InputError and IntegrityError as :func:`tables.engine`.
    """

    def __init__(self, address: str | os.PathLike):
        self.engine, self.name, self.lock = tables.engine(address), str(address), RLock()
        with tables.told(self.name), self.engine.connect() as connection:
            self._load(connection)

    def current(self) -> State:
        """The state, with what other programs have written."""
        with self.lock, tables.told(self.name), self.engine.connect() as connection:
            self._sync(connection)
            return self.state

    def write(
        self,
        compose: Callable[[State], Iterable[Draft]],
        beside: Callable[[sa.Connection, list[dict]], None] | None = None,
    ) -> list[Event]:
        """Writes the events that ``compose`` drafts of the state as it is now, in one transaction.

        ``beside(connection, rows)`` writes what belongs to them there too. Raises InputError where a draft is refused;
        nothing is written then.
        """
        with self.lock, tables.told(self.name):
            try:
                with tables.writing(self.engine) as connection:
                    self._sync(connection)
                    rows = []
                    for draft in compose(self.state):
                        rows.append(self._append(connection, draft))
                    if beside:
                        beside(connection, rows)
                    self._save(connection)
            except BaseException:
                with self.engine.connect() as connection:
                    self._load(connection)
                raise
            return [_event(row, False) for row in rows]

    def steps(self, kind: str, n: int, who: str) -> list[Event]:
        """Undoes or redoes up to ``n`` events, the latest first: the events that it was about. InputError without any."""
        with self.lock, tables.told(self.name), self.engine.connect() as connection:
            self._sync(connection)
            targets = connection.execute(_undoable(n) if kind == "undo" else _redoable(n)).mappings().all()
        if not targets:
            raise InputError(f"There is nothing to {kind}.")
        self.write(lambda _: [Draft(kind, [], who, row["id"]) for row in targets])
        return [_event(row, kind == "undo") for row in targets]

    def history(self, n: int | None = None) -> list[Event]:
        """The last ``n`` events (None: all), the latest last."""
        query = sa.select(events, undone.c.event).join(undone, undone.c.event == events.c.id, isouter=True)
        with tables.told(self.name), self.engine.connect() as connection:
            rows = connection.execute(query.order_by(events.c.seq.desc()).limit(n)).mappings().all()
        return [_event(row, row["event"] is not None) for row in reversed(rows)]

    # ---- inside a transaction

    def _append(self, connection, draft):
        """Inserts an event, and changes state and ``undone`` by it."""
        row = draft.row()
        changes, back = self._effect(connection, row)
        apply(self.state, changes, back, draft.who)
        self.seq = connection.execute(sa.insert(events).values(row)).inserted_primary_key[0]
        if draft.kind == "undo":
            connection.execute(sa.insert(undone).values(event=draft.target, by=self.seq))
        elif draft.kind == "redo":
            connection.execute(sa.delete(undone).where(undone.c.event == draft.target))
        self._touched.update((change.of, change.id) for change in changes)
        return row

    def _effect(self, connection, row):
        """What an event changes, and whether it takes that back."""
        if row["kind"] in STEPS:
            body = connection.scalar(sa.select(events.c.body).where(events.c.id == row["target"]))
            return changes_of(body), row["kind"] == "undo"
        return ([] if row["kind"] in PASSIVE else changes_of(row["body"])), False

    def _save(self, connection):
        """Writes the rows of the state that have changed."""
        for of in ("view", "thing"):  # views before the things that they name: the reference is checked at the end
            table, ids = ROWS[of], [id for kind, id in self._touched if kind == of]
            for start in range(0, len(ids), 500):
                connection.execute(sa.delete(table).where(table.c.id.in_(ids[start : start + 500])))
            rows = [{"id": id, **as_row(self.state.rows[of][id])} for id in ids if id in self.state.rows[of]]
            if rows:
                connection.execute(sa.insert(table), rows)
        self._touched.clear()
        tables.set_setting(connection, "folded", self.seq)

    def _sync(self, connection):
        """Follows the events that other programs have written since."""
        last, epoch = _position(connection)
        if epoch != self.epoch or last < self.seq:  # a purge has rewritten events
            return self._load(connection)
        if last > self.seq:
            for row in (
                connection.execute(sa.select(events).where(events.c.seq > self.seq).order_by(events.c.seq))
                .mappings()
                .all()
            ):
                apply(self.state, *self._effect(connection, row))
                self.seq = row["seq"]

    def _load(self, connection):
        """The state from its own tables or, where they are behind, from all events."""
        self._touched = set()
        self.seq, self.epoch = _position(connection)
        if tables.setting(connection, "folded") == str(self.seq) or not self.seq:
            self.state = State(
                map(_card, connection.execute(sa.select(tables.things))),
                map(_view, connection.execute(sa.select(tables.views))),
            )
        else:
            self.state = folded(connection)

    def refold(self) -> bool:
        """Makes the state's tables again from the events; whether they were as they should be."""
        with self.lock, tables.told(self.name), tables.writing(self.engine) as connection:
            self._load(connection)
            before, self.state = self.state, folded(connection)
            for table in (tables.views, tables.things):
                connection.execute(sa.delete(table))
            self._touched = {(of, id) for of, rows in self.state.rows.items() for id in rows}
            self._save(connection)
            return before.rows == self.state.rows


def folded(connection: sa.Connection) -> State:
    """The state that follows from all events."""
    state = State()
    bodies = {}
    for row in connection.execute(sa.select(events).order_by(events.c.seq)).mappings():
        bodies[row["id"]] = row["body"]
        if row["kind"] in STEPS:
            apply(state, changes_of(bodies[row["target"]]), row["kind"] == "undo")
        elif row["kind"] not in PASSIVE:
            apply(state, changes_of(row["body"]))
    return state


def _undoable(n):
    query = sa.select(events).where(events.c.kind.not_in(PASSIVE), events.c.id.not_in(sa.select(undone.c.event)))
    return query.order_by(events.c.seq.desc()).limit(n)


def _redoable(n):
    last = (
        sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0)).where(events.c.kind.not_in(PASSIVE)).scalar_subquery()
    )
    query = sa.select(events).join(undone, undone.c.event == events.c.id).where(undone.c.by > last)
    return query.order_by(undone.c.by.desc()).limit(n)


def _position(connection):
    last = connection.scalar(sa.select(sa.func.max(events.c.seq)))
    return last or 0, tables.setting(connection, "epoch")


def _event(row, is_undone):
    body = row["body"] if row["kind"] not in STEPS else row["body"] | {"event": row["target"]}
    return Event(row["id"], row["at"], row["who"], row["kind"], body, is_undone)


def _card(row):
    id, name, who, at, aliases, properties, into, gone = row
    return Card(id, name, who, at, tuple(aliases), properties, into, gone)


def _view(row):
    id, thing, picture, path, size, box, mask, who, at, sure, gone = row
    return View(id, thing, picture, path, tuple(size), box and tuple(box), mask, who, at, sure, gone)
