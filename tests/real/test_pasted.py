"""The generator of real needles: its things are small, where it says, and what a seed draws is drawn again."""

import numpy as np
import pytest
from pasted import QUERY_FRAMES, needles

from foir_lib.images import open_image

pytestmark = pytest.mark.real


def test_pasted_things_are_small_and_where_their_masks_say(foir_data, tmp_path):
    s = needles(foir_data, tmp_path / "one", n_database=12, seed=3)
    assert len(s.database) == 12 and len(s.queries) == 2 * 20 and len(np.unique(s.units)) == 20 and s.unit == "thing"
    on = s.objects["image_id"].isin(s.database["image_id"])
    for image_id, rows in s.objects[on].groupby("image_id").groups.items():
        masks = np.array([s.mask(row).array for row in rows])
        assert 1 <= len(rows) <= 3 and masks.sum(0).max() == 1
        assert ((0.008 < masks.mean((1, 2))) & (masks.mean((1, 2)) < 0.033)).all()
        before = np.asarray(open_image(foir_data / "coco-free" / "train2017" / f"{image_id}.jpg"))
        after = np.asarray(s.open(image_id))
        changed = (before != after).any(2)
        assert not (changed & ~masks.any(0)).any() and changed[masks.any(0)].mean() > 0.9
        for row in rows:
            assert image_id in s.database["image_id"].iloc[s.protocols["instances"].positives(s.queries.index[s.queries["label"] == s.objects["label"][row]][0])].tolist()


def test_a_seed_draws_the_same_and_another_does_not(foir_data, tmp_path):
    one, again, other = (needles(foir_data, tmp_path / str(i), n_database=4, seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert [s.content == one.content for s in (again, other)] == [True, False]
    assert len(QUERY_FRAMES) * 20 == len(one.query_images)


def test_a_smaller_database_is_the_first_part(foir_data, tmp_path):
    few, more = (needles(foir_data, tmp_path / str(n), n_database=n) for n in (2, 4))
    assert [np.array_equal(few.open(image_id), more.open(image_id)) for image_id in few.database["image_id"]] == [True, True]
    assert few.database["image_id"].tolist() == more.database["image_id"].tolist()[:2]
