"""What a conversation answers to sentences that only ask."""

from foir_lib.memory import names
from foir_lib.memory.recogniser import KNOWN, NEW
from foir_lib.memory.sentences.intents import About, Ask, Count, Help, History, Name, Show, What, Where, Why
from foir_lib.memory.sentences.near import EXAMPLES
from foir_lib.memory.talk.context import Context, Pending, Reply, listed


def what(c: Context, _: What) -> Reply:
    """Names the region, asks the one question that would settle it, or asks for a name."""
    seen = c.recognised()
    things = tuple(candidate.thing for candidate in seen.candidates)
    if seen.verdict == KNOWN:
        c.pending = Pending(yes=Name(seen.thing.id))
        return Reply(
            f"That is {seen.name}: {_because(seen)}. Is that right?", "answer", things[:1], (seen,), "Is that right?"
        )
    if seen.verdict == NEW or not things:
        return Reply("That is new to me. What is it called?", "question", things, (seen,), "What is it called?")
    c.pending = Pending(
        Name(things[0].id) if len(things) == 1 else None, None, things[:2], lambda thing: Name(thing.id)
    )
    return Reply(f"I'm not sure. {seen.question}", "question", things[:2], (seen,), seen.question)


def ask(c: Context, said: Ask) -> Reply:
    """Whether the region shows that thing."""
    thing, seen = c.thing(said.name), c.recognised()
    rank = next((i for i, candidate in enumerate(seen.candidates) if candidate.thing.id == thing.id), None)
    if seen.verdict == KNOWN and rank == 0:
        text = f"Yes, that is {thing.name}: {_because(seen)}."
    elif seen.verdict == KNOWN:
        text = f"No, I'd say that is {seen.name}: {_because(seen)}."
    elif seen.verdict == NEW or rank is None:
        text = f"I don't think that it is {thing.name}. If it is, say so."
    else:
        text = f"It may be {thing.name}, but I'm not sure. Is it?"
    c.mention(thing)
    c.pending = Pending(yes=Name(thing.id))
    return Reply(
        text, "question" if text.endswith("?") else "answer", (thing,), (seen,), "Is it?" if text.endswith("?") else ""
    )


def _because(seen):
    return (
        f"{seen.confidence:.0%} sure, by {seen.by or seen.encoder}, as in the view of {seen.candidates[0].view.at[:10]}"
    )


def where(c: Context, said: Where) -> Reply:
    """The regions of the album that show a thing; without an album, the pictures in which it was shown."""
    thing = c.thing(said.name)
    if c.find is None:
        paths = listed(list(dict.fromkeys(view.path for view in thing.views if view.path))[:5])
        text = f"{thing.name} was shown to me in {_n(len({v.picture for v in thing.views}), 'picture')}{f': {paths}' if paths else ''}. Open an album to search it."
        return Reply(text, things=(thing,), results=thing.views)
    results = tuple(c.find(thing))
    return Reply(f"{thing.name}: {_found(results)}.", things=(thing,), results=results)


def count(c: Context, said: Count) -> Reply:
    """How many things are so called, and how many regions of the album show them."""
    things = tuple(c.memory.things() if said.name is None else c.named(said.name))
    if not things and said.name is not None:
        raise names.nothing(said.name, c.memory.things())
    c.mention(*things)
    results = tuple(result for thing in things for result in c.find(thing)) if c.find else ()
    text = f"I know {_n(len(things), 'such thing' if said.name else 'thing')}{': ' if things else ''}{listed([t.name for t in things[:20]])}."
    return Reply(f"{text} In the album: {_found(results)}." if c.find else text, things=things, results=results)


def _found(results):
    sure = [r for r in results if getattr(getattr(r, "recognition", None), "verdict", KNOWN) == KNOWN]
    pictures = len({getattr(r, "image_id", i) for i, r in enumerate(results)})
    text = (
        f"{_n(len(sure), 'region')}, {len(results) - len(sure)} more unsure"
        if len(sure) < len(results)
        else _n(len(sure), "region")
    )
    return f"{text}, on {_n(pictures, 'picture')}" if results else "nothing found"


def show(c: Context, said: Show) -> Reply:
    """Things by owner, property or kind; all things."""
    things = tuple(c.memory.things() if said.of is None else c.named(said.of))
    if not things and said.of is not None:
        raise names.nothing(said.of, c.memory.things())
    c.mention(*things)
    text = (
        f"{_n(len(things), 'thing')}: {listed([names.told(thing) for thing in things[:50]])}."
        if things
        else "I know nothing yet: mark something and say what it is."
    )
    return Reply(text, things=things, results=tuple(thing.views[-1] for thing in things if thing.views))


def about(c: Context, said: About) -> Reply:
    """A thing's names, properties and views."""
    if said.name is None and c.picture is not None and not c.spoken:
        c.recognised()
    thing = c.thing(said.name)
    parts = [f"also called {listed(thing.aliases)}"] if thing.aliases else []
    parts += [f"{key}: {value}" for key, value in thing.properties.items()]
    machine = sum(view.who != "human" for view in thing.views)
    parts.append(_n(len(thing.views), "view") + (f", {machine} of them by myself" if machine else ""))
    return Reply(f"{thing.name}; {'; '.join(parts)}.", things=(thing,), results=thing.views)


def why(c: Context, _: Why) -> Reply:
    """The evidence of the last answer about a region."""
    seen = c.recognition
    if seen is None or not seen.candidates:
        return Reply("I have compared nothing yet: mark a region and ask what it is.")
    scores = listed([f"{one.thing.name} at {one.score:.2f}" for one in seen.candidates])
    checks = "".join(
        f" {name} says {value:.2f} of {one.thing.name}."
        for one in seen.candidates
        for name, value in one.evidence.items()
    )
    settled = f" {seen.by} settled it." if seen.by else ""
    text = (
        f"{seen.encoder} compared it with the views: likeness to {scores}; {seen.confidence:.0%} sure.{checks}{settled}"
    )
    return Reply(text, things=tuple(one.thing for one in seen.candidates), results=(seen,))


def history(c: Context, _: History) -> Reply:
    """What was written last."""
    events = c.memory.history(10)
    return Reply("; ".join(map(event_said, events)) + "." if events else "Nothing was written yet.", events=())


def event_said(event) -> str:
    """An event in a few words."""
    name = (
        f" {event.body['said']['name']!r}"
        if isinstance(event.body.get("said"), dict) and "name" in event.body["said"]
        else ""
    )
    return f"{event.kind}{name} by {event.who}, {event.at[:16]}{' (undone)' if event.undone else ''}"


def help(c: Context, _: Help) -> Reply:
    """What can be said."""
    return Reply("You can say: " + "; ".join(EXAMPLES) + ".")


def _n(n, word):
    return f"{n} {word}{'s' * (n != 1)}"


READS = {
    What: what,
    Ask: ask,
    Where: where,
    Count: count,
    Show: show,
    About: about,
    Why: why,
    History: history,
    Help: help,
}
