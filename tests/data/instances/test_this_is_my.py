"""The reader of This-is-My-Img: three things in the authors' layout, what is right, wrong and ignored by hand, every fault in words."""

import pytest
from test_object_readers import answers, cache, picture  # noqa: F401

from foir_lib.data import load_set
from foir_lib.errors import InputError, MissingError
from foir_lib.prompts import Box


@pytest.fixture
def mine(tmp_path):
    """A hat (two references, two positives, a hard negative and a fake), a dog (one, one, another negative), a car without positives."""
    root = tmp_path / "This-is-My-Img"
    for place in (
        "train/Alexs hat/0.png", "train/Alexs hat/1.png", "train/Zaks dog kona/0.png", "train/Nikkis car/0.png",
        "test/Positive/Alexs hat/5.png", "test/Positive/Alexs hat/6.png", "test/Positive/Zaks dog kona/5.png",
        "test/Negative (Hard)/Alexs hat/7.png", "test/Negative (Other)/Zaks dog kona/7.png", "test/Fake/Alexs hat/8.png",
    ):  # fmt: skip
        picture(root / "Single-concept" / place)
    return root


def test_by_hand(mine):
    result = load_set("this-is-my-img", root=mine)
    hats, dogs = [f"test/Positive/Alexs hat/{n}.png" for n in (5, 6)], ["test/Positive/Zaks dog kona/5.png"]
    assert answers(result) == {
        ("train/Alexs hat/0.png", "Alexs hat"): hats, ("train/Alexs hat/1.png", "Alexs hat"): hats, ("train/Zaks dog kona/0.png", "Zaks dog kona"): dogs,
    }  # fmt: skip
    assert result.queries["prompt"].tolist() == [Box(0, 0, 40, 30)] * 3, "whole pictures"
    assert result.unit == "thing" and result.units.tolist() == [0, 0, 1]
    names = result.database["image_id"]
    ignored = [names.iloc[result.protocols["instances"].ignored_of(query)].tolist() for query in (0, 2)]
    assert ignored == [["test/Negative (Other)/Zaks dog kona/7.png"], ["test/Negative (Hard)/Alexs hat/7.png", "test/Fake/Alexs hat/8.png"]]
    assert len(names) == 6 and not names.str.contains("car").any(), "what can't be found is no query"
    assert set(result.objects["image_id"]) == {*result.queries["image_id"], *hats, *dogs}, "negatives show no thing that is known"


def test_positives_alone_and_the_inner_folder_as_root(mine):
    assert load_set("this-is-my-img", root=mine, negatives=False).database["image_id"].tolist() == [
        "test/Positive/Alexs hat/5.png", "test/Positive/Alexs hat/6.png", "test/Positive/Zaks dog kona/5.png"
    ]  # fmt: skip
    assert load_set("this-is-my-img", root=mine / "Single-concept").content == load_set("this-is-my-img", root=mine).content


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda root: (root / "train").rename(root / "Reference Images"), MissingError, "no folder train of This-is-My-Img at"),
        (lambda root: (root / "test/Positive").rename(root / "test/positives"), MissingError, "no folder test/Positive of This-is-My-Img"),
        (lambda root: picture(root / "train/lone.png"), InputError, "holds lone.png, which is not in the folder of a thing"),
        (lambda root: (root / "train/Alexs hat/0.png").write_bytes(b"no picture"), InputError, "Picture .*0.png of this-is-my-img can't be read"),
        (lambda root: [p.unlink() for p in (root / "test/Positive").rglob("*.png")], MissingError, "no pictures below .*Positive"),
    ],
)
def test_faults_in_words(mine, spoil, error, words):
    spoil(mine / "Single-concept")
    with pytest.raises(error, match=words) as told:
        load_set("this-is-my-img", root=mine)
    assert "\n" not in str(told.value)
