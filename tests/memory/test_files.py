"""The file of a memory: older, newer, damaged, shared, killed while it is written, on a full disk."""

import random
import signal
import sqlite3
import time

import pytest
from small_memory import WRITE, Colours, child, picture

from foir_lib import Memory
from foir_lib.errors import InputError, IntegrityError
from foir_lib.memory.database import tables
from foir_lib.memory.exchange.jsonl import state_lines

OLDEST = """
CREATE TABLE meta (key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (key));
CREATE TABLE events (seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at TEXT NOT NULL,
  who TEXT NOT NULL, kind TEXT NOT NULL, target TEXT, body JSON NOT NULL);
CREATE TABLE undone (event TEXT NOT NULL PRIMARY KEY REFERENCES events (id), by INTEGER NOT NULL);
CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, who TEXT NOT NULL, at TEXT NOT NULL, aliases JSON NOT NULL,
  properties JSON NOT NULL, "into" TEXT, gone BOOLEAN NOT NULL);
CREATE TABLE crops ("view" TEXT NOT NULL PRIMARY KEY, png BLOB NOT NULL);
CREATE TABLE views (id TEXT NOT NULL PRIMARY KEY REFERENCES crops ("view"), thing TEXT NOT NULL REFERENCES things (id),
  picture TEXT NOT NULL, path TEXT, size JSON NOT NULL, box JSON, mask JSON, who TEXT NOT NULL, at TEXT NOT NULL, sure FLOAT NOT NULL,
  gone BOOLEAN NOT NULL);
CREATE TABLE encoders (id INTEGER NOT NULL PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE embeddings (encoder INTEGER NOT NULL, "view" TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (encoder, "view"));
INSERT INTO meta VALUES ('version', '0'), ('model', 'mini-vit'), ('folded', '2');
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.db"


def memory(path):
    return Memory(path, Colours())


def state(one):
    return state_lines(one.journal.current())


# ---- versions and damage


def test_a_file_of_the_first_version_is_brought_to_todays(path, tmp_path):
    today = memory(tmp_path / "today.db")
    today.add("mug", picture(1))
    today.rename("mug", "cup")
    old = sqlite3.connect(path)
    old.executescript(OLDEST)
    new = sqlite3.connect(tmp_path / "today.db")
    for table in ("events", "things", "crops", "encoders", "embeddings"):
        names = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
        rows = new.execute(f'SELECT {", ".join(f"{chr(34)}{name}{chr(34)}" for name in names)} FROM {table}').fetchall()
        old.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", rows)
    (view,) = today.thing("cup").views
    row = (view.id, view.thing, view.picture, None, "[40, 30]", None, None, "human", view.at, 1.0, 0)
    old.execute(f"INSERT INTO views VALUES ({', '.join('?' * 11)})", row)
    old.commit()
    old.close()
    one = memory(path)
    assert state(one) == state(today) and one.journal.refold() and (one.vectors()[0] == today.vectors()[0]).all()
    one.undo()
    assert one.thing("mug").views == (view,)
    assert sqlite3.connect(path).execute("SELECT value FROM meta WHERE key = 'version'").fetchone() == (str(tables.VERSION),)


def test_a_newer_file_is_left_as_it_is(path):
    memory(path).add("mug", picture(1))
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE meta SET value = '99' WHERE key = 'version'")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"written by a newer version \(99, this one knows 1\): update foir_lib"):
        memory(path)
    assert path.read_bytes() == before


def test_addresses_that_are_no_memory(path, tmp_path):
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(IntegrityError, match="is damaged .file is not a database.: restore a copy"):
        memory(path)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as raw:
        raw.execute("CREATE TABLE mine (x)")
    raw.close()
    with pytest.raises(InputError, match="is another program's database"):
        memory(other)
    with pytest.raises(InputError, match="is a folder: name a file"):
        memory(tmp_path)
    with pytest.raises(InputError, match="There is no folder .*nowhere for the memory m.db"):
        memory(tmp_path / "nowhere" / "m.db")
    for address, says in (
        ("mysql://x/y", "can't be kept on 'mysql'"),
        ("postgresql://", "can't be used"),
        ("a://b:c:d:e", "can't be read"),
    ):
        with pytest.raises(InputError, match=says):
            memory(address)
    strange = tmp_path / "what? #1 %20 'x'.db"
    memory(strange).add("mug", picture(1))
    assert strange.is_file() and len(memory(strange).things()) == 1


@pytest.mark.parametrize("seed", range(12))
def test_bytes_that_flip_are_told_or_harmless(seed, path):
    one = memory(path)
    for n in range(12):
        one.add(f"thing {n}", picture(n, (200, 150)))
    one.journal.engine.dispose()
    rng, content = random.Random(seed), bytearray(path.read_bytes())
    start = rng.randrange(100, len(content) - 3000)
    content[start : start + 3000] = rng.randbytes(3000)
    path.write_bytes(content)
    try:
        again = memory(path)
        again.things(), again.vectors(), again.history(), [again.picture_of(v) for t in again.things() for v in t.views]
        again.journal.refold()
    except (InputError, IntegrityError) as error:
        assert len(str(error)) < 1600


def test_tables_that_dont_fit_their_events_are_made_again(path):
    one = memory(path)
    one.add("mug", picture(1))
    one.rename("mug", "cup")
    before = state(one)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE things SET name = 'wrong'")
    raw.close()
    assert memory(path).things()[0].name == "wrong" and not memory(path).journal.refold()
    assert state(memory(path)) == before
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM views")
        raw.execute("UPDATE meta SET value = '1' WHERE key = 'folded'")
    raw.close()
    assert state(memory(path)) == before


# ---- several programs


def together(path, programs, n):
    """So many programs add ``n`` things each to one file; the seconds that the slowest of all additions took."""
    here = memory(path)
    processes = [child(WRITE, path, name, n) for name in programs]
    outputs = [process.communicate() for process in processes]
    assert all(process.returncode == 0 for process in processes), outputs
    names = sorted(f"{name} {k}" for name in programs for k in range(n))
    assert sorted(thing.name for thing in here.things()) == names == sorted(thing.name for thing in memory(path).things())
    assert here.journal.refold() and len(here.vectors()[1]) == len(names)
    return max(float(out.split()[-1]) for out, _ in outputs)


@pytest.mark.slow
def test_two_programs_write_one_file(path):
    together(path, "ab", 20)


@pytest.mark.claims
def test_three_programs_on_one_file_wait_less_than_a_second(path, record_property):
    slowest = together(path, "abc", 300)
    record_property("slowest addition", f"{slowest * 1000:.0f} ms")
    assert slowest < 1


def test_a_writer_is_waited_for_and_readers_go_on(path, monkeypatch):
    one = memory(path)
    one.add("mug", picture(1))
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    assert len(one.things()) == len(memory(path).things()) == 1
    monkeypatch.setattr(tables, "WAIT", 0.1)
    other = memory(path)
    with pytest.raises(InputError, match="is being written by another program for more than 0.1 s: try again"):
        other.rename("mug", "cup")
    raw.execute("ROLLBACK")
    other.rename("mug", "cup")
    assert one.things()[0].name == "cup"


# ---- killed, and out of disk


def kills(path, n, seed):
    """Kills a writer at random moments; returns how many items were confirmed. Each is there, and at most one more."""
    rng, confirmed = random.Random(seed), 0
    for life in range(n):
        process = child(WRITE, path, f"life {life}", 10_000)
        assert process.stdout.readline() == "open\n", process.stderr.read()
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in process.stdout.read().split()]
        assert process.communicate()[1] == ""  # it was killed, and raised nothing
        one = memory(path)
        there = [thing.name for thing in one.things() if thing.name.startswith(f"life {life} ")]
        assert there[: len(said)] == [f"life {life} {k}" for k in said] and len(there) <= len(said) + 1
        confirmed += len(said)
        if life % 5 == 0:
            assert one.journal.refold()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",) and not raw.execute("PRAGMA foreign_key_check").fetchall()
    raw.close()
    matrix, views = memory(path).vectors()
    assert len(views) == len(matrix) == sum(len(t.views) for t in memory(path).things()) >= confirmed
    return confirmed


@pytest.mark.slow
def test_killed_while_writing_it_loses_at_most_what_wasnt_confirmed(path):
    kills(path, 5, 0)


@pytest.mark.claims
def test_killed_a_hundred_times(path, record_property):
    record_property("items confirmed and there", kills(path, 100, 1))


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
from foir_lib.errors import InputError
for n in range(1000):
    try:
        one.add(f"thing {n}", picture(n, (400, 300)))
    except InputError as error:
        print("told", error, flush=True)
        print("read", len(one.things()), flush=True)
        break
    print(n, flush=True)
"""


def test_on_a_full_disk_it_says_so_and_keeps_what_was_confirmed(path):
    memory(path).add("first", picture(1))
    process = child(FULL, path, 2_000_000)
    out, err = process.communicate()
    assert process.returncode == 0, err
    *said, told, read = out.split("open\n")[1].splitlines()
    assert "can't be written" in told and "free some space" in told and len(said) > 3
    one = memory(path)
    assert [t.name for t in one.things()] == ["first", *(f"thing {n}" for n in said)] and read == f"read {len(said) + 1}"
    one.add("last", picture(2))
    assert one.journal.refold()
