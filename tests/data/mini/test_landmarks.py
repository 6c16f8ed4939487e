"""mini-landmarks: facades and look-alikes, views traced back to their sheet, grades, ground truth, one cache for all."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foir_lib.data import ground_truth, load_set, training
from foir_lib.data.mini import facade_parts, facades, landmarks, streets, town
from foir_lib.errors import InputError
from foir_lib.images import open_image

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def world():
    return town.world(town.BENCHMARK, 0, 6)


# --- facades


@settings(max_examples=20)
@given(SEEDS)
def test_look_alikes_share_colours_and_differ_in_at_least_two_parts(seed):
    result = facades.family(np.random.default_rng(seed), 5, "01")
    assert len({facade.name for facade in result}) == 5
    assert len({(f.wall, f.roof, f.trim, f.shape, f.choices["masonry"], f.choices["window"]) for f in result}) == 1
    for i, one in enumerate(result):
        for other in result[:i]:
            a, b = one.visible(), other.visible()
            assert sum(a.get(part) != b.get(part) for part in facades.PARTS) >= 2


@settings(max_examples=10)
@given(SEEDS)
def test_a_sheet_is_cut_to_what_is_drawn_on_it(seed):
    facade = facades.family(np.random.default_rng(seed), 1, "01")[0]
    sheet = facades.paint(facade)
    assert sheet.shape[2] == 5 and np.isfinite(sheet).all()
    assert sheet[..., 3].min() >= 0 and sheet[..., 3].max() <= 1
    covered = sheet[..., 3] > 0.5
    assert covered[0].any() and covered[:, 0].any() and covered[:, -1].any()
    assert covered[-1].any(), "a facade stands on the ground"


def test_look_alikes_look_different():
    result = [facades.paint(f) for f in facades.family(np.random.default_rng(3), 5, "01")]
    for i, one in enumerate(result):
        for other in result[:i]:
            if one.shape == other.shape:
                assert (np.abs(one - other)[..., :4].max(2) > 0.1).mean() > 0.01


@pytest.mark.parametrize(
    "form, area",
    [
        ("rect", 40 * 60),
        ("round", np.pi * 20 * 30),
        ("triangle", 20 * 60),
        ("arch", np.pi * 400 / 2 + 40 * 40),
        ("dome", np.pi * 20 * 60 / 2),
    ],
)
def test_forms_have_the_area_of_their_geometry(form, area):
    y, x = np.mgrid[-40:40:0.25, -30:30:0.25] + 0.125
    assert (facade_parts.outline(form, x, y, 20.0, 30.0) < 0).sum() / 16 == pytest.approx(area, rel=0.01)


# --- views

FRONTAL = streets.View(96, 80, 100, 0.0, 0.3, 0.0, 0.0)


def test_a_frontal_view_is_the_sheet_in_its_place():
    u, v, before = streets.trace(FRONTAL, np.array([96.0, 146.0, 96.0]), np.array([80.0, 80.0, 130.0]))
    assert u.tolist() == [0, 0.5, 0] and v.tolist() == [0, 0, 0.5] and before.all()


@settings(max_examples=60)
@given(st.floats(-1.8, 1.8), st.floats(0.1, 0.5), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_tracing_back_inverts_the_projection_of_a_turned_plane(turn, near, u, v):
    view = streets.View(90, 70, 80, turn, near, 0.0, 0.0)
    angle = np.arctan(turn)
    depth = 1 + near * u * np.sin(angle)  # distance over that of the centre
    x, y = 90 + 80 * u * np.cos(angle) / depth, 70 + 80 * v / depth
    *back, before = streets.trace(view, np.array(x), np.array(y))
    assert before and back == pytest.approx([u, v], abs=1e-9)


def test_a_turned_facade_is_narrower_and_its_nearer_side_taller(world):
    levels = world.sheets(0)
    (_, cols), front, whole = streets.project(levels, FRONTAL)
    (_, turned), side, less = streets.project(levels, FRONTAL._replace(turn=1.5))
    assert turned.stop - turned.start < 0.8 * (cols.stop - cols.start) and less < 0.75 * whole
    heights = [(part[..., 3] > 0.5).any(1).sum() for part in np.array_split(side, 4, axis=1)]
    assert max(heights) > min(heights)


def test_area_counts_what_lies_outside_the_frame(world):
    levels = world.sheets(1)
    _, inside, whole = streets.project(levels, FRONTAL)
    _, part, same = streets.project(levels, FRONTAL._replace(x=0.0))
    assert same == pytest.approx(whole, rel=0.05)
    assert (inside[..., 3] > 0.5).sum() == pytest.approx(whole, rel=0.05)
    assert (part[..., 3] > 0.5).sum() == pytest.approx(whole / 2, rel=0.25)


def test_a_facade_wholly_outside_paints_nothing(world):
    (rows, cols), window, _ = streets.project(world.sheets(0), FRONTAL._replace(x=-400.0))
    assert not window.size and rows == cols == slice(0, 0)


def test_halved_sheets_keep_their_mean(world):
    levels = world.sheets(2)
    assert all(len(b) == -(-len(a) // 2) for a, b in zip(levels, levels[1:], strict=False))
    total = [level[..., 3].sum() * 4**i for i, level in enumerate(levels)]
    assert total == pytest.approx([total[0]] * len(total), rel=1e-9)


# --- scenes


@settings(max_examples=8)
@given(SEEDS, st.sampled_from(["query", "easy", "hard", "junk", "none", "training"]))
def test_a_scene_has_the_grade_it_was_drawn_for(seed, grade):
    world = town.world(town.BENCHMARK, 0, 6)
    main = -1 if grade == "none" else seed % 6
    pixels, instances, light, grades = town.scene(world, np.random.default_rng(seed), main, grade)
    assert pixels.shape == (streets.HEIGHT, streets.WIDTH, 3) and pixels.dtype == np.uint8
    assert np.sum([one.mask for one in instances], axis=0).max() <= 1, "visible masks may not overlap"
    assert all(0 <= one.share <= 1 for one in instances)
    grade_of = {one.landmark: g for one, g in zip(instances, grades, strict=True)}
    assert len(grade_of) == len(instances), "each landmark is there once"
    if grade == "none":
        assert all(number >= world.n_targets for number in grade_of)
    elif grade in ("easy", "hard", "junk"):
        assert grade_of[main] == grade
    elif grade == "query":
        assert light != "night" and next(one.share for one in instances if one.landmark == main) > 0.8


def instance(pixels, share=1.0, turn=0.0, landmark=0):
    mask = np.zeros((streets.HEIGHT, streets.WIDTH), bool)
    mask.ravel()[:pixels] = True
    return streets.Instance(landmark, mask, share, turn)


ALL = streets.HEIGHT * streets.WIDTH


@pytest.mark.parametrize(
    "one, others, light, grade",
    [
        (instance(ALL // 4), [], "day", "easy"),
        (instance(ALL // 4), [instance(ALL // 10)], "evening", "easy"),
        (instance(ALL // 4), [instance(ALL // 6)], "day", "hard"),  # beside one more than half as large
        (instance(ALL // 4), [], "night", "hard"),
        (instance(ALL // 4, turn=-0.8), [], "day", "hard"),
        (instance(ALL // 4, share=0.6), [], "day", "hard"),
        (instance(ALL // 10), [], "day", "hard"),  # less than 12 %
        (instance(ALL // 4, share=0.2), [], "day", "junk"),
        (instance(ALL // 200), [], "day", "junk"),
    ],
)
def test_grades_by_hand(one, others, light, grade):
    assert town.grade_of(one, [one, *others], light) == grade


@settings(max_examples=30)
@given(SEEDS, SEEDS, st.integers(0, 2), st.integers(0, 5000))
def test_no_training_scene_is_a_benchmark_scene_whatever_the_seeds(a, b, part, index):
    ours, theirs = (town.stream(use, seed, part, index).random(4) for use, seed in ((0, a), (1, b)))
    assert not np.array_equal(ours, theirs)


@pytest.mark.parametrize("seed", [0, 1])
def test_training_facades_are_not_in_the_benchmark(seed):
    benchmark = [f[1:] for f in town.world(town.BENCHMARK, 0, 72).facades]
    assert not [f for f in town.world(town.TRAINING, seed, 100).facades if f[1:] in benchmark]


def digest(part, n):
    world, sha = town.world(town.BENCHMARK, 0, 6), hashlib.sha256()
    for index, grade in enumerate(["query", "easy", "hard", "hard", "junk", "none"][:n]):
        pixels, instances, _, grades = town.scene(
            world, town.stream(0, 0, part, index), -1 if grade == "none" else index, grade
        )
        sha.update(
            pixels.tobytes() + json.dumps([[one.landmark, g] for one, g in zip(instances, grades, strict=True)]).encode()
        )
        sha.update(np.array([one.mask for one in instances]).tobytes())
    return sha.hexdigest()[:16]


def test_every_machine_draws_the_same_pictures():
    assert digest(1, 6) == "e431543ffd549515"


# --- the set


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("landmarks") / "set"
    landmarks.write(root, 3, 3, 6, 48)
    return root, landmarks.read(root, "small")


def test_queries_and_objects(small):
    _, result = small
    assert len(result.queries) == 6 and len(result.database) == 48 and set(result.protocols) == {"easy", "medium", "hard"}
    names = [facade.name for facade in town.world(town.BENCHMARK, 3, 3).facades]
    assert result.queries["label"].tolist() == names[:3] * 2
    for row in result.queries.itertuples():
        item = result.objects.iloc[row.object]
        assert item["label"] == row.label and item["image_id"] == row.image_id
        box = result.mask(row.object).box(result.open(row.image_id).size)
        assert box == row.prompt, "the prompt is the box of what can be seen"


def test_positives_are_the_pictures_that_show_the_landmark(small):
    root, result = small
    content = json.loads((root / "annotations/instances_database.json").read_text())
    row = {image_id: i for i, image_id in enumerate(result.database["image_id"])}
    categories = {c["id"]: c["name"] for c in content["categories"]}
    want = {}
    for a in content["annotations"]:
        want.setdefault((categories[a["category_id"]], a["grade"]), set()).add(row[a["image_id"]])
    for query, label in enumerate(result.queries["label"]):
        easy, hard, junk = (want.get((label, grade), set()) for grade in ("easy", "hard", "junk"))
        for name, positive, ignored in (
            ("easy", easy, hard | junk),
            ("medium", easy | hard, junk),
            ("hard", hard, easy | junk),
        ):
            protocol = result.protocols[name]
            assert set(protocol.positives(query)) == positive and set(protocol.ignored_of(query)) == ignored
        assert len(easy) >= 5 and len(hard) >= 9


def test_distractors_show_no_landmark_of_a_query(small):
    _, result = small
    shown = result.objects[result.objects["image_id"].isin(result.database["image_id"][45:])]
    assert len(shown) and not set(shown["label"]) & set(result.queries["label"])


def test_pictures_are_the_scenes(small):
    _, result = small
    world = town.world(town.BENCHMARK, 3, 3)
    pixels, instances, _, _ = town.scene(world, town.stream(0, 3, 1, 4), 1, "easy")
    image_id = result.database["image_id"][4]
    np.testing.assert_array_equal(np.asarray(result.open(image_id)), pixels)
    objects = result.objects[result.objects["image_id"] == image_id]
    masks = {world.facades[one.landmark].name: one.mask for one in instances if one.mask.any()}
    assert set(objects["label"]) == set(masks)
    for row, label in objects["label"].items():
        np.testing.assert_array_equal(result.mask(row).array, masks[label])


def test_load_set_draws_once_and_rereads(cache, monkeypatch):
    options = {"n_landmarks": 2, "n_queries": 2, "n_database": 3}
    first = load_set("mini-landmarks", seed=1, **options)
    assert first.name == "mini-landmarks (seed 1)" and first.units.tolist() == [0, 1]
    assert first.settings["training"] == "mini-landmarks" and first.settings["n_features"] == 150
    monkeypatch.setattr(landmarks, "write", None)
    assert load_set("mini-landmarks", seed=1, **options).fingerprint == first.fingerprint


def test_a_killed_run_leaves_nothing_that_counts(cache, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(town, "scene", killed)
    with pytest.raises(KeyboardInterrupt):
        landmarks.load(n_landmarks=2, n_queries=1, n_database=1)
    assert not list((cache / "mini").iterdir())


@pytest.mark.parametrize(
    "options, words",
    [({"seed": -1}, "seed=-1"), ({"seed": 0.5}, "seed=0.5"), ({"n_landmarks": 1}, "n_landmarks=1"),
     ({"n_queries": 0}, "n_queries=0"), ({"n_database": True}, "n_database=True")],
)  # fmt: skip
def test_bad_arguments_get_one_sentence(cache, options, words):
    with pytest.raises(InputError, match=words):
        load_set("mini-landmarks", **options)
    assert not (cache / "mini").exists()


def test_a_full_disk_is_one_sentence(cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(landmarks, "write", full)
    with pytest.raises(InputError, match="No space left on device; free some space"):
        landmarks.load()


# --- training


def test_training_towns(cache):
    result = training.mini_landmarks(n_landmarks=3, per_landmark=4, seed=2)
    assert len(result) == 12 and result.labels.tolist() == [0, 1, 2] * 4 and len(result.names) == 3
    world = town.world(town.TRAINING, 2, 3)
    assert result.names == [facade.name for facade in world.facades[:3]]
    for row in (0, 7):
        pixels, instances, _, _ = town.scene(world, town.stream(1, 2, 1, row), int(result.labels[row]), "training")
        np.testing.assert_array_equal(np.asarray(result.open(row)), pixels)
        mask = next(one.mask for one in instances if one.landmark == result.labels[row])
        y, x = np.nonzero(mask)
        assert result.boxes[row].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
    assert open_image(result.paths[0]).size == (streets.WIDTH, streets.HEIGHT)
    assert training.mini_landmarks(3, 4, 2).paths == result.paths


# --- ground truth as protocols


def test_protocols_by_hand():
    truth = [{"easy": [4, 1], "hard": [2], "junk": [0]}, {"easy": [], "hard": [3], "junk": []}]
    result = ground_truth.protocols(truth, 5)
    actual = {
        name: ([list(p.positives(q)) for q in (0, 1)], [list(p.ignored_of(q)) for q in (0, 1)])
        for name, p in result.items()
    }
    assert actual == {
        "easy": ([[1, 4], []], [[0, 2], [3]]),
        "medium": ([[1, 2, 4], [3]], [[0], []]),
        "hard": ([[2], [3]], [[0, 1, 4], []]),
    }


@pytest.mark.parametrize(
    "lists, words",
    [({"easy": [], "hard": []}, "lacks the list 'junk'"), ({"easy": [5], "hard": [], "junk": []}, "rows from 0 to 4"),
     ({"easy": [-1], "hard": [], "junk": []}, "rows from 0 to 4"), ({"easy": [0.5], "hard": [], "junk": []}, "rows from 0"),
     ({"easy": [1], "hard": [1], "junk": []}, "image 1 twice"), (None, "lacks the list 'easy'")],
)  # fmt: skip
def test_broken_ground_truth(lists, words):
    with pytest.raises(InputError, match=words):
        ground_truth.protocols([lists], 5)
