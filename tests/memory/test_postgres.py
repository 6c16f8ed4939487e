"""The same memory on a PostgreSQL server: a cluster of the test's own, on a socket; skipped where Debian's postgresql isn't installed."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import psycopg
import pytest
from small_memory import WRITE, Colours, child, picture

from foir_lib import Box, Memory
from foir_lib.errors import InputError
from foir_lib.memory.exchange.jsonl import state_lines

pytestmark = pytest.mark.slow
USER = "postgres"  # the server refuses to run as root


@pytest.fixture(scope="module")
def server():
    """The socket's folder of a running cluster."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not programs:
        pytest.skip("no PostgreSQL: install Debian's package postgresql")
    as_user = []
    if os.geteuid() == 0:
        if not shutil.which("runuser"):
            pytest.skip("no PostgreSQL as root: runuser isn't there to start it as another user")
        as_user = ["runuser", "-u", USER, "--"]
    bin, folder = programs[-1].parent, Path(tempfile.mkdtemp(prefix="foir-pg-", dir="/tmp"))  # a socket's path is short
    if as_user:
        shutil.chown(folder, USER, USER)
    run = lambda *command: subprocess.run([*as_user, *map(str, command)], check=True, capture_output=True, text=True, cwd=folder)  # noqa: E731
    try:
        run(bin / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c wal_level=minimal -c max_wal_senders=0"
        run(bin / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield folder
        finally:
            run(bin / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def url(server, request):
    """The address of an empty database."""
    name = f"m{abs(hash(request.node.name))}"
    with psycopg.connect(host=str(server), user=USER, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://{USER}@/{name}?host={server}"


def said(one):
    """A history with a bit of everything."""
    one.add("the lab's mug", picture(1), Box(0, 0, 20, 20))
    one.describe("lab's mug", "colour", "bleu \"clair\" 🐭 <b>'; --")
    one.add("pot", picture(2), who="machine", sure=0.25)
    one.merge("pot", one.add("kettle", picture(3)))
    one.forget(one.add("cup", picture(4)))
    one.rename("pot", "jug")
    one.undo(2)
    one.redo()
    return one


def test_a_server_holds_what_a_file_holds(url, tmp_path):
    team, file = said(Memory(url, Colours())), said(Memory(tmp_path / "m.db", Colours()))
    shape = lambda one: [(t.name, t.aliases, t.properties, [(v.box, v.who, v.sure) for v in t.views]) for t in one.things()]  # noqa: E731
    assert shape(team) == shape(file) and [e.kind for e in team.history()] == [e.kind for e in file.history()]
    assert np.array_equal(team.vectors()[0], file.vectors()[0]) and team.journal.refold()
    again = Memory(url, Colours())
    assert again.things() == team.things() and np.array_equal(again.vectors()[0], team.vectors()[0])
    assert [r.tolist() for r in again.search(again.vectors()[0], 2)] == [r.tolist() for r in file.search(file.vectors()[0], 2)]
    assert again.picture_of(again.things()[0].views[0]).size == (20, 20)
    before = state_lines(again.journal.current())
    n = sum(not e.undone and e.kind not in ("undo", "redo") for e in again.history())
    again.undo(n)
    assert team.things() == []
    again.redo(n)
    assert state_lines(team.journal.current()) == before


def test_a_server_and_a_file_exchange_and_purge(url, tmp_path):
    team, file = said(Memory(url, Colours())), Memory(tmp_path / "m.db", Colours())
    file.import_(url)
    assert state_lines(file.journal.current()) == state_lines(team.journal.current())
    file.add("spoon", picture(8))
    assert team.import_(tmp_path / "m.db").things == 1 and team.thing("spoon").views[0].id == file.thing("spoon").views[0].id
    assert team.purge("lab's mug") == (1, 1)
    assert not team.named("mug") and "bleu" not in str(team.history(None)) and team.journal.refold()
    assert team.import_(tmp_path / "m.db").things == 0 and team.undo()


def test_two_programs_write_one_server(url):
    here = Memory(url, Colours())
    processes = [child(WRITE, url, name, 20) for name in "ab"]
    outputs = [process.communicate() for process in processes]
    assert all(process.returncode == 0 for process in processes), outputs
    assert sorted(t.name for t in here.things()) == sorted(f"{name} {n}" for name in "ab" for n in range(20)) and here.journal.refold()


def test_a_writer_that_is_killed_leaves_what_it_confirmed(url):
    process = child(WRITE, url, "a", 10_000)
    assert process.stdout.readline() == "open\n", process.stderr.read()
    time.sleep(0.5)
    process.kill()
    confirmed = len(process.stdout.read().split())
    process.communicate()
    time.sleep(0.5)  # the server ends the transaction that it was left with
    one = Memory(url, Colours())
    assert confirmed <= len(one.things()) <= confirmed + 1 and one.journal.refold()


def test_an_address_without_a_server_is_told_without_its_password(tmp_path):
    with pytest.raises(InputError, match="can't be used") as error:
        Memory(f"postgresql+psycopg://me:secret@/x?host={tmp_path}", Colours())
    assert "secret" not in str(error.value)
