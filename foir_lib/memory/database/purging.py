"""The one step that can't be undone: events are rewritten without a thing or view, and the file without its bytes."""

import sqlalchemy as sa

from foir_lib.errors import InputError
from foir_lib.memory.database import tables
from foir_lib.memory.database.events import DENIED, STEPS, changes_of, new_id, now
from foir_lib.memory.database.fold import Change, State
from foir_lib.memory.database.journal import Journal, folded
from foir_lib.memory.database.tables import events
from foir_lib.memory.names import ambiguous


def purge(journal: Journal, ids: set[str] | None) -> tuple[int, int]:
    """Removes things (with what is merged into them, and their views) and views from all events; None: all that is forgotten or undone.

    Returns how many (things, views) are gone. On a file it overwrites what it deletes, makes the file anew and empties its log.
    Raises InputError, after the events are rewritten, where another program still reads the log.
    """
    with journal.lock, tables.told(journal.name):
        with tables.writing(journal.engine) as connection:
            state = folded(connection)
            rows = connection.execute(sa.select(events).order_by(events.c.seq)).mappings().all()
            dropped = set() if ids is not None else set(connection.scalars(sa.select(tables.undone.c.event)))
            gone = _forgotten(state, rows) if ids is None else _with_parts(state, ids)
            _rewrite(connection, state, rows, gone, dropped)
            _delete(connection, gone["view"], gone["thing"])
            n = len(gone["thing"]), len(gone["view"])
            said = {"things": n[0], "views": n[1]}
            seq = rows[-1]["seq"] + 1 if rows else 1
            row = {"id": new_id(), "at": now(), "who": "human", "kind": "purged", "body": said, "seq": seq}
            connection.execute(sa.insert(events), [row])
            tables.set_setting(connection, "epoch", new_id())
            tables.set_setting(connection, "folded", seq)
            after = folded(connection).rows
            expected = {of: {id: row for id, row in kept.items() if id not in gone[of]} for of, kept in state.rows.items()}
            if after != expected:
                raise InputError("This can't be purged by itself, later events build on it: forget what was made of it, then purge() all.")
        _overwrite(journal)
    return n


def target(state: State, what) -> str | None:
    """The id of a Thing, a View, an id, or the name of a thing that may be forgotten; None for what is unknown. InputError for several."""
    id = getattr(what, "id", what)
    if any(id in rows for rows in state.rows.values()):
        return id
    if len(ids := state.called(id, forgotten=True)) > 1:
        raise ambiguous(id, [state.thing(one) for one in ids])
    return ids[0] if ids else None


def _with_parts(state, ids):
    """Rows to purge for things and views: by kind."""
    things = {card.id for id in ids & set(state.rows["thing"]) for card in state.members(id)}
    views = {id for id, view in state.rows["view"].items() if view.thing in things or id in ids}
    return {"thing": things, "view": views}


def _forgotten(state: State, rows):
    """Rows that are forgotten, and those that only undone events speak of: by kind."""
    gone = _with_parts(state, {id for kept in state.rows.values() for id, record in kept.items() if record.gone})
    for row in rows:
        for change in changes_of(row["body"]):
            if change.id not in state.rows[change.of]:
                gone[change.of].add(change.id)
    return gone


def _rewrite(connection, state, rows, gone, dropped):
    """Takes the rows that go out of all events; ``dropped`` events lose all."""
    update = sa.update(events).where(events.c.id == sa.bindparam("id_"))
    homeless = {change.id for row in rows for change in changes_of(row["body"]) if _names(change, gone["thing"])} - gone["view"]
    new = []
    for row in rows:
        changes = changes_of(row["body"])
        kept = [] if row["id"] in dropped else list(filter(None, (_without(state, change, gone, homeless) for change in changes)))
        about_gone = row["kind"] == DENIED and (row["id"] in dropped or row["body"].get("thing") in gone["thing"])
        if changes and kept != changes or about_gone:
            body = {"changes": [list(change) for change in kept]} if kept else {}
            new.append({"id_": row["id"], "kind": row["kind"] if kept else "purged", "body": body})
    if new:
        connection.execute(update.values(kind=sa.bindparam("kind"), body=sa.bindparam("body")), new)
    empty = dropped | {row["id_"] for row in new if row["kind"] == "purged"}
    ended = [row["id"] for row in rows if row["kind"] in STEPS and row["target"] in empty]
    for table, column, values in ((tables.undone, tables.undone.c.event, empty), (events, events.c.id, ended)):
        for id in values:
            query = sa.delete(table) if table is tables.undone else sa.update(table).values(kind="purged", target=None)
            connection.execute(query.where(column == id))


def _names(change: Change, things: set[str]) -> bool:
    """Whether a change of a view speaks of a thing that goes."""
    values = [value["thing"] for value in (change.was, change.now) if isinstance(value, dict) and "thing" in value]
    return change.of == "view" and not things.isdisjoint([change.was, change.now] if change.field == "thing" else values)


def _without(state, change, gone, homeless):
    """A change as it stays, or None; a view that was moved away from a thing that goes was always where it is."""
    if change.id in gone[change.of] or change.field == "into" and not gone["thing"].isdisjoint([change.was, change.now]):
        return None
    if change.of == "view" and change.id in homeless and change.id in state.rows["view"]:
        if change.field == "thing":
            return None
        if change.field == "row" and change.now:
            return change._replace(now=change.now | {"thing": state.rows["view"][change.id].thing})
    return change


def _delete(connection, views, things):
    for ids, columns in (
        (sorted(views), (tables.views.c.id, tables.embeddings.c.view, tables.crops.c.view)),
        (sorted(things), (tables.things.c.id,)),
    ):
        for start in range(0, len(ids), 500):
            for column in columns:
                connection.execute(sa.delete(column.table).where(column.in_(ids[start : start + 500])))
        there = set(connection.scalars(sa.select(tables.purged.c.id)))
        if new := [{"id": id} for id in ids if id not in there]:
            connection.execute(sa.insert(tables.purged), new)


def _overwrite(journal):
    """Makes the file anew, and empties its log."""
    journal.engine.dispose()
    with journal.engine.connect() as connection:
        raw = connection.connection.driver_connection
        if journal.engine.dialect.name == "postgresql":
            connection.rollback()
            raw.autocommit = True
            for table in tables.metadata.sorted_tables:
                raw.execute(f"VACUUM FULL {table.name}")
            raw.autocommit = False
            return
        raw.rollback()
        raw.execute("VACUUM")
        if raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise InputError(f"The log of {journal.name} is read by another program: close that and purge again, old bytes are in it until then.")
