"""mini-change: two conditions that share neither light nor side nor background, the same on every machine."""

import numpy as np

from foir_lib import load_set
from foir_lib.data.mini import change, needles, render


def test_sides_of_light_and_walls_part_the_conditions():
    things = needles.world(needles.BENCHMARK, 3, 16)
    for index, thing in enumerate(things[::4]):
        warm, cold = (change.photograph(render.stream(1, index, condition), thing, condition) for condition in (0, 1))
        (a, mask), (b, other) = warm, cold
        assert a.shape == b.shape == (change.SIDE, change.SIDE, 3) and mask.any() and other.any()
        ground, far = (picture[~one].astype(float).mean(0) for picture, one in ((a, mask), (b, other)))
        assert ground[0] > ground[2] and far[0] < far[2], "warm and cold"


def test_a_small_world(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    s = load_set("mini-change", seed=2, n_things=3, n_views=4)
    assert len(s.images) == len(s.objects) == 24 and (s.images["split"].to_numpy() == np.repeat(["query", "database"], 12)).all()
    assert s.objects["label"].nunique() == 3 and (s.objects.groupby("label").size() == 8).all()
    assert len({label[:-1] for label in s.objects["label"]}) == 3, "one of each family"
    assert load_set("mini-change", seed=3, n_things=3, n_views=4).fingerprint != s.fingerprint
