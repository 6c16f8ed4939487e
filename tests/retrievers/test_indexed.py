"""A searched index of a folder: built, left half built, added to, removed from, and searched as the exhaustive scan is."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from foir_lib import Box, load_set, registry
from foir_lib.data import indexed as notes
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.files import manifest_root
from foir_lib.retrievers.indexed import index as indexed
from foir_lib.retrievers.indexed.stages import Stages

SAMPLES, MODEL, QUIET = manifest_root() / "samples" / "grocery", "mini-vit-small", {"device": "cpu", "progress": False}
BOX = Box(20, 20, 200, 180)
pytestmark = [pytest.mark.filterwarnings("ignore:Index"), pytest.mark.filterwarnings("ignore:Set index")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return shutil.copytree(SAMPLES, tmp_path_factory.mktemp("photos") / "shop")


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    return indexed.build(str(photos), tmp_path_factory.mktemp("indexes") / "a", model=MODEL, **QUIET)


@pytest.fixture
def mine(whole, photos, tmp_path):
    """An index of the test's own, and its folder of pictures."""
    shutil.copytree(photos, tmp_path / "shop")
    shutil.copytree(whole.folder, tmp_path / "index")
    content = notes.note(tmp_path / "index")
    notes.write(tmp_path / "index", content | {"places": {"": str(tmp_path / "shop")}})
    return tmp_path / "index", tmp_path / "shop"


def query(photos):
    return Image.open(sorted(photos.rglob("*.jpg"))[0]).convert("RGB")


def described(index):
    """How many pictures' rows lie in the index."""
    return sum(len(json.loads(read.metadata()["foir"])["items"]) for read in map(opened, index.glob("features/*/*.safetensors")))


def opened(path):
    from safetensors import safe_open

    return safe_open(path, framework="np")


def test_its_results_are_those_of_the_exhaustive_scan(whole, photos):
    results, corpus, retriever = whole.search(query(photos), BOX, 12), whole.corpus, registry.parse("retriever", "PHS(query_db=True)")
    scores, ids = retriever.score(corpus, retriever.describe(corpus.live(query(photos), [BOX])), corpus.described(retriever, corpus.database), 12)
    assert results["score"].tolist() == scores[0].tolist() and results["place"].tolist() == list(range(1, 13))
    assert results["image"].tolist() == corpus.set.database["image_id"].iloc[ids[0]].tolist()
    assert results["label"].tolist() == [name.partition("/")[0] for name in results["image"]]
    lemons = whole.search(query(photos), BOX, 12, where={"label": "Lemon"})
    assert lemons["image"].tolist() == [name for name in results["image"] if name.startswith("Lemon/")]
    assert len(whole.search(query(photos), BOX, 12, m=5)) == 5


def test_it_says_what_it_is(whole, photos):
    note = json.loads((whole.folder / "index.json").read_text())
    assert note["places"] == {"": str(photos)} and note["method"] == "PHS(query_db=True)" and note["pictures"] == 12 and note["complete"]
    assert note["model"]["name"] == MODEL and "mini-vit-small.safetensors" in note["model"]["key"]
    assert not [path for path in photos.rglob("*") if path.suffix not in (".jpg", ".md", "") and path.is_file()]
    again = load_set("index", root=whole.folder)
    assert len(again.database) == 12 and again.fingerprint == whole.corpus.set.fingerprint


@pytest.mark.parametrize("engine", ["faiss", "milvus"])
def test_other_engines_give_the_same(engine, whole, photos, tmp_path):
    if engine == "milvus":
        pytest.importorskip("pymilvus", reason="the extra scale isn't installed"), pytest.importorskip("milvus_lite", reason="the extra scale isn't installed")
    shutil.copytree(whole.folder / "features", tmp_path / "i" / "features")  # described once
    indexed.build(str(photos), tmp_path / "i", model=MODEL, engine=engine, **QUIET)
    one = indexed.open_index(tmp_path / "i", **QUIET)
    for m, where in ((5, {}), (5, {"image": "Lemon/"}), (2, {"label": "Banana"})):
        results, exact = (index.search(query(photos), BOX, 4, m, where) for index in (one, whole))
        assert results.drop(columns="score").equals(exact.drop(columns="score"))
        np.testing.assert_allclose(results["score"], exact["score"], atol=1e-6)
    indexed.remove(tmp_path / "i", ["Lemon"], **QUIET)
    assert len(indexed.open_index(tmp_path / "i", **QUIET).search(query(photos), BOX, 20, 5)) == 5


def test_what_is_added_alone_is_described_and_what_was_removed_is_found_again(mine, photos):
    folder, shop = mine
    assert described(folder) == 12
    Image.open(shop / "Lemon" / "Lemon_004.jpg").rotate(90).save(shop / "Lemon" / "turned.jpg")
    with pytest.raises(IntegrityError, match="were changed since it held 12: run `foir index add"):
        indexed.open_index(folder, **QUIET)
    assert len(indexed.add(folder, **QUIET)) == 13 and described(folder) == 13
    assert len(indexed.remove(folder, ["Lemon", shop / "Banana" / "Banana_001.jpg"], **QUIET)) == 8
    names = indexed.open_index(folder, **QUIET).search(query(photos), BOX, 20)["image"]
    assert len(names) == 8 and not names.str.startswith("Lemon").any() and "Banana/Banana_001.jpg" not in set(names)
    assert (shop / "Lemon" / "Lemon_004.jpg").is_file()
    assert len(indexed.add(folder, [shop / "Lemon"], **QUIET)) == 12 and described(folder) == 13
    other = shutil.copytree(shop / "Lemon", shop.parent / "more")
    assert len(indexed.add(folder, [other], **QUIET)) == 16 and described(folder) == 13, "the same pictures in another place"
    assert set(notes.note(folder)["places"]) == {"", "more"}
    assert "more/turned.jpg" in set(indexed.open_index(folder, **QUIET).search(query(photos), BOX, 20)["image"])


def test_one_left_half_built_goes_on(mine, photos, monkeypatch):
    folder, shop = mine

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Stages, "fill", stopped)
    with pytest.raises(KeyboardInterrupt):
        indexed.remove(folder, ["Lemon"], **QUIET)
    monkeypatch.undo()
    with pytest.raises(IntegrityError, match="was left half built: `foir index add .*` goes on where it was stopped"):
        indexed.open_index(folder, **QUIET)
    indexed.add(folder, **QUIET)
    assert len(indexed.open_index(folder, **QUIET)) == 9


@pytest.mark.parametrize(("act", "error", "words"), [
    (lambda i, s: indexed.open_index(s, **QUIET), MissingError, "There is no index in .*: make one with `foir index build"),
    (lambda i, s: indexed.build(str(s), i, model="mini-vit", **QUIET), IntegrityError, "holds an index with model .*'mini-vit-small'.*, not"),
    (lambda i, s: indexed.build(str(s), i, "CBIR", MODEL, **QUIET), IntegrityError, r"holds an index with method PHS\(query_db=True\), not CBIR"),
    (lambda i, s: indexed.build(str(s), i / "new", "MaxCrops(objects='tokens')", MODEL, **QUIET), InputError, "can't be searched in two stages"),
    (lambda i, s: indexed.build(str(s), i / "new", "CA", MODEL, **QUIET), InputError, "CA can't be had on these pictures: mini-vit-small has no feature maps"),
    (lambda i, s: indexed.build(str(s), i / "new", model=MODEL, engine="fais", **QUIET), InputError, "did you mean faiss"),
    (lambda i, s: indexed.build("nowhere", i / "new", model=MODEL, **QUIET), MissingError, "nowhere"),
    (lambda i, s: indexed.remove(i, ["Cherry"], **QUIET), InputError, "The index holds nothing of Cherry"),
    (lambda i, s: indexed.remove(i, [s], **QUIET), InputError, "Nothing would be left in the index"),
    (lambda i, s: indexed.open_index(i, **QUIET).search(query(s), Box(9000, 9000, 9001, 9001)), InputError, "outside"),
    (lambda i, s: (i / "index.json").write_text("{}") and indexed.open_index(i, **QUIET), IntegrityError, "index.json can't be read"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence_and_the_index_stays(act, error, words, mine):
    before = (mine[0] / "index.json").read_text()
    with pytest.raises(error, match=words) as caught:
        act(*mine)
    assert "\n" not in str(caught.value) and (mine[0] / "index.json").read_text() in (before, "{}")
