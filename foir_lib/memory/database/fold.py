"""The state that follows from events: rows of things and views, changed field by field, forth and back."""

from collections import defaultdict
from dataclasses import asdict, dataclass, field, fields, replace
from typing import NamedTuple

from foir_lib.memory.names import plain
from foir_lib.memory.names import words as words_of
from foir_lib.memory.state import Thing, View


@dataclass(frozen=True)
class Card:
    """A thing's own row: ``into`` is the thing that it was merged into."""

    id: str
    name: str
    who: str
    at: str
    aliases: tuple[str, ...] = ()
    properties: dict = field(default_factory=dict, hash=False)
    into: str | None = None
    gone: bool = False


class Change(NamedTuple):
    """One field of one row: ``of`` "thing" or "view"; ``field``: a name, "alias:NAME", "property:KEY", or "row" for the row itself."""

    of: str
    id: str
    field: str
    was: object
    now: object


def as_row(record: View | Card) -> dict:
    """A record as JSON values, without its id."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(record).items() if name != "id"}


def as_record(of: str, id: str, row: dict) -> View | Card:
    """The record of :func:`as_row`."""
    kind = {"thing": Card, "view": View}[of]
    known = {f.name for f in fields(kind)}
    return kind(id=id, **{name: tuple(v) if isinstance(v, list) else v for name, v in row.items() if name in known})


class State:
    """Rows by id, and which views and names belong to which thing. Changed by :meth:`put` alone."""

    def __init__(self, cards=(), views=()):
        self.rows = {"thing": {}, "view": {}}
        self.version = 0
        self.steps = []  # what changed which views there are, in order: the id of a view that was added, else None
        # ids by thing: its views; by name: things; by thing: those merged into it; by content: views, from the first question on
        self._views, self._names, self._merged = (defaultdict(dict) for _ in range(3))
        self._contents, self._things, self._words = None, (-1, []), {}
        for card in cards:
            self._link("thing", card)
        for view in views:
            self.rows["view"][view.id] = view
            self._views[view.thing][view.id] = None

    def is_whole(self) -> bool:
        """Whether each thing that a row names is there."""
        things = self.rows["thing"]
        return things.keys() >= self._views.keys() and things.keys() >= self._merged.keys()

    # ---- changes

    def value(self, of: str, id: str, name: str) -> object:
        """The value of a row's field as JSON; None where there is none."""
        record = self.rows[of].get(id)
        if record is None:
            return None
        if name == "row":
            return as_row(record)
        kind, _, key = name.partition(":")
        if kind == "alias":
            return key in record.aliases
        return record.properties.get(key) if kind == "property" else getattr(record, name)

    def misfit(self, change: Change, back: bool = False) -> bool:
        """Whether the state isn't what ``change`` (or its way ``back``) starts from."""
        if change.field != "row" and change.id not in self.rows[change.of]:
            return True
        in_use = back and change.field == "row" and (self._views.get(change.id) or self._merged.get(change.id))
        return bool(in_use) or self.value(*change[:3]) != (change.now if back else change.was)

    def put(self, change: Change, back: bool = False) -> None:
        """Makes a change, or takes it back."""
        of, id, name, value = change.of, change.id, change.field, change.was if back else change.now
        self.version += 1
        record = self.rows[of].get(id)
        if of == "view" or name in ("row", "into", "gone"):
            self.steps.append(id if of == "view" and name == "row" and value and not value.get("gone") else None)
        if record is not None:
            self._unlink(of, record)
        kind, _, key = name.partition(":")
        if name == "row":
            record = None if value is None else as_record(of, id, value)
        elif kind == "alias":
            record = replace(record, aliases=tuple(sorted({*record.aliases, key} if value else {*record.aliases} - {key})))
        elif kind == "property":
            properties = {**record.properties, key: value}
            record = replace(record, properties={k: properties[k] for k in sorted(properties) if properties[k] is not None})
        else:
            record = replace(record, **{name: value})
        if record is not None:
            self._link(of, record)

    def _link(self, of, record):
        self.rows[of][record.id] = record
        for index, key in self._keys(of, record):
            index[key][record.id] = None

    def _unlink(self, of, record):
        del self.rows[of][record.id]
        for index, key in self._keys(of, record):
            index[key].pop(record.id, None)
            if not index[key]:
                del index[key]

    def _keys(self, of, record):
        if of == "view":
            return [(self._views, record.thing)] + ([] if self._contents is None else [(self._contents, record.content)])
        names = [(self._names, name) for name in {plain(record.name), *map(plain, record.aliases)}]
        return names + ([(self._merged, record.into)] if record.into else [])

    # ---- what there is

    def root(self, id: str) -> str:
        """The thing that a thing is part of after merges: itself, most often."""
        while into := self.rows["thing"][id].into:
            id = into
        return id

    def members(self, id: str) -> list[Card]:
        """A thing's card, then those of things merged into it."""
        return [self.rows["thing"][id], *(card for part in sorted(self._merged.get(id, ())) for card in self.members(part))]

    def has(self, id: str) -> bool:
        """Whether there is such a thing that is neither forgotten nor part of another."""
        card = self.rows["thing"].get(id)
        return card is not None and card.into is None and not card.gone

    def thing(self, id: str) -> Thing:
        """The thing with all that was merged into it: its own name and values first."""
        first, *others = cards = self.members(id)
        names = {name: None for card in cards for name in card.aliases} | {card.name: None for card in others if not card.gone}
        properties = {key: value for card in reversed(cards) for key, value in card.properties.items()}
        views = [replace(v, thing=id) if v.thing != id else v for card in cards if not card.gone for v in self.views_of(card.id)]
        aliases = tuple(sorted(name for name in names if name != first.name))
        return Thing(id, first.name, aliases, dict(sorted(properties.items())), tuple(sorted(views, key=_age)))

    def views_of(self, id: str) -> list[View]:
        """The remembered views of a thing's own."""
        return [view for view in map(self.rows["view"].__getitem__, self._views.get(id, ())) if not view.gone]

    def like(self, view: View) -> list[View]:
        """The remembered views of the same pixels."""
        if self._contents is None:
            self._contents = defaultdict(dict)
            for one in self.rows["view"].values():
                self._contents[one.content][one.id] = None
        same = map(self.rows["view"].__getitem__, self._contents.get(view.content, ()))
        return [v for v in same if not v.gone and self.has(self.root(v.thing)) and not self.rows["thing"][v.thing].gone]

    def things(self) -> list[Thing]:
        """All things, by age."""
        if self._things[0] != self.version:
            self._things = self.version, [self.thing(card.id) for card in self.cards()]
        return list(self._things[1])

    def cards(self) -> list[Card]:
        """The own rows of all things, by age."""
        return sorted((card for card in self.rows["thing"].values() if self.has(card.id)), key=_age)

    def view(self, id: str) -> View | None:
        """A remembered view with the thing that it is part of."""
        view = self.rows["view"].get(id)
        if view is None or view.gone or self.rows["thing"][view.thing].gone:
            return None
        root = self.root(view.thing)
        return None if self.rows["thing"][root].gone else replace(view, thing=root)

    def views(self) -> list[View]:
        """All remembered views, by age, each with the thing that it is part of."""
        thing_of = {}
        for id, card in self.rows["thing"].items():
            root = self.root(id)
            thing_of[id] = None if card.gone or self.rows["thing"][root].gone else root
        live = []
        for view in self.rows["view"].values():
            if not view.gone and (thing := thing_of[view.thing]):
                live.append(view if thing == view.thing else replace(view, thing=thing))
        return sorted(live, key=_age)

    def called(self, text: str, forgotten: bool = False) -> list[str]:
        """Ids of the things of exactly this name or alias, as :func:`plain` compares; with ``forgotten`` those too."""
        roots = {self.root(id): None for id in self._names.get(plain(text), ())}
        return sorted((id for id in roots if forgotten or self.has(id)), key=lambda id: _age(self.rows["thing"][id]))

    def worded(self, asked: set[str]) -> list[str]:
        """Ids of the things whose names and properties have all of these words, as :func:`names.words` splits them."""
        found = []
        for card in self.cards():
            words = set()
            for part in self.members(card.id):
                if self._words.get(part.id, (None,))[0] is not part:
                    self._words[part.id] = part, words_of(part)
                words |= self._words[part.id][1]
            if asked <= words:
                found.append(card.id)
        return found


def _age(record):
    return record.at, record.id
