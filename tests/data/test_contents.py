"""What pictures hold counts, not what their files are called or when they were written: keys of features, remembered sizes."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foir_lib import load_set
from foir_lib.data import contents
from foir_lib.data.readers import pictures
from foir_lib.errors import InputError, MissingError
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.corpus import Corpus


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def album(folder, seed):
    """Three BMPs, which are as long in every album, all written at the same moment."""
    folder.mkdir(parents=True)
    for name in "abc":
        pixels = np.random.default_rng([seed, ord(name)]).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.bmp")
        os.utime(folder / f"{name}.bmp", ns=(10**18, 10**18))
    return folder


def stats(folder):
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]


def test_two_folders_that_the_file_system_cannot_tell_apart(tmp_path):
    one, other = (album(tmp_path / name / "photos", seed) for seed, name in enumerate("xy"))
    assert stats(one) == stats(other)
    model, vectors = tiny.vit(), []
    for root in (one, other, one):
        photos = load_set("folder", root=root)
        corpus = Corpus(photos, model, progress=False)
        vectors.append(np.asarray(corpus.described(CBIR(), corpus.database).read("descriptor")))
        fresh = torch.stack([model.preprocess(photos.open(image_id)) for image_id in photos.database["image_id"]])
        np.testing.assert_allclose(vectors[-1], model.descriptor(model.cls_state(fresh)), atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[1], atol=1e-3)


def test_a_copy_or_a_touched_folder_is_the_same_and_an_edited_one_is_not(tmp_path):
    folder = album(tmp_path / "photos", 0)
    key = load_set("folder", root=folder).fingerprint
    shutil.copytree(folder, tmp_path / "elsewhere" / "photos")
    os.utime(folder / "a.bmp")
    assert load_set("folder", root=folder).fingerprint == load_set("folder", root=tmp_path / "elsewhere" / "photos").fingerprint == key
    before = (folder / "a.bmp").stat()
    content = bytearray((folder / "a.bmp").read_bytes())
    content[-1] ^= 1
    (folder / "a.bmp").write_bytes(content)
    os.utime(folder / "a.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_set("folder", root=folder).fingerprint != key


def test_files_are_read_once(tmp_path, monkeypatch):
    folder = album(tmp_path / "photos", 0)
    key = load_set("folder", root=folder).fingerprint
    monkeypatch.setattr(contents, "digest", lambda path: pytest.fail(f"{path} was read again"))
    assert load_set("folder", root=folder).fingerprint == key


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(MissingError, match="no picture at .*gone.jpg"):
        contents.digests([str(tmp_path / "gone.jpg")], "test")
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="pipe.jpg can't be read: it is a folder, a pipe"):
        contents.digests([str(tmp_path / "pipe.jpg")], "test")


@given(st.binary(min_size=1, max_size=300), st.sampled_from([1, 20_000]), st.data())
@settings(max_examples=50, deadline=None)
def test_any_change_is_another_digest(tmp_path_factory, content, times, data):
    path, content = tmp_path_factory.mktemp("x") / "a", content * times
    path.write_bytes(content)
    before = contents.digest(path)
    other = bytearray(content)
    other[data.draw(st.integers(0, len(other) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(other)
    assert contents.digest(path) != before
    path.write_bytes(content)
    assert contents.digest(path) == before
    path.write_bytes(content + b"\0")
    assert contents.digest(path) != before


def test_of_a_folder_that_was_changed_only_what_is_new_is_read(tmp_path):
    folder = album(tmp_path / "photos", 0)
    read = []

    def each(kind="k"):
        del read[:]
        paths = [str(path) for path in sorted(folder.iterdir())]
        values = contents.each(kind, paths, lambda path: read.append(Path(path).name) or Path(path).read_bytes()[-4:], "test")
        assert values == [Path(path).read_bytes()[-4:] for path in paths]
        return sorted(read)

    assert each() == ["a.bmp", "b.bmp", "c.bmp"] and each() == [] and each("other") == ["a.bmp", "b.bmp", "c.bmp"]
    shutil.copy(folder / "a.bmp", folder / "d.bmp")
    (folder / "b.bmp").unlink()
    (folder / "c.bmp").write_bytes((folder / "c.bmp").read_bytes()[:-4] + b"abcd")
    assert each() == ["c.bmp", "d.bmp"] and each() == []
    (folder / "d.bmp").rename(folder / "e.bmp")
    assert each() == ["e.bmp"]
    assert contents.each("none", [str(folder / "a.bmp")], lambda path: None, "test") == [None]
    assert contents.each("none", [str(folder / "a.bmp")], lambda path: b"12", "test") == [b"12"], "what couldn't be read is tried again"
    assert contents.each("none", [], None, "test") == []


def test_a_flipped_bit_in_what_was_remembered_changes_nothing(tmp_path, cache):
    folder = album(tmp_path / "photos", 0)
    paths = [str(path) for path in sorted(folder.iterdir())]
    sizes, key = pictures.sizes(paths, "test"), load_set("folder", root=folder).fingerprint
    files = [path for kind in ("headers", "decoded", "contents") for path in Path(cache, kind).iterdir()]
    assert len(files) == 3
    for path in files:
        whole = path.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 3, len(whole) - 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
            np.testing.assert_array_equal(pictures.sizes(paths, "test"), sizes)
            assert load_set("folder", root=folder).fingerprint == key
