"""One way to read path text; places are tried; what is remembered is keyed by content; nothing old blocks a reader."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foir_lib import files, load_model, registry
from foir_lib.bench.runs import runner, stamp
from foir_lib.data import load_set, training
from foir_lib.data.getting import download
from foir_lib.data.readers import reading
from foir_lib.errors import InputError, MissingError
from foir_lib.files import cached
from foir_lib.folders import below
from foir_lib.methods import regional_attention
from foir_lib.models import checkpoints, detectors, weights
from foir_lib.retrievers import guests
from foir_lib.search import npz
from foir_lib.training import recipes

NOBODY = "~nobody-is-called-so/x"
BAD = {
    NOBODY: "home folder of nobody",
    os.fsdecode(b"/tmp/caf\xe9"): "no UTF-8",
    "a\0b": "zero byte",
    "x" * 300: "name is too long",
    "/x" * 3000: "name is too long",
}


# ---- path text


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_path_as_people_write_it(home):
    assert files.as_path("~/a b") == files.as_path(b"~/a b") == files.as_path(Path("~/a b")) == home / "a b"
    assert files.as_path("~") == home and files.as_path("~root") == Path("/root")
    assert files.as_path("Café/日本") == Path("Café/日本") and files.as_path("") == Path(".")


@pytest.mark.parametrize("text", BAD)
def test_what_no_file_can_be_called_is_one_sentence(text):
    for path in (text, Path(text), os.fsencode(text)):
        with pytest.raises(InputError, match=BAD[text]) as error:
            files.as_path(path)
        assert str(error.value).isprintable() and str(error.value).endswith(".")


@given(st.one_of(st.text(), st.binary().map(os.fsdecode), st.text("~/.a\0\udce9é ", max_size=9)))
def test_any_text_is_a_path_that_can_be_looked_for_or_an_inputerror(text):
    try:
        path = files.as_path(text)
    except InputError as error:
        str(error).encode()
    else:
        path.exists()
        str(path).encode()


@pytest.mark.parametrize("text", [None, 3, ["a"], 1.5])
def test_what_is_no_text_is_no_path(text):
    with pytest.raises(InputError, match="is no path"):
        files.as_path(text)


PICTURES = files.manifest_root() / "samples" / "grocery"
DOORS = {  # all that read path text
    "weights of a ViT": lambda path: load_model("mini-vit", weights=path, device="cpu"),
    "weights of a CNN": lambda path: load_model("mini-cnn", weights=path, device="cpu"),
    "weights": checkpoints.read,
    "detector": detectors.load_faster_rcnn,
    "attention": regional_attention.load,
    "a guest": lambda path: guests.read(path, None),
    "a ranking": lambda path: npz.load(path, "ranking", ["ids"]),
    "a set's folder": lambda path: load_set("folder", root=path),
    "the root of annotations": lambda path: reading.need(path, "folder", "x"),
    "boxes": lambda path: load_set("folder", root=PICTURES, boxes=path),
    "pictures": below,
    "training pictures": training.sample,
    "a labelled folder": lambda path: training.load("folders", "arcface", path),
    "a plug-in": registry.load_plugin,
    "a recipe": recipes.run,
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_reads_a_path_the_same_way(home, door):
    (home / "there").mkdir()
    with pytest.raises((InputError, MissingError)) as error:
        DOORS[door]("~/there/nothing")
    assert str(home) in str(error.value) and "~" not in str(error.value)
    for text, words in BAD.items():
        with pytest.raises(InputError, match=words):
            DOORS[door](text)


PLACES = {  # all that write
    "atomic_write": lambda path: files.atomic_write(path, "x"),
    "a place that is tried": files.try_place,
    "weights": lambda path: weights.write({}, "w", path, [1.0], {}, {}),
    "a recipe": lambda path: recipes.launch({"name": "x"}, path),
    "a run": lambda path: runner.reproduce(["phs-1"], {}, path),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_reads_a_path_the_same_way(place, monkeypatch):
    monkeypatch.setattr(runner, "run_all", pytest.fail)
    for text, words in BAD.items():
        with pytest.raises(InputError, match=words):
            PLACES[place](text)


def test_the_environments_folders_too(home, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", "~/cache")
    monkeypatch.setenv("FOIR_DATA", "~/data")
    assert files.cache_root() == home / "cache" and download.data_root("coco") == home / "data" / "coco"
    assert download.data_root("coco", "~/mine") == home / "mine"
    for text, words in BAD.items():
        if "\0" not in text:  # no environment can hold one
            monkeypatch.setenv("FOIR_CACHE", text)
            monkeypatch.setenv("FOIR_DATA", text)
            for look in (files.cache_root, lambda: download.data_root("coco")):
                with pytest.raises(InputError, match=words):
                    look()


@pytest.mark.parametrize("name", runner.PLACES)
def test_a_run_refuses_a_path_of_nobody_before_it_begins(name, monkeypatch):
    values = {"dataset": "roxford5k", "model": "mini-cnn", name: f"A={NOBODY}" if name == "guest" else NOBODY}
    with pytest.raises(InputError, match="home folder of nobody"):
        runner.reproduce(["ra-3" if name in ("attention", "detector") else "ca-1"], values, out="none")


def test_a_stamp_knows_the_file_behind_a_tilde(home):
    (home / "w").write_bytes(b"1")
    assert stamp._touched("~/w") == stamp._touched(str(home / "w")) == stamp._touched("A=~/w, B=~/none")
    assert stamp._touched("~/none") is stamp._touched("") is stamp._touched(NOBODY) is None


# ---- places


def test_a_place_is_tried_and_nothing_is_left(tmp_path):
    assert files.try_place(str(tmp_path / "new" / "b.json")) == tmp_path / "new" / "b.json"
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "old").write_text("old")
    files.try_place(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"
    for path in (tmp_path, tmp_path / "old" / "b.json", "/proc/zz/b.json"):
        with pytest.raises(InputError, match=f"Can't write {path}: .*; free some space or set"):
            files.try_place(path)


def test_results_that_can_not_be_written_are_refused_before_the_work(tmp_path, monkeypatch):
    from foir_lib.bench.speed import run

    monkeypatch.setattr(run.zoo, "load_model", pytest.fail)
    monkeypatch.setattr(runner, "run_all", pytest.fail)
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "file" / "b.json", "/proc/zz"):
        with pytest.raises(InputError, match="Can't write"):
            run.main(out)
    for out in (tmp_path / "file", "/proc/zz", "/proc/zz/deep"):
        with pytest.raises(InputError, match=f"Can't write results to {out}: .*; choose another --out"):
            runner.reproduce(["phs-1"], {}, out)


# ---- keys from content


def pictures(folder, contents):
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1e9, 1e9))
    return [str(folder / name) for name in contents]


def test_a_pipe_in_the_place_of_a_cached_file_is_not_waited_for(tmp_path):
    assert cached("kind", {"a": 1}, lambda: b"one", tmp_path) == b"one"
    [path] = (tmp_path / "kind").iterdir()
    path.unlink()
    os.mkfifo(path)
    assert cached("kind", {"a": 1}, lambda: b"two", tmp_path) == cached("kind", {"a": 1}, lambda: b"three", tmp_path) == b"two"


def test_two_folders_of_the_same_names_sizes_and_times_have_features_of_their_own(tmp_path):
    from PIL import Image

    prints = []
    for number, colour in enumerate(((200, 0, 0), (0, 200, 0))):
        (tmp_path / str(number)).mkdir()
        for name in "ab":
            path = tmp_path / str(number) / f"{name}.bmp"
            Image.new("RGB", (8, 8), colour).save(path)
            os.utime(path, (1e9, 1e9))
        prints.append(load_set("folder", root=tmp_path / str(number)).fingerprint)
    assert prints[0] != prints[1]


# ---- nothing old blocks a reader


def test_what_can_not_be_removed_stays_and_harms_nobody(tmp_path, monkeypatch):
    (tmp_path / ".a.1-x.tmp").mkdir()
    (tmp_path / ".b.1-x.tmp").write_bytes(b"old")
    for name in (".a.1-x.tmp", ".b.1-x.tmp"):
        os.utime(tmp_path / name, (1, 1))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        for name in ("pathlib.Path.unlink", "shutil.rmtree"):
            patch.setattr(name, refuse)
        files.remove_stale(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    files.remove_stale(tmp_path)
    assert not list(tmp_path.iterdir())
    files.remove_stale(tmp_path / "nowhere")


def test_temporary_names_are_short_enough_and_unlike(tmp_path):
    path = tmp_path / ("x" * 250)
    names = {files.temporary_beside(path).name for _ in range(100)}
    assert len(names) == 100 and max(map(len, names)) <= 255
    files.atomic_write(path, "whole")
    assert path.read_text() == "whole"


def test_other_users_leftovers_do_not_block_features(tmp_path, monkeypatch):
    from foir_lib.store import features

    def build():
        return features.build({"what": "x"}, 3, lambda a, b: {"x": np.arange(a, b)}, root=tmp_path, shard=2, progress=False)

    folder = build().folder
    (folder / ".key.json.1-x.tmp").write_bytes(b"old")
    os.utime(folder / ".key.json.1-x.tmp", (time.time() - 1e6,) * 2)
    (folder / "key.json").unlink()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    for name in ("pathlib.Path.unlink", "pathlib.Path.write_bytes", "pathlib.Path.replace", "os.utime"):
        monkeypatch.setattr(name, refuse)
    assert build().read("x").tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["none", "\ud800.jpg", "a\0b.jpg", "x" * 5000])
def test_what_is_no_file_has_no_state(tmp_path, name):
    assert files.state(f"{tmp_path}/{name}") == (0, 0, 0, 0)


def test_checksums_are_those_of_the_standards(tmp_path):
    """FIPS 180's and RFC 1321's "abc", and FIPS 180's million times "a"; a file of several pieces as hashlib has it."""
    (tmp_path / "abc").write_bytes(b"abc"), (tmp_path / "million").write_bytes(b"a" * 1_000_000)
    (tmp_path / "pieces").write_bytes(b"\0" * (1 << 21))
    assert files.checksum(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.checksum(str(tmp_path / "abc"), "md5") == "900150983cd24fb0d6963f7d28e17f72"
    assert files.checksum(tmp_path / "million") == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    assert files.checksum(tmp_path / "pieces", progress=True) == hashlib.sha256(bytes(1 << 21)).hexdigest()
