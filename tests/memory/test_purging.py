"""What is purged is nowhere: not in the state, not in the history, not in the bytes of the file, its log or its index."""

import json
import subprocess
import sys

import numpy as np
import pytest
from small_memory import Colours, picture

from foir_lib import Box, Memory
from foir_lib.errors import InputError
from foir_lib.memory.database import crops, vectors

SECRET = "the sécret mug"


def written(path):
    """All bytes of a memory's files."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def traces(view, kept):
    """What of a view and its thing can be looked for in a file; their ids, random numbers, stay, so that no import brings them back."""
    vector = vectors.stored(Colours().embed([(kept, None)])[0])
    said = [SECRET, json.dumps(SECRET)[1:-1], "clandestine", "violet", view.picture, "hidden.png"]
    return {text: text.encode() for text in said} | {"crop": crops.cut(kept, None)[40:80], "vector": vector}


def told(memory, tmp_path):
    """A thing of which much was said, and two others."""
    secret = picture(5)
    secret.save(tmp_path / "hidden.png")
    thing = memory.add(SECRET, tmp_path / "hidden.png")
    memory.alias(SECRET, "clandestine")
    memory.describe(SECRET, "colour", "violet")
    for n, name in enumerate(("cup", "pot")):
        memory.add(name, picture(n))
    return thing, traces(thing.views[0], secret)


@pytest.mark.parametrize("before", ["known", "forgotten", "undone", "merged", "renamed"])
def test_bytes_of_what_is_purged_are_gone(before, tmp_path):
    path = tmp_path / "m.db"
    memory = Memory(path, Colours())
    thing, looked_for = told(memory, tmp_path)
    matrix = memory.vectors()[0].copy()
    if before == "forgotten":
        memory.forget(thing)
    elif before == "undone":
        memory.undo(5)
        memory.add("cup", picture(0)), memory.add("pot", picture(1))
    elif before == "merged":
        memory.merge("cup", thing)
        memory.unmerge(thing.id)
    elif before == "renamed":
        memory.rename(thing, "x")
        memory.rename(thing, "y")
    assert {name for name, trace in looked_for.items() if trace not in written(path)} <= {json.dumps(SECRET)[1:-1]}
    assert memory.purge(None if before in ("forgotten", "undone") else thing.id) >= (1, 1)
    assert [name for name, trace in looked_for.items() if trace in written(path)] == []
    assert [t.name for t in memory.things()] == ["cup", "pot"] and memory.journal.refold()
    again = Memory(path, Colours())
    assert again.things() == memory.things() and np.array_equal(memory.vectors()[0], matrix[1:])
    assert "cup" in json.dumps([e.body for e in memory.history()]) and [e.kind for e in memory.history()][-1] == "purged"
    memory.add("bowl", picture(9))
    memory.undo()
    with pytest.raises(InputError, match="no thing"):
        memory.purge(SECRET)


def test_a_view_is_purged_alone_and_one_that_moved_away_stays(tmp_path):
    path = tmp_path / "m.db"
    memory = Memory(path, Colours())
    thing, looked_for = told(memory, tmp_path)
    bad = memory.add(SECRET, picture(7), Box(0, 0, 9, 9)).views[1]
    assert memory.purge(bad) == (0, 1) and len(memory.thing(SECRET).views) == 1
    memory.move(thing.views[0].id, "cup")
    memory.forget(SECRET)
    assert memory.purge() == (1, 0)
    assert [t.name for t in memory.things()] == ["cup", "pot"] and len(memory.thing("cup").views) == 2
    left = [name for name, trace in looked_for.items() if trace in written(path)]
    assert left == [thing.views[0].picture, "hidden.png", "crop", "vector"]
    assert memory.journal.refold() and Memory(path, Colours()).things() == memory.things()


def test_a_reader_elsewhere_keeps_the_log_and_that_is_said(tmp_path):
    path = tmp_path / "m.db"
    memory = Memory(path, Colours())
    thing, looked_for = told(memory, tmp_path)
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN'); c.execute('SELECT count(*) FROM things').fetchall(); print('read', flush=True); sys.stdin.read()"
    reader = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdout.readline() == b"read\n"
    with pytest.raises(InputError, match="is read by another program: close that and purge again"):
        memory.purge(thing)
    reader.communicate(b"")
    assert memory.purge() == (0, 0)
    assert not any(trace in written(path) for trace in looked_for.values())
