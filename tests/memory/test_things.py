"""Things, their names and views: what is said, found, changed, taken back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_memory import Colours, picture

from foir_lib import Box, Mask, Memory
from foir_lib.errors import InputError
from foir_lib.memory.database.events import Draft
from foir_lib.memory.database.fold import Change
from foir_lib.memory.encoding import Encoder


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path / "things.db", Colours())


def names(memory):
    return [thing.name for thing in memory.things()]


def test_a_thing_is_remembered_with_its_views(memory, tmp_path):
    mug = memory.add("the lab's mug", picture(1), Box(10, 0, 99, 20), sure=0.5)
    assert (mug.name, mug.aliases, mug.properties, len(mug.views)) == ("the lab's mug", (), {}, 1)
    (view,) = mug.views
    assert (view.size, view.box, view.mask, view.who, view.sure, view.thing) == ((40, 30), (10, 0, 40, 20), None, "human", 0.5, mug.id)
    picture(2).save(tmp_path / "p.png")
    triangle = np.tri(30, 40, dtype=bool)
    again = memory.add("The  LAB’s mug", tmp_path / "p.png", Mask(triangle))
    assert again.id == mug.id and [v.path for v in again.views] == [None, str(tmp_path / "p.png")]
    assert (again.views[1].region.array == triangle).all() and again.views[1].box == (0, 0, 30, 30)
    assert memory.things() == Memory(tmp_path / "things.db", Colours()).things() == [again]


def test_names_resolve_by_name_alias_property_and_words(memory):
    for n, (name, colour) in enumerate([("the lab's mug", "blue"), ("Ann's mug", "red"), ("kettle", "blue")]):
        memory.describe(memory.add(name, picture(n)), "colour", colour)
    memory.alias("kettle", "tea machine")
    found = {
        "lab's mug": ["the lab's mug"], "THE TEA MACHINE": ["kettle"], "mug": ["the lab's mug", "Ann's mug"], "the red one": ["Ann's mug"],
        "blue mug": ["the lab's mug"], "colour: blue": ["the lab's mug", "kettle"], "a spoon": [], "the": [],
    }  # fmt: skip
    assert {text: [thing.name for thing in memory.named(text)] for text in found} == found
    with pytest.raises(InputError, match="'mug' is the name of 2 things: \"the lab's mug\" .colour: blue, 1 views, .*; \"Ann's mug\".*Say which"):
        memory.thing("mug")
    with pytest.raises(InputError, match="no thing 'ketle' in the memory: did you mean 'kettle'"):
        memory.thing("ketle")


def test_every_change_is_taken_back_and_made_again(memory):
    mug, pot = memory.add("mug", picture(1)), memory.add("pot", picture(2))
    memory.rename(mug, "cup")
    memory.alias("cup", "beaker")
    memory.describe("cup", "colour", "red")
    memory.describe("cup", "colour", "blue")
    memory.move(pot.views[0].id, "cup")
    memory.merge("cup", pot)
    memory.forget("cup")
    assert names(memory) == [] and len(memory.history()) == 9
    seen = []
    for _ in range(9):
        memory.undo()
        seen.append([(t.name, t.aliases, t.properties, len(t.views)) for t in memory.things()])
    assert seen == [
        [("cup", ("beaker", "pot"), {"colour": "blue"}, 2)],
        [("cup", ("beaker",), {"colour": "blue"}, 2), ("pot", (), {}, 0)],
        [("cup", ("beaker",), {"colour": "blue"}, 1), ("pot", (), {}, 1)],
        [("cup", ("beaker",), {"colour": "red"}, 1), ("pot", (), {}, 1)],
        [("cup", ("beaker",), {}, 1), ("pot", (), {}, 1)],
        [("cup", (), {}, 1), ("pot", (), {}, 1)],
        [("mug", (), {}, 1), ("pot", (), {}, 1)],
        [("mug", (), {}, 1)],
        [],
    ]
    with pytest.raises(InputError, match="nothing to undo"):
        memory.undo()
    assert [event.kind for event in memory.redo(9)] == ["add", "add", "rename", "alias", "describe", "describe", "move", "merge", "forget"]
    memory.undo(2)
    assert [event.kind for event in memory.redo()] == ["merge"]
    memory.undo()
    memory.describe("cup", "size", "big")
    with pytest.raises(InputError, match="nothing to redo"):
        memory.redo()
    assert [(e.kind, e.undone) for e in memory.history(3)] == [("redo", False), ("undo", False), ("describe", False)]
    assert [e.kind for e in memory.history(None) if e.undone] == ["merge", "forget"]


def test_a_merge_is_taken_back_after_other_things_were_said(memory):
    a, b = memory.add("mug", picture(1)), memory.add("cup", picture(2))
    joined = memory.merge(a, b)
    assert joined.id == a.id and [v.thing for v in joined.views] == [a.id] * 2 and memory.thing("cup").id == a.id
    memory.add("cup", picture(3))
    memory.rename("cup", "the mug")
    apart = memory.unmerge(memory.history()[2].id)
    assert (apart.name, len(apart.views)) == ("cup", 1) and len(memory.thing("the mug").views) == 2
    with pytest.raises(InputError, match="no merge, or is taken back already"):
        memory.unmerge(b.id)
    with pytest.raises(InputError, match="can't be merged with itself"):
        memory.merge(a, "mug")


def test_what_a_human_said_no_machine_changes(memory):
    mug = memory.add("mug", picture(1))
    before = memory.journal.current().rows
    before = {of: dict(rows) for of, rows in before.items()}
    guess = memory.add("mug", picture(2), who="machine", sure=0.6).views[1]
    own = memory.add("pot", picture(3), who="machine")
    for act in (
        lambda: memory.rename(mug, "x", who="machine"),
        lambda: memory.alias(mug, "x", who="machine"),
        lambda: memory.describe(mug, "colour", "red", who="machine"),
        lambda: memory.move(mug.views[0].id, "pot", who="machine"),
        lambda: memory.forget(mug.views[0].id, who="machine"),
        lambda: memory.forget(mug, who="machine"),
        lambda: memory.merge(own, mug, who="machine"),
    ):
        with pytest.raises(InputError, match="A machine can't change the (thing|view) 'mug': a human said so"):
            act()
    assert all(memory.journal.current().rows[of][id] == row for of, rows in before.items() for id, row in rows.items())
    memory.move(guess.id, "pot", who="machine")  # its own
    memory.rename("pot", "kettle", who="machine")
    memory.undo(2, who="machine")
    memory.redo(2, who="machine")
    memory.move(guess.id, "mug")  # a human's from now on
    with pytest.raises(InputError, match="a human said so"):
        memory.undo(who="machine")
    memory.undo()
    with pytest.raises(InputError, match="a human said so"):
        memory.redo(who="machine")
    memory.redo()
    with pytest.raises(InputError, match="A machine can't change the view 'mug'"):
        memory.move(guess.id, "kettle", who="machine")


def test_a_human_confirms_a_machines_view_by_saying_it_again(memory):
    memory.add("mug", picture(1), Box(0, 0, 10, 10), who="machine", sure=0.6)
    mug = memory.add("mug", picture(1), Box(0, 0, 10, 10))
    assert [(v.who, v.sure) for v in mug.views] == [("human", 0.6)]
    assert memory.add("mug", picture(1), Box(0, 0, 10, 10)) == mug and len(memory.history()) == 2
    with pytest.raises(InputError, match="This region is a view of 'mug' already: move that view"):
        memory.add("pot", picture(1), Box(0, 0, 10, 10))
    guess = memory.add("mug", picture(2), who="machine", sure=0.7).views[1]
    assert [(v.who, v.sure) for v in memory.confirm(guess.id).views] == [("human", 0.6), ("human", 1.0)]


def test_what_is_refused_leaves_no_trace(memory):
    """Of several events of one transaction too."""
    memory.add("mug", picture(1))
    before, history = memory.journal.current(), memory.history()
    rows = {of: dict(rows) for of, rows in before.rows.items()}
    id = memory.thing("mug").id
    good, bad = Change("thing", id, "name", "mug", "cup"), Change("thing", id, "name", "mug", "pot")
    for drafts in ([Draft("rename", [good, bad])], [Draft("rename", [good]), Draft("rename", [bad])], [Draft("rename", [good], "machine")]):
        with pytest.raises(InputError, match="has changed since|a human said so"):
            memory.journal.write(lambda _, drafts=drafts: drafts)
        assert memory.journal.current().rows == rows and memory.history() == history and memory.thing("mug").id == id
    memory.rename("mug", "cup")
    assert [e.kind for e in memory.history()] == ["add", "rename"] and memory.journal.refold()


def test_vectors_follow_what_is_said(memory, tmp_path):
    assert memory.vectors()[0].shape[0] == 0 and memory.search(np.ones((2, 27)), 3)[0].shape == (2, 0)
    for n in range(5):
        memory.add(f"thing {n}", picture(n), Box(0, 0, 20, 20))
    matrix, views = memory.vectors()
    expected = Colours().embed([(picture(n), Box(0, 0, 20, 20)) for n in range(5)])
    assert matrix.dtype == np.float32 and np.abs(matrix - expected).max() < 1e-3 and np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-6)
    scores, rows = memory.search(expected[[3, 1]], 2)
    assert rows[:, 0].tolist() == [3, 1] and np.allclose(scores, np.sort(expected[[3, 1]] @ expected.T)[:, :-3:-1], atol=1e-3)
    memory.forget("thing 1")
    assert memory.search(expected[[3]], 9)[1].shape == (1, 4) and [v.id for v in memory.vectors()[1]] == [v.id for v in views if v is not views[1]]
    assert np.array_equal(memory.vectors()[0], matrix[[0, 2, 3, 4]])
    memory.undo()
    memory.merge("thing 0", "thing 1")
    again, views = Memory(tmp_path / "things.db", Colours()).vectors()
    assert np.array_equal(memory.vectors()[0], matrix) and np.array_equal(again, matrix) and views[1].thing == views[0].thing
    assert memory.encoder.embedded == 5


def test_another_encoder_sees_what_was_kept(memory, tmp_path):
    picture(1, (90, 60)).save(tmp_path / "p.png")
    memory.add("file", tmp_path / "p.png", Box(10, 10, 70, 50))
    memory.add("gone", picture(2, (1000, 700)), Mask(np.tri(700, 1000, dtype=bool)))
    other = Colours("others", n=2)
    with pytest.warns(UserWarning, match="2 views encoded again, by others, from kept crops or pictures"):
        matrix, views = memory.vectors(other)
    assert matrix.shape == (2, 54) and [v.id for v in views] == [v.id for v in memory.vectors()[1]]
    assert np.abs(matrix[:, :27] * 2**0.5 - memory.vectors()[0]).max() < 0.01
    kept, mask = memory.shown(views[1])
    assert max(kept.size) == 512 and abs(mask.array.mean() - 0.5) < 0.01 and memory.picture_of(views[1]).size == kept.size
    whole, box = memory.shown(views[0])
    assert whole.size == (90, 60) and box == Box(10, 10, 70, 50)
    picture(7, (90, 60)).save(tmp_path / "p.png")  # another picture at the same place
    assert memory.shown(views[0])[0].size == (60, 40)
    assert np.array_equal(memory.vectors(other)[0], matrix) and other.embedded == 2


@pytest.mark.slow
def test_a_network_of_the_mini_world_is_the_first_and_says_what_it_knows(tmp_path):
    with pytest.warns(UserWarning, match="knows drawings of the mini world only"):
        memory = Memory(tmp_path / "m.db")
    a = memory.add("a", picture(1, (64, 64)), Box(0, 0, 30, 30))
    matrix, _ = memory.vectors()
    again = Memory(tmp_path / "m.db")
    assert again.encoder.model.name == "mini-vit" and np.array_equal(again.vectors()[0], matrix)
    assert np.abs(Encoder().embed([(picture(1, (64, 64)), a.views[0].region)]) - matrix).max() < 1e-3
    other = Memory(tmp_path / "n.db", Encoder("mini-vit", "CBIR"))
    other.add("a", picture(1, (64, 64)), Box(0, 0, 30, 30))
    again = Memory(tmp_path / "n.db")  # its retriever is the file's
    assert again.encoder.key == other.encoder.key and np.array_equal(again.vectors()[0], other.vectors()[0])


# ---- any history


NAMES = st.sampled_from(["mug", "the mug", "cup", "Élan", "'; drop table events; --", "<b>pot</b>", "🐭"])
STEPS = st.one_of(
    st.tuples(st.just("add"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("alias"), NAMES, NAMES),
    st.tuples(st.just("describe"), NAMES, st.sampled_from(["colour", "size"]), st.sampled_from(["red", "blue", None])),
    st.tuples(st.just("merge"), NAMES, NAMES),
    st.tuples(st.just("forget"), NAMES),
    st.tuples(st.just("undo"), st.integers(1, 3)),
    st.tuples(st.just("redo"), st.integers(1, 3)),
)


@settings(max_examples=25)
@given(steps=st.lists(st.tuples(STEPS, st.sampled_from(["human", "machine"])), max_size=14))
def test_any_history_folds_to_the_state_and_comes_back(steps, tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "m.db"
    memory, states = Memory(path, Colours()), [{"thing": {}, "view": {}}]
    for (act, *arguments), who in steps:
        if act == "add":
            arguments[1] = picture(arguments[1])
        human = {of: {id: r for id, r in rows.items() if r.who == "human"} for of, rows in memory.journal.current().rows.items()}
        try:
            getattr(memory, act)(*arguments, who=who)
        except InputError:
            pass
        rows = {of: dict(rows) for of, rows in memory.journal.current().rows.items()}
        if who == "machine":
            assert all(rows[of].get(id) == row for of, mine in human.items() for id, row in mine.items())
        states.append(rows)
    assert memory.journal.refold()
    fresh = Memory(path, Colours())
    assert fresh.journal.current().rows == states[-1] and fresh.things() == memory.things()
    ordinary = [e for e in memory.history(None) if e.kind not in ("undo", "redo")]
    if n := sum(not e.undone for e in ordinary):
        fresh.undo(n)
        assert memory.things() == [] and memory.journal.current().rows == states[0]
        fresh.redo(n)
        assert memory.journal.current().rows == states[-1] and memory.things() == fresh.things()
