"""What a conversation answers to sentences that only ask."""

from foir_lib.memory import names
from foir_lib.memory.recogniser import KNOWN, NEW, Recognition
from foir_lib.memory.sentences.intents import About, Ask, Count, Help, History, Name, Show, What, Where, Why
from foir_lib.memory.sentences.near import EXAMPLES
from foir_lib.memory.state import Thing
from foir_lib.memory.talk.context import Context, Pending, Reply
from foir_lib.memory.talk.told import event_said, found, listed, n_of, thing_said
from foir_lib.text import percent, score

LISTED = 20  # things that one answer names at most
STEPS = 10  # events that are told


def what(c: Context, _: What) -> Reply:
    """Names the region, asks the one question that would settle it, or asks for a name."""
    seen = c.recognised()
    things = tuple(candidate.thing for candidate in seen.candidates)
    if seen.verdict == KNOWN:
        c.pending = Pending(yes=Name(seen.thing.id), about=things[:1])
        return Reply(f"That is {seen.name}, {_because(seen)}. Is that right?", "answer", things[:1], (seen,), "Is that right?")
    if seen.verdict == NEW or not things:
        c.pending = Pending(naming=True)
        return Reply("That is new to me. What is it called?", "question", things, (seen,), "What is it called?")
    return Reply(f"I'm not sure. {unsure(c, seen)}", "question", things[:2], (seen,), seen.question)


def unsure(c: Context, seen: Recognition) -> str:
    """The question about a region that isn't surely known, which is asked from now on."""
    things = tuple(candidate.thing for candidate in seen.candidates[:2])
    c.pending = Pending(Name(things[0].id) if len(things) == 1 else None, None, things, lambda thing: Name(thing.id), about=things)
    return seen.question


def ask(c: Context, said: Ask) -> Reply:
    """Whether the region shows that thing."""
    thing = c.thing(said.name)
    seen, denied = c.recognised(), thing.id in c.denied()
    rank = next((i for i, candidate in enumerate(seen.candidates) if candidate.thing.id == thing.id), None)
    if denied:
        text = f"You told me that this isn't {thing.name}. If it is, say yes."
    elif seen.verdict == KNOWN and rank == 0:
        text = f"Yes, that is {thing.name}, {_because(seen)}."
    elif seen.verdict == KNOWN:
        text = f"No, I'd say that is {seen.name}, {_because(seen)}. If it is {thing.name}, say “it's {thing.name}”."
    elif seen.verdict == NEW or rank is None:
        text = f"I don't think that it is {thing.name}. If it is, say yes."
    else:
        text = f"It may be {thing.name}, but I'm not sure. Is it?"
    c.mention(thing)
    other = seen.verdict == KNOWN and rank != 0 and not denied
    c.pending = None if other else Pending(yes=Name(thing.id), about=(thing,))
    asked = "Is it?" if text.endswith("?") else ""
    return Reply(text, "question" if asked else "answer", (thing,), (seen,), asked)


def _because(seen):
    return f"{percent(seen.confidence)} sure: like its view of {seen.candidates[0].view.at[:10]}, says {seen.by or seen.encoder}"


def where(c: Context, said: Where) -> Reply:
    """The regions of the album that show a thing; without an album, the pictures in which it was shown."""
    thing = c.thing(said.name)
    if c.find is None:
        paths = listed(list(dict.fromkeys(view.path for view in thing.views if view.path))[:5])
        shown = n_of(len({view.picture for view in thing.views}), "picture")
        return Reply(f"{thing.name} was shown to me in {shown}{f': {paths}' if paths else ''}. Open an album to search it.", things=(thing,), results=thing.views)
    results = tuple(c.find(thing))
    return Reply(f"{thing.name}: {found(results, c.most)}.", things=(thing,), results=results)


def count(c: Context, said: Count) -> Reply:
    """How many things are so called, and how many regions of the album show them."""
    things = tuple(c.memory.things() if said.name is None else c.named(said.name))
    if not things and said.name is not None:
        if (nobody := c.nobody(said.name)).things:
            raise nobody
        return Reply(f"None that I know: I was shown nothing called “{said.name}”.")
    c.mention(*things)
    results = tuple(result for thing in things for result in c.find(thing)) if c.find else tuple(thing.views[-1] for thing in things if thing.views)
    others = f" and {len(things) - LISTED} more" if len(things) > LISTED else ""
    text = f"I know {n_of(len(things), 'such thing' if said.name else 'thing')}{': ' if things else ''}{listed([t.name for t in things[:LISTED]])}{others}."
    return Reply(f"{text} In the album: {found(results, c.most)}." if c.find else text, things=things, results=results)


def show(c: Context, said: Show) -> Reply:
    """Things by owner, property or kind; all things."""
    things = tuple(c.memory.things() if said.of is None else c.named(said.of))
    if not things and said.of is not None:
        return Reply(f"I know nothing of “{said.of}”: no name, owner or property says so.")
    c.mention(*things)
    if not things:
        return Reply("I know nothing yet: mark something and say what it is.")
    others = f" and {len(things) - LISTED} more" if len(things) > LISTED else ""
    text = f"{n_of(len(things), 'thing')}: {listed([thing_said(thing) for thing in things[:LISTED]])}{others}."
    return Reply(text, things=things, results=tuple(thing.views[-1] for thing in things if thing.views))


def about(c: Context, said: About) -> Reply:
    """A thing's names, properties and views."""
    if said.name is None and c.picture is not None and not c.spoken:
        c.recognised()
    return card(c.thing(said.name))


def card(thing: Thing) -> Reply:
    """What is known of a thing."""
    parts = [f"also called {listed(thing.aliases)}"] if thing.aliases else []
    parts += [names.said_of(key, value) for key, value in thing.properties.items()]
    machine = sum(view.who != "human" for view in thing.views)
    parts.append(n_of(len(thing.views), "view") + (f", {machine} of them by myself" if machine else ""))
    return Reply(f"{thing.name}: {'; '.join(parts)}.", things=(thing,), results=thing.views)


def why(c: Context, _: Why) -> Reply:
    """The evidence of the last answer about a region."""
    seen = c.recognition
    if seen is None or not seen.candidates:
        return Reply("I have compared nothing yet: mark a region and ask what it is.")
    scores = listed([f"{score(one.score)} to {one.thing.name}" for one in seen.candidates])
    said = [(name, value, one.thing.name) for one in seen.candidates for name, value in one.evidence.items()]
    checks = "".join(f" The {name} check gives {score(value)} to {thing}." for name, value, thing in said)
    settled = f" The {seen.by} check settled it." if seen.by else ""
    text = f"I compared it by {seen.encoder} with the views that I was shown: its likeness is {scores}. I'm {percent(seen.confidence)} sure.{checks}{settled}"
    return Reply(text, things=tuple(one.thing for one in seen.candidates), results=(seen,))


def history(c: Context, _: History) -> Reply:
    """What was written last."""
    events = c.memory.history(STEPS)
    if not events:
        return Reply("Nothing was written yet.")
    said = dict(zip((event.id for event in events), steps_said(c, events), strict=True))
    lines, day = [], ""
    for event in events:
        at = event.at[11:16] if event.at[:10] == day else f"{event.at[:10]} {event.at[11:16]} UTC"
        day = event.at[:10]
        lines.append(f"{said[event.id]}{', taken back since' if event.undone else ''} ({at})")
    return Reply(f"The latest last: {'; '.join(lines)}.")


def steps_said(c: Context, events) -> list[str]:
    """Events as a person would say them."""
    before = {event.id: event for event in c.memory.history(1000)}
    return [event_said(event, c.memory.journal.current(), before) for event in events]


def help(c: Context, _: Help) -> Reply:
    """What can be said."""
    return Reply("You can say: " + "; ".join(f"“{one}”" for one in EXAMPLES) + ".")


READS = {
    What: what, Ask: ask, Where: where, Count: count, Show: show, About: about, Why: why, History: history, Help: help,
}  # fmt: skip
