"""Readers of landmark benchmarks: tiny folders in the official layouts, answers worked by hand, every fault in words."""

import pickle

import numpy as np
import pytest
from PIL import Image

from foir_lib import registry
from foir_lib.bench.metrics.mean_ap import mean_average_precision
from foir_lib.data import load_set, training
from foir_lib.data.readers import pictures, revisited
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.prompts import Box


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))


def picture(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 40)).save(path)


def database_ids(result, rows):
    return [result.database["image_id"][row] for row in rows]


# --- revisited

TRUTH = {
    "imlist": ["all_souls_000001", "oxford_000002", "keble_000003", "oxford_000004"],
    "qimlist": ["all_souls_000013", "keble_000055"],
    "gnd": [
        {"bbx": [5.0, 6.0, 30.5, 29.0], "easy": [0], "hard": [1], "junk": [3]},
        {"bbx": [0, 0, 40, 30], "easy": [], "hard": [2], "junk": []},
    ],
}


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))


@pytest.fixture
def roxford(tmp_path):
    root = tmp_path / "roxford5k"
    dump(root / "gnd_roxford5k.pkl", TRUTH)
    for name in TRUTH["imlist"] + TRUTH["qimlist"]:
        picture(root / "jpg" / f"{name}.jpg")
    return root


def test_roxford_by_hand(roxford):
    result = load_set("roxford5k", root=roxford)
    assert result.name == "roxford5k" and result.database["image_id"].tolist() == TRUTH["imlist"]
    assert result.images["split"].tolist() == ["query"] * 2 + ["database"] * 4
    assert result.queries["image_id"].tolist() == TRUTH["qimlist"]
    assert result.queries["prompt"].tolist() == [Box(5, 6, 30.5, 29), Box(0, 0, 40, 30)]
    assert result.queries["label"].tolist() == ["all_souls", "keble"]
    actual = {n: [(list(p.positives(q)), list(p.ignored_of(q))) for q in (0, 1)] for n, p in result.protocols.items()}
    assert actual == {
        "easy": [([0], [1, 3]), ([], [2])],
        "medium": [([0, 1], [3]), ([2], [])],
        "hard": [([1], [0, 3]), ([2], [])],
    }
    assert result.open("keble_000003").size == (40, 30)


def test_rparis_in_the_folders_of_its_archives(tmp_path):
    root = tmp_path / "rparis6k"
    truth = {"imlist": ["paris_eiffel_000001"], "qimlist": ["paris_louvre_000002"],
             "gnd": [{"bbx": [1, 1, 9, 9], "easy": [], "hard": [], "junk": [0]}]}  # fmt: skip
    dump(root / "gnd_rparis6k.pkl", truth)
    picture(root / "paris" / "eiffel" / "paris_eiffel_000001.jpg")
    picture(root / "paris" / "louvre" / "paris_louvre_000002.jpg")
    result = load_set("rparis6k", root=root)
    assert result.name == "rparis6k" and result.queries["label"].tolist() == ["louvre"]
    assert result.protocols["medium"].positives(0).tolist() == []


def test_distractors_stand_after_the_database(roxford, tmp_path):
    picture(tmp_path / "r1m" / "0" / "a.jpg", (20, 10))
    picture(tmp_path / "r1m" / "b.jpg", (8, 9))
    (tmp_path / "r1m" / "0" / "broken.jpg").write_bytes(b"no picture")
    result = load_set("roxford5k", root=roxford, distractors=tmp_path / "r1m")
    assert result.database["image_id"].tolist() == [*TRUTH["imlist"], "distractors/0/a.jpg", "distractors/b.jpg"]
    assert result.images[["width", "height"]].iloc[-2:].to_numpy().tolist() == [[20, 10], [8, 9]]
    assert result.protocols["medium"].positives(0).tolist() == [0, 1]
    with pytest.raises(MissingError, match="no pictures below"):
        load_set("roxford5k", root=roxford, distractors=tmp_path / "nowhere")


def changed(**change):
    return {**TRUTH, **change}


def query(**change):
    return changed(gnd=[{**TRUTH["gnd"][0], **change}, TRUTH["gnd"][1]])


@pytest.mark.parametrize(
    "content, error, words",
    [(changed(gnd=TRUTH["gnd"][:1]), IntegrityError, "belong together"), ([1, 2], IntegrityError, "imlist, qimlist and gnd"),
     (query(bbx=[1, 2, 3]), IntegrityError, "box of four numbers for the query all_souls_000013"),
     (query(bbx=[100, 100, 200, 200]), InputError, "outside its picture"), (query(bbx=[9, 9, 4, 12]), InputError, "inverted"),
     (query(easy=[4]), InputError, "rows from 0 to 3"), (query(easy=[1]), InputError, "image 1 twice"),
     (changed(qimlist=["keble_000003", "keble_000055"]), InputError, "id 'keble_000003' twice"),
     (np.datetime64("2020"), IntegrityError, "isn't plain data"), (np.float64(1), IntegrityError, "imlist, qimlist and gnd")],
)  # fmt: skip
def test_roxford_faults(roxford, content, error, words):
    dump(roxford / "gnd_roxford5k.pkl", content)
    with pytest.raises(error, match=words) as caught:
        load_set("roxford5k", root=roxford)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*boxes without area")
def test_a_query_box_without_area_is_refused(roxford):
    dump(roxford / "gnd_roxford5k.pkl", query(bbx=[5, 5, 5, 9]))
    with pytest.raises(InputError, match="all_souls_000013 has a box without area"):
        load_set("roxford5k", root=roxford)


def test_a_pickle_that_would_run_something_is_refused(roxford, tmp_path):
    (roxford / "gnd_roxford5k.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(IntegrityError, match="asks for os.system"):
        load_set("roxford5k", root=roxford)


def test_missing_and_damaged_pictures(roxford):
    (roxford / "jpg" / "keble_000003.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"keble_000003\.jpg of roxford5k can't be read \(1 such\)"):
        load_set("roxford5k", root=roxford)
    (roxford / "jpg" / "keble_000003.jpg").unlink()
    with pytest.raises(MissingError, match="1 of 4 pictures of roxford5k are missing .* first keble_000003"):
        load_set("roxford5k", root=roxford)
    (roxford / "gnd_roxford5k.pkl").unlink()
    with pytest.raises(MissingError, match=r"no ground truth at .*gnd_roxford5k\.pkl"):
        load_set("roxford5k", root=roxford)


def test_sizes_are_measured_once(roxford, monkeypatch):
    first = load_set("roxford5k", root=roxford)
    monkeypatch.setattr(pictures, "header", None)
    assert load_set("roxford5k", root=roxford).fingerprint == first.fingerprint


def test_a_picture_that_was_replaced_is_measured_again(roxford):
    load_set("roxford5k", root=roxford)
    picture(roxford / "jpg" / "keble_000003.jpg", (55, 44))
    result = load_set("roxford5k", root=roxford)
    assert result.images.set_index("image_id").loc["keble_000003", ["width", "height"]].tolist() == [55, 44]


def test_landmarks_are_named_by_queries_with_the_same_positives():
    names = [
        "oxford_000001",
        "keble_000002",
        "paris_general_000003",
        "bodleian_000004",
        "keble_000005",
        "oxford_000006",
    ]
    easy = [[0, 1], [0, 1, 2, 3], [7], [0, 1, 2], [0, 1, 2, 3], []]
    truth = {"qimlist": names, "gnd": [{"easy": rows[:1], "hard": rows[1:]} for rows in easy]}
    assert revisited.landmarks(truth) == ["keble", "keble", "general", "keble", "keble", "oxford"]


# --- Oxford5k, Paris6k


@pytest.fixture
def oxford(tmp_path):
    root = tmp_path / "oxford5k"
    for name in ("all_souls_000013", "all_souls_000026", "keble_000001", "oxford_002904", "oxford_002905"):
        picture(root / f"{name}.jpg")
    lists = {
        "all_souls_1_query": "oxc1_all_souls_000013 3.5 4.0 30.5 25.0\n",
        "all_souls_1_good": "all_souls_000013\nall_souls_000026\n",
        "all_souls_1_ok": "oxford_002904\n",
        "all_souls_1_junk": "oxford_002905\n",
        "keble_1_query": "oxc1_keble_000001 0 0 40 30",
        "keble_1_good": "keble_000001\n",
        "keble_1_ok": "",
        "keble_1_junk": "",
    }
    (root / "gt").mkdir()
    for name, text in lists.items():
        (root / "gt" / f"{name}.txt").write_text(text)
    return root


def test_oxford_by_hand(oxford):
    result = load_set("oxford5k", root=oxford)
    assert result.database["image_id"].tolist() == sorted(result.images["image_id"]) and len(result.database) == 5
    assert result.images.set_index("image_id")["split"].to_dict() == {
        "all_souls_000013": "both", "keble_000001": "both",
        "all_souls_000026": "database", "oxford_002904": "database", "oxford_002905": "database",
    }  # fmt: skip
    assert result.queries["label"].tolist() == ["all_souls", "keble"]
    assert result.queries["prompt"][0] == Box(3.5, 4, 30.5, 25)
    classic = result.protocols["classic"]
    assert database_ids(result, classic.positives(0)) == ["all_souls_000013", "all_souls_000026", "oxford_002904"]
    assert database_ids(result, classic.ignored_of(0)) == ["oxford_002905"]
    assert database_ids(result, classic.positives(1)) == ["keble_000001"], "the query's own picture counts"
    other = load_set("oxford5k", root=oxford, own_counts=False).protocols["classic"]
    assert database_ids(result, other.positives(0)) == ["all_souls_000026", "oxford_002904"] and not len(
        other.positives(1)
    )


def test_damaged_pictures_of_paris_are_left_out(tmp_path):
    root = tmp_path / "paris6k"
    picture(root / "paris" / "louvre" / "paris_louvre_000001.jpg")
    (root / "paris" / "louvre" / "paris_louvre_000136.jpg").write_bytes(b"")
    for kind, text in (
        ("query", "paris_louvre_000001 0 0 9 9"),
        ("good", "paris_louvre_000001\nparis_louvre_000136\n"),
        ("ok", ""),
        ("junk", ""),
    ):
        (root / f"louvre_1_{kind}.txt").write_text(text)
    result = load_set("paris6k", root=root)
    assert result.database["image_id"].tolist() == ["paris_louvre_000001"]
    assert result.protocols["classic"].positives(0).tolist() == [0]


def test_oxford_distractors(oxford, tmp_path):
    picture(tmp_path / "oxc1_100k" / "tag" / "1.jpg")
    result = load_set("oxford5k", root=oxford, distractors=tmp_path / "oxc1_100k")
    assert len(result.database) == 6 and result.database["image_id"].iloc[-1] == "distractors/tag/1.jpg"


@pytest.mark.parametrize(
    "name, text, error, words",
    [("keble_1_query", "oxc1_keble_000001 0 0 40", InputError, "name and four numbers"),
     ("keble_1_query", "oxc1_keble_000001 0 0 40 many", InputError, "name and four numbers"),
     ("keble_1_query", "oxc1_keble_000002 0 0 40 30", InputError, "keble_000002, which is not among the pictures"),
     ("keble_1_query", "oxc1_keble_000001 50 50 60 60", InputError, "outside its picture"),
     ("keble_1_good", "nobody_000001", InputError, r"lists nobody_000001, .*\(1 such\)"),
     ("keble_1_junk", "keble_000001", InputError, "twice"), ("keble_1_junk", None, MissingError, "keble_1_junk.txt")],
)  # fmt: skip
def test_oxford_faults(oxford, name, text, error, words):
    path = oxford / "gt" / f"{name}.txt"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(error, match=words):
        load_set("oxford5k", root=oxford)


def test_oxford_without_lists(oxford):
    for path in (oxford / "gt").iterdir():
        path.unlink()
    with pytest.raises(MissingError, match="no query file .*foir data get oxford5k"):
        load_set("oxford5k", root=oxford)


# --- GLDv2


@pytest.fixture
def google(tmp_path):
    root = tmp_path / "gldv2"
    for part, ids in (("index", ["abc0000000000001", "abd0000000000002"]), ("test", ["0120000000000003", "0120000000000004", "fff0000000000005"]),
                      ("train", ["aaa0000000000006", "aab0000000000007", "aac0000000000008"])):  # fmt: skip
        for i in ids:
            picture(root / part / i[0] / i[1] / i[2] / f"{i}.jpg")
    tables = {
        "index.csv": "id\nabc0000000000001\nabd0000000000002\n",
        "retrieval_solution_v2.1.csv": "id,images,Usage\n0120000000000003,abd0000000000002 abc0000000000001,Private\n"
        "0120000000000004,None,Ignored\nfff0000000000005,abc0000000000001,Public\n",
        "train.csv": "id,url,landmark_id\naaa0000000000006,u,7\naab0000000000007,u,3\naac0000000000008,u,7\n",
        "train_clean.csv": "landmark_id,images\n7,aaa0000000000006 aac0000000000008\n",
    }
    (root / "metadata").mkdir()
    for name, text in tables.items():
        (root / ("metadata" if name == "index.csv" else ".") / name).write_text(text)
    return root


def test_gldv2_by_hand(google):
    result = load_set("gldv2", root=google)
    assert result.queries["image_id"].tolist() == ["0120000000000003"] and result.queries["prompt"][0] == Box(0, 0, 40, 30)
    assert database_ids(result, result.protocols["retrieval"].positives(0)) == ["abc0000000000001", "abd0000000000002"]
    assert result.protocols["retrieval"].definition == "textbook@100"
    assert mean_average_precision([[1, -1]], result.protocols["retrieval"]).map == 0.5, "of the two that are right, one is there"
    both = load_set("gldv2", root=google, usage="all")
    assert both.queries["image_id"].tolist() == ["0120000000000003", "fff0000000000005"]
    assert both.protocols["retrieval"].positives(1).tolist() == [0]


def test_what_landmark_queries_are_independent_by(google, roxford):
    assert load_set("roxford5k", root=roxford).units.tolist() == [0, 1]
    assert load_set("roxford5k", root=roxford).unit == "landmark"
    assert load_set("gldv2", root=google, usage="all").units.tolist() == [0, 1], "its landmarks aren't published"
    assert {p.metric for p in load_set("roxford5k", root=roxford).protocols.values()} == {"mAP"}


def test_gldv2_faults(google):
    with pytest.raises(InputError, match="usage='private'"):
        load_set("gldv2", root=google, usage="private")
    (google / "test/0/1/2/0120000000000003.jpg").unlink()
    with pytest.raises(MissingError, match="1 of 1 pictures of gldv2, test"):
        load_set("gldv2", root=google)
    (google / "metadata" / "index.csv").write_text("id\nabd0000000000002\n")
    with pytest.raises(InputError, match="abc0000000000001, which is not in index.csv"):
        load_set("gldv2", root=google, usage="Public")
    (google / "metadata" / "index.csv").write_text("image\nabd0000000000002\n")
    with pytest.raises(InputError, match="lacks the column id"):
        load_set("gldv2", root=google)
    (google / "metadata" / "index.csv").unlink()
    with pytest.raises(MissingError, match=r"metadata/index\.csv"):
        load_set("gldv2", root=google)


# --- training sets


def test_gldv2_training_lists(google):
    clean, every = training.gldv2(google), training.gldv2(google, clean=False)
    assert [p.rsplit("/", 1)[1] for p in clean.paths] == ["aaa0000000000006.jpg", "aac0000000000008.jpg"]
    assert clean.names == ["7"] and clean.labels.tolist() == [0, 0] and clean.box(0) is None
    assert [every.names[label] for label in every.labels] == ["7", "3", "7"] and every.open(1).size == (40, 30)
    (google / "train/a/a/b/aab0000000000007.jpg").unlink()
    assert len(training.gldv2(google)) == 2
    with pytest.raises(MissingError, match="1 of 3 pictures of gldv2, train"):
        training.gldv2(google, clean=False)
    assert len(training.gldv2(google, clean=False, check_files=False)) == 3


@pytest.mark.parametrize(
    "text, words",
    [("landmark_id;images\n7;aaa0000000000006\n", "lacks the column landmark_id"), ("id,url,landmark_id\na,b,7\n", "lacks the column images"),
     ("landmark_id,images\n7,aaa0000000000006 ab\n", "has the id 'ab'"), ("landmark_id,images\n7,../../../x\n", "has the id '../../../x'"),
     ("landmark_id,images\n,aaa0000000000006\n", "has the landmark_id ''"), ("landmark_id,images\n7,\n", "has no pictures"),
     ("", "is empty"), ("landmark_id,images\n7,a,b\n8\n9,a,b,c,d\n", "is no proper CSV"), ('landmark_id,images\n7,"aaa', "is no proper CSV")],
)  # fmt: skip
def test_training_lists_of_another_layout(google, text, words):
    (google / "train_clean.csv").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        training.gldv2(google, check_files=False)
    assert "\n" not in str(caught.value)


def test_imagenet_style_folders(tmp_path):
    for name in ("n02/b.jpg", "n01/x/a.png", "n01/c.jpg", "empty/readme.txt", ".hidden/d.jpg"):
        if name.endswith("txt"):
            (tmp_path / "im" / "empty").mkdir(parents=True)
        else:
            picture(tmp_path / "im" / name)
    result = training.folders(tmp_path / "im")
    assert result.names == ["n01", "n02"] and result.labels.tolist() == [0, 0, 1]
    assert result.open(2).size == (40, 30)
    with pytest.raises(InputError, match="no pictures in folders below"):
        training.folders(tmp_path / "im" / "n01" / "x")
    with pytest.raises(MissingError, match="folder of training pictures"):
        training.folders(tmp_path / "nowhere")


def test_sample_of_pictures(tmp_path):
    for i in range(8):
        picture(tmp_path / "landmarks" / str(i % 3) / f"{i}.jpg")
    every = training.sample(tmp_path / "landmarks")
    some = training.sample(tmp_path / "landmarks", 3, seed=1)
    assert len(every) == 8 and len(set(some)) == 3 and set(some) < set(every)
    assert (
        some == training.sample(tmp_path / "landmarks", 3, seed=1) != training.sample(tmp_path / "landmarks", 3, seed=2)
    )
    assert training.sample(tmp_path / "landmarks", 9) == every


@pytest.fixture
def sfm(tmp_path):
    root = tmp_path / "rsfm120k"
    cids = ["0123456789abcdef", "fedcba9876543210", "00000000000000ab"]
    part = {"cids": cids, "cluster": [4, 4, 9], "qidxs": [0, 1], "pidxs": [1, 0], "bbxs": [[0, 0, 1, 1]] * 3}
    dump(root / "retrieval-SfM-120k.pkl", {"train": part, "val": {**part, "qidxs": [2], "pidxs": [2]}})
    for place in ("ef/cd/ab/0123456789abcdef", "10/32/54/fedcba9876543210", "ab/00/00/00000000000000ab"):
        (root / "ims" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(root / "ims" / place, format="JPEG")
    return root


def test_rsfm120k_by_hand(sfm):
    result = training.rsfm120k(sfm)
    assert result.cluster.tolist() == [4, 4, 9] and result.query.tolist() == [0, 1] and result.positive.tolist() == [1, 0]
    assert result.open(0).size == (40, 30) and training.rsfm120k(sfm, "val").query.tolist() == [2]


@pytest.mark.parametrize(
    "change, words",
    [({"qidxs": [0]}, "don't belong together"), ({"cluster": [4]}, "don't belong together"), ({"pidxs": [1, 7]}, "not in cids"),
     ({"cids": None}, "no list 'cids'"), ({"cids": ["../../../x", "b" * 9, "c" * 9]}, r"'\.\./\.\./\.\./x' for a picture's name"),
     ({"cids": [1, 2, 3]}, "has 1 for a picture's name"), ({"cluster": [4, [4], 9]}, r"has \[4\] for a picture's name or cluster"), ({"pidxs": [1, 0.5]}, "belong together")],
)  # fmt: skip
def test_rsfm120k_faults(sfm, change, words):
    content = pickle.loads((sfm / "retrieval-SfM-120k.pkl").read_bytes())
    dump(sfm / "retrieval-SfM-120k.pkl", {"train": {**content["train"], **change}})
    with pytest.raises(InputError, match=words):
        training.rsfm120k(sfm)
    with pytest.raises(InputError, match="no part 'val'"):
        training.rsfm120k(sfm, "val")


def test_rsfm120k_missing(sfm):
    (sfm / "ims/ab/00/00/00000000000000ab").unlink()
    with pytest.raises(MissingError, match="1 of 3 pictures of rSfM-120k, train"):
        training.rsfm120k(sfm)
    dump(sfm / "retrieval-SfM-120k.pkl", {1j})
    with pytest.raises(IntegrityError, match="isn't plain data"):
        training.rsfm120k(sfm)


def test_a_training_list_that_would_run_something_is_refused(sfm, tmp_path):
    ran = tmp_path / "ran"
    (sfm / "retrieval-SfM-120k.pkl").write_bytes(f"cos\nsystem\n(S'touch {ran}'\ntR.".encode())
    with pytest.raises(IntegrityError, match="asks for os.system"):
        training.rsfm120k(sfm)
    assert not ran.exists()


@pytest.mark.parametrize(
    "parts, words",
    [((["a"], [0, 1], ["x"]), "1 paths and 2 labels"), (([], [], ["x"]), "no pictures"), ((["a"], [1], ["x"]), "from 0 to 0"),
     ((["a"], [0.5], ["x"]), "whole numbers")],
)  # fmt: skip
def test_training_sets_check_themselves(parts, words):
    with pytest.raises(InputError, match=words):
        training.TrainingSet("t", parts[0], np.array(parts[1]), parts[2])


def test_training_pictures_by_name_as_a_loss_wants_them(sfm, google, tmp_path, monkeypatch):
    labelled = training.load("gldv2", "arcface", google, clean=False)
    assert isinstance(labelled, training.TrainingSet) and len(labelled) == 3
    tuples = training.load("gldv2", "contrastive", str(google))
    assert isinstance(tuples, training.TupleSet) and sorted(tuples.query.tolist()) == [0, 1]
    assert training.load("rsfm120k", "contrastive", sfm, part="val").query.tolist() == [2]
    with pytest.raises(InputError, match="rsfm120k has pairs of pictures and no labels: .* contrastive loss"):
        training.load("rsfm120k", "arcface", sfm)
    with pytest.raises(InputError, match="mini-landmarks is made from a seed and has no root"):
        training.load("mini-landmarks", root=tmp_path)
    monkeypatch.setenv("FOIR_DATA", str(tmp_path))  # where both fixtures lie
    assert training.load("gldv2").paths == training.load("gldv2", root=google).paths
    monkeypatch.setenv("FOIR_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="gldv2 needs a root: .*foir data get gldv2"):
        training.load("gldv2")


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k", "oxford5k", "paris6k", "gldv2"])
def test_all_of_them_are_named_and_need_a_root(name, tmp_path, monkeypatch):
    assert name in registry.names("set")
    monkeypatch.setenv("FOIR_DATA", str(tmp_path))
    with pytest.raises(InputError, match=f"{name} needs a root"):
        load_set(name)
    with pytest.raises(MissingError, match="nowhere"):
        load_set(name, root=tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"no {name} option 'distractor'"):
        load_set(name, root=tmp_path, distractor=tmp_path)
