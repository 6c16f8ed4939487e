"""Readers of small objects: tiny folders in the layouts of VoxDet, BURST and INSTRE, answers worked by hand, every fault in words."""


import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from test_readers import edit, write

from foir_lib.data import load_set
from foir_lib.errors import InputError, MissingError
from foir_lib.prompts import Box


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))


def picture(path, size=(40, 30), box=None):
    """A plain picture, or a mask that is white in a box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size[::-1], 3), 0 if box else 90, np.uint8)
    if box:
        pixels[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(pixels).save(path)


def runs(box, size=(40, 30)):
    """RLE text of a box, and of the whole record as COCO has it."""
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 1
    code = rle.encode(np.asfortranarray(pixels))
    return {"size": list(code["size"]), "counts": code["counts"].decode()}


def answers(result):
    rules = result.protocols["instances"]
    return {(image_id, label): result.database["image_id"].iloc[rules.positives(q)].tolist()
            for q, (image_id, label) in enumerate(zip(result.queries["image_id"], result.queries["label"], strict=True))}  # fmt: skip


# --- VoxDet


@pytest.fixture
def voxdet(tmp_path):
    """RoboTools: two things, a drill of two views and a clamp; scenes 1 (both), 2 (clamp), 3 (an unknown thing). OWID: thing 7."""
    root = tmp_path / "voxdet"
    test = root / "RoboTools" / "test"
    images = [{"id": i, "file_name": f"{i:06d}/rgb/000003.png", "width": 40, "height": 30} for i in (1, 2, 3)]
    shown = [(1, 1, [2, 3, 10, 8]), (1, 2, [20, 5, 6, 6]), (2, 2, [0, 0, 4, 4]), (3, 9, [1, 1, 5, 5])]
    annotations = [{"id": i, "image_id": image, "category_id": category, "bbox": box} for i, (image, category, box) in enumerate(shown)]
    categories = [{"id": i, "name": str(i)} for i in (1, 2, 9)]
    write(test / "scene_gt_coco_all.json", {"images": images, "annotations": annotations, "categories": categories})
    for image in images:
        picture(test / image["file_name"])
    for folder, views in (("drill_1", 2), ("clamp_2", 1), ("saw_5", 1)):
        for view in range(views):
            picture(root / "RoboTools" / "test_video" / folder / "rgb" / f"{view:06d}.jpg", (24, 20))
            picture(root / "RoboTools" / "test_video" / folder / "mask" / f"{view:06d}.png", (24, 20), (4, 5 + view, 14, 16))
    outline = runs((3, 4, 9, 10))
    for split in ("train", "val"):
        content = {"images": [{"id": 5, "file_name": "images/000005.jpg", "width": 40, "height": 30}], "categories": [{"id": 7, "name": "x"}]}
        content["annotations"] = [{"id": 1, "image_id": 5, "category_id": 7, "bbox": [3, 4, 6, 6], "segmentation": outline}]
        write(root / "OWID" / "P2" / f"{split}_annotations.json", content)
    picture(root / "OWID" / "P2" / "images" / "000005.jpg")
    picture(root / "OWID" / "P1" / "7" / "rgb" / "0.png", (24, 20))
    picture(root / "OWID" / "P1" / "7" / "mask" / "0.png", (24, 20), (0, 0, 3, 3))
    return root


def test_voxdet_by_hand(voxdet):
    result = load_set("voxdet", root=voxdet)
    assert result.unit == "thing" and result.protocols["instances"].definition == "textbook"
    assert answers(result) == {
        ("clamp_2/000000", "clamp_2"): ["scene/1", "scene/2"],
        ("drill_1/000000", "drill_1"): ["scene/1"],
        ("drill_1/000001", "drill_1"): ["scene/1"],
    }
    assert result.units.tolist() == [0, 1, 1] and result.database["image_id"].tolist() == ["scene/1", "scene/2", "scene/3"]
    assert result.queries["prompt"].tolist() == [Box(4, 5, 14, 16), Box(4, 5, 14, 16), Box(4, 6, 14, 16)]
    assert result.mask(result.queries["object"][2]).box((24, 20)) == Box(4, 6, 14, 16)
    on_scene = result.objects[result.objects["image_id"] == "scene/1"]
    assert on_scene[["label", "x0", "y0", "x1", "y1"]].to_numpy().tolist() == [["drill_1", 2, 3, 12, 11], ["clamp_2", 20, 5, 26, 11]]
    assert result.open("scene/3").size == (40, 30)


def test_on_voxdetw_nothing_is_annotated_but_the_truth_is_the_same(voxdet):
    annotated, result = load_set("voxdet", root=voxdet), load_set("voxdetw", root=voxdet)
    assert answers(result) == answers(annotated) and result.name == "voxdetw"
    assert annotated.settings["objects"] == "boxes" and result.settings["objects"] == "owlv2"
    assert set(result.objects["image_id"]) == {"clamp_2/000000", "drill_1/000000", "drill_1/000001"}
    assert result.objects["label"][result.queries["object"]].tolist() == result.queries["label"].tolist()


def test_voxdet_s_views_and_the_part_to_train_on(voxdet):
    assert list(answers(load_set("voxdet", root=voxdet, views=1))) == [("clamp_2/000000", "clamp_2"), ("drill_1/000000", "drill_1")]
    owid = load_set("voxdet", root=voxdet, part="OWID/train")
    assert answers(owid) == {("7/0", "7"): ["scene/5"]}
    assert owid.mask(owid.objects.index[owid.objects["image_id"] == "scene/5"][0]).box((40, 30)) == Box(3, 4, 9, 10)


def test_voxdet_photographs_without_a_mask_are_left_out_aloud(voxdet):
    masks = voxdet / "RoboTools" / "test_video" / "drill_1" / "mask"
    (masks / "000000.png").unlink()
    picture(masks / "000001.png", (25, 20), (1, 1, 5, 5))
    with pytest.warns(UserWarning, match="1 photographs without a mask left out.*1 photographs left out whose mask is empty, broken or of another"):
        result = load_set("voxdet", root=voxdet)
    assert list(answers(result)) == [("clamp_2/000000", "clamp_2")]


def scenes(root):
    return root / "RoboTools" / "test" / "scene_gt_coco_all.json"


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda root: scenes(root).unlink(), MissingError, "no RoboTools of VoxDet at .*scene_gt_coco_all.json"),
        (lambda root: edit(scenes(root), lambda c: c.pop("images")), InputError, "has no list 'images'"),
        (lambda root: edit(scenes(root), lambda c: c["annotations"][0].update(category_id=77)), InputError, "category 77, which is not in"),
        (lambda root: edit(scenes(root), lambda c: c["annotations"][0].update(bbox=[1, 2])), InputError, "annotation 0 has bbox"),
        (lambda root: picture(root / "RoboTools/test_video/other_1/rgb/0.png"), InputError, "are both of category 1"),
        (lambda root: (root / "RoboTools/test/000002/rgb/000003.png").unlink(), MissingError, "1 of 3 pictures of scene_gt_coco_all.json are missing"),
    ],
)
def test_faults_of_voxdet_in_words(voxdet, spoil, error, words):
    spoil(voxdet)
    with pytest.raises(error, match=words):
        load_set("voxdet", root=voxdet)
    with pytest.raises(InputError, match="no part of VoxDet 'OWID': did you mean OWID/"):
        load_set("voxdet", root=voxdet, part="OWID")


# --- PerMiR


def sequence(name, tracks, n=7, dataset="HACS"):
    """Annotations of a sequence: track -> (category, frames it is on); its box moves a pixel a frame."""
    shown = [{track: {"rle": runs((f + int(track), 2, f + int(track) + 5, 9))["counts"], "is_gt": True} for track, (_, on) in tracks.items() if f in on} for f in range(n)]
    return {
        "width": 40, "height": 30, "id": 1, "seq_name": name, "dataset": dataset, "fps": 30, "annotated_image_paths": [f"frame{f:04d}.jpg" for f in range(n)],
        "track_category_ids": {track: category for track, (category, _) in tracks.items()}, "segmentations": shown,
    }  # fmt: skip


@pytest.fixture
def burst(tmp_path):
    """val: "b" has two cups (the second on all frames, the first on three), "a" one cup and one plate; test: "c" two dogs."""
    root, every = tmp_path / "burst", range(7)
    videos = {
        "val": [sequence("b", {"1": (5, (0, 1, 2)), "2": (5, every), "3": (6, (3, 6))}), sequence("a", {"1": (5, every), "2": (6, every)})],
        "test": [sequence("c", {"4": (9, every), "12": (9, every)}, dataset="BDD")],
    }
    for split, sequences in videos.items():
        write(root / "annotations" / split / "all_classes.json", {"sequences": sequences, "categories": [], "split": split})
        for video in sequences:
            for file in video["annotated_image_paths"]:
                picture(root / "images" / split / video["dataset"] / video["seq_name"] / file)
    return root


def test_permir_by_hand(burst):
    """A third, two thirds and all the way on of frames 0 to 6: 2, 4 and 6. Of "c" track 4 comes before 12."""
    result = load_set("permir", root=burst)
    assert result.name == "permir (our own list)" and result.unit == "thing"
    assert answers(result) == {
        ("HACS/b/frame0000.jpg", "HACS/b/2"): [f"HACS/b/frame000{f}.jpg" for f in (2, 4, 6)],
        ("BDD/c/frame0000.jpg", "BDD/c/4"): [f"BDD/c/frame000{f}.jpg" for f in (2, 4, 6)],
    }
    assert result.queries["prompt"].tolist() == [Box(2, 2, 7, 9), Box(4, 2, 9, 9)]
    on = result.objects.groupby("image_id")["label"].agg(list)
    assert on["HACS/b/frame0002.jpg"] == ["HACS/b/1", "HACS/b/2"] and on["HACS/b/frame0006.jpg"] == ["HACS/b/2", "HACS/b/3"]
    assert on["HACS/b/frame0000.jpg"] == ["HACS/b/2"], "of a query's picture only the query"
    row = result.objects.index[(result.objects["image_id"] == "BDD/c/frame0006.jpg") & (result.objects["label"] == "BDD/c/12")][0]
    assert result.mask(row).box((40, 30)) == Box(18, 2, 23, 9)


def test_variants_of_a_set_share_its_folder_and_burst_may_be_unpacked_as_it_is(burst, monkeypatch):
    monkeypatch.setenv("FOIR_DATA", str(burst.parent))
    burst.rename(burst.with_name("permir"))
    for split in ("val", "test"):
        (burst.with_name("permir") / "annotations" / split).rename(burst.with_name("permir") / split)
    (burst.with_name("permir") / "annotations").rmdir()
    assert len(load_set("permirw").queries) == len(load_set("permir").queries) == 2


def test_permirw_and_the_length_of_our_list(burst):
    result = load_set("permirw", root=burst, n_queries=1, splits="val")
    assert list(answers(result).values()) == [[f"HACS/b/frame000{f}.jpg" for f in (2, 4, 6)]]
    assert (load_set("permir", root=burst).settings["objects"], result.settings["objects"]) == ("boxes", "owlv2")
    assert result.objects["image_id"].tolist() == ["HACS/b/frame0000.jpg"] and result.queries["object"].tolist() == [0]


def spoiled(change, split="val"):
    return lambda root: edit(root / "annotations" / split / "all_classes.json", change)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda root: (root / "annotations/test/all_classes.json").unlink(), MissingError, "no annotation file at"),
        (spoiled(lambda c: c.update(sequences={})), InputError, "has no list 'sequences'"),
        (spoiled(lambda c: c["sequences"][0].pop("width")), InputError, r"sequences\[0\] lacks the key 'width'"),
        (spoiled(lambda c: c["sequences"][0].update(seq_name="../../x")), InputError, "names '../../x', which is no name"),
        (spoiled(lambda c: c["sequences"][0]["segmentations"].pop()), InputError, "has 7 annotated frames and 6 segmentations"),
        (spoiled(lambda c: c["sequences"][0]["segmentations"][2].update({"2": {"rle": "??"}})), InputError, "broken segmentation"),
        (spoiled(lambda c: c["sequences"][0]["segmentations"][2].update({"2": 5})), InputError, "has no text 'rle'"),
        (spoiled(lambda c: c["sequences"][0].update(width=41)), InputError, "broken segmentation"),
        (spoiled(lambda c: c["sequences"][0].update(width=10**400)), InputError, "of nan x 30 pixels"),
        (spoiled(lambda c: c["sequences"][0].update(height=0)), InputError, "of 40 x 0 pixels"),
        (lambda root: (root / "images/test/BDD/c/frame0004.jpg").unlink(), MissingError, "1 of 8 pictures of permir are missing"),
        (lambda root: picture(root / "images/test/BDD/c/frame0004.jpg", (41, 30)), InputError, "is 41 x 30 pixels, its annotations say 40 x 30"),
    ],
)
def test_faults_of_burst_in_words(burst, spoil, error, words):
    spoil(burst)
    with pytest.raises(error, match=words):
        load_set("permir", root=burst)


# --- INSTRE


@pytest.fixture
def instre(tmp_path):
    """S1: seven books, the first five small (the fourth tiny), and one bear; S2: two cars; M: one picture of book and bear."""
    root = tmp_path / "instre"
    sides = {"01a_book": (15, 14, 13, 6, 12, 25, 30), "01b_bear": (10,)}
    for folder, of in sides.items():
        for i, side in enumerate(of, start=1):
            picture(root / "INSTRE-S1" / folder / f"{i:03d}.jpg", (40, 30))
            write(root / "INSTRE-S1" / folder / f"{i:03d}.txt", f"2 0 {side} {min(side, 11)}\n")
    for i in (1, 2):
        picture(root / "INSTRE-S2" / "car" / f"{i:03d}.jpg")
        write(root / "INSTRE-S2" / "car" / f"{i:03d}.txt", "5 6 10 10\r\n20 6 10 10\r\n")
    picture(root / "INSTRE-M" / "01" / "001.jpg")
    write(root / "INSTRE-M" / "01" / "001.txt", "0 0 9 9\n20 10 9 9")
    return root


def test_instre_xs_by_hand(instre):
    """15 % of 1,200 pixels are 180, 5 % are 60: the first of the books, 15 x 11, is small, 6 x 6 tiny."""
    result = load_set("instre-xs", root=instre)
    name = "INSTRE-S1/01a_book"
    assert result.settings["objects"] == "boxes"
    assert [q for q, _ in answers(result)] == [f"{name}/{i:03d}.jpg" for i in (1, 3, 5)]
    assert all(rows == [f"{name}/002.jpg", f"{name}/004.jpg"] for rows in answers(result).values())
    assert result.queries["prompt"][0] == Box(2, 0, 17, 11) and result.database["image_id"].tolist()[-1] == "INSTRE-S1/01b_bear/001.jpg"
    with pytest.raises(InputError, match="instre-xxs has no queries"):  # one tiny picture has nothing to be found by
        load_set("instre-xxs", root=instre)


def test_instre_by_hand(instre):
    """Five of seven books ask; of two cars all would, so none does. M's first line is the book's, by the folder's number."""
    result = load_set("instre", root=instre)
    name = "INSTRE-S1/01a_book"
    assert [q for q, _ in answers(result)] == [f"{name}/{i:03d}.jpg" for i in (1, 3, 4, 5, 7)]
    assert all(rows == [f"{name}/002.jpg", f"{name}/006.jpg", "INSTRE-M/01/001.jpg"][-1:] + [f"{name}/002.jpg", f"{name}/006.jpg"] for rows in answers(result).values())
    on = result.objects[result.objects["image_id"] == "INSTRE-M/01/001.jpg"]
    assert on[["label", "x0", "y0", "x1", "y1"]].to_numpy().tolist() == [[name, 0, 0, 9, 9], ["INSTRE-S1/01b_bear", 20, 10, 29, 19]]
    assert (result.objects["label"] == "INSTRE-S2/car").sum() == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [("2 0 15", "has the line '2 0 15', not x y w h"), ("a b c d", "not x y w h"), ("", "is empty"), ("90 0 5 5", "lies outside its picture"), ("1 1 nan 4", "not x y w h")],
)
def test_faults_of_instre_in_words(instre, text, words):
    write(instre / "INSTRE-S1" / "01a_book" / "002.txt", text)
    with pytest.raises(InputError, match=words):
        load_set("instre-xs", root=instre)


def test_instre_pictures_without_boxes_are_left_out_aloud(instre):
    (instre / "INSTRE-S1" / "01a_book" / "002.txt").unlink()
    with pytest.warns(UserWarning, match="1 pictures without a text file of boxes left out"):
        result = load_set("instre-xs", root=instre)
    assert [q for q, _ in answers(result)] == [f"INSTRE-S1/01a_book/{i:03d}.jpg" for i in (1, 4)]
