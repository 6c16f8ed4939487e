"""RetrievalSet and Protocol: hand-worked positives, every refusal in words, relevance against plain sets."""

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as rle

from foir_lib import registry
from foir_lib.data import RetrievalSet, load_set
from foir_lib.data.protocol import Protocol
from foir_lib.data.readers.reading import make_set
from foir_lib.errors import InputError, MissingError
from foir_lib.prompts import Box

# One street: q1 (dog, dog, a crowd of people), q2 (cat) ask; a, b, c, d answer.
IMAGES = [("q1", "query"), ("q2", "query"), ("q3", "query"), *((i, "database") for i in "abcd")]
OBJECTS = [  # image, label, box, ignore
    ("q1", "dog", (0, 0, 10, 8), False),
    ("q1", "dog", (2.5, 3, 40, 30), False),
    ("q1", "person", (0, 0, 5, 5), True),
    ("q2", "cat", (1, 1, 4, 4), False),
    ("q3", "person", (1, 1, 4, 4), True),
    ("a", "dog", (0, 0, 1, 1), False),
    ("a", "dog", (3, 0, 4, 1), False),
    ("b", "cat", (0, 0, 1, 1), False),
    ("c", "dog", (0, 0, 40, 30), True),
    ("c", "bird", (0, 0, 40, 30), False),
]


@pytest.fixture
def tables(tmp_path):
    rows = []
    for image_id, split in IMAGES:
        path = tmp_path / f"{image_id}.png"
        Image.new("RGB", (40, 30), (ord(image_id[0]), 0, 0)).save(path)
        rows.append((image_id, str(path), 40, 30, split))
    images = pd.DataFrame(rows, columns=["image_id", "path", "width", "height", "split"])
    objects = pd.DataFrame(
        [(i, label, *box, ignore, None) for i, label, box, ignore in OBJECTS],
        columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"],
    )
    return images, objects


def answers(street, query):
    return list(street.database["image_id"].iloc[street.protocols["contains"].positives(query)])


def test_the_street_by_hand(tables):
    street = make_set("street", *tables)
    expected = [(q.image_id, q.label, q.prompt, q.object) for q in street.queries.itertuples()]
    assert expected == [
        ("q1", "dog", Box(0, 0, 10, 8), 0),
        ("q1", "dog", Box(2.5, 3, 40, 30), 1),
        ("q2", "cat", Box(1, 1, 4, 4), 3),
    ]  # crowds ask nothing, so q3 is no query image
    assert list(street.query_images["image_id"]) == ["q1", "q2"]
    assert list(street.database["image_id"]) == list("abcd")
    assert list(street.database.index) == [0, 1, 2, 3]
    assert [answers(street, q) for q in range(3)] == [["a", "c"], ["a", "c"], ["b"]]
    ids = np.array([[0, 1, 2, 3], [3, 2, -1, -1], [1, 0, -1, 1]])
    want = [[True, False, True, False], [False, True, False, False], [True, False, False, True]]
    assert street.protocols["contains"].relevance(ids).tolist() == want
    assert [street.n_objects(i) for i in ("q1", "q2", "a", "c", "d")] == [2, 1, 2, 1, 0]


def test_crowds_by_argument(tables):
    asking = make_set("street", *tables, ignored_queries=True)
    assert list(asking.queries["label"]) == ["dog", "dog", "person", "cat", "person"]
    assert answers(asking, 2) == []  # nobody in the database
    assert list(asking.query_images["image_id"]) == ["q1", "q2", "q3"]
    assert answers(make_set("street", *tables, ignored_positives=False), 0) == ["a"]


def test_own_picture_is_never_an_answer(tables):
    images, objects = tables
    images["split"] = "both"
    street = make_set("street", images, objects)
    splits = dict(zip(street.images["image_id"], street.images["split"], strict=True))
    # q3 holds only a crowd, d nothing: both can be found but do not ask
    assert splits == {"q1": "both", "q2": "both", "a": "both", "b": "both", "c": "both", "q3": "database", "d": "database"}  # fmt: skip
    by_image = {(q.image_id, q.label): row for row, q in enumerate(street.queries.itertuples())}
    assert answers(street, by_image["q1", "dog"]) == ["a", "c"]
    assert answers(street, by_image["a", "dog"]) == ["q1", "c"]
    everything = np.tile(np.arange(len(street.database)), (len(street.queries), 1))
    relevance = street.protocols["contains"].relevance(everything)
    assert list(np.flatnonzero(relevance[by_image["a", "dog"]])) == list(
        street.protocols["contains"].positives(by_image["a", "dog"])
    )


def test_open_and_fingerprint(tables, tmp_path):
    street = make_set("street", *tables)
    assert street.open("q1").getpixel((0, 0)) == (ord("q"), 0, 0)
    assert street.open("q1").size == (40, 30)
    with pytest.raises(InputError, match="no image 'zebra'"):
        street.open("zebra")
    with pytest.raises(InputError, match="no image 'zebra'"):
        street.n_objects("zebra")
    before = street.fingerprint
    assert before == make_set("street", *tables).fingerprint
    assert len(before) == 64 and int(before, 16)
    assert dataclasses.replace(street, name="other").fingerprint != before
    moved = tables[1].assign(x1=tables[1]["x1"].where(tables[1].index != 0, 9))
    assert make_set("street", tables[0], moved).fingerprint != before  # another prompt
    elsewhere = tables[1].assign(x1=tables[1]["x1"].where(tables[1].index != 5, 9))
    assert make_set("street", tables[0], elsewhere).fingerprint == before  # no prompt
    time = (tmp_path / "a.png").stat().st_mtime_ns
    os.utime(tmp_path / "a.png", ns=(time, time + 1))
    assert make_set("street", *tables).fingerprint == before  # a file that was touched holds what it held
    Image.new("RGB", (40, 30), (1, 2, 3)).save(tmp_path / "a.png")
    assert make_set("street", *tables).fingerprint != before
    Image.new("RGB", (20, 15)).save(tmp_path / "q1.png")
    with pytest.raises(InputError, match="20 x 15 pixels, its annotation says 40 x 30"):
        street.open("q1")
    (tmp_path / "b.png").unlink()
    with pytest.raises(MissingError, match=r"b\.png"):
        make_set("street", *tables).fingerprint  # noqa: B018
    with pytest.raises(MissingError, match=r"b\.png"):
        street.open("b")


def test_tables_of_the_caller_stay_as_they_are(tables):
    images, objects = tables
    images.index = objects_index = range(10, 17)
    make_set("street", images, objects)
    assert list(images.index) == list(objects_index) and "path" in images


# --- masks ---


def square():
    """A 4 x 3 block at (2, 1) of a 40 x 30 picture."""
    pixels = np.zeros((30, 40), dtype=np.uint8)
    pixels[1:4, 2:6] = 1
    return pixels


def runs(pixels):
    """Uncompressed run lengths, column by column, the first of zeros."""
    flat, counts, value = pixels.T.ravel(), [0], 0
    for pixel in flat:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def with_mask(tables, segmentation):
    images, objects = tables
    objects["segmentation"] = pd.Series([segmentation] + [None] * (len(objects) - 1), dtype=object)
    return make_set("street", images, objects)


@pytest.mark.parametrize("kind", ["polygon", "runs", "compressed", "bytes"])
def test_masks_of_every_kind(tables, kind):
    code = rle.encode(np.asfortranarray(square()))
    segmentation = {
        "polygon": [[2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]],
        "runs": {"size": [30, 40], "counts": runs(square())},
        "compressed": {"size": [30, 40], "counts": code["counts"].decode()},
        "bytes": code,
    }[kind]
    street = with_mask(tables, segmentation)
    assert np.array_equal(street.mask(0).array, square() > 0)
    assert street.mask(0).box((40, 30)) == Box(2, 1, 6, 4)
    assert street.fingerprint != with_mask(tables, None).fingerprint


def test_two_polygons_are_one_mask(tables):
    street = with_mask(tables, [[0, 0, 2, 0, 2, 2, 0, 2], [10, 10, 12, 10, 12, 11, 10, 11]])
    assert street.mask(0).array.sum() == 4 + 2


def test_a_sliver_becomes_its_box(tables):
    street = with_mask(tables, [[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]])
    assert np.array_equal(street.mask(0).array, Box(0, 0, 10, 8).pixels((40, 30)))


@pytest.mark.parametrize(
    "segmentation, words",
    [
        (None, "has no segmentation"),
        ([], "has no segmentation"),
        ([[1, 2, 3, 4]], "at least three"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least three"),
        ([[1, 2, 3, 4, 5, float("nan")]], "at least three"),
        ([["a", 2, 3, 4, 5, 6]], "broken segmentation"),
        ([1, 2, 3, 4], "at least three"),
        ({"counts": "abc"}, "broken segmentation"),
        ({"size": [40, 30], "counts": [1200]}, "30 x 40 pixels on a picture of 40 x 30"),
        ({"size": [30, 40], "counts": [7]}, "add up"),
        ({"size": [30, 40], "counts": None}, "broken segmentation"),
    ],
)
def test_bad_masks(tables, segmentation, words):
    with pytest.raises(InputError, match=words) as caught:
        with_mask(tables, segmentation).mask(0)
    assert "Object 0 (dog) of image 'q1'" in str(caught.value)


def test_mask_of_no_object(tables):
    for row in (-1, 10):
        with pytest.raises(InputError, match=f"no object {row}"):
            make_set("street", *tables).mask(row)


# --- refusals ---

BAD = {  # table, column, row, value -> words
    "image twice": ("images", "image_id", 1, "q1", "'q1' .* is there twice"),
    "image without id": ("images", "image_id", 1, None, "has no id"),
    "split": ("images", "split", 3, "test", "unknown split"),
    "no width": ("images", "width", 0, 0, "no usable size"),
    "half a pixel": ("images", "width", 0, 40.5, "no usable size"),
    "height unknown": ("images", "height", 0, float("nan"), "no usable size"),
    "stray object": ("objects", "image_id", 8, "zebra", "'zebra' .* every object needs its image"),
    "nameless object": ("objects", "label", 3, " ", "has no label"),
    "label NaN": ("objects", "label", 3, float("nan"), "has no label"),
    "box NaN": ("objects", "x0", 3, float("nan"), "not made of finite numbers"),
    "box infinite": ("objects", "y1", 3, float("inf"), "not made of finite numbers"),
    "box empty": ("objects", "x1", 3, 1.0, r"box \(1, 1, 1, 4\)\) is empty: x1 must be greater"),
    "box inverted": ("objects", "y1", 3, 0.5, "is empty: x1 must be greater than x0 and y1"),
    "box left of picture": ("objects", "x0", 3, -0.1, "reaches outside its picture"),
    "box below picture": ("objects", "y1", 3, 30.5, "reaches outside its picture"),
    "stray query": ("queries", "image_id", 0, "zebra", "every query needs its image"),
    "query in database": ("queries", "image_id", 0, "a", "is a database image"),
    "nameless query": ("queries", "label", 0, "", "has no label"),
    "prompt no box": ("queries", "prompt", 0, (0, 0, 10, 8), "has a prompt that is no Box"),
    "prompt outside": ("queries", "prompt", 0, Box(0, 0, 41, 8), "prompt that reaches outside"),
    "object unknown": ("queries", "object", 0, 10, "names no row of objects"),
    "object of other image": ("queries", "object", 0, 3, "another image or label"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_refused_in_words(tables, case):
    table, column, row, value, words = BAD[case]
    street = make_set("street", *tables)
    frame = getattr(street, table).astype(object)
    frame.at[row, column] = value
    with pytest.raises(InputError, match=words) as caught:
        dataclasses.replace(street, **{table: frame})
    assert str(caught.value).startswith("street: ")
    assert "\n" not in str(caught.value)


def test_several_faults_are_counted(tables):
    images, objects = tables
    street = make_set("street", images, objects)
    x1 = street.objects["x1"].where(street.objects.index >= 3, street.objects["x0"])
    with pytest.raises(InputError, match=r"image 'q1' .* \(3 such rows\)"):
        dataclasses.replace(street, objects=street.objects.assign(x1=x1))


@pytest.mark.parametrize("table", ["images", "objects", "queries"])
def test_missing_columns(tables, table):
    street = make_set("street", *tables)
    for column in getattr(street, table).columns:
        with pytest.raises(InputError, match=f"table {table} lacks the column {column}"):
            dataclasses.replace(street, **{table: getattr(street, table).drop(columns=column)})


def test_sets_without_queries_or_database(tables):
    images, objects = tables
    with pytest.raises(InputError, match="no queries"):
        make_set("street", images.assign(split="database"), objects)
    with pytest.raises(InputError, match="no database"):
        make_set("street", images.assign(split="query"), objects)
    with pytest.raises(InputError, match="no images"):
        make_set("street", images[:0], objects[:0])
    bare = make_set("street", images.assign(split="both"), objects[:0])  # own photographs
    assert len(bare.queries) == 0 and len(bare.query_images) == len(bare.database) == len(images)
    assert bare.protocols["contains"].relevance(np.zeros((0, 5), int)).shape == (0, 5)


def test_protocols_must_fit_the_set(tables):
    street = make_set("street", *tables)
    with pytest.raises(InputError, match="speaks of 1 queries, the table has 3"):
        dataclasses.replace(street, protocols={"p": Protocol(("x",), {"x": [0]})})
    with pytest.raises(InputError, match="names database row 4, the database has 4"):
        dataclasses.replace(street, protocols={"p": Protocol(("x",) * 3, {"x": [0, 4]})})
    replaced = dataclasses.replace(street, protocols={"p": Protocol(("x",) * 3, {"x": [0, 3]})})
    assert isinstance(replaced, RetrievalSet) and list(replaced.protocols) == ["p"]


# --- settings ---


def test_queries_are_independent_by_picture_or_by_landmark(tables):
    street = make_set("street", *tables)
    assert street.settings == {} and street.unit == "picture"
    assert street.units.tolist() == [0, 0, 1]  # q1, q1, q2
    queries = street.queries.assign(image_id=["q1", "q2", "q2"], object=[0, -1, 3], label=["dog", "cat", "cat"])
    by_label = dataclasses.replace(street, queries=queries, settings={"unit": "landmark"})
    assert by_label.unit == "landmark" and by_label.units.tolist() == [0, 1, 1]
    assert dataclasses.replace(by_label, settings={}).units.tolist() == [0, 1, 1]  # q1, q2, q2
    assert by_label.units.dtype.kind == "i"


def test_settings_are_no_part_of_what_features_are_made_of(tables):
    street = make_set("street", *tables)
    assert dataclasses.replace(street, settings={"n_features": 7}).fingerprint == street.fingerprint


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"n_feature": 7}, "no setting of street 'n_feature': did you mean n_features"),
        ({"n_features": 0}, "street: the setting n_features=0 must be a whole number"),
        ({"n_words": 7.5}, "n_words=7.5 must be a whole number"),
        ({"noise_pixels": "9"}, "noise_pixels='9' must be a whole number"),
        ({"enlarged": 0}, "enlarged=0 must be a factor above 0"),
        ({"enlarged": True}, "enlarged=True must be a factor"),
        ({"enlarged": float("nan")}, "enlarged=nan must be a factor"),
        ({"enlarged": float("inf")}, "enlarged=inf must be a factor"),
        ({"training": ""}, "training='' must be the name"),
        ({"training": 3}, "training=3 must be the name"),
        ({"objects": ""}, "street: the setting objects='' must be the name of a detector"),
        ({"masks": True}, "masks=True must be the name of a segmenter"),
        ({"unit": "pictures"}, "no unit for the queries of street 'pictures': did you mean picture"),
    ],
)
def test_bad_settings_are_refused_in_words(tables, settings, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(make_set("street", *tables), settings=settings)


# --- protocols ---


def test_the_metric_of_a_protocol(tables):
    assert make_set("street", *tables).protocols["contains"].metric == "focus"
    assert Protocol(("x",), {"x": [0]}).metric == "mAP"
    assert Protocol(("x",), {"x": [0]}, metric="focus").definition == "trapezoid"


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Protocol(("x",), {"x": [0]}, metric="map"), "no metric of protocols 'map': known are focus, mAP"),
        (lambda: Protocol(("x", "y"), {"x": [0]}), "'y' .* has no entry in positive"),
        (lambda: Protocol(("x",), {"x": [0, -1]}), "must list database rows"),
        (lambda: Protocol(("x",), {"x": [0.5]}), "must list database rows"),
        (lambda: Protocol(("x",), {"x": [[0]]}), "must list database rows"),
        (lambda: Protocol(("x",), {"x": [0, 1]}, {"x": [1]}), "both positive and ignored"),
        (lambda: Protocol(("x",), {"x": [0]}, own=np.array([0, 1])), "one database row"),
        (lambda: Protocol(("x",), {"x": [0]}).relevance(np.array([0])), "1 queries, k"),
        (lambda: Protocol(("x",), {"x": [0]}).relevance([[0], [1]]), "1 queries, k"),
        (lambda: Protocol(("x",), {"x": [0]}).relevance([[0.0]]), "whole numbers"),
        (lambda: Protocol(("x",), {"x": [0]}).relevance([[-2]]), "hold -2"),
    ],
)
def test_bad_protocols(make, words):
    with pytest.raises(InputError, match=words):
        make()


@st.composite
def protocols(draw):
    n = draw(st.integers(1, 12))
    rows = st.sets(st.integers(0, n - 1))
    groups = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=8))
    positive = {g: draw(rows) for g in "abc"}
    ignored = {g: draw(rows) - positive[g] for g in "ab"}
    own = draw(st.lists(st.integers(-1, n - 1), min_size=len(groups), max_size=len(groups)))
    k = draw(st.integers(0, 6))
    ids = draw(st.lists(st.lists(st.integers(-1, n + 2), min_size=k, max_size=k), min_size=len(groups), max_size=len(groups)))  # fmt: skip
    return n, groups, positive, ignored, own, np.array(ids, dtype=int).reshape(len(groups), k)


@settings(max_examples=200, deadline=None)
@given(protocols())
def test_relevance_is_membership(case):
    _, groups, positive, ignored, own, ids = case
    listed = {g: list(rows) for g, rows in positive.items()}
    protocol = Protocol(
        tuple(groups), listed, {g: list(r) for g, r in ignored.items()}, np.array(own)
    )
    relevance = protocol.relevance(ids)
    assert relevance.shape == ids.shape and relevance.dtype == bool
    for q, group in enumerate(groups):
        right = positive[group] - {own[q]}
        assert list(protocol.positives(q)) == sorted(right)
        assert list(protocol.ignored_of(q)) == sorted(ignored.get(group, set()) - {own[q]})
        assert list(relevance[q]) == [i in right for i in ids[q]]
    assert np.array_equal(
        protocol.relevance(ids), relevance
    )  # nothing of one call stays for the next


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("qrabc"), st.sampled_from(["dog", "cat", "bird"]), st.booleans()), min_size=1, max_size=15), st.booleans(), st.booleans())  # fmt: skip
def test_contains_against_plain_sets(rows, ask_ignored, count_ignored):
    """Positives of a query, derived a second time from the list of objects alone."""
    images = pd.DataFrame([(i, i, 9, 9, "query" if i in "qr" else "database") for i in "qrabc"], columns=["image_id", "path", "width", "height", "split"])  # fmt: skip
    objects = pd.DataFrame([(i, label, 0, 0, 1, 1, ignore, None) for i, label, ignore in rows], columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"])  # fmt: skip
    expected = [(i, label) for i, label, ignore in rows if i in "qr" and (ask_ignored or not ignore)]
    if not expected:
        with pytest.raises(InputError, match="no queries"):
            make_set("s", images, objects, ask_ignored, count_ignored)
        return
    result = make_set("s", images, objects, ask_ignored, count_ignored)
    assert list(zip(result.queries["image_id"], result.queries["label"], strict=True)) == expected
    for q, (_, label) in enumerate(expected):
        want = {i for i, other, ignore in rows if i in "abc" and other == label and (count_ignored or not ignore)}  # fmt: skip
        assert set(answers(result, q)) == want


# --- load_set ---


def test_load_set_names():
    with pytest.raises(InputError, match="did you mean coco.*mini-focus-dense") as error:
        load_set("cocoo")
    assert "folder" in str(error.value)
    with pytest.raises(InputError, match="no set 'xyzzy': known are"):
        load_set("xyzzy")
    with pytest.raises(InputError, match="no set None"):
        load_set(None)


@pytest.mark.parametrize("name", ["coco", "voc", "visual-genome", "folder"])
def test_load_set_real_sets_need_a_root(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_DATA", str(tmp_path))
    with pytest.raises(InputError, match=f"{name} needs a root"):
        load_set(name)
    with pytest.raises(MissingError, match="nowhere"):
        load_set(name, root=tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"no {name} option 'chek_files': did you mean check_files"):
        load_set(name, root=tmp_path, chek_files=True)


def test_load_set_mini_has_no_root(tmp_path):
    with pytest.raises(InputError, match="made from a seed"):
        load_set("mini-focus", root=tmp_path)
    with pytest.raises(InputError, match="no mini-focus option 'n_querry': did you mean n_query"):
        load_set("mini-focus", n_querry=3)


PLUGIN = """
import dataclasses
from foir_lib import load_set
from foir_lib.registry import register

@register("set", "mine")
def mine(root=None, seed=0, size=3):
    own = load_set("folder", root=root or FOLDER, check_files=False)
    return dataclasses.replace(own, name=f"mine {seed}", settings={"n_features": size})

@register("set", "rooted")
def rooted(root):
    return mine(root)

@register("set", "nothing")
def nothing():
    return []
"""


@pytest.fixture
def plugin(tables, tmp_path):
    """Sets of a plug-in, which are gone after the test."""
    path = tmp_path / "mine.py"
    path.write_text(f"FOLDER = {str(tmp_path)!r}\n{PLUGIN}")
    registry.load_plugin(path)
    yield tmp_path
    path.write_text(f"# nothing is left of {tmp_path}")
    registry.load_plugin(path)
    assert "mine" not in registry.names("set")


def test_a_set_of_one_s_own(plugin):
    first = load_set("mine")
    assert isinstance(first, RetrievalSet) and first.name == "mine 0" and first.settings == {"n_features": 3}
    assert load_set("mine", root=str(plugin), seed=7, size=4).settings == {"n_features": 4}
    assert load_set("mine", seed=7).name == "mine 7" and len(first.images) == len(IMAGES)
    with pytest.raises(InputError, match="no mine option 'sise': did you mean size.* are seed, size"):
        load_set("mine", sise=3)
    with pytest.raises(InputError, match="did you mean mine"):
        load_set("min")


def test_sets_of_one_s_own_that_need_a_root_or_are_none(plugin, monkeypatch):
    monkeypatch.setenv("FOIR_DATA", str(plugin))
    (plugin / "rooted").mkdir()
    assert load_set("rooted", root=plugin).name == "mine 0"
    with pytest.raises(InputError, match="rooted needs a root: give the folder with your photographs"):
        load_set("rooted")  # it is no set that is fetched, whatever lies there
    with pytest.raises(InputError, match="set 'nothing' opens as list: let its function return a RetrievalSet"):
        load_set("nothing")
    with pytest.raises(InputError, match="no nothing option 'n': known are none"):
        load_set("nothing", n=3)
    with pytest.raises(InputError, match="nothing is made from a seed and has no root"):
        load_set("nothing", root=plugin)


def test_settings_come_from_the_manifest_and_the_set_s_own_win(plugin, monkeypatch):
    monkeypatch.setattr("foir_lib.data.manifest", lambda name: {"settings": {"unit": "landmark", "n_features": 9}})
    assert load_set("mine").settings == {"unit": "landmark", "n_features": 3}
