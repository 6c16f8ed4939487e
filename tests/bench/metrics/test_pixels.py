"""Pixel retrieval: worked by hand, derived again pixel by pixel, the public script's rule beside ours, every edge and fault."""

import resource
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from foir_lib.bench import metrics
from foir_lib.bench.metrics import pixels
from foir_lib.bench.metrics.intervals import interval
from foir_lib.data import Protocol, RetrievalSet
from foir_lib.data.masks import encode_box
from foir_lib.data.pixels import true_masks
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.prompts import Box
from foir_lib.search.ranking import Ranking

SIZE = (10, 8)  # width, height


def one(positive, ignored=(), definition="trapezoid"):
    return Protocol(("q",), {"q": np.array(positive, int)}, {"q": np.array(ignored, int)}, definition=definition)


def drawn(*boxes, holes=(), size=SIZE):
    """A mask of boxes with holes, bool (height, width)."""
    pixels = np.zeros(size[::-1], bool)
    for value, some in ((True, boxes), (False, holes)):
        for x0, y0, x1, y1 in some:
            pixels[y0:y1, x0:x1] = value
    return pixels


def coded(pixels):
    return Localisation.of(pixels, 1.0).mask if pixels.any() else encode_box((0, 0, 0, 0), pixels.shape[::-1])


def iou(predicted, true):
    """(IoU of masks, IoU of boxes) of one pair."""
    result = metrics.overlaps([{7: predicted}], [{7: coded(true)}])
    return result.mask[0][7], result.box[0][7]


# --- IoU of a pair


@pytest.mark.parametrize(
    "predicted, true, by_mask, by_box",
    [
        (drawn((0, 0, 4, 4)), drawn((0, 0, 4, 4)), 1, 1),
        (drawn((0, 0, 4, 4)), drawn((2, 0, 6, 4)), 8 / 24, 8 / 24),
        (drawn((0, 0, 4, 4)), drawn((4, 0, 8, 4)), 0, 0),  # they touch
        (drawn((0, 0, 6, 6)), drawn((0, 0, 6, 6), holes=[(2, 2, 4, 4)]), 32 / 36, 1),  # a hole is no pixel, a box has none
        (drawn((0, 0, 2, 2)), drawn((0, 0, 2, 2), (6, 6, 8, 8)), 4 / 8, 4 / 64),  # two components, one of them predicted
        (drawn((0, 0, 1, 8), (9, 0, 10, 8)), drawn((4, 0, 6, 8)), 0, 16 / 80),  # boxes overlap where masks don't
        (drawn((3, 3, 4, 4)), drawn((3, 3, 4, 6)), 1 / 3, 1 / 3),  # of a thing of three pixels
    ],
)  # fmt: skip
def test_iou_of_a_pair_by_hand(predicted, true, by_mask, by_box):
    assert iou(Localisation.of(predicted, 0.5), true) == pytest.approx((by_mask, by_box))


def test_a_box_of_its_own_is_not_the_mask_s_and_a_box_alone_counts_as_its_pixels():
    true = drawn((0, 0, 4, 4), holes=[(1, 1, 3, 3)])
    assert iou(Localisation(coded(true), np.array([0, 0, 2, 4]), 1.0), true) == pytest.approx((1, 0.5))
    assert iou(Localisation(coded(true), None, 1.0), true) == pytest.approx((1, 1)), "without a box, the tight one"
    assert iou(Localisation(None, np.array([0, 0, 4, 4]), 1.0), true) == pytest.approx((12 / 16, 1))
    assert iou(Localisation(None, np.array([0.5, 0, 3.5, 4]), 1.0), true) == pytest.approx((12 / 16, 12 / 16)), "every pixel it touches"
    assert iou(Localisation(None, np.array([-9, -9, -1, -1]), 1.0), true) == (0, 0), "off the picture"


def test_an_empty_truth_has_no_overlap_and_what_is_nothing_is_no_prediction():
    assert iou(Localisation.of(drawn((0, 0, 4, 4)), 1.0), drawn()) == (0, 0)
    result = metrics.overlaps([{7: Localisation.of(drawn(), 1.0), 8: Localisation(None, None, 0.0)}], [{7: coded(drawn()), 8: coded(drawn())}])
    assert result == ([{}], [{}])


def test_pairs_that_are_not_true_are_not_looked_at():
    broken = Localisation({"size": [1, 1], "counts": "no"}, np.array([0, 0, 1, 1]), 1.0)
    right = Localisation.of(drawn((0, 0, 1, 1)), 1.0)
    result = metrics.overlaps([{1: broken, 2: right}, {}], [{2: right.mask, 3: right.mask}, {1: right.mask}])
    assert result.mask == result.box == [{2: 1.0}, {}]


def test_a_mask_of_another_size_is_refused():
    larger = Localisation.of(drawn((0, 0, 4, 4), size=(12, 8)), 1.0)
    with pytest.raises(InputError, match="mask of query 0 on database row 7 is of 12 x 8 pixels, the picture of 10 x 8: resize the mask") as caught:
        iou(larger, drawn((0, 0, 4, 4)))
    assert "\n" not in str(caught.value)


@given(st.integers(0, 2**32 - 1))
def test_iou_is_that_of_the_pixels(seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 30, 2).tolist())
    predicted, true = (rng.random(size[::-1]) < rng.random() for _ in range(2))
    if predicted.any():
        by_mask, by_box = iou(Localisation.of(predicted, 1.0), true)
        assert by_mask == pytest.approx((predicted & true).sum() / (predicted | true).sum())
        if true.any():
            filled = [Box(*Localisation.of(m, 1.0).box.tolist()).pixels(size) for m in (predicted, true)]
            assert by_box == pytest.approx((filled[0] & filled[1]).sum() / (filled[0] | filled[1]).sum())


# --- AP


def test_pixel_ap_by_hand():
    """Positives 1 (rank 0, IoU 0.6), 2 (rank 2, IoU 0.9), 3 (not localised, rank 1) and 4 (not ranked, IoU 1).

    Above 0.5 and 0.55 both 1 and 2 count: trapezoid (1 + 1)/2 and (1/2 + 2/3)/2 over four positives. Above 0.6 to 0.85, 2 alone:
    at rank 2 (0 + 1/3)/2. IoU 0.9 isn't larger than 0.9.
    """
    result = metrics.pixel_average_precision([[1, 3, 2]], one([1, 2, 3, 4]), [{1: 0.6, 2: 0.9, 4: 1.0}])
    both, alone = (1 + (1 / 2 + 2 / 3) / 2) / 4, (1 / 3) / 2 / 4
    assert result.by_iou[:, 0] == pytest.approx([both] * 2 + [alone] * 6 + [0] * 2)
    assert result.map == result.average_precision[0] == pytest.approx((2 * both + 6 * alone) / 10)
    textbook = metrics.pixel_average_precision([[1, 3, 2]], one([1, 2, 3, 4], definition="textbook"), [{1: 0.6, 2: 0.9}], (0.5, 0.7))
    assert textbook.by_iou[:, 0] == pytest.approx([(1 + 2 / 3) / 4, (1 / 3) / 4])


def test_ignored_images_leave_the_list_and_a_wrong_place_stays():
    protocol = one([1], ignored=[8, 9])
    assert metrics.pixel_average_precision([[8, 9, 1]], protocol, [{1: 0.96}]).map == 1
    assert metrics.pixel_average_precision([[7, 9, 1]], protocol, [{1: 0.96}]).map == pytest.approx(1 / 4)
    late = one([1], definition="textbook@100")
    assert metrics.pixel_average_precision([[*range(200, 300), 1]], late, [{1: 1.0}]).map == 0, "at place 101"


def test_a_query_without_positives_does_not_count_and_one_without_predictions_counts_0():
    protocol = Protocol((0, 1, 2), {0: [0], 1: [], 2: [0]})
    pairs = [{0: 1.0}, {}, {}]
    result = metrics.pixel_average_precision([[0]] * 3, protocol, pairs)
    assert result.map == 0.5 and result.average_precision == pytest.approx([1, np.nan, 0], nan_ok=True)
    assert metrics.mean_iou(protocol, pairs)[0] == metrics.loc_score([[0]] * 3, protocol, pairs)[0] == 0.5
    for score in (metrics.pixel_average_precision, metrics.loc_score):
        with pytest.raises(InputError, match="No query has positives"):
            score([[0]], one([]), [{}])
    with pytest.raises(InputError, match="IoU of 2 queries were given, the ground truth has 1"):
        metrics.mean_iou(one([1]), [{}, {}])
    with pytest.raises(InputError, match="no rule of pixel retrieval 'theirs'"):
        metrics.mean_iou(one([1]), [{}], "theirs")
    with pytest.raises(InputError, match="1 queries were localised and 2 have a truth"):
        metrics.overlaps([{}], [{}, {}])


def test_mean_iou_is_a_mean_over_queries_of_means_over_pairs():
    protocol = Protocol((0, 1), {0: [0, 1, 2, 3], 1: [5]})
    value, each = metrics.mean_iou(protocol, [{0: 0.5, 3: 0.7}, {5: 0.9, 6: 0.1}])
    assert each == pytest.approx([1.2 / 4, 0.9]) and value == pytest.approx(0.6)


def test_loc_score_by_hand():
    """Positives at ranks 0 and 2 with IoU 0.5 and 0.9, a third isn't ranked: (1 * 0.5 + 2/3 * 0.9) / 3."""
    value, each = metrics.loc_score([[1, 9, 2]], one([1, 2, 3]), [{1: 0.5, 2: 0.9, 3: 1.0}])
    assert value == each[0] == pytest.approx((0.5 + 0.6) / 3)


def by_steps(ids, positives, ignored, iou, threshold):
    """AP as the Oxford evaluation's loop has it: recall and precision step by step."""
    ap, recall, precision, right, seen = 0.0, 0.0, 1.0, 0, 0
    for row in ids:
        if row in ignored:
            continue
        right += row in positives and iou.get(row, 0) > threshold
        seen += 1
        ap += (right / len(positives) - recall) * (precision + right / seen) / 2
        recall, precision = right / len(positives), right / seen
    return ap


@given(st.integers(0, 2**32 - 1))
def test_pixel_ap_is_that_of_the_steps_and_lies_below_the_image_s(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    order = rng.permutation(n)
    positive, ignored = order[: rng.integers(1, n)], order[n - rng.integers(0, 2) :]
    positive = np.setdiff1d(positive, ignored)
    if not len(positive):
        return
    ids, protocol = rng.permutation(n)[: rng.integers(1, n + 1)], one(positive, ignored)
    pairs = {int(row): float(rng.random()) for row in positive if rng.random() < 0.8}
    result = metrics.pixel_average_precision([ids], protocol, [pairs])
    steps = [by_steps(ids.tolist(), set(positive.tolist()), set(ignored.tolist()), pairs, t / 100) for t in range(50, 100, 5)]
    assert result.by_iou[:, 0] == pytest.approx(steps) and (np.diff(result.by_iou[:, 0]) <= 1e-12).all()
    image = metrics.mean_average_precision([ids], protocol).map
    exact = {int(row): 1.0 for row in positive}
    assert 0 <= result.map <= image + 1e-12 and metrics.pixel_average_precision([ids], protocol, [exact]).map == pytest.approx(image)
    textbook = metrics.mean_average_precision([ids], protocol, "textbook").map
    assert metrics.loc_score([ids], protocol, [pairs])[0] <= textbook + 1e-12
    assert metrics.loc_score([ids], protocol, [exact])[0] == pytest.approx(textbook)


# --- the public script's rule


def test_the_gap_to_the_public_script_on_one_ranking():
    """Query 0: easy row 0 (no prediction), hard rows 1 (IoU 0.8) and 2 (none). Query 1: hard row 3, badly localised. Query 2: skipped."""
    medium = Protocol((0, 1, 2), {0: [0, 1, 2], 1: [3], 2: [4]})
    easy = Protocol((0, 1, 2), {0: [0], 1: [], 2: []})
    ranking, pairs = [[0, 1, 2], [3], [4]], [{1: 0.8}, {3: 0.2}, {4: 1.0}]
    ours = metrics.pixel_average_precision(ranking, medium, pairs, (0.5,))
    assert ours.by_iou[0] == pytest.approx([(0 + 1 / 2) / 2 / 3, 0, 1])
    script = metrics.pixel_average_precision(ranking, medium, pairs, (0.5, 0.9), "public script", skipped=(2,))
    assert script.by_iou[0] == pytest.approx([(0 + 1 / 2) / 2, np.nan, 0], nan_ok=True), "one positive, none, out but in the divisor"
    assert script.by_iou[1] == pytest.approx([np.nan, np.nan, 0], nan_ok=True)
    assert script.map == pytest.approx((0.25 / 2 + 0) / 2)
    assert metrics.pixel_average_precision(ranking, medium, [{}] * 3, (0.5,), "public script").map == 0, "none passes"
    assert metrics.mean_iou(medium, pairs)[0] == pytest.approx((0.8 / 3 + 0.2 + 1) / 3)
    assert metrics.mean_iou(medium, pairs, "public script", easy)[0] == pytest.approx((0.8 / 2 + 0.2 + 1) / 3), "the hard pair counts 0"


# --- scores of a set


@pytest.fixture
def tower():
    """Two queries of one tower and a door; database rows a (tower and door), b (tower without a mask), c (nothing), d (door, twice)."""
    images = [("q", "query"), ("r", "query"), *((name, "database") for name in "abcd")]
    images = pd.DataFrame([(name, f"{name}.png", *SIZE, split) for name, split in images], columns=["image_id", "path", "width", "height", "split"])
    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    objects = [("q", "tower", (0, 0, 5, 5), None), ("r", "door", (0, 0, 5, 5), None), ("a", "tower", (0, 0, 4, 4), square),
               ("a", "door", (6, 2, 8, 4), [[6, 2, 8, 2, 8, 4, 6, 4]]), ("b", "tower", (1, 1, 3.5, 3), None),
               ("d", "door", (0, 0, 4, 4), square), ("d", "door", (2, 2, 9, 8), None)]  # fmt: skip
    objects = pd.DataFrame([(i, label, *box, False, outline) for i, label, box, outline in objects],
                           columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"])  # fmt: skip
    queries = pd.DataFrame([("q", Box(0, 0, 5, 5), "tower", 0), ("r", Box(0, 0, 5, 5), "door", 1)], columns=["image_id", "prompt", "label", "object"])
    medium = Protocol((0, 1), {0: [0, 1], 1: [0, 3]})
    hard = Protocol((0, 1), {0: [1], 1: [3]}, {0: [0], 1: [0]})
    easy = Protocol((0, 1), {0: [0], 1: [0]}, {0: [1], 1: [3]})
    return RetrievalSet("towers", images, objects, queries, {"easy": easy, "medium": medium, "hard": hard}, {"unit": "landmark"})


def test_true_masks_are_the_union_of_the_objects_with_the_query_s_label(tower):
    tower_masks, door_masks = true_masks(tower, "medium")
    actual = {(label, row): rle.decode(code).astype(bool) for label, of in (("tower", tower_masks), ("door", door_masks)) for row, code in of.items()}
    assert set(actual) == {("tower", 0), ("tower", 1), ("door", 0), ("door", 3)}
    wanted = [drawn((0, 0, 4, 4)), drawn((1, 1, 4, 3)), drawn((6, 2, 8, 4)), drawn((0, 0, 4, 4), (2, 2, 9, 8))]
    assert all((pixels == want).all() for pixels, want in zip(actual.values(), wanted, strict=True))
    assert 2 not in tower_masks and len(tower_masks) == 2 and list(true_masks(tower, "hard")[1]) == [3]
    with pytest.raises(KeyError):
        tower_masks[2]
    with pytest.raises(InputError, match="protocol of towers 'mediums'"):
        true_masks(tower, "mediums")
    assert isinstance(tower_masks[0]["counts"], str) and tower_masks[0] == Localisation.of(wanted[0], 1.0).mask


def test_true_masks_that_can_not_be_had_say_so(tower):
    wrong = replace(tower, protocols={"medium": Protocol((0, 1), {0: [2], 1: [0]})})
    masks = true_masks(wrong, "medium")  # lazy: nothing is refused before it is asked for
    with pytest.raises(InputError, match="towers has no object 'tower' on the picture 'c', which is right for it"):
        masks[0][2]
    objects = tower.objects.assign(segmentation=[None, None, [[1, 2, 3]], None, None, None, None])
    with pytest.raises(InputError, match=r"Object 2 \(tower\) of image 'a' has a broken segmentation"):
        true_masks(replace(tower, objects=objects), "medium")[0][0]


def test_a_sliver_counts_as_its_box(tower):
    objects = tower.objects.assign(segmentation=[None, None, [[0, 0, 0.1, 0, 0.1, 0.1]], None, None, None, None])
    assert rle.area(true_masks(replace(tower, objects=objects), "medium")[0][0]) == 16


def test_scores_of_a_set_by_hand(tower):
    """Tower: a localised exactly, b not at all. Door: d with IoU 3/4 of masks, its box exact (d's truth: 16 + 42 - 4 = 54 pixels)."""
    ranking = Ranking([0, 1], [[0, 2, 1], [3, 2, 1]], [[3, 2, 1]] * 2, 4)
    door = Localisation(coded(drawn((2, 2, 9, 8))), np.array([0, 0, 9, 8]), 1.0)
    localisations = [{0: Localisation.of(drawn((0, 0, 4, 4)), 1.0), 2: door}, {3: door}]
    score = metrics.pixel_score(ranking, tower, localisations, "medium")
    mask = 42 / 54
    hits = sum(mask > t / 100 for t in range(50, 100, 5))
    assert score.metrics == pytest.approx({
        "mIoU D medium": 0.5, "LocScore D medium": 0.5, "mAP@50:5:95 D medium": 0.5,
        "mIoU S medium": (1 / 2 + mask / 2) / 2, "LocScore S medium": (1 / 2 + mask / 2) / 2,
        "mAP@50:5:95 S medium": (1 / 2 + hits / 10 / 2) / 2,
    })  # fmt: skip
    assert score.per_query["mIoU S medium"].tolist() == pytest.approx([0.5, mask / 2]) and score.k == 3
    assert score.per_query["unit"].tolist() == [0, 1] and score.map == score.metrics["mAP@50:5:95 S medium"]
    between = interval(score, "mIoU S medium")
    assert (between.low, between.high) == pytest.approx((mask / 2, 0.5))
    hard = metrics.pixel_score(ranking, tower, localisations, "hard").metrics
    assert hard["mIoU S hard"] == pytest.approx(mask / 2) and hard["mAP@50:5:95 D hard"] == pytest.approx(0.5)
    script = metrics.pixel_score(ranking, tower, localisations, "medium", "public script")
    assert script.metrics == pytest.approx({
        "mIoU D medium": (1 / 2 + 1) / 2, "mIoU S medium": (1 / 2 + mask) / 2, "mAP@50:5:95 medium": 1.0,
    })  # easy a of the door is skipped, b of the tower counts 0; AP of boxes, one positive each  # fmt: skip
    with pytest.raises(InputError, match="lack the column"):
        interval(script, "mAP@50:5:95 medium")


def test_queries_without_positives_have_no_value_of_their_own(tower):
    rules = {"medium": Protocol((0, 1), {0: [0], 1: []})}
    ranking = Ranking([0, 1], [[0, 2], [3, 2]], [[2, 1]] * 2, 4)
    score = metrics.pixel_score(ranking, replace(tower, protocols=rules), [{0: Localisation.of(drawn((0, 0, 4, 4)), 1.0)}, {}], "medium")
    assert set(score.metrics.values()) == {1.0} and np.isnan(score.per_query["LocScore S medium"][1])


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_permutation_of_the_database_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    n, order = 12, rng.permutation(12)
    ids, positive = rng.permutation(n), np.flatnonzero(rng.random(n) < 0.5)
    if len(positive):
        pairs = {int(row): float(rng.random()) for row in positive}
        moved = {int(order[row]): value for row, value in pairs.items()}
        for rule in pixels.RULES:
            values = [metrics.pixel_average_precision([i], one(p), [of], rule=rule).map
                      for i, p, of in ((ids, positive, pairs), (order[ids], order[positive], moved))]  # fmt: skip
            assert values[0] == pytest.approx(values[1])


# --- size


def generated(n, size=(1024, 768)):
    """n masks, RLE, some hundred runs each: an ellipse whose outline is rough."""
    width, height = size
    across = np.arange(width) - width / 2
    rng, result = np.random.default_rng(0), []
    for _ in range(32):
        reach = np.sqrt(np.clip(1 - (across / rng.uniform(100, 400)) ** 2, 0, None)) * rng.uniform(100, 300) * rng.uniform(0.9, 1.1, width)
        pixels = np.abs(np.arange(height)[:, None] - height / 2) < reach
        result.append(Localisation.of(pixels, 1.0))
    return [result[k] for k in rng.integers(32, size=n)]


@pytest.mark.slow
@pytest.mark.parametrize("n", [10_000, pytest.param(100_000, marks=pytest.mark.claims)])
def test_a_long_ranking_with_masks_is_scored_in_seconds(n, record_property):
    """One query whose positives are all n pictures, each with a mask, and 69 queries with the same pictures in the list."""
    predicted, true = generated(n), [one.mask for one in generated(n)[::-1]]
    rng = np.random.default_rng(1)
    ids = np.array([rng.permutation(n) for _ in range(70)])
    ranking = Ranking(np.arange(70), ids, np.tile(np.arange(n, 0, -1, dtype=np.float32), (70, 1)), n)
    protocol = Protocol(tuple(range(70)), {0: np.arange(n), **{q: rng.choice(n, 100, replace=False) for q in range(1, 70)}})
    localisations = [dict(enumerate(predicted)), *({int(r): predicted[r] for r in protocol.positives(q)} for q in range(1, 70))]
    truth = [dict(enumerate(true)), *({int(r): true[r] for r in protocol.positives(q)} for q in range(1, 70))]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    pairs = metrics.overlaps(localisations, truth)
    values = [score for iou in pairs for score in (metrics.pixel_average_precision(ranking, protocol, iou).map, metrics.mean_iou(protocol, iou)[0],
                                                   metrics.loc_score(ranking, protocol, iou)[0])]  # fmt: skip
    seconds = time.process_time() - start
    gigabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    record_property("seconds", round(seconds, 2))
    record_property("GB", round(gigabytes, 3))
    assert all(0 < value < 1 for value in values) and seconds < 5 and gigabytes < 1
