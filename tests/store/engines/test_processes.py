"""Shards shared out over processes: the same bytes as by one, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from foir_lib import files
from foir_lib.errors import InputError
from foir_lib.store import by_content, features
from foir_lib.store.engines import carrying
from foir_lib.store.engines.processes import Processes

TWO = Processes(("cpu", "cpu"))
N, SHARD = 40, 4


def maker(made, fault=lambda start: None):
    """Rows from their numbers; each shard, and the process that computed it, is written down."""

    def make(start, stop):
        fault(start)
        with open(made, "a") as file:
            file.write(f"{start} {os.getpid()}\n")
        return {"x": np.arange(start, stop) ** 2, "y": np.full((stop - start, 2), start, np.float32)}

    return make


def build(root, make, engine=None):
    return features.build({"what": "squares"}, N, make, root=root, shard=SHARD, progress=False, engine=engine)


def content(stored):
    return {path.name: path.read_bytes() for path in stored.folder.glob("*.safetensors")}


def starts(made):
    """The first rows of the shards that were computed, in order."""
    return sorted(int(line.split()[0]) for line in Path(made).read_text().splitlines())


def children():
    return [child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_two_processes_write_what_one_does_and_each_shard_once(tmp_path):
    one = build(tmp_path / "one", maker(tmp_path / "alone"))
    made = tmp_path / "made"

    def slowly(start):
        time.sleep(0.05)

    two = build(tmp_path / "two", maker(made, slowly), TWO)
    assert content(one) == content(two) and len(content(two)) == N // SHARD
    assert starts(made) == list(range(0, N, SHARD)) and two.read("x").tolist() == [n**2 for n in range(N)]
    pids = {line.split()[1] for line in made.read_text().splitlines()}
    assert str(os.getpid()) not in pids and len(pids) == 2 and not children()
    build(tmp_path / "two", maker(made), TWO)
    assert len(starts(made)) == N // SHARD, "nothing is computed again"


@pytest.mark.slow
def test_a_process_that_dies_is_replaced_and_no_row_is_lost_or_stored_twice(tmp_path):
    marker, made, rows = tmp_path / "died", tmp_path / "made", []

    def dies_once(start):
        if start == 12 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), 9)

    stored = features.build(
        {"what": "squares"}, N, maker(made, dies_once), root=tmp_path / "two", shard=SHARD, progress=False,
        engine=lambda tasks, make, report: TWO(tasks, make, lambda n: (report(n), rows.append(n))),
    )  # fmt: skip
    assert marker.exists() and sum(rows) == N, "the bar ends where it should"
    assert content(stored) == content(build(tmp_path / "one", maker(tmp_path / "alone")))
    assert starts(made).count(12) == 1 and set(starts(made)) == set(range(0, N, SHARD))
    assert not children()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sentence", pytest.param("death", marks=pytest.mark.claims)])
def test_what_goes_wrong_is_one_sentence_and_what_is_done_is_stored(tmp_path, how):
    def fault(start):
        if start == 20:
            if how == "death":
                os.kill(os.getpid(), 9)
            raise InputError("Picture 20.jpg can't be read: replace it.")

    said = {"sentence": "^Picture 20.jpg can't be read: replace it.$", "death": "were ended 3 times.* what is done is stored"}[how]
    engine = Processes(("cpu",))
    with pytest.raises(InputError, match=said):
        build(tmp_path / "two", maker(tmp_path / "made", fault), engine)
    assert not children()
    made = tmp_path / "rest"
    build(tmp_path / "two", maker(made))
    assert 20 in starts(made) and not {0, 4, 8, 12} & set(starts(made)), "only what wasn't done"


PROGRAM = """
import sys, time, os
from pathlib import Path
sys.path[:0] = {paths!r}
from test_processes import TWO, build, maker
home = Path({home!r})
(home / "started").touch()
build(home / "two", maker(home / "made", lambda start: time.sleep(0.2)), TWO)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_leaves_no_process_and_goes_on(tmp_path, how):
    """Without `if __name__ == "__main__"`, which a student's script doesn't have either."""
    script = tmp_path / "run.py"
    script.write_text(PROGRAM.format(paths=[str(Path(__file__).parent), str(files.PACKAGE.parent)], home=str(tmp_path)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(files.PACKAGE.parent)])}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.PIPE, text=True)
    made, end = tmp_path / "made", time.time() + 300
    while not (made.exists() and len(starts(made)) >= 3):
        assert process.poll() is None and time.time() < end, process.stderr.read()
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    process.wait(60)
    assert family and not psutil.wait_procs(family, 60)[1], "a process is left over"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").glob("*/[!.]*.safetensors")}
    again = tmp_path / "again"
    stored = build(tmp_path / "two", maker(again))
    assert content(stored) == content(build(tmp_path / "one", maker(tmp_path / "alone")))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()) and len(starts(again)) == N // SHARD - len(before)


def test_tensors_and_devices_are_unpacked_where_the_process_computes():
    layer = torch.nn.Linear(3, 2)
    there, device, plain = carrying.unpacked(carrying.packed((layer, torch.device("cuda:1"), torch.device("cpu"))), "cpu")
    assert device == plain == torch.device("cpu")
    assert torch.equal(there.weight, layer.weight) and isinstance(there.weight, torch.nn.Parameter)


def test_shards_of_another_layout_are_named(tmp_path):
    """As by one process: something is missing in the key."""

    def make(start, stop):
        return {"x": np.zeros((stop - start, 1 + start // SHARD), np.float32)}

    with pytest.raises(InputError, match="earlier ones gave .*something is missing in the key"):
        build(tmp_path, make)


def test_contents_are_shared_out_too(tmp_path):
    """An engine is handed the shards of a folder's pictures, whatever it does with them."""
    seen = []

    def backwards(tasks, make, report):
        from foir_lib.store.tasks import here

        seen.extend(len(task.rows) for task in tasks)
        yield from reversed(list(here(tasks, make, report)))

    def make(rows):
        yield {"x": np.array(rows)[:, None]}

    stored = by_content.build({"what": "x"}, list("abcde"), make, root=tmp_path, shard=2, progress=False, engine=backwards)
    assert seen == [2, 2, 1] and stored.read("x").ravel().tolist() == [0, 1, 2, 3, 4]


def test_what_cannot_be_carried_is_computed_here(tmp_path, caplog):
    """A lock can't go to another process."""
    from threading import Lock

    lock = Lock()

    def make(start, stop):
        with lock:
            return {"x": np.arange(start, stop)}

    assert build(tmp_path, make, TWO).read("x").tolist() == list(range(N))
    assert "This process computes alone" in caplog.text
