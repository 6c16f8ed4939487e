"""A memory that grows over an album of drawn shelves by itself: what it adds, what stays, what goes, and how it is taken back."""

import numpy as np
import pytest

from foir_lib import Memory, load_set
from foir_lib.bench.memory.views import family
from foir_lib.errors import InputError
from foir_lib.memory import growing
from foir_lib.memory.album import Album
from foir_lib.memory.exchange.jsonl import state_lines
from foir_lib.memory.recogniser import Recogniser
from foir_lib.prompts import Box

pytestmark = pytest.mark.slow
N = 3  # views of a thing that somebody shows


@pytest.fixture(scope="module")
def shelves():
    return load_set("mini-needles", seed=5, n_things=48, n_queries=48, n_database=60)


def shown(shelves, path):
    """An album of annotated boxes, and a memory of N views of one thing of each family."""
    memory, objects = Memory(path, "mini-vit-needles"), shelves.objects[~shelves.objects["ignore"].astype(bool)]
    objects = objects[objects["image_id"].isin(shelves.database["image_id"])]
    first = objects.groupby(objects["label"].map(family))["label"].transform("first")
    for name, rows in objects[objects["label"] == first].groupby("label"):
        for row in rows.head(N).itertuples():
            memory.add(name, shelves.open(row.image_id), Box(row.x0, row.y0, row.x1, row.y1))
    return Album(shelves, memory, "boxes", Recogniser(memory, checks=()), cache=path.parent, progress=False)


def truth(shelves, hit):
    """The label of the annotated box that a hit is."""
    objects = shelves.objects[shelves.objects["image_id"] == hit.image_id]
    box = np.array([hit.box.x0, hit.box.y0, hit.box.x1, hit.box.y1])
    return objects["label"].iloc[int(np.abs(objects[["x0", "y0", "x1", "y1"]].to_numpy(float) - box).sum(1).argmin())]


def machine(memory):
    return {view.id: view for thing in memory.things() for view in thing.views if view.who == "machine"}


def test_what_is_known_for_sure_becomes_machine_views_within_a_limit_and_is_undone(shelves, tmp_path):
    album = shown(shelves, tmp_path / "things.db")
    memory = album.memory
    before = state_lines(memory.journal.current())
    human = {view for thing in memory.things() for view in thing.views}
    grown = growing.grow(album, limit=5, progress=False)
    added, things = machine(memory), memory.things()
    assert len(added) == len(grown.added) >= 8 and not grown.harmed and str(grown) == f"{len(added)} machine views more; undo takes them back."
    assert human == {view for thing in things for view in thing.views if view.who == "human"} and max(len(thing.views) for thing in things) <= 5
    assert all(0.5 < view.sure <= 1 and view.path and memory.picture_of(view) for view in added.values())
    assert np.mean([family(truth(shelves, hit)) == family(name) for hit, name in grown.added]) > 0.9, "look-alikes that nobody named pass for what they look like"
    again = growing.grow(album, limit=5, progress=False)
    assert not {hit.row for hit, _ in again.added} & {hit.row for hit, _ in grown.added}, "no region twice"
    assert len(machine(memory)) == len(added) + len(again.added) - again.dropped and max(len(thing.views) for thing in memory.things()) <= 5
    memory.undo(len(added) + len(again.added) + again.dropped)
    assert state_lines(memory.journal.current()) == before


def test_what_people_said_of_a_region_stays(shelves, tmp_path):
    album = shown(shelves, tmp_path / "things.db")
    first = growing.grow(album, limit=5, progress=False).added
    album.memory.undo(len(first))
    (denied, name), (named, _) = first[:2]
    album.deny(denied, album.memory.thing(name))
    album.confirm(named, "somebody's own")
    rows = {hit.row: found for hit, found in growing.grow(album, limit=5, progress=False).added}
    assert rows.get(denied.row) != name and named.row not in rows and len(rows) > 3


def test_harm_takes_all_machine_views_back(shelves, tmp_path, monkeypatch):
    album = shown(shelves, tmp_path / "things.db")
    before = state_lines(album.memory.journal.current())
    there = growing.grow(album, limit=5, progress=False)
    monkeypatch.setattr(growing.Gate, "harmed", lambda gate, grown: True)
    harmed = growing.grow(album, progress=False)
    assert harmed.harmed and not harmed.added and harmed.dropped == len(there.added) and not machine(album.memory) and "Taken back" in str(harmed)
    album.memory.undo(len(there.added) + harmed.dropped)
    assert state_lines(album.memory.journal.current()) == before


def test_nobody_has_shown_anything(shelves, tmp_path):
    album = Album(shelves, Memory(tmp_path / "things.db", "mini-vit-needles"), "boxes", cache=tmp_path, progress=False)
    with pytest.raises(InputError, match="before somebody has shown it a thing"):
        growing.grow(album)


def test_a_denial_holds_whatever_the_gate_says(shelves, tmp_path, monkeypatch):
    album = shown(shelves, tmp_path / "things.db")
    known = album.recogniser.known()
    hits = growing._open(album)
    album.deny(hits[0], known.things[-1])
    monkeypatch.setattr(growing.Gate, "lets_in", lambda gate, row, grown: len(known.things) - 1)
    monkeypatch.setattr(growing.Gate, "harmed", lambda gate, grown: False)
    added = growing.grow(album, limit=1000, progress=False).added
    assert {hit.row for hit, _ in added} == {hit.row for hit in hits[1:]} and {name for _, name in added} == {known.things[-1].name}
    with pytest.raises(InputError, match="limit"):
        growing.grow(album, limit=0)
