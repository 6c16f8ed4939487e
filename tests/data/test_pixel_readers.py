"""Readers of pixel labels: PROxford and PRParis in the layout of their public script, pixels worked by hand, every fault in words."""

import json
import pickle

import numpy as np
import pytest
from pycocotools import mask as rle
from test_landmark_readers import TRUTH, cache, picture, roxford  # noqa: F401

from foir_lib.data import load_set
from foir_lib.data.pixels import true_masks
from foir_lib.data.readers.pickles import load_npy
from foir_lib.data.readers.pixels.revisited import things
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.prompts import Box

SQUARE = [[2, 3], [10, 3], [10, 9], [2, 9]]
PAIRS = {"0_0": "labels/souls/a.json", "0_1": "labels/souls/b.json", "1_2": "labels/keble/c.json", "0_3": "labels/junk.json"}


def label(path, *shapes, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = [{"label": "x", "points": points, "shape_type": "polygon"} for points in shapes]
    path.write_text(json.dumps({"version": "4.5.6", "shapes": shapes, "imageWidth": 40, "imageHeight": 30, **more}))


@pytest.fixture
def proxford(roxford):  # noqa: F811
    """Query 0 (all_souls): a square on picture 0, two overlapping squares on 1. Query 1 (keble): a bow tie on picture 2."""
    np.save(roxford / "oxford_pair2labelpath.npy", PAIRS, allow_pickle=True)
    label(roxford / PAIRS["0_0"], SQUARE)
    label(roxford / PAIRS["0_1"], SQUARE, [[6, 3], [14, 3], [14, 9], [6, 9]], [[1, 1], [2, 2]])
    label(roxford / PAIRS["1_2"], [[0, 0], [20, 0], [0, 20], [20, 20]])
    return roxford


def pixels(result):
    return {(q, row): rle.decode(code).astype(bool) for q, of in enumerate(true_masks(result, "medium")) for row, code in of.items()}


def test_proxford_by_hand(proxford):
    result = load_set("proxford5k", root=proxford)
    assert result.name == "proxford5k" and result.queries["label"].tolist() == ["all_souls", "keble"] and result.unit == "landmark"
    assert result.queries["prompt"].tolist() == [Box(5, 6, 30.5, 29), Box(0, 0, 40, 30)], "the benchmark's boxes"
    shown = result.objects.iloc[2:]
    assert shown[["image_id", "label"]].to_numpy().tolist() == [["all_souls_000001", "all_souls"], ["oxford_000002", "all_souls"], ["keble_000003", "keble"]]
    assert shown[["x0", "y0", "x1", "y1"]].to_numpy().tolist() == [[2, 3, 10, 9], [2, 3, 14, 9], [0, 0, 20, 20]]
    masks, square = pixels(result), np.zeros((30, 40), bool)
    square[3:9, 2:10] = True
    assert (masks[0, 0] == square).all() and masks[0, 1].sum() == 6 * 12, "united, no hole where they overlap"
    assert {name: rules.positives(0).tolist() for name, rules in result.protocols.items()} == {"easy": [0], "medium": [0, 1], "hard": [1]}
    assert not result.has_mask(result.queries["object"]).any()


def test_a_polygon_that_crosses_itself_is_what_it_goes_around_once(proxford):
    bow = pixels(load_set("proxford5k", root=proxford))[1, 2]
    assert bow[2, 10] and bow[18, 10] and not bow[10, 2] and not bow[10, 18], "above and below the crossing, not beside it"
    assert bow.sum() == pytest.approx(2 * 20 * 10 / 2, rel=0.15)
    twice = [[5, 5], [25, 5], [25, 25], [5, 25], [5, 5], [10, 10], [20, 10], [20, 20], [10, 20], [10, 10]]  # around the middle again
    label(proxford / PAIRS["1_2"], twice)
    middle = pixels(load_set("proxford5k", root=proxford))[1, 2]
    assert not middle[15, 15] and middle[7, 15] and middle.sum() == pytest.approx(400 - 100, rel=0.1), "even-odd"


def test_a_label_file_without_a_shape_counts_neither_way(proxford):
    label(proxford / PAIRS["0_1"], [[1, 1], [2, 2]])
    with pytest.warns(UserWarning, match=r"1 pairs whose label file has no shape with pixels count neither way \(first: 0_1\)"):
        result = load_set("proxford5k", root=proxford)
    rules = {name: (p.positives(0).tolist(), p.ignored_of(0).tolist()) for name, p in result.protocols.items()}
    assert rules == {"easy": ([0], [1, 3]), "medium": ([0], [1, 3]), "hard": ([], [0, 1, 3])}
    assert result.protocols["medium"].positives(1).tolist() == [2] and len(result.objects) == 4
    label(proxford / PAIRS["0_1"])
    with pytest.warns(UserWarning, match="no shape with pixels"):
        assert len(load_set("proxford5k", root=proxford).objects) == 4


def test_prparis_beside_the_folders_of_the_public_archive(tmp_path):
    """Two queries of one landmark that share a file are one thing; a third asks for a part, with other files for the same pictures."""
    root, inner = tmp_path / "benchmarks", tmp_path / "benchmarks" / "revisitop" / "data" / "rparis6k"
    queries = [f"paris_louvre_{n:06d}" for n in (1, 2, 3)]
    lists = [{"bbx": [1, 1, 9, 9], "easy": [0], "hard": [1], "junk": []}, {"bbx": [1, 1, 9, 9], "easy": [0, 1], "hard": [], "junk": []},
             {"bbx": [1, 1, 9, 9], "easy": [0], "hard": [1], "junk": []}]  # fmt: skip
    truth = {"imlist": ["paris_louvre_000010", "paris_louvre_000011"], "qimlist": queries, "gnd": lists}
    inner.mkdir(parents=True)
    (inner / "gnd_rparis6k.pkl").write_bytes(pickle.dumps(truth))
    for name in truth["imlist"] + queries:
        picture(inner / "jpg" / f"{name}.jpg")
    files = {f"{q}_{row}": f"labels/{'part' if q == 2 else 'whole'}_{row}.json" for q in range(3) for row in range(2)}
    np.save(root / "paris_pair2labelpath.npy", files)
    for file in set(files.values()):
        label(root / file, SQUARE if "whole" in file else SQUARE[:3])
    label(root / "masks" / f"{queries[2]}.json", SQUARE[:3])
    result = load_set("prparis6k", root=root, query_masks=root / "masks")
    assert result.queries["label"].tolist() == ["louvre 1", "louvre 1", "louvre 2"] and result.units.tolist() == [0, 0, 1]
    assert result.has_mask(result.queries["object"]).tolist() == [False, False, True]
    masks = pixels(result)
    assert (masks[0, 0] == masks[1, 0]).all() and masks[0, 1].sum() == 48 > masks[2, 1].sum() > 0


def test_queries_that_contradict_each_other_are_things_of_their_own():
    pairs = [{0: "a", 1: "b"}, {1: "b", 2: "c"}, {1: "b", 2: "d"}, {0: "a"}, {}]
    assert things(pairs, ["x"] * 4 + ["y"]) == ["x 1", "x 1", "x 2", "x 1", "y"]
    assert things([{0: "a"}, {0: "a"}], ["x", "y"]) == ["x", "y"]


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"0_1": None}, IntegrityError, "has None as the label file of query 0 on picture 1"),
        ({"0_1": "../other.json"}, IntegrityError, r"has '\.\./other\.json' as the label file"),
        ({"0_1": "/etc/hostname"}, IntegrityError, "as the label file of query 0 on picture 1"),
        ({"0_1": "labels/none.json"}, MissingError, "There is no label file at .*none.json: expected oxford_pair2labelpath.npy"),
    ],
)
def test_faults_of_the_pairs(proxford, change, error, words):
    np.save(proxford / "oxford_pair2labelpath.npy", PAIRS | change)
    with pytest.raises(error, match=words) as caught:
        load_set("proxford5k", root=proxford)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content, words",
    [
        ({"shapes": None}, "has no list 'shapes'"),
        ([1], "has no list 'shapes'"),
        ({"shapes": [{"label": "x"}]}, "lacks the key 'points'"),
        ({"shapes": [{"points": [[1, 2], [3], [4, 5]]}]}, "shape 0 has a corner that isn't two numbers"),
        ({"shapes": [{"points": [[1, 2], [3, "x"], [4, 5]]}]}, "shape 0 has a corner that isn't two numbers"),
        ({"shapes": [{"points": [[1, 2], [1e300, 3], [4, 5]]}]}, "Label file .* has a broken segmentation"),
        ({"shapes": [], "imageWidth": 80, "imageHeight": 60}, "is drawn on 80 x 60 pixels, its picture has 40 x 30"),
    ],
)
def test_faults_of_a_label_file(proxford, content, words):
    (proxford / PAIRS["0_0"]).write_text(json.dumps(content))
    with pytest.raises(InputError, match=words) as caught:
        load_set("proxford5k", root=proxford)
    assert "\n" not in str(caught.value)


def test_an_array_that_would_run_something_is_refused(proxford):
    path = proxford / "oxford_pair2labelpath.npy"
    head = path.read_bytes()[:128]
    path.write_bytes(head + b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(IntegrityError, match="asks for os.system"):
        load_set("proxford5k", root=proxford)
    np.save(path, np.arange(3))
    with pytest.raises(IntegrityError, match=r"is none or is damaged \(it holds numbers \(3,\) of int64\)"):
        load_set("proxford5k", root=proxford)
    np.save(path, np.array(["a", "b"], dtype=object))
    with pytest.raises(IntegrityError, match="is none or is damaged"):
        load_npy(path)
    path.write_bytes(head[:50])
    with pytest.raises(IntegrityError, match="is none or is damaged"):
        load_npy(path)
    path.unlink()
    with pytest.raises(MissingError, match="There is no ground truth at"):
        load_set("proxford5k", root=proxford)


@pytest.mark.parametrize("text", ["[1, 2]", '{"0_0": 3}'])
def test_what_is_no_dict_of_paths_is_refused(proxford, text):
    np.save(proxford / "oxford_pair2labelpath.npy", np.array(json.loads(text), dtype=object).reshape(()) if text[0] == "{" else np.array(7, dtype=object))
    with pytest.raises(IntegrityError, match="holds no dict|has 3 as the label file"):
        load_set("proxford5k", root=proxford)


def test_distractors_stand_after_the_database(proxford, tmp_path):
    picture(tmp_path / "r1m" / "a.jpg", (20, 10))
    result = load_set("proxford5k", root=proxford, distractors=tmp_path / "r1m")
    assert result.database["image_id"].tolist() == [*TRUTH["imlist"], "distractors/a.jpg"] and len(pixels(result)) == 3
