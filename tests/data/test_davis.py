"""DAVIS: both layouts by hand, what asks and what is right, faults in words."""

import numpy as np
import pytest
from PIL import Image

from foir_lib import load_set
from foir_lib.errors import InputError, MissingError

SIZE = (12, 8)


def frame(root, video, name, numbers, mode="P", below=""):
    """A frame and its annotation, ``numbers`` (8, 12)."""
    for folder in ("JPEGImages", "Annotations"):
        (root / folder / below / video).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (90, 0, len(name))).save(root / "JPEGImages" / below / video / f"{name}.jpg")
    picture = Image.fromarray(np.asarray(numbers, np.uint8))
    picture = picture.point(lambda v: 255 * (v > 0)).convert("1") if mode == "1" else picture.convert("L")
    if mode == "P":
        picture = Image.fromarray(np.asarray(numbers, np.uint8), "L")
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *[7] * 759])
    picture.save(root / "Annotations" / below / video / f"{name}.png")


def numbers(*boxes):
    """Number i + 1 in box i (x0, y0, x1, y1), None for none."""
    array = np.zeros((8, 12), np.uint8)
    for i, box in enumerate(boxes):
        if box:
            array[box[1] : box[3], box[0] : box[2]] = i + 1
    return array


@pytest.fixture
def davis(tmp_path):
    """Two videos of three frames: a white dog that leaves in the last, and two numbered things."""
    for i, box in enumerate([(1, 1, 5, 4), (2, 1, 6, 4), None]):
        frame(tmp_path, "dog", f"0000{i}", numbers(box), "1")
    for i, boxes in enumerate([((0, 0, 3, 3), (6, 2, 9, 8)), ((1, 0, 4, 3), None), ((2, 0, 5, 3), (7, 2, 10, 8))]):
        frame(tmp_path, "horses", f"0000{i}", numbers(*boxes))
    return tmp_path


def test_things_of_first_frames_ask_and_frames_that_show_them_are_right(davis):
    result = load_set("davis", root=davis)
    assert result.queries["label"].tolist() == ["dog", "horses/1", "horses/2"] and result.unit == "thing"
    assert result.queries["image_id"].tolist() == ["dog/00000", "horses/00000", "horses/00000"]
    protocol, ids = result.protocols["instances"], result.database["image_id"].tolist()
    right = [[ids[row] for row in protocol.positives(q)] for q in range(3)]
    assert right == [["dog/00001"], ["horses/00001", "horses/00002"], ["horses/00002"]] and len(ids) == 6
    prompt = result.queries["prompt"][2]
    assert (prompt.x0, prompt.y0, prompt.x1, prompt.y1) == (6, 2, 9, 8)
    np.testing.assert_array_equal(result.mask(result.queries["object"][2]).array, numbers(None, (6, 2, 9, 8)) > 0)


def test_the_official_folders_and_lists(davis, tmp_path):
    other = tmp_path / "official"
    for video in ("bear", "cat"):
        for i in range(5):
            frame(other, video, f"{i:05}", numbers((i, 0, i + 3, 4)), below="480p")
    (other / "ImageSets" / "480p").mkdir(parents=True)
    (other / "ImageSets" / "480p" / "val.txt").write_text("".join(f"/JPEGImages/480p/cat/{i:05}.jpg /Annotations/480p/cat/{i:05}.png\n" for i in range(5)))
    (other / "ImageSets" / "2016").mkdir()
    (other / "ImageSets" / "2016" / "train.txt").write_text("bear\n")
    assert load_set("davis", root=other).images["image_id"].tolist() == [f"cat/{i:05}" for i in range(5)]
    few = load_set("davis", root=other, split="train", n_frames=3)
    assert few.images["image_id"].tolist() == ["bear/00000", "bear/00002", "bear/00004"] and few.images["split"].tolist() == ["both", *["database"] * 2]
    with pytest.raises(InputError, match="There is no list 'test-dev' below"):
        load_set("davis", root=other, split="test-dev")
    other.rename(davis / "DAVIS")
    assert len(load_set("davis", root=davis).images) == 5


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (lambda root: (root / "Annotations" / "dog" / "00001.png").unlink(), MissingError, "00001.png"),
        (lambda root: Image.new("L", (12, 9)).save(root / "Annotations" / "dog" / "00001.png"), InputError, "of 12 x 9 pixels, its frame is 12 x 8"),
        (lambda root: Image.new("RGB", SIZE).save(root / "Annotations" / "dog" / "00001.png"), InputError, "is a RGB picture"),
        (lambda root: (root / "Annotations" / "dog" / "00001.png").write_bytes(b"none"), InputError, "can't be read"),
        (lambda root: (root / "JPEGImages").rename(root / "Frames"), MissingError, "JPEGImages"),
    ],
)
def test_faults_in_words(davis, harm, error, words):
    harm(davis)
    with pytest.raises(error, match=words):
        load_set("davis", root=davis)


def test_annotations_that_show_nothing(tmp_path):
    frame(tmp_path, "dog", "00000", numbers())
    with pytest.raises(InputError, match="shows anything"):
        load_set("davis", root=tmp_path)
