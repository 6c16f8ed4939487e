"""The mini world: its rules, its drawing, and that every machine draws the same pictures."""

import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foir_lib.data import load_set
from foir_lib.data.mini import focus
from foir_lib.data.mini import render as draw
from foir_lib.errors import InputError

SEEDS = st.integers(0, 2**32 - 1)
NAMES = st.sampled_from(list(focus.FLAVOURS))


def test_every_kind_is_equally_frequent_in_the_world_and_every_place_equally_full():
    weights = np.array([kind.weights for kind in focus.KINDS])
    assert weights.shape == (24, 4)
    assert set(weights.sum(1)) == {12} and set(weights.sum(0)) == {72}
    assert len({kind.name for kind in focus.KINDS}) == 24


def test_look_alikes_share_a_look_and_never_a_place():
    looks = {}
    for kind in focus.KINDS:
        looks.setdefault((kind.texture, kind.hue, kind.shape), []).append(kind)
    assert [len(twins) for twins in looks.values()] == [2] * 12
    for twins in looks.values():
        met = np.array([np.array(kind.weights) > 0 for kind in twins]).sum(0)
        assert met.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "shape, area",
    [("disc", math.pi * 0.95**2), ("square", 1.6**2), ("ring", math.pi * (0.97**2 - 0.39**2)),
     ("cross", 2 * 1.9 * 0.66 - 0.66**2), ("triangle", 3 * math.sqrt(3) * 0.56**2),
     ("star", 10 * 0.5 * 0.5 * math.sin(math.pi / 5)), ("heart", (0.5 + math.pi / 8) / 0.36)],
)  # fmt: skip
def test_shapes_have_the_area_of_their_geometry(shape, area):
    axis = (np.arange(800) + 0.5) / 200 - 2
    inside = (
        draw.distance(shape, axis[None] + 0 * axis[:, None], axis[:, None] + 0 * axis[None]) < 0
    )
    assert inside.mean() * 16 == pytest.approx(area, rel=0.01)


def test_the_star_is_the_same_after_a_fifth_of_a_turn():
    u, v = np.random.default_rng(0).uniform(-1.2, 1.2, (2, 200))
    cos, sin = math.cos(2 * math.pi / 5), math.sin(2 * math.pi / 5)
    turned = draw.distance("star", cos * u - sin * v, sin * u + cos * v)
    np.testing.assert_allclose(draw.distance("star", u, v), turned, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, name=NAMES)
def test_a_scene_holds_what_its_flavour_promises(seed, name):
    pixels, kinds, masks, place = focus.scene(focus.stream(0, name, seed, 0, 0), name)
    height, width = pixels.shape[:2]
    assert pixels.dtype == np.uint8 and 96 <= height <= 128 and 112 <= width <= 144
    assert 1 <= len(kinds) == len(masks) <= focus.FLAVOURS[name].counts[-1]
    assert np.sum(masks, axis=0).max() == 1, "visible masks may not overlap"
    assert all(focus.KINDS[kind].weights[place] > 0 for kind in kinds)


@settings(max_examples=50, deadline=None)
@given(
    benchmark=SEEDS,
    training=SEEDS,
    name=NAMES,
    parts=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
def test_no_training_scene_is_a_benchmark_scene_whatever_the_seeds(
    benchmark, training, name, parts
):
    ours, theirs = (focus.stream(use, name, seed, part, 3).random(4) for use, seed, part in
                    zip((0, 1), (benchmark, training), parts, strict=True))  # fmt: skip
    assert not np.array_equal(ours, theirs)


def test_queries_database_flavours_and_seeds_draw_from_different_streams():
    keys = [(use, name, seed, part, index) for use in (0, 1) for name in focus.FLAVOURS
            for seed in (0, 1) for part in (0, 1) for index in (0, 1)]  # fmt: skip
    firsts = sorted(focus.stream(*key).random() for key in keys)
    assert all(a < b for a, b in pairwise(firsts))


def digest(name, seed, n):
    """sha256 over the pixels, kinds and masks of the first scenes of both splits."""
    sha = hashlib.sha256()
    for part in (0, 1):
        for index in range(n[part]):
            pixels, kinds, masks, _ = focus.scene(focus.stream(0, name, seed, part, index), name)
            for array in (pixels, np.array(kinds, np.int64), np.array(masks)):
                sha.update(repr(array.shape).encode() + array.tobytes())
    return sha.hexdigest()[:16]


FEW = {
    "mini-focus": "985aa7224748d62b",
    "mini-focus-sparse": "a3eea0634c307f4a",
    "mini-focus-dense": "ff20528fa348b948",
}
ALL = {
    "mini-focus": "7d22e5a81cf038fa",
    "mini-focus-sparse": "20536d3588ca57ff",
    "mini-focus-dense": "5e3c4a9899dfb339",
}


@pytest.mark.parametrize("name", focus.FLAVOURS)
def test_every_machine_draws_the_same_scenes(name):
    assert digest(name, 0, (6, 6)) == FEW[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mini-focus", *(pytest.param(name, marks=pytest.mark.claims) for name in focus.FLAVOURS if name != "mini-focus")])
def test_every_machine_draws_the_same_default_set(name):
    assert digest(name, 0, (300, 1500)) == ALL[name]


def test_over_a_third_of_the_sparse_queries_stand_alone():
    counts = [
        len(focus.scene(focus.stream(0, "mini-focus-sparse", 0, 0, i), "mini-focus-sparse")[1])
        for i in range(300)
    ]
    assert counts.count(1) / sum(counts) > 1 / 3


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    return tmp_path


def test_load_gives_the_scenes_with_tight_boxes_and_masks(cache):
    s = focus.load("mini-focus", seed=3, n_query=2, n_database=4)
    assert s.name == "mini-focus (seed 3)"
    assert s.images.split.tolist() == ["query"] * 2 + ["database"] * 4
    pixels, kinds, masks, _ = focus.scene(focus.stream(0, "mini-focus", 3, 1, 1), "mini-focus")
    image_id = s.database.image_id[1]
    np.testing.assert_array_equal(np.asarray(s.open(image_id)), pixels)
    rows = s.objects[s.objects.image_id == image_id]
    assert rows.label.tolist() == [focus.KINDS[kind].name for kind in kinds]
    for row, mask in zip(rows.index, masks, strict=True):
        np.testing.assert_array_equal(s.mask(row).array, mask)
        y, x = np.nonzero(mask)
        assert rows.loc[row, ["x0", "y0", "x1", "y1"]].tolist() == [
            x.min(),
            y.min(),
            x.max() + 1,
            y.max() + 1,
        ]
    assert len(s.queries) == (s.objects.image_id.isin(s.query_images.image_id)).sum()


def test_a_set_is_drawn_once_and_reread(cache, monkeypatch):
    first = focus.load("mini-focus-dense", n_query=1, n_database=2)
    monkeypatch.setattr(focus, "scene", None)
    again = load_set("mini-focus-dense", n_query=1, n_database=2)
    assert again.fingerprint == first.fingerprint
    assert again.settings == {"patches": "mini-vit", "noise_pixels": 9, "unit": "picture"}


def test_a_killed_run_leaves_nothing_that_counts(cache, monkeypatch):
    whole = focus.scene
    monkeypatch.setattr(focus, "scene", lambda rng, name: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        focus.load("mini-focus", n_query=1, n_database=1)
    assert not list((cache / "mini").iterdir())
    monkeypatch.setattr(focus, "scene", whole)
    assert len(focus.load("mini-focus", n_query=1, n_database=1).images) == 2


@pytest.mark.parametrize(
    "arguments, words",
    [(("mini-fokus",), "mini-fokus"), (("mini-focus", -1), "seed=-1"),
     (("mini-focus", 2**32), "seed"), (("mini-focus", 0.5), "seed=0.5"),
     (("mini-focus", 0, 0), "n_query=0"), (("mini-focus", 0, 1, True), "n_database=True")],
)  # fmt: skip
def test_bad_arguments_get_one_sentence(cache, arguments, words):
    with pytest.raises(InputError, match=words):
        focus.load(*arguments)
    assert not (cache / "mini").exists()


def test_a_full_disk_is_one_sentence_and_leaves_no_rubbish(cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(focus, "write", full)
    with pytest.raises(InputError, match="No space left on device; free some space"):
        focus.load("mini-focus")
