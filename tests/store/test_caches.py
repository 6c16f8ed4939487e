"""The cache: computed once, made again when a file isn't what it should be, never a reason to fail; listed and pruned."""

import json
import logging
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from foir_lib import files
from foir_lib.data.mini.drawn import drawn_once
from foir_lib.errors import InputError
from foir_lib.models.vit import ViT
from foir_lib.store import caches, features, keys

KEY = {"what": "squares", "n": 3}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Compute:
    """A computation that counts how often it runs."""

    def __init__(self, content=b"0 1 4\n\nand more"):
        self.calls, self.content = 0, content

    def __call__(self):
        self.calls += 1
        return self.content


def only_file(cache):
    (path,) = (cache / "squares").iterdir()
    return path


# ---- computed once


def test_computed_once_for_each_key(cache):
    compute = Compute()
    assert files.cached("squares", KEY, compute) == files.cached("squares", dict(KEY), compute) == compute.content
    assert compute.calls == 1
    assert files.cached("squares", KEY | {"n": 4}, Compute(b"")) == b"" != files.cached("other", KEY, Compute(b"x"))
    assert files.cached("squares", KEY, compute, cache / "elsewhere") == compute.content and compute.calls == 2
    assert files.cached("squares", KEY | {"n": 4}, compute) == b"" and compute.calls == 2


def spoil(path, how):
    content = path.read_bytes()
    spoilt = {
        "cut short": content[:-3],
        "no content": content.partition(b"\n")[0],
        "empty": b"",
        "changed": content.replace(b"1", b"2"),
        "foreign": b"PK\x03\x04" * 50,
        "of another key": content.replace(b'"n": 3', b'"n": 4'),
        "longer": content + b"x",
    }[how]
    assert spoilt != content
    path.write_bytes(spoilt)


@pytest.mark.parametrize("how", ["cut short", "no content", "empty", "changed", "foreign", "of another key", "longer"])
def test_a_file_that_is_not_what_it_should_be_is_made_again(cache, how):
    compute = Compute()
    files.cached("squares", KEY, compute)
    sound = only_file(cache).read_bytes()
    spoil(only_file(cache), how)
    assert files.cached("squares", KEY, compute) == compute.content and compute.calls == 2
    assert only_file(cache).read_bytes() == sound
    assert files.cached("squares", KEY, compute) == compute.content and compute.calls == 2


def test_a_folder_in_the_place_of_the_file_is_harmless(cache, caplog):
    files.cached("squares", KEY, Compute())
    path = only_file(cache)
    path.unlink()
    path.mkdir()
    assert files.cached("squares", KEY, Compute(b"1")) == b"1"
    assert path.is_dir() and "isn't remembered" in caplog.text


def test_where_nothing_can_be_written_it_is_computed_and_said_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "file"))
    compute = Compute()
    with caplog.at_level(logging.WARNING):
        for n in range(3):
            assert files.cached("squares", KEY | {"n": n}, compute) == compute.content
    assert compute.calls == 3 and caplog.text.count("squares isn't remembered: Can't write") == 1


def test_a_full_disk_is_harmless(cache, monkeypatch, caplog):
    def full(self, *_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        assert files.cached("squares", KEY, Compute(b"1")) == b"1"
    assert "No space left" in caplog.text and not list((cache / "squares").iterdir())
    assert files.cached("squares", KEY, Compute(b"2")) == b"2"


def test_an_error_of_the_computation_is_its_own(cache):
    def refuse():
        raise InputError("Picture 3 can't be read.")

    with pytest.raises(InputError, match="Picture 3"):
        files.cached("squares", KEY, refuse)
    assert not cache.exists()
    with pytest.raises(ValueError, match="JSON"):
        files.cached("squares", {"n": float("nan")}, Compute())


def test_a_killed_run_leaves_nothing_that_is_read(cache):
    program = (
        "import os, signal, pathlib\nfrom foir_lib import files\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"  # written, not yet in its place
        f"files.cached('squares', {KEY!r}, lambda: b'1')\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(files.PACKAGE.parent)})
    assert killed.returncode == -9
    (left,) = (cache / "squares").iterdir()
    assert left.suffix == ".tmp" and caches.entries() == []
    assert files.cached("squares", KEY, Compute(b"2")) == b"2"
    os.utime(left, (1, 1))
    caches.prune(everything=True)
    assert not list((cache / "squares").iterdir()), "what the killed run left went too"


def test_arrays_come_back_as_they_were():
    want = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array([1, 2], np.int32)}
    for compute in (lambda: want, None):
        got = caches.arrays("words", KEY, compute)
        assert set(got) == set(want)
        for name, array in want.items():
            np.testing.assert_array_equal(got[name], array)
            assert got[name].dtype == array.dtype


# ---- listed and pruned


def build(what, code, n=3):
    return features.build({"what": what, "code": code}, n, lambda a, b: {"x": np.ones((b - a, 5))}, progress=False).folder


def drawn(name):
    def draw(folder):
        folder.mkdir()
        (folder / "picture.png").write_bytes(b"12345")

    return drawn_once(name, draw)


@pytest.fixture
def filled(cache):
    """One entry of each state, by name."""
    folders = {"current": build("new", keys.code_of(ViT)), "stale": build("old", "0" * 16), "-": build("unknown", None)}
    folders["damaged"] = build("broken", keys.code_of(ViT), 4)
    (folders["damaged"] / "key.json").write_text("{")
    files.cached("squares", KEY, Compute())
    return folders | {"small": only_file(cache), "mini": drawn("town")}


def states():
    return {entry.path: entry.state for entry in caches.entries()}


def test_entries_tell_what_there_is(filled):
    listed = {entry.path: entry for entry in caches.entries()}
    assert set(listed) == set(filled.values())
    assert {name: listed[filled[name]].state for name in ("current", "stale", "-", "damaged", "small", "mini")} == {
        "current": "current", "stale": "stale", "-": "-", "damaged": "damaged", "small": "-", "mini": "-",
    }  # fmt: skip
    one = listed[filled["current"]]
    assert (one.kind, one.key["what"], one.n) == ("features", "new", 3)
    assert one.bytes == sum(path.stat().st_size for path in one.path.iterdir())
    assert (listed[filled["small"]].kind, listed[filled["small"]].n) == ("squares", 3)
    assert (listed[filled["mini"]].kind, listed[filled["mini"]].bytes, listed[filled["mini"]].n) == ("mini world", 5, 1)


@pytest.mark.parametrize("content", ["", "[]", '{"key": 3, "n": 1}', '{"n": 1}', '{"key": {}, "n": "x"}', "\xff\xfe"])
def test_a_damaged_note_is_listed_as_damaged(filled, content):
    (filled["current"] / "key.json").write_bytes(content.encode("latin-1"))
    assert states()[filled["current"]] == "damaged"


@pytest.mark.parametrize("content", ["", "[]", '{"key": 3}', "{}", "\xff\xfe", "PK\x03\x04"])
def test_a_damaged_small_file_is_listed_as_damaged(filled, content):
    filled["small"].write_bytes(content.encode("latin-1"))
    assert states()[filled["small"]] == "damaged"


def test_pruning_takes_what_is_stale_or_damaged(filled):
    would = {entry.path for entry in caches.prune(dry_run=True)}
    assert would == {filled["stale"], filled["damaged"]} and all(path.exists() for path in filled.values())
    assert {entry.path for entry in caches.prune()} == would
    assert {name for name, path in filled.items() if path.exists()} == {"current", "-", "small", "mini"}
    assert caches.prune() == []


def test_use_keeps_what_time_would_take(filled):
    year = time.time() - 365 * 86400
    for name in ("current", "-"):
        os.utime(filled[name] / "key.json", (year, year))
    for name in ("small", "mini"):
        os.utime(filled[name], (year, year))
    build("new", keys.code_of(ViT))  # used
    files.cached("squares", KEY, None)
    drawn("town")
    assert {entry.path for entry in caches.prune(days=30)} == {filled["stale"], filled["damaged"], filled["-"]}
    with pytest.raises(InputError, match="days=-1 must be 0 or more"):
        caches.prune(days=-1)


def test_all_leaves_data_and_strangers(filled, cache, tmp_path):
    (cache / "data" / "coco").mkdir(parents=True)
    (cache / "data" / "coco" / "picture.jpg").write_bytes(b"fetched")
    (filled["current"] / "notes.txt").write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key.json").write_text(json.dumps({"key": {"code": "0"}, "n": 1}))
    (cache / "features" / ("a" * 32)).symlink_to(outside)
    assert {entry.path for entry in caches.prune(everything=True)} == set(filled.values())
    assert caches.entries() == [] or states() == {filled["current"]: "damaged"}
    assert (cache / "data" / "coco" / "picture.jpg").exists() and (outside / "key.json").exists()
    assert [path.name for path in filled["current"].iterdir()] == ["notes.txt"]


def test_what_can_not_be_removed_is_said(filled, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(InputError, match=r"Can't remove .* \(Permission denied\): change its rights"):
        caches.prune()


def test_an_empty_cache_is_no_error():
    assert caches.entries() == caches.prune(everything=True) == []
