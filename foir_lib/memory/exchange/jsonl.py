"""A memory as a folder: things.jsonl for people and programs, events.jsonl to go on with, crops, memory.json."""

import json
import os
import re
from collections.abc import Iterator
from typing import Annotated, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from foir_lib.data import masks
from foir_lib.errors import FoirError, InputError, IntegrityError, MissingError
from foir_lib.files import as_path, atomic_write, disk_errors
from foir_lib.memory import names
from foir_lib.memory.database import crops, tables
from foir_lib.memory.database.events import DENIED, PASSIVE, STEPS
from foir_lib.memory.database.fold import Change, State, as_row
from foir_lib.memory.database.journal import Journal
from foir_lib.prompts import Box

VERSION = 1
FILES = ("things.jsonl", "events.jsonl", "memory.json")
KINDS = ("add", "confirm", "rename", "alias", "describe", "merge", "unmerge", "move", "forget", DENIED, *PASSIVE)
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
When = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")]
Who = Literal["human", "machine"]


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CardRow(Row):
    name: str
    who: Who
    at: When
    aliases: list[str]
    properties: dict[str, str]
    into: Id | None
    gone: bool


class ViewRow(Row):
    thing: Id
    picture: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    path: str | None
    size: Annotated[list[Annotated[int, Field(ge=1, le=100_000)]], Field(min_length=2, max_length=2)]
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None
    mask: dict | None
    who: Who
    at: When
    sure: Annotated[float, Field(ge=0, le=1)]
    gone: bool


class EventRow(Row):
    id: Id
    at: When
    who: Who
    kind: Literal[KINDS]
    target: Id | None
    body: dict


FIELDS = {"thing": CardRow, "view": ViewRow}


def state_lines(state: State) -> bytes:
    """The state as JSON lines, a thing each, with its views: equal states give equal bytes."""
    lines = [
        {"id": t.id, "name": t.name, "aliases": t.aliases, "properties": t.properties, "views": [{"id": v.id, **as_row(v)} for v in t.views]}
        for t in state.things()
    ]
    return "".join(f"{tables.JSON(line)}\n" for line in lines).encode()


def export(journal: Journal, folder: str | os.PathLike) -> None:
    """Writes a memory into ``folder``, made if need be; its history is in it, with what was forgotten and not purged."""
    folder = as_path(folder)
    state = journal.current()
    with disk_errors(f"write {folder}", "choose another folder"):
        (folder / "crops").mkdir(parents=True, exist_ok=True)
    with tables.told(journal.name), journal.engine.connect() as connection:
        rows = connection.execute(sa.select(tables.events).order_by(tables.events.c.seq)).mappings().all()
        for id in connection.scalars(sa.select(tables.crops.c.view)).all():
            png = connection.scalar(sa.select(tables.crops.c.png).where(tables.crops.c.view == id))
            path = folder / "crops" / f"{id}.png"
            if png and not (path.is_file() and path.read_bytes() == png):
                atomic_write(path, png)
    atomic_write(folder / "things.jsonl", state_lines(state))
    atomic_write(folder / "events.jsonl", "".join(f"{tables.JSON({k: row[k] for k in EventRow.model_fields})}\n" for row in rows).encode())
    atomic_write(folder / "memory.json", json.dumps({"format": "foir-memory", "version": VERSION, "events": len(rows)}))


def events_of(folder: str | os.PathLike) -> list[dict]:
    """The events of an exported memory, each checked. Raises MissingError, InputError and IntegrityError."""
    folder = as_path(folder)
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise MissingError(f"{folder} holds no exported memory: {', '.join(missing)} isn't there.")
    about = _parsed((folder / "memory.json").read_bytes(), folder / "memory.json")
    if not isinstance(about, dict) or about.get("format") != "foir-memory" or about.get("version") != VERSION:
        raise InputError(f"{folder} is no export that this version reads: export the memory again, or update foir_lib.")
    with open(folder / "events.jsonl", "rb") as file:
        events = [event(_parsed(line, f"Line {n} of {file.name}"), f"Line {n} of {file.name}") for n, line in enumerate(file, 1)]
    if len(events) != about.get("events"):
        raise IntegrityError(f"{folder / 'events.jsonl'} has {len(events)} events instead of {about.get('events')}: export the memory again.")
    return events


def event(row: object, what: str) -> dict:
    """An event as a row of the table, if it is whole and means something; else IntegrityError about ``what``."""
    try:
        checked = EventRow.model_validate(row).model_dump()
        if (checked["kind"] in STEPS) != (checked["target"] is not None):
            raise InputError("an event that undoes or redoes names another, the others none")
        checked["body"] = dict(checked["body"]) | {"changes": list(_changes(checked["body"].get("changes", [])))}
        return checked
    except (FoirError, ValidationError, ValueError, TypeError, KeyError) as error:
        says = error.errors()[0] if isinstance(error, ValidationError) else None
        says = f"{'.'.join(map(str, says['loc']))}: {says['msg']}" if says else str(error)
        raise IntegrityError(f"{what} is no event ({' '.join(says.split())[:200]}): export the memory again.") from error


def crop_of(folder: str | os.PathLike, id: str) -> bytes:
    """A kept crop of an export, as a memory keeps it; no bytes where there is none that can be read."""
    path = as_path(folder) / "crops" / f"{id}.png"
    try:
        return crops.cut(crops.opened(path.read_bytes()), None) if path.is_file() else b""
    except FoirError:
        return b""


def _changes(changes) -> Iterator[list]:
    for of, id, field, was, now in changes:
        if not isinstance(id, str) or not re.fullmatch("[0-9a-f]{32}", id):
            raise InputError(f"{id!r} is no id")
        yield list(Change(of, id, field, _value(of, field, was), _value(of, field, now)))


def _value(of, field, value):
    """A field's value, checked as what people say is."""
    kind, _, key = field.partition(":")
    if field == "row":
        return None if value is None else _row(of, FIELDS[of].model_validate(value).model_dump())
    if of == "thing" and kind in ("alias", "property"):
        names.text(key, kind)
        if kind == "alias" and not isinstance(value, bool):
            raise InputError(f"{value!r} doesn't say whether there is an alias")
        return value if kind == "alias" or value is None else names.text(value, "value")
    if field in ("aliases", "properties", "at", "size", "box", "mask", "picture"):
        raise InputError(f"{field} can't be changed")
    value = FIELDS[of].__pydantic_validator__.validate_assignment(FIELDS[of].model_construct(), field, value) and value
    return names.text(value, "name") if field == "name" else value


def _row(of, row):
    if of == "thing":
        said = [row["name"], *row["aliases"], *row["properties"], *row["properties"].values()]
        if any(names.text(one, "name") != one for one in said):
            raise InputError("a name has spaces or letters that are kept otherwise")
        return row
    if row["box"] is not None:
        box = Box(*row["box"]).box(row["size"])
        row["box"] = [float(v) for v in (box.x0, box.y0, box.x1, box.y1)]
    if row["mask"] is not None:
        row["mask"] = masks.encode(row["mask"], tuple(row["size"]), "The view")
        if row["box"] is None:
            raise InputError("a mask has a box")
    if row["path"] is not None and (not row["path"].isprintable() or len(row["path"]) > 4000):
        row["path"] = None
    return row


def _parsed(text, what):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is no JSON ({error}): export the memory again.") from error
