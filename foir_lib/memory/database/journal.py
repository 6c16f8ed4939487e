"""A memory's file: its events, each written in one transaction with what follows from it, and the state, kept up to date."""

import gc
import os
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from itertools import groupby
from threading import RLock

import sqlalchemy as sa

from foir_lib.errors import InputError
from foir_lib.memory.database import tables
from foir_lib.memory.database.events import PASSIVE, STEPS, Draft, apply, changes_of
from foir_lib.memory.database.fold import Card, State, as_row
from foir_lib.memory.database.tables import events, undone
from foir_lib.memory.state import Event, View

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
        if self._behind:
            self.refold()

    def current(self) -> State:
        """The state, with what other programs have written."""
        with self.lock, tables.told(self.name), self.engine.connect() as connection:
            self._sync(connection)
            return self.state

    def write(
        self, compose: Callable[[State], Iterable[Draft]], beside: Callable[[sa.Connection, list[dict]], None] | None = None,
        bodies: dict[str, dict] | None = None,
    ) -> list[Event]:  # fmt: skip
        """Writes the events that ``compose`` drafts of the state as it is now, in one transaction; the state follows each before the next.

        ``beside(connection, rows)`` writes what belongs to them there too; ``bodies``: of events that are undone or redone, where
        they are known. Raises InputError where a draft is refused; nothing is written then.
        """
        with self.lock, tables.told(self.name):
            start = None
            try:
                with tables.writing(self.engine) as connection:
                    self._sync(connection)
                    start = self.seq
                    self._pending = dict(bodies or {})
                    rows = [self._append(connection, draft, self._pending) for draft in compose(self.state)]
                    if beside:
                        beside(connection, rows)
                    self._save(connection, rows)
            except BaseException:
                if self.seq != start:  # the state is ahead of the file
                    with self.engine.connect() as connection:
                        self._load(connection)
                raise
            return [_event(row, False) for row in rows]

    def first(self, key: str, value: str) -> str:
        """The setting ``key`` of the file; it is ``value`` where there was none."""
        with tables.told(self.name), self.engine.connect() as connection:
            known = tables.setting(connection, key)
        if known is None:
            with tables.told(self.name), tables.writing(self.engine) as connection:
                if (known := tables.setting(connection, key)) is None:
                    tables.set_setting(connection, key, value)
        return known or value

    def steps(self, kind: str, n: int, who: str) -> list[Event]:
        """Undoes or redoes up to ``n`` events, the latest first: the events that it was about. InputError without any."""
        with self.lock, tables.told(self.name), self.engine.connect() as connection:
            self._sync(connection)
            targets = connection.execute(_undoable(n) if kind == "undo" else _redoable(n)).mappings().all()
        if not targets:
            raise InputError(f"There is nothing to {kind}.")
        self.write(lambda _: [Draft(kind, [], who, row["id"]) for row in targets], bodies={row["id"]: row["body"] for row in targets})
        return [_event(row, kind == "undo") for row in targets]

    def history(self, n: int | None = None) -> list[Event]:
        """The last ``n`` events (None: all), the latest last."""
        query = sa.select(events, undone.c.event).join(undone, undone.c.event == events.c.id, isouter=True)
        with tables.told(self.name), self.engine.connect() as connection:
            rows = connection.execute(query.order_by(events.c.seq.desc()).limit(n)).mappings().all()
        return [_event(row, row["event"] is not None) for row in reversed(rows)]

    def body_of(self, id: str) -> dict | None:
        """The body of an event, one that the transaction at hand writes too."""
        with self.engine.connect() as connection:
            return self._pending.get(id) or connection.scalar(sa.select(events.c.body).where(events.c.id == id))

    # ---- inside a transaction

    def _append(self, connection, draft, bodies):
        """Changes the state by an event, and returns its row."""
        row = draft.row() | {"seq": self.seq + 1}
        changes, back = self._effect(connection, row, bodies)
        apply(self.state, changes, back, draft.who)
        self.seq += 1
        self._touched.update((change.of, change.id) for change in changes)
        bodies[row["id"]] = row["body"]
        return row

    def _effect(self, connection, row, bodies):
        """What an event changes, and whether it takes that back."""
        if row["kind"] not in STEPS:
            return ([] if row["kind"] in PASSIVE else changes_of(row["body"])), False
        if row["target"] not in bodies:
            bodies[row["target"]] = connection.scalar(sa.select(events.c.body).where(events.c.id == row["target"]))
        return changes_of(bodies[row["target"]] or {}), row["kind"] == "undo"

    def _save(self, connection, rows=()):
        """Writes events, and the rows of the state that have changed: all, where its tables were behind."""
        if self._behind:
            for table in (tables.views, tables.things):
                connection.execute(sa.delete(table))
            self._touched.update((of, id) for of, rows in self.state.rows.items() for id in rows)
        if rows:
            connection.execute(sa.insert(events), rows)
        for kind, group in groupby((row for row in rows if row["kind"] in STEPS), key=lambda row: row["kind"]):
            steps = [{"event": row["target"], "by": row["seq"]} for row in group]
            if kind == "undo":
                connection.execute(sa.insert(undone), steps)
            else:
                connection.execute(sa.delete(undone).where(undone.c.event == sa.bindparam("event_")), [{"event_": s["event"]} for s in steps])
        for of in ("view", "thing"):  # views before the things that they name: the reference is checked at the end
            table, ids = ROWS[of], [id for kind, id in self._touched if kind == of]
            for start in range(0, len(ids), 500):
                connection.execute(sa.delete(table).where(table.c.id.in_(ids[start : start + 500])))
            rows = [_columns(self.state.rows[of][id]) for id in ids if id in self.state.rows[of]]
            if rows:
                connection.execute(sa.insert(table), rows)
        self._touched.clear()
        self._behind = False
        tables.set_setting(connection, "folded", self.seq)

    def _sync(self, connection):
        """Follows the events that other programs have written since."""
        last, epoch = _position(connection)
        if epoch != self.epoch or last < self.seq:  # a purge has rewritten events
            return self._load(connection)
        if last > self.seq:
            bodies = {}
            for row in connection.execute(sa.select(events).where(events.c.seq > self.seq).order_by(events.c.seq)).mappings().all():
                bodies[row["id"]] = row["body"]
                apply(self.state, *self._effect(connection, row, bodies))
                self.seq = row["seq"]

    def _load(self, connection):
        """The state from its own tables or, where they are behind, from all events."""
        self._touched = set()
        self.seq, self.epoch = _position(connection)
        self._behind = (tables.setting(connection, "folded") or "0") != str(self.seq)
        try:
            with many_rows():
                if not self._behind:
                    cards, views = (connection.execute(sa.select(table)).all() for table in (tables.things, tables.views))
                    self.state = State(map(_card, cards), map(_view, views))
                    self._behind = not self.state.is_whole()
                if self._behind:
                    self.state = folded(connection)
        except (LookupError, TypeError, AttributeError) as error:
            raise tables.damaged(self.name, f"{type(error).__name__} {error}") from error

    def refold(self) -> bool:
        """Makes the state's tables again from the events; whether they were as they should be."""
        with self.lock, tables.told(self.name), tables.writing(self.engine) as connection:
            self._load(connection)
            before, self.state = self.state.rows, folded(connection)
            self._behind = True
            self._save(connection)
            return before == self.state.rows


@contextmanager
def many_rows():
    """Without collecting garbage, which would look at each of many new rows again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


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
    last = sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0)).where(events.c.kind.not_in(PASSIVE)).scalar_subquery()
    query = sa.select(events).join(undone, undone.c.event == events.c.id).where(undone.c.by > last, events.c.kind.not_in(PASSIVE))
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
    id, thing, picture, path, width, height, x0, y0, x1, y1, mask, who, at, sure, gone = row
    return View(id, thing, picture, path, (width, height), None if x0 is None else (x0, y0, x1, y1), mask, who, at, sure, gone)


def _columns(record):
    """A record as a row of its table."""
    row = {"id": record.id, **as_row(record)}
    if isinstance(record, View):
        row |= dict(zip(("width", "height"), row.pop("size"))) | dict(zip(("x0", "y0", "x1", "y1"), row.pop("box") or [None] * 4))
    return row
