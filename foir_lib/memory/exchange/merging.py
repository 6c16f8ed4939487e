"""Two memories made one: by the ids of events, then by names and by what views show; what contradicts is told and changes nothing."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from foir_lib.errors import InputError
from foir_lib.files import as_path
from foir_lib.memory.database import tables
from foir_lib.memory.database.events import STEPS, Draft, apply, changes_of
from foir_lib.memory.database.fold import Change, State
from foir_lib.memory.database.journal import Journal
from foir_lib.memory.exchange import jsonl

BATCH = 200  # events that are written at a time: others wait for less than a second


@dataclass(frozen=True)
class Imported:
    """What an import brought: numbers of new events, things and views, and a sentence for each conflict, of which ours stays."""

    events: int
    things: int
    views: int
    conflicts: tuple[str, ...] = ()


def merge(journal: Journal, source: str | os.PathLike) -> Imported:
    """Adds the events of ``source``, an exported folder or another memory's file or URL, that aren't here, then joins what is the same.

    A thing of a name that one of ours has is merged with it (:meth:`Memory.unmerge` parts them), a view of the same pixels is
    kept once. What was imported before, and what was purged here, is left out. Each change is an event and can be undone.
    """
    events, crop_of = _opened(source)
    with tables.told(journal.name), journal.engine.connect() as connection:
        there = set(connection.scalars(sa.select(tables.events.c.id)))
        purged = set(connection.scalars(sa.select(tables.purged.c.id)))
    new = [row for row in events if row["id"] not in there and row["kind"] != "purged" and not _touches(row, purged)]
    conflicts, skipped, arrived = [], set(), []
    for start in range(0, len(new), BATCH):
        batch = new[start : start + BATCH]

        def compose(state, batch=batch):
            for row in batch:
                yield _drafted(state, row, journal, skipped, conflicts)

        def beside(connection, rows):
            arrived.extend(change for row in rows if row["kind"] not in ("conflict", *STEPS) for change in changes_of(row["body"]) if change.field == "row")
            _keep_crops(connection, rows, crop_of)

        journal.write(compose, beside)
    journal.write(lambda state: _joined(state, arrived, conflicts))
    return Imported(len(new), *(sum(change.of == of for change in arrived) for of in ("thing", "view")), tuple(conflicts))


def _opened(source) -> tuple[list[dict], Callable[[str], bytes]]:
    """Events and crops of an export or of a memory."""
    if "://" not in os.fspath(source) and as_path(source).is_dir():
        return jsonl.events_of(source), lambda id: jsonl.crop_of(source, id)
    if "://" not in os.fspath(source) and not as_path(source).is_file():
        raise InputError(f"There is nothing to import at {source}: give an exported folder, or a memory's file.")
    other = Journal(source)
    with tables.told(other.name), other.engine.connect() as connection:
        rows = connection.execute(sa.select(tables.events).order_by(tables.events.c.seq)).mappings().all()
    events = [jsonl.event({key: row[key] for key in jsonl.EventRow.model_fields}, f"Event {row['id']} of {source}") for row in rows]

    def crop_of(id):
        with tables.told(other.name), other.engine.connect() as connection:
            return connection.scalar(sa.select(tables.crops.c.png).where(tables.crops.c.view == id)) or b""

    return events, crop_of


def _touches(row, ids):
    return any(change.id in ids for change in changes_of(row["body"]))


def _drafted(state: State, row, journal, skipped, conflicts) -> Draft:
    """An event of the other memory as one of ours or, where it doesn't fit what is here, as a conflict that changes nothing."""
    kind, body, steps = row["kind"], row["body"], row["kind"] in STEPS
    known = {"who": row["who"], "id": row["id"], "at": row["at"]}
    said = {key: value for key, value in body.items() if key != "changes"}
    if kind == "conflict":
        return Draft(kind, changes_of(body), said=said, **known)
    try:
        target = journal.body_of(row["target"]) if steps else body
        if target is None or row["target"] in skipped:
            raise InputError("what it is about isn't here.")
        apply(state, changes_of(target), kind == "undo", row["who"], lasting=False)
    except InputError as error:
        skipped.add(row["id"])
        conflicts.append(f"{kind} of {row['at'][:16]}: {error} Yours stays.")
        return Draft("conflict", changes_of(body), said=said | {"kind": kind, "why": str(error), "about": row["target"]}, **known)
    return Draft(kind, changes_of(body), target=row["target"], said=said, **known)


def _keep_crops(connection, rows, crop_of):
    ids = {c.id for row in rows if row["kind"] not in STEPS for c in changes_of(row["body"]) if c.of == "view" and c.field == "row" and c.now}
    new = ids - set(connection.scalars(sa.select(tables.crops.c.view).where(tables.crops.c.view.in_(sorted(ids)))))
    if new:
        connection.execute(sa.insert(tables.crops), [{"view": id, "png": crop_of(id)} for id in sorted(new)])


def _joined(state: State, arrived: list[Change], conflicts: list[str]) -> Iterator[Draft]:
    """Merges things of one name and forgets views that are there twice."""
    new = {of: [c.id for c in arrived if c.of == of and c.id in state.rows[of]] for of in ("thing", "view")}
    for id in new["thing"]:
        if state.has(id):
            name = state.rows["thing"][id].name
            others = [other for other in state.called(name) if other not in new["thing"]]
            if len(others) == 1:
                yield Draft("merge", [Change("thing", id, "into", None, others[0])], said={"into": others[0], "by": "import"})
            elif others:
                conflicts.append(f"{name!r} is the name of {len(others)} things here, the imported one is another: merge it with the right one.")
    for id in new["view"]:
        view = state.view(id)
        for same in state.like(view) if view else ():
            if same.id in new["view"]:
                continue
            if state.root(same.thing) != view.thing:
                a, b = (state.rows["thing"][thing].name for thing in (state.root(same.thing), view.thing))
                conflicts.append(f"The same region is {a!r} here and {b!r} in what was imported: move or forget one of the views {same.id}, {id}.")
            else:
                twice = same if (same.who, view.who) == ("machine", "human") else view
                yield Draft("forget", [Change("view", twice.id, "gone", False, True)], said={"by": "import"})
                break
