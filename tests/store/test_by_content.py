"""Features by what pictures hold: described once, whatever is added, removed, renamed or edited, and never a wrong row."""

import shutil

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foir_lib import load_set
from foir_lib.errors import InputError
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.corpus import Corpus
from foir_lib.store import by_content

KEY = {"model": "m"}


def rows_of(contents):
    return {"x": np.array([[len(c), ord(c[0])] for c in contents], np.float32), "flag": np.array([c > "m" for c in contents])}


class Maker:
    """Describes letters, two at a time, and knows which it was asked for."""

    def __init__(self, contents):
        self.contents, self.asked = contents, []

    def __call__(self, rows):
        for start in range(0, len(rows), 2):
            part = [self.contents[row] for row in rows[start : start + 2]]
            self.asked += part
            yield rows_of(part)


def build(root, contents, shard=3):
    make = Maker(contents)
    features = by_content.build(KEY, contents, make, root=root, shard=shard, progress=False)
    for name, array in rows_of(contents).items():
        np.testing.assert_array_equal(features.read(name), array)
        np.testing.assert_array_equal(features.read(name, slice(1, None, 2)), array[1::2])
    return features, make.asked


def test_only_what_is_new_is_described(tmp_path):
    assert build(tmp_path, list("abcdefg"))[1] == list("abcdefg")
    assert build(tmp_path, list("gfedcba"))[1] == []  # another order
    assert build(tmp_path, list("abxcdeyfgz"))[1] == list("xyz")  # three more
    assert build(tmp_path, list("bdf"))[1] == []  # some removed
    assert build(tmp_path, list("bbwbw"))[1] == ["w"]  # twice
    features, asked = build(tmp_path, list("abcdefgxyzw"))
    assert asked == [] and len(features) == 11 and [start for start, _ in features.chunks("x", 4)] == [0, 4, 8]
    with pytest.raises(InputError, match="Rows 11 to 11 lie outside"):
        features.read("x", [11])
    with pytest.raises(InputError, match="Can't store features of 0 pictures"):
        build(tmp_path, [])


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 4))
def test_whatever_the_folder_becomes_each_is_described_once(tmp_path_factory, folders, shard):
    root, described = tmp_path_factory.mktemp("x"), []
    for contents in folders:
        described += build(root, contents, shard)[1]
    assert sorted(described) == sorted({content for contents in folders for content in contents})


def test_a_damaged_shard_is_described_again_to_the_same_bytes(tmp_path, caplog):
    features, _ = build(tmp_path, list("abcdefg"))
    shards = {path: path.read_bytes() for path in features.folder.glob("*.safetensors")}
    assert len(shards) == 3
    for path, content in shards.items():
        at = content.rindex(b"\0\0\x40") if b"\0\0\x40" in content else len(content) - 2
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert sorted(build(tmp_path, list("abcdefg"))[1]) == list("abcdefg")
    assert {path: path.read_bytes() for path in features.folder.glob("*.safetensors")} == shards
    assert "is damaged (checksum" in caplog.text and "is computed again" in caplog.text


def test_what_gives_other_arrays_than_before_is_refused(tmp_path):
    build(tmp_path, list("abc"))
    with pytest.raises(InputError, match="something is missing in the key"):
        by_content.build(KEY, list("abcd"), lambda rows: iter([{"x": np.ones((1, 5))}]), root=tmp_path, progress=False)
    with pytest.raises(InputError, match="NaN"):
        by_content.build(KEY, ["q"], lambda rows: iter([{"x": np.full((1, 2), np.nan)}]), root=tmp_path, progress=False)
    assert build(tmp_path, list("abcq"))[1] == ["q"]


# ---- photographs


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Twelve pictures, and ``described()``: how often the network looked, and that every row is of what its file holds."""
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    folder, model = tmp_path / "photos", tiny.vit()
    folder.mkdir()
    for n in range(12):
        draw(folder / f"{n:02d}.bmp", n)

    def described():
        seen, tokens = [], model.tokens
        monkeypatch.setattr(model, "tokens", lambda x, *depth: seen.append(len(x)) or tokens(x, *depth))
        corpus = Corpus(load_set("folder", root=folder), model, progress=False, batch_size=4)
        vectors = corpus.described(CBIR(), corpus.database).read("descriptor")
        monkeypatch.setattr(model, "tokens", tokens)
        for row, image_id in enumerate(corpus.database.ids):
            state = model.cls_state(model.preprocess(corpus.set.open(image_id))[None])
            np.testing.assert_allclose(vectors[row], model.descriptor(state)[0], atol=1e-5)
        return sum(seen)

    return folder, described


def draw(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_a_folder_of_photographs_that_changes(album):
    folder, described = album
    assert described() == 12 and described() == 0
    for n in range(12, 15):
        draw(folder / f"{n}.bmp", n)
    assert described() == 3
    (folder / "03.bmp").unlink()
    (folder / "05.bmp").rename(folder / "aaa.bmp")
    shutil.copy(folder / "07.bmp", folder / "bbb.bmp")
    assert described() == 0
    draw(folder / "02.bmp", 99)  # as long as before
    one, other = (folder / "08.bmp").read_bytes(), (folder / "09.bmp").read_bytes()
    (folder / "08.bmp").write_bytes(other), (folder / "09.bmp").write_bytes(one)  # names exchanged
    assert described() == 1
    draw(folder / "02.bmp", 2)  # as it was
    assert described() == 0


def test_a_picture_that_changes_while_it_is_described_is_not_stored(album, monkeypatch):
    folder, described = album
    unchanged = load_set("folder", root=folder).__class__.unchanged

    def meanwhile(self, image_ids):
        draw(folder / "02.bmp", 77)
        unchanged(self, image_ids)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="02.bmp was changed while it was being read: start again"):
        patch.setattr(load_set("folder", root=folder).__class__, "unchanged", meanwhile)
        described()
    assert described() == 12
