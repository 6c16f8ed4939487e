"""What a conversation does for sentences that tell: each says what it did."""

from dataclasses import replace

from foir_lib.errors import InputError
from foir_lib.memory import names
from foir_lib.memory.recogniser import UNSURE
from foir_lib.memory.sentences.intents import (
    Alias,
    Correct,
    Different,
    Forget,
    Intent,
    Name,
    No,
    Property,
    Redo,
    Rename,
    Same,
    Undo,
    Yes,
)
from foir_lib.memory.state import Thing
from foir_lib.memory.talk.context import UNDO, Context, Pending, Reply, Several
from foir_lib.memory.talk.reads import steps_said, unsure
from foir_lib.memory.talk.told import listed, n_of


def done(text: str, *things: Thing) -> Reply:
    """A Reply to what was done."""
    return Reply(f"{text} {UNDO}", "done", things)


def name(c: Context, said: Name | Correct | Rename) -> Reply:
    """Stores the region as a view of the thing so called, or of a new one; a region that was another thing's moves."""
    if c.picture is None:
        raise InputError("There is no picture yet: open one, mark a region, then say what it is.")
    if not c.marked and c.recognition is None:
        c.marked, c.pending = True, Pending(yes=said)
        return Reply("Nothing is marked. Is it the whole picture?", "question", question="Is it the whole picture?")
    called = target(c, said)
    if isinstance(called, Reply):
        return called
    stored = c.view()
    if stored is not None and stored.thing != getattr(called, "id", None):
        was = c.thing(stored.thing)
        thing = c.memory.move(stored.id, called)
        c.mention(thing)
        return done(f"Put right: that is {thing.name}, not {was.name}.", thing)
    if stored is not None and stored.who == "human":
        return Reply(f"I know that already: this is {called.name}.", things=(called,))
    new = isinstance(called, str)
    thing = c.memory.add(called if new else called.name, c.picture, c.region)
    c.mention(thing)
    if new:
        return done(f"I'll know it as {thing.name}.", thing)
    return done(
        f"That is {thing.name}, then: I know {n_of(len(thing.views), 'view')} of it now.", thing
    )


def target(c: Context, said: Intent) -> Thing | str | Reply:
    """The thing that a name means, a new name, or a question where that isn't sure."""
    known = [thing for thing in c.memory.things() if thing.id == said.name] or c.exact(said.name)
    if len(known) > 1:
        raise Several(said.name, known)
    if known:
        return known[0]
    like = c.memory.named(said.name) or names.slips(said.name, c.memory.things())
    if names.plain(said.name).split()[-1:] == ["one"]:  # "the blue one" is one of those that are known
        if not like:
            raise c.nobody(said.name)
        if len(like) > 1:
            raise Several(said.name, like)
        return like[0]
    if like and said.name != c.insisted:
        c.pending = Pending(
            yes=replace(said, name=like[0].id),
            no=said,  # said once more, it is another thing
            choices=tuple(like),
            chosen=lambda thing: replace(said, name=thing.id),
        )
        c.insisted = said.name
        question = f"Is it {listed([thing.name for thing in like], 'or')}, which I know?"
        return Reply(f"{question} If it is another thing, say no.", "question", tuple(like), question=question)
    return said.name


def same(c: Context, said: Same | Different) -> Reply:
    """Merges two things."""
    a, b = two(c, said)
    if a.id == b.id:
        return Reply(f"{a.name} is one thing already.", things=(a,))
    thing = c.memory.merge(a, b)
    c.mention(thing)
    return done(f"{a.name} and {b.name} are one thing now, {thing.name}.", thing)


def two(c: Context, said: Same | Different) -> tuple[Thing, Thing]:
    """The two things meant: those named, or those last spoken of."""
    if said.a is not None or said.b is not None:
        return c.thing(said.a), c.thing(said.b)
    last = c.last(2)
    if len(last) < 2:
        raise InputError("I don't know which two: name both, as in “the mug and the cup are the same”.")
    return last[1], last[0]


def different(c: Context, said: Different) -> Reply:
    """Takes the last merge apart, of those two or at all."""
    things = {c.thing(one).id for one in (said.a, said.b) if one is not None}
    if len(things) == 2:
        return Reply("They are two things already.", things=tuple(c.last(2)))
    merges = [event for event in reversed(c.memory.history(None)) if event.kind == "merge" and not event.undone]
    state = c.memory.journal.current()
    for event in merges:
        part = event.body["changes"][0][1]
        if state.rows["thing"][part].into and (not things or state.root(part) in things):
            whole = state.thing(state.root(part))
            thing = c.memory.unmerge(event.id)
            c.mention(thing, whole)
            return done(f"{thing.name} is a thing of its own again.", thing)
    return Reply("No two things were joined.")


def forget(c: Context, said: Forget) -> Reply:
    """Forgets a thing; the stored view of this region where the thing has others."""
    stored = c.view() if said.name is None and c.marked else None
    thing = c.thing(stored.thing if stored else said.name)
    if stored and len(thing.views) > 1:
        c.memory.forget(stored.id)
        return done(f"This view of {thing.name} is forgotten, {len(thing.views) - 1} stay.", thing)
    c.memory.forget(thing)
    return done(f"{thing.name} is forgotten with its views.", thing)


def undo(c: Context, said: Undo | Redo) -> Reply:
    """Takes the last steps back, or makes them valid again."""
    back = isinstance(said, Undo)
    events = (c.memory.undo if back else c.memory.redo)(said.n)
    steps, c.fresh = steps_said(c, events), True
    more = f"; and {len(steps) - 5} more" if len(steps) > 5 else ""
    other = "Say “redo” to do it again." if back else UNDO
    return Reply(
        f"{'Taken back' if back else 'Done again'}: {'; '.join(steps[:5])}{more}. {other}", "done", events=tuple(events)
    )


def alias(c: Context, said: Alias) -> Reply:
    """Adds a name."""
    thing = c.memory.alias(c.thing(said.thing), said.name)
    return done(f"{thing.name} is also called {said.name}.", thing)


def rename(c: Context, said: Rename) -> Reply:
    """Renames a thing; names a region that is none yet."""
    if said.thing is None and c.marked and c.view() is None and (c.recognition is None or c.recognition.thing is None):
        return name(c, said)
    stored = c.view() if said.thing is None and c.marked else None
    old = c.thing(stored.thing if stored else said.thing)
    if taken := [thing for thing in c.exact(said.name) if thing.id != old.id]:
        raise InputError(
            f"{taken[0].name} is another thing's name already: say that the two are the same, or take another name."
        )
    thing = c.memory.rename(old, said.name)
    return done(f"{old.name} is called {thing.name} now.", thing)


def describe(c: Context, said: Property) -> Reply:
    """Stores a property."""
    thing = c.thing(said.thing)
    before = thing.properties.get(said.key)
    thing = c.memory.describe(thing, said.key, said.value)
    if before == said.value:
        return Reply(f"I know that already: {names.sentence_of(thing.name, said.key, said.value)}.", things=(thing,))
    instead = f", no longer {before}" if before else ""
    return done(f"Noted: {names.sentence_of(thing.name, said.key, said.value)}{instead}.", thing)


def yes(c: Context, _: Yes) -> Reply | Intent:
    """What a question asked for; without one, nothing."""
    waiting, c.pending = c.pending, None
    if waiting and waiting.choices and not waiting.yes:
        c.pending, question = waiting, f"Which one: {listed([thing.name for thing in waiting.choices], 'or')}?"
        return Reply(question, "question", waiting.choices, question=question)
    return (
        waiting.yes
        if waiting and waiting.yes
        else Reply("Yes to what? I have asked nothing that a yes answers.", "unknown")
    )


def no(c: Context, _: No) -> Reply | Intent:
    """The other answer to a question; what was denied of a region is noted, and the next candidate asked, or what it is."""
    waiting, c.pending = c.pending, None
    if waiting is None:
        return Reply("All right. If I have something wrong, say “undo”, or what it is: “no, it's …”.")
    if waiting.no:
        return waiting.no
    if not waiting.about:
        return Reply("All right, nothing was written.")
    c.deny(*waiting.about)
    denied = f"Not {listed([thing.name for thing in waiting.about], 'or')}, then: I won't ask that of this region again."
    seen = c.recognised()
    if seen.verdict == UNSURE:
        question = unsure(c, seen)
        return Reply(f"{denied} {question}", "question", tuple(one.thing for one in seen.candidates[:2]), (seen,), question)
    c.pending = Pending(naming=True)
    return Reply(f"{denied} What is it?", "question", question="What is it?")


def undecided(c: Context) -> Reply:
    """Neither yes nor no: the question is left."""
    c.pending = None
    return Reply("All right, I leave it; nothing was written.")


WRITES = {
    Name: name, Correct: name, Same: same, Different: different, Forget: forget, Undo: undo, Redo: undo, Alias: alias,
    Rename: rename, Property: describe, Yes: yes, No: no,
}  # fmt: skip
