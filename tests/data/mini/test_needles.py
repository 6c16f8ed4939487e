"""mini-needles: look-alikes that differ in a detail, shelves that hold what their options promise, one drawing on every machine."""

import hashlib
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foir_lib.data import load_set
from foir_lib.data.mini import needles
from foir_lib.data.mini import things as parts
from foir_lib.data.mini.streets import View
from foir_lib.errors import InputError

SEEDS = st.integers(0, 2**32 - 1)
FRONTAL, PLAIN = View(100, 100, 160, 0.0, 0.2, 0.0, 0.0), parts.Light(0.0, 0.0, 0.0, 0.0)


def scene(index=0, seed=0, n_things=120, **options):
    things = needles.world(needles.BENCHMARK, seed, n_things)
    return needles.scene(needles.stream(needles.BENCHMARK, seed, needles.DATABASE, index), things, **options)


def portrait(thing):
    """A thing on grey: what of it is another than another's."""
    image = np.full((200, 340, 3), 0.5)
    parts.paint(image, thing, FRONTAL._replace(x=170), PLAIN)
    return image


@settings(max_examples=10)
@given(seed=SEEDS)
@example(760)  # clocks: a plain label on a pale face would be no difference
def test_a_family_is_of_look_alikes_that_can_be_told_apart(seed):
    """One or two details differ, which changes at least a hundredth of a thing's pixels, but never all of it."""
    family = needles.world(needles.BENCHMARK, seed, 4)
    assert len({thing.form for thing in family}) == 1 and len({thing.name for thing in family}) == 4
    images = [portrait(thing) for thing in family]
    for (one, first), (other, second) in combinations(zip(family, images, strict=True), 2):
        assert 1 <= sum(one.details[slot] != other.details[slot] for slot in parts.DETAILS) <= 2
        changed = (np.abs(first - second).max(2) > 0.08).sum() / (one.area * FRONTAL.tall**2)
        assert 0.01 < changed < 0.75, (one.name, other.name, changed)


@pytest.mark.parametrize("form", parts.WORLD["forms"])
def test_a_form_is_as_large_as_it_says_and_stays_inside_its_window(form):
    thing = parts.family(np.random.default_rng(0), form, form)[0]
    image = np.full((260, 300, 3), 0.5)
    rows, cols, mask = parts.paint(image, thing, FRONTAL._replace(x=150, y=130), PLAIN)
    assert mask.sum() == pytest.approx(thing.area * FRONTAL.tall**2, rel=0.03)
    for turn, roll, lean, near in ((0.6, 0.2, 0.1, 0.4), (-0.6, -0.2, -0.06, 0.1), (0.5, -0.22, 0.0, 0.4)):
        _, _, mask = parts.paint(image, thing, View(150, 130, 120, turn, near, roll, lean), PLAIN)
        assert mask.any() and not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()), (turn, roll)


@settings(max_examples=12)
@given(seed=SEEDS)
def test_a_scene_holds_what_it_promises(seed):
    pixels, numbers, masks, shares = scene(seed=seed, side=256)
    assert pixels.dtype == np.uint8 and pixels.shape == (256, 320, 3)
    assert len(set(numbers)) == len(numbers) == len(masks) == len(shares) and 0 < len(numbers) <= 25
    assert np.sum(masks, axis=0).max() == 1, "what is visible of things can't overlap"
    for mask, share in zip(masks, shares, strict=True):
        assert 0 < share <= 1 and 0.004 < mask.mean() / share < 0.055, "of the picture, unhidden"


def test_a_scene_s_options_are_what_curves_run_over():
    assert len(scene(n=50, permille=5, side=256)[1]) >= 48  # one may stand behind others
    for permille in (5, 20, 50):
        _, _, masks, shares = scene(n=2, permille=permille, hidden=0)
        assert [mask.mean() / share for mask, share in zip(masks, shares, strict=True)] == pytest.approx([permille / 1000] * 2, rel=0.15)
    free, half = (np.mean([np.mean(scene(i, n=4, permille=10, hidden=hidden)[3]) for i in range(4)]) for hidden in (0, 50))
    assert free > 0.95 and half == pytest.approx(0.5, abs=0.15)


def test_a_scene_is_the_same_at_every_size():
    large, small = scene(3, side=512), scene(3, side=256)
    assert large[1] == small[1]
    halved = large[0].astype(float).reshape(256, 2, 320, 2, 3).mean((1, 3))
    assert np.abs(halved - small[0]).mean() < 6 and np.abs(np.array(large[3]) - small[3]).max() < 0.05


@settings(max_examples=30)
@given(benchmark=SEEDS, training=SEEDS, part=st.integers(0, 2))
def test_nothing_of_training_is_of_the_benchmark_whatever_the_seeds(benchmark, training, part):
    ours, theirs = (needles.stream(use, seed, part, 3).random(4) for use, seed in ((needles.BENCHMARK, benchmark), (needles.TRAINING, training)))
    assert not np.array_equal(ours, theirs)


def test_seeds_and_uses_have_things_of_their_own():
    """Proportions and colours of a family are drawn: no two worlds share a thing."""
    worlds = [needles.world(use, seed, 120) for use in (0, 1) for seed in (0, 1, 2)]
    stretches = sorted({thing.stretch for world in worlds for thing in world})
    assert len(stretches) == 6 * 30 and all(a < b for a, b in pairwise(stretches))


def digest(arrays):
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(repr(array.shape).encode() + array.tobytes())
    return sha.hexdigest()[:16]


def test_every_machine_draws_the_same_pictures():
    pixels, numbers, masks, _ = scene(1)
    assert digest([pixels, np.array(numbers, np.int64), np.array(masks)]) == "5e85fcdd2f60412b"
    thing = needles.world(needles.BENCHMARK, 0, 120)[7]
    assert digest(needles.photograph(needles.stream(needles.BENCHMARK, 0, needles.QUERIES, 7), thing)) == "c57b5d66cd3a4da6"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    return tmp_path


def test_a_set_holds_photographs_of_things_and_the_shelves_that_show_them(cache, monkeypatch):
    options = {"n_things": 30, "n_queries": 31, "n_database": 5, "side": 256}
    s = load_set("mini-needles", seed=4, **options)
    assert s.name == "mini-needles (seed 4, side=256)" and s.unit == "thing" and s.settings == {"unit": "thing", "objects": "mini-owl", "masks": "mini-sam", "patches": "mini-vit"}
    assert (s.images["split"] == "query").sum() == 31 and len(s.database) == 5 and len(s.queries) == 31
    assert s.queries["label"][0] == s.queries["label"][30] and s.units[0] == s.units[30], "a thing's second photograph"
    things = needles.world(needles.BENCHMARK, 4, 30)
    pixels, mask = needles.photograph(needles.stream(needles.BENCHMARK, 4, needles.QUERIES, 9), things[9])
    np.testing.assert_array_equal(np.asarray(s.open(s.queries["image_id"][9])), pixels)
    np.testing.assert_array_equal(s.mask(s.queries["object"][9]).array, mask)
    assert s.queries["label"][9] == things[9].name and s.queries["prompt"][9] == s.mask(s.queries["object"][9]).box((256, 256))
    shown = {thing.name: (set(), set()) for thing in things}
    for row in range(5):
        pixels, numbers, masks, shares = scene(row, 4, 30, side=256)
        image_id = s.database["image_id"][row]
        np.testing.assert_array_equal(np.asarray(s.open(image_id)), pixels)
        on = s.objects[s.objects["image_id"] == image_id]
        assert on["label"].tolist() == [things[number].name for number in numbers]
        assert on["ignore"].tolist() == [share < 0.25 for share in shares]
        np.testing.assert_array_equal(s.mask(on.index[0]).array, masks[0])
        for number, share in zip(numbers, shares, strict=True):
            shown[things[number].name][share < 0.25].add(row)
    rules = s.protocols["instances"]
    assert (rules.metric, rules.definition) == ("mAP", "textbook")
    for query, label in enumerate(s.queries["label"]):
        assert (set(rules.positives(query)), set(rules.ignored_of(query))) == shown[label]
    monkeypatch.setattr(needles, "scene", None)
    assert load_set("mini-needles", seed=4, **options).fingerprint == s.fingerprint


@pytest.mark.slow
def test_the_default_set_gives_every_query_positives_and_few_pictures_that_hold_it(drawn):
    s = drawn(lambda: load_set("mini-needles"))
    counts = [len(s.protocols["instances"].positives(query)) for query in range(len(s.queries))]
    assert len(counts) == 120 and min(counts) >= 3 and np.mean(counts) < 20
    sizes = (s.objects["x1"] - s.objects["x0"]) * (s.objects["y1"] - s.objects["y0"])
    assert len(s.database) == 200 and sizes[s.objects["image_id"].isin(s.database["image_id"])].median() < 0.03 * 512 * 640


@pytest.mark.parametrize(
    ("options", "words"),
    [({"seed": -1}, "seed=-1"), ({"n_queries": 0}, "n_queries=0"), ({"n": 121}, "n=121"), ({"hidden": 95}, "hidden=95"),
     ({"permille": True}, "permille=True"), ({"side": 10}, "side=10"), ({"colour": 1}, "colour")],
)  # fmt: skip
def test_bad_options_get_one_sentence(cache, options, words):
    with pytest.raises(InputError, match=words):
        load_set("mini-needles", **options)
    assert not (cache / "mini").exists()
