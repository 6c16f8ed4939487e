"""What was done, what things are and what was found, as a person would say it."""

from collections.abc import Sequence

from foir_lib.memory.names import said_of, sentence_of
from foir_lib.memory.recogniser import KNOWN
from foir_lib.memory.state import Event, Thing
from foir_lib.text import LABEL, one_line

OPENINGS = ("the ", "a ", "an ", "my ", "our ", "your ", "his ", "her ", "their ", "all ")


def n_of(n: int, word: str) -> str:
    """ "1 view", "2 views"."""
    return f"{n} {word}{'s' * (n != 1)}"


def listed(words: Sequence[str], joint: str = "and") -> str:
    """ "a, b and c"."""
    return f" {joint} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def begun(text: str) -> str:
    """A sentence with the capital that begins it, where it begins with an article and not with a name's own letters."""
    return text[:1].upper() + text[1:] if text.startswith(OPENINGS) else text


def thing_said(thing: Thing) -> str:
    """A thing among others: its name, what was said of it, and how many views there are."""
    said = [*(said_of(*one) for one in thing.properties.items()), n_of(len(thing.views), "view")]
    return f"{one_line(thing.name, LABEL)} ({one_line(', '.join(said))})"


def found(results: Sequence, most: int | None = None) -> str:
    """How many regions of an album, and of how many pictures; ``most``: no more of a thing are listed."""
    if not results:
        return "nothing found"
    sure = sum(getattr(getattr(one, "recognition", None), "verdict", KNOWN) == KNOWN for one in results)
    pictures = len({getattr(one, "image_id", i) for i, one in enumerate(results)})
    parts = [n_of(sure, "region")] if sure else []
    parts += [f"{'perhaps ' if sure else ''}{len(results) - sure} more" if sure else f"perhaps {n_of(len(results), 'region')}, none of them for sure"] if sure < len(results) else []
    capped = f"; I list no more than {most}" if most and len(results) >= most else ""
    return f"{listed(parts)}, on {n_of(pictures, 'picture')}{capped}"


def event_said(event: Event, state, of: dict[str, Event] | None = None) -> str:
    """What an event did, in a few words: "the view moved from the mug to the cup". ``of``: events by id, for those that were taken back."""
    changes = event.body.get("changes", [])
    first = next((c for c in changes if c[2] != "who"), changes[0] if changes else None)
    names = {id: now["name"] for kind, id, field, was, now in changes if kind == "thing" and field == "row" and now}

    def name(id):
        card = state.rows["thing"].get(id)
        return card.name if card else names.get(id) or _named(of, id) or "a thing that is gone"

    def owner(id):
        view = state.rows["view"].get(id)
        return name(view.thing) if view else "a thing that is gone"

    if event.kind in ("undo", "redo"):
        target = (of or {}).get(event.body.get("event"))
        return f"{'taken back' if event.kind == 'undo' else 'done again'}: {event_said(target, state, of) if target else 'an earlier step'}"
    if event.kind == "deny":
        return f"your note that a region isn't {name(event.body.get('thing'))}"
    if first is None:
        return {"purged": "something removed for good", "conflict": "something imported that contradicted"}.get(event.kind, event.kind)
    kind, id, field, was, now = first
    key = field.partition(":")[2]
    if event.kind == "add":
        row = next((c[4] for c in changes if c[0] == "view" and c[4]), {})
        return f"a new thing, {names[id]}" if id in names else f"a view of {name(row.get('thing'))}"
    if event.kind == "confirm":
        return f"a view of {owner(id)} that you confirmed"
    if event.kind == "rename":
        return f"{was} renamed to {now}"
    if event.kind == "alias":
        return f"that {name(id)} is {'also' if now else 'no longer'} called {key}"
    if event.kind == "describe":
        return f"that {sentence_of(name(id), key, now)}{f' (it was {was})' if was else ''}" if now else f"the {key} of {name(id)}, no longer {was}"
    if event.kind == "merge":
        return f"{name(id)} joined with {name(now)}"
    if event.kind == "unmerge":
        return f"{name(id)} parted from {name(was)}"
    if event.kind == "move":
        view = next(c for c in changes if c[0] == "view" and c[2] == "thing")
        return f"the view moved from {name(view[3])} to {name(view[4])}"
    if event.kind == "forget":
        return f"{name(id)} forgotten" if kind == "thing" else f"a view of {owner(id)} forgotten"
    return event.kind


def _named(of, id):
    """The name of a thing in the event that made it."""
    changes = (c for event in (of or {}).values() for c in event.body.get("changes", []))
    return next((c[4]["name"] for c in changes if c[0] == "thing" and c[1] == id and c[2] == "row" and c[4]), None)
