"""What may happen to a memory: drafts of events, which of them is refused, and how the state follows from them."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import NamedTuple

from foir_lib.errors import InputError
from foir_lib.memory.database.fold import Change, State

STEPS = ("undo", "redo")  # events about an event, their target
DENIED = "deny"  # an event that changes no row, and can be undone; its body says of what: picture, box, thing
PASSIVE = (*STEPS, "conflict", "purged")  # events that change nothing by themselves and can't be undone


class Draft(NamedTuple):
    """An event to be: ``said``: what else its body tells beside the changes."""

    kind: str
    changes: list[Change]
    who: str = "human"
    target: str | None = None
    said: dict = {}
    id: str | None = None  # of an event of another memory
    at: str | None = None

    def row(self) -> dict:
        """As a row of the table of events."""
        body = self.said | {"changes": [list(change) for change in self.changes]}
        return {"id": self.id or new_id(), "at": self.at or now(), "who": self.who, "kind": self.kind, "target": self.target, "body": body}


def new_id() -> str:
    """An id that nobody else has."""
    return uuid.uuid4().hex


def now() -> str:
    """The time, UTC, as text that sorts."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def changes_of(body: dict) -> list[Change]:
    """The changes in an event's body."""
    return [Change(*change) for change in body.get("changes", ())]


def apply(state: State, changes: Iterable[Change], back: bool = False, who: str | None = None, lasting: bool = True) -> None:
    """Makes changes in their order, or takes them back in the reverse order; all or, not ``lasting``, only to see whether they can be.

    With ``who`` it raises InputError where a change isn't possible, or not for a machine: what a human said stays as it is
    said. A machine may add rows of its own and change those; a row that a human changed is the human's from then on.
    """
    done, changes = [], list(changes)
    try:
        for change in reversed(changes) if back else changes:
            if who == "machine" and _is_human(state, change, back):
                raise InputError(f"A machine can't change the {change.of} {_called(state, change)}: a human said so. Let a human do it.")
            if who and state.misfit(change, back):
                raise InputError(f"The {change.of} {_called(state, change)} has changed since: undo or redo what came later first.")
            state.put(change, back)
            done.append(change)
    finally:
        for change in reversed(done) if not lasting or len(done) < len(changes) else ():
            state.put(change, not back)


def _is_human(state, change, back):
    """Whether the row is a human's, or becomes one."""
    record, value = state.rows[change.of].get(change.id), change.was if back else change.now
    becomes = value.get("who") if change.field == "row" and value else value if change.field == "who" else None
    return becomes == "human" or record is not None and record.who == "human"


def owned(state: State, of: str, id: str, who: str) -> list[Change]:
    """The change that makes a row a human's whom a human changes."""
    was = state.rows[of][id].who
    return [Change(of, id, "who", was, who)] if (was, who) == ("machine", "human") else []


def _called(state, change):
    view = state.rows["view"].get(change.id)
    card = state.rows["thing"].get(view.thing if view else change.id)
    return repr(card.name) if card else change.id
