"""What annotation files of the field hold: read where it can mean one thing only, counted where it is left out, else one sentence."""
# ruff: noqa: F811 (fixtures of other files)

import json
import pickle
import unicodedata
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle
from test_landmark_readers import TRUTH, dump, roxford  # noqa: F401
from test_readers import (  # noqa: F401
    CATEGORIES,
    a,
    annotation,
    answers,
    coco_root,
    edit,
    photos,
    picture,
    queries_of,
    vg_root,
    voc_root,
    write,
)

from foir_lib.data import RetrievalSet, load_set, masks, names, values
from foir_lib.errors import InputError, MissingError
from foir_lib.prompts import Box
from foir_lib.retrievers.prompting import prompts_of

CSV = "image,label,x0,y0,x1,y1\n"
VAL, TRAIN = "annotations/instances_val2017.json", "annotations/instances_train2017.json"
BIG = (800, 600)


def quiet(name, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_set(name, **options)


def noted(result):
    return {notice.reason: notice.n for notice in result.notices}


# --- run lengths and outlines


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_run_lengths_are_read_as_pycocotools_writes_them(width, height, share, seed):
    pixels = np.random.default_rng(seed).random((height, width)) < share
    code = rle.encode(np.asfortranarray(pixels.astype(np.uint8)))
    for counts in (code["counts"], code["counts"].decode()):
        np.testing.assert_array_equal(masks.decode({"size": [height, width], "counts": counts}, (width, height), "it"), pixels)


@given(st.binary(max_size=40) | st.text(max_size=40) | st.lists(st.integers(-5, 1300) | st.floats() | st.none(), max_size=9))
def test_run_lengths_fill_the_picture_or_are_refused(counts):
    segmentation = {"size": [30, 40], "counts": counts}
    try:
        assert masks.decode(segmentation, (40, 30), "it").shape == (30, 40)
    except InputError as error:
        assert not masks.usable(segmentation, (40, 30)) and "\n" not in str(error)


def test_run_lengths_that_are_cut(photos):
    pixels = np.zeros((60, 80), np.uint8)
    pixels[5:40, 3:70:2] = 1
    counts = rle.encode(np.asfortranarray(pixels))["counts"].decode()
    for bad in (counts[:-6], "", counts + counts, "~~~", [4000, 801], [-4800, 9600], [[4800]]):
        with pytest.raises(InputError, match="Cup has a broken segmentation"):
            masks.decode({"size": [60, 80], "counts": bad}, (80, 60), "Cup")
    with pytest.raises(InputError, match="a mask of 40 x 60 pixels on a picture of 80 x 60"):
        masks.decode({"size": [60, 40], "counts": counts}, (80, 60), "Cup")


@pytest.mark.parametrize(
    "polygon",
    [[1, 1, 2e8, 3e8, 1, 9], [1e9, 1e9, 1e9 + 5, 1e9, 1e9, 1e9 + 5], [1e308, -1e308, 0, 0, 1, 1], [0, 0, 80, 60] * 50_000, [10**400, 0, 1, 1, 2, 2]],
)
def test_corners_far_away_cost_nothing(polygon):
    with pytest.raises(InputError, match="broken segmentation") as caught:
        masks.decode([polygon], (80, 60), "Cup")
    assert len(str(caught.value)) < 300


def test_a_mask_is_never_larger_than_a_picture_can_be():
    with pytest.raises(InputError, match="1000000 x 1000000 pixels: masks have 120 megapixels at most"):
        masks.decode({"size": [10**6, 10**6], "counts": [10**12]}, (10**6, 10**6), "Cup")


@pytest.mark.parametrize("segmentation", [[2, 1, 6, 1, 6, 4, 2, 4], [[7, 7, 8, 8], [2, 1, 6, 1, 6, 4, 2, 4]], [[2, 1, 6, 1, 6, 4, 2, 4], []]])
def test_flat_lists_and_scraps(segmentation):
    assert masks.decode(segmentation, (40, 30), "it").sum() == 4 * 3


def with_masks(root, *segmentations):
    """The queries of val, each with one of the segmentations: two dogs, the rest cars."""
    boxes = [annotation(i, 1, 18, [2, 3, 10, 7], segmentation=s) for i, s in enumerate(segmentations)]
    edit(root / VAL, lambda c: c.update(annotations=boxes))
    return quiet("coco", root=root)


GOOD = [[2, 3, 12, 3, 12, 10, 2, 10]]


@pytest.mark.parametrize("odd", [[[1, 2, 3, 4]], "text", [[1, 2, "x", 4, 5, 6]], {"size": [30, 40], "counts": "abc"}, [[]], [], None, 7])
@pytest.mark.parametrize("kind", ["segment", "point"])
def test_an_object_without_a_mask_asks_with_its_box(coco_root, odd, kind):
    result = with_masks(coco_root, GOOD, odd)
    assert noted(result).get("masks of queries that can't be read; they ask with their boxes", 0) == (odd not in ([], None))
    with pytest.warns(UserWarning, match=r"1 queries of coco without a mask .* \(first: query 1\)"):
        prompts = prompts_of(result, [(40, 30)] * 2, lambda size: (6, 8), kind)
    if kind == "segment":
        assert prompts.get(0).array.sum() == 70 and prompts.get(1) == Box(2, 3, 12, 10)
    else:
        same = prompts_of(with_masks(coco_root, GOOD), [(40, 30)], lambda size: (6, 8), kind)
        assert [prompts.get(m) for m in range(len(prompts.rows))] == 2 * [same.get(m) for m in range(len(same.rows))]


def test_masks_where_nobody_has_one_are_refused(coco_root):
    with pytest.raises(InputError, match="has no segmentation"):
        prompts_of(with_masks(coco_root, None, None), [(40, 30)] * 2, None, "segment")
    with pytest.raises(InputError, match="broken segmentation"):
        prompts_of(with_masks(coco_root, [[1, 2]], None), [(40, 30)] * 2, None, "segment")


# --- boxes as shares


def test_boxes_as_shares_are_refused(photos):
    picture(photos / "b.JPG", BIG)
    write(photos / "boxes.csv", CSV + "b.JPG,dog,0.25,0.4,0.5,0.9\n")
    with pytest.raises(InputError, match=r"\(0.25, 0.4, 0.5, 0.9\) on a picture of 800 x 600 pixels, which lies in the first pixel.*multiply shares"):
        load_set("folder", root=photos)
    write(photos / "boxes.csv", CSV + "b.JPG,dog,0.6,0.7,0.2,0.3\n")  # centre, width and height
    with pytest.raises(InputError, match="multiply shares"):
        load_set("folder", root=photos)
    write(photos / "boxes.csv", CSV + "b.JPG,dog,25,40,50,90\nb.JPG,dog,1,2,3,4\nb.JPG,cat,0.25,0.4,0.5,0.9\n")
    result = quiet("folder", root=photos)
    assert len(result.queries) == 2 and noted(result) == {"boxes in the first pixel (shares of the picture?) were left out": 1}


def test_queries_as_shares_are_refused_whatever_made_the_set(photos):
    write(photos / "boxes.csv", CSV + "b.JPG,dog,5,6,30,20\n")
    whole = load_set("folder", root=photos)
    queries = whole.queries.assign(prompt=[Box(0.25, 0.4, 0.5, 0.9)])
    with pytest.raises(InputError, match="has a prompt that lies in the first pixel"):
        RetrievalSet("mine", whole.images, whole.objects, queries, whole.protocols)


# --- ids and fields


def test_splits_that_both_count_from_0(coco_root):
    def from_0(content):
        for n, image in enumerate(content["images"]):
            for one in content["annotations"]:
                one["image_id"] = f"new{n}" if one["image_id"] == image["id"] else one["image_id"]
            image["id"] = f"new{n}"
        for record in (*content["images"], *content["annotations"]):
            key = "id" if "file_name" in record else "image_id"
            record[key] = int(str(record[key]).removeprefix("new"))

    before = load_set("coco", root=coco_root)
    edit(coco_root / VAL, from_0), edit(coco_root / TRAIN, from_0)
    result = quiet("coco", root=coco_root)
    assert list(result.query_images["image_id"]) == ["val2017/0"]
    assert list(result.database["image_id"]) == ["train2017/0", "train2017/1", "train2017/2"]
    assert [answers(result, q) for q in range(2)] == [["train2017/0"], ["train2017/1"]]
    assert list(result.images["path"]) == list(before.images["path"])
    assert list(noted(result)) == ["image ids that val2017 and train2017 both have, now SPLIT/ID"]


def test_one_picture_in_both_splits_is_refused(coco_root):
    edit(coco_root / VAL, lambda c: c["images"][0].update(id=11, file_name="000000000011.jpg"))
    edit(coco_root / VAL, lambda c: [one.update(image_id=11) for one in c["annotations"] if one["image_id"] == 1])
    picture(coco_root / "val2017" / "000000000011.jpg")
    with pytest.raises(InputError, match=r"Image id 11 is in both val2017 and train2017 \(1 such ids\)"):
        load_set("coco", root=coco_root)
    picture(coco_root / "val2017" / "000000000011.jpg", quality=30)  # another picture of that name and id
    assert "val2017/11" in set(quiet("coco", root=coco_root).images["image_id"])


FIELDS = {  # what nobody needs, or what can mean one thing only
    "annotation ids twice": a(1, id=1),
    "annotation without id": lambda c: [one.pop("id") for one in c["annotations"]],
    "ids as text": lambda c: [one.update(image_id=str(one["image_id"])) for one in c["annotations"]],
    "image ids as text": lambda c: [one.update(id=str(one["id"])) for one in c["images"]],
    "category ids as text": lambda c: [one.update(category_id=str(one["category_id"])) for one in c["annotations"]],
    "ids as fractions": lambda c: [one.update(image_id=float(one["image_id"])) for one in c["annotations"]],
    "sizes as text": lambda c: [one.update(width="40", height=" 30") for one in c["images"]],
    "sizes of -1": lambda c: [one.update(width=-1, height=-1) for one in c["images"]],
    "sizes of words": lambda c: [one.update(width="wide", height=None) for one in c["images"]],
    "sizes that nothing has": lambda c: [one.update(width=10**12, height=10**12) for one in c["images"]],
    "no sizes": lambda c: [one.pop("width") for one in c["images"]],
    "boxes as text": lambda c: [one.update(bbox=list(map(str, one["bbox"]))) for one in c["annotations"]],
    "crowds as text": lambda c: [one.update(iscrowd="true" if one.get("iscrowd") else "0") for one in c["annotations"]],
    "crowds as flags": lambda c: [one.update(iscrowd=bool(one.get("iscrowd"))) for one in c["annotations"]],
    "labels with spaces": lambda c: [one.update(name=f" {one['name']}\u00a0") for one in c["categories"]],
    "a file that nobody asks with": lambda c: c["images"].append({"id": 77, "file_name": "nowhere.jpg"}),
    "folders before the names": lambda c: [one.update(file_name=f"C:\\data\\val2017\\{one['file_name']}") for one in c["images"]],
}


@pytest.mark.parametrize("change", FIELDS)
def test_coco_fields(coco_root, change):
    before = load_set("coco", root=coco_root)
    edit(coco_root / VAL, FIELDS[change])
    after = quiet("coco", root=coco_root)
    assert queries_of(after) == queries_of(before) and [answers(after, q) for q in range(2)] == [answers(before, q) for q in range(2)]
    assert after.images.to_dict("list") == before.images.to_dict("list")
    assert list(after.objects["ignore"]) == list(before.objects["ignore"])


def test_ids_that_are_text_stay_text(coco_root):
    for part in (VAL, TRAIN):
        edit(coco_root / part, lambda c: [one.update(id=f"img-{one['id']}") for one in c["images"]])
        edit(coco_root / part, lambda c: [one.update(image_id=f"img-{one['image_id']}") for one in c["annotations"]])
    assert list(load_set("coco", root=coco_root).database["image_id"]) == ["img-11", "img-12", "img-13"]


def test_sizes_of_voc_and_visual_genome_from_the_files(voc_root, vg_root):
    voc, genome = load_set("voc", root=voc_root), quiet("visual-genome", root=vg_root)
    for path in (voc_root / "VOCdevkit/VOC2007/Annotations").iterdir():
        path.write_text(path.read_text().replace("<width>40</width>", "").replace("<height>30</height>", "<height>0</height>"))
    edit(vg_root / "image_data.json", lambda c: [one.update(width=-1) for one in c[:2]])
    after = quiet("voc", root=voc_root)
    assert after.images.to_dict("list") == voc.images.to_dict("list")
    assert noted(after) == {"pictures without a usable size in the annotations, measured": 3}
    assert quiet("visual-genome", root=vg_root).images.to_dict("list") == genome.images.to_dict("list")


def test_flags_of_voc_in_words(voc_root):
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000001.xml"
    path.write_text(path.read_text().replace("<difficult>1</difficult>", "<difficult> True</difficult>"))
    assert [row[1] for row in queries_of(load_set("voc", root=voc_root))] == ["dog"]
    path.write_text(path.read_text().replace(" True", "perhaps"))
    with pytest.raises(InputError, match="difficult of cat, is 'perhaps', no yes or no"):
        load_set("voc", root=voc_root)


@pytest.mark.parametrize("line", ["../../secret", "..\\..\\secret", "{root}/secret", "a:b", "."])
def test_lists_lead_to_no_other_folder(voc_root, line):
    (voc_root / "VOCdevkit/secret.xml").write_bytes((voc_root / "VOCdevkit/VOC2007/Annotations/000001.xml").read_bytes())
    write(voc_root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt", line.format(root=voc_root / "VOCdevkit") + "\n000002\n")
    with pytest.raises((InputError, MissingError), match=r"no annotation at .*VOC2007/Annotations/|is no name of a picture"):
        load_set("voc", root=voc_root)


# --- names


NFD = unicodedata.normalize("NFD", "café.jpg")


@pytest.mark.parametrize(
    "name, means",
    [("images\\1/c.webp", "trip/c.webp"), ("..\\..\\media\\upload\\c.webp", "trip/c.webp"), ("{root}/trip/a.png", "trip/a.png"),
     ("{root}/a.png", "a.png"), ("trip\\a.png", "trip/a.png"), (".\\trip\\a.png", "trip/a.png"), ("B.jpg", "b.JPG"), ("photos/a.png", "a.png"),
     (NFD, "café.jpg"), ("file:///somewhere/trip/c.webp", "trip/c.webp")],
)  # fmt: skip
def test_names_mean_the_one_picture_that_fits(photos, name, means):
    picture(photos / "café.jpg")
    name = name.format(root=photos)
    write(photos / "boxes.csv", CSV + f"{name},dog,1,2,11,12\n")
    assert queries_of(quiet("folder", root=photos)) == [(means, "dog", 1, 2, 11, 12)]
    image = [{"id": 7, "file_name": name}, {"id": 8, "file_name": "gone.jpg", "width": 3, "height": 3}]
    write(photos / "boxes.json", {"images": image, "annotations": [annotation(1, 7, 18, [1, 2, 10, 10])], "categories": CATEGORIES})
    assert queries_of(quiet("folder", root=photos, boxes="boxes.json")) == [(means, "dog", 1, 2, 11, 12)]


def test_names_that_fit_none_or_two(photos):
    picture(photos / "home" / "c.webp")
    picture(photos / "home" / "café.jpg"), picture(photos / "home" / NFD)
    for name, words in (("trip/cc.webp", "not in the folder .1 such., nearest trip/c.webp"), ("x/c.webp", "may be home/c.webp or trip/c.webp"),
                        ("x/café.jpg", r"may be 'home/cafe\\u0301.jpg' or 'home/caf\\xe9.jpg'")):  # fmt: skip
        write(photos / "boxes.csv", CSV + f"{name},dog,1,2,11,12\n")
        with pytest.raises(InputError, match=words):
            load_set("folder", root=photos)
    write(photos / "boxes.csv", CSV + f"home/{NFD},dog,1,2,11,12\n")  # as it is written, letter by letter
    assert queries_of(load_set("folder", root=photos))[0][0] == f"home/{NFD}"


def test_boxes_of_a_folder_that_isnt_there_go_to_no_other(photos):
    write(photos / "boxes.csv", CSV + "trip/c.webp,dog,1,2,11,12\nhome/c.webp,cat,1,2,11,12\n")
    with pytest.raises(InputError, match="'home/c.webp', which is not in the folder .*nearest trip/c.webp"):
        load_set("folder", root=photos)
    assert names.match(["u/1.jpg", "v/1.jpg"], ["1.jpg"], "/r") == {"u/1.jpg": None, "v/1.jpg": None}
    write(photos / "boxes.csv", CSV + "home/c.webp,cat,1,2,11,12\n")
    notice = {"names of pictures that fit one picture by their last part alone": 1}
    assert noted(quiet("folder", root=photos)) == notice


PARTS = st.text("aAbé\u0301.", min_size=1, max_size=3).filter(lambda part: set(part) != {"."})


@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), min_size=1, max_size=5, unique=True))
def test_every_picture_is_meant_by_its_own_path(known):
    assert names.match(known, known, "/r") == {name: name for name in known}
    whole = names.match([f"/r/{name}" for name in known], known, "/r")
    alone = [name for name in known if sum(names.plain(other) == names.plain(name) for other in known) == 1]
    assert all(whole[f"/r/{name}"] == name for name in alone)


# --- labels


def test_labels_that_look_the_same_are_one(photos):
    accent = unicodedata.normalize("NFD", "café au lait")
    rows = ["b.JPG,cup,1,2,11,12", "a.png, cup ,1,2,11,12", "trip/a.png,cup\u00a0,1,2,9,9", f"trip/c.webp,{accent},1,2,9,9", "a.png,café  au lait,1,2,9,9"]
    write(photos / "boxes.csv", CSV + "\n".join(rows))
    result = load_set("folder", root=photos)
    assert set(result.queries["label"]) == set(result.objects["label"]) == {"cup", "café au lait"}
    assert answers(result, 0) == ["a.png", "trip/a.png"]


@pytest.mark.parametrize("label", ["cup\u200e", "\u202acup\u202c", "cu\u00adp", "cu\u2060p", "cup\0", "\ufeffcup\u200b"])
def test_what_cannot_be_seen_in_a_label_makes_no_other_class(photos, label):
    write(photos / "boxes.csv", CSV + f"b.JPG,cup,1,2,11,12\na.png,{label},1,2,11,12\n")
    assert set(load_set("folder", root=photos).objects["label"]) == {"cup"}


def test_labels_of_every_reader(coco_root, voc_root, vg_root):
    edit(coco_root / TRAIN, lambda c: c["categories"][0].update(name="dog\n"))
    assert answers(load_set("coco", root=coco_root), 0) == [11]
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000003.xml"
    path.write_text(path.read_text().replace("<name>dog</name>", "<name> dog </name>"))
    assert "VOC2007/000003" in answers(load_set("voc", root=voc_root), 0)
    edit(vg_root / "objects.json", lambda c: c[2]["objects"][0].update(names="\u00a0Puppy  "))
    assert answers(quiet("visual-genome", root=vg_root), 0) == [3, 5]


def test_a_set_of_ones_own_has_clean_labels_and_flags(photos):
    write(photos / "boxes.csv", CSV + "b.JPG,dog,5,6,30,20\na.png,dog,5,6,30,20\n")
    whole = load_set("folder", root=photos)
    objects = whole.objects.assign(label=["dog ", " dog"], ignore=["false", "0"])
    mine = RetrievalSet("mine", whole.images, objects, whole.queries.assign(label="dog "), whole.protocols)
    assert set(mine.objects["label"]) == set(mine.queries["label"]) == {"dog"} and not mine.objects["ignore"].any()
    with pytest.raises(InputError, match="ignore of objects, row 1, is 'maybe', no yes or no"):
        RetrievalSet("mine", whole.images, objects.assign(ignore=[0, "maybe"]), whole.queries, whole.protocols)
    with pytest.raises(InputError, match="tables hold values of another type"):
        RetrievalSet("mine", whole.images, objects.assign(ignore=[np.zeros(2), 0]), whole.queries, whole.protocols)


@given(st.text())
def test_a_label_stays_what_it_is(text):
    assert values.label(values.label(text)) == values.label(f" {text}\t") == values.label(unicodedata.normalize("NFD", text))


# --- values of another type


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_value_has_a_short_line(value):
    assert len(values.short(value)) <= 60 and "\n" not in values.short(value)
    assert values.whole(value) is None or float(values.whole(value)) == float(value)


def test_a_value_nested_without_end_is_short():
    deep = [1]
    for _ in range(100):
        deep = [deep] * 10
    assert len(values.short(deep)) <= 60 and "long int" in values.short(10**5000)


@pytest.mark.parametrize("content", ['{"images": [%s]}' % ("9" * 5000), "[" * 10_000, '{"a": 1e99999}', '"\\ud800"'])
def test_json_that_python_refuses(coco_root, content):
    (coco_root / VAL).write_text(content)
    with pytest.raises(InputError) as caught:
        load_set("coco", root=coco_root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b'<?xml version="1.0" encoding="utf-7"?><annotation/>', b'<?xml version="1.0" encoding="nonsense"?><annotation/>', b"\x00", b"\xff\xfe<",
     b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(12)) + b"]><a>&m;</a>",
     b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><object><name>&x;</name></object></annotation>'],
)  # fmt: skip
def test_xml_that_no_parser_takes(voc_root, content):
    (voc_root / "VOCdevkit/VOC2007/Annotations/000001.xml").write_bytes(content)
    with pytest.raises(InputError, match=r"000001\.xml") as caught:
        load_set("voc", root=voc_root)
    assert "\n" not in str(caught.value)


# --- ground truth of one's own


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_endings_in_a_ground_truth(roxford, protocol):
    before = load_set("roxford5k", root=roxford)
    grades = [{key: np.array(rows, np.float64 if key == "bbx" else np.int32) for key, rows in one.items()} for one in TRUTH["gnd"]]
    mine = {"imlist": np.array([f"{name}.jpg" for name in TRUTH["imlist"]]), "qimlist": [f"jpg/{name}.JPG" for name in TRUTH["qimlist"]], "gnd": grades}
    (roxford / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(mine, protocol=protocol))
    after = load_set("roxford5k", root=roxford)
    assert after.content == before.content and after.queries["prompt"].tolist() == before.queries["prompt"].tolist()


class Claim:
    """Pickled as an array of another shape than it has numbers."""

    def __reduce__(self):
        from numpy._core.multiarray import _reconstruct

        return _reconstruct, (np.ndarray, (10**12,), b"b"), (1, (10**12,), np.dtype("u1"), False, b"")


@pytest.mark.parametrize(
    "easy, words",
    [(Claim(), "isn't plain data or is damaged .it says"), (np.array([object()]), "asks for builtins.object"), (np.zeros(2, [("a", int)]), "holds an array"),
     ([0.5], "doesn't hold rows"), (["all_souls_000001"], "doesn't hold rows.*count database pictures from 0"), (np.zeros((2, 2)), "doesn't hold rows")],
)  # fmt: skip
def test_a_ground_truth_that_claims_or_means_something_else(roxford, easy, words):
    dump(roxford / "gnd_roxford5k.pkl", {**TRUTH, "gnd": [{**TRUTH["gnd"][0], "easy": easy}, TRUTH["gnd"][1]]})
    with pytest.raises(InputError, match=words):
        load_set("roxford5k", root=roxford)


def test_json_of_a_folder_is_read_whatever_its_spelling(photos):
    write(photos / "boxes.json", json.dumps({"images": [{"id": "x", "file_name": "b.JPG", "width": -1}], "categories": [{"id": "1", "name": 5}],
                                             "annotations": [{"image_id": "x", "category_id": 1, "bbox": ["1", 2, "3.5", 4]}]}))  # fmt: skip
    assert queries_of(quiet("folder", root=photos)) == [("b.JPG", "5", 1, 2, 4.5, 6)]


# --- options


def test_options_in_words(coco_root, vg_root):
    asked = load_set("coco", root=coco_root, crowd_queries="true", check_files="no")
    assert asked.content == load_set("coco", root=coco_root, crowd_queries=True).content != load_set("coco", root=coco_root, crowd_queries="False").content
    with pytest.raises(InputError, match="coco option crowd_queries, is 'sometimes', no yes or no: give true or false"):
        load_set("coco", root=coco_root, crowd_queries="sometimes")
    assert quiet("visual-genome", root=vg_root, n_categories="2").content == quiet("visual-genome", root=vg_root, n_categories=2).content
    for many in ("two", 0, None, 2.5):
        with pytest.raises(InputError, match="n_categories=.* must be a whole number"):
            load_set("visual-genome", root=vg_root, n_categories=many)
