"""Folders of the mini world are drawn once: by one of several processes, and again after one was killed."""

import multiprocessing
import os
import signal
import time

import pytest

from foir_lib.data.mini.drawn import drawn_once
from foir_lib.errors import InputError

fork = multiprocessing.get_context("fork")
GUARD = 600  # seconds after which a process counts as hung


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    return tmp_path


def fill(folder, text="whole"):
    folder.mkdir()
    (folder / "a").write_text(text)


def counted(barrier, draws):
    def draw(folder):
        with draws.get_lock():
            draws.value += 1
        time.sleep(0.2)
        fill(folder)

    barrier.wait()
    assert (drawn_once("town", draw) / "a").read_text() == "whole"


def test_of_several_processes_one_draws_and_all_find_it(cache):
    barrier, draws = fork.Barrier(3), fork.Value("i", 0)
    workers = [fork.Process(target=counted, args=(barrier, draws)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(GUARD)
    assert [worker.exitcode for worker in workers] == [0] * 3 and draws.value == 1
    assert [p.name for p in (cache / "mini").iterdir()] == ["town"], "nothing else lies there"


def test_what_is_there_is_not_drawn_again_and_a_name_is_a_folder(cache):
    assert drawn_once("town", fill) == cache / "mini" / "town"
    assert drawn_once("town", None) == cache / "mini" / "town"
    assert (drawn_once("other", lambda folder: fill(folder, "other")) / "a").read_text() == "other"


def hang(started):
    def draw(folder):
        fill(folder, "half")
        started.set()
        time.sleep(60)

    drawn_once("town", draw)


def test_killed_in_the_middle_it_is_drawn_again(cache):
    started = fork.Event()
    worker = fork.Process(target=hang, args=(started,))
    worker.start()
    assert started.wait(GUARD)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(GUARD)
    assert not (cache / "mini" / "town").exists()
    assert (drawn_once("town", fill) / "a").read_text() == "whole"
    assert [p.name for p in (cache / "mini").iterdir()] == ["town"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError("No.")])
def test_a_drawing_that_fails_leaves_nothing(cache, error):
    def draw(folder):
        fill(folder, "half")
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        drawn_once("town", draw)
    assert not list((cache / "mini").iterdir())


def test_a_full_disk_is_one_sentence(cache):
    def full(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="Can't write .*town: No space left on device; free some space"):
        drawn_once("town", full)
