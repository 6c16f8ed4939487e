"""Spatial verification: known motions of drawn pictures, pictures without texture, and the cache."""

import cv2
import numpy as np
import pytest
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.prompts import Box
from foir_lib.search.rerank import spatial
from foir_lib.store import features as store

AFFINE = np.float32([[0.9, -0.2, 30], [0.25, 0.95, -10]])


def texture(seed=0, size=(240, 200)):
    """A picture of blurred noise, full of keypoints."""
    noise = np.random.default_rng(seed).random((size[1], size[0])).astype(np.float32)
    noise = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX)
    return Image.fromarray(noise.astype(np.uint8)).convert("RGB")


def moved(picture, matrix=AFFINE):
    return Image.fromarray(cv2.warpAffine(np.asarray(picture), np.float32(matrix), picture.size))


NONE = spatial.Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))


@pytest.mark.parametrize("model", ["affine", "homography"])
@pytest.mark.parametrize("root", [True, False])
def test_a_known_motion_is_found(model, root):
    a, b = spatial.keypoints(texture()), spatial.keypoints(moved(texture()))
    result = spatial.verify(a, b, model, threshold=3, root=root)
    assert result.inliers > 30 and result.matrix.shape == (2 if model == "affine" else 3, 3)
    there = result.a @ AFFINE[:, :2].T + AFFINE[:, 2]
    assert np.median(np.abs(there - result.b)) < 0.8  # pixels
    got = result.matrix[:2] / result.matrix[-1, -1] if model == "homography" else result.matrix
    np.testing.assert_allclose(got[:, :2], AFFINE[:, :2], atol=0.05)
    other = spatial.verify(a, spatial.keypoints(texture(1)), model, threshold=3, root=root)
    assert other.inliers < result.inliers / 4


def test_inliers_lie_within_the_threshold_and_none_is_matched_twice():
    a, b = spatial.keypoints(texture()), spatial.keypoints(moved(texture()))
    for threshold in (0.5, 2.0, 8.0):
        result = spatial.verify(a, b, "affine", threshold)
        error = np.linalg.norm(result.a @ result.matrix[:, :2].T + result.matrix[:, 2] - result.b, axis=1)
        assert error.max() <= threshold + 1e-3
    pairs = spatial.matches(a, b)
    assert len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1])) == len(pairs)


def test_the_ratio_test_by_hand():
    def of(*rows):
        d = np.zeros((len(rows), 128), np.uint8)
        d[:, :2] = rows
        return spatial.Keypoints(np.arange(2.0 * len(rows), dtype=np.float32).reshape(-1, 2), d)

    a, b = of((10, 0), (0, 90), (11, 0)), of((0, 100), (14, 0), (50, 50))
    # distances of (10, 0): 4 and 64; of (0, 90): 10 and 64; of (11, 0): 3 and 63: both name row 1, the nearer has it
    assert spatial.matches(a, b, 0.8, root=False).tolist() == [[1, 0], [2, 1]]
    assert spatial.matches(a, b, 0.1, root=False).tolist() == [[2, 1]]
    assert spatial.matches(a, b, 0.04, root=False).tolist() == []
    scaled = of((20, 0), (0, 180), (22, 0))
    np.testing.assert_array_equal(spatial.matches(scaled, b), spatial.matches(a, b))  # roots forget the length
    for one, other in ((NONE, b), (a, NONE), (a, of((1, 2)))):
        assert spatial.matches(one, other).shape == (0, 2)


@pytest.mark.parametrize(
    "picture", [Image.new("RGB", (60, 40), "grey"), Image.new("RGB", (1, 1)), Image.new("L", (3, 500), 9)]
)
def test_pictures_without_keypoints_have_no_inliers(picture):
    nothing, b = spatial.keypoints(picture), spatial.keypoints(texture())
    assert nothing.points.shape == (0, 2) and nothing.descriptors.shape == (0, 128)
    for pair in ((nothing, b), (b, nothing), (nothing, nothing)):
        result = spatial.verify(*pair)
        assert result.inliers == 0 and result.a.shape == result.b.shape == (0, 2) and result.matrix is None


def test_matches_that_lie_on_one_point_or_line_give_no_error():
    d = np.random.default_rng(0).integers(0, 255, (9, 128)).astype(np.uint8)
    line = np.float32([[i, 2 * i] for i in range(9)])
    for points in (np.zeros((9, 2), np.float32), line):
        for model in spatial.MODELS:
            result = spatial.verify(spatial.Keypoints(points, d), spatial.Keypoints(points, d), model)
            assert 0 <= result.inliers <= 9


def test_the_same_seed_gives_the_same_inliers():
    a, b = spatial.keypoints(texture()), spatial.keypoints(moved(texture()))
    one, same = (spatial.verify(a, b, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.a, same.a)
    np.testing.assert_array_equal(one.matrix, same.matrix)


def test_positions_are_those_of_the_whole_picture():
    picture = texture(size=(400, 300))
    box = Box(100, 60, 300, 260)
    inside = spatial.keypoints(picture, box)
    assert len(inside.points) and (inside.points >= (100, 60)).all() and (inside.points <= (300, 260)).all()
    for part in (inside, spatial.keypoints(picture, longest=200)):
        result = spatial.verify(part, spatial.keypoints(picture), threshold=3)
        assert result.inliers > 10 and np.median(np.abs(result.a - result.b)) < 0.5
    assert len(spatial.keypoints(picture, n_features=7).points) == 7
    with pytest.raises(InputError, match="outside the 400 x 300 picture"):
        spatial.keypoints(picture, Box(500, 500, 600, 600))
    with pytest.raises(InputError, match="'rigid' is unknown"):
        spatial.verify(inside, inside, "rigid")


def test_the_first_are_ranked_by_inliers_and_each_picture_is_asked_once():
    pictures = [texture(5), Image.new("RGB", (50, 50)), moved(texture()), texture(6), texture()]
    calls = []

    def keypoints_of(row):
        calls.append(int(row))
        return spatial.keypoints(pictures[row])

    queries = [spatial.keypoints(texture()), NONE]
    ids, scores = np.array([[0, 1, 2, 4, 3], [3, 2, 4, 1, 0]]), np.tile(np.float32([0.9, 0.8, 0.7, 0.6, 0.5]), (2, 1))
    inliers, new = spatial.rerank(queries, keypoints_of, scores, ids, 4, threshold=3)
    assert new[0, :2].tolist() == [4, 2] and new[0, 4] == 3
    assert inliers[0, 0] == len(queries[0].points) or inliers[0, 0] > inliers[0, 1] > 30
    assert inliers[0, 1] == spatial.verify(queries[0], keypoints_of(2), threshold=3).inliers
    assert new[1].tolist() == [3, 2, 4, 1, 0]  # no keypoints: as it was
    assert (np.diff(inliers, axis=1) <= 0).all()
    assert sorted(calls[:-1]) == [0, 1, 2, 3, 4]
    assert spatial.rerank(queries, keypoints_of, scores, ids, 1)[1].tolist() == ids.tolist()
    with pytest.raises(InputError, match="2 queries"):
        spatial.rerank(queries, keypoints_of, scores[:1], ids[:1])


def test_keypoints_come_back_from_the_store(tmp_path):
    result = [spatial.keypoints(p, n_features=50) for p in (texture(), Image.new("RGB", (9, 9)), texture(1, (60, 60)))]
    features = store.build({"sift": 1}, 3, lambda a, b: spatial.stacked(result[a:b], 50), tmp_path, 2, False)
    keypoints_of = spatial.stored(features)
    for row, want in enumerate(result):
        got = keypoints_of(np.int64(row))
        np.testing.assert_array_equal(got.points, want.points)
        np.testing.assert_array_equal(got.descriptors, want.descriptors)
