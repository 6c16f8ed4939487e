"""mini-landmarks-parts: the same pictures, masks of parts by the stages of painting, protocols by hand from the objects."""

import numpy as np
import pytest

from foir_lib import load_set
from foir_lib.data.mini import facades, landmarks, town

NUMBERS = {"seed": 5, "n_landmarks": 6, "n_queries": 6, "n_database": 48}


@pytest.fixture(scope="module")
def sets(drawn):
    return drawn(lambda: tuple(load_set(name, **NUMBERS) for name in ("mini-landmarks-parts", "mini-landmarks")))


def test_pictures_are_those_of_mini_landmarks_bit_for_bit(sets):
    parts, whole = sets
    assert len(parts.images) == len(whole.images) == 54
    for one, other in zip(parts.images["path"], whole.images["path"], strict=True):
        with open(one, "rb") as a, open(other, "rb") as b:
            assert a.read() == b.read()
    landmarks_alone = parts.objects[~parts.objects["label"].str.contains("/")].reset_index(drop=True)
    assert landmarks_alone.equals(whole.objects)


def test_marks_change_no_colour_and_lie_on_the_facade():
    for facade in facades.family(np.random.default_rng(4), 5, "01"):
        plain, marked = facades.paint(facade), facades.paint(facade, marked=True)
        np.testing.assert_array_equal(marked[..., :5], plain)
        marks = marked[..., 5:]
        assert marks.shape[2] == 3 and set(np.unique(marks)) <= {0, 1} and marks.sum(2).max() <= 1, "what is seen is one part's"
        for name, mark in zip(landmarks.parts_of(facade), np.moveaxis(marks, 2, 0), strict=True):
            assert name == "" or mark.any()


def test_right_pictures_show_the_part_by_the_grade_of_the_landmark(sets):
    rs, _ = sets
    world = town.world(town.BENCHMARK, NUMBERS["seed"], NUMBERS["n_landmarks"], marked=True)
    names, shown = [facade.name for facade in world.facades], {}
    for index in range(NUMBERS["n_database"]):
        _, instances, grades = landmarks.picture(world, NUMBERS["seed"], NUMBERS["n_landmarks"], 1, index)
        for one, grade in zip(instances, grades, strict=True):
            for name, marks in zip(landmarks.parts_of(world.facades[one.landmark]), one.parts, strict=True):
                assert not (marks & ~one.mask).any()
                if name and marks.sum() >= landmarks.LEAST:
                    shown.setdefault((f"{names[one.landmark]}/{name}", grade), []).append(index)
    assert len(rs.queries) > 6 and rs.queries["label"].str.contains("/").all()
    assert rs.units.tolist() == [list(dict.fromkeys(label.split("/")[0] for label in rs.queries["label"])).index(label.split("/")[0]) for label in rs.queries["label"]], "parts of one landmark belong together"
    for query, label in enumerate(rs.queries["label"]):
        for protocol in ("easy", "hard"):
            assert rs.protocols[protocol].positives(query).tolist() == sorted(shown.get((label, protocol), []))
        mask, box = rs.mask(rs.queries["object"].iloc[query]), rs.queries["prompt"].iloc[query]
        assert mask.array.sum() >= 4 * landmarks.LEAST and str(mask.box((192, 160))) == str(box)
        whole = rs.objects[(rs.objects["image_id"] == rs.queries["image_id"].iloc[query]) & (rs.objects["label"] == label.split("/")[0])]
        assert not (mask.array & ~rs.mask(whole.index[0]).array).any()
    ignored = rs.protocols["medium"].ignored_of(0)
    right = rs.protocols["medium"].positives(0)
    there = rs.objects["image_id"][rs.objects["label"] == rs.queries["label"].iloc[0].split("/")[0]]
    rows = np.flatnonzero(rs.database["image_id"].isin(there))
    np.testing.assert_array_equal(np.union1d(ignored, right), rows)


def test_mini_focus_has_a_mask_of_every_object(drawn):
    rs = drawn(lambda: load_set("mini-focus", seed=1, n_query=3, n_database=6))
    assert len(rs.objects) > 9 and rs.has_mask(np.arange(len(rs.objects))).all()
    for row in range(len(rs.objects)):
        x0, y0, x1, y1 = rs.objects.loc[row, ["x0", "y0", "x1", "y1"]]
        box = rs.mask(row).box(rs.open(rs.objects["image_id"][row]).size)
        assert (box.x0, box.y0, box.x1, box.y1) == (x0, y0, x1, y1)
