"""The feature store: what is read is what was made, whatever happened in between."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foir_lib.errors import InputError, IntegrityError
from foir_lib.store import features as store
from foir_lib.store import shards
from foir_lib.store.features import build

KEY = {"data": "f00", "model": "m", "size": 224}
N, SHARD = 25, 10


def arrays(start, stop):
    """Rows that depend on nothing but their number."""
    rows = np.arange(start, stop)
    return {
        "heads": np.sin(rows[:, None] + np.arange(6, dtype=np.float32) / 7).astype(np.float32),
        "small": (rows[:, None, None] * np.ones((1, 2, 3))).astype(np.float16),
        "count": rows * 3,
        "flag": rows % 2 == 0,
    }


class Maker:
    """``arrays`` that remembers which spans were asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, start, stop):
        self.calls.append((start, stop))
        return arrays(start, stop)


def make_all(root, make=None, key=KEY, n=N, **options):
    return build(key, n, make or Maker(), root=root, shard=SHARD, progress=False, **options)


def assert_whole(features, n=N):
    for name, array in arrays(0, n).items():
        got = features.read(name)
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)


def files(features):
    return sorted(features.folder.glob("*.safetensors"))


def test_reads_back_every_type_bit_for_bit(tmp_path):
    features = make_all(tmp_path)
    assert len(features) == N and features.names == ["count", "flag", "heads", "small"]
    assert_whole(features)
    assert len(files(features)) == 3


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(0, N - 1), max_size=40))
def test_rows_in_any_order_and_repeated(rows, tmp_path_factory):
    features = make_all(tmp_path_factory.getbasetemp() / "rows")
    np.testing.assert_array_equal(features.read("count", rows), np.array(rows, dtype=int) * 3)


def test_slices_and_masks(tmp_path):
    features, whole = make_all(tmp_path), arrays(0, N)["heads"]
    np.testing.assert_array_equal(features.read("heads", slice(8, 22, 3)), whole[8:22:3])
    np.testing.assert_array_equal(features.read("heads", whole[:, 0] > 0), whole[whole[:, 0] > 0])


@pytest.mark.parametrize("rows", [[-1], [N], [0.5], [[0, 1]]])
def test_rows_that_are_not_there(tmp_path, rows):
    with pytest.raises(InputError, match=r"outside the 25|can't be read"):
        make_all(tmp_path).read("heads", rows)


def test_unknown_array_is_named(tmp_path):
    with pytest.raises(InputError, match="no array 'head', they hold: count, flag, heads, small"):
        make_all(tmp_path).read("head")


@pytest.mark.parametrize("size", [1, 7, 10, 100])
def test_chunks_cover_all_rows_once(tmp_path, size):
    features = make_all(tmp_path)
    parts = list(features.chunks(["heads", "count"], size))
    assert [start for start, _ in parts] == list(range(0, N, size))
    assert max(len(part["heads"]) for _, part in parts) <= size
    np.testing.assert_array_equal(
        np.concatenate([p["heads"] for _, p in parts]), arrays(0, N)["heads"]
    )
    single = np.concatenate([part for _, part in features.chunks("count", size)])
    np.testing.assert_array_equal(single, np.arange(N) * 3)


def test_second_build_makes_nothing(tmp_path):
    make_all(tmp_path)
    again = Maker()
    assert_whole(make_all(tmp_path, again))
    assert again.calls == []


@pytest.mark.parametrize("other", [{**KEY, "size": 225}, {**KEY, "data": "f01"}])
def test_other_key_is_other_folder(tmp_path, other):
    first, maker = make_all(tmp_path), Maker()
    assert make_all(tmp_path, maker, key=other).folder != first.folder
    assert len(maker.calls) == 3
    notes = [json.loads(path.read_text()) for path in tmp_path.glob("*/key.json")]
    assert sorted(str(note["key"]) for note in notes) == sorted([str(KEY), str(other)])
    assert all(note["n"] == N for note in notes)


def test_other_version_is_never_read(tmp_path, monkeypatch):
    old = make_all(tmp_path)
    monkeypatch.setattr(store, "VERSION", store.VERSION + 1)
    maker = Maker()
    new = make_all(tmp_path, maker)
    assert new.folder != old.folder and len(maker.calls) == 3
    files(old)[0].rename(files(new)[0])  # even one that strayed into the folder
    maker = Maker()
    assert_whole(make_all(tmp_path, maker))
    assert maker.calls == [(0, 10)]


def truncate(path):
    os.truncate(path, path.stat().st_size - 8)


def cut_header(path):
    os.truncate(path, 40)


def empty(path):
    path.write_bytes(b"")


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def grow(path):
    path.write_bytes(path.read_bytes() + bytes(16))


def swap_type(path):
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"'))


def rename_array(path):
    path.write_bytes(path.read_bytes().replace(b'"heads"', b'"beads"'))


def vanish(path):
    path.unlink()


def neighbour(path):
    path.write_bytes(sorted(path.parent.glob("*.safetensors"))[0].read_bytes())


DAMAGES = [truncate, cut_header, empty, zeros, grow, swap_type, rename_array, vanish, neighbour]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_shard_alone_is_made_again(tmp_path, damage, caplog):
    damage(files(make_all(tmp_path))[1])
    maker = Maker()
    assert_whole(make_all(tmp_path, maker))
    assert maker.calls == [(10, 20)]
    assert (damage is vanish) != ("Items 10 to 20" in caplog.text)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_noticed_or_harmless(data, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "flip"
    path = files(make_all(root))[2]
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    maker = Maker()
    assert_whole(make_all(root, maker))
    assert maker.calls in (
        [(20, 25)],
        [],
    )  # [] only for padding, which assert_whole proves harmless


def test_flipped_data_byte_is_noticed(tmp_path):
    path = files(make_all(tmp_path))[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    maker = Maker()
    make_all(tmp_path, maker)
    assert maker.calls == [(0, 10)]


def test_type_is_part_of_the_checksum(tmp_path):
    swap_type(files(make_all(tmp_path))[0])  # the first, so no other shard can give it away
    maker = Maker()
    assert_whole(make_all(tmp_path, maker))
    assert maker.calls == [(0, 10)]


def test_shard_gone_while_reading_is_one_sentence(tmp_path):
    features = make_all(tmp_path)
    files(features)[1].unlink()
    assert len(features.read("heads", [0, 24])) == 2
    with pytest.raises(IntegrityError, match="has gone or was damaged .* build it again"):
        features.read("heads")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_names_array_and_item(tmp_path, bad):
    def make(start, stop):
        computed = arrays(start, stop)
        if start == 10:
            computed["heads"][7, 2] = bad
        return computed

    with pytest.raises(InputError, match="Array 'heads' holds a NaN or infinite number at item 17"):
        make_all(tmp_path, make)
    maker = Maker()
    assert_whole(make_all(tmp_path, maker))
    assert maker.calls == [(10, 20), (20, 25)]  # the first shard was kept


@pytest.mark.parametrize(
    "computed",
    [
        {"a": np.zeros((9, 2))}, {"a": np.zeros((11, 2))}, {"a": np.zeros((10, 0))},
        {"a": np.float32(1)}, {"a": np.array(["x"] * 10)}, {"a": np.array([None] * 10)}, {},
    ],
)  # fmt: skip
def test_wrong_arrays_from_make(tmp_path, computed):
    with pytest.raises(InputError, match="10 rows of numbers|No arrays were made"):
        make_all(tmp_path, lambda start, stop: computed)
    assert not list(tmp_path.glob("*/*.safetensors"))


@pytest.mark.parametrize("change", [lambda a: a.astype(np.float64), lambda a: a[:, :5]])
def test_shards_that_differ(tmp_path, change):
    def make(start, stop):
        computed = arrays(start, stop)
        return {**computed, "heads": change(computed["heads"])} if start else computed

    with pytest.raises(InputError, match="something is missing in the key"):
        make_all(tmp_path, make)


@pytest.mark.parametrize("n", [0, -3])
def test_no_items(tmp_path, n):
    with pytest.raises(InputError, match="at least 1"):
        make_all(tmp_path, n=n)


@pytest.mark.parametrize("key", [{"a": np.int64(3)}, {"a": float("nan")}, {"a": object()}])
def test_key_that_is_not_json(tmp_path, key):
    with pytest.raises(InputError, match="isn't plain JSON"):
        make_all(tmp_path, key=key)


def test_full_disk_keeps_what_is_done(tmp_path, monkeypatch):
    maker, real, left = Maker(), os.fsync, [2]

    def fsync(fd):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(InputError, match=rf"Can't write {tmp_path}.*No space left.*FOIR_CACHE"):
        make_all(tmp_path, maker)
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    maker = Maker()
    assert_whole(make_all(tmp_path, maker))
    assert maker.calls == [(20, 25)]


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Can't write"):
        make_all(tmp_path / "file")


def test_interrupt_keeps_what_is_done(tmp_path):
    def make(start, stop):
        if start == 20:
            raise KeyboardInterrupt
        return arrays(start, stop)

    with pytest.raises(KeyboardInterrupt):
        make_all(tmp_path, make)
    maker = Maker()
    assert_whole(make_all(tmp_path, maker))
    assert maker.calls == [(20, 25)]


def test_progress_counts_items_and_starts_at_what_is_done(tmp_path, capsys):
    path = files(make_all(tmp_path))[1]
    build(KEY, N, arrays, root=tmp_path, shard=SHARD, label="mini")
    assert capsys.readouterr().err == ""  # nothing to do, no bar
    path.unlink()
    build(KEY, N, arrays, root=tmp_path, shard=SHARD, label="mini")
    err = capsys.readouterr().err
    assert "mini" in err and "15/25" in err and "25/25" in err


def test_default_root_is_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    assert build(KEY, 3, arrays, progress=False).folder.parent == tmp_path / "cache" / "features"


def test_stale_temporaries_go_and_living_ones_stay(tmp_path):
    folder = make_all(tmp_path).folder
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ages = {f".a.{dead.pid}-01.tmp": 120, f".b.{os.getpid()}-02.tmp": 120,
            f".c.{dead.pid}-03.tmp": 0, f".d.{os.getpid()}-04.tmp": 2 * 86400,
            ".e.tmp": 120}  # fmt: skip
    for name, age in ages.items():
        (folder / name).write_bytes(b"part")
        os.utime(folder / name, (time.time() - age,) * 2)
    assert_whole(make_all(tmp_path))
    assert sorted(p.name[1] for p in folder.glob(".*.tmp")) == ["b", "c", "e"]


def test_read_only_cache_can_be_used(tmp_path, monkeypatch):
    make_all(tmp_path)

    def refuse(*_):
        raise AssertionError("wrote to a complete cache")

    monkeypatch.setattr(store, "atomic_write", refuse)
    monkeypatch.setattr(shards, "write", refuse)
    assert_whole(make_all(tmp_path))


CHILD = """
import sys, time, types
sys.path[:0] = sys.argv[1].split("|")
package = types.ModuleType("foir_lib")  # its own __init__ loads torch, which the store doesn't need
package.__path__ = [sys.path[1] + "/foir_lib"]
sys.modules["foir_lib"] = package
from test_store import arrays, build, KEY
def slow(start, stop):
    print(start, flush=True)
    time.sleep(float(sys.argv[3]))
    return arrays(start, stop)
f = build(KEY, 200, slow, root=sys.argv[2], shard=10, progress=False)
assert (f.read("heads") == arrays(0, 200)["heads"]).all()
print("done")
"""


def child(root, pause):
    here = Path(__file__).parent
    paths = "|".join([str(here), str(here.parents[1]), *sys.path])
    command = [sys.executable, "-c", CHILD, paths, str(root), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish_200(root, maker):
    return build(KEY, 200, maker, root=root, shard=10, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.claims) for seed in range(5, 100))])
def test_killed_run_continues_bit_for_bit(tmp_path, seed):
    process = child(tmp_path / "killed", 0.02)
    for _ in range(random.Random(seed).randint(1, 15)):  # shards begun before the blow
        process.stdout.readline()
    time.sleep(random.Random(seed).random() * 0.03)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (folder,) = (tmp_path / "killed").iterdir()
    stored = {int(p.name[:9]): p.read_bytes() for p in folder.glob("*.safetensors")}
    assert 0 <= len(stored) < 20
    maker = Maker()
    features = finish_200(tmp_path / "killed", maker)
    assert sorted([*stored, *(start for start, _ in maker.calls)]) == list(range(0, 200, 10))
    whole = finish_200(tmp_path / "whole", Maker())
    assert [p.read_bytes() for p in files(features)] == [p.read_bytes() for p in files(whole)]
    assert all(
        features.folder.joinpath(f"{s:09d}-{s + 10:09d}.safetensors").read_bytes() == b
        for s, b in stored.items()
    )


@pytest.mark.slow
def test_two_runs_at_once(tmp_path):
    runs = [child(tmp_path, 0.01), child(tmp_path, 0.013)]
    outputs = [run.communicate()[0].split() for run in runs]
    assert [run.returncode for run in runs] == [0, 0] and all(out[-1] == "done" for out in outputs)
    (folder,) = tmp_path.iterdir()
    assert (
        len(list(folder.iterdir())) == 21
        and json.loads((folder / "key.json").read_text())["key"] == KEY
    )
    maker = Maker()
    assert_whole(finish_200(tmp_path, maker), 200)
    assert maker.calls == []


def test_one_item_at_a_time_in_threads_is_the_same(tmp_path):
    def describe(row):
        return {"a": torch.full((2,), float(row)), "n": np.int32(row)}

    stored = store.build({"what": "rows"}, 7, store.ByRow(describe, 3), root=tmp_path, shard=2, progress=False)
    assert stored.read("a").tolist() == [[row, row] for row in range(7)] and stored.read("n").tolist() == list(range(7))
    assert stored.layout == {"a": ("float32", (2,)), "n": ("int32", ())}


def test_digests_name_arrays():
    a = np.arange(6.0)
    assert store.array_digest(a) == store.array_digest(a.copy()) == store.array_digest(a[:3], a[3:])
    assert store.array_digest(a) != store.array_digest(a + 1)
