"""A memory of 100,000 views: opening, searching, and taking the last 1,000 events back."""

import time

import numpy as np
import pytest
from small_memory import EACH, Colours, fill, picture

from foir_lib import Memory
from foir_lib.memory.exchange.jsonl import state_lines
from foir_lib.memory.recogniser import Recogniser

FAST = ("search", "search after a rename", "decide", "decide after a rename")


def seconds(act, times=1):
    """The shortest time that ``act`` takes, and what it returns."""
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        result = act()
        spent.append(time.perf_counter() - begin)
    return min(spent), result


def measured(path, n, d):
    """Figures of a memory of ``n`` views, and checks of what it finds."""
    made = fill(Memory(path, Colours()), n, d)
    opening, memory = seconds(lambda: Memory(path, Colours()), 3)
    reading, (matrix, views) = min((seconds(one.vectors) for one in (memory, Memory(path, Colours()), Memory(path, Colours()))), key=lambda r: r[0])
    memory.vectors()
    assert matrix.shape == (n, d) and len(views) == n and np.abs(matrix - made).max() < 1e-3
    queries = made[[0, n // 2, n - 1]]
    searching, (scores, rows) = seconds(lambda: memory.search(queries[1:2], 10), 5)
    assert rows[0, 0] == n // 2 and np.allclose(scores[0], np.sort(matrix @ queries[1])[: -11 : -1], atol=1e-5)
    naming, found = seconds(lambda: memory.named(f"thing {n // EACH // 2}"), 3)
    assert [thing.id for thing in found] == [views[n // 2].thing] and len(found[0].views) == EACH
    renaming, _ = seconds(lambda: memory.rename(found[0], "another"))
    again, _ = seconds(lambda: memory.search(queries, 10))
    recogniser = Recogniser(memory)
    learning, (one,) = seconds(lambda: decided(recogniser, queries[1:2]))
    deciding, _ = seconds(lambda: decided(recogniser, queries[1:2]), 5)
    assert one.candidates[0].thing.name == "another" and one.candidates[0].score == pytest.approx(1, abs=2e-3)
    memory.rename(found[0], "a third")
    told, (one,) = seconds(lambda: decided(recogniser, queries[1:2]))
    assert one.candidates[0].thing.name == "a third"
    return {"open": opening, "read vectors": reading, "search": searching, "name": naming, "rename": renaming, "search after a rename": again, "learn thresholds": learning, "decide": deciding, "decide after a rename": told}


def decided(recogniser, vectors):
    """First answers to ``vectors`` (m, d), and what follows from them; no check is asked."""
    return recogniser.answered([vectors], None, [None] * len(vectors), checked=False)


def test_what_a_small_twin_of_it_finds(tmp_path):
    assert all(spent >= 0 for spent in measured(tmp_path / "m.db", 3000, 32).values())


@pytest.mark.claims
def test_a_hundred_thousand_views(tmp_path, record_property):
    figures = measured(tmp_path / "m.db", 100_000, 768)
    for name, spent in figures.items():
        record_property(name, f"{spent * 1000:.0f} ms")
    assert figures["open"] + figures["read vectors"] < 2 and max(figures[name] for name in FAST) < 0.2


def undone(path, n):
    """``n`` events of all kinds and their undo: the state's export is the one of before, and after redo the one of then."""
    memory = Memory(path, Colours())
    fill(memory, 200, 8)
    before, rng = state_lines(memory.journal.current()), np.random.default_rng(1)
    while len(memory.history(None)) < 200 + n:
        things = memory.things()
        one, other = (things[k] for k in rng.choice(len(things), 2, replace=False))
        act = rng.integers(7)
        if act == 0:
            memory.add(one.name, picture(rng.integers(10**6)), who=str(rng.choice(["human", "machine"])))
        elif act == 1:
            memory.rename(one, f"name {rng.integers(10**6)}")
        elif act == 2:
            memory.alias(one, f"alias {rng.integers(10**6)}")
        elif act == 3:
            memory.describe(one, "colour", str(rng.choice(["red", "blue", "green"])))
        elif act == 4 and one.views:
            memory.move(one.views[-1].id, other)
        elif act == 5 and len(things) > 10:
            memory.merge(one, other)
        elif act == 6 and one.views:
            memory.forget(one.views[0].id)
    then = state_lines(memory.journal.current())
    spent, _ = seconds(lambda: memory.undo(n))
    assert state_lines(memory.journal.current()) == before == state_lines(Memory(path, Colours()).journal.current())
    assert memory.journal.refold()
    memory.redo(n)
    assert state_lines(memory.journal.current()) == then == state_lines(Memory(path, Colours()).journal.current()) != before
    return spent


def test_undo_of_many_events_returns_the_state_byte_by_byte(tmp_path):
    undone(tmp_path / "m.db", 100)


@pytest.mark.claims
def test_undo_of_a_thousand_events_returns_the_state_byte_by_byte(tmp_path, record_property):
    record_property("seconds of the undo", f"{undone(tmp_path / 'm.db', 1000):.2f}")
