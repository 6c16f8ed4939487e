"""Results enlarged and lists exported: what a picture shows instead, and files and code that give the same ids."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from foir_lib import Box, Mask, Point, load_model, load_set
from foir_lib.data.masks import decode
from foir_lib.errors import InputError
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.retrieval import RetrievalExplorer
from foir_lib.view.results import records


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    small = load_set("mini-focus", seed=6, n_query=6, n_database=40)
    return Corpus(small, load_model("mini-vit", device="cpu"), cache=tmp_path_factory.mktemp("cache"), progress=False)


@pytest.fixture
def explorer(corpus):
    explorer = RetrievalExplorer(corpus, k=10)
    explorer.query(0)
    yield explorer
    explorer.close()


def place_of(explorer, method):
    return [row["title"] for row in explorer.gallery.rows].index(method)


def test_a_result_is_enlarged_with_its_objects_and_why_it_is_right_or_wrong(corpus, explorer):
    label, objects = explorer.panel.label, corpus.set.objects
    seen = set()
    for result in explorer.results["PHS"].itertuples():
        explorer.inspector.receive({"look": int(result.row), "row": place_of(explorer, "PHS")})
        record, (place, why) = explorer.inspector.record, explorer.state["words"]
        own = objects[objects["image_id"] == result.image_id]
        assert place.startswith(f"rank {result.rank}, similarity {result.score:.3f}") and "CBIR" in place
        assert all(name in why for name in own["label"]) and (f"not: {label}" in why) == (not result.right)
        assert record["lines"][1][2] == ("right" if result.right else "wrong") and (label in set(own["label"])) == result.right
        np.testing.assert_allclose([box["at"] for box in record["boxes"]], own[["x0", "y0", "x1", "y1"]], atol=0.051)
        assert [box["kind"] == "right" for box in record["boxes"]] == (own["label"] == label).tolist()
        picture, whole = Image.open(io.BytesIO(record["image"])), corpus.set.open(result.image_id)
        assert picture.size == whole.size == tuple(record["size"]) and place in record["alt"] and why in record["alt"]
        seen.add(result.right)
    assert seen == {True, False}


def test_what_it_shows_in_words():
    assert records.why(["mug", "plate"], "cup", False) == "shows: mug, plate; not: cup"
    assert records.why(["mug", "plate"], "mug", True, numbered=True) == "shows: mug (1), plate (2)"
    assert records.why([], "cup", False) == "not: cup" and records.why([], "", None) == ""
    assert records.why([str(i) for i in range(10)], "", None) == "shows: 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_the_enlarged_one_stays_while_it_is_listed(explorer):
    assert explorer.state["enlarged"].startswith("PHS: picture")  # the first of the last list, until something is looked at
    row = int(explorer.results["CBIR"]["row"].iloc[3])
    explorer.enlarge(row, "CBIR")
    explorer.inspector.receive({"pinned": True})
    explorer.options.h_on.value = 2
    assert explorer.state["enlarged"] == f"CBIR: picture {explorer.comparison.ids[row]}" and explorer.state["pinned"]
    explorer.inspector.receive({"look": row, "row": 99})
    explorer.inspector.receive({"look": "x", "row": 0})
    assert explorer.inspector.record["key"] == row
    explorer.k.value = 5
    explorer.methods = "PHS"
    if row not in explorer.results["PHS"]["row"].to_numpy():
        assert explorer.state["enlarged"].startswith("PHS: picture") and not explorer.state["pinned"]
    with pytest.raises(InputError, match="is not in"):
        explorer.enlarge(-7)


def test_the_outline_of_what_is_looked_at_comes_by_itself(explorer):
    found = []
    for row in explorer.results["PHS"]["row"].head(4).tolist():
        explorer.inspector.receive({"look": row, "row": place_of(explorer, "PHS")})
        explorer.wait()
        outline = explorer.inspector.record["outline"]
        assert tuple(outline["size"]) == tuple(explorer.inspector.record["size"]) and outline["alt"] in explorer.state["words"]
        found.append(len(outline["paths"]))
    assert any(found) and explorer.state["outlines"] == []  # the lists show none: no localiser was chosen
    explorer.ask(Box(2, 2, 30, 30))
    assert explorer.inspector.record["outline"] is None  # it was another query's


def test_ask_with_this(explorer):
    row = int(explorer.results["PHS"]["row"].iloc[2])
    explorer.enlarge(row)
    explorer.inspector.receive({"do": "ask"})
    assert explorer.panel.image_id == explorer.comparison.ids[row] and explorer.canvas.prompt is None


def painted(size):
    """A mask with an odd edge."""
    array = np.zeros(size[::-1], bool)
    array[20:60, 30:61], array[5:9, 5:70] = True, True
    return Mask(array)


@pytest.mark.parametrize("prompt", [None, Box(5.5, 8, 60.25, 71), Point(40, 50), "mask"])
def test_the_line_of_code_gives_the_same_ids(corpus, explorer, prompt):
    explorer.methods = "CBIR, PHS(h_on=3, roi='max')" if prompt is not None else "CBIR"
    explorer.ask(painted(explorer.canvas.size) if prompt == "mask" else prompt)
    assert "\n" not in explorer.code and explorer.code == explorer.inspector.code
    *imports, call = explorer.code.split("; ")
    names = {"corpus": corpus}
    exec("\n".join([*imports, f"found = {call}"]), names)
    assert list(names["found"]) == list(explorer.results)
    for name, table in explorer.results.items():
        assert names["found"][name]["image_id"].tolist() == table["image_id"].tolist()


def test_an_own_photograph_is_repeated_as_picture(corpus, explorer):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    explorer.ask(Box(10, 10, 60, 60), picture)
    *imports, call = explorer.code.split("; ")
    names = {"corpus": corpus, "picture": picture}
    exec("\n".join([*imports, f"found = {call}"]), names)
    assert names["found"]["PHS"]["row"].tolist() == explorer.results["PHS"]["row"].tolist() and "(corpus, picture, Box" in call


def test_json_holds_the_query_and_all_lists(corpus, explorer):
    name, content = explorer.export("json")
    told, query = json.loads(content), corpus.set.queries.iloc[0]
    assert name.endswith(".json") and "/" not in name and told["set"] == corpus.set.name and told["model"] == "mini-vit"
    assert told["query"]["picture"] == query["image_id"] and told["query"]["label"] == query["label"] and told["code"] == explorer.code
    box = told["query"]["prompt"]
    assert Box(box["x0"], box["y0"], box["x1"], box["y1"]) == query["prompt"] and box["kind"] == "box"
    for one, (method, table) in zip(told["lists"], explorer.results.items(), strict=True):
        assert (one["method"], one["pictures"], one["rows"]) == (method, table["image_id"].tolist(), table["row"].tolist())
        assert np.allclose(one["scores"], table["score"]) and one["right"] == table["right"].tolist()
    mask = painted(explorer.canvas.size)
    explorer.ask(mask)
    coded = json.loads(explorer.export("json")[1])["query"]["prompt"]
    assert (decode({"size": coded["size"], "counts": coded["counts"]}, explorer.canvas.size, "mask") == mask.array).all()


def test_png_shows_query_mark_and_rows(explorer, monkeypatch):
    sent = []
    monkeypatch.setattr(explorer.inspector, "send", lambda content, buffers: sent.append((content, buffers)))
    explorer.inspector.receive({"do": "png"})
    ((about, (content,)),) = sent
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    assert about["kind"] == "image/png" and about["file"].endswith(".png") and picture.width > 1000
    pixels = np.asarray(picture, int)
    for colour in ((0, 114, 178), (0, 158, 115), (193, 18, 31)):  # blue query, right and wrong
        assert (np.abs(pixels - colour).sum(2) < 30).sum() > 200
    explorer.ask(Point(40, 50))
    assert Image.open(io.BytesIO(explorer.export("png")[1])).width == picture.width
    with pytest.raises(InputError, match="export as 'gif'"):
        explorer.export("gif")
