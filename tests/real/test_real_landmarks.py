"""The real ground truth of the revisited benchmarks: published counts, and scores of seeded random rankings."""

import numpy as np
import pytest

from foir_lib.bench import metrics
from foir_lib.bench.landmark_scores import mean_average_precision
from foir_lib.data import revisited

pytestmark = pytest.mark.real
SCORES = {  # of default_rng(q).permutation(n) for query q, by the published evaluation program
    "roxford5k": (4993, {"easy": 0.009226, "medium": 0.017295, "hard": 0.009986}),
    "rparis6k": (6322, {"easy": 0.017006, "medium": 0.040614, "hard": 0.025370}),
}


@pytest.fixture(params=SCORES)
def truth(request, foir_data):
    path = foir_data / "landmarks" / f"gnd_{request.param}.pkl"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the folder FOIR_DATA")
    return request.param, path


def test_random_rankings_score_what_the_published_program_gives(truth):
    name, path = truth
    n, wanted = SCORES[name]
    protocols, n_database = revisited.protocols(path)
    assert n_database == n and list(protocols) == list(wanted)
    ranking = [np.random.default_rng(q).permutation(n) for q in range(70)]
    raw = revisited.read_truth(path)["gnd"]
    for level, want in wanted.items():
        found = mean_average_precision(ranking, protocols[level])
        assert found.map == pytest.approx(want, abs=5e-7)
        np.testing.assert_array_equal(found.average_precision, metrics.revisited_ap(ranking, raw, level))


def test_a_perfect_ranking_scores_one(truth):
    protocols, n = revisited.protocols(truth[1])
    for protocol in protocols.values():
        first = [np.concatenate([protocol.ignored_of(q), protocol.positives(q)]) for q in range(70)]
        ranking = [np.concatenate([ids, np.setdiff1d(np.arange(n), ids)]) for ids in first]
        assert mean_average_precision(ranking, protocol).map == 1


def test_eleven_landmarks_and_boxes_with_area(truth):
    found = revisited.read_truth(truth[1])
    labels = revisited.landmarks(found)
    assert len(set(labels)) == 11 and not set(labels) & {"oxford", "general"}
    assert all(len(set(labels[i : i + 5])) == 1 for i in range(0, 55, 5)), "five queries each in the original sets"
    boxes = np.array([one["bbx"] for one in found["gnd"]])
    assert boxes.shape == (70, 4) and (boxes[:, 2:] > boxes[:, :2]).all()
